"""A spline seen as a curve only: where it runs, how long it is, where it turns sharply.

Control points say where an artist happened to click. What two drawings of one thing have in
common is the curve, so contours are compared and carried over by distances along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import bernstein, segments

#: A turn of less than this is a bend somebody drew, not a corner.
CORNER_DEG = 20.0

#: A bend of at least this much within a short way is a place one can recognise.
BEND_DEG = 40.0

_STEP_PX = 1.5  # of the polyline; its error is then below 0.01 px wherever the radius is over 30 px
_FEWEST, _MOST = 8, 48  # pieces of a segment
_NO_LENGTH_PX = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contour:
    """One spline as a fine polyline with its length.

    Attributes:
        closed: whether the end joins the start.
        xy: (M, 2) plate px; the first point is there again at the end of a closed one.
        along: (M,) px from the start, ascending; the last is the whole length.
        corners: (C,) px from the start of every sharp turn, ascending.
        turns: (C,) degrees of each turn, 0-180.
        knots: (N,) px from the start of every control point it was made of.
    """

    closed: bool
    xy: FloatArray
    along: FloatArray
    corners: FloatArray
    turns: FloatArray
    knots: FloatArray

    @classmethod
    def of(cls, points: FloatArray, *, closed: bool) -> Contour:
        """The curve of control points (N, 6)."""
        polygons = segments(np.asarray(points, dtype=np.float64), closed=closed)
        spans = np.linalg.norm(np.diff(polygons, axis=1), axis=-1).sum(axis=1)
        real = spans > _NO_LENGTH_PX  # the rest are points on top of each other
        polygons, spans = polygons[real], spans[real]
        if not len(polygons):
            at = np.asarray(points, dtype=np.float64)[:1, :2]
            empty = np.zeros(0)
            return cls(closed=closed, xy=np.repeat(at, 2, axis=0), along=np.zeros(2),
                       corners=empty, turns=empty, knots=np.zeros(len(points)))  # fmt: skip
        counts = np.clip(np.ceil(spans / _STEP_PX), _FEWEST, _MOST).astype(int)
        pieces = [bernstein(n) @ polygon for n, polygon in zip(counts, polygons, strict=True)]
        xy = np.concatenate([*pieces, polygons[-1:, 3]])
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
        joints = along[np.concatenate([[0], np.cumsum(counts)])]
        starts = joints[:-1]
        lengths = np.zeros(len(real))
        lengths[real] = np.diff(joints)
        knots = np.concatenate([[0.0], np.cumsum(lengths)])[: len(points)]
        corners, turns = _find_corners(polygons, starts, closed=closed)
        return cls(closed=closed, xy=xy, along=along, corners=corners, turns=turns, knots=knots)

    @property
    def length(self) -> float:
        """Of the whole curve, px."""
        return float(self.along[-1])

    @property
    def centroid(self) -> FloatArray:
        """Middle of the curve by length, (2,) plate px."""
        if self.length == 0.0:
            return np.asarray(self.xy[0])
        middles = (self.xy[1:] + self.xy[:-1]) / 2
        middle: FloatArray = np.diff(self.along) @ middles / self.length
        return middle

    @property
    def area(self) -> float:
        """Signed area of a closed contour, px²; positive is clockwise on screen."""
        x, y = self.xy.T
        return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)

    def at(self, along: FloatArray) -> FloatArray:
        """Points (…, 2) at distances (…) from the start; closed ones go round, open ones end."""
        along = self._within(along)
        return np.stack(
            [np.interp(along, self.along, self.xy[:, axis]) for axis in (0, 1)], axis=-1
        )

    def direction(
        self, along: FloatArray, *, before_px: float = 0.5, after_px: float = 0.5
    ) -> FloatArray:
        """Unit directions (…, 2) of travel at distances (…), from the chord around them.

        ``before_px=0`` gives the direction in which the curve leaves a corner, ``after_px=0``
        that in which it comes in.
        """
        along = np.asarray(along, dtype=np.float64)
        chord = self.at(along + after_px) - self.at(along - before_px)
        size = np.linalg.norm(chord, axis=-1, keepdims=True)
        return np.asarray(np.divide(chord, size, out=np.zeros_like(chord), where=size > 0))

    def reversed(self) -> Contour:
        """The same curve run backwards; a closed one keeps its start."""
        corners = (self.length - self.corners)[::-1]
        turns = self.turns[::-1]
        if self.closed and self.length:
            order = np.argsort(corners % self.length)
            corners, turns = (corners % self.length)[order], turns[order]
        return Contour(closed=self.closed, xy=self.xy[::-1], turns=turns, corners=corners,
                       along=(self.length - self.along)[::-1],
                       knots=(self.length - self.knots)[::-1])  # fmt: skip

    def _within(self, along: FloatArray) -> FloatArray:
        along = np.asarray(along, dtype=np.float64)
        if self.closed and self.length:
            return np.asarray(np.mod(along, self.length))
        return np.clip(along, 0.0, self.length)


def find_bends(contour: Contour, *, window_px: float) -> tuple[FloatArray, FloatArray]:
    """Where a contour turns most within a short way: corners, and tips that are drawn round.

    Args:
        contour: the curve.
        window_px: how short a way; two bends are at least this far apart.

    Returns:
        Places (B,), px along, ascending, and how many degrees it turns there, ``BEND_DEG`` or
        more. An exact corner within the window is taken for the place.
    """
    if contour.length <= 2 * window_px:
        return contour.corners, contour.turns
    count = int(np.clip(np.ceil(contour.length / window_px * 8), 64, 4000))
    at = np.linspace(0.0, contour.length, count, endpoint=not contour.closed)
    before = contour.direction(at, before_px=window_px / 2, after_px=0.0)
    after = contour.direction(at, before_px=0.0, after_px=window_px / 2)
    turn = np.degrees(np.arccos(np.clip((before * after).sum(-1), -1.0, 1.0)))
    if not contour.closed:
        turn[(at < window_px / 2) | (at > contour.length - window_px / 2)] = 0.0
    places: list[float] = []
    sizes: list[float] = []
    left = turn.copy()
    while left.max() >= BEND_DEG:
        peak = int(left.argmax())
        near = np.abs(at - at[peak])
        near = np.minimum(near, contour.length - near) if contour.closed else near
        left[near < window_px] = 0.0
        places.append(_sharpest(contour, float(at[peak]), window_px))
        sizes.append(float(turn[peak]))
    order = np.argsort(places)
    return np.asarray(places)[order], np.asarray(sizes)[order]


def _sharpest(contour: Contour, at: float, window_px: float) -> float:
    """The sharpest corner within a window of a place, or the place."""
    gap = np.abs(contour.corners - at)
    gap = np.minimum(gap, contour.length - gap) if contour.closed else gap
    near = np.flatnonzero(gap <= window_px / 2)
    return float(contour.corners[near[contour.turns[near].argmax()]]) if len(near) else at


def crossing_loop(contour: Contour, *, samples: int = 160) -> float:
    """Size of the largest loop a closed contour makes with itself: a share of its bounding box.

    Lids that close on each other touch and cross all along, and enclose nothing between;
    a contour that was tangled encloses something on both sides of a crossing.

    Returns:
        0 where it does not cross itself; up to 1.
    """
    if not contour.closed or contour.length == 0.0:
        return 0.0
    xy = contour.at(np.linspace(0.0, contour.length, samples, endpoint=False))
    a, b = xy, np.roll(xy, -1, axis=0)

    def side(p: FloatArray, q: FloatArray, r: FloatArray) -> FloatArray:
        value: FloatArray = (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (
            q[..., 1] - p[..., 1]
        ) * (r[..., 0] - p[..., 0])
        return value

    p, q, r, s = a[:, None], b[:, None], a[None], b[None]
    crosses = (side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)
    first, second = np.nonzero(np.triu(crosses, 2))
    largest = 0.0
    box = max(float(np.prod(np.ptp(xy, axis=0))), 1.0)
    for i, j in zip(first, second, strict=True):
        loops = (xy[i + 1 : j + 1], np.concatenate([xy[j + 1 :], xy[: i + 1]]))
        areas = [abs(_area(loop)) for loop in loops]
        largest = max(largest, min(areas) / box)
    return largest


def _area(loop: FloatArray) -> float:
    x, y = loop.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _find_corners(
    polygons: FloatArray, starts: FloatArray, *, closed: bool
) -> tuple[FloatArray, FloatArray]:
    """Where, by distance along, and by how many degrees the direction jumps between segments."""
    leaving = _first_direction(polygons[:, 1:] - polygons[:, :1])
    coming = _first_direction(polygons[:, 2::-1] - polygons[:, 3:])
    before = -np.roll(coming, 1, axis=0)
    cosines = np.clip((before * leaving).sum(-1), -1.0, 1.0)
    turns = np.degrees(np.arccos(cosines))
    sharp = turns >= CORNER_DEG
    if not closed:
        sharp[0] = False
    return starts[sharp], turns[sharp]


def _first_direction(offsets: FloatArray) -> FloatArray:
    """Unit direction of the first of (…, 3, 2) offsets that is not nothing: (…, 2)."""
    sizes = np.linalg.norm(offsets, axis=-1)
    pick = np.argmax(sizes > _NO_LENGTH_PX, axis=-1)
    rows = np.arange(len(offsets))
    chosen: FloatArray = offsets[rows, pick] / np.maximum(sizes[rows, pick], _NO_LENGTH_PX)[:, None]
    return chosen
