"""The shape prior of a character, learned from its ground truth (``model.prior`` applies it)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.model.mirror import Mirror
from laikaroto.model.prior import ShapePrior

#: Most basis shapes, and the least share of the first one's spread that one must have.
MOST = 64
LEAST_SPREAD = 1e-4
#: What basis shapes of a single shot leave is not measurable; assume that it is much.
UNKNOWN_REST = 0.02


def fit_prior(
    values: FloatArray, shots: Sequence[str], *, mirror: Mirror | None
) -> ShapePrior | None:
    """Basis shapes of all frames, and what basis shapes of other shots leave of a shot's frames.

    Args:
        values: (F, P, 6) control points of frames whose points are all known, plate px.
        shots: (F,) shot of each frame: whole shots are left out to measure.
        mirror: mirror images count as well.

    Returns:
        The prior; None where fewer than two frames differ.
    """
    if len(values) < 2:
        return None
    side = np.ptp(values[..., :2], axis=1).max(axis=-1)
    heads = values / side[:, None, None]
    heads[..., :2] -= heads[..., :2].mean(axis=1, keepdims=True)
    basis, spread = _components(_with_mirror(heads, mirror))
    if not len(spread):
        return None
    rest = np.full(values.shape[1], UNKNOWN_REST)
    kinds = sorted(set(shots))
    if len(kinds) > 1:
        gaps = []
        for shot in kinds:
            inside = np.array([other == shot for other in shots])
            others, _ = _components(_with_mirror(heads[~inside], mirror))
            rows = _rows(heads[inside])
            gaps.append(rows - rows @ others.T @ others)
        left = np.concatenate(gaps)[:, : values.shape[1]]
        rest = np.sqrt((left**2).mean(axis=0))
    return ShapePrior(basis, spread, np.maximum(rest, 1e-5))


def _with_mirror(heads: FloatArray, mirror: Mirror | None) -> FloatArray:
    if mirror is None:
        return heads
    return np.concatenate([heads, np.stack([mirror.values(head, 0.0) for head in heads])])


def _rows(heads: FloatArray) -> FloatArray:
    """Heads (F, P, 6) as rows (2F, 3P): those of x, then those of y."""
    return np.concatenate(
        [np.concatenate([heads[..., a + i] for i in (0, 2, 4)], axis=-1) for a in (0, 1)]
    )


def _components(heads: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Principal components (K, 3P) of the rows about zero, and their spread (K,)."""
    rows = _rows(heads)
    _, lengths, basis = np.linalg.svd(rows, full_matrices=False)
    spread = lengths / np.sqrt(len(rows))
    keep = int(min(MOST, (spread > LEAST_SPREAD * spread[0]).sum())) if spread[0] > 0 else 0
    return basis[:keep], spread[:keep]
