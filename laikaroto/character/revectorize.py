"""Artists' contours carried onto a character's points: same point, same physical spot, everywhere.

In: contours of one or more shots, with any number of points, any start and either direction; and
either marked frames, whose points are the ones wanted, or how many points each shape shall have.
Out: the same contours as splines of the template, how far off they are, and which contours were
left out and why.

Three steps, each a module of its own: ``carrying`` finds the same spots on all frames,
``placing`` chooses which of them become points where nobody marked any, ``shapes.fitting``
writes each contour as a spline through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.carrying import Carried, LeftOut, carry
from laikaroto.character.chaining import Drawing, head_size
from laikaroto.character.following import TOLERANCE_PX, fit_match, fit_nearer
from laikaroto.character.matching import Match
from laikaroto.character.placing import Placed, place_points
from laikaroto.character.template import ShapeTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.shapes.artist import ArtistShape
from laikaroto.shapes.contour import Contour, crossing_loop, find_bends

_BETWEEN = 6  # stations from one marked point to the next
_MADE = 72  # stations of a shape nobody marked
_TANGLED = 0.06  # of a shape's box: a loop of this size is no closed lid
_CORNER_SHARE = 0.6  # of the frames have to turn sharply for a point to be a corner
# On a marked frame the points are the artist's own: tangents that are not in one line were broken
# on purpose. Contours that are carried may have been cut and rounded on the way.
_BROKEN_DEG = 8.0
_MOST_OFF = 0.01  # of the head's size: a curve further off than this is not the artist's
_SINGLE_FRAMES = 0.1  # of a shape's frames: that many may be off for reasons of their own
_MARKED = "*"  # no shot can have this name


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeReport:
    """How one shape of one shot came out.

    Attributes:
        frames: frames that were carried over.
        mean_px: mean distance between the artist's curve and ours, both ways.
        max_px: largest distance, and on which frame (``max_frame``).
        slide_px: by how much the frames disagree on where the points lie along the curve; None
            where there are too few frames and shots to tell.
        left_out: frames that were not used.
    """

    shot: str
    shape: str
    points: int
    frames: tuple[int, ...]
    mean_px: float
    max_px: float
    max_frame: int | None
    slide_px: float | None
    left_out: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Revectorized:
    """All shots on one template.

    Attributes:
        shapes: forms of the shapes, sorted by name.
        splines: by shot, shape and frame: control points (N, 6), plate px.
        reports: one for each shape of each shot.
        left_out: contours that were not used, with the reason.
        enough_points: for shapes whose number of points was given and does not reach the
            tolerance: how many would, or None where none up to 40 do.
    """

    shapes: tuple[ShapeTemplate, ...]
    splines: Mapping[str, Mapping[str, Mapping[int, FloatArray]]]
    reports: tuple[ShapeReport, ...]
    left_out: tuple[LeftOut, ...]
    enough_points: Mapping[str, int | None]

    @classmethod
    def nothing(cls, shapes: tuple[ShapeTemplate, ...]) -> Revectorized:
        """No shot has a contour."""
        return cls(shapes=shapes, splines={}, reports=(), left_out=(), enough_points={})


Shots = Mapping[str, Mapping[str, ArtistShape]]
#: Told how far it is, 0-1, and what is being done: sixty frames take half a minute.
Report = Callable[[float, str], None]


def _untold(share: float, text: str) -> None:
    """Nobody wants to know."""


def revectorize(
    shots: Shots,
    shapes: Sequence[ShapeTemplate],
    marked: Sequence[Mapping[str, FloatArray]],
    *,
    more_corners: bool = False,
    report: Report = _untold,
) -> Revectorized:
    """Carry contours onto points that are marked on some frames.

    Args:
        shots: artists' shapes by shot and by the template's names.
        shapes: forms of the template.
        marked: frames with the template's own points, (N, 6) by shape. Each shape has to be on
            at least one of them.
        more_corners: whether points that are sharp on most frames become corners of the template
            too: on a marked frame that shows an eye from the side its corner may be flat.
        report: told how far it is.

    Raises:
        TruthError: a shape is marked on no frame, or with another number of points.
    """
    forms = {shape.name: shape for shape in shapes if any(shape.name in s for s in shots.values())}
    _check_marks(forms, marked)
    drawings, left_out = _gather(shots, forms)
    roots, known = [], []
    for number, points in enumerate(marked):
        contours = {
            name: Contour.of(points[name], closed=form.closed)
            for name, form in forms.items()
            if name in points
        }
        roots.append(Drawing(shot=_MARKED, frame=number, contours=contours))
        known.append(
            {name: Match(contour=c, along=_between(c), cost=0.0) for name, c in contours.items()}
        )
    corners = {}
    for name, form in forms.items():
        count = form.count * _BETWEEN if form.closed else (form.count - 1) * _BETWEEN + 1
        corners[name] = np.zeros(count, dtype=np.bool_)
        corners[name][[corner * _BETWEEN for corner in form.corners]] = True
    everything = [*roots, *drawings]
    report(0.0, f"laying {len(drawings)} frames along one another")
    carried = carry(everything, [*known, *({} for _ in drawings)], corners=corners)
    keep = {name: np.arange(form.count) * _BETWEEN for name, form in forms.items()}
    if more_corners:
        window = 0.016 * head_size(drawings)
        forms = {n: _with_corners(form, carried, keep[n], window) for n, form in forms.items()}
    return _write(
        everything, carried, tuple(forms.values()), keep, left_out, {},
        report=lambda share, text: report(0.5 + 0.5 * share, text),
    )  # fmt: skip


def _with_corners(
    form: ShapeTemplate, carried: Carried, stations: NDArray[np.int64], window: float
) -> ShapeTemplate:
    """A form whose corners are its own and those points by which most contours turn sharply."""
    matches = [found[form.name] for found in carried.matches if form.name in found]
    sharp = np.zeros(form.count)
    for match in matches:
        contour = match.contour
        gap = np.abs(np.mod(match.along[stations], contour.length)[:, None] - contour.corners)
        if contour.closed:
            gap = np.minimum(gap, contour.length - gap)
        nearest = gap.argmin(axis=0)  # each corner of the contour speaks for one point
        near = gap[nearest, np.arange(len(contour.corners))] <= window
        sharp[np.unique(nearest[near])] += 1
    most = np.flatnonzero(sharp >= _CORNER_SHARE * len(matches))
    ends: set[int] = set() if form.closed else {0, form.count - 1}
    corners = tuple(sorted({*form.corners, *(int(i) for i in most)} - ends))
    return form.model_copy(update={"corners": corners})


def marked_forms(
    points: Mapping[str, FloatArray], closed: Mapping[str, bool]
) -> list[ShapeTemplate]:
    """Forms of shapes as one marked frame (N, 6) by shape has them; broken points are corners."""
    forms = []
    for name, values in sorted(points.items()):
        contour = Contour.of(values, closed=closed[name])
        broken = (_turns(values) >= _BROKEN_DEG) | _sharp(contour, contour.knots)
        if not closed[name]:
            broken[[0, -1]] = False
        corners = tuple(int(i) for i in np.flatnonzero(broken))
        forms.append(
            ShapeTemplate(name=name, closed=closed[name], count=len(values), corners=corners)
        )
    return forms


def make_template(
    shots: Shots, *, counts: Mapping[str, int], tolerance_px: float = TOLERANCE_PX,
    report: Report = _untold,
) -> Revectorized:  # fmt: skip
    """Choose points from the contours themselves and carry the contours onto them.

    Corners and ends are points; between them the fewest that hold every frame's curve within
    the tolerance, on the same spots throughout.

    Args:
        shots: artists' shapes by shot and name.
        counts: how many points certain shapes shall have, whatever they reach.
        tolerance_px: largest distance allowed for the others.
        report: told how far it is.

    Raises:
        TruthError: no frame has all shapes together, or a shape is open here and closed there.
    """
    closed = _closedness(shots)
    forms = {name: ShapeTemplate(name=name, closed=c, count=2) for name, c in closed.items()}
    drawings, left_out = _gather(shots, forms)
    root = _most_usual(drawings, sorted(forms))
    report(0.0, f"laying {len(drawings)} frames along one another")
    window = 0.016 * head_size(drawings)
    known: list[dict[str, Match]] = [{} for _ in drawings]
    for name, contour in drawings[root].contours.items():
        along = _evenly(contour, window)
        known[root][name] = Match(contour=contour, along=along, cost=0.0)
    corners = {name: _sharp(match.contour, match.along) for name, match in known[root].items()}
    carried = carry(drawings, known, corners=corners)
    made: dict[str, ShapeTemplate] = {}
    keep: dict[str, NDArray[np.int64]] = {}
    enough: dict[str, int | None] = {}
    for done, name in enumerate(sorted(forms)):
        report(0.2 + 0.6 * done / len(forms), f"placing the points of {name}")
        matches = [found[name] for found in carried.matches if name in found]
        sharp = np.stack([_sharp(match.contour, match.along) for match in matches])
        placed = place_points(
            matches, sharp, count=counts.get(name), tolerance_px=tolerance_px,
            corner_share=_CORNER_SHARE,
        )  # fmt: skip
        made[name], keep[name] = _form(name, closed[name], placed), placed.stations
        if placed.enough is not None:
            enough[name] = placed.enough[0]
    result = _write(
        drawings, carried, tuple(made.values()), keep, left_out, enough,
        report=lambda share, text: report(0.8 + 0.2 * share, text),
    )  # fmt: skip
    beyond = {report.shape for report in result.reports if report.max_px > tolerance_px}
    # single frames may have been mended since
    return replace(result, enough_points={n: m for n, m in enough.items() if n in beyond})


def _form(name: str, closed: bool, placed: Placed) -> ShapeTemplate:
    corners = np.flatnonzero(placed.corners[placed.stations])
    return ShapeTemplate(
        name=name,
        closed=closed,
        count=len(placed.stations),
        corners=tuple(int(i) for i in corners),
    )


def _check_marks(
    forms: Mapping[str, ShapeTemplate], marked: Sequence[Mapping[str, FloatArray]]
) -> None:
    faults = []
    for name, form in forms.items():
        counts = {len(points[name]) for points in marked if name in points}
        if not counts:
            faults.append(f"shape {name!r}: is on no marked frame")
        elif counts != {form.count}:
            faults.append(
                f"shape {name!r}: wanted {form.count} points on the marked frames, got "
                f"{', '.join(map(str, sorted(counts)))}"
            )
    if faults:
        raise TruthError(
            "\n".join(faults) + "\nmark a frame on which every shape has exactly its points"
        )


def _closedness(shots: Shots) -> dict[str, bool]:
    found: dict[str, dict[bool, list[str]]] = {}
    for shot, shapes in shots.items():
        for name, shape in shapes.items():
            found.setdefault(name, {}).setdefault(shape.closed, []).append(shot)
    faults = [
        f"shape {name!r}: is closed in {', '.join(ways[True])} and open in {', '.join(ways[False])}"
        for name, ways in sorted(found.items())
        if len(ways) > 1
    ]
    if faults:
        raise TruthError("\n".join(faults) + "\nredraw it the same way in all shots")
    return {name: next(iter(ways)) for name, ways in found.items()}


def _gather(
    shots: Shots, forms: Mapping[str, ShapeTemplate]
) -> tuple[list[Drawing], list[LeftOut]]:
    """All frames as drawings, without contours that cannot be what they are called."""
    drawings, left_out = [], []
    for shot, shapes in sorted(shots.items()):
        frames = sorted({frame for shape in shapes.values() for frame in shape.frames})
        for frame in frames:
            contours = {}
            for name, shape in sorted(shapes.items()):
                if name not in forms or frame not in shape.frames:
                    continue
                contour, reason = _sound(shape, shape.frames[frame], forms[name].closed)
                if contour is not None:
                    contours[name] = contour
                else:
                    left_out.append(LeftOut(shot=shot, shape=name, frame=frame, reason=reason))
            drawings.append(Drawing(shot=shot, frame=frame, contours=contours))
    return drawings, left_out


def _sound(shape: ArtistShape, points: FloatArray, closed: bool) -> tuple[Contour | None, str]:
    if shape.closed != closed:
        way = {True: "closed", False: "open"}
        return None, f"is {way[shape.closed]}, wanted it {way[closed]}"
    if not np.isfinite(points).all():
        return None, "holds numbers that are not finite"
    if len(points) < 2:
        return None, f"has {len(points)} points; wanted two or more"
    contour = Contour.of(points, closed=closed)
    if contour.length < 1.0:
        return None, f"is {contour.length:.1f} px long"
    if (loop := crossing_loop(contour)) > _TANGLED:
        return None, f"crosses itself in a loop of {loop:.0%} of its box"
    return contour, ""


def _between(contour: Contour) -> FloatArray:
    """Stations on every control point and evenly between."""
    knots = contour.knots
    if contour.closed:
        knots = np.append(knots, contour.length)
    shares = np.arange(_BETWEEN) / _BETWEEN
    inner = (knots[:-1, None] + np.diff(knots)[:, None] * shares).reshape(-1)
    return inner if contour.closed else np.append(inner, knots[-1])


def _evenly(contour: Contour, window: float) -> FloatArray:
    """Stations evenly along, the nearest ones moved onto corners and tips."""
    along = np.linspace(0.0, contour.length, _MADE, endpoint=not contour.closed)
    step = along[1]
    bends, _ = find_bends(contour, window_px=window)
    for place in np.concatenate([contour.corners, bends]):
        gap = np.abs(along - place)
        if gap.min() <= step / 2 + 1e-9:
            along[int(gap.argmin())] = place
        elif contour.closed and contour.length - place <= step / 2:
            along = along - (contour.length - place)
    return along


def _sharp(contour: Contour, along: FloatArray) -> NDArray[np.bool_]:
    """Stations that lie on a corner of the contour."""
    if not len(contour.corners):
        return np.zeros(len(along), dtype=np.bool_)
    gap = np.abs(along[:, None] - contour.corners)
    if contour.closed:
        gap = np.minimum(np.mod(gap, contour.length), contour.length - np.mod(gap, contour.length))
    return np.asarray(gap.min(axis=1) < 1e-6)


def _turns(points: FloatArray) -> FloatArray:
    """Degrees between the tangents of each point (N, 6); 0: in one line, or there are none."""
    into, out = -points[:, 2:4], points[:, 4:6]
    sizes = np.linalg.norm(into, axis=1) * np.linalg.norm(out, axis=1)
    cosines = np.divide((into * out).sum(axis=1), sizes, out=np.ones(len(sizes)), where=sizes > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))))


def _most_usual(drawings: Sequence[Drawing], names: Sequence[str]) -> int:
    """The frame that looks most like all others and has every shape."""
    whole = [i for i, drawing in enumerate(drawings) if set(drawing.contours) == set(names)]
    if not whole:
        raise TruthError(
            f"no frame has all shapes together ({', '.join(names)}); import one that has first, "
            "or mark a frame with --mark"
        )
    head = [head_size([drawings[i]]) for i in whole]
    rows = []
    for i, size in zip(whole, head, strict=True):
        middle = np.mean([c.centroid for c in drawings[i].contours.values()], axis=0)
        rows.append(
            [
                value
                for name in names
                for c in [drawings[i].contours[name]]
                for value in (*(c.centroid - middle) / size, c.length / size)
            ]
        )
    table = np.array(rows)
    return whole[int(np.abs(table - np.median(table, axis=0)).sum(axis=1).argmin())]


def _write(
    drawings: Sequence[Drawing],
    carried: Carried,
    forms: tuple[ShapeTemplate, ...],
    keep: Mapping[str, NDArray[np.int64]],
    left_out: Sequence[LeftOut],
    enough: Mapping[str, int | None],
    *,
    report: Report,
) -> Revectorized:
    """Fit every contour that was carried, and report."""
    out = [*left_out, *carried.left_out]
    most = _MOST_OFF * head_size(drawings)
    splines: dict[str, dict[str, dict[int, FloatArray]]] = {}
    off: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {}
    for done, form in enumerate(forms):
        report(done / len(forms), f"fitting {form.name}")
        for f, (points, off_px) in _fit_shape(drawings, carried, form, keep[form.name]).items():
            drawing = drawings[f]
            if off_px[1] > most:
                reason = f"could not be followed: {off_px[1]:.1f} px off, at most {most:.1f} px"
                out.append(LeftOut(shot=drawing.shot, shape=form.name, frame=drawing.frame,
                                   reason=reason))  # fmt: skip
                continue
            splines.setdefault(drawing.shot, {}).setdefault(form.name, {})[drawing.frame] = points
            slide = carried.slide_px[f, carried.names.index(form.name)]
            off.setdefault((drawing.shot, form.name), {})[drawing.frame] = (
                *off_px,
                float(slide),
            )
    everything = sorted(out, key=lambda item: (item.shot, item.shape, item.frame))
    shots = sorted({drawing.shot for drawing in drawings} - {_MARKED})
    reports = tuple(_report(shot, form, off, everything) for shot in shots for form in forms)
    return Revectorized(
        shapes=forms,
        splines=splines,
        reports=reports,
        left_out=tuple(everything),
        enough_points=dict(enough),
    )


def _fit_shape(
    drawings: Sequence[Drawing], carried: Carried, form: ShapeTemplate, stations: NDArray[np.int64]
) -> dict[int, tuple[FloatArray, tuple[float, float]]]:
    """Splines of one shape by number of drawing, and how far off they are.

    Where few frames stay beyond the tolerance, each of them is looked at again by itself; where
    many do, the points are too few, and sliding them would only hide it.
    """
    corners = np.isin(np.arange(form.count), form.corners)
    matches = {
        f: carried.matches[f][form.name]
        for f, drawing in enumerate(drawings)
        if drawing.shot != _MARKED and form.name in carried.matches[f]
    }
    fitted = {f: fit_match(match, stations, corners) for f, match in matches.items()}
    beyond = [f for f, (_, off_px) in fitted.items() if off_px[1] > TOLERANCE_PX]
    if len(beyond) <= max(1, _SINGLE_FRAMES * len(fitted)):
        for f in beyond:
            fitted[f] = fit_nearer(matches[f], stations, corners, fitted[f])
    return fitted


def _report(
    shot: str,
    form: ShapeTemplate,
    off: Mapping[tuple[str, str], Mapping[int, tuple[float, float, float]]],
    left_out: Sequence[LeftOut],
) -> ShapeReport:
    found = off.get((shot, form.name), {})
    values = np.array(list(found.values())).reshape(-1, 3)
    frames = tuple(sorted(found))
    some = len(frames) > 0
    return ShapeReport(
        shot=shot,
        shape=form.name,
        points=form.count,
        frames=frames,
        mean_px=float(values[:, 0].mean()) if some else 0.0,
        max_px=float(values[:, 1].max()) if some else 0.0,
        max_frame=list(found)[int(values[:, 1].argmax())] if some else None,
        slide_px=float(values[:, 2].mean()) if some and np.isfinite(values[:, 2]).all() else None,
        left_out=tuple(
            item.frame for item in left_out if (item.shot, item.shape) == (shot, form.name)
        ),
    )
