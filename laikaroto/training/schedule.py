"""How a training uses its time: learning rate, when to measure, when to stop measuring.

An early stop ends the first phase, in which whole shots are held out, when the error on them
has stopped falling, and shortens the rest in proportion (``State.budget_s``). It does not end
the training: the held-out shots are still learned, and the learning rate still falls to its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WARM_UP_STEPS = 60
LEAST_RATE = 0.01
#: A measurement counts as better if it is below the best by this share.
GAIN = 0.01
#: Time between two measurements: at least this many times what one takes, and these shares of
#: the budget at least and at most.
COST_FACTOR = 25.0
SHARES = (0.03, 0.08)


def learning_rate(share: float, step: int) -> float:
    """Half a cosine over the budget (``share`` 0-1 of it used), after a short warm-up; 0-1."""
    half_cosine = 0.5 + 0.5 * math.cos(math.pi * share)
    return max(half_cosine, LEAST_RATE) * min(1.0, (step + 1) / WARM_UP_STEPS)


def measure_every(budget_s: float, cost_s: float | None) -> float:
    """Seconds between two measurements on the held-out shots.

    Args:
        budget_s: of the whole training.
        cost_s: what the last measurement took; None before the first.
    """
    least, most = SHARES
    if cost_s is None:
        return most * budget_s
    return min(max(COST_FACTOR * cost_s, least * budget_s), most * budget_s)


def stalled(history: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Whether the last ``patience`` measurements all failed to be better than the best before.

    Curves count; tracking points where a character has no curves.
    """
    if patience is None:
        return False
    errors = [error for row in history if (error := _error(row)) is not None]
    best, without_gain = math.inf, 0
    for error in errors:
        if error < best * (1 - GAIN):
            best, without_gain = error, 0
        else:
            without_gain += 1
    return without_gain >= patience


def _error(row: Mapping[str, Any]) -> float | None:
    for name in ("validation_curves_px", "validation_tracks_px"):
        if (value := row.get(name)) is not None:
            return float(value)
    return None
