"""Plates told by size and time, from one look at their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laikaroto.plate.scan import scan_digest, scan_plates
from laikaroto.plate.sequence import find_sequence


def plate(path: Path, data: bytes = b"x", when: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(when, when))
    return path


def test_sizes_and_times_by_frame_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a{b}"  # a folder of that very name
    for name in ("s.1001.exr", "s.1002.exr", "s.-002.exr", "s.10001.exr"):
        plate(folder / name, b"four"[: len(name) % 5], 7)
    for name in ("s.01001.exr", "s.1003.jpg", "s.+003.exr", "t.1004.exr", "s.1_05.exr", ".nfs1"):
        plate(folder / name)
    template = f"{tmp_path}/a{{{{b}}}}/s.{{frame:04d}}.exr"
    found = scan_plates(template, shot="s")
    assert sorted(found) == [-2, 1001, 1002, 10001]
    assert tuple(sorted(found)) == find_sequence(template, shot="s").frames
    assert found[1001] == (len(b"four"[: len("s.1001.exr") % 5]), 7)


@pytest.mark.parametrize(
    "pattern", ["{frame:04d}/s.exr", "{frame:04d}/s.{frame:04d}.exr", "s.{frame:04d}.{frame}.exr"]
)
def test_frames_named_in_folders_or_twice(tmp_path: Path, pattern: str) -> None:
    for frame in (1001, 1005):
        plate(tmp_path / pattern.format(frame=frame), b"abc", frame)
    found = scan_plates(f"{tmp_path}/{pattern}", shot="s")
    assert found == {1001: (3, 1001), 1005: (3, 1005)}


def test_no_folder_and_an_empty_one_have_no_plates(tmp_path: Path) -> None:
    assert scan_plates(f"{tmp_path}/s.{{frame}}.exr", shot="s") == {}
    assert scan_plates(f"{tmp_path}/none/s.{{frame}}.exr", shot="s") == {}
    assert scan_plates(f"{tmp_path}/none/{{frame}}/s.exr", shot="s") == {}


def test_the_digest_tells_size_time_and_frame_but_not_place() -> None:
    scan = {1001: (10, 5), 1002: (10, 6)}
    digest = scan_digest(scan)
    assert digest == scan_digest({1002: (10, 6), 1001: (10, 5)})
    assert digest == scan_digest({**scan, 1003: (1, 1)}, frames=(1001, 1002, 999))
    others = [{**scan, 1002: (11, 6)}, {**scan, 1002: (10, 7)}, {1001: (10, 5), 1003: (10, 6)}]
    assert len({digest, *(scan_digest(other) for other in others)}) == 4
