"""``laikaroto train``: from ground truth to a current model, and what it refuses first."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from laikaroto.errors import TryAgainError
from laikaroto.model.package import load_package
from laikaroto.show import Show
from tests.training.synthetic import write_show


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return write_show(tmp_path, shots={"a1": 2, "a2": 2})


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


def test_a_character_is_learned_and_its_model_becomes_current(laikaroto, show: Show) -> None:
    ran = laikaroto("train", "boat", "--budget", "1s", "--configs", show.configs.folder, "--json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)
    package = load_package(Path(data["folder"]))
    assert data["version"] == data["current"] == package.version == "v001"
    assert data["held_out"] == list(package.info.validation_shots)
    assert len(data["held_out"]) == 1 and data["held_out"][0] in ("a1", "a2")
    assert data["curves_mean_px"] == package.metrics["curves_mean_px"] > 0
    assert data["tracks_mean_px"] > 0
    assert (package.folder / "report" / "index.html").is_file()
    assert ran.err == ""  # --json keeps quiet
    assert data["decision"]["reason"] == "the first model"
    assert (package.folder / "unseen.npz").is_file()


def test_two_processes_make_a_model(laikaroto, show: Show, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    common = ("--configs", show.configs.folder)
    ran = laikaroto("train", "boat", "--budget", "1s", "--processes", "2", *common)
    assert ran.code == 0, ran.err
    assert "2 processes with 1 thread" in ran.err and "model v001 in" in ran.out
    info = load_package(show.models_folder("boat") / "v001").info
    assert info.steps >= 1 and len(info.validation_shots) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["villain"], 2, "unknown character 'villain'; known: boat"),
        (["boat", "--budget", "soon"], 2, "duration 'soon'"),
        (["boat", "--budget", "0s"], 2, "duration '0s'"),
        (["boat", "--init-from", "v003"], 1, "no model 'v003'; there are: none"),
        (["boat", "--init-from", "current"], 1, "no model 'current'"),
        (["boat", "--init-from", "ship:v003"], 1, "ship: no model 'v003'; there are: none"),
        (["boat", "--init-from", "../ship:v003"], 2, "not a usable name"),
        (["boat", "--init-from", "latest"], 2, "version 'latest' is not of the form v001"),
        (["boat", "--processes", "0"], 2, "--processes"),
        (["../boat"], 2, "not a usable name"),
    ],
)
def test_a_wrong_call_is_refused_before_any_work(
    laikaroto, show: Show, arguments: list[str], code: int, text: str
) -> None:
    ran = laikaroto("train", *arguments, "--configs", show.configs.folder)
    assert ran.code == code and text in ran.err
    assert not (show.root / "work").exists()


def test_truth_that_cannot_be_learned_from_is_refused(laikaroto, show: Show) -> None:
    Path(show.plate_template("a1").format(frame=1001)).unlink()
    ran = laikaroto("train", "boat", "--configs", show.configs.folder)
    assert ran.code == 1 and "shot a1" in ran.err and "1001" in ran.err
    assert not (show.root / "work").exists()


TOP = str(Path(__file__).parents[2])


def test_stopped_it_writes_a_checkpoint_and_goes_on_from_there(show: Show) -> None:
    """SIGTERM to the first of two processes, then Ctrl-C, which both hear."""
    steps = []
    for number in (signal.SIGTERM, signal.SIGINT):
        child = subprocess.Popen(
            [sys.executable, "-m", "laikaroto", "train", "boat", "--budget", "10m", "--processes",
             "2", "--configs", str(show.configs.folder)],
            stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": TOP},
        )  # fmt: skip
        assert child.stderr is not None
        try:
            said = ""
            while "  loss " not in said:
                assert (line := child.stderr.readline()), said
                said += line
            (os.kill if number == signal.SIGTERM else os.killpg)(child.pid, number)
            said += child.communicate(timeout=300)[1]
        finally:
            child.kill()
            child.wait()
        assert child.returncode == 75, said
        (written,) = re.findall(r"told to stop; a checkpoint at step (\d+), with", said)
        steps.append(int(written))
    assert f"going on from the checkpoint at step {steps[0]}, " in said
    assert 1 <= steps[0] <= steps[1]


def test_a_training_begun_goes_on_unless_the_truth_has_changed(
    laikaroto, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, report, **options: object) -> str:
        raise TryAgainError("no time for that here")

    def train() -> list[str]:
        ran = laikaroto("train", "boat", "--budget", "0.001s", "--configs", show.configs.folder)
        assert ran.code == 75, ran.err
        return ran.err.splitlines()

    monkeypatch.setattr("laikaroto.worker.packaging.package", stop)
    said = train()
    assert any("starting, 0 s of" in line for line in said)
    said = train()
    assert any("going on from the checkpoint at step 1" in line for line in said)
    assert not any("prepared a1" in line for line in said)
    path = show.truth_file("boat", "a1")
    path.write_text(path.read_text().replace('"visible":true', '"visible":false', 1))
    said = train()
    assert "the ground truth has changed since this training was begun: starting anew" in said
    assert any("starting, 0 s of" in line for line in said)
