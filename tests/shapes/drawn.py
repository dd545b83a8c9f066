"""Splines to test with, and the same curves as an artist might have drawn them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import segments


def circle(radius: float, *, count: int, centre: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """Control points (N, 6) of a circle, within 1e-3 of its radius, clockwise on screen."""
    angle = np.arange(count) * 2 * np.pi / count
    size = radius * 4 / 3 * np.tan(np.pi / count / 2)
    along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * size
    xy = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + centre
    return np.concatenate([xy, -along, along], axis=1)


def polygon(corners: Sequence[tuple[float, float]]) -> FloatArray:
    """Control points without tangents."""
    return np.concatenate([np.array(corners, dtype=float), np.zeros((len(corners), 4))], axis=1)


def subdivide(points: FloatArray, at: Sequence[float], *, closed: bool) -> FloatArray:
    """The same curve with more points: every segment cut at these parameters (De Casteljau)."""
    pieces: list[FloatArray] = []
    for rest in segments(points, closed=closed):
        done = 0.0
        for t in at:
            share = (t - done) / (1.0 - done)
            a = rest[:-1] + share * np.diff(rest, axis=0)
            b = a[:-1] + share * np.diff(a, axis=0)
            c = b[0] + share * (b[1] - b[0])
            pieces.append(np.stack([rest[0], a[0], b[0], c]))
            rest, done = np.stack([c, b[1], a[2], rest[3]]), t
        pieces.append(rest)
    return joined(np.stack(pieces), closed=closed)


def joined(polygons: FloatArray, *, closed: bool) -> FloatArray:
    """Control points (N, 6) of consecutive Bezier segments (S, 4, 2)."""
    xy = polygons[:, 0]
    out = polygons[:, 1] - xy
    into = np.roll(polygons[:, 2] - polygons[:, 3], 1, axis=0)
    points = np.concatenate([xy, into, out], axis=1)
    if not closed:
        points[0, 2:4] = 0.0
        last = np.concatenate([polygons[-1, 3], polygons[-1, 2] - polygons[-1, 3], [0.0, 0.0]])
        points = np.concatenate([points, last[None]])
    return points


def backwards(points: FloatArray) -> FloatArray:
    """The same curve drawn the other way."""
    return points[::-1][:, [0, 1, 4, 5, 2, 3]]
