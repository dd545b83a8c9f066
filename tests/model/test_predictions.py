from pathlib import Path

import numpy as np
import pytest

from laikaroto.errors import LaikarotoError
from laikaroto.model.predictions import (
    Predictions,
    join_predictions,
    read_predictions,
    write_predictions,
)


def some(frames: list[int]) -> Predictions:
    count = len(frames)
    return Predictions(
        frames=np.array(frames, dtype=np.int64),
        values=np.arange(count * 12, dtype=np.float64).reshape(count, 2, 6) + frames[0],
        visible=np.full((count, 2), 0.5), error_px=np.ones((count, 2)),
        apart_px=np.ones((count, 2)),
        box=np.full((count, 3), float(frames[0])), found=np.ones(count),
        moved=np.full((count, 3), np.inf), tokens=np.full((count, 2, 3), 0.5, np.float16),
    )  # fmt: skip


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "predict" / "1001-1002.npz"
    write_predictions(path, some([1001, 1002]))
    again = read_predictions(path)
    for name in Predictions.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(some([1001, 1002]), name))
    assert [p.name for p in path.parent.iterdir()] == ["1001-1002.npz"]


def test_same_predictions_are_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_predictions(tmp_path / f"{name}.npz", some([1, 2]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_joined_chunks_are_in_order() -> None:
    joined = join_predictions([some([5, 6]), some([1, 2, 3])])
    assert joined.frames.tolist() == [1, 2, 3, 5, 6]
    assert joined.box[:, 0].tolist() == [1, 1, 1, 5, 5]


def test_pick_gives_frames_in_the_asked_order_and_once() -> None:
    joined = join_predictions([some([1, 2]), some([2, 3])])
    picked = joined.pick([3, 2])
    assert picked.frames.tolist() == [3, 2]
    assert picked.box[:, 0].tolist() == [2, 1]  # of the two frames 2 the first
    with pytest.raises(KeyError):
        joined.pick([4])


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_damaged_files_are_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "1-2.npz"
    write_predictions(path, some([1, 2]))
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    with pytest.raises(LaikarotoError, match=r"1-2\.npz.*run its predict task again"):
        read_predictions(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1-2.npz"
    np.savez(path, frames=np.array([object()]))
    with pytest.raises(LaikarotoError, match="cannot be read"):
        read_predictions(path)
