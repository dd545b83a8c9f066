"""The boats of ``tests.training.synthetic`` as a benchmark's footage, and shots made of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy.footage import Footage, Shot, open_footage
from laikaroto.character.template import unpack
from laikaroto.coords import FloatArray
from laikaroto.plate.sequence import PlateSequence
from laikaroto.shapes.records import PlateInfo, Roto
from laikaroto.show import Show
from tests.training.synthetic import CHARACTER, template, write_show

SHOTS = {"a1": 3, "a2": 3, "b1": 2}


def write_footage(folder: Path) -> Footage:
    show = write_show(folder, shots=SHOTS)
    return open_footage(show, character=CHARACTER, training=["a1", "a2"], evaluation=["b1"])


def roto_of(values: FloatArray, visible: np.ndarray | None = None, shot: str = "b1") -> Roto:
    """Control points (F, 9, 6) of frames from 1001 as a roto 1280 wide."""
    frames = range(1001, 1001 + len(values))
    plate = PlateInfo(width=1280, height=720, first=frames[0], last=frames[-1])
    seen = np.ones(values.shape[:2], bool) if visible is None else visible
    return unpack(template(), shot, plate, list(frames), values, seen)


def shot_of(roto: Roto, frames: Sequence[int] | None = None) -> Shot:
    """A shot without plates."""
    from laikaroto.config import PlateConfig

    numbers = tuple(roto.frames if frames is None else frames)
    return Shot(
        name=roto.shot,
        sequence=PlateSequence(roto.shot, "none.{frame}.exr", numbers),
        plates=PlateConfig(template="{shot}.{frame}.exr"),
        truth=roto,
        truth_file=Path("none.roto.json"),
        frames=numbers,
    )


def footage_of(shot: Shot, folder: Path) -> Footage:
    """Footage around a shot without plates; nothing may be read from its show."""
    from benchmarks.accuracy.footage import show_of_data

    for part in ("plates", f"truth/{CHARACTER}"):
        (folder / part).mkdir(parents=True)
    show: Show = show_of_data(folder, CHARACTER)
    return Footage(
        show=show, character=CHARACTER, template=template(), training=(shot,), evaluation=(shot,)
    )
