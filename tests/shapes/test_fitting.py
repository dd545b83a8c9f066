"""Splines fitted to contours: exact where they can be, points where they shall be."""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation, fit_spline
from tests.shapes.drawn import backwards, circle, polygon, subdivide


def eye() -> tuple[np.ndarray, np.ndarray]:
    """Control points with corners 0 and 2, and which are corners."""
    points = np.array(
        [[0, 20, 14, 14, 14, -22], [50, 0, -22, -1, 22, 1], [100, 22, -18, -20, -16, 14],
         [50, 38, 24, 2, -24, -2]], dtype=float,
    )  # fmt: skip
    return points, np.array([True, False, True, False])


def test_the_spline_a_contour_was_made_of_is_found_again() -> None:
    points, corners = eye()
    drawn = subdivide(points, [0.2, 0.55], closed=True)
    contour = Contour.of(drawn, closed=True)
    fitted = fit_spline(contour, contour.knots[::3], corners)
    assert fitted[:, :2] == pytest.approx(points[:, :2], abs=0.1)
    assert fitted == pytest.approx(points, abs=2.5)
    assert deviation(contour, fitted)[1] < 0.03


def test_smooth_points_stay_smooth_and_corners_stay_sharp() -> None:
    points, corners = eye()
    contour = Contour.of(points, closed=True)
    moved = contour.knots + np.array([0.0, 4.0, 0.0, -5.0])
    fitted = fit_spline(contour, moved, corners)
    for i in (1, 3):
        into, out = fitted[i, 2:4], fitted[i, 4:6]
        cross = into[0] * out[1] - into[1] * out[0]
        assert abs(cross) < 1e-6 * np.linalg.norm(into) * np.linalg.norm(out)
        assert into @ out < 0
    sharp = Contour.of(fitted, closed=True)
    assert len(sharp.corners) == 2
    assert deviation(contour, fitted)[1] < 0.3


def test_open_ends_stay_where_they_are() -> None:
    points = eye()[0][:3]
    contour = Contour.of(points, closed=False)
    fitted = fit_spline(contour, np.linspace(0, contour.length, 4), np.zeros(4, dtype=bool))
    assert fitted[[0, -1], :2] == pytest.approx(points[[0, -1], :2])
    assert (fitted[0, 2:4] == 0).all() and (fitted[-1, 4:6] == 0).all()


def test_too_few_points_are_seen_in_the_deviation() -> None:
    contour = Contour.of(circle(50.0, count=8), closed=True)
    two = fit_spline(contour, contour.knots[[0, 4]], np.zeros(2, dtype=bool))
    eight = fit_spline(contour, contour.knots, np.zeros(8, dtype=bool))
    assert deviation(contour, two)[1] > 0.4
    assert deviation(contour, eight)[1] < 0.02


def test_deviation_is_the_same_whichever_way_it_was_drawn() -> None:
    square = polygon([(0, 0), (100, 0), (100, 100), (0, 100)])
    bulged = square.copy()
    bulged[0, 5], bulged[1, 3] = -4.0, -4.0  # the top side rises by 3 px
    contour = Contour.of(square, closed=True)
    assert deviation(contour, bulged)[1] == pytest.approx(3.0, abs=0.05)
    assert deviation(contour, backwards(bulged)) == pytest.approx(
        deviation(contour, bulged), rel=1e-3
    )


def test_one_point_is_refused() -> None:
    contour = Contour.of(circle(5.0, count=4), closed=True)
    with pytest.raises(ValueError, match="two points"):
        fit_spline(contour, np.zeros(1), np.zeros(1, dtype=bool))
