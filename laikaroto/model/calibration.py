"""How far expected errors are to be trusted: from points to shapes, and to the chance to be clean.

The drawer estimates the error of every point. What matters to a person is the shape: how far
its curve is off on average, and whether an artist would leave it as it is. How the one follows
from the other is measured on held-out shots (``training.calibrate``) and kept in the package.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, PositiveFloat

from laikaroto.coords import FloatArray

#: A hidden point's share in the error of its shape.
_HIDDEN = 0.05


class ErrorCalibration(BaseModel):
    """What held-out shots say of expected errors of shapes.

    scale: what they are multiplied by to be right on average; half: the (scaled) expected
    error at which half of the shapes are clean, as a share of the limit; spread: standard
    deviation of the logarithm of that limit. The defaults are for characters with nothing
    held out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: PositiveFloat = 1.0
    half: PositiveFloat = 0.7
    spread: PositiveFloat = 0.5

    def chance(self, error_px: float, limit_px: float) -> float:
        """Chance that a shape is clean, from its scaled expected error: 0-1."""
        away = math.log(max(error_px, 1e-6) / (limit_px * self.half)) / self.spread
        return 0.5 * math.erfc(away / math.sqrt(2))


def shape_error(error_px: FloatArray, visible: FloatArray) -> float:
    """Expected error of a shape, not scaled, from those of its points.

    Args:
        error_px: (N,) of its control points, each already across the curve.
        visible: (N,) their chance to be seen: a hidden shape's error is that of all its points.
    """
    weight = visible.clip(_HIDDEN, 1.0)
    return float((error_px * weight).sum() / weight.sum())
