from __future__ import annotations

import numpy as np
import pytest

from laikaroto.model.calibration import ErrorCalibration, shape_mean


def test_half_of_the_shapes_are_clean_at_half() -> None:
    trust = ErrorCalibration(half=0.6, spread=0.4)
    assert trust.chance(0.6, 1.0) == pytest.approx(0.5)
    assert trust.chance(1.2, 2.0) == pytest.approx(0.5)  # twice the plate, twice the error
    chances = [trust.chance(error, 1.0) for error in (0.0, 0.2, 0.6, 1.5, 40.0)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == pytest.approx(1.0) and chances[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_shapes_error_is_that_of_its_visible_points() -> None:
    error = np.array([1.0, 1.0, 9.0])
    assert shape_mean(error, np.array([1.0, 1.0, 0.0])) == pytest.approx(1.2, abs=0.05)
    assert shape_mean(error, np.zeros(3)) == pytest.approx(11 / 3)


def test_looks_that_lie_apart_count_by_their_share() -> None:
    assert ErrorCalibration(scale=2.0).expected(0.3, 9.0) == pytest.approx(0.6)
    assert ErrorCalibration(scale=2.0, share=1.0).expected(0.3, 9.0) == pytest.approx(18.0)
    both = ErrorCalibration(share=0.5)
    assert both.expected(0.4, 0.9) == pytest.approx(0.6)  # their geometric mean
    assert both.expected(0.4, 0.9) > both.expected(0.4, 0.1) > 0
    assert both.expected(0.4, 0.0) > 0  # one look says nothing, and is no proof of perfection
