"""The log-like curve that networks see instead of scene-linear light.

    encoded = sign(x) * log2(1 + 256 |x|) / log2(1 + 256 * 64)

0 stays 0 and 64 becomes 1; 18 % grey lies at 0.40, close to ACEScct's 0.41, and white at 0.57.
Above the knee at 1/256 equal steps are equal ratios of light, so a change of exposure is a shift;
below it the curve runs out into a straight line through 0, where film grain and sensor noise no
longer shrink with the light. Negative values (grain, ringing of filters) mirror the positive
ones, so nothing is lost and the slope has no jump. Values above 64 go above 1.

Source: ours; the shape is that of ACEScct (S-2016-001) with one formula for toe and shoulder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

_KNEE = 1 / 256
_TOP = 64.0
_SCALE = math.log(1 + _TOP / _KNEE)
_BLOCK = 2**15  # values


def encode_log(rgb: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scene-linear to log-encoded: any shape, 0..64 becomes 0..1. The input stays untouched."""
    linear = np.ascontiguousarray(rgb, dtype=np.float32)
    encoded = np.empty_like(linear)
    for source, target in _blocks(linear, encoded):
        np.abs(source, out=target)
        target *= np.float32(1 / _KNEE)
        target += np.float32(1)
        # cv2's logarithm is vectorised on every processor, numpy's only on some.
        cv2.log(target.reshape(1, -1), target.reshape(1, -1))
        target *= np.float32(1 / _SCALE)
        _mirror(target, source)
    return encoded


def decode_log(encoded: NDArray[np.floating]) -> NDArray[np.float32]:
    """Inverse of ``encode_log``; relative error below 1e-5 above 0.001."""
    curve = np.ascontiguousarray(encoded, dtype=np.float32)
    linear = np.empty_like(curve)
    for source, target in _blocks(curve, linear):
        np.abs(source, out=target)
        target *= np.float32(_SCALE)
        np.expm1(target, out=target)
        target *= np.float32(_KNEE)
        _mirror(target, source)
    return linear


def _blocks(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Flat pieces of two contiguous arrays, small enough to stay in a core's cache.

    A whole plate does not, and each pass over it would wait for memory: six times slower.
    """
    flat_source, flat_target = source.reshape(-1), target.reshape(-1)
    for start in range(0, flat_source.size, _BLOCK):
        piece = slice(start, start + _BLOCK)
        yield flat_source[piece], flat_target[piece]


def _mirror(values: NDArray[np.float32], signs: NDArray[np.float32]) -> None:
    if signs.min() < 0:
        np.copysign(values, signs, out=values)
