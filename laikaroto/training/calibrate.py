"""Learn from held-out shots how far expected errors of shapes are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm

from laikaroto.coords import FloatArray
from laikaroto.model.calibration import ErrorCalibration, mix

#: Share of the frames that are not clean that flags are to catch.
CAUGHT = 0.95
#: Before anything is measured: where half of the shapes are clean, how sharply, and how much
#: looks that lie apart say, with the weight of that belief in shapes.
_HALF, _SPREAD, _SHARE, _BELIEF = 0.7, 0.5, 0.5, 4.0
_FEWEST = 10
#: What is more likely faulty than not is flagged in any case.
_EVEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedShape:
    """One shape on one held-out frame.

    Attributes:
        expected_px: error as the drawer estimates it, not calibrated.
        apart_px: how far its looks lie apart.
        actual_px: mean curve distance from the truth.
        clean: whether an artist would leave it.
        limit_px: largest mean distance of a clean shape on this plate.
    """

    expected_px: float
    apart_px: float
    actual_px: float
    clean: bool
    limit_px: float


#: A held-out frame: its visible shapes, and whether all of it is clean.
JudgedFrame = tuple[Sequence[JudgedShape], bool]


def fit_calibration(frames: Sequence[JudgedFrame]) -> ErrorCalibration:
    """The calibration under which what was seen is likeliest; the defaults from too few shapes."""
    shapes = [shape for row, _ in frames for shape in row]
    if len(shapes) < _FEWEST:
        return ErrorCalibration()
    clean = np.array([shape.clean for shape in shapes])
    limit = np.log([shape.limit_px for shape in shapes])
    own, apart = (
        np.log([mix(shape.expected_px, shape.apart_px, share) for shape in shapes])
        for share in (0.0, 1.0)
    )

    def share_of(knob: float) -> float:
        return float(norm.cdf(knob))

    def unlikely(knobs: FloatArray) -> float:
        half, spread, share = knobs[0], np.exp(knobs[1]), share_of(knobs[2])
        away = (half + limit - (1 - share) * own - share * apart) / spread
        seen = np.where(clean, norm.logcdf(away), norm.logcdf(-away)).sum()
        believed = ((knobs - start) ** 2).sum()
        return float(_BELIEF * believed - seen)

    # all in one unit: own estimates and distances between looks are px of like size
    middle = float(np.log(_HALF) - np.log(_unscaled(shapes, _SHARE)))
    start = np.array([middle, np.log(_SPREAD), norm.ppf(_SHARE)])
    found = minimize(unlikely, start, method="Nelder-Mead").x
    share = share_of(float(found[2]))
    scale = _unscaled(shapes, share)
    calibration = ErrorCalibration(
        scale=scale,
        share=share,
        half=float(np.exp(found[0]) * scale),
        spread=float(np.exp(found[1])),
    )
    return calibration.model_copy(update={"flag_below": _flag_below(frames, calibration)})


def _unscaled(shapes: Sequence[JudgedShape], share: float) -> float:
    """What mixed estimates are to be multiplied by to be right on average."""
    mixed = sum(mix(shape.expected_px, shape.apart_px, share) for shape in shapes)
    return float(np.clip(sum(shape.actual_px for shape in shapes) / mixed, 0.05, 20.0))


def chance_of(shapes: Sequence[JudgedShape], calibration: ErrorCalibration) -> float:
    """Chance that all of a frame's shapes are clean."""
    return float(
        np.prod(
            [
                calibration.chance(calibration.expected(s.expected_px, s.apart_px), s.limit_px)
                for s in shapes
            ]
        )
    )


def _flag_below(frames: Sequence[JudgedFrame], calibration: ErrorCalibration) -> float:
    """The chance below which ``CAUGHT`` of the frames that are not clean lie, or an even one.

    Views of one shot are more alike than shots are, and their faults lie closer together: the
    quantile alone may let pass what is more likely faulty than not.
    """
    chances = [chance_of(shapes, calibration) for shapes, clean in frames if not clean]
    if len(chances) < _FEWEST:
        return ErrorCalibration().flag_below
    return max(float(np.quantile(chances, CAUGHT, method="higher")), _EVEN)
