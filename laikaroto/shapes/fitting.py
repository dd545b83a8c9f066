"""A contour written as a cubic Bezier spline with given points: least squares, corner to corner.

In: a contour and how far along it each point shall lie. Out: control points whose curve follows
the contour. Smooth points keep their tangents in one line; corners and ends turn freely.
Source: the start after Schneider, "An Algorithm for Automatically Fitting Digitized Curves",
Graphics Gems, 1990; then Gauss-Newton on distances along the curve's normals with foot points
found anew each round (tangent distance minimisation, Wang, Pottmann and Liu, ACM TOG 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import bernstein_at, distance_to_polyline, segments
from laikaroto.shapes.contour import Contour

_SAMPLES = 24  # of each stretch
_ROUNDS = 10
_GOOD_PX = 0.02  # worst distance at which there is nothing left to do
_SLIDE_COST = 0.06  # a point that slides by 1 px costs as much as 24 samples 0.05 px off
_LOOSE_COST = 0.002  # where nothing else helps
_OFF_COST = 1.0  # a point that leaves the contour by 1 px
_TURN_COST = 1e-3
_LENGTH_COST = 1e-3
# How long a tangent may be, of its stretch. A half circle needs 0.4, a hairpin 0.67; longer ones
# run past the next point and back, which no place of the contour would tell.
_SHORTEST, _LONGEST = 0.02, 0.8
_ON_CORNER_PX = 1e-3


def fit_spline(
    contour: Contour,
    along: FloatArray,
    corners: NDArray[np.bool_],
    *,
    tolerance_px: float = 0.5,
) -> FloatArray:
    """Fit a spline to a contour, its points near given places.

    Points may slide by a few tenths of a pixel where that makes the curve follow better, and
    by a few pixels where it would be off by more than the tolerance otherwise.

    Args:
        contour: what to follow.
        along: (N,) px along it, ascending; of an open contour the first and last are its ends.
        corners: (N,) which points may turn sharply; ends of open ones always may.
        tolerance_px: largest distance that needs no such slides.

    Returns:
        (N, 6) control points.

    Raises:
        ValueError: fewer than two points.
    """
    if len(along) < 2:
        raise ValueError(f"a spline needs two points, got {len(along)}")
    free = corners.copy()
    if not contour.closed:
        free[[0, -1]] = True
    state = _start(contour, np.array(along, dtype=np.float64), free)
    best, worst = _rounds(contour, state, free, _SLIDE_COST, _ROUNDS)
    if worst > tolerance_px:
        loose, off = _rounds(contour, best, free, _LOOSE_COST, 2 * _ROUNDS)
        best = loose if off < worst else best
    return best.points


def _rounds(
    contour: Contour, state: _State, free: NDArray[np.bool_], slide_cost: float, rounds: int
) -> tuple[_State, float]:
    """The best of some rounds and the largest distance it has, px."""
    best, best_worst = state, np.inf
    for _ in range(rounds):
        feet = _find_feet(contour, state)
        # Places of the contour do not tell of a point that sticks out between them.
        worst = max(
            float(np.hypot(feet.off, feet.beside).max()),
            float(np.abs(_off_contour(contour, state)).max()),
        )
        if worst < best_worst:
            best, best_worst = state, worst
        if worst < _GOOD_PX:
            break
        state = _improve(contour, state, feet, free, slide_cost)
    return best, best_worst


def deviation(contour: Contour, points: FloatArray) -> tuple[float, float]:
    """Mean and largest distance, px, between a contour and a spline, taken both ways.

    The mean is over places evenly along the contour and along the spline.
    """
    spline = Contour.of(points, closed=contour.closed)
    if spline.length == 0.0 or contour.length == 0.0:
        far = distance_to_polyline(spline.xy[:1], contour.xy)
        return float(far.mean()), float(far.max())
    there = distance_to_polyline(_evenly(contour), spline.xy)
    back = distance_to_polyline(_evenly(spline), contour.xy)
    return float((there.mean() + back.mean()) / 2), float(max(there.max(), back.max()))


def worst_place(contour: Contour, points: FloatArray) -> float:
    """Where along a contour, px, a spline is furthest from it."""
    spline = Contour.of(points, closed=contour.closed)
    along = _places(contour)
    return float(along[distance_to_polyline(contour.at(along), spline.xy).argmax()])


def _evenly(contour: Contour) -> FloatArray:
    return contour.at(_places(contour))


def _places(contour: Contour) -> FloatArray:
    count = int(np.clip(contour.length / 2.0, 64, 600))
    at = np.linspace(0.0, contour.length, count, endpoint=not contour.closed)
    return np.concatenate([at, contour.corners])


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """A spline while it is fitted: control points (N, 6), and where they belong (N,) px."""

    points: FloatArray
    along: FloatArray
    first: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Feet:
    """Samples of the contour and their feet on the spline.

    Attributes:
        basis: (S, T, 4) Bernstein values at the feet.
        normal: (S, T, 2) unit normals of the spline there.
        off: (S, T) px from the contour to the spline along the normal.
        beside: (S, T) px along the spline that are left: more than nothing at its ends only.
    """

    basis: FloatArray
    normal: FloatArray
    off: FloatArray
    beside: FloatArray


def _start(contour: Contour, along: FloatArray, free: NDArray[np.bool_]) -> _State:
    """Tangents along the contour; their lengths by least squares at arc-length parameters."""
    xy = contour.at(along)
    coming = contour.direction(along, after_px=0.0)
    leaving = contour.direction(along, before_px=0.0)
    middle = contour.direction(along)
    none = np.linalg.norm(middle, axis=1, keepdims=True) < 0.5  # a turn on the spot
    middle = np.where(none, leaving, middle)
    turn = free[:, None]
    into, out = np.where(turn, coming, middle), np.where(turn, leaving, middle)
    places, ends = _sample_stretches(contour, along)
    nexts = ends % len(along)
    t = np.broadcast_to(_middles(), places.shape[:2])
    b = bernstein_at(t)
    p0, p3 = xy[: len(ends)], xy[nexts]
    d1, d2 = out[: len(ends)], -into[nexts]
    base = (b[..., :2].sum(-1)[..., None] * p0[:, None]
            + b[..., 2:].sum(-1)[..., None] * p3[:, None])  # fmt: skip
    a1, a2 = b[..., 1, None] * d1[:, None], b[..., 2, None] * d2[:, None]
    rest = places - base
    c11, c12, c22 = (a1 * a1).sum((1, 2)), (a1 * a2).sum((1, 2)), (a2 * a2).sum((1, 2))
    x1, x2 = (a1 * rest).sum((1, 2)), (a2 * rest).sum((1, 2))
    determinant = c11 * c22 - c12**2
    third = np.linalg.norm(p3 - p0, axis=1) / 3
    good = determinant > 1e-9
    safe = np.where(good, determinant, 1.0)
    length1 = np.where(good, (x1 * c22 - x2 * c12) / safe, third)
    length2 = np.where(good, (c11 * x2 - c12 * x1) / safe, third)
    span = np.maximum(_spans(contour, along), 1e-9)
    length1 = np.clip(length1, 0.05 * span, 0.9 * span)
    length2 = np.clip(length2, 0.05 * span, 0.9 * span)
    points = np.zeros((len(along), 6))
    points[:, :2] = xy
    points[: len(ends), 4:6] = length1[:, None] * d1
    points[nexts, 2:4] = length2[:, None] * d2
    return _State(points, along, along.copy())


def _middles() -> FloatArray:
    return (np.arange(_SAMPLES) + 0.5) / _SAMPLES


def _spans(contour: Contour, along: FloatArray) -> FloatArray:
    """Length of the contour between each point and the next, (S,) px."""
    if contour.closed:
        return np.diff(along, append=along[0] + contour.length)
    return np.diff(along)


def _sample_stretches(contour: Contour, along: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Places (S, T, 2) evenly along each stretch, and the index of its last point."""
    spans = _spans(contour, along)
    at = along[: len(spans), None] + spans[:, None] * _middles()
    return contour.at(at), np.arange(1, len(spans) + 1)


def _find_feet(contour: Contour, state: _State) -> _Feet:
    places, _ = _sample_stretches(contour, state.along)
    polygons = segments(state.points, closed=contour.closed)
    grid = np.linspace(0.0, 1.0, 17)
    curve = np.einsum("tk,skc->stc", bernstein_at(grid), polygons)
    lengths = np.cumsum(np.linalg.norm(np.diff(curve, axis=1), axis=-1), axis=1)
    lengths = np.concatenate([np.zeros((len(lengths), 1)), lengths], axis=1)
    total = np.maximum(lengths[:, -1:], 1e-9)
    t = np.stack([np.interp(_middles(), row, grid) for row in lengths / total])
    first = 3 * np.diff(polygons, axis=1)
    second = 2 * np.diff(first, axis=1)
    for _ in range(3):  # Newton on the distance
        s = 1.0 - t
        at = np.einsum("stk,skc->stc", bernstein_at(t), polygons)
        basis2 = np.stack([s**2, 2 * s * t, t**2], axis=-1)
        speed = np.einsum("stk,skc->stc", basis2, first)
        bend = np.einsum("stk,skc->stc", np.stack([s, t], axis=-1), second)
        gap = at - places
        slope = (gap * speed).sum(-1)
        curve2 = (speed**2).sum(-1) + (gap * bend).sum(-1)
        curve2 = np.where(curve2 > 1e-9, curve2, np.maximum((speed**2).sum(-1), 1e-9))
        t = np.clip(t - np.clip(slope / curve2, -0.1, 0.1), 0.0, 1.0)
    s = 1.0 - t
    basis = bernstein_at(t)
    at = np.einsum("stk,skc->stc", basis, polygons)
    speed = np.einsum("stk,skc->stc", np.stack([s**2, 2 * s * t, t**2], axis=-1), first)
    size = np.maximum(np.linalg.norm(speed, axis=-1, keepdims=True), 1e-9)
    normal = np.stack([-speed[..., 1], speed[..., 0]], axis=-1) / size
    off = ((at - places) * normal).sum(-1)
    beside = ((at - places) * speed / size).sum(-1)
    return _Feet(basis, normal, off, beside)


def _improve(
    contour: Contour,
    state: _State,
    feet: _Feet,
    free: NDArray[np.bool_],
    slide_cost: float,
) -> _State:
    """One round of Gauss-Newton over places, directions and lengths."""
    count = len(state.points)
    stretches = len(feet.off)
    i = np.arange(stretches)
    j = (i + 1) % count
    b, n = feet.basis, feet.normal
    # The worst places count more, so that the largest distance falls with the mean.
    scale = max(float(np.sqrt((feet.off**2).mean())), 1e-9)
    weight = np.sqrt(1.0 + (feet.off / (2 * scale)) ** 2)
    full = np.zeros((stretches, feet.off.shape[1], count, 6))
    full[i, :, i, 0:2] = (b[..., 0] + b[..., 1])[..., None] * n
    full[i, :, i, 4:6] = b[..., 1, None] * n
    full[i, :, j, 0:2] += (b[..., 2] + b[..., 3])[..., None] * n
    full[i, :, j, 2:4] = b[..., 2, None] * n
    local, cost = _freedoms(contour, state, free, slide_cost)
    slope = np.einsum("stnk,nkm->stnm", full * weight[..., None, None], local)
    slope = slope.reshape(-1, local.shape[0] * local.shape[2])
    off = (feet.off * weight).reshape(-1)
    moved = state.along - state.first
    pull = np.zeros((count, local.shape[2]))
    pull[:, 0] = cost[:, 0] * moved
    pull[:, 1] = cost[:, 1] * _off_contour(contour, state)
    matrix = slope.T @ slope + np.diag(cost.reshape(-1))
    step = -np.linalg.solve(matrix, slope.T @ off + pull.reshape(-1)).reshape(count, -1)
    spans = _spans(contour, state.along)
    room = np.minimum(spans[np.arange(count) % len(spans)], np.roll(spans, 1)[
        np.arange(count) % len(spans)])  # fmt: skip
    step[:, 0] = np.clip(step[:, 0], -0.2 * room, 0.2 * room)
    along = state.along + step[:, 0]
    points = state.points + np.einsum("nkm,nm->nk", local, step)
    return _State(_tidy(contour, points, along, free), along, state.first)


def _freedoms(
    contour: Contour, state: _State, free: NDArray[np.bool_], slide_cost: float
) -> tuple[FloatArray, FloatArray]:
    """What each point may do: (N, 6, 6) directions of change, (N, 6) what a unit of each costs.

    In order: slide, leave the contour, turn (in and out together where smooth), turn out, length
    in, length out. What is not allowed has no direction.
    """
    count = len(state.points)
    local = np.zeros((count, 6, 6))
    cost = np.full((count, 6), 1.0)
    heading = contour.direction(state.along)
    into, out = state.points[:, 2:4], state.points[:, 4:6]
    size_in = np.linalg.norm(into, axis=1, keepdims=True)
    size_out = np.linalg.norm(out, axis=1, keepdims=True)
    along_in = np.divide(into, size_in, out=np.zeros_like(into), where=size_in > 1e-9)
    along_out = np.divide(out, size_out, out=np.zeros_like(out), where=size_out > 1e-9)
    held = _held(contour, state.along, free)
    local[:, 0:2, 0] = np.where(held[:, None], 0.0, heading)
    local[:, 0:2, 1] = np.where(held[:, None], 0.0, _left(heading))
    local[:, 2:4, 2] = _left(into)
    local[:, 4:6, 2] = np.where(free[:, None], 0.0, _left(out))
    local[:, 4:6, 3] = np.where(free[:, None], _left(out), 0.0)
    local[:, 2:4, 4] = along_in
    local[:, 4:6, 5] = along_out
    cost[:, 0], cost[:, 1] = slide_cost, _OFF_COST
    reach = np.maximum(size_in[:, 0], size_out[:, 0])
    cost[:, 2] = cost[:, 3] = _TURN_COST * np.maximum(reach, 1.0) ** 2
    cost[:, 4] = cost[:, 5] = _LENGTH_COST
    return local, cost


def _off_contour(contour: Contour, state: _State) -> FloatArray:
    """How far each point lies to the left of its place on the contour, (N,) px."""
    left = _left(contour.direction(state.along))
    return np.asarray(((state.points[:, :2] - contour.at(state.along)) * left).sum(axis=1))


def _held(contour: Contour, along: FloatArray, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which points may not move: ends, and corners that lie on a corner of the contour."""
    held = np.zeros(len(along), dtype=np.bool_)
    if not contour.closed:
        held[[0, -1]] = True
    if len(contour.corners):
        gaps = np.abs(np.mod(along, contour.length)[:, None] - contour.corners)
        held |= free & (gaps.min(axis=1) < _ON_CORNER_PX)
    return held


def _left(vectors: FloatArray) -> FloatArray:
    return np.stack([-vectors[:, 1], vectors[:, 0]], axis=-1)


def _tidy(
    contour: Contour, points: FloatArray, along: FloatArray, free: NDArray[np.bool_]
) -> FloatArray:
    """Tangents in one line where smooth, and none longer or shorter than makes sense."""
    spans = _spans(contour, along)
    count = len(points)
    chord_out = np.ones(count)
    chord_in = np.ones(count)
    index = np.arange(len(spans))
    chord_out[index] = spans
    chord_in[(index + 1) % count] = spans
    into, out = points[:, 2:4].copy(), points[:, 4:6].copy()
    size_in, size_out = np.linalg.norm(into, axis=1), np.linalg.norm(out, axis=1)
    unit_in = into / np.maximum(size_in, 1e-9)[:, None]
    unit_out = out / np.maximum(size_out, 1e-9)[:, None]
    axis = unit_out - unit_in
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    smooth = ~free[:, None]
    unit_in = np.where(smooth, -axis, unit_in)
    unit_out = np.where(smooth, axis, unit_out)
    size_in = np.clip(size_in, _SHORTEST * chord_in, _LONGEST * chord_in)
    size_out = np.clip(size_out, _SHORTEST * chord_out, _LONGEST * chord_out)
    result = points.copy()
    result[:, 2:4], result[:, 4:6] = unit_in * size_in[:, None], unit_out * size_out[:, None]
    if not contour.closed:
        result[0, 2:4] = result[-1, 4:6] = 0.0
    return result
