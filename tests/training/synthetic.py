"""A show whose puppet is no face: a coloured sail, a mast (open) and two knobs, drawn exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import yaml

from laikaroto.character.template import (
    CharacterTemplate,
    pack,
    template_from,
    unpack,
    write_template,
)
from laikaroto.coords import FloatArray, transform_points
from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.records import PlateInfo, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.show import Show
from laikaroto.sidecar.schema import write_roto

CHARACTER = "boat"
WIDTH, HEIGHT = 192, 128
SHOTS = {"a1": 3, "a2": 3}
TRACKS = {"bow": (-30.0, 22.0), "stern": (30.0, 22.0)}
SAIL = ((-20.0, 10.0), (24.0, 10.0), (-4.0, -30.0))
MAST = ((-4.0, 24.0), (-6.0, 4.0), (-4.0, -16.0), (-4.0, -34.0))


def straight(corners: Sequence[tuple[float, float]], *, closed: bool) -> FloatArray:
    """Control points (N, 6) of a polygon; tangents are a third of the way to the neighbour."""
    xy = np.array(corners)
    back, ahead = (np.roll(xy, 1, 0) - xy) / 3, (np.roll(xy, -1, 0) - xy) / 3
    if not closed:
        back[0] = ahead[-1] = 0
    return np.concatenate([xy, back, ahead], axis=1)


def at_rest(frame: int = 1001) -> Roto:
    """The boat in the middle of the plate, on one frame."""
    plate = PlateInfo(width=WIDTH, height=HEIGHT, first=frame, last=frame)

    def shape(points: FloatArray, *, closed: bool) -> Shape:
        drawn = ShapeFrame(points=points, point_visible=np.ones(len(points), bool))
        return Shape(closed=closed, frames={frame: drawn})

    return Roto(
        shot="rest", character=CHARACTER, version="", plate=plate, frames={},
        tracks={name: {frame: TrackFrame(xy=xy)} for name, xy in TRACKS.items()},
        shapes={
            "mast": shape(straight(MAST, closed=False), closed=False),
            "sail": shape(straight(SAIL, closed=True), closed=True),
        },
    )  # fmt: skip


def template() -> CharacterTemplate:
    """Two tracking points, an open shape of four points, a closed one of three."""
    return template_from(at_rest())


def poses(seed: int, count: int) -> list[FloatArray]:
    """2×3 matrices from the boat at rest to the plate."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        turn, scale = rng.normal(0, 0.15), rng.uniform(0.9, 1.15)
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        x, y = rng.uniform(70, 120), rng.uniform(55, 75)
        found.append(np.array([[cos, -sin, x], [sin, cos, y]]))
    return found


def paint(values: FloatArray, seed: int) -> np.ndarray:
    """Scene-linear plate (H, W, 3) of control points (9, 6) in template order."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), 0.18, np.float32) * np.float32(rng.uniform(0.7, 1.3))
    image += rng.normal(0, 0.01, image.shape).astype(np.float32)

    def cover(points: FloatArray, colour: tuple[float, float, float]) -> None:
        mask = rasterize([points], width=WIDTH, height=HEIGHT)[..., None]
        image[:] = image * (1 - mask) + np.array(colour, np.float32) * mask

    mast = values[2:6, :2]
    across = np.array([2.0, 0.0])
    cover(values[6:9], (0.9, 0.15, 0.05))
    both = [*(mast - across), *(mast + across)[::-1]]
    cover(straight([tuple(p) for p in both], closed=True), (0.05, 0.1, 0.6))
    for x, y in values[:2, :2]:
        knob = [(x - 3, y - 3), (x + 3, y - 3), (x + 3, y + 3), (x - 3, y + 3)]
        cover(straight(knob, closed=True), (0.1, 0.7, 0.1))
    return image


def write_plate(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {c: np.ascontiguousarray(image[..., i]).astype("f2") for i, c in enumerate("RGB")}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def write_show(folder: Path, *, shots: dict[str, int] = SHOTS, budget: str = "5s") -> Show:
    """A show with plates and imported truth for these shots (name -> number of frames)."""
    form = template()
    rest = pack(at_rest(), form, 1001)[0]
    configs = folder / "configs"
    (configs / "characters").mkdir(parents=True)
    plates = {"template": "{root}/plates/{shot}/{shot}.{frame:04d}.exr"}
    show = {"name": "regatta", "root": "../show", "plates": plates}
    (configs / "show.yaml").write_text(yaml.safe_dump(show))
    character = {"name": CHARACTER, "training": {"budget": budget, "crop_px": 128}}
    (configs / "characters" / f"{CHARACTER}.yaml").write_text(yaml.safe_dump(character))
    opened = Show.open(configs)
    for number, (shot, count) in enumerate(shots.items()):
        frames = range(1001, 1001 + count)
        values = np.stack([transform_points(rest, pose) for pose in poses(number, count)])
        for frame, drawn in zip(frames, values, strict=True):
            path = Path(opened.plate_template(shot).format(frame=frame))
            write_plate(path, paint(drawn, 100 * number + frame))
        plate = PlateInfo(width=WIDTH, height=HEIGHT, first=frames[0], last=frames[-1])
        seen = np.ones(values.shape[:2], bool)
        truth = opened.truth_file(CHARACTER, shot)
        truth.parent.mkdir(parents=True, exist_ok=True)
        roto = unpack(form, shot, plate, list(frames), values, seen)
        write_roto(truth, replace(roto, version="v001"))
    write_template(opened.template_file(CHARACTER), form)
    return opened
