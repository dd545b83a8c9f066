"""The one coordinate convention, and the checks and conversions that keep it.

Full-size plate pixels; origin at the top-left *corner* of the display window; x right, y
down; the centre of the first pixel is (0.5, 0.5). Tangents are offsets from their point.
A control point is ``[x, y, in_dx, in_dy, out_dx, out_dy]``.

Array libraries put pixel *centres* at whole numbers: ``to_index`` and ``from_index`` are the
only places that know the half pixel between the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def to_index(xy: FloatArray) -> FloatArray:
    """Plate coordinates to array-index coordinates (pixel centres at whole numbers)."""
    return np.asarray(xy, dtype=np.float64) - 0.5


def from_index(xy: FloatArray) -> FloatArray:
    """Array-index coordinates (pixel centres at whole numbers) to plate coordinates."""
    return np.asarray(xy, dtype=np.float64) + 0.5


def absolute_tangents(points: FloatArray) -> FloatArray:
    """Control points (…, 6) with relative tangents to absolute positions (…, 3, 2).

    Order: point, in-tangent end, out-tangent end.
    """
    points = np.asarray(points, dtype=np.float64)
    xy = points[..., 0:2]
    return np.stack([xy, xy + points[..., 2:4], xy + points[..., 4:6]], axis=-2)


def relative_tangents(absolute: FloatArray) -> FloatArray:
    """Inverse of ``absolute_tangents``: (…, 3, 2) to (…, 6)."""
    absolute = np.asarray(absolute, dtype=np.float64)
    xy = absolute[..., 0, :]
    return np.concatenate([xy, absolute[..., 1, :] - xy, absolute[..., 2, :] - xy], axis=-1)


def transform_points(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """Apply a 2×3 affine matrix to control points (…, 6): position moved, tangents turned."""
    matrix = np.asarray(matrix, dtype=np.float64)
    linear, shift = matrix[:, :2], matrix[:, 2]
    points = np.asarray(points, dtype=np.float64)
    pairs = points.reshape(*points.shape[:-1], 3, 2) @ linear.T
    pairs[..., 0, :] += shift
    return pairs.reshape(points.shape)
