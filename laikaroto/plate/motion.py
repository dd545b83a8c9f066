"""How far a part of the picture moved from one plate to the next, measured on the pixels.

Meant to tell a held puppet from one that moved a little: grain and exposure flicker count
for nothing, a third of a pixel of camera move or an eyelid does. Two figures, both by least
squares on the brightness gradient (Lucas & Kanade 1981): the shift of the part as a whole,
which averages all its grain away, and the largest shift of any place in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.plate.colour import decode_log, encode_log

Image = NDArray[np.float32]

_LARGEST_PX = 512  # parts are reduced to this size: motion is then in steps a person sees
_SMALLEST_PX = 32
_COARSE = 3  # how much smaller the picture is that large shifts are seen in
_DARK = 0.01  # scene-linear; below it grain says more of the exposure than light does
_PLACES = 16  # places along a side that the local shift is measured at
_SPARSE = 2  # every second pixel tells the exposure
_SMOOTH_PX = 4.0  # wide Gaussians are made this wide, on a picture made smaller
_RIGIDITY = 0.05  # share of the mean gradient that keeps flat places from shifting


@dataclass(frozen=True, slots=True)
class Motion:
    """Shift of a part as a whole and the largest one within; in px of the reduced part."""

    across_px: float
    down_px: float
    local_px: float


NO_MOTION_KNOWN = Motion(float("inf"), float("inf"), float("inf"))


def measure_motion(
    before: Image, after: Image, window: tuple[float, float, float, float]
) -> Motion:
    """Motion inside a window between two plates.

    Args:
        before: (H, W, 3) float32, log-encoded.
        after: the same of the later frame.
        window: left, top, right, bottom in plate px; cut to the plate.

    Returns:
        The motion; infinite where the window holds too little of the plate.
    """
    height, width = after.shape[:2]
    left, top = (max(int(value), 0) for value in window[:2])
    right, bottom = min(int(window[2]), width), min(int(window[3]), height)
    if min(right - left, bottom - top) < _SMALLEST_PX or before.shape != after.shape:
        return NO_MOTION_KNOWN
    old, new = (_reduce(image[top:bottom, left:right]) for image in (before, after))
    light = decode_log(old)
    old = encode_log(light * _gain(light, decode_log(new)))
    old, new = (
        np.asarray(cv2.GaussianBlur(_grey(image), (0, 0), 1.0), np.float32) for image in (old, new)
    )
    fine, coarse = _solve(old, new), _solve(_shrink(old), _shrink(new))
    # least squares see only small shifts: large ones show in the small picture
    return Motion(fine.across_px, fine.down_px, max(fine.local_px, _COARSE * coarse.local_px))


def _reduce(part: Image) -> Image:
    side = max(part.shape[:2])
    if side <= _LARGEST_PX:
        return part
    scale = _LARGEST_PX / side
    size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.float32)


def _shrink(picture: Image) -> Image:
    size = tuple(max(side // _COARSE, 1) for side in picture.shape[::-1])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _gain(old: Image, new: Image) -> float:
    """How much brighter the later linear picture is: the median ratio, deaf to what moved."""
    a, b = (_grey(image)[::_SPARSE, ::_SPARSE] for image in (old, new))
    bright = (a > _DARK) & (b > _DARK)
    return float(np.median(b[bright] / a[bright])) if bright.any() else 1.0


def _solve(old: Image, new: Image) -> Motion:
    change = new - old
    down, across = np.gradient((old + new) * np.float32(0.5))
    reach = max(change.shape) / _PLACES
    # one product at a time in the same memory: fresh memory costs more than the arithmetic
    product = np.empty_like(change)
    means, smooth = [], []
    for one, other in (
        (across, across), (across, down), (down, down), (across, change), (down, change)
    ):  # fmt: skip
        np.multiply(one, other, out=product)
        means.append(product.mean(keepdims=True))
        smooth.append(_smooth(product, reach))
    whole = _shift(means, 1e-9)
    local = _shift(smooth, _RIGIDITY * float(means[0].item() + means[2].item()) + 1e-9)
    return Motion(float(whole[0].item()), float(whole[1].item()), float(np.hypot(*local).max()))


def _smooth(picture: Image, reach: float) -> Image:
    """A wide Gaussian, seen on a picture so much smaller that it costs next to nothing."""
    scale = min(1.0, _SMOOTH_PX / reach)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), reach * scale), np.float32)


def _grey(image: Image) -> Image:
    """Mean of the channels."""
    return np.asarray(cv2.transform(image, np.full((1, 3), 1 / 3)), np.float32)


def _shift(products: Sequence[Image], stiffness: float) -> tuple[Image, Image]:
    """Least-squares shift across and down from products of gradients and change."""
    xx, xy, yy, xt, yt = products
    a, c = xx + np.float32(stiffness), yy + np.float32(stiffness)
    determinant = a * c - xy * xy
    return (yt * xy - xt * c) / determinant, (xt * xy - yt * a) / determinant
