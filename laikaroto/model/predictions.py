"""What inference says of a run of frames, before it is settled in time.

Kept as plain arrays in one ``.npz`` a chunk, so that chunks can be predicted anywhere and
joined by the solve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.errors import LaikarotoError
from laikaroto.model.arrays import load_arrays, write_arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """Arrays over F frames and P points in the template's flat order; plate px.

    frames (F,) int64; values (F, P, 6) control points, tangents 0 for tracking points;
    visible (F, P) probability; error_px (F, P) expected error; apart_px (F, P) how far the
    looks lie apart (``looks.merge``); box (F, 3) head centre and side; found (F,) 0-1, how
    sure the finder is; moved (F, 3) how the head's picture moved since the frame before:
    across, down, and locally at most (``plate.motion``); infinite where that is not known;
    tokens (F, P, W) float16, what the drawer knew of each point when it drew it: pictures that
    look alike to it have like tokens; W is 0 for models that do not give them.
    """

    frames: NDArray[np.int64]
    values: FloatArray
    visible: FloatArray
    error_px: FloatArray
    apart_px: FloatArray
    box: FloatArray
    found: FloatArray
    moved: FloatArray
    tokens: NDArray[np.float16]

    def pick(self, frames: Sequence[int]) -> Predictions:
        """These frames, in this order; of a frame that is there twice, the first.

        Raises:
            KeyError: a frame is not there.
        """
        rows: dict[int, int] = {}
        for row, frame in enumerate(self.frames.tolist()):
            rows.setdefault(frame, row)
        order = [rows[frame] for frame in frames]
        return Predictions(**{f.name: getattr(self, f.name)[order] for f in fields(self)})


def join_predictions(chunks: Sequence[Predictions]) -> Predictions:
    """Join chunks into one run, sorted by frame."""
    joined = {
        f.name: np.concatenate([getattr(chunk, f.name) for chunk in chunks])
        for f in fields(Predictions)
    }
    order = np.argsort(joined["frames"], kind="stable")
    return Predictions(**{name: value[order] for name, value in joined.items()})


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one chunk, whole or not at all."""
    write_arrays(path, {f.name: getattr(predictions, f.name) for f in fields(Predictions)})


def read_predictions(path: Path) -> Predictions:
    """Read one chunk.

    Raises:
        LaikarotoError: the file is missing or damaged.
    """
    try:
        return Predictions(**load_arrays(path, [f.name for f in fields(Predictions)]))
    except (OSError, ValueError) as error:
        raise LaikarotoError(
            f"{path}: prediction of a chunk cannot be read: {error}; run its predict task again"
        ) from error
