"""Learning rate, when to measure, and when measuring says that it is enough."""

from __future__ import annotations

import pytest

from laikaroto.training.schedule import learning_rate, measure_every, stalled


def rows(*errors: float | None) -> list[dict[str, float | None]]:
    return [{"loss": 1.0, "validation_curves_px": error} for error in errors]


def test_the_rate_warms_up_and_falls_to_its_end() -> None:
    assert learning_rate(0.0, 0) < 0.05
    rates = [learning_rate(share / 20, 1000) for share in range(21)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0 and rates[10] == pytest.approx(0.5) and 0 < rates[-1] < 0.05


def test_measuring_is_rarer_where_it_is_dear() -> None:
    assert measure_every(1000.0, None) == 80.0
    assert measure_every(1000.0, 0.1) == 30.0
    assert measure_every(1000.0, 2.0) == 50.0
    assert measure_every(1000.0, 100.0) == 80.0


@pytest.mark.parametrize(
    ("errors", "patience", "enough"),
    [
        ([], 2, False),
        ([3.0, 2.0, 1.0], 2, False),
        ([3.0, 2.0, 2.0, 2.1], 2, True),
        ([3.0, 2.0, 2.0, 2.1], 3, False),
        ([3.0, 2.0, 2.0, 1.5, 1.5], 2, False),  # a gain begins anew
        ([2.0, 1.999, 1.995], 2, True),  # less than 1 % is no gain
        ([2.0, None, 2.0, 2.0], 2, True),  # what could not be measured does not count
        ([3.0, 2.0, 2.0, 2.1], None, False),
    ],
)
def test_enough_is_when_the_last_measurements_brought_nothing(
    errors: list[float | None], patience: int | None, enough: bool
) -> None:
    assert stalled(rows(*errors), patience) is enough


def test_tracking_points_decide_where_there_are_no_curves() -> None:
    history = [{"validation_curves_px": None, "validation_tracks_px": e} for e in (2.0, 2.0, 2.0)]
    assert stalled(history, 2) and not stalled([{"loss": 1.0}] * 9, 2)
