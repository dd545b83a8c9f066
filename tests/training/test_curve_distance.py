from __future__ import annotations

import numpy as np
import pytest

from laikaroto.shapes.bezier import distance_to_polyline
from laikaroto.training.curve_distance import flatten, nearest, symmetric_distances

RNG = np.random.default_rng(7)


def random_spline(count: int) -> np.ndarray:
    """A smooth-ish wobbly ring with a corner here and there."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    xy = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * RNG.uniform(60, 100, (count, 1)) + 150
    return np.concatenate([xy, RNG.normal(0, 12, (count, 4))], axis=-1)


@pytest.mark.parametrize("closed", [True, False])
def test_nearest_agrees_with_trying_every_piece(closed: bool) -> None:
    curve = flatten(random_spline(9), closed=closed, step_px=0.5)
    xy = RNG.uniform(0, 300, (500, 2))
    apart, segment = nearest(xy, curve)
    assert apart == pytest.approx(distance_to_polyline(xy, curve.line), abs=0.01)
    assert set(segment) <= set(range(9 if closed else 8))


@pytest.mark.parametrize("closed", [True, False])
def test_samples_are_even_and_know_their_segment(closed: bool) -> None:
    points = random_spline(7)
    curve = flatten(points, closed=closed, step_px=0.5)
    gaps = np.hypot(*np.diff(curve.samples, axis=0).T)
    assert gaps.max() <= 0.5
    assert np.percentile(gaps, 5) > 0.45  # a little shorter only around corners
    assert (np.diff(curve.sample_segment) >= 0).all()
    assert set(curve.sample_segment) == set(range(7 if closed else 6))
    corners = distance_to_polyline(points[:, :2], curve.line)
    assert corners.max() < 1e-5  # every control point is a vertex
    assert np.array_equal(curve.line[0], curve.line[-1]) == closed


@pytest.mark.parametrize("points", [np.zeros((1, 6)), np.zeros((3, 6))])
@pytest.mark.parametrize("closed", [True, False])
def test_splines_of_no_length_are_points(points: np.ndarray, closed: bool) -> None:
    curve = flatten(points, closed=closed, step_px=0.5)
    apart, _ = nearest(np.array([[3.0, 4.0]]), curve)
    assert apart == pytest.approx([5])


def test_nothing_to_measure_gives_nothing() -> None:
    spline = random_spline(5)
    apart, segment = nearest(np.zeros((0, 2)), flatten(spline, closed=True, step_px=0.5))
    assert len(apart) == len(segment) == 0
    none = np.zeros(5, dtype=bool)
    assert len(symmetric_distances(spline, spline, none, closed=True, step_px=0.5)) == 0


def test_distances_are_the_same_either_way_round_when_all_is_visible() -> None:
    a, b = random_spline(6), random_spline(8)
    one = symmetric_distances(a, b, np.ones(8, dtype=bool), closed=True, step_px=0.5)
    other = symmetric_distances(b, a, np.ones(6, dtype=bool), closed=True, step_px=0.5)
    assert np.sort(one) == pytest.approx(np.sort(other))
