from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from laikaroto.worker.progress import fail_line, foreground_report, task_report


def test_task_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report = task_report()
    report(0.0, "reading\nplates")
    for i in range(1, 1000):
        report(i / 1000, "reading\nplates")
    report(1.5, "done")
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["openjd_status: reading plates", "openjd_progress: 0"]
    assert out[-2:] == ["openjd_status: done", "openjd_progress: 100"]
    assert len(out) < 20  # what says nothing new is not printed
    assert fail_line("a\n  b") == "openjd_fail: a b"


def test_plain_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with foreground_report("train hero") as report:
        for i in range(101):
            report(i / 100, f"step {i}")
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 11
    assert captured.err.splitlines()[-1] == "train hero: 100% step 100"
    with foreground_report("quiet", quiet=True) as report:
        report(0.5, "x")
    assert capsys.readouterr().err == ""


def test_bar_on_a_terminal() -> None:
    code = (
        "from laikaroto.worker.progress import foreground_report\n"
        "with foreground_report('train hero') as report: report(1.0, 'loss [0.5]')"
    )
    master, terminal = pty.openpty()
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], stderr=terminal, env=environment)
    os.close(terminal)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert "train hero" in said and "100%" in said and "loss [0.5]" in said
