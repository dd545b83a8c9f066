"""Which places of a contour could be control points: for any number the set that costs least.

In: contours of all frames with many stations on each, the same physical spots throughout. Out:
the stations to keep, if so many are wanted. A stretch between two kept ones becomes one cubic on
every frame, so a set is as good as its worst stretch on its worst frame; corners are always kept.
Source: ours; dynamic programming over break points after Bellman, 1961.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.contour import Contour

_SAMPLES = 12
_LONGEST = 0.6  # of the stations of a closed shape: one cubic never goes further round
_FRAMES = 10  # looked at: those that differ most
_STARTS = 24
MOST_POINTS = 40  # of a shape


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Every set of stations of one shape that could be its control points, and what each costs.

    Attributes:
        costs: (P, N) px that one cubic from station a over n stations is off at worst.
        closed: whether the shape is.
        must: stations that have to be kept: corners.
        frames: of those that were given, the ones that differ most; only they were looked at.
    """

    costs: FloatArray
    closed: bool
    must: NDArray[np.int64]
    frames: NDArray[np.int64]

    @classmethod
    def of(
        cls, contours: Sequence[Contour], along: FloatArray, corners: NDArray[np.bool_]
    ) -> Choices:
        """What there is to choose from.

        Args:
            contours: (F,) of all frames.
            along: (F, P) px of the stations along them, ascending.
            corners: (P,) stations that have to be kept.
        """
        frames = _different(contours, along)
        costs = _stretches([contours[f] for f in frames], along[frames], corners)
        return cls(costs, contours[0].closed, np.flatnonzero(corners), frames)

    @property
    def least(self) -> int:
        """The fewest points a set can have."""
        ends = 0 if self.closed else sum(i not in self.must for i in (0, len(self.costs) - 1))
        return max(2, len(self.must) + ends)

    def best(self, count: int) -> tuple[NDArray[np.int64], float] | None:
        """The best set of so many stations, ascending, and the px it is off; None: there is none.

        The px are those of single stretches with tangents along the contour. A spline whose
        points turn and slide a little is nearer: ``placing`` asks it.
        """
        if self.closed:
            return _around(self.costs, count, self.must)
        return _through(self.costs, count)


def _different(contours: Sequence[Contour], along: FloatArray) -> NDArray[np.int64]:
    """Frames that differ most from each other in shape: farthest first."""
    shapes = []
    for contour, at in zip(contours, along, strict=True):
        xy = contour.at(at)
        shapes.append(((xy - xy.mean(axis=0)) / max(contour.length, 1e-9)).reshape(-1))
    table = np.stack(shapes)
    chosen = [int(np.argmax([contour.length for contour in contours]))]
    gaps = np.linalg.norm(table - table[chosen[0]], axis=1)
    while len(chosen) < min(_FRAMES, len(table)):
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.linalg.norm(table - table[chosen[-1]], axis=1))
    return np.array(sorted(set(chosen)))


def _stretches(
    contours: Sequence[Contour], along: FloatArray, corners: NDArray[np.bool_]
) -> FloatArray:
    """Worst distance over frames of one cubic from station a over n stations: (P, N) px."""
    count = along.shape[1]
    closed = contours[0].closed
    longest = int(_LONGEST * count) if closed else count - 1
    worst = np.full((count, longest + 1), np.inf)
    sizes = np.arange(1, longest + 1)
    for contour, at in zip(contours, along, strict=True):
        ends = np.concatenate([at, at + contour.length]) if closed else at
        middle = contour.direction(at)
        coming = np.where(corners[:, None], contour.direction(at, after_px=0.0), middle)
        leaving = np.where(corners[:, None], contour.direction(at, before_px=0.0), middle)
        for a in range(count):
            n = sizes if closed else sizes[sizes < count - a]
            if not len(n):
                continue
            error = _cubic_error(contour, at[a], ends[a + n], leaving[a], coming[(a + n) % count])
            passes = _passes_corner(corners, a, n)
            value = np.where(passes, np.inf, error)
            old = worst[a, n]
            worst[a, n] = np.where(np.isfinite(old), np.maximum(old, value), value)
    return worst


def _passes_corner(corners: NDArray[np.bool_], a: int, n: NDArray[np.int64]) -> NDArray[np.bool_]:
    around = np.concatenate([corners, corners])
    total = np.concatenate([[0], np.cumsum(around)])
    return np.asarray(total[a + n] - total[a + 1] > 0)


def _cubic_error(
    contour: Contour, start: float, ends: FloatArray, d1: FloatArray, into: FloatArray
) -> FloatArray:
    """Worst distance (E,) px of the best cubic from ``start`` to each of ``ends`` (E,)."""
    t = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    places = contour.at(start + (ends - start)[:, None] * t)
    p0, p3 = contour.at(np.asarray(start)), contour.at(ends)
    d2 = -into
    span = np.maximum(ends - start, 1e-9)
    t = np.broadcast_to(t, places.shape[:2])
    error = np.zeros(len(ends))
    for _ in range(3):
        s = 1.0 - t
        b0, b1, b2, b3 = s**3, 3 * s**2 * t, 3 * s * t**2, t**3
        base = (b0 + b1)[..., None] * p0 + (b2 + b3)[..., None] * p3[:, None]
        a1, a2 = b1[..., None] * d1, b2[..., None] * d2[:, None]
        rest = places - base
        c11, c12, c22 = (a1 * a1).sum((1, 2)), (a1 * a2).sum((1, 2)), (a2 * a2).sum((1, 2))
        x1, x2 = (a1 * rest).sum((1, 2)), (a2 * rest).sum((1, 2))
        determinant = c11 * c22 - c12**2
        good = determinant > 1e-9
        safe = np.where(good, determinant, 1.0)
        one = np.clip(np.where(good, (x1 * c22 - x2 * c12) / safe, span / 3), 0, 1.2 * span)
        two = np.clip(np.where(good, (c11 * x2 - c12 * x1) / safe, span / 3), 0, 1.2 * span)
        at = base + a1 * one[:, None, None] + a2 * two[:, None, None]
        c1, c2 = p0 + one[:, None] * d1, p3 + two[:, None] * d2
        speed = 3 * (
            (s**2)[..., None] * (c1 - p0)[:, None]
            + (2 * s * t)[..., None] * (c2 - c1)[:, None]
            + (t**2)[..., None] * (p3 - c2)[:, None]
        )
        size2 = np.maximum((speed**2).sum(-1), 1e-9)
        gap = places - at
        forward = (gap * speed).sum(-1) / size2
        off = np.abs(gap[..., 0] * speed[..., 1] - gap[..., 1] * speed[..., 0]) / np.sqrt(size2)
        error = off.max(axis=1)
        t = np.clip(t + np.clip(forward, -0.1, 0.1), 0.0, 1.0)
    return error


def _through(costs: FloatArray, number: int) -> tuple[NDArray[np.int64], float] | None:
    """Best stations of an open shape from its first to its last."""
    last = len(costs) - 1
    best = np.full(last + 1, np.inf)
    best[0] = 0.0
    back = np.zeros((number, last + 1), dtype=np.int64)
    for step in range(1, number):
        options = np.full((last + 1, last + 1), np.inf)  # to, from
        for a in range(last):
            if np.isfinite(best[a]):
                n = np.arange(1, last + 1 - a)
                options[a + n, a] = np.maximum(best[a], costs[a, n])
        back[step] = options.argmin(axis=1)
        best = options.min(axis=1)
    if not np.isfinite(best[last]):
        return None
    path = [last]
    for step in range(number - 1, 0, -1):
        path.append(int(back[step, path[-1]]))
    return np.array(path[::-1]), float(best[last])


def _around(
    costs: FloatArray, number: int, must: NDArray[np.int64]
) -> tuple[NDArray[np.int64], float] | None:
    """Best stations of a closed shape, whichever of them comes first."""
    count, longest = len(costs), costs.shape[1] - 1
    starts = (
        must[:1]
        if len(must)
        else np.unique(np.linspace(0, count, _STARTS, endpoint=False).astype(int))
    )
    best: tuple[NDArray[np.int64], float] | None = None
    for start in starts:
        unrolled = np.full((count + 1, count + 1), np.inf)
        for a in range(count):
            n = np.arange(1, min(longest, count - a) + 1)
            unrolled[a, n] = costs[(start + a) % count, n]
        found = _through(unrolled, number + 1)
        if found is not None and (best is None or found[1] < best[1]):
            best = np.sort((found[0][:-1] + start) % count), found[1]
    return best
