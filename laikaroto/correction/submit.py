"""An artist's changes into the corrections file: what they meet there, decided under its lock.

An edit of something that another artist has changed since the file's version is a conflict:
it is recorded, and neither wins silently. Everything else of an old file is merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from laikaroto.correction.changes import Changes
from laikaroto.correction.log import Log, append, read_log
from laikaroto.correction.records import (
    Conflict,
    FileReference,
    Record,
    ShapeEntry,
    TrackEntry,
    by_frame,
)
from laikaroto.correction.standing import Held, Place, Standing, stand
from laikaroto.errors import CorrectionError
from laikaroto.frames import format_frames

Keep = Literal["mine", "theirs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where changes come from.

    Attributes:
        seen: records that were in the version; later ones its artist could not know.
    """

    version: str
    sha256: str
    seen: int
    file: FileReference
    who: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Changes set against what holds.

    Attributes:
        shapes, tracks: what is new and shall be recorded.
        repeated: drawings that say what is recorded already.
        own: records of the same artist that are superseded without having been in the version.
        conflicts: with records of others.
        locked: drawings that are locked, and the locks.
    """

    shapes: Mapping[str, Mapping[int, ShapeEntry]]
    tracks: Mapping[str, Mapping[int, TrackEntry]]
    repeated: int = 0
    own: tuple[int, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    locked: tuple[tuple[str, int, int], ...] = ()

    @property
    def count(self) -> int:
        """Drawings that shall be recorded."""
        return sum(map(len, self.shapes.values())) + sum(map(len, self.tracks.values()))


@dataclass(slots=True)
class _Sorting:
    """Gathers a Meeting, drawing by drawing."""

    origin: Origin
    keep: Keep | None
    tolerance_px: float
    repeated: int = 0
    own: set[int] = field(default_factory=set)
    conflicts: list[Conflict] = field(default_factory=list)
    locked: list[tuple[str, int, int]] = field(default_factory=list)

    def take(
        self,
        place: Place,
        entry: ShapeEntry | TrackEntry,
        held: Held | None,
        lock: tuple[int, ShapeEntry] | tuple[int, TrackEntry] | None,
    ) -> bool:
        """Whether the drawing shall be recorded."""
        if held is not None and _says_the_same(entry, held.entry, self.tolerance_px):
            self.repeated += 1
            return False
        if lock is not None:
            self.locked.append((*place, lock[0]))
            return False
        unseen = [n for n in held.records if n > self.origin.seen] if held is not None else []
        if held is None or not unseen or not _same_fields(entry, held.entry):
            return True
        if held.who == self.origin.who:
            self.own |= set(unseen)
            return True
        self.conflicts.append(
            Conflict(what=place[0], frame=place[1], record=unseen[-1], kept=self.keep or "none")
        )
        return self.keep != "theirs"


def meet(
    changes: Changes,
    standing: Standing,
    origin: Origin,
    *,
    keep: Keep | None = None,
    tolerance_px: float,
) -> Meeting:
    """Set changes against what holds.

    Args:
        changes: of the artist's file.
        standing: what holds now.
        origin: where the changes come from.
        keep: whose drawing holds in a conflict; None: undecided.
        tolerance_px: drawings that differ by less say the same.
    """
    sorting = _Sorting(origin, keep, tolerance_px)
    shapes: dict[str, dict[int, ShapeEntry]] = {}
    tracks: dict[str, dict[int, TrackEntry]] = {}
    for name, entries in changes.shapes.items():
        for frame, entry in entries.items():
            place = (name, frame)
            if sorting.take(
                place, entry, standing.shapes.get(place), standing.locked_shapes.get(place)
            ):
                shapes.setdefault(name, {})[frame] = entry
    for name, points in changes.tracks.items():
        for frame, point in points.items():
            place = (name, frame)
            if sorting.take(
                place, point, standing.tracks.get(place), standing.locked_tracks.get(place)
            ):
                tracks.setdefault(name, {})[frame] = point
    return Meeting(
        shapes=shapes,
        tracks=tracks,
        repeated=sorting.repeated,
        own=tuple(sorted(sorting.own)),
        conflicts=tuple(sorting.conflicts),
        locked=tuple(sorting.locked),
    )


def record_changes(
    path: Path, changes: Changes, origin: Origin, *, keep: Keep | None, tolerance_px: float
) -> tuple[Record | None, Meeting]:
    """Record an artist's changes; a conflict that is undecided is recorded as such and refused.

    Returns:
        The record, or None where all of it is recorded already; and what it met.

    Raises:
        CorrectionError: a lock or an undecided conflict; nothing of the file holds then.
        TryAgainError: the disk refuses.
    """
    met: list[Meeting] = []

    def make(log: Log) -> dict[str, Any] | None:
        meeting = meet(changes, stand(log.records), origin, keep=keep, tolerance_px=tolerance_px)
        met.append(meeting)
        refuse_locked(meeting, log)
        if meeting.conflicts and keep is None:
            return _fields(origin, "conflict") | {"conflicts": list(meeting.conflicts)}
        if not meeting.count:
            return None
        return _fields(origin, "edit") | {
            "shapes": {name: by_frame(entries) for name, entries in meeting.shapes.items()},
            "tracks": {
                name: {str(f): entries[f] for f in sorted(entries)}
                for name, entries in meeting.tracks.items()
            },
            "conflicts": list(meeting.conflicts),
        }

    record = append(path, make, who=origin.who)
    if record is not None and record.kind == "conflict":
        raise CorrectionError(describe_conflicts(met[-1], read_log(path), origin))
    return record, met[-1]


def refuse_locked(meeting: Meeting, log: Log) -> None:
    """Raise CorrectionError if any of the drawings is locked."""
    if not meeting.locked:
        return
    lines = []
    for name in dict.fromkeys(name for name, _, _ in meeting.locked):
        frames = [f for n, f, _ in meeting.locked if n == name]
        number = next(r for n, _, r in meeting.locked if n == name)
        lock = log.records[number - 1]
        lines.append(
            f"{name}, frames {format_frames(frames)}: locked by {lock.who} at {lock.time} "
            f"(record {number})"
        )
    raise CorrectionError(
        "\n".join(lines) + "\nnothing was recorded; unlock them with --unlock, or hand in a file "
        "without these changes"
    )


def describe_conflicts(meeting: Meeting, log: Log, origin: Origin, *, recorded: bool = True) -> str:
    """What two artists disagree on, and what can be done."""
    lines = []
    for name in dict.fromkeys(conflict.what for conflict in meeting.conflicts):
        of_name = [c for c in meeting.conflicts if c.what == name]
        other = log.records[of_name[-1].record - 1]
        lines.append(
            f"{name}, frames {format_frames([c.frame for c in of_name])}: {other.who} changed it "
            f"at {other.time} (record {other.number}), after {origin.version}"
        )
    return (
        "\n".join(lines)
        + ("\nthe conflict is recorded, nothing else: " if recorded else "\n")
        + f"{origin.file.name} was made from "
        f"{origin.version}, which did not have these changes. Say --mine to let this file hold, "
        "--theirs to keep what is recorded and take the rest, or redo them on the newest version"
    )


def _fields(origin: Origin, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "note": origin.note,
        "version": origin.version,
        "version_sha256": origin.sha256,
        "file": origin.file,
    }


def _same_fields(entry: ShapeEntry | TrackEntry, held: ShapeEntry | TrackEntry) -> bool:
    ours, theirs = (set(e.model_dump(exclude_none=True)) for e in (entry, held))
    if {"visible", "point_visible"} & ours and {"visible", "point_visible"} & theirs:
        return True
    return bool(ours & theirs)


def _says_the_same(
    entry: ShapeEntry | TrackEntry, held: ShapeEntry | TrackEntry, tolerance_px: float
) -> bool:
    theirs = held.model_dump(exclude_none=True)
    for key, value in entry.model_dump(exclude_none=True).items():
        if key not in theirs:
            return False
        if key in ("points", "xy"):
            one, other = np.array(value), np.array(theirs[key])
            if one.shape != other.shape or np.abs(one - other).max() > tolerance_px:
                return False
        elif value != theirs[key]:
            return False
    return True
