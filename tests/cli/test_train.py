"""``laikaroto train``: from ground truth to a current model, and what it refuses first."""

from __future__ import annotations

import json
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


def test_a_training_begun_goes_on_unless_the_truth_has_changed(
    laikaroto, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, report, **options: object) -> str:
        raise TryAgainError("no time for that here")

    def train() -> list[str]:
        ran = laikaroto("train", "boat", "--budget", "0.001s", "--configs", show.configs.folder)
        assert ran.code == 75, ran.err
        return ran.err.splitlines()

    monkeypatch.setattr("laikaroto.worker.character.package", stop)
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
