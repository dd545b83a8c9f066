"""Truth from artists' files has no tracking points: training and drawing do without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.character.template import template_from, write_template
from laikaroto.model.package import current_version
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto, write_roto
from laikaroto.training.run import load_dataset, read_index
from laikaroto.worker import character as steps
from laikaroto.worker import packaging
from tests.training.synthetic import CHARACTER, template, write_show


def forget_tracks(show: Show, *shots: str) -> None:
    for shot in shots:
        path = show.truth_file(CHARACTER, shot)
        roto = dataclasses.replace(read_roto(path), tracks={})
        path.unlink()
        write_roto(path, roto)


def run_steps(show: Show, run: Path, *names: str) -> None:
    for name in names:
        more: dict[str, Any] = {"budget_s": 0.5, "init_from": None} if name == "train" else {}
        module = packaging if name in ("package", "promote") else steps
        getattr(module, name)(show, character=CHARACTER, run=run, report=lambda *_: None, **more)


def test_a_character_without_tracking_points_is_trained_and_drawn(
    tmp_path: Path, laikaroto: Callable[..., Any]
) -> None:
    show = write_show(tmp_path)
    forget_tracks(show, "a1", "a2")
    bare = template_from(read_roto(show.truth_file(CHARACTER, "a1")))
    assert bare.tracks == ()
    show.template_file(CHARACTER).unlink()
    write_template(show.template_file(CHARACTER), bare)
    run_steps(show, show.work_folder("train"), "prepare", "train", "evaluate", "package", "promote")
    assert current_version(show.models_folder(CHARACTER)) == "v001"
    ran = laikaroto("infer", "a1", "--configs", show.configs.folder)
    assert ran.code == 0, ran.err
    (found,) = (tmp_path / "show").rglob("roto/a1/**/roto.json")
    drawn = read_roto(found)
    assert drawn.tracks == {} and set(drawn.shapes) == {"mast", "sail"}


def test_only_frames_that_know_every_point_tell_poses_where_some_shots_have_no_tracks(
    tmp_path: Path,
) -> None:
    show = write_show(tmp_path)
    forget_tracks(show, "a2")
    run = show.work_folder("train")
    run_steps(show, run, "prepare", "train")
    dataset = load_dataset(run, read_index(run), template())
    assert {example.shot for example in dataset.examples} == {"a1", "a2"}
    known = {example.shot: example.known.tolist() for example in dataset.examples}
    assert known["a1"] == [True] * 9
    assert known["a2"] == [False] * 2 + [True] * 7
    assert len(dataset.poses()) == sum(e.shot == "a1" for e in dataset.examples) > 0


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
