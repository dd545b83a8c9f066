"""A plate with an artist's contours and what they became, for a person to compare."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray, to_index
from laikaroto.plate.proxy import make_proxy
from laikaroto.shapes.artist import ArtistShape
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.records import Roto

_WIDTH_PX = 1920
_ARTIST, _OURS, _HIDDEN = (255, 255, 255), (255, 180, 0), (120, 120, 120)


def draw_contours(
    rgb: NDArray[np.float32], artist: Mapping[str, ArtistShape], roto: Roto, frame: int
) -> NDArray[np.uint8]:
    """White thin lines: the artist's; coloured with numbers: the splines of the template.

    Returns:
        (H, W, 3) RGB, at most 1920 wide; small plates are doubled so that numbers can be read.
    """
    height, width = rgb.shape[:2]
    picture = make_proxy(rgb, max_width=_WIDTH_PX)
    if width * 2 <= _WIDTH_PX:
        picture = np.asarray(cv2.resize(picture, (width * 2, height * 2)), dtype=np.uint8)
    picture = np.ascontiguousarray(picture)
    scale = picture.shape[1] / width
    for shape in artist.values():
        if frame in shape.frames:
            _line(picture, sample(shape.frames[frame], closed=shape.closed), shape.closed,
                  _ARTIST, scale, 3)  # fmt: skip
    for shape_ours in roto.shapes.values():
        if frame not in shape_ours.frames:
            continue
        entry = shape_ours.frames[frame]
        colour = _OURS if entry.visible else _HIDDEN
        _line(picture, sample(entry.points, closed=shape_ours.closed), shape_ours.closed, colour,
              scale, 1)  # fmt: skip
        for number, (x, y) in enumerate(to_index(entry.points[:, :2] * scale)):
            at = (round(float(x)), round(float(y)))
            cv2.circle(picture, at, 3, colour, -1, cv2.LINE_AA)
            cv2.putText(picture, str(number), (at[0] + 4, at[1] - 4), cv2.FONT_HERSHEY_SIMPLEX,
                        0.45, colour, 1, cv2.LINE_AA)  # fmt: skip
    return picture


def _line(
    picture: NDArray[np.uint8], line: FloatArray, closed: bool, colour: tuple[int, int, int],
    scale: float, thickness: int,
) -> None:  # fmt: skip
    # 1/16 px is what a shift of 4 can say
    at = np.round(to_index(line * scale) * 16).astype(np.int32)
    cv2.polylines(picture, [at], closed, colour, thickness, cv2.LINE_AA, 4)
