"""Calibration is found again in shapes that were drawn by it."""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.model.calibration import ErrorCalibration
from laikaroto.training.calibrate import (
    CAUGHT,
    JudgedFrame,
    JudgedShape,
    chance_of,
    fit_calibration,
)


def frames(
    count: int, *, limit: float = 1.0, shapes: int = 2, level: float = 0.0, seed: int = 1
) -> list[JudgedFrame]:
    """Errors lie about 0.6 of the geometric mean of both estimates; clean below 0.8 of the limit.

    Each estimate is off for itself; ``level`` is the logarithm of how hard the frames are.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        row = []
        for _ in range(shapes):
            own, apart = np.exp(rng.normal(level, 0.8, 2))
            actual = 0.6 * np.sqrt(own * apart) * float(np.exp(rng.normal(-0.08, 0.4)))
            row.append(
                JudgedShape(
                    expected_px=own * limit, apart_px=apart * limit, actual_px=actual * limit,
                    clean=bool(actual < 0.8), limit_px=limit,
                )
            )  # fmt: skip
        made.append((row, all(shape.clean for shape in row)))
    return made


@pytest.mark.parametrize("limit", [1.0, 3.2])
def test_what_held_out_shapes_say_is_learned(limit: float) -> None:
    found = fit_calibration(frames(1000, limit=limit))
    assert found.share == pytest.approx(0.5, abs=0.06)
    assert found.scale == pytest.approx(0.6, rel=0.05)
    assert found.half == pytest.approx(0.87, rel=0.1)
    assert found.spread == pytest.approx(0.4, rel=0.15)
    others = [shape for row, _ in frames(2000, limit=limit, seed=2) for shape in row]
    expected = [found.expected(s.expected_px, s.apart_px) for s in others]
    assert np.mean(expected) == pytest.approx(np.mean([s.actual_px for s in others]), rel=0.06)
    chances = np.array([found.chance(e, limit) for e in expected])
    clean = np.array([s.clean for s in others])
    for low in (0.0, 0.25, 0.5, 0.75):
        bin_ = (chances >= low) & (chances < low + 0.25)
        assert clean[bin_].mean() == pytest.approx(chances[bin_].mean(), abs=0.08)


def test_flags_catch_what_they_are_to_catch_on_other_frames() -> None:
    found = fit_calibration(frames(1500))
    others = [(chance_of(row, found), clean) for row, clean in frames(3000, seed=3)]
    faulty = [chance < found.flag_below for chance, clean in others if not clean]
    assert np.mean(faulty) > CAUGHT - 0.02
    whole = [chance < found.flag_below for chance, clean in others if clean]
    assert np.mean(whole) < np.mean(faulty) - 0.25


def test_what_is_more_likely_faulty_than_not_is_flagged() -> None:
    """Where all faults are plain, the quantile alone would let doubtful frames pass."""
    plain = [row for row in frames(400) if row[1]] + frames(200, level=3.0, seed=4)
    assert fit_calibration(plain).flag_below >= 0.5


def test_too_few_shapes_say_nothing() -> None:
    assert fit_calibration(frames(4)) == ErrorCalibration()
    clean = [row for row in frames(100) if row[1]]
    assert fit_calibration(clean).flag_below == ErrorCalibration().flag_below  # nothing faulty


def test_shapes_of_one_kind_do_not_run_away() -> None:
    found = fit_calibration([row for row in frames(200) if row[1]])
    assert 0.1 < found.half < 20 and 0.1 < found.spread < 3 and 0 <= found.share <= 1
