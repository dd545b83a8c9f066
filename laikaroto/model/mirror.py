"""The mirror image of a character: which point becomes which (``training.mirror`` finds it).

A package of a character that is about symmetric holds it, so that inference can look at the
mirrored picture as well: what a network makes of the two differs where it is unsure, and the
mean is nearer to the truth than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.following import fit_match
from laikaroto.character.matching import Match
from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model.arrays import read_arrays, write_arrays
from laikaroto.shapes.contour import Contour

FILE = "mirror.npz"
#: Curves shorter than this are not known on a frame.
NO_LENGTH_PX = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Redrawn:
    """A shape whose points do not lie where their mirror images do: it is written anew.

    own, partner: its control points and those it is made of, in flat template order; closed;
    reverse: it runs the other way; places (N,): where its points lie along the partner, as it
    then runs, in points: 2.5 is half way from the third to the fourth; corners (N,) bool.
    """

    own: slice
    partner: slice
    closed: bool
    reverse: bool
    places: FloatArray
    corners: NDArray[np.bool_]

    def draw(self, partner: FloatArray) -> FloatArray:
        """The shape (N, 6) from its partner's control points (M, 6), px."""
        contour = Contour.of(partner, closed=self.closed)
        if contour.length < NO_LENGTH_PX:  # not known on this frame
            return partner[np.round(self.places).astype(np.intp) % len(partner)]
        if self.reverse:
            contour = contour.reversed()
        knots = contour.knots
        if self.closed:
            turns = np.arange(3)[:, None] * contour.length
            knots = (knots + turns).ravel()
        along = np.interp(self.places, np.arange(len(knots)), knots)
        match = Match(contour=contour, along=along, cost=0.0)
        return fit_match(match, np.arange(len(along)), self.corners)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """Which point becomes which.

    order (P,): mirrored point i is the image of point ``order[i]``, or lies nearest to it where
    its shape is redrawn; backwards (P,): its shape runs the other way, so its tangents exchange;
    between (P, 2), share (P,): the points it lies between, and how far from the first to the
    second; redrawn: shapes that are written anew.
    """

    order: NDArray[np.intp]
    backwards: NDArray[np.bool_]
    between: NDArray[np.intp]
    share: FloatArray
    redrawn: tuple[Redrawn, ...] = ()

    def rename(self, values: FloatArray) -> FloatArray:
        """Control points (P, 6) as drawn in a mirrored picture, under the names they really have.

        Places and tangents stay where they are.
        """
        found = values[self.order]
        exchanged = found[:, [0, 1, 4, 5, 2, 3]]
        found = np.where(self.backwards[:, None], exchanged, found)
        for shape in self.redrawn:
            found[shape.own] = shape.draw(values[shape.partner])
        return found

    def values(self, values: FloatArray, width: float) -> FloatArray:
        """Control points (P, 6) of a picture ``width`` px wide, mirrored, in its px."""
        found = flip(self.rename(values))
        found[:, 0] += width
        return found

    def carried(self, known: FloatArray) -> FloatArray:
        """What is known of mirrored points: (P, …) of the points they lie between."""
        first, second = known[self.between[:, 0]], known[self.between[:, 1]]
        share = self.share.reshape(-1, *[1] * (known.ndim - 1))
        return np.asarray(first + share * (second - first))


def flip(values: FloatArray) -> FloatArray:
    """Control points (…, 6) mirrored about x = 0."""
    return np.asarray(values * [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])


def write_mirror(folder: Path, mirror: Mirror) -> None:
    """Write a package's mirror as plain arrays; redrawn shapes one after another."""
    shapes = mirror.redrawn
    spans = [(s.own.start, s.own.stop, s.partner.start, s.partner.stop) for s in shapes]
    ways = [(s.closed, s.reverse) for s in shapes]
    arrays = {
        "order": mirror.order,
        "backwards": mirror.backwards,
        "between": mirror.between,
        "share": mirror.share,
        "redrawn": np.array(spans, dtype=np.intp).reshape(-1, 4),
        "ways": np.array(ways, dtype=bool).reshape(-1, 2),
        "places": np.concatenate([np.zeros(0), *(s.places for s in shapes)]),
        "corners": np.concatenate([np.zeros(0, bool), *(s.corners for s in shapes)]),
    }
    write_arrays(folder / FILE, arrays)


def read_mirror(folder: Path, template: CharacterTemplate) -> Mirror | None:
    """The mirror of a package, or None where the character has none.

    Raises:
        ModelError: it does not fit the package's template.
    """
    path = folder / FILE
    mirror = read_arrays(path, _from_arrays)
    if mirror is None:
        return None
    count = template.point_count
    indices = np.concatenate([mirror.order, mirror.between.ravel()])
    shapes = {len(array) for array in (mirror.order, mirror.backwards, mirror.between)}
    if shapes != {count} or indices.min() < 0 or indices.max() >= count:
        raise ModelError(
            f"{path}: wanted the image of each of {count} points, got {mirror.order.shape} and "
            f"{mirror.backwards.shape}; train again"
        )
    return mirror


def _from_arrays(data: Mapping[str, NDArray[Any]]) -> Mirror:
    redrawn, first = [], 0
    for (start, stop, begin, end), (closed, reverse) in zip(
        data["redrawn"].tolist(), data["ways"].tolist(), strict=True
    ):
        part = slice(first, first + stop - start)
        places, corners = data["places"][part], data["corners"][part]
        if len(places) != stop - start or len(corners) != stop - start:
            raise ValueError(f"redrawn points {start} to {stop} are missing")
        redrawn.append(
            Redrawn(slice(start, stop), slice(begin, end), closed, reverse, places, corners)
        )
        first = part.stop
    return Mirror(
        data["order"].astype(np.intp),
        data["backwards"].astype(np.bool_),
        data["between"].astype(np.intp),
        data["share"].astype(np.float64),
        tuple(redrawn),
    )
