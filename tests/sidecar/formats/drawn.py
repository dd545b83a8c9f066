"""A roto to draw in other programs, and the comparison of what they draw with our own matte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray, transform_points
from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.keys import reduced_keys
from laikaroto.shapes.records import PlateInfo, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.sidecar.formats.registry import WriteOptions

WIDTH, HEIGHT = 1280, 720
FIRST, LAST = 1001, 1021
HIDDEN = frozenset({1011, 1012})
# Where the motion bends; programs have to fill in all that lies between.
BENDS = (1001, 1006, 1021)
# Keys are also where it is hidden from and to.
KEYS = (1001, 1006, 1010, 1011, 1012, 1013, 1021)

# Concave, without symmetry, no tangent like another; one point is a corner.
_BLOB = np.array(
    [
        [340.0, 130.0, -70.0, -25.0, 160.0, 20.0],
        [760.0, 110.0, -95.0, -80.0, 45.0, 120.0],
        [690.0, 360.0, 130.0, -60.0, -150.0, -45.0],
        [520.0, 330.0, 35.0, -20.0, -12.0, 150.0],
        [250.0, 560.0, 140.0, 35.0, -160.0, -90.0],
    ]
)
_SEAM = np.array(
    [
        [200.0, 300.0, -20.0, 5.0, 60.0, -10.0],
        [420.0, 260.0, -50.0, 12.0, 90.0, -30.0],
        [700.0, 330.0, -80.0, -60.0, 20.0, 10.0],
    ]
)


def _pose(points: FloatArray, number: int) -> FloatArray:
    """Key ``number`` of a motion that turns, grows and moves off in two directions."""
    turn, grow = 0.22 * number, 1.0 + 0.09 * number
    cos, sin = grow * np.cos(turn), grow * np.sin(turn)
    middle = np.array([500.0, 330.0])
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = middle - linear @ middle + np.array([90.0, -35.0]) * (number == 1) + 30.0 * number
    posed = transform_points(points, np.column_stack([linear, shift]))
    posed[1, 2:4] *= 1.0 - 0.4 * number  # tangents move by themselves too
    return posed


def _frames(points: FloatArray, hidden: frozenset[int]) -> dict[int, ShapeFrame]:
    poses = np.stack([_pose(points, k).ravel() for k in range(len(BENDS))])
    return {
        frame: ShapeFrame(
            points=np.array([np.interp(frame, BENDS, column) for column in poses.T]).reshape(-1, 6),
            point_visible=np.ones(len(points), dtype=np.bool_),
            visible=frame not in hidden,
        )
        for frame in range(FIRST, LAST + 1)
    }


def moving_roto() -> Roto:
    """A closed shape that is hidden for two frames, an open one, and a tracking point."""
    track = {
        frame: TrackFrame(xy=(100.0 + frame - FIRST, 50.25), visible=frame not in HIDDEN)
        for frame in range(FIRST, LAST + 1)
    }
    return Roto(
        shot="ev010",
        character="hero",
        version="v001",
        plate=PlateInfo(width=WIDTH, height=HEIGHT, first=FIRST, last=LAST, fps=24.0),
        tracks={"nose_tip": track},
        shapes={
            "blob": Shape(closed=True, frames=_frames(_BLOB, HIDDEN)),
            "seam": Shape(closed=False, frames=_frames(_SEAM, frozenset())),
        },
        frames={},
    )


def sparse(roto: Roto, name: str = "x") -> WriteOptions:
    """Options with as few keys as there can be."""
    return WriteOptions(keys={n: reduced_keys(s) for n, s in roto.shapes.items()}, name=name)


def matte(roto: Roto, frame: int, shape: str = "blob") -> NDArray[np.float32]:
    """Our own matte of a shape, nothing where it is hidden."""
    entry = roto.shapes[shape].frames[frame]
    drawn = [entry.points] if entry.visible else []
    return rasterize(drawn, width=roto.plate.width, height=roto.plate.height)


def widened_matte(points: FloatArray, by_px: float) -> NDArray[np.float32]:
    """Our matte of a closed shape drawn ``by_px`` further out along its normals."""
    curve = sample(points, closed=True, per_segment=200)
    run = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    normal = np.stack([run[:, 1], -run[:, 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    x, y = curve.T
    clockwise = np.sign((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    moved = curve + clockwise * by_px * normal
    straight = np.concatenate([moved, np.zeros((len(moved), 4))], axis=1)
    return rasterize([straight], width=WIDTH, height=HEIGHT)


def iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """What two mattes have in common, soft edges counted as they are; 1 if both are empty."""
    together = np.maximum(one, other).sum()
    return float(np.minimum(one, other).sum() / together) if together else 1.0
