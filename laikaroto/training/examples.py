"""From a plate and its ground truth to a small file that a training can read again and again.

``write_example`` turns a plate and its truth into a small log-encoded file, once, so that plates
can stay on a slow server while a night's training runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.model.arrays import load_arrays, write_arrays
from laikaroto.model.crop import (
    WHOLE_DETAIL,
    Box,
    box_around,
    reduce_plate,
    whole_plate,
)
from laikaroto.plate.colour import encode_log
from laikaroto.shapes.records import Roto


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One frame to learn from.

    head: reduced log-encoded plate (h, w, 3) float16, ``scale`` reduced px per plate px;
    whole: small whole plate (fh, fw, 3) float16 and the 2×3 ``matrix`` from its px to the
    plate's; values (P, 6), visible, known (P,) as ``character.template.pack`` gives them,
    in plate px. placed (P,): points that tell where the head is, where that is more than
    the known ones: of a frame on which an artist corrected a few shapes. mirrored (P, 6):
    control points of the mirror image about x = 0, once a ``Dataset`` has a mirror. behind (h, w)
    float16, as large as head: how much of each pixel lies behind the puppet, where that is known.
    """

    shot: str
    frame: int
    head: NDArray[np.float16]
    scale: float
    whole: NDArray[np.float16]
    matrix: FloatArray
    values: FloatArray
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    placed: NDArray[np.bool_] | None = None
    mirrored: FloatArray | None = None
    behind: NDArray[np.float16] | None = None

    @property
    def box(self) -> Box:
        """Where the head is, plate px."""
        return box_around(self.values[self.known if self.placed is None else self.placed, :2])


def finder_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the finder's picture for plates of this size, px."""
    if width >= height:
        return 192, -(-192 * height // width // 32) * 32
    return -(-192 * width // height // 32) * 32, 192


def example_file(folder: Path, shot: str, frame: int) -> Path:
    """Where ``write_example`` puts a frame."""
    return folder / f"{shot}.{frame}.npz"


def write_example(
    folder: Path,
    roto: Roto,
    frame: int,
    rgb: NDArray[np.float32],
    template: CharacterTemplate,
    *,
    crop_px: int,
    finder: tuple[int, int],
    artist: NDArray[np.bool_] | None = None,
    behind: NDArray[np.float32] | None = None,
) -> None:
    """Prepare one frame: plate (H, W, 3) scene-linear and truth to one small file.

    With ``artist`` (P,) only those points are truth; the others tell where the head is. ``behind``
    (H, W), 0-1, is how much of each pixel lies behind the puppet; None if nobody knows.

    Raises:
        TruthError: the truth says nothing of this frame, or only one place.
        TryAgainError: the disk refuses.
    """
    values, visible, known = pack(roto, template, frame)
    if not known.any():
        raise TruthError(f"shot {roto.shot} frame {frame}: the truth has no point on this frame")
    if not np.ptp(values[known, :2], axis=0).any():
        raise TruthError(
            f"shot {roto.shot} frame {frame}: all points lie at one place, which does not tell how "
            "large the puppet is; draw at least two points apart"
        )
    placed = known
    if artist is not None:
        known = known & artist
    encoded = encode_log(rgb)
    head, scale = reduce_plate(encoded, box_around(values[placed, :2]), crop_px)
    thin = np.zeros((0, 0), np.float32)
    if behind is not None:
        thin, _ = reduce_plate(behind, box_around(values[placed, :2]), crop_px)
    whole, matrix = whole_plate(encoded, (finder[0] * WHOLE_DETAIL, finder[1] * WHOLE_DETAIL))
    write_arrays(
        example_file(folder, roto.shot, frame),
        {
            "head": head.astype(np.float16),
            "scale": scale,
            "whole": whole.astype(np.float16),
            "matrix": matrix,
            "values": values,
            "visible": visible,
            "known": known,
            "placed": placed,
            "behind": thin.astype(np.float16),
        },
    )


def read_example(folder: Path, shot: str, frame: int) -> Example:
    """Read what ``write_example`` wrote.

    Raises:
        TruthError: the file is missing or damaged.
    """
    head, scale, whole, matrix, values, visible, known, placed, behind = _read(
        folder, shot, frame,
        ("head", "scale", "whole", "matrix", "values", "visible", "known", "placed", "behind"),
    )  # fmt: skip
    return Example(
        shot, frame, head, float(scale), whole, matrix, values, visible, known,
        placed=None if np.array_equal(known, placed) else placed,
        behind=behind if behind.size else None,
    )  # fmt: skip


def read_points(folder: Path, shot: str, frame: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Control points (P, 6) and which are known (P,) of a prepared frame, without its pictures.

    Raises:
        TruthError: the file is missing or damaged.
    """
    values, known = _read(folder, shot, frame, ("values", "known"))
    return values, known


def _read(folder: Path, shot: str, frame: int, names: Sequence[str]) -> list[Any]:
    path = example_file(folder, shot, frame)
    try:
        return list(load_arrays(path, names).values())
    except (OSError, ValueError) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the prepare step again") from error
