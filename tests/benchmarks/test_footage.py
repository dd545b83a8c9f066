from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.footage import Footage, open_footage, show_of_data
from benchmarks.accuracy.heads import Heads, crop_of, to_crop, to_plate
from laikaroto.bundled import bundled
from laikaroto.errors import TruthError, UsageError
from laikaroto.sidecar.schema import read_roto, write_roto


@pytest.fixture(scope="module")
def sample() -> Footage:
    show = show_of_data(bundled("sample"), "hero")
    return open_footage(show, character="hero", training=["tr01", "tr02"], evaluation=["ta01"])


def test_a_data_folder_is_a_show(sample: Footage) -> None:
    assert [shot.name for shot in sample.training] == ["tr01", "tr02"]
    (shot,) = sample.evaluation
    assert shot.frames == tuple(range(1001, 1017))
    frame, plate = next(iter(shot.read([1004])))
    assert frame == 1004 and plate.shape == (360, 640, 3)
    assert shot.truth_values(sample.template).shape == (16, sample.template.point_count, 6)


def test_a_show_is_read_by_its_configuration(tmp_path: Path) -> None:
    from tests.benchmarks.regatta import write_footage

    footage = write_footage(tmp_path)
    assert footage.template.character == "boat" and len(footage.training) == 2


def test_few_shots_are_the_first_ones(sample: Footage) -> None:
    assert [shot.name for shot in sample.first(1).training] == ["tr01"]
    with pytest.raises(UsageError, match="wanted 1 to 2"):
        sample.first(3)


@pytest.mark.parametrize(
    ("training", "evaluation", "says"),
    [
        (["tr01", "ta01"], ["ta01"], "ta01: is named more than once"),
        ([], ["ta01"], "at least one training shot"),
        (["tr01"], [], "at least one"),
    ],
)
def test_shots_are_learned_from_or_measured(training, evaluation, says: str) -> None:
    show = show_of_data(bundled("sample"), "hero")
    with pytest.raises(UsageError, match=says):
        open_footage(show, character="hero", training=training, evaluation=evaluation)


def test_a_folder_without_plates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no .*plates"):
        show_of_data(tmp_path, "hero")


def test_truth_with_a_gap_is_refused_with_its_frame(tmp_path: Path) -> None:
    from dataclasses import replace

    for name in ("tr01", "ta01"):
        roto = read_roto(bundled("sample") / "truth" / "hero" / f"{name}.roto.json")
        if name == "ta01":
            brow = roto.shapes["brow_L"]
            kept = {f: v for f, v in brow.frames.items() if f != 1003}
            roto = replace(
                roto, shapes={**roto.shapes, "brow_L": replace(brow, frames=kept, keys=())}
            )
        write_roto(tmp_path / f"{name}.roto.json", roto)
    show = show_of_data(bundled("sample"), "hero")
    footage = open_footage(
        show, character="hero", training=["tr01"], evaluation=["ta01"], truth=tmp_path
    )
    with pytest.raises(TruthError, match=r"ta01 frame 1003: the truth lacks 8 of"):
        footage.evaluation[0].truth_values(footage.template)


def test_crops_map_to_the_plate_and_back(sample: Footage) -> None:
    (shot,) = sample.evaluation
    values = shot.truth_values(sample.template)[0]
    (_, plate) = next(iter(shot.read([1001])))
    crop, matrix = crop_of(plate, shot.true_boxes(sample.template)[1001], 96)
    assert crop.shape == (96, 96, 3)
    inside = to_crop(values, matrix)
    assert inside[:, :2].min() > 0 and inside[:, :2].max() < 96
    assert np.allclose(to_plate(inside, matrix), values)


def test_variations_move_points_with_the_picture(sample: Footage) -> None:
    """The dark pupils' colour stays under their tracking point, whatever the variation."""
    heads = Heads(sample.first(1), 128)
    assert heads.mirror is not None, "the puppet is symmetric"
    a, b = heads.sample((1, 5)), heads.sample((1, 5))
    assert np.array_equal(a.image, b.image) and np.array_equal(a.values, b.values)
    mean = heads.mean_values()
    assert mean.shape == (sample.template.point_count, 6)
    spread = [heads.sample((2, i)) for i in range(24)]
    assert all(s.image.shape == (128, 128, 3) and np.isfinite(s.image).all() for s in spread)
    assert 0.5 < np.mean([s.visible.mean() for s in spread]) < 1.0
    centres = np.stack([s.values[:, :2].mean(0) for s in spread])
    assert centres.std(0).min() > 2.0 and np.abs(centres.mean(0) - 64).max() < 12
