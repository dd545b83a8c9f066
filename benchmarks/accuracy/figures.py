"""What is measured of a roto beyond ``laikaroto.training.evaluate``: swaps, holds, seams, triage.

All against the truth, in px of the full-size plate, only where the truth says so. ``measure``
gives one record for one method and shot; ``docs/accuracy.md`` defines every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.accuracy.footage import Shot
from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.shapes.records import Roto
from laikaroto.tracking.flags import REFERENCE_WIDTH_PX
from laikaroto.training.curve_distance import flatten, nearest, visible_segments
from laikaroto.training.evaluate import STEP_PX, Evaluation, evaluate

#: A shape was swapped when its points moved by more than this share of the head's side, on
#: average, beyond what one affine map does to all points. In the dev and sample shows shapes of
#: parts that stay move by 0.8 % at most while the head turns.
SWAP_SHARE = 0.01
#: Points that moved less than this repeat; the truth is written with three decimals.
STILL_PX = 0.0015
#: Edges of the bins of the reliability table, px at 1280 wide.
BINS_PX = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Shapes on frames whose expected error lies in one bin: expected against measured."""

    low_px: float
    high_px: float | None
    count: int
    expected_px: float
    measured_px: float
    measured_p90_px: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """One method on one shot.

    Attributes:
        evaluation: as ``laikaroto evaluate`` gives it.
        swapped_px, elsewhere_px: mean curve error of shapes on the frames on which they were
            swapped, and on all others; ``swapped``: how many shapes on frames that is.
        held, held_still: frames whose truth repeats the frame before, and those of them on
            which the prediction repeats exactly; ``held_moved_px``: the largest move there.
        hidden_seam_px: mean distance from the hidden stretches of open shapes to the drawn
            curve; ``hidden_seam_p95_px``.
        reliability: of expected errors; empty where a method gives none. ``rank_correlation``
            of expected and measured error (Spearman).
        keyed: frames drawn by a person; ``unkeyed_curves_px`` is the mean over the others.
    """

    evaluation: Evaluation
    swapped: int
    swapped_px: float | None
    elsewhere_px: float | None
    held: int
    held_still: int
    held_moved_px: float | None
    hidden_seam_px: float | None
    hidden_seam_p95_px: float | None
    reliability: tuple[Reliability, ...]
    rank_correlation: float | None
    keyed: tuple[int, ...]
    unkeyed_curves_px: float | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON data."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["evaluation"] = self.evaluation.to_dict()
        data["reliability"] = [asdict(row) for row in self.reliability]
        data["keyed"] = list(self.keyed)
        if self.held_moved_px is not None and not np.isfinite(self.held_moved_px):
            data["held_moved_px"] = None  # JSON has no infinity; held_still tells
        return data


def measure(
    prediction: Roto, shot: Shot, template: CharacterTemplate, *, keyed: Sequence[int] = ()
) -> Figures:
    """All figures of one method on one shot."""
    result = evaluate(prediction, shot.truth, frames=shot.frames)
    swaps = find_swaps(shot, template)
    errors = [
        (error.mean_px, (name, frame) in swaps)
        for frame, note in result.frames.items()
        for name, error in note.shapes.items()
        if error.mean_px is not None and frame != shot.frames[0]
    ]
    moves = held_moves(prediction, shot, template)
    hidden = hidden_stretches(prediction, shot)
    pairs = expected_and_measured(prediction, result)
    unkeyed = [frame for frame in shot.frames if frame not in keyed]
    return Figures(
        evaluation=result,
        swapped=sum(swapped for _, swapped in errors),
        swapped_px=_mean([px for px, swapped in errors if swapped]),
        elsewhere_px=_mean([px for px, swapped in errors if not swapped]),
        held=len(moves),
        held_still=sum(move < STILL_PX for move in moves),
        held_moved_px=max(moves, default=None),
        hidden_seam_px=_mean(hidden),
        hidden_seam_p95_px=float(np.percentile(hidden, 95)) if len(hidden) else None,
        reliability=reliability(pairs, scale=shot.truth.plate.width / REFERENCE_WIDTH_PX),
        rank_correlation=_rank_correlation(pairs),
        keyed=tuple(keyed),
        unkeyed_curves_px=evaluate(prediction, shot.truth, frames=unkeyed).curves_all.mean_px
        if keyed and unkeyed
        else None,
    )


def find_swaps(shot: Shot, template: CharacterTemplate) -> set[tuple[str, int]]:
    """Shapes and frames on which the shape is of another face part than on the frame before.

    Found in the truth: one affine map is fitted to all points from frame to frame; what a
    shape's points moved beyond it is expression, and expressions change by swapping parts.
    """
    values = shot.truth_values(template)[..., :2]
    tracks, found = len(template.tracks), set()
    for before, now, frame in zip(values, values[1:], shot.frames[1:], strict=False):
        basis = np.column_stack([before, np.ones(len(before))])
        affine, *_ = np.linalg.lstsq(basis, now, rcond=None)
        moved = np.hypot(*(basis @ affine - now).T)[tracks:]
        limit = SWAP_SHARE * box_around(now).side
        for name, where in template.slices().items():
            if moved[where].mean() > limit:
                found.add((name, frame))
    return found


def held_moves(prediction: Roto, shot: Shot, template: CharacterTemplate) -> list[float]:
    """For each frame whose truth repeats the one before: how far the prediction moved, px.

    Shapes or points that are drawn on one of the two frames only count as infinitely far.
    """
    values = shot.truth_values(template)
    moves = []
    for i in range(1, len(values)):
        if np.abs(values[i] - values[i - 1]).max() < STILL_PX:
            moves.append(_moved(prediction, shot.frames[i - 1], shot.frames[i]))
    return moves


def _moved(prediction: Roto, before: int, now: int) -> float:
    largest = 0.0
    drawings: list[tuple[FloatArray | None, FloatArray | None]] = []
    for shape in prediction.shapes.values():
        pair = (shape.frames.get(before), shape.frames.get(now))
        drawings.append((_drawn(pair[0]), _drawn(pair[1])))
    for track in prediction.tracks.values():
        first, second = track.get(before), track.get(now)
        drawings.append(
            (
                None if first is None else np.array(first.xy),
                None if second is None else np.array(second.xy),
            )
        )
    for a, b in drawings:
        if a is None and b is None:
            continue
        if a is None or b is None or a.shape != b.shape:
            return float("inf")
        largest = max(largest, float(np.abs(a - b).max()))
    return largest


def _drawn(value: Any) -> FloatArray | None:
    return value.points if value is not None and value.visible else None


def hidden_stretches(prediction: Roto, shot: Shot) -> FloatArray:
    """Distances (K,) from hidden stretches of open shapes to the predicted curve, px.

    Only of shapes that are partly visible in the truth: those are drawn through behind what
    hides them. What is hidden altogether needs no line.
    """
    found = [np.zeros(0)]
    for name, shape in shot.truth.shapes.items():
        if shape.closed or name not in prediction.shapes:
            continue
        for frame in shot.frames:
            true, guess = shape.frames.get(frame), prediction.shapes[name].frames.get(frame)
            if true is None or guess is None or not (true.visible and guess.visible):
                continue
            seen = visible_segments(true.point_visible, closed=False)
            if not seen.any() or seen.all():
                continue
            scale = shot.truth.plate.width / REFERENCE_WIDTH_PX
            curve = flatten(true.points, closed=False, step_px=STEP_PX * max(scale, 1.0))
            drawn = flatten(guess.points, closed=False, step_px=STEP_PX * max(scale, 1.0))
            found.append(nearest(curve.samples[~seen[curve.sample_segment]], drawn)[0])
    return np.concatenate(found)


def expected_and_measured(prediction: Roto, result: Evaluation) -> FloatArray:
    """(K, 2) expected and measured mean curve error of every shape on every frame, px."""
    pairs = [
        (drawn.expected_error_px, error.mean_px)
        for frame, note in result.frames.items()
        for name, error in note.shapes.items()
        if error.mean_px is not None
        and (drawn := prediction.shapes[name].frames[frame]).expected_error_px is not None
    ]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def reliability(pairs: FloatArray, *, scale: float) -> tuple[Reliability, ...]:
    """The pairs of ``expected_and_measured`` in bins of the expected error; empty bins left out."""
    rows = []
    for low, high in zip(BINS_PX, BINS_PX[1:], strict=False):
        chosen = pairs[(pairs[:, 0] >= low * scale) & (pairs[:, 0] < high * scale)]
        if len(chosen):
            rows.append(
                Reliability(
                    low_px=low * scale,
                    high_px=high * scale if np.isfinite(high) else None,
                    count=len(chosen),
                    expected_px=float(chosen[:, 0].mean()),
                    measured_px=float(chosen[:, 1].mean()),
                    measured_p90_px=float(np.percentile(chosen[:, 1], 90)),
                )
            )
    return tuple(rows)


def _rank_correlation(pairs: FloatArray) -> float | None:
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0).any():
        return None
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def _mean(values: Sequence[float] | FloatArray) -> float | None:
    return float(np.mean(values)) if len(values) else None
