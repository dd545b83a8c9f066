from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from laikaroto.model.predictions import Predictions
from laikaroto.tracking.holds import find_holds, merge_holds


def predictions(moved: list[tuple[float, float, float]], *, jump: int | None = None) -> Predictions:
    count = len(moved)
    values = np.zeros((count, 5, 6))
    values[:, :, 0] = np.arange(5) * 10.0
    if jump is not None:
        values[jump:, :, :2] += 30.0
    return Predictions(
        frames=np.arange(1001, 1001 + count), values=values, visible=np.ones((count, 5)),
        error_px=np.ones((count, 5)), apart_px=np.ones((count, 5)),
        box=np.full((count, 3), 50.0), found=np.ones(count),
        moved=np.array(moved), tokens=np.zeros((count, 5, 0), np.float16),
    )  # fmt: skip


START = (np.inf, np.inf, np.inf)
STILL = (0.02, -0.01, 0.4)
MOVED = (0.5, 0.2, 3.0)


def test_on_twos_and_held() -> None:
    found = find_holds(predictions([START, STILL, MOVED, STILL, MOVED, STILL, STILL]))
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 2]


def test_a_local_change_ends_a_hold() -> None:
    assert find_holds(predictions([START, STILL, (0.0, 0.0, 1.2)])).tolist() == [0, 0, 1]


def test_unknown_motion_is_no_hold() -> None:
    assert find_holds(predictions([START, START, STILL])).tolist() == [0, 1, 1]


def test_a_slow_camera_move_is_not_a_hold() -> None:
    slow = find_holds(predictions([START] + [(0.06, 0.0, 0.4)] * 8))
    assert slow.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # never more than 0.15 px in one pose


def test_measurement_noise_of_a_long_hold_does_not_add_up() -> None:
    rng = np.random.default_rng(3)
    shake = [(float(x), float(y), 0.4) for x, y in rng.normal(0, 0.012, (40, 2))]
    assert find_holds(predictions([START, *shake])).max() == 0


def test_a_drawing_that_jumps_is_no_hold() -> None:
    assert find_holds(predictions([START, STILL, STILL], jump=2)).tolist() == [0, 0, 1]


def test_merged_poses_are_means_by_expected_error() -> None:
    some = predictions([START, STILL, MOVED])
    error = some.error_px.copy()
    error[1] = 2.0  # counts a quarter
    values = some.values.copy()
    values[1, :, :2] += 1.0
    visible = some.visible.copy()
    visible[1] = 0.0
    some = dataclasses.replace(
        some, error_px=error, values=values, visible=visible, found=np.array([0.2, 0.7, 0.9])
    )
    merged = merge_holds(some, np.array([0, 0, 1]))
    assert merged.frames.tolist() == [1001, 1003]
    np.testing.assert_allclose(merged.values[0, :, 1], 0.2)
    np.testing.assert_allclose(merged.visible[0], 0.8)
    np.testing.assert_allclose(merged.values[1], some.values[2])
    assert merged.found.tolist() == [0.7, 0.9]


def test_no_holds_change_nothing() -> None:
    some = predictions([START, MOVED, MOVED])
    merged = merge_holds(some, np.arange(3))
    for field in dataclasses.fields(Predictions):
        np.testing.assert_allclose(getattr(merged, field.name), getattr(some, field.name))


@pytest.mark.parametrize("count", [1, 2])
def test_short_shots(count: int) -> None:
    assert find_holds(predictions([START] * count)).tolist() == list(range(count))
