"""A small made-up shot for the pages: four frames of an open and a closed shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from laikaroto.matte.exr import write_matte
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto, Shape, ShapeFrame, TrackFrame

FRAMES = (1001, 1002, 1003, 1004)
NASTY = '</script><script>document.title = "owned"</script><img src=x onerror=alert(1)>'
CIRCLE = np.array(
    [
        [40, 0, 0, -22, 0, 22],
        [0, 40, 22, 0, -22, 0],
        [-40, 0, 0, 22, 0, -22],
        [0, -40, -22, 0, 22, 0],
    ],
    dtype=np.float64,
)
LINE = np.array(
    [[60, 90, 0, 0, 20, 0], [120, 90, -20, 0, 20, 0], [180, 90, -20, 0, 0, 0]], dtype=np.float64
)

Plates = Callable[[Sequence[int]], Iterator[tuple[int, NDArray[np.float32]]]]


def _shape(points: NDArray[np.float64], *, closed: bool, hidden_on: int, error: float) -> Shape:
    seen = np.ones(len(points), dtype=bool)
    seen[-1] = closed
    return Shape(
        closed=closed,
        frames={
            frame: ShapeFrame(
                points=points + [2.0 * (frame - 1001), 0, 0, 0, 0, 0],
                point_visible=seen,
                visible=frame != hidden_on,
                confidence=0.9,
                expected_error_px=error * (frame - 1000),
                source="artist" if frame == 1002 else "predicted",
            )
            for frame in FRAMES
        },
    )


@pytest.fixture
def roto() -> Roto:
    """1003 is flagged with a reason that tries to break out of the page; 1004 is a hold."""
    return Roto(
        shot="ev01",
        character="hero",
        version="v002",
        plate=PlateInfo(width=240, height=180, first=1001, last=1004),
        tracks={"tip": {f: TrackFrame(xy=(120.0, 60.0), confidence=0.8) for f in FRAMES}},
        shapes={
            "eye": _shape(CIRCLE + [120, 90, 0, 0, 0, 0], closed=True, hidden_on=1002, error=0.04),
            "seam": _shape(LINE, closed=False, hidden_on=0, error=0.08),
        },
        frames={
            1001: FrameNote(),
            1002: FrameNote(),
            1003: FrameNote(flagged=True, reasons=("seam: expected error 0.24 px", NASTY)),
            1004: FrameNote(hold_of=1003),
        },
        provenance={"model": {"version": "v007"}},
    )


@pytest.fixture
def plates() -> Plates:
    """Grey plates that get lighter with the frame number."""

    def give(frames: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for frame in frames:
            yield frame, np.full((180, 240, 3), 0.05 * (frame - 1000), dtype=np.float32)

    return give


@pytest.fixture
def mattes(tmp_path: Path) -> Path:
    """Layers ``all`` and ``eyes``: a half-covered square on black."""
    folder = tmp_path / "matte"
    folder.mkdir()
    coverage = np.zeros((180, 240), dtype=np.float32)
    coverage[60:120, 90:150] = 0.5
    for layer, channels in (("all", "RGBA"), ("eyes", "A")):
        for frame in FRAMES:
            path = folder / f"{layer}.{frame}.exr"
            write_matte(path, coverage, channels=channels, fps=24, pixel_aspect=1.0)
    return folder
