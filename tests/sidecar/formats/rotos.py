"""A small roto that no symmetry can hide a mistake in: open and closed, hidden frames, gaps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.records import PlateInfo, Roto, Shape, ShapeFrame, TrackFrame

PLATE = PlateInfo(width=1280, height=720, first=1001, last=1012, fps=24.0)


def wobble(count: int, *, seed: int, frames: range) -> dict[int, FloatArray]:
    """Control points with unlike tangents, moving unlike each other."""
    random = np.random.default_rng(seed)
    start = random.uniform([300, 100, -40, -40, -40, -40], [900, 600, 40, 40, 40, 40], (count, 6))
    speed = random.uniform(-3, 3, (count, 6))
    return {frame: start + speed * (frame - frames[0]) for frame in frames}


def shape(
    frames: Mapping[int, FloatArray], *, closed: bool, hidden: frozenset[int] = frozenset()
) -> Shape:
    made = {
        frame: ShapeFrame(
            points=points,
            point_visible=np.full(len(points), True),
            visible=frame not in hidden,
        )
        for frame, points in frames.items()
    }
    return Shape(closed=closed, frames=made)


def roto() -> Roto:
    whole = range(PLATE.first, PLATE.last + 1)
    nose = {
        frame: TrackFrame(xy=(400.25 + frame - 1001, 300.5), visible=frame != 1004)
        for frame in whole
        if frame not in (1007, 1008)
    }
    return Roto(
        shot="ev010",
        character="hero",
        version="v001",
        plate=PLATE,
        tracks={"nose_tip": nose, "chin": {1003: TrackFrame(xy=(1.0, 719.5))}},
        shapes={
            "mouth": shape(wobble(5, seed=1, frames=whole), closed=True),
            "seam_L": shape(
                wobble(3, seed=2, frames=whole), closed=False, hidden=frozenset((1004, 1005, 1012))
            ),
            "brow.L-2": shape(wobble(4, seed=3, frames=range(1003, 1010)), closed=True),
        },
        frames={},
    )


def every_frame(of: Roto) -> dict[str, tuple[int, ...]]:
    return {name: tuple(sorted(shape.frames)) for name, shape in of.shapes.items()}


def farthest(written: Roto, read: ArtistFile) -> float:
    """Largest difference of any number of a control point on the frames both have, px."""
    return max(
        float(abs(points - written.shapes[name].frames[frame].points).max())
        for name, shape in read.shapes.items()
        for frame, points in shape.frames.items()
    )
