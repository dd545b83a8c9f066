"""How good is a roto: a prediction measured against ground truth, in full-size plate pixels.

``docs/evaluate.md`` defines every figure; ``Evaluation`` holds them. Only what the truth
calls visible is scored. A shape that the truth shows and the prediction lacks or hides has
no distance: it is listed as missing and its frame is not clean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.records import Roto, Shape, ShapeFrame
from laikaroto.training.curve_distance import symmetric_distances, visible_segments

REFERENCE_WIDTH_PX = 1280  # the limits below are meant for a plate of this width
CLEAN_MEAN_PX = 1.0
CLEAN_P95_PX = 2.0
STEP_PX = 0.5
MIN_IOU_AREA_PX = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStats:
    """Summary of distances in plate px; all None when nothing could be measured."""

    count: int
    mean_px: float | None
    median_px: float | None
    p95_px: float | None
    max_px: float | None

    @classmethod
    def of(cls, distances: Sequence[FloatArray] | FloatArray) -> ErrorStats:
        """Summarise one array, or several as if they were one."""
        joined = np.concatenate([np.zeros(0), *(np.ravel(part) for part in distances)])
        if len(joined) == 0:
            return cls(count=0, mean_px=None, median_px=None, p95_px=None, max_px=None)
        median, p95 = np.percentile(joined, [50, 95])
        return cls(
            count=len(joined),
            mean_px=float(joined.mean()),
            median_px=float(median),
            p95_px=float(p95),
            max_px=float(joined.max()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFrameError:
    """One shape on one frame on which the truth shows it.

    Attributes:
        missing: the prediction lacks or hides it; all figures are then None.
        mean_px, p95_px: curve distance; None when no segment is visible in the truth.
        points_mean_px: control points; None when the point counts differ or none is visible.
        iou: overlap with the truth; None for open, partly hidden or tiny shapes.
        clean: good enough to leave alone.
    """

    missing: bool
    mean_px: float | None
    p95_px: float | None
    points_mean_px: float | None
    iou: float | None
    clean: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameError:
    """One frame: what its review page shows."""

    clean: bool
    flagged: bool
    tracks_mean_px: float | None
    shapes: Mapping[str, ShapeFrameError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often the prediction agrees with the truth on what is visible."""

    count: int
    accuracy: float | None
    wrongly_visible: int
    wrongly_hidden: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[bool, bool]]) -> Agreement:
        """Count pairs of (predicted visible, truly visible)."""
        table = np.array(pairs, dtype=bool).reshape(-1, 2)
        return cls(
            count=len(table),
            accuracy=float((table[:, 0] == table[:, 1]).mean()) if len(table) else None,
            wrongly_visible=int((table[:, 0] & ~table[:, 1]).sum()),
            wrongly_hidden=int((~table[:, 0] & table[:, 1]).sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Every figure of one shot; ``docs/evaluate.md`` defines them. Lengths are plate px."""

    shot: str
    character: str
    version: str
    width: int
    clean_mean_limit_px: float
    clean_p95_limit_px: float
    curves: Mapping[str, ErrorStats]
    curves_all: ErrorStats
    points: Mapping[str, ErrorStats]
    points_all: ErrorStats
    tracks: Mapping[str, ErrorStats]
    tracks_all: ErrorStats
    iou: Mapping[str, float | None]
    iou_all: float | None
    shape_chatter_px: Mapping[str, float | None]
    shape_chatter_all_px: float | None
    track_chatter_px: Mapping[str, float | None]
    track_chatter_all_px: float | None
    clean_share: float
    flag_recall: float | None
    clean_flagged_share: float | None
    track_visibility: Agreement
    point_visibility: Agreement
    shape_visibility: Agreement
    missing_shapes: Mapping[str, tuple[int, ...]]
    missing_tracks: Mapping[str, tuple[int, ...]]
    unknown_shapes: tuple[str, ...]
    frames: Mapping[int, FrameError]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON data; frame numbers become text keys."""
        data = asdict(self)
        data["frames"] = {str(frame): error for frame, error in data["frames"].items()}
        for key in ("missing_shapes", "missing_tracks"):
            data[key] = {name: list(frames) for name, frames in data[key].items()}
        data["unknown_shapes"] = list(self.unknown_shapes)
        return data


@dataclass(frozen=True, slots=True, eq=False)
class _ShapeScores:
    """What one shape contributes: distances, differences of points, and its frames."""

    curve: list[FloatArray]
    points: list[FloatArray]
    chatter2: FloatArray
    frames: dict[int, ShapeFrameError]
    shape_seen: list[tuple[bool, bool]]
    point_seen: list[tuple[bool, bool]]


def evaluate(
    prediction: Roto, truth: Roto, *, frames: Sequence[int] | None = None
) -> Evaluation:
    """Measure a prediction against the truth of the same shot.

    Args:
        prediction: what was made; may lack shapes, tracks and frames, which is reported.
        truth: what it should be; its plate size is the unit of all lengths.
        frames: only these; None for every frame the truth has.

    Raises:
        TruthError: the two are of plates of different size, a shape is open in one and
            closed in the other, or the truth has none of the frames.
    """
    chosen = _check(prediction, truth, frames)
    scale = truth.plate.width / REFERENCE_WIDTH_PX
    size = (truth.plate.width, truth.plate.height)
    scores = {
        name: _score_shape(prediction.shapes.get(name), shape, chosen, scale=scale, size=size)
        for name, shape in truth.shapes.items()
    }
    tracks = {name: _track_offsets(prediction, truth, name, chosen) for name in truth.tracks}
    errors = {
        name: {f: float(np.hypot(*xy)) for f, xy in offsets.items()}
        for name, offsets in tracks.items()
    }
    per_frame = {f: _frame_error(f, prediction, scores, errors) for f in chosen}
    shape_chatter = {name: score.chatter2 for name, score in scores.items()}
    track_chatter = {name: _second_differences2(offsets) for name, offsets in tracks.items()}
    iou = {
        name: [e.iou for e in score.frames.values() if e.iou is not None]
        for name, score in scores.items()
        if truth.shapes[name].closed
    }
    track_seen = _track_visibility(prediction, truth, chosen)
    return Evaluation(
        shot=truth.shot,
        character=truth.character,
        version=prediction.version,
        width=truth.plate.width,
        clean_mean_limit_px=CLEAN_MEAN_PX * scale,
        clean_p95_limit_px=CLEAN_P95_PX * scale,
        curves={name: ErrorStats.of(score.curve) for name, score in scores.items()},
        curves_all=ErrorStats.of([part for score in scores.values() for part in score.curve]),
        points={name: ErrorStats.of(score.points) for name, score in scores.items()},
        points_all=ErrorStats.of([part for score in scores.values() for part in score.points]),
        tracks={n: ErrorStats.of([np.array(list(e.values()))]) for n, e in errors.items()},
        tracks_all=ErrorStats.of([np.array(list(e.values())) for e in errors.values()]),
        iou={name: _mean(values) for name, values in iou.items()},
        iou_all=_mean([value for values in iou.values() for value in values]),
        shape_chatter_px={name: _rms([d2]) for name, d2 in shape_chatter.items()},
        shape_chatter_all_px=_rms(list(shape_chatter.values())),
        track_chatter_px={name: _rms([d2]) for name, d2 in track_chatter.items()},
        track_chatter_all_px=_rms(list(track_chatter.values())),
        **_flag_shares(per_frame),
        track_visibility=Agreement.of(track_seen),
        point_visibility=Agreement.of([p for s in scores.values() for p in s.point_seen]),
        shape_visibility=Agreement.of([p for s in scores.values() for p in s.shape_seen]),
        missing_shapes=_missing_shapes(scores),
        missing_tracks=_missing_tracks(prediction, truth, chosen),
        unknown_shapes=tuple(sorted(set(prediction.shapes) - set(truth.shapes))),
        frames=per_frame,
    )


def _check(prediction: Roto, truth: Roto, frames: Sequence[int] | None) -> tuple[int, ...]:
    where = f"shot {truth.shot!r}, character {truth.character!r}"
    got, wanted = prediction.plate, truth.plate
    if (got.width, got.height) != (wanted.width, wanted.height):
        raise TruthError(
            f"{where}: the prediction is for plates of {got.width}x{got.height}, the truth for "
            f"{wanted.width}x{wanted.height}; compare versions of the same plates"
        )
    for name, shape in truth.shapes.items():
        if name in prediction.shapes and prediction.shapes[name].closed != shape.closed:
            form = ("open", "closed")
            raise TruthError(
                f"{where}: shape {name!r} is {form[shape.closed]} in the truth and "
                f"{form[not shape.closed]} in the prediction; make them the same"
            )
    there: set[int] = set()
    for shape in truth.shapes.values():
        there.update(shape.frames)
    for track in truth.tracks.values():
        there.update(track)
    chosen = tuple(sorted(there if frames is None else set(frames)))
    absent = [frame for frame in chosen if frame not in there]
    if absent or not chosen:
        raise TruthError(
            f"{where}: the truth has no frame {absent or ''}; "
            f"it has {min(there, default='none')}-{max(there, default='none')}"
        )
    return chosen


def _score_shape(
    prediction: Shape | None,
    truth: Shape,
    frames: Sequence[int],
    *,
    scale: float,
    size: tuple[int, int],
) -> _ShapeScores:
    score = _ShapeScores([], [], np.zeros(0), {}, [], [])
    offsets: dict[int, FloatArray] = {}
    for frame in frames:
        if frame not in truth.frames:
            continue
        true = truth.frames[frame]
        guess = prediction.frames.get(frame) if prediction is not None else None
        shown = guess is not None and guess.visible
        score.shape_seen.append((shown, true.visible))
        if guess is not None and len(guess.points) == len(true.points):
            seen = [true.visible and bool(v) for v in true.point_visible]
            drawn = [guess.visible and bool(v) for v in guess.point_visible]
            score.point_seen.extend(zip(drawn, seen, strict=True))
        if not true.visible:
            continue
        if guess is None or not guess.visible:
            score.frames[frame] = _MISSING
            continue
        curve = symmetric_distances(
            guess.points,
            true.points,
            true.point_visible,
            closed=truth.closed,
            step_px=max(STEP_PX, STEP_PX * scale),
        )
        points = np.zeros(0)
        if len(guess.points) == len(true.points):
            apart = np.where(
                true.point_visible[:, None], guess.points[:, :2] - true.points[:, :2], np.nan
            )
            offsets[frame] = apart
            points = np.hypot(*apart[true.point_visible].T)
        iou = _iou(guess, true, closed=truth.closed, scale=scale, size=size)
        score.curve.append(curve)
        score.points.append(points)
        score.frames[frame] = _shape_frame(curve, points, iou, scale=scale)
    return _ShapeScores(
        score.curve,
        score.points,
        _second_differences2(offsets),
        score.frames,
        score.shape_seen,
        score.point_seen,
    )


_MISSING = ShapeFrameError(
    missing=True, mean_px=None, p95_px=None, points_mean_px=None, iou=None, clean=False
)


def _shape_frame(
    curve: FloatArray, points: FloatArray, iou: float | None, *, scale: float
) -> ShapeFrameError:
    mean = float(curve.mean()) if len(curve) else None
    p95 = float(np.percentile(curve, 95)) if len(curve) else None
    return ShapeFrameError(
        missing=False,
        mean_px=mean,
        p95_px=p95,
        points_mean_px=_mean(points.tolist()),
        iou=iou,
        clean=(mean is None or mean <= CLEAN_MEAN_PX * scale)
        and (p95 is None or p95 <= CLEAN_P95_PX * scale),
    )


def _iou(
    guess: ShapeFrame, true: ShapeFrame, *, closed: bool, scale: float, size: tuple[int, int]
) -> float | None:
    """Soft overlap of two closed shapes inside the frame; None where it says nothing."""
    if not closed or not visible_segments(true.point_visible, closed=True).all():
        return None
    corners = np.concatenate([_reach(guess.points), _reach(true.points)])
    low = np.clip(np.floor(corners.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, size).astype(int)
    width, height = (int(side) for side in high - low)
    if width == 0 or height == 0:
        return None
    shift = np.array([low[0], low[1], 0, 0, 0, 0], dtype=np.float64)
    a, b = (
        rasterize([shape.points - shift], width=width, height=height).astype(np.float64)
        for shape in (guess, true)
    )
    if b.sum() < MIN_IOU_AREA_PX * scale**2:
        return None
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def _reach(points: FloatArray) -> FloatArray:
    """Positions and tangent ends: a Bezier spline never leaves their bounding box."""
    xy = points[:, :2]
    return np.concatenate([xy, xy + points[:, 2:4], xy + points[:, 4:6]])


def _second_differences2(offsets: Mapping[int, FloatArray]) -> FloatArray:
    """Squared second differences over time of offsets (…, 2); NaN where one is hidden.

    Only runs of three neighbouring frame numbers count.
    """
    found = [
        offsets[frame - 1] - 2 * here + offsets[frame + 1]
        for frame, here in offsets.items()
        if frame - 1 in offsets
        and frame + 1 in offsets
        and len(offsets[frame - 1]) == len(here) == len(offsets[frame + 1])
    ]
    if not found:
        return np.zeros(0)
    squared = np.concatenate([(np.atleast_2d(apart) ** 2).sum(-1) for apart in found])
    return np.asarray(squared[~np.isnan(squared)])


def _track_offsets(
    prediction: Roto, truth: Roto, name: str, frames: Sequence[int]
) -> dict[int, FloatArray]:
    """Predicted minus true position on every frame where the truth shows the point."""
    guesses, track = prediction.tracks.get(name, {}), truth.tracks[name]
    return {
        frame: np.subtract(guesses[frame].xy, track[frame].xy)
        for frame in frames
        if frame in track and track[frame].visible and frame in guesses
    }


def _track_visibility(
    prediction: Roto, truth: Roto, frames: Sequence[int]
) -> list[tuple[bool, bool]]:
    pairs = []
    for name, track in truth.tracks.items():
        guesses = prediction.tracks.get(name, {})
        for frame in frames:
            if frame in track:
                guess = guesses.get(frame)
                pairs.append((guess is not None and guess.visible, track[frame].visible))
    return pairs


def _missing_shapes(scores: Mapping[str, _ShapeScores]) -> dict[str, tuple[int, ...]]:
    found = {
        name: tuple(frame for frame, error in score.frames.items() if error.missing)
        for name, score in scores.items()
    }
    return {name: frames for name, frames in found.items() if frames}


def _missing_tracks(
    prediction: Roto, truth: Roto, frames: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    found = {
        name: tuple(
            frame
            for frame in frames
            if frame in track
            and track[frame].visible
            and frame not in prediction.tracks.get(name, {})
        )
        for name, track in truth.tracks.items()
    }
    return {name: gone for name, gone in found.items() if gone}


def _frame_error(
    frame: int,
    prediction: Roto,
    scores: Mapping[str, _ShapeScores],
    track_errors: Mapping[str, Mapping[int, float]],
) -> FrameError:
    shapes = {name: s.frames[frame] for name, s in scores.items() if frame in s.frames}
    note = prediction.frames.get(frame)
    return FrameError(
        clean=all(error.clean for error in shapes.values()),
        flagged=note is not None and note.flagged,
        tracks_mean_px=_mean([e[frame] for e in track_errors.values() if frame in e]),
        shapes=shapes,
    )


def _flag_shares(frames: Mapping[int, FrameError]) -> dict[str, Any]:
    clean = [error.flagged for error in frames.values() if error.clean]
    bad = [error.flagged for error in frames.values() if not error.clean]
    return {
        "clean_share": len(clean) / len(frames),
        "flag_recall": _mean(bad),
        "clean_flagged_share": _mean(clean),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _rms(squares: Sequence[FloatArray]) -> float | None:
    joined = np.concatenate([np.zeros(0), *squares])
    return float(np.sqrt(joined.mean())) if len(joined) else None
