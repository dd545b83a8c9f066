"""Small pictures for people: scene-linear plates through an OCIO view, as 8 bit and as JPEG.

The view is "ACES 2.0 - SDR 100 nits (Rec.709)" for an sRGB display, from the configuration
built into OpenColorIO, so it needs no files. It costs seconds a 4K frame: pictures are made
smaller first, and the view is baked once in each process into a 65³ table behind the log curve
of ``plate.colour`` (mean error of a picture below one 8-bit step).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import PyOpenColorIO as ocio
from numpy.typing import NDArray

from laikaroto.errors import write_failure
from laikaroto.plate.colour import decode_log, encode_log

_CONFIG = "ocio://cg-config-v4.0.0_aces-v2.0_ocio-v2.5"
_SCENE_LINEAR = "Linear Rec.709 (sRGB)"
_DISPLAY = "sRGB - Display"
_VIEW = "ACES 2.0 - SDR 100 nits (Rec.709)"
_GRID = 65


_Pixel = TypeVar("_Pixel", np.uint8, np.float32)


def make_proxy(
    rgb: NDArray[np.float32], *, max_width: int = 960, pixel_aspect: float = 1.0
) -> NDArray[np.uint8]:
    """A picture for people: smaller by area averaging (``fit_picture``), then through the view.

    Args:
        rgb: (H, W, 3) scene-linear, Rec.709 primaries, finite.
        max_width: wider pictures are scaled down to it; narrower ones keep their size.
        pixel_aspect: width of a plate pixel over its height; the proxy's pixels are square.

    Returns:
        (h, w, 3) uint8, red, green, blue for an sRGB display.
    """
    linear = np.ascontiguousarray(rgb, dtype=np.float32)
    encoded = encode_log(fit_picture(linear, max_width, pixel_aspect))
    _baked_view().applyRGB(encoded)
    np.clip(encoded, 0.0, 1.0, out=encoded)
    return (encoded * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def fit_picture(
    image: NDArray[_Pixel], max_width: int, pixel_aspect: float = 1.0
) -> NDArray[_Pixel]:
    """A picture with square pixels, at most so wide; made smaller by area, never larger.

    Args:
        image: (H, W) or (H, W, C).
        max_width: px.
        pixel_aspect: of ``image``; above 1 its rows become fewer, below 1 its columns.
    """
    height, width = image.shape[:2]
    across, down = width * min(pixel_aspect, 1.0), height / max(pixel_aspect, 1.0)
    scale = min(1.0, max_width / across)
    size = (max(1, round(across * scale)), max(1, round(down * scale)))
    if size == (width, height):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=image.dtype)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """JPEG file of an (h, w, 3) RGB or (h, w) grey picture."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"no JPEG can be made of an array {image.shape} {image.dtype}")
    return bytes(data)


def write_jpeg(path: Path, image: NDArray[np.uint8], quality: int = 90) -> None:
    """Write a picture as JPEG; raises TryAgainError if the disk refuses."""
    data = encode_jpeg(image, quality)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise write_failure(path, error) from error


@cache
def _baked_view() -> ocio.CPUProcessor:
    """Log-encoded scene-linear to display, as a table; about a second, once in a process."""
    axis = np.linspace(0.0, 1.0, _GRID, dtype=np.float32)
    # OCIO's tables run fastest in blue.
    grid = decode_log(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1))
    grid = np.ascontiguousarray(grid.reshape(-1, 3))
    view_processor().applyRGB(grid)
    table = ocio.Lut3DTransform(gridSize=_GRID)
    table.setData(grid.reshape(-1))
    table.setInterpolation(ocio.INTERP_TETRAHEDRAL)
    return ocio.Config.CreateRaw().getProcessor(table).getDefaultCPUProcessor()


def view_processor() -> ocio.CPUProcessor:
    """The exact view that ``make_proxy`` bakes: scene-linear RGB float32 to display."""
    view = ocio.DisplayViewTransform(src=_SCENE_LINEAR, display=_DISPLAY, view=_VIEW)
    config = ocio.Config.CreateFromFile(_CONFIG)
    return config.getProcessor(view).getDefaultCPUProcessor()
