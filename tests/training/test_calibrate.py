"""Calibration is found again in shapes that were drawn by it."""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.model.calibration import ErrorCalibration
from laikaroto.training.calibrate import JudgedShape, fit_calibration


def shapes(count: int, *, limit: float = 1.0) -> list[JudgedShape]:
    """Errors are 0.6 of what is expected, times a lognormal; clean below 0.8 of the limit."""
    rng = np.random.default_rng(1)
    made = []
    for _ in range(count):
        expected = float(np.exp(rng.normal(0, 0.8)))
        actual = 0.6 * expected * float(np.exp(rng.normal(-0.08, 0.4)))
        made.append(
            JudgedShape(
                expected_px=expected * limit, actual_px=actual * limit,
                clean=actual < 0.8, limit_px=limit,
            )
        )  # fmt: skip
    return made


@pytest.mark.parametrize("limit", [1.0, 3.2])
def test_what_held_out_shapes_say_is_learned(limit: float) -> None:
    found = fit_calibration(shapes(2000, limit=limit))
    assert found.scale == pytest.approx(0.6, rel=0.05)
    assert found.half == pytest.approx(0.87, rel=0.1)
    assert found.spread == pytest.approx(0.4, rel=0.15)
    others = shapes(4000, limit=limit)[2000:]
    chances = np.array([found.chance(s.expected_px * found.scale, s.limit_px) for s in others])
    clean = np.array([s.clean for s in others])
    for low in (0.0, 0.25, 0.5, 0.75):
        bin_ = (chances >= low) & (chances < low + 0.25)
        assert clean[bin_].mean() == pytest.approx(chances[bin_].mean(), abs=0.08)


def test_too_few_shapes_say_nothing() -> None:
    assert fit_calibration(shapes(9)) == ErrorCalibration()


def test_shapes_of_one_kind_do_not_run_away() -> None:
    found = fit_calibration([s for s in shapes(200) if s.clean])
    assert 0.1 < found.half < 20 and 0.1 < found.spread < 3
