"""Views of the few training pictures: how a new shot may see the head.

A crop is cut under a random similarity and bent by the sum of all ``WARPS``, so pixels are
interpolated once, and the control points follow exactly. Each warp is one function
``(head, size, rng) -> displacement`` listed with its probability.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from laikaroto.coords import FloatArray, transform_points
from laikaroto.model.crop import Box, crop_matrix, invert
from laikaroto.model.mirror import Mirror
from laikaroto.training.expression import expression_field

#: grid cells across the crop, and the largest standard deviation of their shifts, of its side
ELASTIC = ((4, 0.02), (7, 0.01))
#: px of the crop between two values of a displacement field
GRID = 8
#: by how much a head is turned in space (standard deviation about the upright and the level
#: axis), and at most, radians
TURN = (0.16, 0.09)
MOST_TURN = 0.4
#: how far a point's depth reaches, as a fraction of the head, and the weight of the surroundings
_RELIEF_REACH = 0.06
_RELIEF_SURROUND = 0.05
_INVERSIONS = 20

Rng = np.random.Generator
Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What is known of the head in a picture, px of the picture or of the crop.

    values (P, 6) control points; depth (P,) of ``relief.Relief`` or None; moves (P, 2) towards
    another expression, or None.
    """

    values: FloatArray
    depth: FloatArray | None = None
    moves: FloatArray | None = None

    def mirrored(self, values: FloatArray, mirror: Mirror) -> Head:
        """What is known of the mirrored head, whose control points are ``values`` (P, 6)."""
        return Head(
            values,
            None if self.depth is None else mirror.carried(self.depth),
            None if self.moves is None else mirror.carried(self.moves) * [-1.0, 1.0],
        )

    def through(self, matrix: FloatArray) -> Head:
        """The same, seen through a 2×3 matrix."""
        moves = None if self.moves is None else self.moves @ matrix[:, :2].T
        return Head(transform_points(self.values, matrix), self.depth, moves)


def random_box(box: Box, rng: Rng) -> tuple[Box, float]:
    """A head box as inexact as a finder's, and a turn of the camera in radians."""
    side = box.side * np.exp(rng.uniform(-0.22, 0.22))
    x, y = rng.normal(0, 0.05, 2) * box.side
    return Box(box.x + x, box.y + y, float(side)), float(rng.normal(0, 0.18))


def random_view(
    image: NDArray[np.floating],
    head: Head,
    box: Box,
    size: int,
    rng: Rng,
    probabilities: Mapping[str, float] = MappingProxyType({}),
    *,
    rigid: bool = False,
) -> tuple[Image, FloatArray]:
    """Cut a crop under a random similarity, stretch and warps.

    Args:
        image: (H, W, C) plate or reduced plate, and what else goes its way.
        head: what is known of it, in the image's px.
        box: where it is, in the image's px.
        size: side of the crop, px.
        rng: the only source of chance.
        probabilities: of the warps that differ from the registered ones, by name.
        rigid: neither stretch nor warp it into a head that no puppet has: it is turned at most.

    Returns:
        The crop (size, size, C) and the control points in crop px.
    """
    near, turn = random_box(box, rng)
    matrix = crop_matrix(near, size, turn=turn)
    if not rigid:
        stretch = np.exp(rng.normal(0, 0.06))
        shear = rng.normal(0, 0.05)
        middle = np.array([size / 2, size / 2])
        bend = np.array([[stretch, shear], [0.0, 1 / stretch]])
        matrix[:, 2] += matrix[:, :2] @ (middle - bend @ middle)
        matrix[:, :2] = matrix[:, :2] @ bend
    seen = head.through(invert(matrix))
    field = np.zeros((size // GRID, size // GRID, 2), np.float32)
    for name, (probability, warp) in WARPS.items():
        if rigid and name not in RIGID:
            continue
        if rng.random() < probabilities.get(name, probability):
            field += warp(seen, size, rng)
    return _cut_bent(image, matrix, field, size), _warp_points(seen.values, field)


def _cut_bent(image: NDArray[np.floating], matrix: FloatArray, field: Image, size: int) -> Image:
    """The crop whose pixel q shows the image at ``matrix`` (q + field(q))."""
    whole = cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    across, down = centres[None, :] + whole[..., 0], centres[:, None] + whole[..., 1]
    # float32 throughout: this runs once for every picture of every step
    (xx, xy, x0), (yx, yy, y0) = matrix.astype(np.float32)
    half = np.float32(0.5)
    map_x, map_y = xx * across + xy * down + (x0 - half), yx * across + yy * down + (y0 - half)
    left, right = _seen(map_x, image.shape[1])
    top, bottom = _seen(map_y, image.shape[0])
    part = image[top:bottom, left:right].astype(np.float32)
    map_x -= left
    map_y -= top
    crop = cv2.remap(part, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.float32)


def _seen(places: Image, count: int) -> tuple[int, int]:
    """Which of ``count`` columns or rows are looked at: the others need no conversion."""
    first = int(np.clip(np.floor(places.min()) - 1, 0, count - 2))
    return first, int(np.clip(np.ceil(places.max()) + 2, first + 2, count))


def _warp_points(values: FloatArray, field: Image) -> FloatArray:
    """Where crop points (P, 6) land: the warp is inverted by fixed-point steps."""
    goal = np.concatenate(
        [values[:, :2], values[:, :2] + values[:, 2:4], values[:, :2] + values[:, 4:6]]
    )
    place = goal.copy()
    for _ in range(_INVERSIONS):
        at = (place[:, ::-1] / GRID - 0.5).T
        moved = [map_coordinates(field[..., c], at, order=1, mode="nearest") for c in (0, 1)]
        place = goal - np.stack(moved, axis=-1)
    xy, tin, tout = place.reshape(3, len(values), 2)
    return np.concatenate([xy, tin - xy, tout - xy], axis=1)


def elastic(head: Head, size: int, rng: Rng) -> Image:  # noqa: ARG001
    """A smooth displacement (size / GRID, size / GRID, 2), px, at the middles of grid cells.

    Two scales: wide bends stand for what the relief does not know of turns of the head;
    narrow ones for faces that no training shot has.
    """
    cells = size // GRID
    field = np.zeros((cells, cells, 2), np.float32)
    for knots, most in ELASTIC:
        amount = rng.uniform(0, most) * size
        coarse = rng.normal(0, amount, (knots, knots, 2)).astype(np.float32)
        field += cv2.resize(coarse, (cells, cells), interpolation=cv2.INTER_CUBIC)
    return field


def turn(head: Head, size: int, rng: Rng) -> Image:
    """Turn the head in space; nothing where its relief is not known."""
    if head.depth is None:
        return _still(size)
    angles = np.clip(rng.normal(0, TURN), -MOST_TURN, MOST_TURN)
    return turn_field(head.values[:, :2], head.depth, angles, size)


def turn_field(xy: FloatArray, depth: FloatArray, angles: FloatArray, size: int) -> Image:
    """The displacement that turns a head in space, as a warp gives one.

    What is nearer moves further.

    Args:
        xy: (P, 2) points of the head in crop px.
        depth: (P,) towards the camera, as a fraction of the larger extent of the points.
        angles: (2,) radians, about the upright and the level axis.
        size: side of the crop, px.
    """
    extent = float(np.ptp(xy, axis=0).max())
    reach = np.sin(angles) * extent
    relief = relief_map(xy + depth[:, None] * reach, depth, size)
    return np.asarray(-relief[..., None] * reach, np.float32)


def relief_map(xy: FloatArray, depth: FloatArray, size: int) -> Image:
    """Depth at the middles of grid cells (size / GRID, size / GRID), as a fraction of the head.

    Between points (P, 2) in crop px it is a weighted mean of their depths (P,); away from all
    of them it sinks to that of the farthest.
    """
    reach = 2 * (_RELIEF_REACH * float(np.ptp(xy, axis=0).max())) ** 2
    centres = (np.arange(size // GRID) + 0.5) * GRID
    near_x = np.exp(-((centres[None, :] - xy[:, 0:1]) ** 2) / reach)
    near_y = np.exp(-((centres[None, :] - xy[:, 1:2]) ** 2) / reach)
    total = near_y.T @ near_x + _RELIEF_SURROUND
    summed = (near_y * depth[:, None]).T @ near_x + _RELIEF_SURROUND * depth.min()
    return np.asarray(summed / total, np.float32)


def expression(head: Head, size: int, rng: Rng) -> Image:  # noqa: ARG001
    """Another face of the kit, as ``moves`` say; nothing where they are not known."""
    if head.moves is None:
        return _still(size)
    return expression_field(head.values[:, :2], head.moves, size, GRID)


def _still(size: int) -> Image:
    return np.zeros((size // GRID, size // GRID, 2), np.float32)


#: name -> (probability, function)
WARPS: dict[str, tuple[float, Callable[[Head, int, Rng], Image]]] = {
    "elastic": (1.0, elastic),
    "turn": (0.7, turn),
    "expression": (0.6, expression),
}
#: those that any puppet can do
RIGID = ("turn",)
#: those that need the head's relief, which not every character's truth tells
NEEDS_RELIEF = ("turn", "expression", "relight")
