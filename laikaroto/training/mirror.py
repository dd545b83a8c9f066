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
from laikaroto.character.matching import match_contour
from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.model.mirror import NO_LENGTH_PX, Mirror, Redrawn, flip
from laikaroto.shapes.contour import Contour

#: Largest mean difference between a character and its mirror image, of the head's side.
TOLERANCE = 0.06
#: Side of a head, px, at which it is compared with its mirror image.
_SIDE_PX = 400.0
#: Points are each other's image if none lies further along the curve from where it should, of
#: the way to its neighbour.
_ASTRAY = 0.35


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
    flipped = flip(mean) + [2 * axis, 0.0, 0.0, 0.0, 0.0, 0.0]
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
    if min(reference.length, contour.length) < NO_LENGTH_PX:
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
