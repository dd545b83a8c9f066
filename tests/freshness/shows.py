"""A small show with published shots, made by the real steps with an untrained model."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from laikaroto.bundled import bundled
from laikaroto.character.template import write_template
from laikaroto.correction.holding import hold, parse_scope
from laikaroto.correction.log import append
from laikaroto.correction.records import ShapeEntry, by_frame, whole_shape
from laikaroto.model.package import promote
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto
from laikaroto.worker import shot as steps
from tests.model.tiny import sample_template

SHOTS = ("ta01", "tr01")
FRAMES = (1001, 1002, 1003)
CHARACTER = "hero"


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


def publish_show(folder: Path, models: Path) -> Path:
    """Make the show in a new folder: configs, plates, truth, models, two published shots."""
    shutil.copytree(bundled("configs"), folder / "configs")
    root = folder / "sample"
    for shot in SHOTS:
        for frame in FRAMES:
            name = Path("plates") / shot / f"{shot}.{frame}.exr"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundled("sample") / name, root / name)
    truth = root / "training_set" / CHARACTER
    truth.mkdir(parents=True)
    source = bundled("sample") / "truth" / CHARACTER
    shutil.copyfile(source / "tr01.roto.json", truth / "tr01.roto.json")
    shutil.copytree(models, root / "models" / CHARACTER, copy_function=os.link)
    write_template(root / "models" / CHARACTER / "template.json", sample_template(source))
    show = Show.open(folder / "configs")
    for shot in SHOTS:
        publish_shot(show, shot)
    return folder


def publish_shot(
    show: Show, shot: str, *, frames: tuple[int, ...] | None = None, run: Path | None = None
) -> str:
    """Roto a shot as its job would; returns the version."""
    run = run or show.work_folder("test", shot)
    names: dict[str, Any] = {"shot": shot, "character": CHARACTER, "run": run}
    steps.check(show, frames=frames, model="current", report=quiet, **names)
    steps.predict(show, frames=None, report=quiet, **names)
    steps.solve(show, report=quiet, **names)
    steps.mattes(show, frames=None, report=quiet, **names)
    version = steps.publish(show, report=quiet, **names)
    assert version is not None
    shutil.rmtree(run)
    return version


def new_model(show: Show) -> str:
    """Another version of the same model, made current."""
    models = show.models_folder(CHARACTER)
    shutil.copytree(models / "v001", models / "v002")
    promote(models, "v002")
    return "v002"


def draw(show: Show, *frames: int, shot: str = "ta01") -> None:
    """Record that an artist moved the mouth, without publishing it."""
    roto = read_roto(show.sidecar_folder(shot, CHARACTER, "v001") / "roto.json")
    entries: dict[int, ShapeEntry] = {
        frame: whole_shape(
            replace(entry, points=entry.points + [2.0, 0, 0, 0, 0, 0], source="artist")
        )
        for frame, entry in roto.shapes["mouth"].frames.items()
        if frame in frames
    }
    fields = {"kind": "edit", "version": "v001", "shapes": {"mouth": by_frame(entries)}}
    append(show.corrections_file(shot, CHARACTER), lambda log: fields, who="anna")


def say(
    show: Show, kind: Literal["lock", "unlock", "approve"], what: str, *, shot: str = "ta01"
) -> int:
    """Lock, unlock or approve what v001 shows; returns the record's number."""
    roto = read_roto(show.sidecar_folder(shot, CHARACTER, "v001") / "roto.json")
    path = show.corrections_file(shot, CHARACTER)
    return hold(path, kind, parse_scope(what, roto), roto, who="bo").number
