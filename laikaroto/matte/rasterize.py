"""Closed shapes to coverage: how much of each pixel's area lies inside, exactly.

Splines are cut into straight pieces (1e-4 px off the curve at most), the pieces at every pixel
border they cross, and each piece adds the area it bounds to its pixel; a running sum along the
rows turns that into coverage. No sampling, so no steps: edges have full float accuracy.

Which side is inside: a shape's own winding direction does not matter. Where a shape overlaps
itself, or crosses itself into loops, all of what it winds around is inside (the nonzero rule).
Only in the single pixels where it crosses itself can coverage be a little low.

Shapes are added, then cut to 1. Two shapes that share an edge thus leave no line between them,
and where one lies over the other it stays 1. The price: a pixel on an edge that two overlapping
shapes have in common from the same side counts twice (0.4 and 0.4 give 0.8).

Source: signed-area accumulation as in font rasterisers (R. Levien, "font-rs").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import segments

_FLATNESS_PX = 1e-4
_MOST_PIECES = 1 << 14
_ROUNDING = 1e-7


def rasterize(shapes: Sequence[FloatArray], *, width: int, height: int) -> NDArray[np.float32]:
    """Coverage of the union of closed shapes.

    Args:
        shapes: (N, 6) control points each, plate px; any of them may reach out of the frame or
            lie outside. Shapes without area cover nothing.
        width: of the frame, px.
        height: of the frame, px.

    Returns:
        (height, width) float32, 0..1.

    Raises:
        ValueError: a shape has another form or numbers that are not finite.
    """
    coverage = np.zeros((height, width), dtype=np.float32)
    for points in shapes:
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 6:
            raise ValueError(f"a shape must be (N, 6) control points, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError("a shape has control points that are NaN or infinite")
        if len(points):
            _add_shape(coverage, _flatten(segments(points, closed=True)))
    return np.minimum(coverage, 1.0, out=coverage)


def _flatten(polygons: FloatArray) -> FloatArray:
    """Closed polyline (M + 1, 2) of Bezier segments (S, 4, 2), last point equal to the first.

    The number of pieces of each segment follows from its second differences (Wang's bound).
    """
    bend = np.abs(np.diff(polygons, n=2, axis=1)).max(axis=1)
    count = np.ceil(np.sqrt(0.75 * np.hypot(bend[:, 0], bend[:, 1]) / _FLATNESS_PX))
    count = np.clip(count, 1, _MOST_PIECES).astype(np.int64)
    owner = np.repeat(np.arange(len(polygons)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    t = (step / count[owner])[:, None]
    p0, p1, p2, p3 = (polygons[owner, k] for k in range(4))
    s = 1.0 - t
    line = s**3 * p0 + 3 * s**2 * t * p1 + 3 * s * t**2 * p2 + t**3 * p3
    return np.concatenate([line, line[:1]])


def _add_shape(coverage: NDArray[np.float32], line: FloatArray) -> None:
    """Add the coverage of one closed polyline (M, 2) to the frame."""
    height, width = coverage.shape
    low = np.floor(line.min(axis=0)).clip(0, (width, height)).astype(np.int64)
    high = np.ceil(line.max(axis=0)).clip(0, (width, height)).astype(np.int64)
    across, down = (high - low).tolist()
    if across == 0 or down == 0:
        return
    line = line - low
    a, b = _cut(line[:-1], line[1:], axis=1, limit=down)
    inside = ((a[:, 1] + b[:, 1]) * 0.5 > 0) & ((a[:, 1] + b[:, 1]) * 0.5 < down)
    a, b = _cut(a[inside], b[inside], axis=0, limit=across)
    rise = b[:, 1] - a[:, 1]
    # What lies left of the frame bounds whole rows of it; what lies right of it, nothing.
    middle_x = np.clip((a[:, 0] + b[:, 0]) * 0.5, 0.0, across)
    row = np.minimum((a[:, 1] + b[:, 1]) * 0.5, down - 0.5).astype(np.int64)
    column = np.minimum(middle_x.astype(np.int64), across)
    behind = middle_x - column
    cell = row * (across + 2) + column
    size = down * (across + 2)
    area = np.bincount(cell, weights=rise * (1.0 - behind), minlength=size)
    area[1:] += np.bincount(cell, weights=rise * behind, minlength=size)[: size - 1]
    own = np.cumsum(area.reshape(down, across + 2)[:, :across], axis=1)
    np.abs(own, out=own)
    own[own < _ROUNDING] = 0.0
    np.minimum(own, 1.0, out=own)
    coverage[low[1] : high[1], low[0] : high[0]] += own.astype(np.float32)


def _cut(
    start: FloatArray, end: FloatArray, *, axis: int, limit: int
) -> tuple[FloatArray, FloatArray]:
    """Cut lines (M, 2) wherever they cross a whole number 0..limit of one axis."""
    a, b = start[:, axis], end[:, axis]
    first = np.floor(np.minimum(a, b).clip(-1, limit)).astype(np.int64) + 1
    last = np.ceil(np.maximum(a, b).clip(0, limit + 1)).astype(np.int64) - 1
    crossings = np.maximum(last - first + 1, 0)
    pieces = crossings + 1
    owner = np.repeat(np.arange(len(start)), pieces)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    # Crossings are walked upward along the axis; lines that run downward are turned at the end.
    rising = a <= b
    bottom = np.where(rising[:, None], start, end)[owner]
    top = np.where(rising[:, None], end, start)[owner]
    span = top[:, axis] - bottom[:, axis]
    safe = np.where(span > 0, span, 1.0)

    def at(number: NDArray[np.int64]) -> FloatArray:
        whole = (first[owner] + number).astype(np.float64)
        t = ((whole - bottom[:, axis]) / safe)[:, None]
        place: FloatArray = bottom + t * (top - bottom)
        place[:, axis] = whole
        return place

    piece_low = np.where((index == 0)[:, None], bottom, at(index - 1))
    piece_high = np.where((index == crossings[owner])[:, None], top, at(index))
    turned = rising[owner][:, None]
    return np.where(turned, piece_low, piece_high), np.where(turned, piece_high, piece_low)
