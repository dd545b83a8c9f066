from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import laikaroto.plate.reading as reading_module
from laikaroto.errors import PlateError
from laikaroto.plate.exr import read_rgb
from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import find_sequence


@pytest.fixture
def sequence(tmp_path, write_exr):
    """Shot a, frames 1001-1020; each frame's pixels hold its number minus 1000."""
    for frame in range(1001, 1021):
        value = np.full((4, 5), frame - 1000, "f2")
        write_exr(tmp_path / f"a.{frame}.exr", {"R": value, "G": value, "B": value})
    return find_sequence(str(tmp_path / "a.{frame:04d}.exr"), shot="a")


@pytest.mark.parametrize(("threads", "depth"), [(1, 1), (2, 4), (4, 3), (3, 50)])
def test_frames_come_in_the_order_asked_for(sequence, config, threads, depth):
    wanted = [1003, 1001, *range(1004, 1021), 1003]
    found = list(read_ahead(sequence, wanted, config, threads=threads, depth=depth))
    assert [frame for frame, _ in found] == wanted
    assert [image[0, 0, 0] + 1000 for _, image in found] == wanted


def test_no_frames_no_pictures(sequence, config):
    assert list(read_ahead(sequence, [], config)) == []


def test_error_names_the_frame_and_comes_after_the_frames_before_it(sequence, config):
    sequence.path(1003).write_bytes(b"")
    frames = read_ahead(sequence, sequence.frames, config)
    assert [next(frames)[0], next(frames)[0]] == [1001, 1002]
    with pytest.raises(PlateError, match=r"shot a frame 1003: .*the file is empty"):
        next(frames)
    assert _readers() == []


def test_never_more_than_depth_pictures_are_read_ahead(sequence, config, monkeypatch):
    started = []

    def counted(path, config):
        started.append(path)
        return read_rgb(path, config)

    monkeypatch.setattr(reading_module, "read_rgb", counted)
    for taken, _ in enumerate(read_ahead(sequence, sequence.frames, config, depth=3), start=1):
        time.sleep(0.002)  # give the threads the chance to run too far
        assert len(started) <= taken + 2
    assert len(started) == 20


def test_stopping_early_ends_the_threads(sequence, config):
    frames = read_ahead(sequence, sequence.frames, config)
    next(frames)
    assert _readers()
    frames.close()
    assert _readers() == []


def test_refuses_no_threads(sequence, config):
    with pytest.raises(ValueError, match="at least 1"):
        next(read_ahead(sequence, [1001], config, threads=0))


def _readers():
    return [t.name for t in threading.enumerate() if t.name.startswith("read-plates")]
