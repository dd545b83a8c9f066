"""Cubic Bezier splines: sampling, bounds and distances.

A spline is an (N, 6) array of control points (see ``laikaroto.coords``), open (N-1
segments) or closed (N segments, the last one from the last point to the first).
"""

from __future__ import annotations

import numpy as np

from laikaroto.coords import FloatArray, absolute_tangents


def segments(points: FloatArray, *, closed: bool) -> FloatArray:
    """Bezier control polygons of every segment.

    Args:
        points: (…, N, 6) control points, plate px.
        closed: whether the last point joins the first.

    Returns:
        (…, S, 4, 2) with S = N for closed, N-1 for open splines.
    """
    absolute = absolute_tangents(points)
    following = np.roll(absolute, -1, axis=-3)
    polygons = np.stack(
        [absolute[..., 0, :], absolute[..., 2, :], following[..., 1, :], following[..., 0, :]],
        axis=-2,
    )
    return polygons if closed else polygons[..., :-1, :, :]


def bernstein(count: int, *, endpoint: bool = False) -> FloatArray:
    """Cubic Bernstein basis at ``count`` even parameters of [0, 1), or of [0, 1]: (count, 4)."""
    return bernstein_at(np.linspace(0.0, 1.0, count, endpoint=endpoint))


def bernstein_at(t: FloatArray) -> FloatArray:
    """Cubic Bernstein basis at parameters (…): (…, 4)."""
    s = 1.0 - t
    return np.stack([s**3, 3 * s**2 * t, 3 * s * t**2, t**3], axis=-1)


def sample(points: FloatArray, *, closed: bool, per_segment: int = 16) -> FloatArray:
    """Points along a spline, evenly in each segment's parameter.

    Returns:
        (…, M, 2): M = S × per_segment, plus the last point of an open spline.
    """
    polygons = segments(points, closed=closed)
    curve: FloatArray = np.einsum("tk,...skc->...stc", bernstein(per_segment), polygons)
    curve = curve.reshape(*curve.shape[:-3], -1, 2)
    if closed:
        return curve
    last = np.asarray(points, dtype=np.float64)[..., -1:, :2]
    return np.concatenate([curve, last], axis=-2)


def distance_to_polyline(xy: FloatArray, line: FloatArray) -> FloatArray:
    """Distance of each point (K, 2) to the nearest place of a polyline (M, 2): (K,), px."""
    xy = np.asarray(xy, dtype=np.float64)
    if len(line) == 1:
        return np.asarray(np.hypot(*(xy - line[0]).T))
    a, d = line[:-1], np.diff(line, axis=0)
    length2 = np.maximum((d**2).sum(-1), 1e-18)
    t = np.clip(((xy[:, None] - a) * d).sum(-1) / length2, 0.0, 1.0)
    nearest = a + t[..., None] * d
    return np.asarray(np.sqrt(((xy[:, None] - nearest) ** 2).sum(-1)).min(axis=1))
