"""Variations of the pixels of the few training pictures: what a new shot may look like.

Each augmentation is one function ``(sample, rng) -> sample`` listed in ``AUGMENTATIONS`` with
its probability; order matters. Where things are is varied before, while the crop is cut
(``views``). Values are log-encoded (``plate.colour.encode_log``), where exposure is an offset
and contrast a factor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.training.views import GRID, Image, Rng, relief_map

#: standard deviation of the light that moves, log-encoded: 0.07 are about one and a half stops
RELIGHT = 0.07
#: soft masks are made this many times smaller than the picture
_MASK_GRID = 4
#: side of the stock that grain is cut from, where that is more than the picture needs
_GRAIN_PX = 1280


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crop with its truth.

    image (S, S, 3) float32 log-encoded; values (P, 6) control points in crop px; visible,
    known (P,) bool; depth (P,) of ``relief.find_relief``, behind (S, S) float32, how much of each
    pixel lies behind the puppet: None where they are not known.
    """

    image: Image
    values: FloatArray
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    depth: FloatArray | None = None
    behind: Image | None = None


def light(sample: Sample, rng: Rng) -> Sample:
    """Exposure, colour temperature, contrast and a gradient of light across the picture."""
    height, width = sample.image.shape[:2]
    offset = (rng.normal(0, 0.05) + rng.normal(0, 0.02, 3)).astype(np.float32)
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(rng.normal(0, 0.06))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(rng.normal(0, 0.06))
    contrast = np.float32(np.exp(rng.normal(0, 0.15)))
    mean = np.float32(cv2.mean(sample.image)[1])
    plane = across[None, :] + (down + mean * (1 - contrast))[:, None]
    image = sample.image * contrast
    image += plane[..., None] + offset
    return replace(sample, image=image)


def relight(sample: Sample, rng: Rng) -> Sample:
    """Light from another side: what faces it grows brighter, what faces away darker."""
    if sample.depth is None:
        return sample
    size = sample.image.shape[0]
    xy = sample.values[:, :2]
    relief = relief_map(xy, sample.depth, size) * np.float32(np.ptp(xy, axis=0).max() / GRID)
    down, across = np.gradient(relief)
    length = np.sqrt(1 + down**2 + across**2)
    strength, side = rng.normal(0, RELIGHT), rng.uniform(-np.pi, np.pi)
    shade = -(np.cos(side) * across + np.sin(side) * down) / length * strength
    shade = cv2.resize(shade.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return replace(sample, image=sample.image + shade[..., None])


def desaturate(sample: Sample, rng: Rng) -> Sample:
    """Pull colours towards grey or apart, as another grade or light would."""
    amount = float(rng.uniform(0.2, 1.4))
    mix = np.full((3, 3), (1 - amount) / 3, np.float32) + np.eye(3, dtype=np.float32) * amount
    return replace(sample, image=np.asarray(cv2.transform(sample.image, mix), np.float32))


def defocus(sample: Sample, rng: Rng) -> Sample:
    """Blur as a lens out of focus would."""
    sigma = float(rng.uniform(0.3, 1.6)) * sample.image.shape[0] / 256
    return replace(
        sample, image=np.asarray(cv2.GaussianBlur(sample.image, (0, 0), sigma), np.float32)
    )


@functools.cache
def _grain_stock(soft: bool, side: int) -> Image:
    """A large piece of grain of strength 1, from which pictures cut theirs: making it is slow."""
    noise = np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)
    if not soft:
        return noise
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7), np.float32) * np.float32(1.8)


def grain(sample: Sample, rng: Rng) -> Sample:
    """Film grain: noise of one to two px."""
    size = sample.image.shape[0]
    # views have more room than crops: of the largest, 1536 px
    stock = _grain_stock(bool(rng.random() < 0.5), max(_GRAIN_PX, size + size // 4))
    top, left = rng.integers(0, len(stock) - size, 2)
    noise = stock[top : top + size, left : left + size]
    amount = float(rng.uniform(0, 0.035))
    grainy = cv2.addWeighted(sample.image, 1.0, noise, amount, 0.0)
    return replace(sample, image=np.asarray(grainy, np.float32))


def another_set(sample: Sample, rng: Rng, other: Image) -> Sample:
    """Show another picture outside a soft hull around the points: a new set behind the puppet.

    Within the hull as well, where it is known what lies behind the puppet (a green card). Where
    some points are not known, the hull says nothing of how far the puppet reaches.
    """
    if not sample.known.all():
        return sample
    size = sample.image.shape[0]
    hull = cv2.convexHull(sample.values[sample.known, :2].astype(np.float32))[:, 0]
    middle = hull.mean(0)
    wide = (middle + (hull - middle) * np.float32(rng.uniform(1.15, 1.5))) / _MASK_GRID
    mask = np.zeros((size // _MASK_GRID, size // _MASK_GRID), np.float32)
    cv2.fillPoly(mask, [np.round(wide).astype(np.int32)], 1.0)
    soft = float(rng.uniform(1.0, 8.0)) * size / 256 / _MASK_GRID
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32)
    outside = 1 - mask
    if sample.behind is not None:
        outside = np.maximum(cv2.resize(outside, (size, size)), sample.behind)
    return replace(sample, image=_blend(sample.image, other, outside))


def _blend(image: Image, other: Image, mask: Image) -> Image:
    """``other`` over ``image`` where a mask, perhaps a smaller one, is 1."""
    size = image.shape[0]
    if mask.shape[0] != size:
        mask = np.asarray(cv2.resize(mask, (size, size)), np.float32)
    change = other - image
    change *= mask[..., None]
    change += image
    return change


def occluder(sample: Sample, rng: Rng, other: Image) -> Sample:
    """Put a rod or a blob in front (a rig, a hand, hair); points behind it are hidden."""
    size = sample.image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        a, b = rng.uniform(-0.1, 1.1, (2, 2)) * size
        ends = [tuple(int(v) for v in end) for end in (a, b)]
        thickness = int(rng.integers(max(3 * size // 256, 1), max(size // 14, 4)))
        cv2.line(mask, ends[0], ends[1], 1, thickness)
    else:
        centre = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * size)
        axes = tuple(int(v) for v in rng.uniform(0.03, 0.16, 2) * size)
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    shift = np.float32(rng.normal(0, 0.08))
    soft = cv2.GaussianBlur(
        mask.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.5)) * size / 256
    )
    image = _blend(sample.image, other + shift, np.asarray(soft, np.float32))
    at = np.clip(np.floor(sample.values[:, :2]).astype(int), 0, size - 1)
    return replace(sample, image=image, visible=sample.visible & (mask[at[:, 1], at[:, 0]] == 0))


#: name -> (probability, function); those that need a second picture are in ``WITH_OTHER``.
AUGMENTATIONS: dict[str, tuple[float, Callable[[Sample, Rng], Sample]]] = {
    "light": (0.9, light),
    "relight": (0.5, relight),
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
        sample: a crop from ``views.random_view``.
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
