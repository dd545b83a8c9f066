"""The pictures of a page, written frame by frame so that memory does not grow with the shot.

Files: ``plate.<frame>.jpg``, ``thumb.<frame>.jpg`` and ``matte.<layer>.<frame>.jpg``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.config import PlateConfig
from laikaroto.errors import PlateError, SidecarError
from laikaroto.frames import format_frames
from laikaroto.plate.exr import read_rgb
from laikaroto.plate.proxy import fit_picture, make_proxy, write_jpeg

MAX_WIDTH_PX = 960
THUMB_WIDTH_PX = 192
Plates = Callable[[Sequence[int]], Iterator[tuple[int, NDArray[np.float32]]]]

_PENDING = 4  # frames held while their pictures are made
_THREADS = 2
_MATTE_FILE = re.compile(r"(?P<layer>.+)\.(?P<frame>-?\d+)\.exr")
# Every layout of a matte has its coverage in A.
_COVERAGE = PlateConfig(template="{shot}{frame}", channels=("A", "A", "A"))


def find_matte_layers(mattes: Path | None, frames: Sequence[int]) -> dict[str, dict[int, Path]]:
    """Matte files of each layer by frame.

    Args:
        mattes: folder of ``<layer>.<frame>.exr``, or None for no mattes.
        frames: the frames each layer must have.

    Raises:
        SidecarError: the folder is not there, or a layer lacks frames.
    """
    if mattes is None:
        return {}
    if not mattes.is_dir():
        raise SidecarError(f"{mattes}: is not a folder; publish the shot with mattes")
    layers: dict[str, dict[int, Path]] = {}
    for path in sorted(mattes.iterdir()):
        if match := _MATTE_FILE.fullmatch(path.name):
            layers.setdefault(match["layer"], {})[int(match["frame"])] = path
    for layer, files in layers.items():
        if gone := [frame for frame in frames if frame not in files]:
            raise SidecarError(
                f"{mattes}: layer {layer!r} has no matte of frames {format_frames(gone)}; "
                "publish the shot again"
            )
    return layers


def write_pictures(
    folder: Path,
    frames: Sequence[int],
    *,
    plates: Plates,
    layers: dict[str, dict[int, Path]],
    pixel_aspect: float = 1.0,
) -> None:
    """Write all pictures of a shot's page; those of anamorphic plates come out unsqueezed.

    Raises:
        PlateError: a plate or matte cannot be read, or a frame was not given.
        TryAgainError: the disk refuses.
    """
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="write-pictures") as pool:
        given = plates(frames)
        for frame in frames:
            got = next(given, None)
            if got is None or got[0] != frame:
                raise PlateError(
                    f"frame {frame}: wanted its plate for the review page, "
                    f"got {'none' if got is None else f'frame {got[0]}'}"
                )
            files = {layer: paths[frame] for layer, paths in layers.items()}
            waiting.append(pool.submit(_write_frame, folder, frame, got[1], files, pixel_aspect))
            if len(waiting) >= _PENDING:
                waiting.popleft().result()
        for future in waiting:
            future.result()


def _write_frame(
    folder: Path,
    frame: int,
    rgb: NDArray[np.float32],
    mattes: dict[str, Path],
    pixel_aspect: float,
) -> None:
    picture = make_proxy(rgb, max_width=MAX_WIDTH_PX, pixel_aspect=pixel_aspect)
    write_jpeg(folder / f"plate.{frame}.jpg", picture)
    write_jpeg(folder / f"thumb.{frame}.jpg", fit_picture(picture, THUMB_WIDTH_PX), quality=80)
    for layer, path in mattes.items():
        coverage = fit_picture(read_rgb(path, _COVERAGE)[..., 0], MAX_WIDTH_PX, pixel_aspect)
        grey = (np.clip(coverage, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
        write_jpeg(folder / f"matte.{layer}.{frame}.jpg", grey, quality=95)
