"""Variations of the few training pictures: what a new shot may look like.

Each augmentation is one function ``(sample, rng) -> sample`` listed in ``AUGMENTATIONS`` with
its probability; order matters. Geometry is done in ``random_view`` while the crop is cut, so
pixels are interpolated once. Values are log-encoded (``plate.colour.encode_log``), where
exposure is an offset and contrast a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.model.crop import Box, crop_matrix, invert

#: grid cells across the crop, and the largest standard deviation of their shifts, of its side
ELASTIC = ((4, 0.02), (7, 0.01))

Rng = np.random.Generator
Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crop with its truth.

    image (S, S, 3) float32 log-encoded; values (P, 6) control points in crop px; visible,
    known (P,) bool.
    """

    image: Image
    values: FloatArray
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]


def random_box(box: Box, rng: Rng) -> tuple[Box, float]:
    """A head box as inexact as a finder's, and a turn of the camera in radians."""
    side = box.side * np.exp(rng.uniform(-0.22, 0.22))
    x, y = rng.normal(0, 0.05, 2) * box.side
    return Box(box.x + x, box.y + y, float(side)), float(rng.normal(0, 0.18))


def random_view(
    image: Image, values: FloatArray, box: Box, size: int, rng: Rng
) -> tuple[Image, FloatArray]:
    """Cut a crop under a random similarity, stretch, and soft elastic warp.

    Args:
        image: (H, W, 3) plate or reduced plate.
        values: (P, 6) control points in the image's px.
        box: the head in the image's px.
        size: side of the crop, px.
        rng: the only source of chance.

    Returns:
        The crop (size, size, 3) and the control points in crop px.
    """
    near, turn = random_box(box, rng)
    matrix = crop_matrix(near, size, turn=turn)
    stretch = np.exp(rng.normal(0, 0.06))
    shear = rng.normal(0, 0.05)
    middle = np.array([size / 2, size / 2])
    bend = np.array([[stretch, shear], [0.0, 1 / stretch]])
    matrix[:, 2] += matrix[:, :2] @ (middle - bend @ middle)
    matrix[:, :2] = matrix[:, :2] @ bend
    field = _elastic_field(size, rng)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    across, down = centres[None, :] + field[..., 0], centres[:, None] + field[..., 1]
    # float32 throughout: this runs once for every picture of every step
    (xx, xy, x0), (yx, yy, y0) = matrix.astype(np.float32)
    half = np.float32(0.5)
    map_x, map_y = xx * across + xy * down + (x0 - half), yx * across + yy * down + (y0 - half)
    crop = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.float32), _warp_points(values, matrix, field)


def _elastic_field(size: int, rng: Rng) -> Image:
    """A smooth displacement (S, S, 2), px: coarse noise enlarged.

    Two scales: wide bends stand for turns of the head between those that were
    photographed, which would otherwise be drawn like the nearest known one; narrow
    ones for expressions that the kit has and the training shots lack.
    """
    field = np.zeros((size, size, 2), np.float32)
    for cells, most in ELASTIC:
        amount = rng.uniform(0, most) * size
        coarse = rng.normal(0, amount, (cells, cells, 2)).astype(np.float32)
        field += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return field


def _warp_points(values: FloatArray, matrix: FloatArray, field: Image) -> FloatArray:
    """Where plate points land in the crop: the warp is inverted by fixed-point steps."""
    count, size = len(values), field.shape[0]
    absolute = np.stack(
        [values[:, :2], values[:, :2] + values[:, 2:4], values[:, :2] + values[:, 4:6]]
    )
    back = invert(matrix)
    goal = (absolute.reshape(-1, 2) @ back[:, :2].T + back[:, 2]).astype(np.float32)
    place = goal.copy()
    for _ in range(4):
        at = np.clip(place - np.float32(0.5), 0, size - 1)[:, None]
        moved = cv2.remap(field, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
        place = goal - moved.reshape(-1, 2)
    xy, tin, tout = place.reshape(3, count, 2).astype(np.float64)
    return np.concatenate([xy, tin - xy, tout - xy], axis=1)


def light(sample: Sample, rng: Rng) -> Sample:
    """Exposure, colour temperature, contrast and a gradient of light across the picture."""
    height, width = sample.image.shape[:2]
    offset = rng.normal(0, 0.05) + rng.normal(0, 0.02, 3)
    across, down = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)
    gradient = (rng.normal(0, 0.06) * across)[None, :] + (rng.normal(0, 0.06) * down)[:, None]
    mean = sample.image.mean()
    image = (sample.image - mean) * np.exp(rng.normal(0, 0.15)) + mean
    image = image + offset.astype(np.float32) + gradient[..., None].astype(np.float32)
    return replace(sample, image=image.astype(np.float32))


def desaturate(sample: Sample, rng: Rng) -> Sample:
    """Pull colours towards grey or apart, as another grade or light would."""
    grey = sample.image.mean(-1, keepdims=True)
    amount = np.float32(rng.uniform(0.2, 1.4))
    return replace(sample, image=grey + (sample.image - grey) * amount)


def defocus(sample: Sample, rng: Rng) -> Sample:
    """Blur as a lens out of focus would."""
    sigma = float(rng.uniform(0.3, 1.6))
    return replace(
        sample, image=np.asarray(cv2.GaussianBlur(sample.image, (0, 0), sigma), np.float32)
    )


def grain(sample: Sample, rng: Rng) -> Sample:
    """Film grain: noise of one to two px."""
    size = sample.image.shape[0]
    noise = rng.standard_normal(sample.image.shape, dtype=np.float32) * np.float32(
        rng.uniform(0, 0.035)
    )
    if rng.random() < 0.5:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7), np.float32) * np.float32(1.8)
    return replace(sample, image=sample.image + noise.reshape(size, size, 3))


def another_set(sample: Sample, rng: Rng, other: Image) -> Sample:
    """Show another picture outside a soft hull around the points: a new set behind the puppet.

    Where some points are not known, the hull says nothing of how far the puppet reaches.
    """
    if not sample.known.all():
        return sample
    size = sample.image.shape[0]
    hull = cv2.convexHull(sample.values[sample.known, :2].astype(np.float32))[:, 0]
    middle = hull.mean(0)
    wide = middle + (hull - middle) * np.float32(rng.uniform(1.15, 1.5))
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(wide).astype(np.int32)], 1.0)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(1.0, 8.0))), np.float32)[
        ..., None
    ]
    return replace(sample, image=sample.image * mask + other * (1 - mask))


def occluder(sample: Sample, rng: Rng, other: Image) -> Sample:
    """Put a rod or a blob in front (a rig, a hand, hair); points behind it are hidden."""
    size = sample.image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        a, b = rng.uniform(-0.1, 1.1, (2, 2)) * size
        ends = [tuple(int(v) for v in end) for end in (a, b)]
        cv2.line(mask, ends[0], ends[1], 1, int(rng.integers(3, max(size // 14, 4))))
    else:
        centre = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * size)
        axes = tuple(int(v) for v in rng.uniform(0.03, 0.16, 2) * size)
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    shift = np.float32(rng.normal(0, 0.08))
    soft = np.asarray(
        cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.5))), np.float32
    )
    image = sample.image * (1 - soft[..., None]) + (other + shift) * soft[..., None]
    at = np.clip(np.floor(sample.values[:, :2]).astype(int), 0, size - 1)
    return replace(sample, image=image, visible=sample.visible & (mask[at[:, 1], at[:, 0]] == 0))


#: name -> (probability, function); those that need a second picture are in ``WITH_OTHER``.
AUGMENTATIONS: dict[str, tuple[float, Callable[[Sample, Rng], Sample]]] = {
    "light": (0.9, light),
    "desaturate": (0.3, desaturate),
    "defocus": (0.35, defocus),
    "grain": (0.6, grain),
}
WITH_OTHER: dict[str, tuple[float, Callable[[Sample, Rng, Image], Sample]]] = {
    "another_set": (0.4, another_set),
    "occluder": (0.35, occluder),
}


def vary(
    sample: Sample,
    rng: Rng,
    other: Callable[[], Image],
    probabilities: Mapping[str, float] = MappingProxyType({}),
) -> Sample:
    """Apply every registered augmentation with its probability.

    Args:
        sample: a crop from ``random_view``.
        rng: the only source of chance.
        other: gives a crop-sized random piece of some training plate.
        probabilities: those that differ from the registered ones, by name.
    """
    for name, (probability, mix) in WITH_OTHER.items():
        if rng.random() < probabilities.get(name, probability):
            sample = mix(sample, rng, other())
    for name, (probability, change) in AUGMENTATIONS.items():
        if rng.random() < probabilities.get(name, probability):
            sample = change(sample, rng)
    return sample
