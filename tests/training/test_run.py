"""The working folder of a training: mirror images that are drawn once and read by every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laikaroto.character.template import unpack
from laikaroto.errors import TruthError
from laikaroto.shapes.records import PlateInfo
from laikaroto.training.examples import read_example, read_points, write_example
from laikaroto.training.mirror import find_mirror
from laikaroto.training.run import MIRRORED, DatasetIndex, load_dataset, write_mirrored
from tests.training.test_mirror import FACE, faces

FINDER = (128, 96)
FRAMES = (1001, 1002, 1003)


def prepared(run: Path) -> DatasetIndex:
    """Three frames of a face whose eyes have other points left and right."""
    heads = np.stack(faces())
    plate = PlateInfo(width=680, height=320, first=1001, last=1003)
    seen = np.ones(heads.shape[:2], bool)
    roto = unpack(FACE, "a1", plate, list(FRAMES), heads, seen)
    rgb = np.full((320, 680, 3), 0.18, np.float32)
    for frame in FRAMES:
        write_example(run / "dataset", roto, frame, rgb, FACE, crop_px=128, finder=FINDER)
    return DatasetIndex(
        character="face", truth="0", crop_px=128, finder_size=FINDER, mirror="auto",
        frames={"a1": FRAMES}, plates={},
    )  # fmt: skip


def test_mirror_images_are_drawn_by_prepare_and_read_by_the_steps_after(tmp_path: Path) -> None:
    index = prepared(tmp_path)
    said: list[str] = []
    write_mirrored(tmp_path, index, FACE, lambda _, text: said.append(text))
    assert said == [f"mirrored a1 frame {frame}" for frame in FRAMES]
    mirror = find_mirror(FACE, faces())
    assert mirror is not None and mirror.redrawn
    dataset = load_dataset(tmp_path, index, FACE)
    for example, head in zip(dataset.examples, faces(), strict=True):
        assert example.mirrored is not None
        np.testing.assert_array_equal(example.mirrored, mirror.values(head, 0.0))
    # what is not there is drawn when it is needed
    (tmp_path / MIRRORED).unlink()
    again = load_dataset(tmp_path, index, FACE)
    for one, other in zip(dataset.examples, again.examples, strict=True):
        assert one.mirrored is not None and other.mirrored is not None
        np.testing.assert_array_equal(one.mirrored, other.mirrored)


def test_where_no_mirror_is_wanted_there_is_none(tmp_path: Path) -> None:
    index = prepared(tmp_path).model_copy(update={"mirror": "never"})
    dataset = load_dataset(tmp_path, index, FACE)
    assert dataset.mirror is None and all(e.mirrored is None for e in dataset.examples)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 half"), "cannot be read"),
        (lambda path: np.savez(path, mirrored=np.zeros((2, 13, 6))), "wanted 3 frames of 13 poin"),
        (lambda path: np.savez(path, other=np.zeros(1)), "cannot be read"),
    ],
    ids=["damaged", "of other frames", "something else"],
)  # fmt: skip
def test_mirror_images_that_are_not_these_frames_are_refused(
    tmp_path: Path, harm: object, words: str
) -> None:
    index = prepared(tmp_path)
    assert callable(harm)
    harm(tmp_path / MIRRORED)
    with pytest.raises(TruthError, match=words):
        load_dataset(tmp_path, index, FACE)


def test_points_are_read_without_the_pictures(tmp_path: Path) -> None:
    prepared(tmp_path)
    values, known = read_points(tmp_path / "dataset", "a1", 1002)
    example = read_example(tmp_path / "dataset", "a1", 1002)
    np.testing.assert_array_equal(values, example.values)
    np.testing.assert_array_equal(known, example.known)
    with pytest.raises(TruthError, match="run the prepare step again"):
        read_points(tmp_path / "dataset", "a1", 1009)
