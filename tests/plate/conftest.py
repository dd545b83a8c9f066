from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from laikaroto.config import PlateConfig

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def config() -> PlateConfig:
    return PlateConfig(template="{root}/{shot}/{shot}.{frame:04d}.exr")


@pytest.fixture
def foreign() -> Path:
    """Folder of a few foreign EXRs."""
    return PROJECT / "tests" / "data" / "exr"


WriteExr = Callable[..., Path]


@pytest.fixture
def write_exr() -> WriteExr:
    """Write an EXR of channel arrays; windows are (x0, y0, x1, y1), the last pixel included."""

    def write(
        path: Path,
        channels: dict[str, Any] | None = None,
        *,
        size: tuple[int, int] = (12, 8),
        display: tuple[int, int, int, int] | None = None,
        data: tuple[int, int, int, int] | None = None,
        **header: Any,
    ) -> Path:
        if channels is None:
            channels = ramp(*size)
        full: dict[str, Any] = {
            "compression": OpenEXR.ZIP_COMPRESSION,
            "type": OpenEXR.scanlineimage,
            **header,
        }
        for name, window in (("displayWindow", display), ("dataWindow", data)):
            if window is not None:
                full[name] = (np.array(window[:2], "i4"), np.array(window[2:], "i4"))
        path.parent.mkdir(parents=True, exist_ok=True)
        OpenEXR.File(full, channels).write(str(path))
        return path

    return write


def ramp(width: int, height: int) -> dict[str, Any]:
    """Half channels R, G, B; every value of every channel differs and is exact in half."""
    base = np.arange(width * height, dtype=np.float32).reshape(height, width) / 64
    return {"R": base.astype("f2"), "G": (base + 16).astype("f2"), "B": (base + 32).astype("f2")}


@pytest.fixture
def ramp_rgb() -> Callable[[int, int], Any]:
    """The picture that ``write_exr`` writes by itself, as (H, W, 3) float32."""

    def make(width: int, height: int) -> Any:
        return np.stack(list(ramp(width, height).values()), axis=-1).astype(np.float32)

    return make
