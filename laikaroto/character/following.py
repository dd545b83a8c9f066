"""A spline with the template's points that follows a contour an artist drew.

``matching`` says where the points belong along the contour; here the spline is fitted, and
corners are put where the contour really turns if it would be off otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.chaining import snap
from laikaroto.character.matching import Match, match_contour
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation, fit_spline

#: Largest distance of a fitted curve from the artist's, px, that a made template aims at.
TOLERANCE_PX = 0.5
#: Largest distance at which a redrawn contour still counts as carried onto a drawing's points, px.
CARRIED_PX = 2.0
_NEAR, _FAR = 0.04, 0.12  # of the length: how far a corner may have slid from where it turns


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


def _beside_turns(contour: Contour, along: FloatArray) -> NDArray[np.bool_]:
    """(N,) points that are the nearest ones to a sharp turn of their contour."""
    beside = np.zeros(len(along), dtype=np.bool_)
    if len(contour.corners):
        gap = np.abs(np.mod(along, contour.length)[:, None] - contour.corners)
        gap = np.minimum(gap, contour.length - gap) if contour.closed else gap
        beside[gap.argmin(axis=0)] = True
    return beside
