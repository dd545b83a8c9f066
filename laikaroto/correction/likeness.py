"""How alike the pictures of a part look to the drawer, from frame to frame of a shot.

Where the drawer sees the like it errs alike: the same printed part again, but also another one
from the same side in the same light. What it knew of each point when it drew it (its tokens)
says what looks alike to it. Of that, a version keeps as much as tells its own frames apart: for
each shape and tracking point a few numbers a frame, in ``likeness.npz`` beside its ``roto.json``,
so that a correction needs neither the network nor the plates.

Source: the distance of a network's own features as a measure of likeness goes back to R. Zhang
et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.model.arrays import load_arrays, write_arrays
from laikaroto.model.predictions import Predictions

LIKENESS = "likeness.npz"
#: Numbers kept of each part and frame: the largest differences between the frames of the shot.
KEPT = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likeness:
    """What each part looks like on each frame.

    Attributes:
        frames: ascending.
        parts: (F, K) by name of the shape or tracking point. The squared distance of two rows
            is how unlike the two pictures are: the mean over the part's points of the squared
            difference of their tokens, which are of length 1. 0: the same; 2: nothing alike.
    """

    frames: tuple[int, ...]
    parts: Mapping[str, FloatArray]

    def unlike(self, part: str, poses: Sequence[Sequence[int]]) -> FloatArray:
        """(Q, Q) squared distances between poses (frames of each); 0 where nothing is known."""
        row = {frame: i for i, frame in enumerate(self.frames)}
        look = self.parts.get(part)
        if look is None or not all(frame in row for pose in poses for frame in pose):
            return np.zeros((len(poses), len(poses)))
        mean = np.stack([look[[row[frame] for frame in pose]].mean(axis=0) for pose in poses])
        return np.asarray(((mean[:, None] - mean[None]) ** 2).sum(axis=-1))


#: Of a version that has none: made by a model, or a laikaroto, that did not keep them.
UNKNOWN = Likeness(frames=(), parts={})


def likeness_of(predictions: Predictions, template: CharacterTemplate) -> Likeness:
    """What a shot's predictions say of it; ``UNKNOWN`` if their model gives no tokens.

    Args:
        predictions: of the whole shot.
        template: of the character.
    """
    tokens = predictions.tokens.astype(np.float64)
    if not tokens.shape[-1]:
        return UNKNOWN
    tokens /= np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-9)
    first = len(template.tracks)
    where = {name: slice(i, i + 1) for i, name in enumerate(template.tracks)}
    where |= {
        name: slice(first + part.start, first + part.stop)
        for name, part in template.slices().items()
    }
    return Likeness(
        frames=tuple(predictions.frames.tolist()),
        parts={name: _main_differences(tokens[:, part]) for name, part in where.items()},
    )


def _main_differences(tokens: FloatArray) -> FloatArray:
    """(F, KEPT) coordinates of frames (F, N, W) whose distances are theirs, as far as they go."""
    flat = tokens.reshape(len(tokens), -1) / np.sqrt(tokens.shape[1])
    flat = flat - flat.mean(axis=0)
    axes, sizes, _ = np.linalg.svd(flat, full_matrices=False)
    kept = np.zeros((len(flat), KEPT))
    count = min(KEPT, len(sizes))
    kept[:, :count] = axes[:, :count] * sizes[:count]
    return kept


def write_likeness(path: Path, likeness: Likeness) -> None:
    """Write ``likeness.npz``, whole or not at all."""
    values = np.zeros((len(likeness.parts), len(likeness.frames), KEPT), np.float16)
    for i, look in enumerate(likeness.parts.values()):
        values[i] = look
    write_arrays(
        path,
        {
            "frames": np.array(likeness.frames, np.int64),
            "parts": np.array(list(likeness.parts), np.str_),
            "likeness": values,
        },
    )


def read_likeness(path: Path) -> Likeness:
    """Read ``likeness.npz``; ``UNKNOWN`` where there is none.

    Raises:
        SidecarError: it is damaged.
    """
    if not path.is_file():
        return UNKNOWN
    try:
        frames, names, values = load_arrays(path, ("frames", "parts", "likeness")).values()
    except (OSError, ValueError) as error:
        raise SidecarError(
            f"{path}: what the model saw of the shot cannot be read: {error}; run inference again"
        ) from error
    wanted = (len(names), len(frames), KEPT)
    if values.shape != wanted or not np.isfinite(values).all():
        raise SidecarError(
            f"{path}: wanted finite values of shape {wanted}, got {values.shape}; run inference "
            "again"
        )
    return Likeness(
        frames=tuple(frames.tolist()),
        parts={
            str(name): look.astype(np.float64) for name, look in zip(names, values, strict=True)
        },
    )
