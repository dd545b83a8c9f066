"""Shot jobs and corrections: a new model keeps them, also those that come in while it works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from laikaroto.correction.holding import hold, parse_scope
from laikaroto.correction.likeness import read_likeness
from laikaroto.correction.log import append
from laikaroto.correction.records import ShapeEntry
from laikaroto.errors import CorrectionError
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.publish import verify_manifest
from laikaroto.sidecar.schema import read_roto
from laikaroto.worker import shot as steps
from laikaroto.worker.corrected import publish_corrections, read_solved

FRAMES = (1001, 1002, 1003)


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def show(tiny_configs: Path) -> Show:
    return Show.open(tiny_configs)


def do(show: Show, run: Path, *names: str) -> str | None:
    version = None
    for name in names:
        options: dict[str, object] = {"shot": "ta01", "character": "hero", "run": run}
        if name == "check":
            options |= {"model": "current"}
        if name in ("check", "predict", "mattes"):
            options |= {"frames": FRAMES if name == "check" else None}
        found = getattr(steps, name)(show, report=quiet, **options)
        version = found if name == "publish" else version
    return version


def folder(show: Show, version: str) -> Path:
    return show.sidecar_folder("ta01", "hero", version)


def fix(show: Show, roto: Roto, frame: int, by: Sequence[float], name: str = "mouth") -> None:
    """Record a moved shape, as ``laikaroto correct`` does."""
    points = roto.shapes[name].frames[frame].points + np.array([*by, 0, 0, 0, 0])
    entry = ShapeEntry(points=np.round(points, 3).tolist(), visible=True)
    append(
        show.corrections_file("ta01", "hero"),
        lambda log: {"kind": "edit", "shapes": {name: {str(frame): entry}}},
        who="anna",
    )


def test_jobs_keep_corrections_and_say_which(show: Show, tmp_path: Path) -> None:
    assert do(show, tmp_path / "a", "check", "predict", "solve", "mattes", "publish") == "v001"
    first = read_roto(folder(show, "v001") / "roto.json")
    assert not (folder(show, "v001") / "solved.json").exists()
    fix(show, first, 1002, (5.0, 3.0))
    log = show.corrections_file("ta01", "hero").read_bytes()
    assert publish_corrections(show, shot="ta01", character="hero", report=quiet) == "v002"
    again = do(show, tmp_path / "b", "check", "predict", "solve", "mattes", "publish")
    assert again == "v003"
    two, three = (folder(show, version) for version in ("v002", "v003"))
    verify_manifest(three)
    roto = read_roto(three / "roto.json")
    assert roto.provenance["corrections"] == [1]
    points = roto.shapes["mouth"].frames[1002].points
    assert np.allclose(points - first.shapes["mouth"].frames[1002].points, [5, 3, 0, 0, 0, 0])
    # the same model and records: the job and the command make the same shapes and mattes
    one, other = ((f / "roto.json").read_bytes().split(b'"tracks"')[1] for f in (two, three))
    assert one == other
    # what the model saw goes with every version
    saw = [(folder(show, f"v00{n}") / "likeness.npz").read_bytes() for n in (1, 2, 3)]
    assert saw[0] == saw[1] == saw[2]
    assert "mouth" in read_likeness(two / "likeness.npz").parts
    assert (two / "matte" / "mouth.1002.exr").read_bytes() == (
        three / "matte" / "mouth.1002.exr"
    ).read_bytes()
    assert read_solved(three).shapes["mouth"].frames[1002].source == "predicted"
    assert show.corrections_file("ta01", "hero").read_bytes() == log  # no job wrote to it


def test_a_correction_that_comes_in_while_the_job_runs_is_in_its_version(
    show: Show, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    do(show, run, "check", "predict", "solve", "mattes")
    drawn = read_roto(run / "roto.json")
    fix(show, drawn, 1003, (40.0, 0.0))
    assert do(show, run, "publish") == "v001"
    roto = read_roto(folder(show, "v001") / "roto.json")
    assert roto.shapes["mouth"].frames[1003].source == "artist"
    assert roto.provenance["corrections"] == [1]
    before, after = run / "matte", folder(show, "v001") / "matte"
    for frame in FRAMES:
        same = (before / f"mouth.{frame}.exr").read_bytes() == (
            after / f"mouth.{frame}.exr"
        ).read_bytes()
        moved = roto.shapes["mouth"].frames[frame].source != "predicted"
        assert same != moved and (frame != 1003 or moved)


def test_a_locked_shot_is_never_touched_by_a_job(show: Show, tmp_path: Path) -> None:
    do(show, tmp_path / "a", "check", "predict", "solve", "mattes", "publish")
    roto = read_roto(folder(show, "v001") / "roto.json")
    path = show.corrections_file("ta01", "hero")
    hold(path, "lock", parse_scope("all", roto), roto, who="anna")
    with pytest.raises(CorrectionError, match="locked by anna"):
        do(show, tmp_path / "b", "check")
    with pytest.raises(CorrectionError, match="locked by anna"):
        publish_corrections(show, shot="ta01", character="hero", report=quiet)


def test_nothing_new_makes_no_version(show: Show, tmp_path: Path) -> None:
    do(show, tmp_path / "a", "check", "predict", "solve", "mattes", "publish")
    fix(show, read_roto(folder(show, "v001") / "roto.json"), 1001, (1.0, 0.0))
    assert publish_corrections(show, shot="ta01", character="hero", report=quiet) == "v002"
    assert publish_corrections(show, shot="ta01", character="hero", report=quiet) is None
