"""Crops of the head and their variations: what the peers with networks learn from.

The peers' own, so that they stay as they are while laikaroto's augmentation is worked on.
The variations are those of the WACV 2021 paper: brightness, blur, warp, flip, backgrounds and
occlusions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.footage import Footage, Image, Shot
from laikaroto.character.template import pack
from laikaroto.coords import (
    FloatArray,
    absolute_tangents,
    relative_tangents,
    transform_points,
)
from laikaroto.model.crop import Box, box_around, crop_matrix, cut_crop, cut_plate, invert
from laikaroto.plate.colour import encode_log
from laikaroto.training.mirror import find_mirror

Rng = np.random.Generator

_ROOM = 1.7  # side of what is kept of a plate, as a multiple of the head box
_SHIFT, _ZOOM, _TURN = 0.04, 0.12, 0.15  # standard deviations: of the side, of its log, radians
_WARP_CELLS, _WARP = 4, 0.015
_PROBABILITY = {"brightness": 0.9, "blur": 0.3, "background": 0.4, "occlusion": 0.35}


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One training frame: the head's surroundings, log-encoded, and its truth in their px.

    image (S, S, 3) float16; values (P, 6); visible (P,).
    """

    image: NDArray[np.float16]
    values: FloatArray
    visible: NDArray[np.bool_]

    @property
    def box(self) -> Box:
        """The head in this picture's px."""
        return box_around(self.values[:, :2])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crop (S, S, 3) float32, log-encoded, with its truth in crop px: (P, 6) and (P,)."""

    image: Image
    values: FloatArray
    visible: NDArray[np.bool_]


class Heads:
    """All training frames, and random variations of them."""

    def __init__(self, footage: Footage, size: int) -> None:
        """Read the training plates; ``size`` is the side of the crops to come, px."""
        self.size = size
        self.template = footage.template
        self.heads = [head for shot in footage.training for head in _cut(shot, footage, size)]
        self.mirror = find_mirror(footage.template, [head.values for head in self.heads])

    def sample(self, seed: Sequence[int]) -> Sample:
        """A random variation of a random frame; the same for the same seed."""
        rng = np.random.default_rng(list(seed))
        head = self.heads[int(rng.integers(len(self.heads)))]
        image, values, visible = head.image.astype(np.float32), head.values, head.visible
        if self.mirror is not None and rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            values = self.mirror.values(values, image.shape[1])
            visible = visible[self.mirror.order]
        sample = _view(image, values, visible, self.size, rng)
        if rng.random() < _PROBABILITY["background"]:
            sample = _background(sample, self._piece(rng), rng)
        if rng.random() < _PROBABILITY["occlusion"]:
            sample = _occlude(sample, self._piece(rng), rng)
        if rng.random() < _PROBABILITY["brightness"]:
            sample = _brighten(sample, rng)
        if rng.random() < _PROBABILITY["blur"]:
            sigma = float(rng.uniform(0.3, 1.5))
            image = np.asarray(cv2.GaussianBlur(sample.image, (0, 0), sigma), np.float32)
            sample = Sample(image, sample.values, sample.visible)
        return sample

    def as_they_are(self) -> list[Sample]:
        """Every training frame once, unvaried, cropped to its exact box."""
        found = []
        for head in self.heads:
            matrix = crop_matrix(head.box, self.size)
            crop = cut_crop(head.image.astype(np.float32), matrix, self.size)
            found.append(Sample(crop, to_crop(head.values, matrix), head.visible))
        return found

    def mean_values(self) -> FloatArray:
        """(P, 6) mean of the control points over the unvaried crops, crop px."""
        values = [sample.values for sample in self.as_they_are()]
        return np.asarray(np.mean(values, axis=0))

    def _piece(self, rng: Rng) -> Image:
        """A random piece of some training frame, crop-sized."""
        image = self.heads[int(rng.integers(len(self.heads)))].image
        side = image.shape[0]
        x, y = rng.uniform(0, side, 2)
        box = Box(float(x), float(y), float(rng.uniform(0.3, 1.0)) * side)
        matrix = crop_matrix(box, self.size, turn=float(rng.uniform(-np.pi, np.pi)))
        return cut_crop(image.astype(np.float32), matrix, self.size)


def to_crop(values: FloatArray, matrix: FloatArray) -> FloatArray:
    """Control points (P, 6) in plate px to crop px, ``matrix`` being crop to plate."""
    return transform_points(values, invert(matrix))


def to_plate(values: FloatArray, matrix: FloatArray) -> FloatArray:
    """Control points (P, 6) in crop px to plate px."""
    return transform_points(values, matrix)


def crop_of(plate: Image, box: Box, size: int) -> tuple[Image, FloatArray]:
    """A log-encoded crop of a scene-linear plate, and its 2×3 matrix from crop to plate px."""
    matrix = crop_matrix(box, size)
    return cut_plate(encode_log(plate), [matrix], size)[0], matrix


def _cut(shot: Shot, footage: Footage, size: int) -> list[Head]:
    shot.truth_values(footage.template)  # says what is missing, if anything is
    heads = []
    for frame, plate in shot.read():
        values, visible, _ = pack(shot.truth, footage.template, frame)
        box = box_around(values[:, :2])
        kept = round(_ROOM * 1.25 * size)
        image, matrix = crop_of(plate, Box(box.x, box.y, box.side * _ROOM), kept)
        heads.append(Head(image.astype(np.float16), to_crop(values, matrix), visible))
    return heads


def _view(
    image: Image, values: FloatArray, visible: NDArray[np.bool_], size: int, rng: Rng
) -> Sample:
    """Cut a crop under a random similarity and a soft warp."""
    box = box_around(values[:, :2])
    x, y = rng.normal(0, _SHIFT, 2) * box.side
    near = Box(box.x + x, box.y + y, float(box.side * np.exp(rng.normal(0, _ZOOM))))
    matrix = crop_matrix(near, size, turn=float(rng.normal(0, _TURN))).astype(np.float32)
    coarse = rng.normal(0, rng.uniform(0, _WARP) * size, (_WARP_CELLS, _WARP_CELLS, 2))
    field = cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    seen = np.stack(np.meshgrid(centres, centres), axis=-1) + field
    at = seen @ matrix[:, :2].T + (matrix[:, 2] - np.float32(0.5))
    crop = cv2.remap(
        image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    goal = absolute_tangents(to_crop(values, matrix.astype(np.float64)))
    place = goal.copy()
    for _ in range(4):  # place + field(place) = goal, by fixed-point steps
        index = np.clip(place - 0.5, 0, size - 1).astype(np.float32)
        place = goal - cv2.remap(field, index[..., 0], index[..., 1], cv2.INTER_LINEAR)
    return Sample(np.asarray(crop, np.float32), relative_tangents(place), visible)


def _brighten(sample: Sample, rng: Rng) -> Sample:
    """Exposure and colour are offsets on the log curve, contrast is a factor."""
    offset = (rng.normal(0, 0.05) + rng.normal(0, 0.02, 3)).astype(np.float32)
    mean = sample.image.mean()
    factor = np.float32(np.exp(rng.normal(0, 0.15)))
    image = (sample.image - mean) * factor + mean + offset
    return Sample(np.asarray(image, np.float32), sample.values, sample.visible)


def _background(sample: Sample, other: Image, rng: Rng) -> Sample:
    """Another picture outside a soft hull around the head."""
    size = sample.image.shape[0]
    hull = cv2.convexHull(sample.values[:, :2].astype(np.float32))[:, 0]
    middle = hull.mean(0)
    wide = middle + (hull - middle) * np.float32(rng.uniform(1.15, 1.5))
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(wide).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(1.0, 8.0)))[..., None]
    image = np.asarray(sample.image * soft + other * (1 - soft), np.float32)
    return Sample(image, sample.values, sample.visible)


def _occlude(sample: Sample, other: Image, rng: Rng) -> Sample:
    """A bar or a blob in front; points behind it are hidden."""
    size = sample.image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        (ax, ay), (bx, by) = np.round(rng.uniform(-0.1, 1.1, (2, 2)) * size).astype(int).tolist()
        cv2.line(mask, (ax, ay), (bx, by), 1, int(rng.integers(3, max(size // 14, 4))))
    else:
        x, y = np.round(rng.uniform(0.1, 0.9, 2) * size).astype(int).tolist()
        across, down = np.round(rng.uniform(0.03, 0.16, 2) * size).astype(int).tolist()
        cv2.ellipse(mask, (x, y), (across, down), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None]
    image = np.asarray(sample.image * (1 - soft) + other * soft, np.float32)
    at = np.clip(np.floor(sample.values[:, :2]).astype(int), 0, size - 1)
    return Sample(image, sample.values, sample.visible & (mask[at[:, 1], at[:, 0]] == 0))
