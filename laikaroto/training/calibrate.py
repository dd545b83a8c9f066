"""Learn from held-out shots how far expected errors of shapes are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm

from laikaroto.model.calibration import ErrorCalibration

#: Before anything is measured: where half of the shapes are clean, and how sharply, with the
#: weight of that belief in shapes.
_HALF, _SPREAD, _BELIEF = 0.7, 0.5, 4.0
_FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedShape:
    """One shape on one held-out frame.

    Attributes:
        expected_px: error as estimated, not scaled.
        actual_px: mean curve distance from the truth.
        clean: whether an artist would leave it.
        limit_px: largest mean distance of a clean shape on this plate.
    """

    expected_px: float
    actual_px: float
    clean: bool
    limit_px: float


def fit_calibration(shapes: Sequence[JudgedShape]) -> ErrorCalibration:
    """The calibration under which what was seen is likeliest; the defaults from too few shapes."""
    if len(shapes) < _FEWEST:
        return ErrorCalibration()
    expected = np.array([max(shape.expected_px, 1e-6) for shape in shapes])
    actual = np.array([shape.actual_px for shape in shapes])
    clean = np.array([shape.clean for shape in shapes])
    limit = np.array([shape.limit_px for shape in shapes])
    scale = float(np.clip(actual.mean() / expected.mean(), 0.05, 20.0))
    share = np.log(expected * scale / limit)

    def unlikely(knobs: np.ndarray) -> float:
        half, spread = knobs[0], np.exp(knobs[1])
        away = (half - share) / spread
        seen = np.where(clean, norm.logcdf(away), norm.logcdf(-away)).sum()
        believed = (half - np.log(_HALF)) ** 2 + (knobs[1] - np.log(_SPREAD)) ** 2
        return float(_BELIEF * believed - seen)

    found = minimize(unlikely, np.log([_HALF, _SPREAD]), method="Nelder-Mead").x
    return ErrorCalibration(
        scale=scale, half=float(np.exp(found[0])), spread=float(np.exp(found[1]))
    )
