"""What an artist changed: their file against the version it came from.

Only what differs by more than the rounding of a file format is an edit. A file with few keys
is compared as it stood when it was exported: on its keys with the version, and between them
not at all, because there the tool drew, not the artist. What cannot be told apart from a slip
is a doubt, and it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.correction.incoming import Incoming, IncomingShape
from laikaroto.correction.records import ShapeEntry, TrackEntry, rounded
from laikaroto.frames import format_frames
from laikaroto.shapes.bezier import distance_to_polyline, sample
from laikaroto.shapes.records import Roto, Shape, ShapeFrame

#: What formats round to, plate px: nobody moves a point by less.
ROUNDING_PX = 0.01
#: How far a line between two keys may be from the version and still be the export's doing: the
#: default tolerance of reduced keys.
BETWEEN_KEYS_PX = 0.25

#: Carries a contour (N, 6) with another number of points onto a shape of the version:
#: (name, contour, closed, drawing of the version) to control points (M, 6).
Carry = Callable[[str, FloatArray, bool, ShapeFrame], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What differs.

    Attributes:
        shapes, tracks: what the artist says, by name and frame; only fields that changed.
        moved_px: largest move of a point of each shape and frame, for people; infinite where
            it was redrawn with other points.
        between: frames between keys on which the file is far from the version although both
            keys are not changed: a key was removed, or the export was coarser than thought.
        unsaid: frames the version has and the file says nothing of.
    """

    shapes: Mapping[str, Mapping[int, ShapeEntry]]
    tracks: Mapping[str, Mapping[int, TrackEntry]]
    moved_px: Mapping[tuple[str, int], float]
    between: Mapping[str, tuple[int, ...]]
    unsaid: Mapping[str, tuple[int, ...]]

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames with a change, ascending."""
        parts = [*self.shapes.values(), *self.tracks.values()]
        return tuple(sorted({frame for entries in parts for frame in entries}))

    @property
    def count(self) -> int:
        """Number of drawings (a shape or tracking point on a frame) that changed."""
        return sum(map(len, self.shapes.values())) + sum(map(len, self.tracks.values()))


def find_changes(
    incoming: Incoming,
    base: Roto,
    *,
    carry: Carry,
    tolerance_px: float = ROUNDING_PX,
    between_px: float = BETWEEN_KEYS_PX,
    every_frame: bool = False,
) -> Changes:
    """Compare a file, brought into place by ``incoming.fit``, with a version.

    Args:
        incoming: the artist's file.
        base: the version it was exported from.
        carry: for shapes with another number of points.
        tolerance_px: differences up to this are rounding.
        between_px: see ``BETWEEN_KEYS_PX``.
        every_frame: frames between keys are the artist's as well.
    """
    shapes: dict[str, dict[int, ShapeEntry]] = {}
    moved: dict[tuple[str, int], float] = {}
    between: dict[str, tuple[int, ...]] = {}
    unsaid: dict[str, tuple[int, ...]] = {}
    for name, shape in incoming.shapes.items():
        compared = _ShapeComparison(name, shape, base.shapes[name], tolerance_px)
        keys = sorted(shape.frames) if every_frame else [k for k in shape.keys if k in shape.frames]
        entries: dict[int, ShapeEntry] = {}
        for frame in sorted({*keys, *shape.visible}):
            theirs = base.shapes[name].frames.get(frame)
            if theirs is None:
                continue
            entry, away = compared.entry(frame, theirs, carry, key=frame in keys)
            if entry is not None:
                entries[frame] = entry
                moved[name, frame] = away
        if entries:
            shapes[name] = entries
        if not every_frame and (far := compared.far_between(keys, entries, between_px)):
            between[name] = far
        if left := sorted(set(base.shapes[name].frames) - set(shape.frames) - set(shape.visible)):
            unsaid[name] = tuple(left)
    tracks = _track_changes(incoming, base, tolerance_px, moved)
    return Changes(shapes=shapes, tracks=tracks, moved_px=moved, between=between, unsaid=unsaid)


@dataclass(frozen=True, slots=True)
class _ShapeComparison:
    name: str
    file: IncomingShape
    base: Shape
    tolerance_px: float

    def entry(
        self, frame: int, theirs: ShapeFrame, carry: Carry, *, key: bool
    ) -> tuple[ShapeEntry | None, float]:
        """What changed on a frame, and how far the points moved at most."""
        points: FloatArray | None = None
        away = 0.0
        if key:
            points = self.file.frames[frame]
            if len(points) != len(theirs.points):
                points, away = carry(self.name, points, self.base.closed, theirs), np.inf
            elif self._same(points, theirs.points) or self._same(points, self._expected(frame)):
                points = None
            else:
                away = float(np.abs(points - theirs.points).max())
        visible = self.file.visible.get(frame)
        visible = None if visible == theirs.visible else visible
        seen = self.file.point_visible.get(frame)
        if seen is not None and len(seen) == len(theirs.points):
            seen = None if (seen == theirs.point_visible).all() else seen
        elif visible and not theirs.point_visible.any():
            seen = np.ones(len(theirs.points), dtype=np.bool_)  # shown again: all of it
        else:
            seen = None
        if points is None and visible is None and seen is None:
            return None, 0.0
        return (
            ShapeEntry(
                points=None if points is None else _rows(points),
                visible=visible,
                point_visible=None if seen is None else seen.tolist(),
            ),
            away,
        )

    def far_between(
        self, keys: Sequence[int], edited: Mapping[int, ShapeEntry], between_px: float
    ) -> tuple[int, ...]:
        """Frames between two unchanged keys on which the file is far from the version."""
        far = []
        for frame in sorted(set(self.file.frames) - set(keys)):
            around = _around(frame, keys)
            theirs = self.base.frames.get(frame)
            if around is None or theirs is None or any(key in edited for key in around):
                continue
            line = sample(theirs.points, closed=self.base.closed, per_segment=8)
            drawn = sample(self.file.frames[frame], closed=self.base.closed, per_segment=8)
            line = np.concatenate([line, line[:1]]) if self.base.closed else line
            if distance_to_polyline(drawn, line).max() > between_px + self.tolerance_px:
                far.append(frame)
        return tuple(far)

    def _same(self, one: FloatArray, other: FloatArray | None) -> bool:
        if other is None or one.shape != other.shape:
            return False
        return bool(np.abs(one - other).max() <= self.tolerance_px)

    def _expected(self, frame: int) -> FloatArray | None:
        """What the export held on a key that it did not have: a key added without a change."""
        around = _around(frame, [key for key in self.file.keys if key != frame])
        if around is None or any(key not in self.base.frames for key in around):
            return None
        before, after = (self.base.frames[key].points for key in around)
        if before.shape != after.shape:
            return None
        share = (frame - around[0]) / (around[1] - around[0])
        return np.asarray(before + share * (after - before))


def _around(frame: int, keys: Sequence[int]) -> tuple[int, int] | None:
    """The keys before and after a frame."""
    before = [key for key in keys if key < frame]
    after = [key for key in keys if key > frame]
    return (max(before), min(after)) if before and after else None


def _rows(points: FloatArray) -> list[list[float]]:
    return [[rounded(value) for value in point] for point in points.tolist()]


def _track_changes(
    incoming: Incoming, base: Roto, tolerance_px: float, moved: dict[tuple[str, int], float]
) -> dict[str, dict[int, TrackEntry]]:
    found: dict[str, dict[int, TrackEntry]] = {}
    for name, track in incoming.tracks.items():
        for frame, point in track.items():
            theirs = base.tracks[name].get(frame)
            if theirs is None:
                continue
            away = float(np.abs(np.subtract(point.xy, theirs.xy)).max())
            xy = [rounded(point.xy[0]), rounded(point.xy[1])] if away > tolerance_px else None
            visible = point.visible if point.visible != theirs.visible else None
            if xy is not None or visible is not None:
                found.setdefault(name, {})[frame] = TrackEntry(xy=xy, visible=visible)
                moved[name, frame] = away if xy is not None else 0.0
    return found


def doubts(changes: Changes) -> list[str]:
    """What a person has to decide: sentences."""
    return [
        f"{name}: between its keys, on {format_frames(frames)}, the file is more than expected "
        "from the version although the keys around are as in it: was a key removed, or were keys "
        "reduced with a larger tolerance?"
        for name, frames in changes.between.items()
    ]
