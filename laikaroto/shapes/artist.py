"""What an artist drew, before it is carried onto a character's template.

Contours come with any number of points, any start and either direction, and may differ from
frame to frame. Coordinates follow ``laikaroto.coords`` already: each format converts at its
border. ``character.revectorize`` turns these records into a ``Roto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import TrackFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArtistShape:
    """One animated contour as it is in the artist's file.

    Attributes:
        name: as written, names of the layers it lies in before it: ``head/eye_L``.
        frames: control points (N, 6) of every frame from the first to the last key, filled in
            as the artist's program interpolates; N may differ between frames.
        keys: the frames an artist really set.
        hidden: frames on which it is switched off or has no opacity.
        feathered: whether any point has a soft edge of its own, which shapes here cannot hold.
    """

    name: str
    closed: bool
    frames: Mapping[int, FloatArray]
    keys: tuple[int, ...]
    hidden: frozenset[int] = frozenset()
    feathered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArtistFile:
    """All shapes and tracking points of one file.

    Attributes:
        path: the file.
        tool: name of its format, as in ``sidecar.formats.registry``.
        size: width and height of the picture it was drawn on, px; None where it does not say.
        shapes: by name.
        tracks: tracking points by name and frame.
        notes: what the file holds and these records cannot, one sentence each: told, not hidden.
    """

    path: Path
    tool: str
    size: tuple[int, int] | None
    shapes: Mapping[str, ArtistShape]
    tracks: Mapping[str, Mapping[int, TrackFrame]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
