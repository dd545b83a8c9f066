"""Stations carried from frame to frame: each contour is laid along the most similar one so far.

In: all frames of all shots, and on one or more of them (the roots) where the stations of each
shape lie. Out: the same for every other frame. A head that is turned away does not look like the
marked one, but it does look like the frame before it: so frames are taken in the order of a
minimum spanning tree over how the shapes of a frame lie to each other, and each is laid along
the nearest that is already known. What drifts along the way is put right by
``character.settling``, which looks at all frames at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.matching import Match, align_frames, match_contour
from laikaroto.coords import FloatArray
from laikaroto.shapes.contour import Contour, find_bends

_SIZE_WEIGHT = 0.3  # of a shape's length against its place
_TELLING_AREA = 0.01  # of the length squared; a circle has 0.08
_REACH = 0.04  # of the length: how far a corner may lie from where it is expected


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """The contours of one frame.

    Attributes:
        shot: name of the shot; frames of one are one animated drawing.
        frame: its number.
        contours: by name.
    """

    shot: str
    frame: int
    contours: Mapping[str, Contour]


def head_size(drawings: Sequence[Drawing]) -> float:
    """Diagonal of the box around all shapes of a frame, px: the median of the frames."""
    sizes = []
    for drawing in drawings:
        if drawing.contours:
            xy = np.concatenate([contour.xy for contour in drawing.contours.values()])
            sizes.append(float(np.hypot(*np.ptp(xy, axis=0))))
    return max(float(np.median(sizes)), 1.0) if sizes else 1.0


def chain(
    drawings: Sequence[Drawing],
    known: Sequence[Mapping[str, Match]],
    *,
    anchors: Mapping[str, NDArray[np.bool_]],
    window_px: float,
) -> list[dict[str, Match]]:
    """Carry the stations of the roots to all other frames.

    Args:
        drawings: (F,) all frames.
        known: (F,) what is known of each: empty mappings, except on the roots.
        anchors: for each shape, (P,) which stations are bends: they go to a contour's own.
        window_px: of a bend, see ``contour.find_bends``.

    Returns:
        (F,) matches by shape; a shape is missing where it is not drawn.
    """
    found = [dict(matches) for matches in known]
    turning = _usual_turning(drawings)
    for child, nearest in _order(drawings, [i for i, m in enumerate(known) if m]):
        for name, contour in drawings[child].contours.items():
            if name in found[child]:
                continue
            parent = next((i for i in nearest if name in found[i]), None)
            if parent is None:
                continue
            link = _Link(drawings[parent], drawings[child], name, found[parent][name])
            match = _carry(link, contour, turning)
            bends, _ = find_bends(match.contour, window_px=window_px)
            found[child][name] = snap(replace(match, bends=bends), anchors[name])
    return found


def carry_again(
    drawings: Sequence[Drawing],
    found: Sequence[Mapping[str, Match]],
    expected: Sequence[Mapping[str, FloatArray]],
    *,
    anchors: Mapping[str, NDArray[np.bool_]],
    anew: bool,
) -> list[dict[str, Match]]:
    """Lay every contour anew along where its stations are expected on its own frame.

    Args:
        drawings: (F,) all frames.
        found: (F,) matches so far, as of ``chain``.
        expected: (F,) stations (P, 2), plate px, of the shapes to lay anew.
        anchors: as for ``chain``.
        anew: whether closed ones may start anywhere, not only near where they start now.
    """
    result = [dict(matches) for matches in found]
    for f, places in enumerate(expected):
        for name, xy in places.items():
            old = found[f][name]
            line = polyline(xy, closed=old.contour.closed)
            stations = line.along[: len(xy)]
            start = None if anew else old.along[0] / max(old.contour.length, 1e-9)
            new = match_contour(
                line, stations, old.contour, np.eye(2, 3), turned=False, start=start
            )
            new = replace(new, turned=old.turned, bends=old.bends)
            result[f][name] = snap(new, anchors[name])
    return result


def polyline(xy: FloatArray, *, closed: bool) -> Contour:
    """Straight lines from point to point, as a contour without corners."""
    line = np.concatenate([xy, xy[:1]]) if closed else xy
    steps = np.maximum(np.hypot(*np.diff(line, axis=0).T), 1e-6)
    empty = np.zeros(0)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    return Contour(closed=closed, xy=line, along=along, corners=empty, turns=empty,
                   knots=along[: len(xy)])  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    parent: Drawing
    child: Drawing
    name: str
    known: Match


def _carry(link: _Link, contour: Contour, turning: Mapping[tuple[str, str], float]) -> Match:
    known = link.known
    matrix = align_frames(link.parent.contours, [link.child.contours])[0]
    same = link.parent.shot == link.child.shot
    turned: bool | None = None
    if contour.closed:
        wanted = _turning(known.contour) or turning[link.parent.shot, link.name] * (
            -1.0 if known.turned else 1.0
        )
        got = _turning(contour) or turning[link.child.shot, link.name]
        turned = None if wanted * got == 0.0 else bool(wanted * got < 0.0)
    if turned is None and same:
        turned = known.turned
    start = known.along[0] / max(known.contour.length, 1e-9) if same else None
    return match_contour(known.contour, known.along, contour, matrix, turned=turned, start=start)


def _turning(contour: Contour) -> float:
    """+1 where a closed contour runs clockwise, -1 where it does not, 0 where it hardly tells."""
    share = contour.area / max(contour.length, 1e-9) ** 2
    return float(np.sign(share)) if abs(share) > _TELLING_AREA else 0.0


def _usual_turning(drawings: Sequence[Drawing]) -> dict[tuple[str, str], float]:
    """The direction in which each shape of each shot is mostly drawn."""
    total: dict[tuple[str, str], float] = {}
    for drawing in drawings:
        for name, contour in drawing.contours.items():
            key = (drawing.shot, name)
            share = contour.area / max(contour.length, 1e-9) ** 2
            total[key] = total.get(key, 0.0) + (share if contour.closed else 0.0)
    return {key: float(np.sign(value)) for key, value in total.items()}


def snap(
    match: Match, anchors: NDArray[np.bool_], *, reach: float = _REACH, apart: bool = True
) -> Match:
    """Put stations that are bends onto the contour's own, where one is near.

    Args:
        match: stations of one contour.
        anchors: (P,) which of them are bends.
        reach: of the contour's length, how far a bend may be from its station.
        apart: whether none goes further than half of the way to the next bend's station.

    Returns:
        The match; stations between two bends are moved along in proportion.
    """
    contour, along = match.contour, match.along
    which = np.flatnonzero(anchors)
    if not len(which):
        return match
    there = match.bends
    if not len(there):
        return replace(match, anchored=None)
    at = along[which]
    if contour.closed:  # as often round as the stations may lie
        there = (there + contour.length * np.arange(-1, 3)[:, None]).reshape(-1)
    within = np.full(len(which), reach * contour.length)
    if apart and len(which) > 1:
        room = np.diff(at, append=at[0] + contour.length if contour.closed else np.inf)
        within = np.minimum(within, np.minimum(room, np.roll(room, 1)) / 2)
    gaps = np.abs(there[:, None] - at)
    shift = np.zeros(len(which))
    free = gaps <= within
    while free.any():
        i, j = np.unravel_index(int(np.where(free, gaps, np.inf).argmin()), gaps.shape)
        shift[j] = there[i] - at[j]
        turns = (there - there[i]) / contour.length
        same = np.isclose(turns, np.round(turns) if contour.closed else 0.0)
        free[same] = False
        free[:, j] = False
    _drop_crossings(at, shift, contour)
    anchored = np.zeros(len(along), dtype=np.bool_)
    anchored[which] = np.abs(there[:, None] - (at + shift)).min(axis=0) < 1e-9
    return replace(match, along=_spread(along, at, shift, contour), anchored=anchored)


def _drop_crossings(at: FloatArray, shift: FloatArray, contour: Contour) -> None:
    """Take back shifts (in place) by which a station would pass its neighbour, longest first."""
    turn = contour.length if contour.closed else np.inf
    while True:
        gaps = np.diff(at + shift, append=at[0] + shift[0] + turn)
        bad = np.flatnonzero(gaps <= 0)
        if not len(bad):
            return
        both = np.concatenate([bad, (bad + 1) % len(at)])
        worst = both[np.abs(shift[both]).argmax()]
        if shift[worst] == 0.0:
            return
        shift[worst] = 0.0


def _spread(along: FloatArray, at: FloatArray, shift: FloatArray, contour: Contour) -> FloatArray:
    """Shift stations (P,) as the corners at ``at`` are shifted, in proportion between them."""
    if contour.closed:
        at = np.concatenate([at[-1:] - contour.length, at, at[:1] + contour.length])
        shift = np.concatenate([shift[-1:], shift, shift[:1]])
    else:
        at = np.concatenate([[along[0] - 1e-6], at, [along[-1] + 1e-6]])
        shift = np.concatenate([[0.0], shift, [0.0]])
    return np.maximum.accumulate(along + np.interp(along, at, shift))


def _order(drawings: Sequence[Drawing], roots: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Prim's order: every frame but the roots, with the frames known by then, nearest first."""
    distances = _distances(drawings)
    done = list(roots)
    waiting = sorted(set(range(len(drawings))) - set(done))
    while waiting:
        table = distances[np.ix_(waiting, done)]
        child = waiting[int(table.min(axis=1).argmin())]
        yield child, [done[i] for i in np.argsort(distances[child, done], kind="stable")]
        waiting.remove(child)
        done.append(child)


def _distances(drawings: Sequence[Drawing]) -> FloatArray:
    """How differently the shapes of two frames lie to each other, (F, F); 0 is alike."""
    names = sorted({name for drawing in drawings for name in drawing.contours})
    base = max(drawings, key=lambda drawing: len(drawing.contours)).contours
    matrices = align_frames(base, [drawing.contours for drawing in drawings])
    rows = np.full((len(drawings), len(names), 3), np.nan)
    for f, (drawing, matrix) in enumerate(zip(drawings, matrices, strict=True)):
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        for i, name in enumerate(names):
            if (contour := drawing.contours.get(name)) is not None:
                rows[f, i, :2] = matrix[:, :2] @ contour.centroid + matrix[:, 2]
                rows[f, i, 2] = _SIZE_WEIGHT * scale * contour.length
    gaps = np.abs(rows[:, None] - rows[None])
    both = np.isfinite(gaps)
    total = np.where(both, gaps, 0.0).sum(axis=(2, 3))
    mean: FloatArray = total / np.maximum(both.sum(axis=(2, 3)), 1)
    # A shape that only one of the two has says they are not alike.
    return np.where(both.any(axis=(2, 3)), mean, mean.max() + 1.0)
