"""Write mattes: one EXR for each layer and frame, half float, ZIPS.

Default layout is RGBA with R=G=B=A, premultiplied white, because a lone A cannot be read by
ffmpeg and layer-named channels confuse Blender. The file is made in memory and written whole, so
that a reader never sees half of it.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from laikaroto.sidecar.files import write_file


def write_matte(
    path: Path,
    coverage: NDArray[np.float32],
    *,
    channels: Literal["RGBA", "A"],
    fps: float,
    pixel_aspect: float,
    frame: int | None = None,
) -> None:
    """Write one coverage picture.

    Args:
        path: where; an existing file is replaced.
        coverage: (H, W), 0..1, as large as the plate's display window.
        channels: which channels carry it.
        fps: frames per second, for the header.
        pixel_aspect: as of the plate.
        frame: frame number, for the header (``imageCounter``).

    Raises:
        TryAgainError: the disk refuses; nothing is left behind.
        ValueError: not a picture of numbers 0..1.
    """
    if coverage.ndim != 2:
        raise ValueError(f"coverage must be (H, W), got {coverage.shape}")
    if not (coverage.min(initial=0.0) >= 0.0 and coverage.max(initial=0.0) <= 1.0):
        raise ValueError("coverage must lie within 0..1")
    header: dict[str, object] = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "pixelAspectRatio": float(pixel_aspect),
        "framesPerSecond": exact_rate(fps),
    }
    if frame is not None:
        header["imageCounter"] = frame
    half = np.ascontiguousarray(coverage, dtype=np.float16)
    buffer = io.BytesIO()
    # Written through Python's own file, whose errors say what the disk's trouble is.
    OpenEXR.File(header, dict.fromkeys(channels, half)).write(buffer)
    write_file(path, buffer.getbuffer(), flush=False)


def exact_rate(fps: float) -> Fraction:
    """Frame rate as a fraction: 24 is 24/1, 23.976 is 24000/1001."""
    for rate in (Fraction(round(fps)), Fraction(round(fps * 1.001) * 1000, 1001)):
        if abs(float(rate) - fps) < 0.001:
            return rate
    return Fraction(fps).limit_denominator(1001)
