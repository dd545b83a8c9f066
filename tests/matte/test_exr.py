from __future__ import annotations

import errno
import os
import resource
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from laikaroto.errors import TryAgainError
from laikaroto.matte.exr import exact_rate, write_matte


@pytest.fixture
def coverage():
    return np.linspace(0, 1, 12 * 20, dtype=np.float32).reshape(12, 20)


def test_rgba_carries_the_matte_in_every_channel(tmp_path, coverage):
    path = tmp_path / "m.1001.exr"
    write_matte(path, coverage, channels="RGBA", fps=24, pixel_aspect=2.0, frame=1001)
    file = OpenEXR.File(str(path), separate_channels=True)
    assert set(file.channels()) == set("RGBA")
    for channel in file.channels().values():
        assert channel.pixels.dtype == np.float16
        np.testing.assert_array_equal(channel.pixels, coverage.astype(np.float16))
    header = file.header()
    assert header["compression"] == OpenEXR.ZIPS_COMPRESSION
    assert header["pixelAspectRatio"] == 2.0
    assert header["framesPerSecond"] == Fraction(24, 1)
    assert header["imageCounter"] == 1001
    assert os.listdir(tmp_path) == ["m.1001.exr"]


def test_alpha_only_replaces_an_older_file(tmp_path, coverage):
    path = tmp_path / "m.exr"
    path.write_text("old")
    write_matte(path, coverage, channels="A", fps=25, pixel_aspect=1.0)
    file = OpenEXR.File(str(path), separate_channels=True)
    assert list(file.channels()) == ["A"] and "imageCounter" not in file.header()


def test_same_coverage_gives_the_same_bytes(tmp_path, coverage):
    for name in "ab":
        write_matte(tmp_path / name, coverage, channels="RGBA", fps=24, pixel_aspect=1, frame=5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_frame_rates():
    assert exact_rate(24) == 24
    assert exact_rate(23.976) == Fraction(24000, 1001)
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(12.5) == Fraction(25, 2)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3, 4)), np.full((2, 2), 1.5), np.full((2, 2), -0.1), [[np.nan]]]
)
def test_refuses_what_is_no_coverage(tmp_path, wrong):
    with pytest.raises(ValueError, match="coverage must"):
        write_matte(
            tmp_path / "m.exr",
            np.asarray(wrong, np.float32),
            channels="A",
            fps=24,
            pixel_aspect=1,
        )
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_told(tmp_path, coverage):
    (tmp_path / "none").write_text("")
    with pytest.raises(TryAgainError, match=r"cannot write .*none/m\.exr: (File exists|Not a dir)"):
        write_matte(tmp_path / "none/m.exr", coverage, channels="A", fps=24, pixel_aspect=1)


def test_disk_that_refuses_in_the_middle_leaves_the_old_file_and_no_litter(tmp_path):
    noise = np.random.default_rng(1).random((100, 100), dtype=np.float32)
    path = tmp_path / "m.exr"
    path.write_bytes(b"old")
    before, limits = signal.getsignal(signal.SIGXFSZ), resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(TryAgainError, match="file size limit") as caught:
            write_matte(path, noise, channels="RGBA", fps=24, pixel_aspect=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["m.exr"]
