"""What held-out frames tell of the drawer's own estimates of its errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.training.validate import HeldOut

TRACKS, POINTS = 2, 5


def held_out(actual: FloatArray, visible: NDArray[np.bool_] | None = None) -> HeldOut:
    """Frames whose estimates are all 1 px."""
    seen = np.ones(actual.shape, bool) if visible is None else visible
    examples = [SimpleNamespace(known=np.ones(POINTS, bool), visible=row) for row in seen]
    return HeldOut(
        cast(Any, tuple(examples)), np.zeros((*actual.shape, 6)), seen, np.ones_like(actual), actual
    )


def test_estimates_are_made_right_on_average() -> None:
    scale = held_out(np.full((50, POINTS), 2.5)).error_scale(TRACKS)
    np.testing.assert_allclose(scale, 2.5)


def test_a_tracking_point_on_smooth_skin_is_trusted_less_than_the_others() -> None:
    actual = np.ones((200, POINTS))
    actual[:, 1] = 4.0  # as the last control point, to which it makes no difference
    actual[:, 4] = 4.0
    scale = held_out(actual).error_scale(TRACKS)
    overall = actual.mean()
    np.testing.assert_allclose(scale[2:], overall)
    assert scale[1] == pytest.approx(4.0, rel=0.02) and scale[0] == pytest.approx(1.0, rel=0.05)


def test_few_frames_say_little_and_one_lost_frame_not_everything() -> None:
    actual = np.ones((2, POINTS))
    actual[:, 1] = 1.5
    few = held_out(actual).error_scale(TRACKS)
    assert 1.0 < few[1] / few[2] < 1.5 / actual.mean()
    actual = np.ones((10, POINTS))
    actual[0, 1] = 1000.0
    hidden = np.ones(actual.shape, bool)
    hidden[0, 1] = False
    assert held_out(actual, hidden).error_scale(TRACKS)[1] == pytest.approx(1.0)
    assert held_out(actual).error_scale(TRACKS)[1] < 4 * actual.mean()


def test_nothing_seen_says_nothing() -> None:
    nothing = held_out(np.ones((3, POINTS)), np.zeros((3, POINTS), bool))
    np.testing.assert_array_equal(nothing.error_scale(TRACKS), 1.0)
