"""Looks: the same head drawn a few times on crops that differ, and what they say together.

A drawing is the mean of its looks. How far they lie apart tells of its error what the network
itself does not know: two looks at one picture can be wrong alike, but they do not differ
where all is well. Half of them see the picture mirrored, which a symmetric character allows:
those differ most from the others and so bring most, to the mean as to the judgement.

Training measures how far errors can be trusted with the same looks (``training.hard_views``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.crop import Box, crop_matrix
from laikaroto.model.mirror import Mirror
from laikaroto.model.prior import curve_directions, square_off


class Look(NamedTuple):
    """One look: shift across and down (shares of the crop's side), scale, turn (radians)."""

    across: float = 0.0
    down: float = 0.0
    zoom: float = 1.0
    turn: float = 0.0
    mirrored: bool = False


#: Of every frame. Two more of each kind were no better on the dev shots.
LOOKS = (
    Look(),
    Look(mirrored=True),
    Look(0.02, 0.01, 1.05, 0.03),
    Look(-0.01, -0.02, 0.97, -0.03, mirrored=True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the drawer says of one crop, or of all looks together; plate px, template order.

    values (P, 6); visible, error_px (P,) as in ``Predictions``.
    """

    values: FloatArray
    visible: FloatArray
    error_px: FloatArray


def look_matrix(look: Look, box: Box, size: int, mirror: Mirror | None) -> FloatArray:
    """2×3 matrix from the crop of a look at a head to the plate.

    Without a ``mirror`` a mirrored look is cut as it stands.
    """
    near = Box(box.x + look.across * box.side, box.y + look.down * box.side, box.side * look.zoom)
    matrix = crop_matrix(near, size, turn=look.turn)
    if look.mirrored and mirror is not None:
        matrix[:, 2] += matrix[:, 0] * size
        matrix[:, 0] *= -1
    return matrix


def see(
    look: Look,
    matrix: FloatArray,
    mirror: Mirror | None,
    *,
    points: NDArray[np.floating],
    tangents: NDArray[np.floating],
    visible: NDArray[np.floating],
    error: NDArray[np.floating],
) -> Seen:
    """A drawing of a crop, in plate px and under its real names.

    Args:
        look: what was looked at.
        matrix: as ``look_matrix`` gave it.
        mirror: as it was given.
        points: (P, 2) crop px.
        tangents: (C, 4) crop px, of the last C points.
        visible: (P,).
        error: (P,) crop px.
    """
    values = np.zeros((len(points), 6))
    values[:, :2] = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    turned = tangents.astype(np.float64).reshape(-1, 2, 2) @ matrix[:, :2].T
    values[len(points) - len(tangents) :, 2:] = turned.reshape(-1, 4)
    chance, error_px = visible.astype(np.float64), error.astype(np.float64)
    error_px *= np.hypot(*matrix[:, 0])
    if look.mirrored and mirror is not None:
        return Seen(mirror.rename(values), chance[mirror.order], error_px[mirror.order])
    return Seen(values, chance, error_px)


def merge(looks: Sequence[Seen], template: CharacterTemplate) -> tuple[Seen, FloatArray]:
    """The mean of looks, and how far they lie apart at each point (P,), px.

    The standard deviation of one look; of control points across the curve only, and of both
    directions' mean where there is no curve. 0 of a single look.
    """
    every = np.stack([look.values for look in looks])
    values = every.mean(axis=0)
    curve = curve_directions(values[None], template)[0]
    square = square_off(every[..., :2] - values[:, :2], curve)
    apart = np.sqrt(square.sum(axis=0) / max(len(looks) - 1, 1))
    return (
        Seen(
            values,
            np.mean([look.visible for look in looks], axis=0, dtype=np.float64),
            np.mean([look.error_px for look in looks], axis=0, dtype=np.float64),
        ),
        apart,
    )
