"""What of a green card can be seen behind a puppet: the share of the card in each pixel.

A second exposure of a frame with a card behind the puppet tells where the puppet ends, to the last
hair, without anybody drawing it. The card may be small, uneven and badly lit, and it throws green
light onto cheeks. So not how green a pixel is counts, but how pure its green is, and the card's own
purity is the measure: light that falls on skin is never as pure. Soft edges go to the puppet. Green
things on the puppet are not card: they do not hang together with it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GRAIN_PX = 0.7  # standard deviation of the blur that calms it
#: Purity (what green has above red and blue, of green) of pixels that tell how the card looks, and
#: the share of the picture that these must be: fewer are no card. Cards of the sample and dev shows
#: have 0.65 to 0.8 (99 % of their pixels), skin and hair in their light 0.59 at most (99.9 %).
_PURE = 0.6
_LEAST = 0.002
#: Purity, of the card's, up to which a pixel is no card, and from which it is nothing else.
_FIRST, _WHOLE = 0.8, 0.9
#: Darker than this, of the card's green, nothing can be said.
_DARK = 0.1
#: Parts of a card are at least this share of the picture.
_PART = 0.002


def card_share(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each pixel is card: (H, W), 1 where it is, 0 where puppet or set are.

    Args:
        rgb: (H, W, 3) the exposure with the card, scene-linear, finite.

    Source: ours; colour difference keying goes back to P. Vlahos, 1964.
    """
    calm = np.asarray(cv2.GaussianBlur(rgb, (0, 0), _GRAIN_PX), np.float32)
    green = calm[..., 1]
    purity = (green - np.maximum(calm[..., 0], calm[..., 2])) / np.maximum(green, 1e-6)
    pure = purity > _PURE
    if pure.mean() < _LEAST:
        return np.zeros(pure.shape, np.float32)
    share = (purity / np.median(purity[pure]) - _FIRST) / (_WHOLE - _FIRST)
    share[green < _DARK * np.median(green[pure])] = 0.0
    return _in_large_parts(np.clip(share, 0.0, 1.0).astype(np.float32))


def _in_large_parts(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without what does not hang together with a large part of the card: green eyes, noise."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (share > 0).astype(np.uint8), connectivity=8
    )
    large = stats[:, cv2.CC_STAT_AREA] >= _PART * share.size
    large[0] = False  # what is not card
    return np.asarray(share * large[labels], np.float32)
