"""How far expected errors are to be trusted: from points to shapes, and to the chance to be clean.

The drawer estimates the error of every point, and its looks lie apart where it is unsure
(``looks``). What matters to a person is the shape: how far its curve is off on average, and
whether an artist would leave it as it is; and the frame: whether it needs a look. How these
follow from the others is measured on held-out shots (``training.calibrate``) and kept in the
package.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from laikaroto.coords import FloatArray

#: A hidden point's share in the error of its shape.
_HIDDEN = 0.05
#: Below it neither estimate says anything, px.
_LEAST_PX = 1e-3

Share = Annotated[float, Field(ge=0, le=1)]


class ErrorCalibration(BaseModel):
    """What held-out shots say of expected errors of shapes.

    scale: what they are multiplied by to be right on average; share: weight of how far the
    looks lie apart, beside the drawer's own estimate; half: the (calibrated) expected error at
    which half of the shapes are clean, as a share of the limit; spread: standard deviation of
    the logarithm of that limit; flag_below: frames are flagged below this chance that all their
    shapes are clean; it catches at least ``training.calibrate.CAUGHT`` of the held-out frames
    that are not. The defaults are for characters with nothing held out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: PositiveFloat = 1.0
    share: Share = 0.0
    half: PositiveFloat = 0.7
    spread: PositiveFloat = 0.5
    flag_below: Share = 0.8

    def expected(self, error_px: float, apart_px: float) -> float:
        """Mean curve distance to be expected of a shape, px.

        Args:
            error_px: as the drawer estimates it, by ``shape_mean``.
            apart_px: how far the looks lie apart, by ``shape_mean``.
        """
        return self.scale * mix(error_px, apart_px, self.share)

    def chance(self, expected_px: float, limit_px: float) -> float:
        """Chance that a shape is clean, from its expected error: 0-1."""
        away = math.log(max(expected_px, 1e-6) / (limit_px * self.half)) / self.spread
        return 0.5 * math.erfc(away / math.sqrt(2))


def mix(error_px: float, apart_px: float, share: float) -> float:
    """Geometric mean of two estimates of an error, the second with weight ``share``."""
    error, apart = (math.log(max(value, _LEAST_PX)) for value in (error_px, apart_px))
    return math.exp((1 - share) * error + share * apart)


def shape_mean(values_px: FloatArray, visible: FloatArray) -> float:
    """An estimate for a shape from those for its points.

    Args:
        values_px: (N,) of its control points, each already across the curve.
        visible: (N,) their chance to be seen: a hidden shape's error is that of all its points.
    """
    weight = visible.clip(_HIDDEN, 1.0)
    return float((values_px * weight).sum() / weight.sum())
