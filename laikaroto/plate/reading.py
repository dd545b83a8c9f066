"""Read frames ahead of their use, in threads: OpenEXR decodes outside the interpreter lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

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
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give each frame's number and picture, in the order asked for.

    Args:
        sequence: the plates.
        frames: which, in any order; repeats are read again.
        config: how they are read.
        threads: how many decode at once.
        depth: pictures read or being read that are not yet handed out; bounds the memory.

    Yields:
        (frame, picture): (H, W, 3) float32, scene-linear.

    Raises:
        PlateError: naming shot and frame, when that frame's turn comes.
    """
    if threads < 1 or depth < 1:
        raise ValueError(f"threads and depth must be at least 1, got {threads} and {depth}")
    waiting: deque[tuple[int, Future[NDArray[np.float32]]]] = deque()
    remaining = iter(frames)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-plates")
    try:
        while True:
            while len(waiting) < depth and (frame := next(remaining, None)) is not None:
                waiting.append((frame, pool.submit(read_rgb, sequence.path(frame), config)))
            if not waiting:
                return
            frame, future = waiting.popleft()
            try:
                image = future.result()
            except PlateError as error:
                raise PlateError(f"shot {sequence.shot} frame {frame}: {error}") from error
            del future
            yield frame, image
            del image
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
