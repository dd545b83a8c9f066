"""A simple head in space, its shapes drawn by careless artists: known truth for re-vectorising."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laikaroto.character.template import ShapeTemplate
from laikaroto.coords import FloatArray
from laikaroto.shapes.artist import ArtistShape
from tests.shapes.drawn import backwards, subdivide

FORMS = (
    ShapeTemplate(name="brow", closed=True, count=6, corners=(0, 3)),
    ShapeTemplate(name="eye_L", closed=True, count=4, corners=(0, 2)),
    ShapeTemplate(name="eye_R", closed=True, count=4, corners=(0, 2)),
    ShapeTemplate(name="mouth", closed=True, count=6, corners=(0, 3)),
    ShapeTemplate(name="seam", closed=False, count=4),
)


@dataclass(frozen=True)
class Pose:
    """One frame: turn of the head and roll (degrees), place (px), and expression 0-1."""

    yaw: float = 0.0
    roll: float = 0.0
    at: tuple[float, float] = (320.0, 240.0)
    lids: float = 1.0
    mouth: float = 0.5
    brow: float = 0.0


def spline(name: str, pose: Pose) -> FloatArray:
    """The true control points of a shape, plate px."""
    flat = _flat(name, pose)
    absolute = flat.reshape(-1, 3, 2).copy()
    absolute[:, 1:] += absolute[:, :1]
    xy = absolute.reshape(-1, 2)
    depth = 60.0 - (xy**2 @ np.array([1.0, 0.4])) / 300.0
    yaw, roll = np.radians([pose.yaw, pose.roll])
    x = xy[:, 0] * np.cos(yaw) + depth * np.sin(yaw)
    turned = np.stack([x, xy[:, 1]], axis=1)
    matrix = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    placed = (turned @ matrix.T + pose.at).reshape(-1, 3, 2)
    placed[:, 1:] -= placed[:, :1]
    return placed.reshape(-1, 6)


def _flat(name: str, pose: Pose) -> FloatArray:
    up, smile = 14.0 * pose.lids + 1.0, 6.0 + 16.0 * pose.mouth
    if name == "brow":
        y = -70.0 - 10.0 * pose.brow
        return _smooth(
            [(-70, y + 12), (-40, y - 6), (-10, y), (10, y + 8), (-12, y + 9), (-42, y + 4)],
            sharp=(0, 3),
        )
    if name in ("eye_L", "eye_R"):
        x = 45.0 if name == "eye_L" else -45.0
        return _smooth([(x - 26, -20), (x + 3, -20 - up), (x + 26, -18), (x - 2, -11)], (0, 2))
    if name == "mouth":
        return _smooth(
            [(-30, 60), (-12, 54), (10, 53), (32, 60), (11, 60 + smile), (-13, 61 + smile)], (0, 3)
        )
    return _smooth([(-110, -26), (-40, -13), (40, -12), (110, -24)], (0, 3))


def _smooth(xy: list[tuple[float, float]], sharp: tuple[int, ...]) -> FloatArray:
    """A closed chain through points; tangents a sixth of the way between the neighbours."""
    places = np.array(xy, dtype=float)
    before, after = np.roll(places, 1, axis=0), np.roll(places, -1, axis=0)
    along = (after - before) / 6
    into, out = -along, along.copy()
    for i in sharp:
        into[i] = (before[i] - places[i]) / 3
        out[i] = (after[i] - places[i]) / 3
    return np.concatenate([places, into, out], axis=1)


def drawn(points: FloatArray, *, closed: bool, style: int) -> FloatArray:
    """The same curve as an artist may have drawn it: cut, started and run otherwise."""
    cuts = ([0.5], [0.3, 0.6], [0.25, 0.5, 0.8], [0.45])[style % 4]
    result = subdivide(points, cuts, closed=closed)
    if closed:
        result = np.roll(result, -(style * 3 + 1), axis=0)
    return backwards(result) if style % 2 else result


def artist_shots(poses: dict[str, list[Pose]]) -> dict[str, dict[str, ArtistShape]]:
    """Every shot in a style of its own, frames from 1001."""
    shots = {}
    for style, (shot, frames) in enumerate(poses.items()):
        shots[shot] = {
            form.name: ArtistShape(
                name=form.name,
                closed=form.closed,
                frames={
                    1001 + f: drawn(spline(form.name, pose), closed=form.closed, style=style + n)
                    for f, pose in enumerate(frames)
                },
                keys=tuple(range(1001, 1001 + len(frames))),
            )
            for n, form in enumerate(FORMS)
        }
    return shots


def few_poses() -> dict[str, list[Pose]]:
    """Two shots of a few frames."""
    return {
        "aa010": [Pose(yaw=3 * i, mouth=0.3 + 0.1 * i, lids=1 - 0.1 * i) for i in range(5)],
        "aa020": [
            Pose(roll=4 + i, at=(300.0 + 5 * i, 250.0), mouth=0.8, brow=0.2 * i) for i in range(5)
        ],
    }


def many_poses() -> dict[str, list[Pose]]:
    """Five shots that turn the head and change its face: enough to settle."""
    chance = np.random.default_rng(3)
    return {
        f"bb0{shot}0": [
            Pose(
                yaw=float(-24 + 12 * shot + 1.5 * i), roll=float(chance.uniform(-6, 6)),
                at=(320.0 + 3 * i, 240.0), lids=float(chance.uniform(0.2, 1)),
                mouth=float(chance.uniform(0, 1)), brow=float(chance.uniform(0, 1)),
            )
            for i in range(7)
        ]
        for shot in range(5)
    }  # fmt: skip
