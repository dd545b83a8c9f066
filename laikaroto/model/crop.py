"""The square crop a network sees, and how its pixels map to the plate.

A crop is a square window on the plate, possibly turned, scaled to ``size`` × ``size``. Its
coordinates follow ``laikaroto.coords`` too: origin at the crop's top-left corner, pixel
centres at .5. Training and inference cut crops with the same code, so that a network meets
the same pixels in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray

#: How much larger than its points' bounding box a head's crop is: room for hair, context
#: and an inexact finder.
MARGIN = 1.3
#: How much larger than the finder's input whole plates are kept for training, for closer views.
WHOLE_DETAIL = 2


@dataclass(frozen=True, slots=True)
class Box:
    """Where a head is on the plate: centre and side of a square, full-size plate px."""

    x: float
    y: float
    side: float


def box_around(xy: FloatArray) -> Box:
    """The head box of a set of points (P, 2): their bounding square, enlarged by ``MARGIN``."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    centre = (low + high) / 2
    return Box(float(centre[0]), float(centre[1]), float((high - low).max()) * MARGIN)


def crop_matrix(box: Box, size: int, *, turn: float = 0.0) -> FloatArray:
    """2×3 matrix from crop coordinates to plate coordinates.

    Args:
        box: what to look at.
        size: side of the crop, px.
        turn: rotation of the window, radians, clockwise on screen.
    """
    scale = box.side / size
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([box.x, box.y]) - linear @ np.array([size / 2, size / 2])
    return np.column_stack([linear, shift])


def invert(matrix: FloatArray) -> FloatArray:
    """Inverse of a 2×3 affine matrix, as 2×3."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def reduce_plate(
    image: NDArray[np.float32], box: Box, size: int
) -> tuple[NDArray[np.float32], float]:
    """Shrink a plate (H, W, 3), or a mask (H, W) of it, so that a crop of it does not alias.

    Area averaging, so fine grain is averaged and not skipped; never enlarges.

    Returns:
        The image and its scale (reduced px per plate px, ≤ 1).
    """
    import cv2

    scale = min(1.0, 1.25 * size / box.side)
    if scale > 0.9:
        return image, 1.0
    # by factor, not by size: rounded sizes would scale the two axes differently
    reduced = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.float32), scale


def cut_crop(image: NDArray[np.float32], matrix: FloatArray, size: int) -> NDArray[np.float32]:
    """``cut_view`` of a square."""
    return cut_view(image, matrix, (size, size))


def cut_view(
    image: NDArray[np.float32], matrix: FloatArray, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut a view out of an image by linear interpolation; outside the plate its edge repeats.

    Args:
        image: (H, W, 3) float32.
        matrix: 2×3 from the view's coordinates to this image's coordinates (corner origin).
        size: width and height of the view, px.

    Returns:
        (height, width, 3) float32.
    """
    import cv2

    # cv2 counts pixel centres at whole numbers: crop index i is at i + .5, image likewise
    index = matrix.copy()
    index[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    return np.asarray(
        cv2.warpAffine(
            image,
            index,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def cut_plate(
    image: NDArray[np.float32], matrices: Sequence[FloatArray], size: int
) -> list[NDArray[np.float32]]:
    """Crops of about the same scale and place straight out of a plate.

    Only the part of the plate under them is reduced (``reduce_plate``), once for all.

    Args:
        image: (H, W, 3) float32 plate.
        matrices: 2×3 from each crop's coordinates to the plate's.
        size: side of the crops, px.

    Returns:
        (size, size, 3) float32 of each; outside the plate its edge repeats.
    """
    side = min(float(np.hypot(*matrix[:, 0])) * size for matrix in matrices)
    slack = 2 * max(side / size, 1.0)  # what the filters reach beyond the crop
    square = np.array([[0, 0], [size, 0], [0, size], [size, size]])
    corners = np.concatenate([square @ matrix[:, :2].T + matrix[:, 2] for matrix in matrices])
    limits = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0) - slack), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + slack).astype(int), low + 1, limits)
    part, scale = reduce_plate(image[low[1] : high[1], low[0] : high[0]], Box(0.0, 0.0, side), size)
    return [
        cut_crop(part, np.column_stack([matrix[:, :2], matrix[:, 2] - low]) * scale, size)
        for matrix in matrices
    ]


def whole_plate(
    image: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], FloatArray]:
    """The whole plate, small, in the middle of a picture of the finder's size.

    Args:
        image: (H, W, 3) float32 log-encoded plate.
        size: width and height of the finder's input, px; what the plate leaves free is 0.

    Returns:
        (h, w, 3) float32, and the 2×3 matrix from its coordinates to the plate's.
    """
    import cv2

    width, height = size
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    new = (max(round(columns * scale), 1), max(round(rows * scale), 1))
    left, top = (width - new[0]) // 2, (height - new[1]) // 2
    picture = np.zeros((height, width, 3), np.float32)
    picture[top : top + new[1], left : left + new[0]] = cv2.resize(
        image, new, interpolation=cv2.INTER_AREA
    )
    back = np.array([[columns / new[0], 0.0, 0.0], [0.0, rows / new[1], 0.0]])
    back[:, 2] = -back[:, :2] @ np.array([left, top])
    return picture, back
