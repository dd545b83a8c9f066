"""Expressions that the kit has and the training shots lack: other faces on the same head.

A puppet's face comes in parts that are swapped, so a new shot shows combinations of upper and
lower faces that no training shot has, in poses in which they were not seen. ``Relief`` tells
what each training frame's face has beyond the rigid head; moved part of the way towards the
faces of two other frames, one above a level and one below it, a frame stands for them.
The picture is bent with the points, so the truth of what it shows stays exact.

Source: ours; drawing new shapes from those of other frames goes back to T. Cootes et al.,
"Active shape models", 1995.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.training.relief import Relief

#: how far towards another face (standard deviation, and at most), 1 being all the way; below
#: 0 the frame's own expression grows
TOWARDS = 0.5
MOST_TOWARDS = 1.0
#: where upper and lower face may part, and over what length they blend, of the head's height
LEVELS = (0.3, 0.7)
BLEND = 0.04
#: reach of a moved point in the field, of the head's extent, and how far from exactly points
#: are followed: neighbours that disagree share
REACH = 0.07
SLACK = 0.05
#: the steepest change of the field, px a px: beyond 1 the picture would fold
STEEPEST = 0.5


def towards_others(
    relief: Relief, frame: int, height: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """How points move towards other faces of the kit.

    Args:
        relief: of all frames.
        frame: the one that is to change.
        height: (P,) where its points lie in the picture, y down, any unit.
        rng: the only source of chance.

    Returns:
        (P, 2) moves in the picture, as fractions of the frame's ``side``.
    """
    others = rng.integers(len(relief.side), size=2)
    amounts = np.clip(rng.normal(0, TOWARDS, 2), -MOST_TOWARDS, MOST_TOWARDS)
    away = relief.expression[others] - relief.expression[frame]
    upper, lower = np.einsum("npk,ik,n->npi", away, relief.camera[frame], amounts)
    level = (height - height.min()) / max(float(np.ptp(height)), 1e-9)
    share = 1 / (1 + np.exp(-(level - rng.uniform(*LEVELS)) / BLEND))
    return np.asarray(upper + (lower - upper) * share[:, None])


def expression_field(
    xy: FloatArray, moves: FloatArray, size: int, grid: int
) -> NDArray[np.float32]:
    """A displacement that brings what lies at points to where they move.

    Args:
        xy: (P, 2) points in crop px.
        moves: (P, 2) their moves, crop px.
        size: side of the crop, px.
        grid: px between two values of the field.

    Returns:
        (size / grid, size / grid, 2) at the middles of grid cells, as ``views.turn_field``.
    """
    there = xy + moves
    reach = 2 * (REACH * float(np.ptp(xy, axis=0).max())) ** 2
    apart = ((there[:, None] - there[None]) ** 2).sum(-1)
    weights = np.linalg.solve(np.exp(-apart / reach) + SLACK * np.eye(len(xy)), -moves)
    centres = (np.arange(size // grid) + 0.5) * grid
    across = np.exp(-((centres[None, :] - there[:, 0:1]) ** 2) / reach)
    down = np.exp(-((centres[None, :] - there[:, 1:2]) ** 2) / reach)
    field = np.stack([(down * weights[:, i : i + 1]).T @ across for i in (0, 1)], axis=-1)
    steep = max(float(np.abs(np.diff(field, axis=axis)).max()) for axis in (0, 1)) / grid
    return np.asarray(field * min(1.0, STEEPEST / max(steep, 1e-9)), np.float32)
