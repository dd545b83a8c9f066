"""What every step has around it, with steps of our own in place of the real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from laikaroto.errors import PlateError
from laikaroto.show import Show
from laikaroto.training.meeting import Meeting


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import sys

    import laikaroto.worker

    made = ModuleType("steps")
    for name in ("shot", "character", "packaging"):
        monkeypatch.setitem(sys.modules, f"laikaroto.worker.{name}", made)
        monkeypatch.setattr(laikaroto.worker, name, made, raising=False)
    return made


def test_options_reach_the_step(
    laikaroto: Callable[..., Any], sample_configs: Path, tmp_path: Path, steps: Any
) -> None:
    said: dict[str, Any] = {}

    def step(show: Show, **values: Any) -> str:
        values.pop("report")(0.5, "half way")
        said.clear()
        said.update(values, show=show.configs.show.name)
        return "v007"

    for name in ("check", "predict", "mattes", "publish", "train", "package"):
        setattr(steps, name, step)
    common = ("--configs", sample_configs, "--run", tmp_path / "run", "--character", "hero")
    shot = (*common, "--shot", "ta01")
    ran = laikaroto("worker", "predict", *shot, "--frames", "1001-1009:4,1010")
    assert ran.code == 0, ran.err
    assert said["frames"] == (1001, 1005, 1009, 1010) and said["show"] == "sample"
    assert ran.out.splitlines() == ["openjd_status: half way", "openjd_progress: 50"]
    assert (tmp_path / "run" / "results" / "predict" / "1001-1010.1.json").is_file()
    laikaroto("worker", "matte", *shot, "--frames", "1001")
    assert said["frames"] == (1001,)
    laikaroto("worker", "check", *shot, "--frames", "", "--model", "")
    assert said["frames"] is None and said["model"] == "current"
    assert "published v007" in laikaroto("worker", "publish", *shot).out
    laikaroto("worker", "train", *common, "--budget", "", "--init-from", "")
    assert said["budget_s"] is None and said["init_from"] is None
    assert said["meeting"] == Meeting()
    laikaroto("worker", "train", *common, "--nodes", "2", "--rank", "1", "--processes", "3",
              "--rendezvous", "node01:29500")  # fmt: skip
    assert said["meeting"] == Meeting(nodes=2, node=1, processes=3, place=("node01", 29500))
    assert (tmp_path / "run" / "results" / "train" / "node-1.1.json").is_file()
    ran = laikaroto("worker", "train", *common, "--nodes", "2")
    assert said["meeting"] == Meeting(processes=2)
    assert "2 nodes are processes of this one" in ran.out
    laikaroto("worker", "train", *common, "--budget", "1m30s", "--init-from", "v002")
    assert said["budget_s"] == 90 and said["init_from"] == "v002"
    assert "packaged v007" in laikaroto("worker", "package", *common).out


_TRACING = """
import os, signal, sys
from laikaroto.cli.app import main
from laikaroto.errors import TryAgainError
from laikaroto.worker import packaging

def package(show, **values):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except TryAgainError as error:
        raise RuntimeError("tracing failed sanity checks") from error

packaging.package = package
main(sys.argv[1:])
"""


def test_stop_that_a_library_takes_for_its_own_failure(
    sample_configs: Path, tmp_path: Path
) -> None:
    call = ("worker", "package", "--run", tmp_path, "--character", "hero")
    ran = subprocess.run(
        [sys.executable, "-c", _TRACING, *call, "--configs", sample_configs],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 75 and "told to stop; goes on from here" in ran.stdout
    record = json.loads((tmp_path / "results" / "package" / "all.1.json").read_text())
    assert record["exit_code"] == 75


def test_failure_is_told_in_all_ways(
    laikaroto: Callable[..., Any], sample_configs: Path, tmp_path: Path, steps: Any
) -> None:
    def solve(show: Show, **values: Any) -> None:
        raise PlateError("shot ta01: frame 1003\nis torn")

    steps.solve = solve
    call = ("worker", "solve", "--run", tmp_path, "--character", "hero", "--shot", "ta01")
    ran = laikaroto(*call, "--configs", sample_configs)
    assert ran.code == 1 and "error: shot ta01: frame 1003" in ran.err
    assert ran.out == "openjd_fail: shot ta01: frame 1003 is torn\n"
    record = json.loads((tmp_path / "results" / "solve" / "all.1.json").read_text())
    assert record["exit_code"] == 1
    assert laikaroto(*call, "--configs", tmp_path / "none").code == 78
    assert laikaroto("worker", "solve").code == 2


def test_a_fault_of_ours_keeps_its_traceback(
    laikaroto: Callable[..., Any], sample_configs: Path, tmp_path: Path, steps: Any
) -> None:
    steps.review = lambda show, **values: [][0]
    with pytest.raises(IndexError):
        laikaroto(
            "worker", "review", "--run", tmp_path, "--character", "hero", "--shot", "ta01",
            "--configs", sample_configs,
        )  # fmt: skip
    record = json.loads((tmp_path / "results" / "review" / "all.1.json").read_text())
    assert record["exit_code"] == 1 and record["message"].startswith("IndexError")
