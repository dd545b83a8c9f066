"""A shot that is done again: left as it is where that has no point any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from laikaroto.errors import CorrectionError, UsageError
from laikaroto.model.package import promote
from laikaroto.show import Show
from laikaroto.sidecar.publish import versions
from laikaroto.sidecar.schema import read_roto
from laikaroto.worker import shot as steps
from laikaroto.worker.redo import Redo, needless, parse_redo
from tests.freshness.shows import CHARACTER, draw, new_model, quiet, say


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


def point(show: Show, **redo: bool) -> str | None:
    return needless(show, shot="ta01", character=CHARACTER, redo=Redo(**redo))


def do(show: Show, run: Path, redo: Redo | None) -> str | None:
    names = {"shot": "ta01", "character": CHARACTER, "run": run, "report": quiet}
    steps.check(show, frames=None, model="current", redo=redo, **names)
    steps.predict(show, frames=None, **names)
    steps.solve(show, **names)
    steps.mattes(show, frames=None, **names)
    version = steps.publish(show, **names)
    steps.review(show, **names)
    return version


@pytest.mark.parametrize("word", ["all", "stale", "force-all", "force-stale"])
def test_words_and_back(word: str) -> None:
    redo = parse_redo(word)
    assert redo is not None and redo.word() == word
    assert parse_redo("") is None
    with pytest.raises(UsageError, match="'always': wanted one of all, force-all, force-stale"):
        parse_redo("always")


def test_when_it_has_a_point(show: Show) -> None:
    assert point(show) is None
    assert point(show, stale=True) == "v001 is what would be made now"
    new_model(show)
    assert point(show, stale=True) is None
    say(show, "approve", "all")
    assert "approved by bo" in str(point(show))
    assert "approved by bo" in str(point(show, stale=True))
    assert point(show, force=True) is None and point(show, stale=True, force=True) is None
    nothing = needless(show, shot="tr02", character=CHARACTER, redo=Redo(stale=True))
    assert nothing is None  # was never published: that is a first time


def test_a_training_that_brought_no_better_model_changes_no_shot(
    show: Show, tmp_path: Path
) -> None:
    new_model(show)
    promote(show.models_folder(CHARACTER), "v001")  # as when the new one is refused
    assert do(show, tmp_path / "run", Redo(stale=True)) is None
    parent = show.sidecar_folder("ta01", CHARACTER, "v001").parent
    assert versions(parent) == ["v001"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["needless.json"]
    assert not show.review_folder("ta01", CHARACTER, "v002").exists()


def test_the_same_job_does_it_once_there_is_a_point(show: Show, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert do(show, run, Redo(stale=True)) is None
    new_model(show)
    assert do(show, run, Redo(stale=True)) == "v002"  # as after 'jobs retry'
    made = read_roto(show.sidecar_folder("ta01", CHARACTER, "v002") / "roto.json")
    assert made.provenance["model"]["version"] == "v002"
    assert do(show, tmp_path / "other", Redo(stale=True)) is None  # another job was first


def test_force_does_a_locked_shot_again_and_changes_no_locked_drawing(
    show: Show, tmp_path: Path
) -> None:
    draw(show, 1001)
    say(show, "lock", "all")
    new_model(show)
    assert do(show, tmp_path / "left", Redo()) is None
    with pytest.raises(CorrectionError, match="locked by bo"):
        do(show, tmp_path / "plain", None)
    assert do(show, tmp_path / "forced", Redo(force=True)) == "v002"
    before, after = (
        read_roto(show.sidecar_folder("ta01", CHARACTER, version) / "roto.json")
        for version in ("v001", "v002")
    )
    for name, shape in before.shapes.items():
        for frame, drawn in shape.frames.items():
            assert (after.shapes[name].frames[frame].points == drawn.points).all()


def test_the_farms_command_takes_it(show: Show, tmp_path: Path) -> None:
    places = ["--configs", str(show.configs.folder), "--run", str(tmp_path / "run")]
    what = ["--character", CHARACTER, "--shot", "ta01"]

    def worker(step: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "laikaroto", "worker", step, *places, *what, *more],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    ran = worker("check", "--redo", "stale", "--frames", "1001-1003")
    assert ran.returncode == 0 and "nothing to do: v001 is what would be made now" in ran.stdout
    ran = worker("publish")
    assert ran.returncode == 0 and "nothing to do" in ran.stdout
    assert "openjd_status: published" not in ran.stdout
    ran = worker("check", "--redo", "sometimes")
    assert ran.returncode == 2 and "openjd_fail" in ran.stdout
