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
from laikaroto.tracking.flags import REFERENCE_WIDTH_PX
from laikaroto.training.curve_distance import symmetric_distances, visible_segments

#: On a plate of ``REFERENCE_WIDTH_PX``; on others in proportion.
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _FrameScore:
    """One shape on one frame that the truth shows: its errors, and what they come from.

    ``offsets`` (N, 2) are predicted minus true points, NaN where hidden in the truth; None
    when the point counts differ.
    """

    error: ShapeFrameError
    curve: FloatArray
    offsets: FloatArray | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _ShapeScores:
    """One shape on all frames; visibility as pairs of (predicted, true)."""

    frames: Mapping[int, _FrameScore]
    shape_seen: Sequence[tuple[bool, bool]]
    point_seen: Sequence[tuple[bool, bool]]

    @property
    def curve(self) -> list[FloatArray]:
        return [score.curve for score in self.frames.values()]

    @property
    def points(self) -> list[FloatArray]:
        return [_lengths(s.offsets) for s in self.frames.values() if s.offsets is not None]

    @property
    def chatter2(self) -> FloatArray:
        return _second_differences2(
            {f: s.offsets for f, s in self.frames.items() if s.offsets is not None}
        )

    @property
    def ious(self) -> list[float]:
        return [s.error.iou for s in self.frames.values() if s.error.iou is not None]


def evaluate(prediction: Roto, truth: Roto, *, frames: Sequence[int] | None = None) -> Evaluation:
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
    closed = {name: score.ious for name, score in scores.items() if truth.shapes[name].closed}
    return Evaluation(
        shot=truth.shot,
        character=truth.character,
        version=prediction.version,
        width=truth.plate.width,
        clean_mean_limit_px=CLEAN_MEAN_PX * scale,
        clean_p95_limit_px=CLEAN_P95_PX * scale,
        **_error_stats(scores, errors),
        iou={name: _mean(values) for name, values in closed.items()},
        iou_all=_mean([value for values in closed.values() for value in values]),
        **_chatter(scores, tracks),
        **_flag_shares(per_frame),
        track_visibility=Agreement.of(_track_visibility(prediction, truth, chosen)),
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


def _error_stats(
    scores: Mapping[str, _ShapeScores], track_errors: Mapping[str, Mapping[int, float]]
) -> dict[str, Any]:
    """The fields of an Evaluation about distances: of each name, and over all."""
    kinds = {
        "curves": {name: score.curve for name, score in scores.items()},
        "points": {name: score.points for name, score in scores.items()},
        "tracks": {n: [np.array(list(e.values()))] for n, e in track_errors.items()},
    }
    fields: dict[str, Any] = {}
    for kind, parts in kinds.items():
        fields[kind] = {name: ErrorStats.of(part) for name, part in parts.items()}
        fields[f"{kind}_all"] = ErrorStats.of([d for part in parts.values() for d in part])
    return fields


def _chatter(
    scores: Mapping[str, _ShapeScores], tracks: Mapping[str, Mapping[int, FloatArray]]
) -> dict[str, Any]:
    """The fields of an Evaluation about chatter."""
    kinds = {
        "shape": {name: score.chatter2 for name, score in scores.items()},
        "track": {name: _second_differences2(offsets) for name, offsets in tracks.items()},
    }
    fields: dict[str, Any] = {}
    for kind, squares in kinds.items():
        fields[f"{kind}_chatter_px"] = {name: _rms([d2]) for name, d2 in squares.items()}
        fields[f"{kind}_chatter_all_px"] = _rms(list(squares.values()))
    return fields


def _score_shape(
    prediction: Shape | None,
    truth: Shape,
    frames: Sequence[int],
    *,
    scale: float,
    size: tuple[int, int],
) -> _ShapeScores:
    found: dict[int, _FrameScore] = {}
    shape_seen: list[tuple[bool, bool]] = []
    point_seen: list[tuple[bool, bool]] = []
    for frame in frames:
        if frame not in truth.frames:
            continue
        true = truth.frames[frame]
        guess = prediction.frames.get(frame) if prediction is not None else None
        shape_seen.append((guess is not None and guess.visible, true.visible))
        if guess is not None and len(guess.points) == len(true.points):
            drawn = guess.point_visible & guess.visible
            there = true.point_visible & true.visible
            point_seen.extend(zip(drawn.tolist(), there.tolist(), strict=True))
        if not true.visible:
            continue
        if guess is None or not guess.visible:
            found[frame] = _FrameScore(error=_MISSING, curve=np.zeros(0), offsets=None)
        else:
            found[frame] = _score_frame(guess, true, closed=truth.closed, scale=scale, size=size)
    return _ShapeScores(frames=found, shape_seen=shape_seen, point_seen=point_seen)


_MISSING = ShapeFrameError(
    missing=True, mean_px=None, p95_px=None, points_mean_px=None, iou=None, clean=False
)


def _score_frame(
    guess: ShapeFrame, true: ShapeFrame, *, closed: bool, scale: float, size: tuple[int, int]
) -> _FrameScore:
    curve = symmetric_distances(
        guess.points,
        true.points,
        true.point_visible,
        closed=closed,
        step_px=max(STEP_PX, STEP_PX * scale),
    )
    offsets = None
    if len(guess.points) == len(true.points):
        offsets = guess.points[:, :2] - true.points[:, :2]
        offsets[~true.point_visible] = np.nan
    mean = float(curve.mean()) if len(curve) else None
    p95 = float(np.percentile(curve, 95)) if len(curve) else None
    error = ShapeFrameError(
        missing=False,
        mean_px=mean,
        p95_px=p95,
        points_mean_px=None if offsets is None else _mean(_lengths(offsets).tolist()),
        iou=_iou(guess, true, closed=closed, scale=scale, size=size),
        clean=(mean is None or mean <= CLEAN_MEAN_PX * scale)
        and (p95 is None or p95 <= CLEAN_P95_PX * scale),
    )
    return _FrameScore(error=error, curve=curve, offsets=offsets)


def _lengths(offsets: FloatArray) -> FloatArray:
    """Lengths of the offsets (N, 2) that are not NaN."""
    lengths = np.hypot(offsets[:, 0], offsets[:, 1])
    return np.asarray(lengths[~np.isnan(lengths)])


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
        name: tuple(frame for frame, found in score.frames.items() if found.error.missing)
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
    shapes = {name: s.frames[frame].error for name, s in scores.items() if frame in s.frames}
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
