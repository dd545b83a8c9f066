"""A small show with published shots, made by the real steps with an untrained model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from laikaroto.bundled import bundled
from laikaroto.character.template import write_template
from laikaroto.show import Show
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
    names = {"shot": shot, "character": CHARACTER, "run": run}
    steps.check(show, frames=frames, model="current", report=quiet, **names)
    steps.predict(show, frames=None, report=quiet, **names)
    steps.solve(show, report=quiet, **names)
    steps.mattes(show, frames=None, report=quiet, **names)
    version = steps.publish(show, report=quiet, **names)
    assert version is not None
    shutil.rmtree(run)
    return version
