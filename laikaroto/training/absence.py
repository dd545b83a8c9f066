"""Pictures without the puppet's head, and with it elsewhere than usual, for the finder to learn.

Ground truth is made of frames that show the puppet, so by itself it never teaches what a plate
without one looks like. A head is taken away by painting background over it, or by looking at
background alone. What painting leaves behind (soft edges, stretched texture) would give an
absent head away, so pictures with the head get the same paint beside it and around it.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.model.crop import Box
from laikaroto.training.views import Image, Rng

Pixel = TypeVar("Pixel", bound=np.floating)

#: Share of the pictures that show no head.
ABSENT = 0.25
_SMALLEST_PX = 6  # a piece of background has at least this many px a side
_SOFTNESS = 0.15  # half width of an ellipse's edge, as a share of its radius


def vary_presence(
    picture: Image, head: Box, rng: Rng, *, pieces: tuple[Image, Image]
) -> tuple[Image, bool]:
    """Take the head away in some pictures, and put background beside or around it in others.

    Args:
        picture: (h, w, 3) log-encoded; not changed.
        head: where its head is, px of the picture.
        rng: chooses what happens.
        pieces: two pieces of background without a head, of any size.

    Returns:
        The picture, and whether there is a head in it.
    """
    height, width = picture.shape[:2]
    ground = _stretch(pieces[0], (width, height))
    if rng.random() < ABSENT:
        if rng.random() < 0.5:
            return ground, False
        over = _ellipse((width, height), _around(head, rng, 1.3, 1.8))
        return _mix(picture, _stretch(pieces[1], (width, height)), over), False
    choice = rng.random()
    if choice < 0.25:
        keep = _ellipse((width, height), _around(head, rng, 1.3, 1.8))
        return _mix(ground, picture, keep), True
    if choice < 0.5:
        place = _beside(head, (width, height), rng)
        if place is not None:
            return _mix(picture, ground, _ellipse((width, height), place)), True
    return picture, True


def background(picture: NDArray[Pixel], head: Box, rng: Rng) -> NDArray[Pixel]:
    """A random piece of a picture, from beside its head; a view of it.

    Where the head fills the picture, the piece is a strip along the edge that lies furthest
    from the head's centre.

    Args:
        picture: (h, w, 3).
        head: where its head is, px of the picture; its margin counts as head.
        rng: chooses the piece.
    """
    height, width = picture.shape[:2]
    reach = head.side / 2
    left, right = int(head.x - reach), int(np.ceil(head.x + reach))
    top, bottom = int(head.y - reach), int(np.ceil(head.y + reach))
    sides = np.array(
        [
            (0, 0, left, height),
            (right, 0, width, height),
            (0, 0, width, top),
            (0, bottom, width, height),
        ]
    )
    sides = np.clip(sides, 0, [width, height, width, height])
    spans = sides[:, 2:] - sides[:, :2]
    room = np.where(spans.min(axis=1) >= _SMALLEST_PX, spans.prod(axis=1), 0)
    if not room.any():
        return _furthest_strip(picture, head)
    x0, y0, x1, y1 = sides[int(rng.choice(4, p=room / room.sum()))].tolist()
    columns = int(rng.integers(_SMALLEST_PX, x1 - x0 + 1))
    rows = int(rng.integers(_SMALLEST_PX, y1 - y0 + 1))
    x, y = int(rng.integers(x0, x1 - columns + 1)), int(rng.integers(y0, y1 - rows + 1))
    return picture[y : y + rows, x : x + columns]


def _furthest_strip(picture: NDArray[Pixel], head: Box) -> NDArray[Pixel]:
    height, width = picture.shape[:2]
    strips = {
        head.x: picture[:, :_SMALLEST_PX],
        width - head.x: picture[:, -_SMALLEST_PX:],
        head.y: picture[:_SMALLEST_PX],
        height - head.y: picture[-_SMALLEST_PX:],
    }
    return strips[max(strips)]


def _stretch(piece: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _mix(under: Image, over: Image, share: NDArray[np.float32]) -> Image:
    return np.asarray(under + (over - under) * share, np.float32)


def _around(head: Box, rng: Rng, least: float, most: float) -> tuple[float, float, float, float]:
    """Centre and radii of an ellipse that holds the points of a head."""
    across, down = (head.side / 2 * float(rng.uniform(least, most)) for _ in range(2))
    return head.x, head.y, across, down


def _beside(head: Box, size: tuple[int, int], rng: Rng) -> tuple[float, float, float, float] | None:
    """Centre and radii of an ellipse that leaves the head alone, or None if none was met."""
    for _ in range(4):
        x, y = float(rng.uniform(0, size[0])), float(rng.uniform(0, size[1]))
        away = max(abs(x - head.x), abs(y - head.y)) - head.side / 2
        if away > _SMALLEST_PX:
            across, down = (away * float(rng.uniform(0.5, 1.0)) for _ in range(2))
            return x, y, across / (1 + _SOFTNESS), down / (1 + _SOFTNESS)
    return None


def _ellipse(
    size: tuple[int, int], place: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """(h, w, 1): 1 inside, 0 outside, soft between."""
    x, y, across, down = place
    xs = (np.arange(size[0], dtype=np.float32) + 0.5 - x) / across
    ys = (np.arange(size[1], dtype=np.float32) + 0.5 - y) / down
    distance = np.hypot(xs[None, :], ys[:, None])
    inside = (1 + _SOFTNESS - distance) / (2 * _SOFTNESS)
    return np.asarray(np.clip(inside, 0.0, 1.0)[..., None], np.float32)
