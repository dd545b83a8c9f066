"""What the drawer saw of a shot: kept small, read back, and as unlike as its tokens were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laikaroto.character.template import CharacterTemplate
from laikaroto.correction.likeness import KEPT, UNKNOWN, likeness_of, read_likeness, write_likeness
from laikaroto.errors import SidecarError
from laikaroto.model.predictions import Predictions
from tests.tracking.simulated import perfect, read_truth

WIDTH = 16


@pytest.fixture(scope="module")
def template() -> CharacterTemplate:
    return read_truth()[1]


@pytest.fixture(scope="module")
def seen(template: CharacterTemplate) -> Predictions:
    """Predictions whose tokens are of two kinds of picture, by turns, a little different each."""
    predictions = perfect(read_truth()[0], template)
    count, points = predictions.values.shape[:2]
    rng = np.random.default_rng(2)
    kinds = rng.normal(0, 1, (2, points, WIDTH))
    tokens = kinds[np.arange(count) % 2] + rng.normal(0, 0.1, (count, points, WIDTH))
    return replace(predictions, tokens=tokens.astype(np.float16))


def poses(predictions: Predictions) -> list[tuple[int, ...]]:
    return [(int(frame),) for frame in predictions.frames]


def test_pictures_are_as_unlike_as_their_tokens(
    seen: Predictions, template: CharacterTemplate, tmp_path: Path
) -> None:
    path = tmp_path / "likeness.npz"
    write_likeness(path, likeness_of(seen, template))
    likeness = read_likeness(path)
    assert set(likeness.parts) == {*template.tracks, *template.slices()}
    assert len(seen.frames) <= KEPT  # so nothing is left out
    tokens = seen.tokens.astype(np.float64)
    tokens /= np.linalg.norm(tokens, axis=-1, keepdims=True)
    first = len(template.tracks)
    where = template.slices()["mouth"]
    mouth = tokens[:, first + where.start : first + where.stop]
    wanted = ((mouth[:, None] - mouth[None]) ** 2).sum(-1).mean(-1)
    np.testing.assert_allclose(likeness.unlike("mouth", poses(seen)), wanted, atol=0.01)
    assert wanted[0, 2] < 0.1 < 0.5 < wanted[0, 1]


def test_a_hold_looks_like_the_mean_of_its_frames(
    seen: Predictions, template: CharacterTemplate
) -> None:
    likeness = likeness_of(seen, template)
    frames = [int(frame) for frame in seen.frames]
    both = likeness.unlike("mouth", [(frames[0], frames[2]), (frames[1],)])
    alone = likeness.unlike("mouth", [(frames[0],), (frames[2],), (frames[1],)])
    # the middle of a side: Apollonius
    assert both[0, 1] == pytest.approx((alone[0, 2] + alone[1, 2]) / 2 - alone[0, 1] / 4)


def test_what_is_not_known_counts_as_alike(
    seen: Predictions, template: CharacterTemplate, tmp_path: Path
) -> None:
    assert read_likeness(tmp_path / "likeness.npz") is UNKNOWN
    without = replace(seen, tokens=seen.tokens[..., :0])
    assert likeness_of(without, template) is UNKNOWN
    write_likeness(tmp_path / "likeness.npz", UNKNOWN)
    for likeness in (read_likeness(tmp_path / "likeness.npz"), likeness_of(seen, template)):
        assert not likeness.unlike("nose", [(1001,), (1002,)]).any()
        assert not likeness.unlike("mouth", [(1001,), (9999,)]).any()


@pytest.mark.parametrize("harm", ["cut", "nan", "other"])
def test_a_damaged_file_is_refused(
    harm: str, seen: Predictions, template: CharacterTemplate, tmp_path: Path
) -> None:
    path = tmp_path / "likeness.npz"
    likeness = likeness_of(seen, template)
    if harm == "nan":
        nothing = {name: np.full_like(part, np.nan) for name, part in likeness.parts.items()}
        likeness = replace(likeness, parts=nothing)
    write_likeness(path, likeness)
    data = path.read_bytes()
    if harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "other":
        values = np.zeros((1, 2, 4))
        np.savez(path, frames=np.arange(3), parts=np.array(["mouth"]), likeness=values)
    with pytest.raises(SidecarError, match="likeness.npz: .*run inference again"):
        read_likeness(path)
