"""Coordinates: the half pixel, tangents, affine maps."""

from __future__ import annotations

import numpy as np

from laikaroto.coords import (
    absolute_tangents,
    from_index,
    relative_tangents,
    to_index,
    transform_points,
)

POINTS = np.array([[10.0, 20.0, -1.0, 2.0, 3.0, -4.0], [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]])


def test_the_first_pixel_centre_is_index_zero() -> None:
    assert to_index(np.array([0.5, 0.5])).tolist() == [0.0, 0.0]
    assert from_index(to_index(POINTS)).tolist() == POINTS.tolist()


def test_tangents_become_places_and_back() -> None:
    absolute = absolute_tangents(POINTS)
    assert absolute.shape == (2, 3, 2)
    assert absolute[0].tolist() == [[10, 20], [9, 22], [13, 16]]
    assert relative_tangents(absolute).tolist() == POINTS.tolist()


def test_a_map_moves_points_and_turns_tangents() -> None:
    quarter = np.array([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]])
    moved = transform_points(POINTS, quarter)
    assert moved[0].tolist() == [80, 10, -2, -1, 4, 3]
    stack = np.stack([POINTS, POINTS])
    assert transform_points(stack, quarter).shape == (2, 2, 6)
    assert POINTS[0, 0] == 10.0, "the input is left alone"


def test_mapping_whole_places_gives_the_same() -> None:
    matrix = np.array([[1.5, 0.2, -3.0], [-0.1, 0.8, 7.0]])
    places = absolute_tangents(POINTS) @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(absolute_tangents(transform_points(POINTS, matrix)), places)
