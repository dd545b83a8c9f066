"""Read plates: the red, green and blue of one part and layer, placed in the display window.

What comes out is scene-linear float32, (H, W, 3), as large as the display window whatever the
data window is: outside the data it is 0, data beyond the display window is cut off.

NaN and infinite pixels follow one rule. ``nonfinite: replace`` makes NaN 0, +Inf 65504 (the
largest half) and -Inf 0; ``nonfinite: refuse`` raises. Sub-sampled (luminance/chroma) and deep
pictures are refused: a plate is neither. Files are opened for reading only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from laikaroto.config import PlateConfig
from laikaroto.errors import PlateError
from laikaroto.plate.chunks import UnclearLayoutError, describe_magic, find_cut

_MAX_PIXELS = 2**28
_LARGEST_HALF = 65504.0
_FLAT = (OpenEXR.scanlineimage, OpenEXR.tiledimage)
_MEND = "copy or render the frame again"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateHeader:
    """What a plate frame is, without its pixels.

    Attributes:
        width, height: of the display window, px.
        pixel_aspect: width of a pixel over its height.
        data_window: (x0, y0, x1, y1), px from the display window's corner, x1 and y1 excluded.
        part: index of the part that is read.
        channels: full names of its red, green and blue.
    """

    width: int
    height: int
    pixel_aspect: float
    data_window: tuple[int, int, int, int]
    part: int
    channels: tuple[str, str, str]


def read_header(path: Path, config: PlateConfig) -> PlateHeader:
    """Read and check the header of one frame; takes under a millisecond.

    Raises:
        PlateError: missing, no EXR, damaged, deep, or without the configured part and channels.
    """
    try:
        if fault := describe_magic(path):
            raise PlateError(f"{path}: {fault}; {_MEND}")
    except OSError as error:
        raise PlateError(f"{path}: cannot be read: {error.strerror or error}") from error
    parts = _open(path, header_only=True)
    return _header_of(path, parts, config)


def read_rgb(path: Path, config: PlateConfig) -> NDArray[np.float32]:
    """Read one frame: (H, W, 3) float32, scene-linear red, green, blue.

    Raises:
        PlateError: as ``read_header``; or the pixels are damaged, cut off, or not finite while
            the configuration refuses that.
    """
    header = read_header(path, config)
    parts = _open(path, header_only=False)
    part = next((part for part in parts if part.part_index == header.part), None)
    if part is None:
        raise PlateError(f"{path}: {describe_damage(path)}; {_MEND}")
    image = np.zeros((header.height, header.width, 3), dtype=np.float32)
    x0, y0, x1, y1 = header.data_window
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x1, header.width), min(y1, header.height)
    if left < right and top < bottom:
        inside = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
        for index, name in enumerate(header.channels):
            image[top:bottom, left:right, index] = part.channels[name].pixels[inside]
    return _make_finite(image, path, config)


def describe_damage(path: Path) -> str:
    """Why pixels that could not be decoded could not, in words for an error."""
    try:
        cut = find_cut(path)
    except UnclearLayoutError:
        cut = None
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return f"the file is cut off: {cut}" if cut else "the picture data is damaged"


def _open(path: Path, *, header_only: bool) -> list[OpenEXR.Part]:
    """All parts of a file; an empty list if the pixels of any cannot be decoded.

    Whoever wants one layer of many still decodes all: ``OpenEXR.File`` cannot be told what to
    read, and the channels of a part are compressed together, so that little would be saved
    within one. The binding's old ``InputFile`` reads single channels, of the first part only,
    and is deprecated. Plates kept in a part or file of their own are the remedy.
    """
    try:
        # num_threads=0 decodes in this thread: frames, not blocks, are read in parallel here.
        file = OpenEXR.File(
            str(path), separate_channels=True, header_only=header_only, num_threads=0
        )
    except Exception as error:
        # The binding raises RuntimeError, UnicodeDecodeError, ValueError and MemoryError for
        # damaged headers, and promises no list of them.
        said = str(error).replace(str(path), path.name)
        raise PlateError(f"{path}: the EXR header is damaged ({said}); {_MEND}") from error
    return list(file.parts)


def _header_of(path: Path, parts: list[OpenEXR.Part], config: PlateConfig) -> PlateHeader:
    part = _pick_part(path, parts, config)
    kind = part.type()
    if kind not in _FLAT:
        raise PlateError(
            f"{path}: is a deep EXR ({kind.name}); wanted a flat picture: flatten it first"
        )
    channels = _pick_channels(path, part, config)
    (display_x, display_y), (display_x1, display_y1) = (
        corner.tolist() for corner in part.header["displayWindow"]
    )
    (data_x, data_y), (data_x1, data_y1) = (corner.tolist() for corner in part.header["dataWindow"])
    width, height = display_x1 - display_x + 1, display_y1 - display_y + 1
    for name, w, h in (
        ("display window", width, height),
        ("data window", data_x1 - data_x + 1, data_y1 - data_y + 1),
    ):
        if w < 1 or h < 1 or w * h > _MAX_PIXELS:
            raise PlateError(
                f"{path}: the {name} is {w}x{h}; wanted 1 to {_MAX_PIXELS} pixels; {_MEND}"
            )
    aspect = float(part.header.get("pixelAspectRatio", 1.0))
    if not (math.isfinite(aspect) and aspect > 0):
        raise PlateError(f"{path}: the pixel aspect is {aspect}; wanted a number above 0; {_MEND}")
    return PlateHeader(
        width=width,
        height=height,
        pixel_aspect=aspect,
        data_window=(
            data_x - display_x,
            data_y - display_y,
            data_x1 - display_x + 1,
            data_y1 - display_y + 1,
        ),
        part=part.part_index,
        channels=channels,
    )


def _pick_part(path: Path, parts: list[OpenEXR.Part], config: PlateConfig) -> OpenEXR.Part:
    if not parts:
        raise PlateError(f"{path}: the EXR holds no picture; {_MEND}")
    if config.part is None:
        return parts[0]
    for part in parts:
        if part.name() == config.part:
            return part
    names = ", ".join(repr(part.name()) for part in parts)
    raise PlateError(
        f"{path}: has no part {config.part!r}; it has {names}: mend 'part' in show.yaml"
    )


def _pick_channels(path: Path, part: OpenEXR.Part, config: PlateConfig) -> tuple[str, str, str]:
    red, green, blue = (
        f"{config.layer}.{channel}" if config.layer else channel for channel in config.channels
    )
    there = {channel.name: channel for channel in part.header["channels"]}
    wanted = (red, green, blue)
    if missing := [name for name in wanted if name not in there]:
        hint = "mend 'layer', 'part' or 'channels' in show.yaml"
        if {"Y", "RY", "BY"} & set(there):
            hint = "it is a luminance/chroma picture: convert it to RGB"
        raise PlateError(
            f"{path}: has no channel {', '.join(missing)}; "
            f"it has {', '.join(sorted(there)) or 'none'}: {hint}"
        )
    if any(there[name].xSampling != 1 or there[name].ySampling != 1 for name in wanted):
        raise PlateError(
            f"{path}: channels {', '.join(wanted)} are sub-sampled; wanted full size: "
            "convert it to plain RGB"
        )
    return wanted


def _make_finite(
    image: NDArray[np.float32], path: Path, config: PlateConfig
) -> NDArray[np.float32]:
    finite = np.isfinite(image)
    if finite.all():
        return image
    if config.nonfinite == "refuse":
        count = int((~finite.all(axis=2)).sum())
        raise PlateError(
            f"{path}: {count} pixels are NaN or infinite; mend the frame, or set "
            "'nonfinite: replace' in show.yaml"
        )
    return np.nan_to_num(image, copy=False, nan=0.0, posinf=_LARGEST_HALF, neginf=0.0)
