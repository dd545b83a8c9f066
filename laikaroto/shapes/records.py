"""The roto of one shot and character in memory: what ``roto.json`` says, as records.

Records are frozen; their arrays are read-only. Coordinates follow ``laikaroto.coords``. A
record may hold what ground truth holds, gaps and mistakes included: ``character.truth``
checks it, nothing here repairs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray

Source = Literal["predicted", "artist", "propagated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateInfo:
    """Size, range and rate of the plate a roto belongs to; pixels are full-size."""

    width: int
    height: int
    first: int
    last: int
    fps: float = 24.0
    pixel_aspect: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackFrame:
    """A tracking point on one frame: position in plate px; ``confidence`` 0-1 or unknown."""

    xy: tuple[float, float]
    visible: bool = True
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeFrame:
    """A roto shape on one frame.

    Attributes:
        points: (N, 6) float64, ``x y in_dx in_dy out_dx out_dy`` in plate px, read-only.
        point_visible: (N,) bool; a hidden point keeps its best known position.
        visible: false when the shape as a whole is hidden or outside the frame.
        confidence: 0-1, None in ground truth.
        expected_error_px: mean curve distance to expect, plate px, None in ground truth.
    """

    points: FloatArray
    point_visible: NDArray[np.bool_]
    visible: bool = True
    confidence: float | None = None
    expected_error_px: float | None = None
    source: Source = "predicted"

    def __post_init__(self) -> None:
        """Make the arrays float64/bool and read-only; refuse other forms."""
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 6:
            raise ValueError(f"points must be (N, 6), got {points.shape}")
        seen = np.array(self.point_visible, dtype=np.bool_)
        if seen.shape != points.shape[:1]:
            raise ValueError(f"point_visible must be ({len(points)},), got {seen.shape}")
        points.flags.writeable = False
        seen.flags.writeable = False
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "point_visible", seen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """An animated roto shape: one Bezier spline per frame, open or closed.

    ``corners`` are the indices of points that stay sharp; ``keys`` the frames an artist
    would see as keys.
    """

    closed: bool
    frames: Mapping[int, ShapeFrame]
    corners: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    def stack(self, frames: Sequence[int]) -> FloatArray:
        """Control points of these frames as one (F, N, 6) array.

        Raises:
            KeyError: a frame is missing. ValueError: point counts differ.
        """
        return np.stack([self.frames[frame].points for frame in frames])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameNote:
    """What a reviewer should know of a frame: why to look at it, which frame it repeats."""

    flagged: bool = False
    reasons: tuple[str, ...] = ()
    hold_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roto:
    """Everything known of one character in one shot."""

    shot: str
    character: str
    version: str
    plate: PlateInfo
    tracks: Mapping[str, Mapping[int, TrackFrame]]
    shapes: Mapping[str, Shape]
    frames: Mapping[int, FrameNote]
    provenance: Mapping[str, Any] = field(default_factory=dict)
