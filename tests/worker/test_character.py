"""The tasks of a training job, run as a farm runs them, and all that may befall them."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from laikaroto.character.template import read_template, write_template
from laikaroto.errors import (
    EXIT_TRY_AGAIN,
    ConfigError,
    FarmError,
    ModelError,
    PlateError,
    SidecarError,
    TruthError,
)
from laikaroto.model.decisions import read_decision
from laikaroto.model.package import ModelInfo, current_version, load_package
from laikaroto.model.package import promote as make_current
from laikaroto.show import Show
from laikaroto.sidecar.publish import building, publish, verify_manifest, versions
from laikaroto.stopping import Stop, ToldToStopError
from laikaroto.training import loop
from laikaroto.worker import character as steps
from laikaroto.worker import packaging
from laikaroto.worker.lease import NEXT_ATTEMPT
from tests.farm.tiny import free_ports
from tests.training.synthetic import CHARACTER, template, write_show

STOPPING = Path(__file__).with_name("stopping.py")


class Said:
    """A report that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []

    def __call__(self, fraction: float, text: str) -> None:
        self.lines.append((fraction, text))

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.lines)


def do(show: Show, run: Path, *names: str, **options: Any) -> str:
    """Run steps in this process; returns what they reported."""
    said = Said()
    for name in names:
        more = {"budget_s": 0.5, "init_from": None} | options if name == "train" else {}
        module = packaging if name in ("package", "promote") else steps
        getattr(module, name)(show, character=CHARACTER, run=run, report=said, **more)
    return said.text


def start(show: Show, run: Path, step: str, *options: str, stop: str = "", limit: int | None = None,
          ) -> subprocess.Popen[str]:  # fmt: skip
    """``laikaroto worker STEP`` in a process of its own.

    Args:
        stop: where it stops itself, see stopping.py.
        limit: no file of its may become larger, bytes.
    """
    program = [str(STOPPING), stop] if stop else ["-m", "laikaroto"]
    places = ["--configs", str(show.configs.folder), "--run", str(run), "--character", CHARACTER]

    def limit_files() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, *program, "worker", step, *places, *options], text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(STOPPING.parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit_files,
    )  # fmt: skip


def kill_when_stopped(child: subprocess.Popen[str]) -> None:
    """Wait until the process has stopped itself, then kill -9 it."""
    try:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            out, err = child.communicate()
            raise AssertionError(f"ended instead of stopping:\n{out}\n{err}")
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    finally:
        child.kill()


def tell_to_stop(child: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait until the process has stopped itself, then SIGTERM it and let it go on."""
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)
    out, err = child.communicate(timeout=300)
    assert os.WIFSTOPPED(status), f"ended instead of stopping:\n{out}\n{err}"
    return out, err


def litter(*folders: Path) -> list[str]:
    return sorted(str(p) for folder in folders for p in folder.rglob(".*"))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture
def show(tmp_path: Path) -> Show:
    return write_show(tmp_path)


@pytest.fixture
def run(show: Show) -> Path:
    return show.work_folder("train")


def truth(show: Show, shot: str = "a1") -> Path:
    return show.truth_file(CHARACTER, shot)


def edit_truth(show: Show, change: Callable[[dict[str, Any]], None], shot: str = "a1") -> None:
    path = truth(show, shot)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def configure(show: Show, **training: Any) -> Show:
    path = show.configs.folder / "characters" / f"{CHARACTER}.yaml"
    data = yaml.safe_load(path.read_text())
    data["training"] |= training
    path.write_text(yaml.safe_dump(data))
    return Show.open(show.configs.folder)


# ---- prepare: what is wrong is said before any time is spent ----------------------------------


def test_prepare_says_what_it_did_and_leaves_the_plates_alone(show: Show, run: Path) -> None:
    plates = Path(show.plate_template("a1")).parent
    before = {p: p.read_bytes() for p in plates.iterdir()}
    text = do(show, run, "prepare")
    assert text.splitlines() == [f"prepared {s} frame {f}" for s in ("a1", "a2")
                                 for f in (1001, 1002, 1003)]  # fmt: skip
    assert {p: p.read_bytes() for p in plates.iterdir()} == before
    files = {p.name for p in (run / "dataset").iterdir()}
    assert files == {f"{s}.{f}.npz" for s in ("a1", "a2") for f in (1001, 1002, 1003)}
    assert json.loads((run / "dataset.json").read_text())["crop_px"] == 128


def test_what_a_killed_prepare_left_is_removed(show: Show, run: Path) -> None:
    kill_when_stopped(start(show, run, "prepare", stop="replace:a2.1001.npz"))
    assert len(litter(run / "dataset")) == 1 and not (run / "dataset.json").exists()
    with pytest.raises(TruthError, match="not prepared; run the prepare step"):
        do(show, run, "train")
    do(show, run, "prepare")
    assert litter(run) == [] and (run / "dataset.json").is_file()


def refused(show: Show, run: Path, kind: type[Exception], *texts: str) -> None:
    with pytest.raises(kind) as caught:
        do(show, run, "prepare")
    for text in texts:
        assert text in str(caught.value)
    assert not run.exists()


def test_no_truth_at_all(show: Show, run: Path) -> None:
    for shot in ("a1", "a2"):
        truth(show, shot).unlink()
    refused(show, run, TruthError, "no ground truth to learn from", "laikaroto truth import boat")


def test_truth_of_a_named_shot_is_missing(show: Show, run: Path) -> None:
    path = show.configs.folder / "characters" / f"{CHARACTER}.yaml"
    path.write_text(path.read_text() + "training_shots: [a1, a7]\n")
    refused(Show.open(show.configs.folder), run, TruthError, "shot a7", "training_shots")


def test_no_template(show: Show, run: Path) -> None:
    show.template_file(CHARACTER).unlink()
    refused(show, run, TruthError, "no template yet", "truth import")


def test_missing_and_damaged_plates_are_named(show: Show, run: Path) -> None:
    folder = Path(show.plate_template("a1")).parent
    (folder / "a1.1002.exr").unlink()
    (folder / "a1.1003.exr").write_text("no picture")
    refused(show, run, PlateError, "shot a1", "frame 1002: missing", "frame 1003", "a1.1003.exr")


def test_a_cut_plate_is_found_before_anything_is_prepared(show: Show, run: Path) -> None:
    path = Path(show.plate_template("a2").format(frame=1003))
    path.write_bytes(path.read_bytes()[:-200])
    refused(show, run, PlateError, "shot a2", "frame 1003", "cut off")


def test_all_faults_of_all_truth_are_listed(show: Show, run: Path) -> None:
    def fewer_points(data: dict[str, Any]) -> None:
        for frame in data["shapes"]["sail"]["frames"].values():
            frame["points"].pop()
            frame["point_visible"].pop()

    def wild(data: dict[str, Any]) -> None:
        data["shapes"]["mast"]["frames"]["1002"]["points"][1][2] = 9000.0

    edit_truth(show, fewer_points, "a1")
    edit_truth(show, wild, "a2")
    refused(show, run, TruthError, "shot a1 'sail'", "wanted 3 points, got 2",
            "shot a2 'mast' frames 1002", "tangent")  # fmt: skip


def test_nan_in_truth(show: Show, run: Path) -> None:
    truth(show).write_text(truth(show).read_text().replace('"xy":[', '"xy":[NaN,', 1))
    refused(show, run, SidecarError, "a1.roto.json", "tracks.")


def test_flipped_truth(show: Show, run: Path) -> None:
    def reverse(data: dict[str, Any]) -> None:
        for frame in data["shapes"]["sail"]["frames"].values():
            points = [[x, y, c, d, a, b] for x, y, a, b, c, d in frame["points"][::-1]]
            frame["points"] = points

    more = write_show(run.parents[2] / "more", shots={"a1": 3, "a2": 3, "a3": 3})
    edit_truth(more, reverse, "a2")
    refused(more, run, TruthError, "shot a2 'sail' frames 1001-1003", "runs round the other way",
            "against 6 of 9 frames")  # fmt: skip


@pytest.mark.parametrize(
    ("held_out", "text"), [(["a9"], "['a9'] are not training shots"), (["a1", "a2"], "every")]
)
def test_held_out_shots_that_cannot_be(
    show: Show, run: Path, held_out: list[str], text: str
) -> None:
    changed = configure(show, validation_shots=held_out)
    refused(changed, run, ConfigError, "boat.yaml: training.validation_shots", text)


# ---- train -----------------------------------------------------------------------------------


def checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoint.pt", weights_only=True)


def test_a_killed_training_goes_on(show: Show, run: Path) -> None:
    do(show, run, "prepare")
    # stopped half way, about to rename what it measured, then killed
    kill_when_stopped(start(show, run, "train", "--budget", "5s", stop="replace:held_out.pt"))
    assert any(".held_out.pt." in name for name in litter(run))
    before = checkpoint(run)
    assert before["seconds"] > 0 and before["step"] >= 1
    child = start(show, run, "train", "--budget", "2h")  # the first attempt's budget stays
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    resumed = f"going on from the checkpoint at step {before['step']}, {before['seconds']:.0f} s of"
    assert resumed in out and "of 5 s used" in out and "held out: a" in out
    after = checkpoint(run)
    assert after["step"] >= before["step"] + (before["seconds"] < 2.0)
    # the budget is what both attempts used together
    assert after["seconds"] >= 5.0
    assert after["history"][: len(before["history"])] == before["history"]
    times = [row["seconds"] for row in after["history"]]
    counts = [row["step"] for row in after["history"]]
    assert times == sorted(times) and counts == sorted(set(counts))
    late = [s for s in times if s >= 5.0]
    assert len(late) <= 1  # at most the step that was under way
    assert litter(run) == []


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_training_told_to_stop_keeps_what_it_learned(
    show: Show, run: Path, processes: str
) -> None:
    do(show, run, "prepare")
    options = ("--budget", "5s", "--processes", processes)
    out, err = tell_to_stop(start(show, run, "train", *options, stop="report:loss"))
    before = checkpoint(run)
    said = f"told to stop; a checkpoint at step {before['step']}, with "
    assert said in err and f"openjd_fail: {said}" in out
    record = json.loads((run / "results" / "train" / "all.1.json").read_text())
    assert record["exit_code"] == EXIT_TRY_AGAIN and said in record["message"]
    assert before["step"] == before["history"][-1]["step"] >= 1  # the very step it was at
    child = start(show, run, "train", *options)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert f"going on from the checkpoint at step {before['step']}, " in out
    after = checkpoint(run)
    # on a loaded machine the first step may have taken all of the first phase
    assert after["step"] >= before["step"] + (before["seconds"] < 2.0)
    assert after["seconds"] >= 5.0
    assert after["history"][: len(before["history"])] == before["history"]
    assert litter(run) == []


@pytest.mark.parametrize("rows", [0, 1])
def test_told_to_stop_while_it_measures_a_training_does_not_wait_for_that(
    show: Show, run: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """In the middle of the first phase (a row of the history), and at its end."""
    seconds = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    do(show, run, "prepare")
    stop, measure = Stop(), loop.Course.measure
    monkeypatch.setattr(loop, "measure_every", lambda *_: 3.0 if rows else 1e9)
    monkeypatch.setattr(loop.Course, "measure", lambda *_: stop.ask())
    with pytest.raises(ToldToStopError, match=r"a checkpoint at step \d+, with \d+ s of 40 s used"):
        do(show, run, "train", budget_s=40.0, stop=stop)
    before = checkpoint(run)
    assert before["measured_at_s"] is None and before["step"] >= 2
    monkeypatch.setattr(loop.Course, "measure", measure)
    text = do(show, run, "train", budget_s=40.0)
    assert f"going on from the checkpoint at step {before['step']}, " in text
    assert checkpoint(run)["measured_at_s"] is not None


def test_a_late_copy_of_a_training_leaves_the_checkpoint_of_the_next_one(
    show: Show, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    do(show, run, "prepare")
    claim, stop, real = tmp_path / "00000.2.claim.json", Stop(), loop.train_step
    monkeypatch.setenv(NEXT_ATTEMPT, str(claim))

    def step(state: Any, *arguments: Any, **options: Any) -> float:
        if state.step == 2:  # this host is cut off, and told to stop when it is found again
            claim.touch()
            (run / "checkpoint.pt").write_bytes(b"of the next attempt")
            stop.ask()
        return real(state, *arguments, **options)

    monkeypatch.setattr(loop, "train_step", step)
    with pytest.raises(FarmError, match="later attempt at this task has begun"):
        do(show, run, "train", budget_s=40.0, stop=stop)
    assert (run / "checkpoint.pt").read_bytes() == b"of the next attempt"


def test_told_to_stop_before_it_has_learned_anything(show: Show, run: Path) -> None:
    do(show, run, "prepare")
    stop = Stop()
    stop.asked = True
    with pytest.raises(ToldToStopError, match="told to stop; goes on when it is started again"):
        do(show, run, "train", stop=stop)
    assert not (run / "checkpoint.pt").exists()  # a later start may still be a warm one


def test_it_learns_shapes_that_are_no_face(
    show: Show, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()  # a step is a second: their number does not depend on the machine
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    show = configure(show, validation_shots=["a2"])
    do(show, run, "prepare")
    do(show, run, "train", budget_s=18.0)
    history = checkpoint(run)["history"]
    assert history[-1]["loss"] < 0.97 * history[0]["loss"]
    text = do(show, run, "evaluate")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["held_out"] == ["a2"] and metrics["frames"] == 3
    assert set(metrics["shots"]["a2"]["curves"]) == {"mast", "sail"}
    assert f"points {metrics['tracks_mean_px']:.2f} px" in text
    assert f"curves {metrics['curves_mean_px']:.2f} px" in text


def test_two_nodes_train_one_model(show: Show, run: Path) -> None:
    """As a farm starts them: the same command on each, and one of them writes."""
    do(show, run, "prepare")
    place = f"127.0.0.1:{free_ports(1)[0]}"
    nodes = [
        start(show, run, "train", "--budget", "1s", "--nodes", "2", "--rank", str(rank),
              "--rendezvous", place)
        for rank in (1, 0)
    ]  # fmt: skip
    said = [child.communicate(timeout=300) for child in nodes]
    assert [child.returncode for child in nodes] == [0, 0], said
    assert all("2 processes with 1 thread" in out for out, _ in said)
    assert checkpoint(run)["step"] >= 1 and litter(run) == []
    records = sorted(path.name for path in (run / "results" / "train").iterdir())
    assert records == ["all.1.json", "node-1.1.json"]
    text = do(show, run, "evaluate", "package")
    assert "packaged v001" in text


def test_a_full_disk_ends_a_training_with_try_again(show: Show, run: Path) -> None:
    do(show, run, "prepare")
    child = start(show, run, "train", "--budget", "1s", limit=1_000_000)
    out, err = child.communicate(timeout=300)
    assert child.returncode == EXIT_TRY_AGAIN, err
    assert "checkpoint.pt" in err and "file size limit" in err
    assert litter(run) == [] and not (run / "checkpoint.pt").exists()


# ---- package ---------------------------------------------------------------------------------


def test_one_shot_and_no_time_still_make_a_model(tmp_path: Path) -> None:
    """Nothing is held out, next to nothing is learned; the package is whole and says so."""
    show = write_show(tmp_path, shots={"only": 2})
    run, models = show.work_folder("train"), show.models_folder(CHARACTER)
    text = do(show, run, "prepare", "train", "evaluate", budget_s=0.001)
    assert "held out: none: there is only one shot" in text
    assert "nothing was held out, so there is no figure: import a second shot" in text
    measured(show, show.work_folder("other"))  # an earlier model, v001
    # a full disk, then killed while building
    child = start(show, run, "package", limit=1_000_000)
    _, err = child.communicate(timeout=300)
    assert child.returncode == EXIT_TRY_AGAIN and "cannot write" in err, err
    assert versions(models) == ["v001"] and litter(models) == []
    verify_manifest(models / "v001")
    kill_when_stopped(start(show, run, "package", stop="report:exporting"))
    assert versions(models) == ["v001"] and len(list(models.glob(".building.*"))) == 1
    assert "packaged v002" in do(show, run, "package", "promote")
    package = load_package(models / "v002")
    assert package.info.training_set == steps.truth_digest(show, CHARACTER)
    assert package.info.steps == 1 and package.info.validation_shots == ()
    assert package.metrics["curves_mean_px"] is None and package.template == template()
    assert (package.folder / "report" / "index.html").is_file()
    assert litter(models, run) == [] and current_version(models) == "v002"
    # run again after it ended, and after it was killed before it could say so
    do(show, run, "package")
    (run / "package.json").unlink()
    assert "packaged v002" in do(show, run, "package")
    assert versions(models) == ["v001", "v002"]
    _check_warm_start(show, tmp_path / "warm")
    damaged = package.folder / "drawer.bin"
    data = bytearray(damaged.read_bytes())
    data[1000] ^= 255
    damaged.write_bytes(data)
    with pytest.raises(ModelError, match=r"drawer\.bin: checksum differs"):
        load_package(package.folder)
    with pytest.raises(ModelError, match="damaged"):
        do(show, run, "promote")


def _check_warm_start(show: Show, run: Path) -> None:
    with np.load(show.models_folder(CHARACTER) / "v002" / "weights.npz") as data:
        count = len(data.files)
    text = do(show, run, "prepare", "train", budget_s=0.001, init_from="current")
    assert f"starting from v002 ({count} of {count} weights fit)" in text
    noted = json.loads((run / "init_from.json").read_text())
    assert noted == {"version": "v002", "learned": ["only"]}


def test_an_unknown_model_to_start_from(show: Show, run: Path) -> None:
    do(show, run, "prepare")
    for wanted, text in (("v007", "boat: no model 'v007'"), ("ship:v001", "ship: no model")):
        with pytest.raises(ModelError, match=text):
            do(show, run, "train", init_from=wanted)
    assert not (run / "checkpoint.pt").exists() and not (run / "settings.json").exists()


def test_a_warm_start_does_not_know_what_it_is_measured_on(
    show: Show, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights from before the held-out shot was learned are the ones that are used."""
    seconds = itertools.count()  # two steps, then two with the held-out shot
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    text = do(show, run, "prepare", "train", "evaluate", "package", "promote", budget_s=5.0)
    first = load_package(show.models_folder(CHARACTER) / "v001")
    (held,) = first.info.validation_shots
    assert f"held out: {held}" in text and first.info.inherited_shots == ()
    again = show.work_folder("again")
    text = do(show, again, "prepare", "train", "evaluate", "package", budget_s=0.001,
              init_from="current")  # fmt: skip
    assert "starting from v001 (" in text
    with np.load(first.folder / "unseen.npz") as unseen, np.load(first.folder / "weights.npz") as w:
        assert any(not np.array_equal(unseen[name], w[name]) for name in w.files)
        assert unseen.files == w.files
    second = load_package(show.models_folder(CHARACTER) / "v002")
    other = ({"a1", "a2"} - {held}).pop()
    assert second.info.init_from == "v001" and second.info.inherited_shots == (other,)
    assert second.info.validation_shots == (held,)
    # whoever holds out what those weights know as well is told
    with pytest.raises(ModelError, match=f"has learned {other}, which this training holds out"):
        third = show.work_folder("third")
        do(configure(show, validation_shots=[other]), third, "prepare", "train", init_from="v001")
    # the points of another character count for nothing there
    shutil.copytree(show.models_folder(CHARACTER), show.models_folder("ship"))
    path = show.configs.folder / "characters" / "ship.yaml"
    path.write_text(yaml.safe_dump({"name": "ship"}))
    fourth = show.work_folder("fourth")
    text = do(show, fourth, "prepare", "train", budget_s=0.001, init_from="ship:v001")
    assert "weights fit)" in text


def test_unknown_augmentations_are_refused_before_anything_is_prepared(
    show: Show, run: Path
) -> None:
    changed = configure(show, augmentations={"snow": 0.5}, losses={"beauty": 1.0})
    refused(changed, run, ConfigError, "training.augmentations.snow", "training.losses.beauty")


def test_renders_are_prepared_and_learned_from(
    show: Show, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = show.root / "cg"
    folder.mkdir()
    (folder / "r1.json").write_text(json.dumps({"points": {"bow": [20, 60], "stern": [80, 60]}}))
    plain = steps.truth_digest(show, CHARACTER)
    changed = configure(show, renders={"folders": ["{root}/cg"], "share": 0.9})
    refused(changed, run, TruthError, "r1.json: wanted r1.exr or r1.png", "2 points are seen")
    assert steps.truth_digest(changed, CHARACTER) != plain
    monkeypatch.setattr("laikaroto.training.renders.LEAST_POINTS", 2)  # the boat has two
    picture = np.zeros((100, 120, 4), np.uint8)
    picture[20:70, 15:90] = (40, 90, 200, 255)
    cv2.imwrite(str(folder / "r1.png"), picture)
    text = do(changed, run, "prepare", "train", "evaluate", "package", budget_s=0.001)
    assert "prepared 1 renders" in text
    assert [path.name for path in (run / "renders").iterdir()] == ["cg.000000.npz"]
    page = show.models_folder(CHARACTER) / "v001" / "report" / "index.html"
    assert "1, on 90% of the pictures" in page.read_text()
    index = json.loads((run / "dataset.json").read_text())
    assert index["renders"] == ["cg.000000"] and set(index["frames"]) == {"a1", "a2"}


# ---- promote ---------------------------------------------------------------------------------


def measured(show: Show, run: Path, **metrics: Any) -> str:
    """A package with these figures, as if this run had made it; its networks are only named."""
    models = show.models_folder(CHARACTER)
    info = ModelInfo(
        character=CHARACTER, created="2026-01-01T00:00:00+00:00", laikaroto="0", seed=1, steps=1,
        seconds=1.0, crop_px=128, finder_size=(128, 96),
        training_shots=("a1", "a2"), validation_shots=("a1",),
    )  # fmt: skip
    figures = {"held_out": ["a1"], "frames": 3, "curves_mean_px": 1.0, "tracks_mean_px": 1.0,
               "shots": {}} | metrics  # fmt: skip
    with building(models) as folder:
        (folder / "model.json").write_text(info.model_dump_json())
        write_template(folder / "template.json", read_template(show.template_file(CHARACTER)))
        (folder / "metrics.json").write_text(json.dumps(figures))
        version = publish(folder, models)
    run.mkdir(parents=True, exist_ok=True)
    (run / "package.json").write_text(json.dumps({"version": version}))
    return version


def test_the_first_model_becomes_current(show: Show, run: Path) -> None:
    measured(show, run)
    assert "v001 is current" in do(show, run, "promote")
    assert current_version(show.models_folder(CHARACTER)) == "v001"


@pytest.mark.parametrize(
    ("metrics", "current"),
    [
        ({"curves_mean_px": 0.9}, "v002"),
        ({"curves_mean_px": 1.0}, "v002"),  # no worse
        ({"curves_mean_px": 1.1}, "v001"),
        ({"curves_mean_px": 1.1, "frames": 4}, "v002"),  # other frames cannot be compared
        ({"curves_mean_px": 1.1, "held_out": ["a2"]}, "v002"),
        ({"curves_mean_px": 1.1, "shots": {"a1": {"frames": {"1009": {}}}}}, "v002"),
        ({"curves_mean_px": 0.9, "tracks_mean_px": 9.0}, "v002"),
        ({"curves_mean_px": None, "tracks_mean_px": None}, "v002"),
    ],
)
def test_a_model_becomes_current_if_it_is_no_worse_on_the_same_frames(
    show: Show, run: Path, metrics: dict[str, Any], current: str
) -> None:
    measured(show, run)
    do(show, run, "promote")
    assert measured(show, run, **metrics) == "v002"
    text = do(show, run, "promote")
    assert current_version(show.models_folder(CHARACTER)) == current
    if current == "v001":
        assert "v001 stays current: v002 is worse than v001 on a1, 3 frames" in text
        assert "curves 1.10 px" in text and "models promote boat v002" in text
    decision = read_decision(show.models_folder(CHARACTER), "v002")
    assert decision is not None and decision.current is (current == "v002")
    assert ("v002 is worse than v001 on a1" in decision.reason) is (current == "v001")
    do(show, run, "promote")  # again: nothing new
    assert current_version(show.models_folder(CHARACTER)) == current


def test_without_curves_tracking_points_decide(show: Show, run: Path) -> None:
    measured(show, run, curves_mean_px=None)
    do(show, run, "promote")
    measured(show, run, curves_mean_px=None, tracks_mean_px=1.5)
    text = do(show, run, "promote")
    assert "v001 stays current" in text and "(points 1.50 px against points 1.00 px)" in text


def test_nothing_to_promote(show: Show, run: Path) -> None:
    with pytest.raises(ModelError, match="no packaged model; run the package step"):
        do(show, run, "promote")
    measured(show, run)
    shutil.rmtree(show.models_folder(CHARACTER) / "v001")
    with pytest.raises(ModelError, match="no such model"):
        do(show, run, "promote")
    with pytest.raises(ModelError):
        make_current(show.models_folder(CHARACTER), "v001")
