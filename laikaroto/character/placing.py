"""How many control points a shape has, and on which spots, by what splines through them reach.

In: one shape's contours with many stations on each, the same physical spots on all frames. Out:
the stations that become points, the fewest that hold every frame or as many as were asked for.
``landmarks`` proposes them by what single stretches cost; here splines are fitted, and points are
moved from spot to spot, on all frames together, while that brings the worst frame nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.following import fit_match
from laikaroto.character.landmarks import MOST_POINTS, Choices
from laikaroto.character.matching import Match

#: Frames in a hundred that need not be held: one contour that was drawn otherwise would cost all
#: others many points. They are still written as near as can be, and reported.
_SPARED = 2
#: A proposal this many times over the tolerance by its own estimate is not worth a fit, and one
#: whose fit is this many times over not worth moving points.
_HOPELESS, _FAR_OFF = 6.0, 10.0
#: Moves tried for one number of points, at most: while the fewest are looked for, and where this
#: number was asked for; with ten frames, of more frames in proportion fewer, as each costs more.
_MOVES, _MOVES_ASKED = 40, 200
_MOVES_FRAMES = 10
_STEPS = (4, 2, 1)  # stations a point is moved by
_ROUNDS = 3  # frames that were not looked at join in after each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """The points of a shape.

    Attributes:
        stations: (N,) which stations they are, ascending.
        corners: (P,) which stations are corners; not more than there are points.
        enough: where the number was asked for and does not reach the tolerance: ``(N,)`` of the
            fewest that do, ``(None,)`` if none up to 40 does; None: it does.
    """

    stations: NDArray[np.int64]
    corners: NDArray[np.bool_]
    enough: tuple[int | None] | None = None


def place_points(
    matches: Sequence[Match], sharp: NDArray[np.bool_], *, count: int | None, tolerance_px: float,
    corner_share: float,
) -> Placed:  # fmt: skip
    """Choose the points of one shape.

    Args:
        matches: (F,) its contours with all stations (P,) on them.
        sharp: (F, P) which stations lie on a sharp turn of their contour.
        count: how many points; None: the fewest that hold every frame within the tolerance.
        tolerance_px: largest distance from a frame's contour.
        corner_share: of the frames have to turn sharply at a station for it to be a corner.
    """
    share = sharp.mean(axis=0)
    corners = share >= corner_share
    fewer = corners
    if count is not None and count < int(corners.sum()):
        # Too few points for every corner: the sharpest on most frames stay.
        order = np.argsort(-share, kind="stable")[:count]
        fewer = np.isin(np.arange(len(corners)), order) & corners
    if count is None:
        stations = _Search(matches, corners, tolerance_px).fewest()[0]
        return Placed(stations=stations, corners=corners)
    search = _Search(matches, fewer, tolerance_px)
    found = search.of(count, moves=_MOVES_ASKED, asked=True)
    if found is None:
        raise ValueError(f"{count} points cannot hold {int(fewer.sum())} corners")
    if found[1] <= tolerance_px:
        return Placed(stations=found[0], corners=fewer)
    if fewer is not corners:
        search = _Search(matches, corners, tolerance_px)
    more, reached = search.fewest(more_than=count, moves=0)
    enough = len(more) if reached <= tolerance_px else None
    return Placed(stations=found[0], corners=fewer, enough=(enough,))


@dataclass(slots=True, eq=False)
class _Search:
    """Sets of stations, tried on the frames that tell.

    looked: numbers of these frames, the most telling first.
    """

    matches: Sequence[Match]
    corners: NDArray[np.bool_]
    tolerance_px: float
    choices: Choices = field(init=False)
    looked: list[int] = field(init=False)

    def __post_init__(self) -> None:
        along = np.stack([match.along for match in self.matches])
        contours = [match.contour for match in self.matches]
        self.choices = Choices.of(contours, along, self.corners)
        self.looked = [int(f) for f in self.choices.frames]

    def fewest(self, *, more_than: int = 0, moves: int = _MOVES) -> tuple[NDArray[np.int64], float]:
        """The smallest set that reaches the tolerance, or the best of all; and its worst px."""
        best: tuple[NDArray[np.int64], float] | None = None
        for count in range(max(self.choices.least, more_than + 1), MOST_POINTS + 1):
            found = self.of(count, moves=moves)
            if found is not None and (best is None or found[1] < best[1]):
                best = found
            if best is not None and best[1] <= self.tolerance_px:
                break
        if best is None:  # more corners than a shape may have points
            return np.flatnonzero(self.corners), np.inf
        return best

    def of(
        self, count: int, *, moves: int, asked: bool = False
    ) -> tuple[NDArray[np.int64], float] | None:
        """The best set of so many stations that is found, and how far off its worst frame is."""
        proposed = self.choices.best(count)
        if proposed is None:
            return None
        stations, estimate = proposed
        moves = moves * _MOVES_FRAMES // max(_MOVES_FRAMES, len(self.matches))
        if estimate > _HOPELESS * self.tolerance_px and not asked:
            return stations, estimate
        worst = self._worst(stations, self.looked)
        for _ in range(_ROUNDS):
            if worst > self.tolerance_px and (asked or worst <= _FAR_OFF * self.tolerance_px):
                stations, worst = self._move(stations, worst, moves)
            if worst > self.tolerance_px:
                break
            off = self._off(stations, range(len(self.matches)))
            worst = _worst_but_spared(off)
            if worst <= self.tolerance_px:
                break
            # the worst of the others has a say from now on
            self.looked.insert(0, int(np.argsort(off)[-1 - _spared(len(off))]))
        return stations, worst

    def _move(
        self, stations: NDArray[np.int64], worst: float, moves: int
    ) -> tuple[NDArray[np.int64], float]:
        """Points moved one by one, ever less far, while the worst frame comes nearer."""
        places = len(self.corners)
        fixed = set(np.flatnonzero(self.corners).tolist())
        if not self.choices.closed:
            fixed |= {0, places - 1}
        left = moves
        for step in _STEPS:
            better = True
            while better and left > 0 and worst > self.tolerance_px:
                better = False
                for i in [i for i, station in enumerate(stations) if station not in fixed]:
                    for way in (-step, step):
                        other = self._moved(stations, i, way)
                        if other is None or left <= 0:
                            continue
                        left -= 1
                        if (off := self._worst(other, self.looked, below=worst)) < worst:
                            stations, worst, better = other, off, True
                            break
        return np.sort(stations), worst

    def _moved(self, stations: NDArray[np.int64], i: int, way: int) -> NDArray[np.int64] | None:
        """The set with one point moved; None: it would meet or pass another."""
        places = len(self.corners)
        others = np.delete(stations, i)
        between = (stations[i] + np.arange(1, abs(way) + 1) * np.sign(way)) % places
        if np.isin(between, others).any():
            return None
        moved = stations.copy()
        moved[i] = between[-1]
        return moved

    def _worst(
        self, stations: NDArray[np.int64], frames: Sequence[int], *, below: float = np.inf
    ) -> float:
        """How far off the worst of these frames is, px; ``below`` where it is no better."""
        spared = _spared(len(self.matches))
        off: list[float] = []
        over = 0
        for f in frames:
            off.append(self._off(stations, [f])[0])
            over += off[-1] >= below
            if over > spared:
                self.looked.remove(f)  # it tells most: the first to be looked at next time
                self.looked.insert(0, f)
                return below
        return sorted(off)[-1 - min(spared, len(off) - 1)]

    def _off(self, stations: NDArray[np.int64], frames: Sequence[int]) -> list[float]:
        stations = np.sort(stations)
        corners = self.corners[stations]
        return [fit_match(self.matches[f], stations, corners)[1][1] for f in frames]


def _spared(frames: int) -> int:
    return frames * _SPARED // 100


def _worst_but_spared(off: Sequence[float]) -> float:
    return float(np.sort(off)[-1 - _spared(len(off))])
