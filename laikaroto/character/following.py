"""A spline with the template's points that follows a contour an artist drew.

``matching`` says where the points belong along the contour; here the spline is fitted, and
corners are put where the contour really turns if it would be off otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.chaining import snap
from laikaroto.character.matching import Match, match_contour
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation, fit_spline, worst_place

#: Largest distance of a fitted curve from the artist's, px, that a made template aims at.
TOLERANCE_PX = 0.5
#: Largest distance at which a redrawn contour still counts as carried onto a drawing's points, px.
CARRIED_PX = 2.0
_NEAR, _FAR = 0.04, 0.12  # of the length: how far a corner may have slid from where it turns
#: What ``fit_nearer`` tries: parts of the way to a neighbour (the least that helps is enough), how
#: far from where a point was laid, of the length, and how many splines at most.
_WAYS = (0.05, 0.1, 0.2)
_ASIDE = 0.01
_TRIES = 40


def carry_contour(contour: FloatArray, like: FloatArray, *, closed: bool) -> FloatArray:
    """A contour of the same frame with other points, on the points of a drawing: (N, 6).

    Args:
        contour: (M, 6) as an artist redrew it, any start and direction.
        like: (N, 6) the drawing it replaces.
        closed: whether both are.

    Raises:
        TruthError: no spline with these points follows it.
    """
    reference, drawn = Contour.of(like, closed=closed), Contour.of(contour, closed=closed)
    match = match_contour(reference, reference.knots, drawn, np.eye(2, 3))
    near = np.abs(reference.knots[:, None] - reference.corners[None, :]) < 1e-6
    points, (_, most) = fit_match(match, np.arange(len(like)), np.asarray(near.any(axis=1)))
    if most > CARRIED_PX:
        raise TruthError(
            f"a contour of {len(contour)} points cannot be carried onto {len(like)}: the nearest "
            f"spline is {most:.1f} px off, wanted {CARRIED_PX:.1f} at most; keep the points that "
            "are there (move them, do not add or remove any)"
        )
    return points


def fit_match(
    match: Match, stations: NDArray[np.int64], corners: NDArray[np.bool_]
) -> tuple[FloatArray, tuple[float, float]]:
    """A spline through the stations, and how far off it is.

    Where it is off by more than the tolerance, corners that slid away from a sharp turn or a
    round tip of the contour are put onto it; then smooth points that lie by a sharp turn, too,
    and are broken on this frame, as the artist drew it. What comes nearest is taken.
    """
    along = match.along[stations]
    points = fit_spline(match.contour, along, corners)
    off = deviation(match.contour, points)
    broken = corners | _beside_turns(match.contour, along)
    for free in (corners, broken):
        for places, reach in (
            (match.contour.corners, _NEAR), (match.bends, _FAR), (match.contour.corners, _FAR)
        ):  # fmt: skip
            if off[1] <= TOLERANCE_PX or not free.any():
                continue
            sharp = Match(contour=match.contour, along=along, cost=0.0, bends=places)
            snapped = snap(sharp, free, reach=reach, apart=reach == _NEAR)
            other = fit_spline(match.contour, snapped.along, free)
            if (other_off := deviation(match.contour, other))[1] < off[1]:
                points, off = other, other_off
    return points, off


def fit_nearer(
    match: Match,
    stations: NDArray[np.int64],
    corners: NDArray[np.bool_],
    fitted: tuple[FloatArray, tuple[float, float]],
) -> tuple[FloatArray, tuple[float, float]]:
    """The same on a single frame that stays off: points are slid where it is off most.

    There an artist rounded a corner off, or drew a spike whose corners went to the wrong points.
    Corners go onto the turns of the contour, two neighbours at once if need be; then the points
    beside the worst place go a little of the way to a neighbour. What brings the curve nearer
    is kept.

    Args:
        match: the contour.
        stations: of the points.
        corners: (N,) which are corners.
        fitted: what ``fit_match`` made of it.
    """
    contour, first = match.contour, match.along[stations]
    along, (points, off) = first, fitted
    best, left = first, _TRIES
    for candidates in (_onto_turns, _aside):
        better = True
        while better and left > 0 and off[1] > TOLERANCE_PX:
            better = False
            worst = worst_place(contour, points)
            for other in candidates(_Slide(contour, first, along), corners, worst)[:left]:
                left -= 1
                drawn = fit_spline(contour, other, corners | _beside_turns(contour, other))
                if (other_off := deviation(contour, drawn))[1] < off[1]:
                    best, points, off, better = other, drawn, other_off, True
                    if candidates is _aside:
                        break  # the least slide that helps; of turns the best pair
            along = best if better else along
    return points, off


@dataclass(frozen=True, slots=True, eq=False)
class _Slide:
    """Points that slide along a contour: (N,) px where they were laid, and where they are now."""

    contour: Contour
    first: FloatArray
    along: FloatArray

    @property
    def turn(self) -> float:
        """Once round a closed contour, px; 0 for an open one."""
        return self.contour.length if self.contour.closed else 0.0

    def nearest(self, place: float, to: float) -> float:
        """A place, as often round a closed contour as is nearest to another."""
        return place + self.turn * float(np.round((to - place) / self.turn)) if self.turn else place

    def moved(
        self, numbers: Sequence[int], places: Sequence[float], reach: float
    ) -> list[FloatArray]:
        """All places (N,) with some points elsewhere; none if these go too far or out of order."""
        other = self.along.copy()
        for i, place in zip(numbers, places, strict=True):
            other[i] = self.nearest(place, self.along[i])
        ahead = np.diff(other, append=other[0] + self.turn if self.turn else np.inf)
        far = np.abs(other - self.first)[list(numbers)].max()
        fits = ahead.min() > 0 and far <= reach * self.contour.length
        return [other] if fits and (other != self.along).any() else []


def _onto_turns(slide: _Slide, corners: NDArray[np.bool_], worst: float) -> list[FloatArray]:
    """Corners onto turns of the contour, one or two neighbours at once, from the worst place on."""
    which = [int(i) for i in np.flatnonzero(corners)]
    turns = slide.contour.corners.tolist()
    around = slide.contour.closed and len(which) > 2
    pairs = itertools.pairwise([*which, *which[:1]] if around else which)
    places = list(itertools.pairwise([*turns, *turns[:1]] if around else turns))
    found = [other for pair in pairs for both in places for other in slide.moved(pair, both, _NEAR)]
    for i, place in itertools.product(which, turns):
        found += slide.moved([i], [place], _NEAR)

    def away(other: FloatArray) -> float:
        """Px from the worst place to the nearest point that this moves."""
        places = slide.along[other != slide.along]
        return float(np.abs([slide.nearest(worst, place) - place for place in places]).min())

    return sorted(found, key=away)


def _aside(slide: _Slide, corners: NDArray[np.bool_], worst: float) -> list[FloatArray]:
    """The points beside the worst place, a little of the way to a neighbour; least slides first."""
    along, count = slide.along, len(slide.along)
    beside = int(np.argmin([abs(slide.nearest(worst, at) - at) for at in along]))
    found = []
    for way in _WAYS:
        for i in (beside, beside - 1, beside + 1):
            if not slide.contour.closed and not 0 < i < count - 1:
                continue
            here = along[i % count]
            for neighbour in (i - 1, i + 1):
                there = slide.nearest(along[neighbour % count], here)
                found += slide.moved([i % count], [here + way * (there - here)], _ASIDE)
    return found


def _beside_turns(contour: Contour, along: FloatArray) -> NDArray[np.bool_]:
    """(N,) points that are the nearest ones to a sharp turn of their contour."""
    beside = np.zeros(len(along), dtype=np.bool_)
    if len(contour.corners):
        gap = np.abs(np.mod(along, contour.length)[:, None] - contour.corners)
        gap = np.minimum(gap, contour.length - gap) if contour.closed else gap
        beside[gap.argmin(axis=0)] = True
    return beside
