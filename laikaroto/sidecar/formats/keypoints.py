"""What the readers of keypoint data sets share: numbers, frames, and where a pixel's centre lies.

Data sets count px from the top left, y down. Some put the first pixel's centre at (0, 0), some
at (0.5, 0.5); the files rarely say which, so the caller does (``ReadOptions.pixel_centres``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from laikaroto.coords import from_index
from laikaroto.errors import SidecarError
from laikaroto.shapes.records import PlateInfo, TrackFrame
from laikaroto.sidecar.formats.registry import ReadOptions

MAX_BYTES = 512 * 1024 * 1024
_DIGITS = re.compile(r"\d{1,9}(?=\D*$)")

Tracks = dict[str, dict[int, TrackFrame]]


def read_bytes(path: Path) -> bytes:
    """A file's contents.

    Raises:
        SidecarError: it cannot be read, or is larger than ``MAX_BYTES``.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SidecarError(
                f"{path}: {path.stat().st_size / 2**20:.0f} MB; wanted at most "
                f"{MAX_BYTES >> 20} MB: hand in one shot at a time"
            )
        return path.read_bytes()
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """A JSON document.

    Raises:
        SidecarError: it cannot be read, is no JSON, or nests too deep.
    """
    try:
        return json.loads(read_bytes(path))
    except RecursionError as error:
        raise SidecarError(f"{path}: nested too deep for a data set") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise SidecarError(f"{path}: not JSON: {error}") from error


def number(value: object, where: str) -> float:
    """A finite number.

    Raises:
        SidecarError: what is there instead.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise SidecarError(f"{where}: wanted a number, got {value!r:.60}")


def track_frame(
    x: float, y: float, options: ReadOptions, *, visible: bool = True,
    confidence: float | None = None,
) -> TrackFrame:  # fmt: skip
    """A point in plate px; confidence outside 0-1 (a score without a scale) is not kept."""
    if options.pixel_centres:
        x, y = from_index(np.array([x, y])).tolist()
    if confidence is not None and not 0.0 <= confidence <= 1.0:
        confidence = None
    return TrackFrame(xy=(float(x), float(y)), visible=visible, confidence=confidence)


def frame_in_name(name: str, where: str) -> int:
    """The last number of a picture's name: ``ev010.1001.png`` is 1001.

    Raises:
        SidecarError: it has none.
    """
    found = _DIGITS.search(Path(name.replace("\\", "/")).stem)
    if found is None:
        raise SidecarError(
            f"{where}: wanted a frame number in the picture's name, got {name!r:.80}"
        )
    return int(found[0])


def video_frame(index: int, plate: PlateInfo | None) -> int:
    """A video's frame, counted from 0, as the plate counts: its first frame is the video's."""
    return index + (plate.first if plate else 0)


def choose(found: Iterable[str], wanted: str | None, what: str, path: Path) -> str | None:
    """The one name to read: the only one there is, or the one asked for; None if there is none.

    Raises:
        SidecarError: several and none asked for, or the one asked for is not there.
    """
    names = sorted(set(found))
    if wanted is not None and wanted not in names:
        raise SidecarError(f"{path}: no {what} {wanted!r}; there are {', '.join(names) or 'none'}")
    if wanted is None and len(names) > 1:
        raise SidecarError(f"{path}: several {what}s, {', '.join(names)}; say which with --node")
    return wanted or (names[0] if names else None)
