"""The solve: predictions of a whole shot in, its roto out.

Holds are found and merged, the poses settled, and everything is written down as records:
what is visible, how sure it is, and which frames to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.config import ReviewConfig
from laikaroto.coords import FloatArray
from laikaroto.model.calibration import ErrorCalibration, shape_mean
from laikaroto.model.predictions import Predictions
from laikaroto.model.prior import ShapePrior
from laikaroto.shapes.records import (
    FrameNote,
    PlateInfo,
    Roto,
    Shape,
    ShapeFrame,
    TrackFrame,
)
from laikaroto.tracking.flags import (
    FLAG_BELOW,
    error_limit,
    find_jumps,
    reasons_to_look,
    wanted_confidence,
)
from laikaroto.tracking.holds import find_holds, merge_holds
from laikaroto.tracking.settle import settle
from laikaroto.tracking.showing import DOUBTFUL, SHOWN, chance_shown

#: No puppet: the finder sees none, or it rather sees none and the drawer expects errors of this
#: share of the head. Measured on the dev show (benchmarks/presence.py): the finder gives frames
#: with the puppet 0.7 to 0.99, without it 0.06 at most; the drawer expects 0.1 to 0.4 % of the
#: head's size where there is one, 0.5 to 2.1 % where there is none.
_NONE = 0.1
_LOST = 0.5
_LOST_ERROR = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Frame:
    """One frame, settled: arrays as in ``Predictions``."""

    values: FloatArray
    visible: FloatArray
    error_px: FloatArray
    apart_px: FloatArray
    present: bool


def solve_shot(
    predictions: Predictions,
    template: CharacterTemplate,
    *,
    shot: str,
    plate: PlateInfo,
    review: ReviewConfig,
    provenance: Mapping[str, Any],
    prior: ShapePrior | None = None,
    calibration: ErrorCalibration | None = None,
) -> Roto:
    """Settle a shot and write it down.

    Args:
        predictions: of all its frames, in order.
        template: of the character.
        prior: what its shapes can look like; None: as they are predicted.
        calibration: how far expected errors are to be trusted; None: as if never measured.
        shot: name of the shot.
        plate: size and range.
        review: limits beyond which a frame is flagged.
        provenance: what made it.

    Returns:
        A roto of version ``v000``: publishing gives it its number.
    """
    poses = find_holds(predictions)
    merged = merge_holds(predictions, poses)
    likely = merged if prior is None else prior.apply(merged, template, one_lens=True)
    settled = settle(likely, template)
    present = is_present(settled)
    limit = error_limit(review, plate.width)
    trust = calibration or ErrorCalibration()
    provenance = {**provenance, FLAG_BELOW: trust.flag_below}
    wanted = wanted_confidence(review, provenance)
    inside = np.array([plate.width, plate.height], dtype=np.float64)
    drawn: list[tuple[dict[str, TrackFrame], dict[str, ShapeFrame], list[str]]] = []
    for i in range(len(settled.frames)):
        frame = _Frame(
            values=settled.values[i],
            visible=_inside(settled.visible[i], settled.values[i], inside),
            error_px=settled.error_px[i],
            apart_px=settled.apart_px[i],
            present=bool(present[i]),
        )
        drawn.append((_tracks(frame, template, limit), *_shapes(frame, template, limit, trust)))
    frames = [int(frame) for frame in predictions.frames]
    pose_of = dict(zip(frames, poses.tolist(), strict=True))
    return Roto(
        shot=shot,
        character=template.character,
        version="v000",
        plate=plate,
        tracks={
            name: {frame: drawn[pose][0][name] for frame, pose in pose_of.items()}
            for name in template.tracks
        },
        shapes={
            shape.name: Shape(
                closed=shape.closed,
                corners=shape.corners,
                frames={f: drawn[pose][1][shape.name] for f, pose in pose_of.items()},
                keys=_keys(frames, poses),
            )
            for shape in template.shapes
        },
        frames=_notes(predictions, poses, present, drawn, limit, wanted),
        provenance=provenance,
    )


def is_present(predictions: Predictions) -> NDArray[np.bool_]:
    """Whether there is a puppet in each frame at all: (F,)."""
    share = np.median(predictions.error_px, axis=1) / predictions.box[:, 2]
    none = predictions.found < _NONE
    return ~(none | ((predictions.found < _LOST) & (share > _LOST_ERROR)))


def confidence_of(error_px: float, limit_px: float) -> float:
    """Chance that an error is within the limit, when its mean is ``error_px``.

    For an error that is normal in two dimensions (Rayleigh's distribution of its length).
    """
    return float(1.0 - np.exp(-np.pi / 4 * (limit_px / max(error_px, 1e-6)) ** 2))


def _inside(visible: FloatArray, values: FloatArray, size: FloatArray) -> FloatArray:
    """What lies outside the frame is not visible."""
    within = ((values[:, :2] >= 0) & (values[:, :2] <= size)).all(axis=1)
    return np.asarray(visible * within)


def _tracks(frame: _Frame, template: CharacterTemplate, limit: float) -> dict[str, TrackFrame]:
    found = {}
    for i, name in enumerate(template.tracks):
        chance = float(frame.visible[i]) if frame.present else 0.0
        found[name] = TrackFrame(
            xy=(float(frame.values[i, 0]), float(frame.values[i, 1])),
            visible=chance > 0.5,
            confidence=chance * confidence_of(float(frame.error_px[i]), limit),
        )
    return found


def _shapes(
    frame: _Frame, template: CharacterTemplate, limit: float, trust: ErrorCalibration
) -> tuple[dict[str, ShapeFrame], list[str]]:
    """Shapes of a frame, and names of those that may or may not be hidden."""
    found, doubtful = {}, []
    first = len(template.tracks)
    for name, where in template.slices().items():
        points = slice(first + where.start, first + where.stop)
        chance = frame.visible[points]
        shown = chance_shown(chance) if frame.present else 0.0
        error = trust.expected(
            shape_mean(frame.error_px[points], chance),
            shape_mean(frame.apart_px[points], chance),
        )
        found[name] = ShapeFrame(
            points=frame.values[points],
            point_visible=(chance > 0.5) & frame.present,
            visible=shown > SHOWN,
            confidence=trust.chance(error, limit) if frame.present else 0.0,
            expected_error_px=error,
        )
        if DOUBTFUL[0] < shown < DOUBTFUL[1]:
            doubtful.append(name)
    return found, doubtful


def _keys(frames: list[int], poses: NDArray[np.int64]) -> tuple[int, ...]:
    """First and last frame of each pose: interpolating them repeats every frame."""
    edge = np.diff(poses, prepend=-1, append=poses[-1] + 1) != 0
    return tuple(f for i, f in enumerate(frames) if edge[i] or edge[i + 1])


def _notes(
    predictions: Predictions,
    poses: NDArray[np.int64],
    present: NDArray[np.bool_],
    drawn: list[tuple[dict[str, TrackFrame], dict[str, ShapeFrame], list[str]]],
    limit: float,
    min_confidence: float,
) -> dict[int, FrameNote]:
    jumps = find_jumps(predictions.frames, predictions.box)
    starts = np.flatnonzero(np.diff(poses, prepend=-1))
    notes = {}
    for i, frame in enumerate(predictions.frames.tolist()):
        pose = int(poses[i])
        _, shapes, doubtful = drawn[pose]
        if present[pose]:
            reasons = reasons_to_look(
                shapes,
                limit_px=limit,
                min_confidence=min_confidence,
                doubtful=doubtful,
                jump_px=float(jumps[i]),
            )
        else:
            reasons = (f"{predictions.found[i]:.0%} sure of a puppet: none drawn",)
        origin = int(predictions.frames[starts[pose]])
        notes[frame] = FrameNote(
            flagged=bool(reasons),
            reasons=reasons,
            hold_of=None if origin == frame else origin,
        )
    return notes
