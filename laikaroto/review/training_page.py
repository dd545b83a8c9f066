"""The report of a training: how it went, and its validation frames against the truth.

One HTML file with its pictures beside it. The worst held-out frames come first, with what sets
them apart; then the frames of published shots that would teach most if they were rotoscoped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.plate.proxy import make_proxy, write_jpeg
from laikaroto.review.charts import Chart, Series, Span, line_chart
from laikaroto.review.pages import PAGE, PICTURES, render, replacing, write_page
from laikaroto.review.pictures import MAX_WIDTH_PX
from laikaroto.shapes.bezier import segments
from laikaroto.shapes.records import Roto
from laikaroto.training.curve_distance import visible_segments
from laikaroto.training.evaluate import FrameError, evaluate

_MARGIN = 0.08  # of the puppet's size, around it


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """The state of a training at one moment; what was not measured then is None."""

    seconds: float
    step: int
    loss: float | None
    learning_rate: float | None
    validation_tracks_px: float | None = None
    validation_curves_px: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A named part of a training, for example ``held-out validation``."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValidationPicture:
    """One validation frame; ``rgb`` (H, W, 3) scene-linear float32 is its plate.

    why: what sets it apart, for a person.
    """

    title: str
    frame: int
    truth: Roto
    prediction: Roto
    rgb: NDArray[np.float32]
    why: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuggestedPicture:
    """A published frame that would teach much, and why; ``rgb`` is its plate."""

    title: str
    frame: int
    prediction: Roto
    rgb: NDArray[np.float32]
    why: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingReport:
    """Everything the page says.

    Attributes:
        character: the puppet.
        model_version: of the package, as text.
        settings: names and values of what the training was told.
        history: in order of time.
        phases: spans of time drawn behind the curves.
        held_out: shots the validation figures are measured on.
        validation: for each held-out shot, ``Evaluation.to_dict()``.
        pictures: read once; may be a generator, so that one plate is in memory at a time.
        suggestions: the best first; read once.
        notes: what could not be looked at for them.
    """

    character: str
    model_version: str
    settings: Mapping[str, Any]
    history: Sequence[HistoryRow]
    phases: Sequence[Phase]
    held_out: Sequence[str]
    validation: Mapping[str, Mapping[str, Any]]
    pictures: Iterable[ValidationPicture]
    suggestions: Iterable[SuggestedPicture] = ()
    notes: Sequence[str] = ()


def write_training_page(report: TrainingReport, folder: Path) -> Path:
    """Write the report, in place of an earlier one.

    Returns:
        The page, ``folder/index.html``.

    Raises:
        TruthError: the prediction and the truth of a picture do not go together.
        TryAgainError: the disk refuses; an earlier page is intact.
    """
    with replacing(folder) as page:
        figures = [
            _write_figure(picture, page / PICTURES, number)
            for number, picture in enumerate(report.pictures)
        ]
        figures.sort(key=lambda figure: -float(figure["worst_px"]))
        suggestions = [
            _write_suggestion(picture, page / PICTURES, number)
            for number, picture in enumerate(report.suggestions)
        ]
        last = report.history[-1] if report.history else None
        html = render(
            "training_page.html",
            report=report,
            charts=_charts(report),
            figures=figures,
            suggestions=suggestions,
            steps=last.step if last else 0,
            minutes=last.seconds / 60 if last else 0.0,
        )
        write_page(page, html)
    return folder / PAGE


def _charts(report: TrainingReport) -> list[Chart]:
    spans = [Span(name=p.name, start=p.start_s, end=p.end_s) for p in report.phases]

    def series(name: str, colour: str, field: str) -> Series:
        pairs = [(row.seconds, getattr(row, field)) for row in report.history]
        return Series(name=name, colour=colour, xy=[(x, y) for x, y in pairs if y is not None])

    charts = [
        line_chart("loss", [series("loss", "#d8a944", "loss")], spans=spans),
        line_chart(
            "validation error on held-out shots, px",
            [
                series("tracking points", "#6fc3e8", "validation_tracks_px"),
                series("curves", "#ff7ad9", "validation_curves_px"),
            ],
            spans=spans,
        ),
        line_chart(
            "learning rate", [series("learning rate", "#9a9a9a", "learning_rate")], spans=spans
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _write_figure(picture: ValidationPicture, folder: Path, number: int) -> dict[str, Any]:
    """Write a picture of the puppet and say what is drawn over it."""
    frame = picture.frame
    error = evaluate(picture.prediction, picture.truth, frames=[frame]).frames[frame]
    image = _write_image(
        picture.rgb, (picture.truth, picture.prediction), frame, folder, f"validation.{number:04d}"
    )
    means = {n: s.mean_px for n, s in error.shapes.items() if s.mean_px is not None}
    missing = [n for n, s in error.shapes.items() if s.missing]
    return {
        "title": picture.title,
        "frame": frame,
        **image,
        "why": list(picture.why),
        "truth": _drawing(picture.truth, frame),
        "prediction": _drawing(picture.prediction, frame),
        "worst_px": math.inf if missing else max(means.values(), default=0.0),
        "caption": _caption(error, means, missing),
        "clean": error.clean,
    }


def _write_suggestion(picture: SuggestedPicture, folder: Path, number: int) -> dict[str, Any]:
    image = _write_image(
        picture.rgb, (picture.prediction,), picture.frame, folder, f"suggested.{number:04d}"
    )
    return {
        "title": picture.title,
        "frame": picture.frame,
        **image,
        "prediction": _drawing(picture.prediction, picture.frame),
        "why": list(picture.why),
    }


def _write_image(
    rgb: NDArray[np.float32], rotos: Sequence[Roto], frame: int, folder: Path, stem: str
) -> dict[str, Any]:
    """Write the part of a plate that shows the puppet; its address and where it lies.

    ``box`` is its place in the plate (x, y, w, h), ``view`` the same in square pixels.
    """
    x0, y0, x1, y1 = _crop(rgb.shape, rotos, frame)
    aspect = rotos[0].plate.pixel_aspect
    proxy = make_proxy(rgb[y0:y1, x0:x1], max_width=MAX_WIDTH_PX, pixel_aspect=aspect)
    write_jpeg(folder / f"{stem}.jpg", proxy)
    return {
        "image": f"{PICTURES}/{stem}.jpg",
        "box": (x0, y0, x1 - x0, y1 - y0),
        "view": (x0 * aspect, y0, (x1 - x0) * aspect, y1 - y0),
        "aspect": aspect,
    }


def _caption(error: FrameError, means: Mapping[str, float], missing: Sequence[str]) -> str:
    parts = []
    if means:
        worst = max(means, key=lambda name: means[name])
        mean = sum(means.values()) / len(means)
        parts.append(f"shapes {mean:.2f} px, worst {worst} {means[worst]:.2f} px")
    if error.tracks_mean_px is not None:
        parts.append(f"points {error.tracks_mean_px:.2f} px")
    if missing:
        parts.append(f"missing: {', '.join(missing)}")
    return "; ".join(parts) or "nothing visible in the truth"


def _crop(
    shape_px: tuple[int, ...], rotos: Sequence[Roto], frame: int
) -> tuple[int, int, int, int]:
    """Box around the puppet as all rotos draw it, whole px inside the plate."""
    height, width = shape_px[:2]
    found = [np.zeros((0, 2))]
    for roto in rotos:
        for shape in roto.shapes.values():
            at = shape.frames.get(frame)
            if at is not None and at.visible:
                found.append(at.points[:, :2])
    corners = np.concatenate(found)
    corners = corners[((corners >= 0) & (corners <= (width, height))).all(axis=1)]
    if len(corners) == 0:
        return 0, 0, width, height
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = _MARGIN * float((high - low).max()) + 4
    x0, y0 = np.clip(np.floor(low - margin), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), (x0 + 1, y0 + 1), (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _drawing(roto: Roto, frame: int) -> dict[str, list[str]]:
    """SVG paths of a frame: seen and hidden parts of the visible shapes; visible points."""
    seen, hidden = [], []
    for shape in roto.shapes.values():
        at = shape.frames.get(frame)
        if at is not None and at.visible:
            mask = visible_segments(at.point_visible, closed=shape.closed)
            polygons = segments(at.points, closed=shape.closed)
            seen.append(_path(polygons[mask]))
            hidden.append(_path(polygons[~mask]))
    points = [
        "{:.2f} {:.2f}".format(*point.xy)
        for track in roto.tracks.values()
        if (point := track.get(frame)) is not None and point.visible
    ]
    return {"seen": seen, "hidden": [path for path in hidden if path], "points": points}


def _path(polygons: FloatArray) -> str:
    """Bezier segments (S, 4, 2) as SVG; segments that meet are drawn as one line."""
    parts: list[str] = []
    for index, polygon in enumerate(polygons):
        if index == 0 or not np.array_equal(polygons[index - 1, 3], polygon[0]):
            parts.append("M{:.2f} {:.2f}".format(*polygon[0]))
        parts.append("C" + " ".join(f"{value:.2f}" for value in polygon[1:].ravel()))
    return "".join(parts)
