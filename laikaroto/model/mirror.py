"""The mirror image of a character: which point becomes which (``training.mirror`` finds it).

A package of a character that is about symmetric holds it, so that inference can look at the
mirrored picture as well: what a network makes of the two differs where it is unsure, and the
mean is nearer to the truth than either.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.sidecar.files import write_file

FILE = "mirror.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """Which point becomes which.

    order (P,): mirrored point i is the image of point ``order[i]``; backwards (P,): its
    shape runs the other way, so its tangents exchange.
    """

    order: NDArray[np.intp]
    backwards: NDArray[np.bool_]

    def rename(self, values: FloatArray) -> FloatArray:
        """Control points (P, 6) as drawn in a mirrored picture, under the names they really have.

        Places and tangents stay where they are.
        """
        found = values[self.order]
        exchanged = found[:, [0, 1, 4, 5, 2, 3]]
        return np.where(self.backwards[:, None], exchanged, found)

    def values(self, values: FloatArray, width: float) -> FloatArray:
        """Control points (P, 6) of a picture ``width`` px wide, mirrored."""
        found = self.rename(values)
        found[:, 0] = width - found[:, 0]
        found[:, [2, 4]] *= -1
        return found


def write_mirror(folder: Path, mirror: Mirror) -> None:
    """Write a package's mirror as plain arrays."""
    stream = io.BytesIO()
    np.savez(stream, **{f.name: getattr(mirror, f.name) for f in fields(mirror)})
    write_file(folder / FILE, stream.getvalue())


def read_mirror(folder: Path, template: CharacterTemplate) -> Mirror | None:
    """The mirror of a package, or None where the character has none.

    Raises:
        ModelError: it does not fit the package's template.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            order, backwards = data["order"].astype(np.intp), data["backwards"].astype(np.bool_)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; train again") from error
    count = template.point_count
    if backwards.shape != (count,) or sorted(order.tolist()) != list(range(count)):
        raise ModelError(
            f"{path}: wanted each of {count} points once, got {order.shape} and {backwards.shape}; "
            "train again"
        )
    return Mirror(order, backwards)
