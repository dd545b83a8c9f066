"""Contours: length, corners, bends and loops of splines."""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.shapes.contour import Contour, crossing_loop, find_bends
from tests.shapes.drawn import circle, polygon, subdivide


def test_length_area_and_knots_of_a_circle() -> None:
    contour = Contour.of(circle(50.0, count=4), closed=True)
    assert contour.length == pytest.approx(2 * np.pi * 50, rel=1e-3)
    assert abs(contour.area) == pytest.approx(np.pi * 50**2, rel=1e-3)
    assert contour.knots / contour.length == pytest.approx([0, 0.25, 0.5, 0.75], abs=1e-6)
    assert len(contour.corners) == 0


def test_at_goes_round_closed_ones_and_stops_at_open_ends() -> None:
    square = polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
    closed = Contour.of(square, closed=True)
    assert closed.at(np.array([45.0])) == pytest.approx(np.array([[5.0, 0.0]]))
    opened = Contour.of(square, closed=False)
    assert opened.length == pytest.approx(30.0)
    assert opened.at(np.array([-5.0, 99.0])) == pytest.approx(np.array([[0, 0], [0, 10]]))


def test_corners_are_exact_whatever_the_points() -> None:
    square = polygon([(0, 0), (40, 0), (40, 40), (0, 40)])
    contour = Contour.of(subdivide(square, [0.3, 0.7], closed=True), closed=True)
    assert contour.corners == pytest.approx([0, 40, 80, 120])
    assert contour.turns == pytest.approx([90.0] * 4)
    back = contour.reversed()
    assert back.corners == pytest.approx([0, 40, 80, 120])
    assert back.at(back.corners[1:2]) == pytest.approx(np.array([[0.0, 40.0]]))


def test_points_on_top_of_each_other_are_one_place() -> None:
    square = polygon([(0, 0), (40, 0), (40, 40), (0, 40)])
    doubled = square[[0, 1, 1, 2, 3]]
    contour = Contour.of(doubled, closed=True)
    assert contour.length == pytest.approx(160.0)
    assert contour.corners == pytest.approx([0, 40, 80, 120])
    assert contour.knots == pytest.approx([0, 40, 40, 80, 120])


def test_a_dot_has_no_length_and_breaks_nothing() -> None:
    contour = Contour.of(np.zeros((3, 6)), closed=True)
    assert contour.length == 0.0
    assert contour.at(np.array([3.0])) == pytest.approx(np.zeros((1, 2)))
    assert crossing_loop(contour) == 0.0


def test_a_round_tip_is_a_bend_and_no_corner() -> None:
    thin = circle(60.0, count=8)
    thin[:, 1::2] *= 0.08  # an ellipse 120 px long and 10 px high
    contour = Contour.of(thin, closed=True)
    assert len(contour.corners) == 0
    places, turns = find_bends(contour, window_px=10.0)
    assert places / contour.length == pytest.approx([0.0, 0.5], abs=0.01)
    assert turns.min() > 60


def test_shut_lids_are_not_tangled_and_an_eight_is() -> None:
    shut = polygon([(0, 0), (30, 5), (60, 0), (30, 5.05)])
    assert crossing_loop(Contour.of(shut, closed=True)) < 0.01
    eight = polygon([(0, 0), (60, 40), (60, 0), (0, 40)])
    assert crossing_loop(Contour.of(eight, closed=True)) > 0.2
