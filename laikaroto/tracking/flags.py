"""Which frames a person should look at, and why, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.config import ReviewConfig
from laikaroto.coords import FloatArray
from laikaroto.shapes.records import ShapeFrame

#: The limit of the expected error is meant for a plate of this width.
REFERENCE_WIDTH_PX = 1280
#: Where a roto's provenance keeps the confidence that its model was calibrated to flag below.
FLAG_BELOW = "flag_below"
#: The same of a roto without it.
_USUAL = 0.8
#: A head further than this share of its size from the middle of its neighbours has jumped.
_JUMP = 0.75


def error_limit(review: ReviewConfig, width: int) -> float:
    """Largest expected error of a shape that needs no look, px of a plate of this width."""
    if review.max_expected_error_px is not None:
        return review.max_expected_error_px
    return width / REFERENCE_WIDTH_PX


def wanted_confidence(review: ReviewConfig, provenance: Mapping[str, Any]) -> float:
    """The chance that all is right below which a frame is flagged, 0-1.

    As the character's configuration says, else as the model was calibrated.
    """
    if review.min_confidence is not None:
        return review.min_confidence
    return float(provenance.get(FLAG_BELOW, _USUAL))


def find_jumps(frames: NDArray[np.int64], boxes: FloatArray) -> FloatArray:
    """How far each head is from where its neighbours on both sides have it.

    Args:
        frames: (F,) frame numbers, ascending.
        boxes: (F, 3) centre and side of the head, plate px.

    Returns:
        (F,) px; 0 where it is no jump, at both ends and where the neighbours are far in time.
    """
    jumps = np.zeros(len(frames))
    for i in range(1, len(frames) - 1):
        if frames[i + 1] - frames[i - 1] > 4:
            continue
        middle = (boxes[i - 1] + boxes[i + 1]) / 2
        away = float(np.hypot(*(boxes[i, :2] - middle[:2])))
        between = float(np.hypot(*(boxes[i + 1, :2] - boxes[i - 1, :2])))
        if away > _JUMP * middle[2] and away > between:
            jumps[i] = away
    return jumps


def reasons_to_look(
    shapes: Mapping[str, ShapeFrame],
    *,
    limit_px: float,
    min_confidence: float,
    doubtful: Sequence[str],
    jump_px: float,
) -> tuple[str, ...]:
    """Why a frame needs a look; empty if it does not.

    Args:
        shapes: of the frame.
        limit_px: see ``error_limit``.
        min_confidence: see ``wanted_confidence``; of each shape, and of all visible ones together.
        doubtful: shapes that may or may not be hidden.
        jump_px: see ``find_jumps``.
    """
    reasons = []
    if jump_px:
        reasons.append(f"head is {jump_px:.0f} px from where the frames around have it")
    visible = {name: shape for name, shape in shapes.items() if shape.visible}
    chance = {name: 1.0 if s.confidence is None else s.confidence for name, s in visible.items()}
    for name, shape in visible.items():
        error = shape.expected_error_px
        if error is not None and error > limit_px:
            reasons.append(f"{name}: expected error {error:.1f} px, limit {limit_px:.1f} px")
        elif chance[name] < min_confidence:
            reasons.append(f"{name}: {chance[name]:.0%} sure, wanted {min_confidence:.0%}")
    together = math.prod(chance.values())
    if not reasons and together < min_confidence:
        least = sorted(chance, key=lambda name: chance[name])[:3]
        reasons.append(
            f"{together:.0%} sure that every shape is right, wanted {min_confidence:.0%}; least of "
            + ", ".join(f"{name} ({chance[name]:.0%})" for name in least)
        )
    reasons += [f"{name}: hidden or not is unsure" for name in doubtful]
    return tuple(reasons)
