"""The mirror image of a character: which point becomes which.

A puppet that is about symmetric can be learned from mirrored pictures as well, which doubles
the turns of the head that a few shots show. Names tell which points and shapes exchange
their sides (``character.flips.left_right_pairs``). Where each shape's points lie on its mirrored
counterpart is found by laying the one along the other. Some points are each other's image, as
those of one who placed them by rule: these change places. Others lie where an artist happened to
click, on the left so and on the right so: a mirrored curve with such points would teach that a
point lies in two places, so it is written anew, with points where they belong. Nothing about a
face is known beforehand: what has no symmetry has no mirror.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.flips import left_right_pairs
from laikaroto.character.following import fit_match
from laikaroto.character.matching import Match, match_contour
from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.shapes.contour import Contour
from laikaroto.training.views import Head

#: Largest mean difference between a character and its mirror image, of the head's side.
TOLERANCE = 0.06
#: Side of a head, px, at which it is compared with its mirror image.
_SIDE_PX = 400.0
#: Points are each other's image if none lies further along the curve from where it should, of
#: the way to its neighbour.
_ASTRAY = 0.35
_NO_LENGTH_PX = 1e-3


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

    def draw(self, flipped: FloatArray) -> FloatArray:
        """The shape (N, 6) from its partner's mirrored control points (M, 6), plate px."""
        contour = Contour.of(flipped, closed=self.closed)
        if contour.length < _NO_LENGTH_PX:  # not known on this frame
            return flipped[np.round(self.places).astype(np.intp) % len(flipped)]
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

    def values(self, values: FloatArray, width: float) -> FloatArray:
        """Control points (P, 6) of a picture ``width`` px wide, mirrored, in its px."""
        found = _flip(values[self.order])
        exchanged = found[:, [0, 1, 4, 5, 2, 3]]
        found = np.where(self.backwards[:, None], exchanged, found)
        for shape in self.redrawn:
            found[shape.own] = shape.draw(_flip(values[shape.partner]))
        found[:, 0] += width
        return found

    def head(self, head: Head, values: FloatArray) -> Head:
        """What is known of a mirrored head, whose control points are ``values`` (P, 6)."""
        return Head(
            values,
            None if head.depth is None else self._carried(head.depth),
            None if head.moves is None else self._carried(head.moves) * [-1.0, 1.0],
        )

    def _carried(self, known: FloatArray) -> FloatArray:
        """What is known of mirrored points: (P, …) of the points they lie between."""
        first, second = known[self.between[:, 0]], known[self.between[:, 1]]
        share = self.share.reshape(-1, *[1] * (known.ndim - 1))
        return np.asarray(first + share * (second - first))


def find_mirror(template: CharacterTemplate, heads: Sequence[FloatArray]) -> Mirror | None:
    """The mirror of a character, or None if it is not symmetric enough.

    Args:
        template: names and forms.
        heads: control points (P, 6) in plate px of each picture whose points are all known.
    """
    if not len(heads):
        return None
    names = [*template.tracks, *(shape.name for shape in template.shapes)]
    other = {name: name for name in names}
    for left, right in left_right_pairs(names):
        other[left], other[right] = right, left
    if all(name == partner for name, partner in other.items()):
        return None
    mean = np.mean([_at_home(head) for head in heads], axis=0)
    places = _places(template)
    # The mirror axis is where unlike halves agree best on average: through the pairs' middles.
    axis = _axis(mean, template, other, places)
    flipped = _flip(mean) + [2 * axis, 0.0, 0.0, 0.0, 0.0, 0.0]
    tracks = [places[other[name]].start for name in template.tracks]
    parts = [_Part(np.array(tracks, dtype=np.intp), np.hypot(
        *(flipped[tracks, :2] - mean[: len(tracks), :2]).T))]  # fmt: skip
    forms = {shape.name: shape for shape in template.shapes}
    for shape in template.shapes:
        partner = forms.get(other[shape.name])
        if partner is None or partner.closed != shape.closed:
            return None
        parts.append(_lay(mean, flipped, shape, places[shape.name], places[partner.name]))
    found = _join(parts)
    gap = np.concatenate([part.gaps for part in parts]).mean()
    return found if gap < TOLERANCE * _SIDE_PX else None


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Tracking points, or one shape: which points they become, and how far off these are, px."""

    order: NDArray[np.intp]
    gaps: FloatArray
    backwards: bool = False
    between: NDArray[np.intp] | None = None
    share: FloatArray | None = None
    redrawn: Redrawn | None = None


def _join(parts: Sequence[_Part]) -> Mirror:
    order = np.concatenate([part.order for part in parts])
    return Mirror(
        order,
        np.concatenate([np.full(len(part.order), part.backwards) for part in parts]),
        np.concatenate(
            [np.column_stack([p.order, p.order]) if p.between is None else p.between for p in parts]
        ),
        np.concatenate([np.zeros(len(p.order)) if p.share is None else p.share for p in parts]),
        tuple(part.redrawn for part in parts if part.redrawn is not None),
    )


def _flip(values: FloatArray) -> FloatArray:
    """Control points (…, 6) mirrored about x = 0."""
    return np.asarray(values * [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])


def _at_home(head: FloatArray) -> FloatArray:
    """Control points (P, 6) about the head's centre, the head ``_SIDE_PX`` large."""
    box = box_around(head[:, :2])
    return np.asarray((head - [box.x, box.y, 0, 0, 0, 0]) * (_SIDE_PX / box.side))


def _places(template: CharacterTemplate) -> dict[str, slice]:
    """Where every tracking point and shape lies in flat template order."""
    first = len(template.tracks)
    shapes = {n: slice(s.start + first, s.stop + first) for n, s in template.slices().items()}
    return {name: slice(i, i + 1) for i, name in enumerate(template.tracks)} | shapes


def _axis(
    mean: FloatArray,
    template: CharacterTemplate,
    other: Mapping[str, str],
    places: Mapping[str, slice],
) -> float:
    forms = {shape.name: shape for shape in template.shapes}

    def middle(name: str) -> float:
        points = mean[places[name]]
        if name not in forms:
            return float(points[0, 0])
        # of the curve: points may crowd at one end of it
        return float(Contour.of(points, closed=forms[name].closed).centroid[0])

    return float(np.median([(middle(a) + middle(b)) / 2 for a, b in other.items() if a != b]))


def _lay(
    mean: FloatArray, flipped: FloatArray, shape: ShapeTemplate, own: slice, partner: slice
) -> _Part:
    """A shape laid along its mirrored partner: points that change places, or a curve drawn anew."""
    reference = Contour.of(mean[own], closed=shape.closed)
    contour = Contour.of(flipped[partner], closed=shape.closed)
    if min(reference.length, contour.length) < _NO_LENGTH_PX:
        dots = partner.start + np.arange(shape.count) % (partner.stop - partner.start)
        return _Part(dots, np.hypot(*(flipped[dots, :2] - mean[own, :2]).T))
    match = match_contour(reference, reference.knots, contour, np.eye(2, 3))
    count = partner.stop - partner.start
    knots = match.contour.knots
    if shape.closed:
        knots = (knots + np.arange(-1, 3)[:, None] * match.contour.length).ravel()
    places = np.interp(match.along, knots, np.arange(len(knots)) - (count if shape.closed else 0))
    if shape.closed:
        places = places - count * np.floor(places[0] / count)
    nearest = np.round(places).astype(np.intp)

    def rows(at: NDArray[np.intp]) -> NDArray[np.intp]:
        """Flat numbers of the partner's points, by their place along it as it runs here."""
        way = (count - 1 - at) if match.turned else at
        return np.asarray(partner.start + way % count)

    if count == shape.count and np.all(np.diff(nearest) == 1):
        if np.abs(places - nearest).max() <= _ASTRAY:
            gaps = np.hypot(*(flipped[rows(nearest), :2] - mean[own, :2]).T)
            return _Part(rows(nearest), gaps, match.turned)
    first = np.floor(places).astype(np.intp)
    second = np.minimum(first + 1, len(knots) if shape.closed else count - 1)
    gaps = np.hypot(*(match.contour.at(match.along) - mean[own, :2]).T)
    redrawn = Redrawn(own, partner, shape.closed, match.turned, places,
                      np.isin(np.arange(shape.count), shape.corners))  # fmt: skip
    return _Part(rows(nearest), gaps, match.turned, np.column_stack([rows(first), rows(second)]),
                 places - first, redrawn)  # fmt: skip
