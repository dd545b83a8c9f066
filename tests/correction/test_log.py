"""The corrections file: added to by many, killed in the middle, never silently less than it was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laikaroto.correction import log as logs
from laikaroto.correction.log import append, read_log
from laikaroto.correction.records import ShapeEntry
from laikaroto.errors import CorrectionError, TryAgainError

POINTS = [[1.0, 2.0, 0.0, 0.0, 0.0, 0.0]] * 4


def edit(frame: int = 1001, name: str = "mouth") -> dict[str, object]:
    return {"kind": "edit", "shapes": {name: {str(frame): ShapeEntry(points=POINTS)}}}


def add(path: Path, frame: int = 1001, who: str = "anna") -> None:
    append(path, lambda log: edit(frame), who=who)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shot" / "corrections.jsonl"


def test_records_come_back_in_order(path: Path) -> None:
    assert read_log(path).records == ()
    add(path, 1001, "anna")
    add(path, 1002, "ben")
    log = read_log(path)
    assert [(r.number, r.who, r.kind) for r in log.records] == [
        (1, "anna", "edit"), (2, "ben", "edit"),
    ]  # fmt: skip
    assert log.records[1].shapes["mouth"]["1002"].points == POINTS
    assert log.notices == () and log.records[1].previous != ""


def test_what_stands_is_never_touched(path: Path) -> None:
    add(path)
    before = path.read_bytes()
    add(path)
    assert path.read_bytes().startswith(before)


def test_nothing_to_record_writes_nothing(path: Path) -> None:
    add(path)
    before = path.read_bytes()
    assert append(path, lambda log: None, who="anna") is None
    assert path.read_bytes() == before


def test_half_a_line_is_passed_over_told_and_mended(path: Path) -> None:
    add(path, 1001)
    whole = path.read_bytes()
    add(path, 1002)
    half = path.read_bytes()[: len(whole) + 60]
    path.write_bytes(half)
    log = read_log(path)
    assert len(log.records) == 1 and "line 2 is half a line" in log.notices[0]
    add(path, 1003, "ben")
    assert path.read_bytes().startswith(half)  # nothing is ever cut away
    log = read_log(path)
    assert [r.kind for r in log.records] == ["edit", "repair", "edit"]
    assert list(log.records[2].shapes["mouth"]) == ["1003"]
    assert "line 2 is half a line" in log.notices[0]
    add(path, 1004)
    assert len(read_log(path).records) == 4


def test_a_line_that_only_lacks_its_end_counts(path: Path) -> None:
    add(path, 1001)
    path.write_bytes(path.read_bytes()[:-1])
    assert len(read_log(path).records) == 1
    add(path, 1002)
    log = read_log(path)
    assert [r.kind for r in log.records] == ["edit", "edit"] and log.notices == ()


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_damaged_line_is_an_error(path: Path, line: int) -> None:
    for frame in (1001, 1002, 1003):
        add(path, frame)
    lines = path.read_bytes().split(b"\n")
    lines[line] = lines[line][:-20]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(CorrectionError, match=f"line {line + 1}.*\n?.*restore it from a backup"):
        read_log(path)
    before = path.read_bytes()
    with pytest.raises(CorrectionError):
        add(path)
    assert path.read_bytes() == before


def test_a_number_changed_by_hand_shows(path: Path) -> None:
    add(path, 1001)
    add(path, 1002)
    path.write_bytes(path.read_bytes().replace(b"1.0,2.0", b"1.0,9.0", 1))
    with pytest.raises(CorrectionError, match="line 2: the line before it .* was altered"):
        read_log(path)


def test_a_removed_line_shows(path: Path) -> None:
    for frame in (1001, 1002, 1003):
        add(path, frame)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], *lines[2:]]))
    with pytest.raises(CorrectionError, match="line 2: wanted record 2, got 3"):
        read_log(path)


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(path)
    before = path.read_bytes()
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:-30])

    monkeypatch.setattr(logs.os, "write", full)
    with pytest.raises(TryAgainError, match="disk is full"):
        add(path)
    assert path.read_bytes() == before


_WRITER = """
import sys
from pathlib import Path
from tests.correction.test_log import add
path, start = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
for frame in range(start, start + int(sys.argv[3])):
    add(path, frame)
"""


def writer(path: Path, start: int, count: int) -> subprocess.Popen[str]:
    top = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(start), str(count)],
        cwd=top, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(top)},
    )  # fmt: skip


def test_two_processes_write_at_once_and_nothing_is_lost(path: Path) -> None:
    both = [writer(path, 1000, 20), writer(path, 2000, 20)]
    assert [process.wait(120) for process in both] == [0, 0]
    for process in both:
        assert process.stdout is not None
        process.stdout.close()
    log = read_log(path)
    frames = sorted(int(f) for r in log.records for f in r.shapes["mouth"])
    assert frames == [*range(1000, 1020), *range(2000, 2020)]
    assert log.notices == ()


def test_a_writer_killed_at_any_moment_loses_nothing_that_was_acknowledged(path: Path) -> None:
    process = writer(path, 1000, 100_000)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while not path.is_file() or path.stat().st_size < 2000:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    frames = [int(f) for r in read_log(path).records for f in r.shapes["mouth"]]
    assert frames == list(range(1000, 1000 + len(frames))) and len(frames) >= 5
    add(path, 5)
    assert list(read_log(path).records[-1].shapes["mouth"]) == ["5"]
