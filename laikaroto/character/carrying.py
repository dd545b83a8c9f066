"""All contours of all frames laid onto one set of stations: chained, settled, looked at again.

In: drawings of every frame, and the stations of each shape on one or more of them. Out: the
stations on every frame, and which contours were left out because they are not what their name
says. Nothing is bent into place: a contour that does not fit is named and taken away before it
can pull at the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.chaining import Drawing, carry_again, chain, head_size, polyline
from laikaroto.character.matching import Match
from laikaroto.character.settling import Stations, expect, settle
from laikaroto.coords import FloatArray
from laikaroto.shapes.contour import Contour, find_bends

_WINDOW = 0.016  # of the head's size: within how short a way a bend is one
_DIMENSIONS = (5, 8, 10)  # looked at in turn
_FEW_DIMENSIONS = 3  # in-plane pose: what a few frames can say
_ROUNDS, _LAST_ROUNDS = 10, 20
_LASTING = 0.75  # of the frames have to show a bend for it to be a place
# One shot hardly turns the head: what its frames have in common is then more than pose and
# expression, and settling would let all of them slide together away from the marked one.
_TELLING_FRAMES, _TELLING_SHOTS = 30, 4
_FEW_FRAMES = 8  # below, other shapes do not say where one is to be expected

# Expressions change lengths and places, wrong shapes change them more.
_MOST_STRETCH = 2.2
_MOST_APART = 0.15  # of the head's size, from where the other shapes put it
_MOST_COST = (0.8, 0.55, 0.4)  # what is expected is known better each time
_MOST_COST_FEW = 2.0
# Of the length a shape usually has. One as large as that misleads all others of its frame about
# where they are to be expected, so it goes first.
_FAR_TOO_LONG = 4.0
_FEW_TO_TELL = 3  # frames and shapes, for that


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A contour that was not used, and why; ``excess``: how many times over a limit it is."""

    shot: str
    shape: str
    frame: int
    reason: str
    excess: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """Stations on every frame.

    Attributes:
        matches: (F,) by shape; missing where a shape is not drawn or was left out.
        slide_px: (F, S) how far the frames disagree on where the stations lie; NaN where missing,
            and throughout where there are too few frames to tell.
        left_out: contours that do not fit, in order of shot, shape and frame.
        names: (S,) order of the shapes in ``slide_px``.
    """

    matches: list[dict[str, Match]]
    slide_px: FloatArray
    left_out: tuple[LeftOut, ...]
    names: tuple[str, ...]


def carry(
    drawings: Sequence[Drawing],
    known: Sequence[Mapping[str, Match]],
    *,
    corners: Mapping[str, NDArray[np.bool_]],
) -> Carried:
    """Carry stations from the frames where they are known to all others.

    Args:
        drawings: (F,) all frames of all shots, those with known stations among them.
        known: (F,) stations of the roots, empty for the rest.
        corners: for each shape, (P,) which stations are corners.
    """
    names = tuple(sorted(corners))
    drawings, left_out = _without_giants(drawings)
    window = _WINDOW * head_size(drawings)
    roots = [i for i, matches in enumerate(known) if matches]
    anchors = {name: _anchors(name, corners[name], known, window) for name in names}
    found = chain(drawings, known, anchors=anchors, window_px=window)
    anchors = {name: _lasting(anchors[name], corners[name], found, name) for name in names}
    drawn = sum(bool(matches) for matches in found)
    telling = drawn >= _TELLING_FRAMES and (
        len({drawing.shot for drawing in drawings}) >= _TELLING_SHOTS or len(roots) > 1
    )
    few = (_FEW_DIMENSIONS,) * 3 if drawn >= _FEW_FRAMES else ()
    turns = _DIMENSIONS if telling else few
    for turn, dimensions in enumerate(turns):
        if telling:
            _settle(found, anchors, roots, _ROUNDS)
        expected = expect(
            _stations(found, anchors, roots), dimensions=dimensions, by_others=not telling
        )
        places = [
            {
                name: expected[s][f].T
                for s, name in enumerate(names)
                if name in found[f] and f not in roots
            }
            for f in range(len(found))
        ]
        again = carry_again(drawings, found, places, anchors=anchors, anew=turn == 0)
        strangers = _find_strangers(
            drawings, again, places, _MOST_COST[turn] if telling else _MOST_COST_FEW
        )
        found = again if telling else found
        strangers = strangers if telling else _worst_of_each_frame(strangers)
        _remove(drawings, found, strangers)
        left_out += strangers
    slide = np.full((len(found), len(names)), np.nan)
    if telling:
        slide = _settle(found, anchors, roots, _LAST_ROUNDS)
    left_out.sort(key=lambda item: (item.shot, item.shape, item.frame))
    return Carried(matches=found, slide_px=slide, left_out=tuple(left_out), names=names)


def _without_giants(
    drawings: Sequence[Drawing],
) -> tuple[list[Drawing], list[LeftOut]]:
    """Drawings without contours far too long for their frame, by the usual lengths of all."""
    names = sorted({name for drawing in drawings for name in drawing.contours})
    lengths = np.full((len(drawings), len(names)), np.nan)
    for f, drawing in enumerate(drawings):
        for name, contour in drawing.contours.items():
            lengths[f, names.index(name)] = contour.length
    usual = np.nanmedian(lengths, axis=0)
    slack = 0.05 * head_size(drawings)
    kept, left_out = [], []
    for drawing, row in zip(drawings, lengths, strict=True):
        there = np.isfinite(row)
        contours = dict(drawing.contours)
        if len(drawings) >= _FEW_TO_TELL and there.sum() >= _FEW_TO_TELL:
            expected = usual * np.median(row[there] / usual[there])  # the head's size on the frame
            excess = (row + slack) / (expected + slack) / _FAR_TOO_LONG
            for i in np.flatnonzero(there & (excess > 1.0)):
                text = f"is {row[i]:.0f} px long, {expected[i]:.0f} px were to be expected"
                left_out.append(LeftOut(shot=drawing.shot, shape=names[i], frame=drawing.frame,
                                        reason=text, excess=float(excess[i])))  # fmt: skip
                del contours[names[i]]
        kept.append(replace(drawing, contours=contours))
    return kept, left_out


def _anchors(
    name: str, corners: NDArray[np.bool_], known: Sequence[Mapping[str, Match]], window: float
) -> NDArray[np.bool_]:
    """Stations that are corners, or lie on a bend of a root: what one can recognise."""
    anchors = corners.copy()
    for matches in known:
        if name in matches:
            contour, along = matches[name].contour, matches[name].along
            for place in find_bends(contour, window_px=window)[0]:
                gap = np.abs(along - place)
                gap = np.minimum(gap, contour.length - gap) if contour.closed else gap
                if gap.min() < window / 2:
                    anchors[int(gap.argmin())] = True
            break
    return anchors


def _lasting(
    anchors: NDArray[np.bool_],
    corners: NDArray[np.bool_],
    found: Sequence[Mapping[str, Match]],
    name: str,
) -> NDArray[np.bool_]:
    """Corners, and those bends of the root that most other frames have too.

    A mouth that is bent here and round there has no recognisable place between.
    """
    marks = [matches[name].anchored for matches in found if name in matches]
    seen = np.array([mark for mark in marks if mark is not None])
    if not len(seen):
        return corners
    return np.asarray(corners | (anchors & (seen.sum(axis=0) >= _LASTING * len(marks))))


def _stations(
    found: Sequence[Mapping[str, Match]],
    anchors: Mapping[str, NDArray[np.bool_]],
    roots: Sequence[int],
) -> list[Stations]:
    shapes = []
    for name in anchors:
        count = next(len(matches[name].along) for matches in found if name in matches)
        along = np.full((len(found), count), np.nan)
        fixed = np.zeros((len(found), count), dtype=np.bool_)
        contours: list[Contour | None] = []
        for f, matches in enumerate(found):
            match = matches.get(name)
            contours.append(None if match is None else match.contour)
            if match is None:
                continue
            along[f] = match.along
            if match.anchored is not None:
                fixed[f] = match.anchored & anchors[name]
            if not match.contour.closed:
                fixed[f, [0, -1]] = True
            fixed[f] |= f in roots
        shapes.append(Stations(contours=contours, along=along, fixed=fixed))
    return shapes


def _settle(
    found: list[dict[str, Match]],
    anchors: Mapping[str, NDArray[np.bool_]],
    roots: Sequence[int],
    rounds: int,
) -> FloatArray:
    shapes = _stations(found, anchors, roots)
    slide = settle(shapes, rounds=rounds)
    for name, shape in zip(anchors, shapes, strict=True):
        for f, matches in enumerate(found):
            if name in matches:
                matches[name] = replace(matches[name], along=shape.along[f])
    return slide


def _remove(
    drawings: Sequence[Drawing], found: list[dict[str, Match]], left_out: Sequence[LeftOut]
) -> None:
    places = {(d.shot, d.frame): f for f, d in enumerate(drawings)}
    for item in left_out:
        del found[places[item.shot, item.frame]][item.shape]


def _find_strangers(
    drawings: Sequence[Drawing],
    found: Sequence[Mapping[str, Match]],
    expected: Sequence[Mapping[str, FloatArray]],
    most_cost: float,
) -> list[LeftOut]:
    """Contours unlike what the other shapes of their frame lead to expect under their name."""
    head = head_size(drawings)
    strangers = []
    for drawing, matches, places in zip(drawings, found, expected, strict=True):
        for name, xy in places.items():
            reason = _unlike(matches[name], xy, head, most_cost)
            if reason is not None:
                text, excess = reason
                strangers.append(
                    LeftOut(shot=drawing.shot, shape=name, frame=drawing.frame, reason=text,
                            excess=excess)
                )  # fmt: skip
    return strangers


def _worst_of_each_frame(strangers: Sequence[LeftOut]) -> list[LeftOut]:
    """One stranger a frame: it may be what makes the frame's other shapes look strange."""
    worst: dict[tuple[str, int], LeftOut] = {}
    for item in strangers:
        key = (item.shot, item.frame)
        if key not in worst or item.excess > worst[key].excess:
            worst[key] = item
    return list(worst.values())


def _unlike(
    match: Match, expected: FloatArray, head: float, most_cost: float
) -> tuple[str, float] | None:
    """What speaks against a contour being the shape expected at (P, 2), and how many times over."""
    line = polyline(expected, closed=match.contour.closed)
    length, usual = match.contour.length, line.length
    apart = float(np.linalg.norm(match.contour.centroid - line.centroid))
    if not 1 / _MOST_STRETCH <= (length + head * 0.02) / (usual + head * 0.02) <= _MOST_STRETCH:
        ratio = max(length, usual) / max(min(length, usual), 1e-6) / _MOST_STRETCH
        return f"is {length:.0f} px long, {usual:.0f} px were to be expected", ratio
    if apart > _MOST_APART * head:
        text = f"lies {apart:.0f} px from where the other shapes put it"
        return text, apart / (_MOST_APART * head)
    if match.cost > most_cost:
        text = f"runs unlike the other frames' (unlikeness {match.cost:.2f}, at most {most_cost})"
        return text, match.cost / most_cost
    return None
