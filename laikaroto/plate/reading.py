"""Read frames ahead of their use, in threads: OpenEXR decodes outside the interpreter lock."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from laikaroto.ahead import ahead
from laikaroto.config import PlateConfig
from laikaroto.errors import PlateError
from laikaroto.plate.exr import read_rgb
from laikaroto.plate.sequence import PlateSequence


def read_ahead(
    sequence: PlateSequence,
    frames: Sequence[int],
    config: PlateConfig,
    *,
    threads: int = 2,
    depth: int = 4,
) -> Generator[tuple[int, NDArray[np.float32]], None, None]:
    """Give each frame's number and picture, in the order asked for.

    Args:
        sequence: the plates.
        frames: which, in any order; repeats are read again.
        config: how they are read.
        threads: how many decode at once, one file each.
        depth: pictures read, being read or just handed out; bounds the memory.

    Yields:
        (frame, picture): (H, W, 3) float32, scene-linear.

    Raises:
        PlateError: naming shot and frame, when that frame's turn comes.
    """
    if threads < 1 or depth < 1:
        raise ValueError(f"threads and depth must be at least 1, got {threads} and {depth}")

    def read(frame: int) -> tuple[int, NDArray[np.float32]]:
        try:
            return frame, read_rgb(sequence.path(frame), config)
        except PlateError as error:
            raise PlateError(f"shot {sequence.shot} frame {frame}: {error}") from error

    yield from ahead(read, frames, threads=threads, room=lambda _: depth, name="read-plates")
