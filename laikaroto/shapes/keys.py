"""Fewest keys that hold an animated shape, as a program fills in the frames between them.

In: a shape with points on every frame. Out: the frames to key so that straight interpolation
of points and tangents stays within a tolerance on every frame in between.

How far a filled-in curve is off is measured along the whole of it, not at its points alone:
both curves are cubics of the same parameter, so their difference is one too, and lies within
the hull of its control vectors. The hull of a finely cut cubic is close to it, so the largest
of those vectors is the deviation, from above, to within a few hundredths of it. Being measured
at equal parameters it can only be more than the distance between the two curves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import bernstein_at, segments
from laikaroto.shapes.records import Shape

#: What an eye does not see and a matte hardly.
TOLERANCE_PX = 0.25
_PIECES = 8
_ROUNDING_PX = 1e-9


def every_key(shape: Shape) -> tuple[int, ...]:
    """A key on every frame, ascending."""
    return tuple(sorted(shape.frames))


def reduced_keys(shape: Shape, *, tolerance_px: float = TOLERANCE_PX) -> tuple[int, ...]:
    """The fewest frames to key so that ``filled_in`` is off by ``tolerance_px`` at most.

    Always keyed are: the first and the last frame of every unbroken stretch of frames; both
    sides of a change of visibility or of the number of points; both ends of a hold (frames with
    exactly the same points), so that holds stay exactly still and a step between two of them
    stays a step. Between those, no choice of frames has fewer keys.

    Args:
        shape: points in plate px; hidden frames count like visible ones.
        tolerance_px: largest deviation of the curve on any frame, 0 or more.

    Returns:
        Frames, ascending; none for a shape without frames.

    Raises:
        ValueError: the tolerance is negative or not a number.
    """
    if not tolerance_px >= 0.0:
        raise ValueError(f"tolerance must be 0 px or more, got {tolerance_px}")
    frames = every_key(shape)
    keys: list[int] = []
    for stretch in _stretches(shape, frames):
        if len(stretch) < 3:
            keys += stretch
            continue
        hull = _hull(shape.stack(stretch), closed=shape.closed)
        keys += (stretch[k] for k in _fewest(hull, np.array(stretch), tolerance_px))
    return tuple(dict.fromkeys(keys))


def filled_in(shape: Shape, keys: Sequence[int]) -> Mapping[int, FloatArray]:
    """Points (N, 6) of every frame of a shape, from its keys alone.

    Between two keys points and tangents run straight; before the first and after the last they
    stay. Where the number of points differs between two keys the earlier one stays.

    Raises:
        ValueError: there are frames, but no keys.
    """
    if shape.frames and not keys:
        raise ValueError("a shape that has frames needs a key")
    keys = sorted(keys)
    filled: dict[int, FloatArray] = {}
    for frame in every_key(shape):
        after = int(np.searchsorted(keys, frame))
        right = keys[min(after, len(keys) - 1)]
        left = keys[max(after - 1, 0)] if right > frame else right
        start, end = shape.frames[left].points, shape.frames[right].points
        if left == right or start.shape != end.shape:
            filled[frame] = start
        else:
            filled[frame] = start + (frame - left) / (right - left) * (end - start)
    return filled


def deviation_px(one: FloatArray, other: FloatArray, *, closed: bool) -> float:
    """How far two splines (N, 6) of as many points are apart at most, plate px, from above."""
    return float(_longest(_hull(one, closed=closed) - _hull(other, closed=closed)))


def largest_deviation_px(shape: Shape, keys: Sequence[int]) -> float:
    """The largest ``deviation_px`` of any frame when only ``keys`` are keyed."""
    filled = filled_in(shape, keys)
    return max(
        (
            deviation_px(points, shape.frames[frame].points, closed=shape.closed)
            for frame, points in filled.items()
        ),
        default=0.0,
    )


def per_100_frames(keys: int, frames: int) -> float:
    """Keys for each 100 frames; 0 where there are no frames."""
    return 100.0 * keys / frames if frames else 0.0


def _stretches(shape: Shape, frames: Sequence[int]) -> Iterator[list[int]]:
    """Frames between two forced keys, both included; neighbours share theirs.

    Over a gap, a change of the number of points or of visibility nothing is filled in.
    """
    stretch: list[int] = []
    held_before = False
    for left, right in itertools.pairwise([*frames, frames[-1] + 2] if frames else ()):
        stretch.append(left)
        here, there = shape.frames[left], shape.frames.get(right)
        if (
            there is None
            or right - left > 1
            or there.points.shape != here.points.shape
            or there.visible != here.visible
        ):
            yield stretch
            stretch, held_before = [], False
            continue
        held = np.array_equal(here.points, there.points)
        if held != held_before and len(stretch) > 1:
            yield stretch
            stretch = [left]
        held_before = held


@cache
def _refining() -> FloatArray:
    """Control points of the pieces of a cubic from its own: (3 * _PIECES + 1, 4)."""
    rows = []
    for piece in range(_PIECES):
        start, width = piece / _PIECES, 1.0 / _PIECES
        basis = bernstein_at(np.array([start, start + width]))
        slope = _slope(start) * width / 3.0, _slope(start + width) * width / 3.0
        rows += [basis[0], basis[0] + slope[0], basis[1] - slope[1]]
    return np.array([*rows, bernstein_at(np.array(1.0))])


def _slope(t: float) -> FloatArray:
    s = 1.0 - t
    return np.array([-3 * s**2, 3 * s**2 - 6 * s * t, 6 * s * t - 3 * t**2, 3 * t**2])


def _hull(points: FloatArray, *, closed: bool) -> FloatArray:
    """Control points of all pieces of a spline (…, N, 6): (…, M, 2). Linear in the points.

    A spline of one point has no segment: that point stands for it.
    """
    polygons = segments(points, closed=closed)
    if polygons.shape[-3] == 0:
        return np.asarray(points[..., :2], dtype=np.float64)
    hull: FloatArray = np.einsum("mk,...skc->...smc", _refining(), polygons)
    return hull.reshape(*hull.shape[:-3], -1, 2)


def _longest(vectors: FloatArray) -> FloatArray:
    """Length of the longest of vectors (…, M, 2): (…)."""
    return np.asarray(np.sqrt((vectors**2).sum(axis=-1).max(axis=-1)))


def _fewest(hull: FloatArray, at: FloatArray, tolerance_px: float) -> list[int]:
    """Indices of the fewest keys of a stretch, first and last among them.

    All keys that n steps reach are found before those that n + 1 steps reach; a key within
    reach of an earlier one need not be looked at again.

    Args:
        hull: (F, M, 2), as ``_hull`` gives them.
        at: (F,) frame numbers.
        tolerance_px: of every vector of the hull.
    """
    last = len(hull) - 1
    before: dict[int, int] = {0: 0}
    level = [0]
    while last not in before:
        reached: list[int] = []
        for start in level:
            for end in _reach(hull, at, start, tolerance_px, frozenset(before)):
                before[end] = start
                reached.append(end)
        level = sorted(reached, reverse=True)
    keys = [last]
    while keys[-1] != 0:
        keys.append(before[keys[-1]])
    return keys[::-1]


def _reach(
    hull: FloatArray, at: FloatArray, start: int, tolerance_px: float, known: frozenset[int]
) -> Iterator[int]:
    """Keys from which back to ``start`` every frame is filled in well enough, ``known`` left out.

    Each frame passed leaves every coordinate a range of slopes that come close enough to it:
    a wide one that it must keep to, and a narrow one (of the square within the circle) that is
    enough. Between the two every frame is looked at. Once a coordinate has no wide range left,
    no later key can be reached: that ends the search exactly.
    """
    allowed = tolerance_px + _ROUNDING_PX
    wide, narrow = _Slopes(hull.shape[1:]), _Slopes(hull.shape[1:])
    for end in range(start + 1, len(hull)):
        run = float(at[end] - at[start])
        rise = hull[end] - hull[start]
        if end not in known:
            slope = rise / run
            if narrow.admit(slope) or (wide.admit(slope) and _holds(hull, at, start, end, allowed)):
                yield end
        wide.narrow(rise, run, allowed)
        narrow.narrow(rise, run, allowed / 2**0.5)
        if not wide.any():
            return


class _Slopes:
    """For each coordinate, the slopes that come close enough to every frame passed so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._lowest = np.full(shape, -np.inf)
        self._highest = np.full(shape, np.inf)

    def admit(self, slope: FloatArray) -> bool:
        return bool((slope >= self._lowest).all() and (slope <= self._highest).all())

    def narrow(self, rise: FloatArray, run: float, allowed: float) -> None:
        np.maximum(self._lowest, (rise - allowed) / run, out=self._lowest)
        np.minimum(self._highest, (rise + allowed) / run, out=self._highest)

    def any(self) -> bool:
        return bool((self._lowest <= self._highest).all())


def _holds(hull: FloatArray, at: FloatArray, start: int, end: int, allowed: float) -> bool:
    """Whether every frame between two keys is filled in well enough."""
    between = slice(start + 1, end)
    share = ((at[between] - at[start]) / (at[end] - at[start]))[:, None, None]
    off = hull[start] + share * (hull[end] - hull[start]) - hull[between]
    return bool((_longest(off) <= allowed).all())
