from __future__ import annotations

import os
import shutil

import numpy as np
import OpenEXR
import pytest

import laikaroto.plate.sequence as sequence_module
from laikaroto.config import PlateConfig
from laikaroto.errors import ConfigError, PlateError, UsageError
from laikaroto.plate.sequence import (
    PlateSequence,
    check_sequence,
    digest_sequence,
    find_sequence,
)


@pytest.fixture
def shot(tmp_path, write_exr):
    """Template of shot sh1, frames 1001-1006."""
    for frame in range(1001, 1007):
        write_exr(tmp_path / "sh1" / f"sh1.{frame}.exr", size=(64, 48))
    return str(tmp_path / "sh1" / "sh1.{frame:04d}.exr")


def test_finds_frames_in_order_and_leaves_others_alone(shot, tmp_path):
    folder = tmp_path / "sh1"
    for name in ("sh1.1007.exr.tmp", "sh1.007.exr", "sh2.1008.exr", "sh1.final.exr", "notes.txt"):
        (folder / name).write_text("")
    found = find_sequence(shot, shot="sh1")
    assert found == PlateSequence("sh1", shot, tuple(range(1001, 1007)))
    assert found.path(1003) == folder / "sh1.1003.exr"


def test_finds_frames_of_any_template(tmp_path, write_exr):
    base = tmp_path / "odd [x] {y}"
    for frame in (-5, 7, 12345):
        write_exr(base / f"{frame:04d}" / f"a.{frame:04d}.exr")
    template = str(base).replace("{", "{{").replace("}", "}}") + "/{frame:04d}/a.{frame:04d}.exr"
    assert find_sequence(template, shot="a").frames == (-5, 7, 12345)


def test_unknown_shot(shot, tmp_path):
    with pytest.raises(UsageError, match="unknown shot 'sh9': there is no folder .*sh9"):
        find_sequence(shot.replace("sh1", "sh9"), shot="sh9")


def test_empty_folder(shot, tmp_path):
    (tmp_path / "sh2").mkdir()
    template = shot.replace("sh1", "sh2")
    with pytest.raises(PlateError, match=r"shot sh2: no plates in .*sh2\.1001\.exr, found nothing"):
        find_sequence(template, shot="sh2")
    (tmp_path / "sh2" / "sh2_1001.exr").write_text("")
    with pytest.raises(PlateError, match=r"found 1 other files, such as sh2_1001\.exr"):
        find_sequence(template, shot="sh2")


@pytest.mark.parametrize("template", ["/a/{frame:04q}.exr", "/a/{shot}.{frame}.exr"])
def test_template_that_cannot_be_filled_in(template):
    with pytest.raises(ConfigError, match="plate template .* cannot be filled in"):
        find_sequence(template, shot="a")


def test_sound_sequence_is_checked_without_decoding(shot, config, monkeypatch):
    monkeypatch.setattr(sequence_module, "read_rgb", None)
    header = check_sequence(find_sequence(shot, shot="sh1"), config)
    assert (header.width, header.height, header.pixel_aspect) == (64, 48, 1.0)


def test_all_faults_of_all_frames_are_told_at_once(shot, tmp_path, config, write_exr, foreign):
    folder = tmp_path / "sh1"
    for frame in range(1007, 1013):
        write_exr(folder / f"sh1.{frame}.exr", size=(64, 48))
    (folder / "sh1.1002.exr").unlink()
    (folder / "sh1.1004.exr").unlink()
    (folder / "sh1.1005.exr").unlink()
    os.truncate(folder / "sh1.1006.exr", (folder / "sh1.1006.exr").stat().st_size - 40)
    (folder / "sh1.1007.exr").write_text("no picture")
    shutil.copy(foreign / "Trunks.exr", folder / "sh1.1008.exr")
    write_exr(folder / "sh1.1009.exr", size=(64, 50))
    write_exr(folder / "sh1.1010.exr", size=(64, 48), pixelAspectRatio=2.0)
    write_exr(folder / "sh1.1011.exr", {"Y": np.ones((48, 64), "f2")})
    with pytest.raises(PlateError) as caught:
        check_sequence(find_sequence(shot, shot="sh1"), config)
    lines = str(caught.value).splitlines()
    assert lines[0] == "shot sh1: 9 of 12 frames cannot be used"
    wanted = [
        ("  frame 1002: missing (wanted ", "sh1.1002.exr)"),
        ("  frames 1004-1005: missing (wanted ", "sh1.1004.exr)"),
        ("  frame 1006: ", "the file is cut off: chunk "),
        ("  frame 1007: ", "the file is no EXR (it starts with b'no picture')"),
        ("  frame 1008: ", "is a deep EXR"),
        ("  frame 1009: is 64x50, pixel aspect 1; wanted 64x48", "like most frames"),
        ("  frame 1010: is 64x48, pixel aspect 2; wanted 64x48, pixel aspect 1", ""),
        ("  frame 1011: ", "has no channel R, G, B"),
    ]
    assert len(lines) == 1 + len(wanted)
    for line, (start, part) in zip(lines[1:], wanted, strict=True):
        assert line.startswith(start) and part in line


def test_gap_is_no_fault_when_its_frames_are_not_asked_for(shot, tmp_path, config):
    (tmp_path / "sh1" / "sh1.1003.exr").unlink()
    found = find_sequence(shot, shot="sh1")
    assert check_sequence(found, config, frames=found.frames).width == 64
    with pytest.raises(PlateError, match="1 of 6 frames cannot be used\n  frame 1003: missing"):
        check_sequence(found, config)
    with pytest.raises(PlateError, match="frames 1009-1010: missing"):
        check_sequence(found, config, frames=[1001, 1009, 1010])
    with pytest.raises(UsageError, match="no frames to check"):
        check_sequence(found, config, frames=[])


def test_unusual_layout_is_decoded_before_it_is_judged(shot, tmp_path, config):
    path = tmp_path / "sh1" / "sh1.1002.exr"
    content = path.read_bytes()
    found = find_sequence(shot, shot="sh1")
    # Garbage behind the last chunk is unusual but harmless.
    path.write_bytes(content + b"more")
    check_sequence(found, config)
    # A chunk that says it has no data is not.
    offset = int.from_bytes(content[_table(content) : _table(content) + 8], "little")
    path.write_bytes(content[: offset + 4] + bytes(400) + content[offset + 404 :])
    with pytest.raises(PlateError, match=r"frame 1002: .*the picture data is damaged"):
        check_sequence(found, config)


def _table(content):
    """Where the table of chunk offsets of ``shot``'s files starts: 3 chunks of 16 rows."""
    for start in range(8, len(content) - 8):
        if int.from_bytes(content[start : start + 8], "little") == start + 24:
            return start
    raise AssertionError("no table")


def test_holes_left_by_a_crashed_writer_are_found(shot, tmp_path, config):
    path = tmp_path / "sh1" / "sh1.1002.exr"
    content = bytearray(path.read_bytes())
    start = _table(content)
    content[start : start + 24] = bytes(24)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PlateError, match=r"frame 1002: .*damaged"):
        check_sequence(find_sequence(shot, shot="sh1"), config)


def test_digest_depends_on_bytes_and_frames_not_on_place(shot, tmp_path):
    found = find_sequence(shot, shot="sh1")
    digest = digest_sequence(found, [1001, 1002])
    assert digest == digest_sequence(found, [1002, 1001, 1001]) and len(digest) == 64
    assert digest != digest_sequence(found, [1001, 1003])
    shutil.copytree(tmp_path / "sh1", tmp_path / "moved")
    moved = PlateSequence("sh1", shot.replace("/sh1/", "/moved/"), found.frames)
    assert digest == digest_sequence(moved, [1001, 1002])
    path = moved.path(1002)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert digest != digest_sequence(moved, [1001, 1002])
    with pytest.raises(PlateError, match="shot sh1 frame 1099: .* cannot be read: No such file"):
        digest_sequence(found, [1099])


def test_compressions_may_differ_between_frames(shot, tmp_path, config, write_exr):
    write_exr(
        tmp_path / "sh1" / "sh1.1003.exr", size=(64, 48), compression=OpenEXR.DWAB_COMPRESSION
    )
    check_sequence(find_sequence(shot, shot="sh1"), config)


@pytest.mark.parametrize(
    ("there", "wanted", "lines"),
    [
        ((4,), range(1, 11), ["frames 1-3: missing", "frames 5-10: missing"]),
        ((4, 5, 6, 7, 8, 9), range(1, 11), ["frames 1-3: missing", "frame 10: missing"]),
        ((-2,), range(-5, 1), ["frames -5--3: missing", "frames -1-0: missing"]),
    ],
)
def test_gaps_are_told_whatever_digits_their_frame_numbers_begin_with(
    tmp_path, write_exr, there, wanted, lines
):
    for frame in there:
        write_exr(tmp_path / "sh1" / f"sh1.{frame:04d}.exr")
    found = find_sequence(str(tmp_path / "sh1" / "sh1.{frame:04d}.exr"), shot="sh1")
    with pytest.raises(PlateError) as caught:
        check_sequence(found, PlateConfig(template="{shot}{frame}"), wanted)
    said = [line.strip().partition(" (")[0] for line in str(caught.value).splitlines()[1:]]
    assert said == lines
    first = lines[0].split()[1].partition("-")[0] or "-5"
    assert f"sh1.{int(first):04d}.exr" in str(caught.value).splitlines()[1]
