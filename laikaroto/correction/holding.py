"""Locks, approvals and reverts: records that people make without drawing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from laikaroto.correction.log import Log, append
from laikaroto.correction.records import (
    Record,
    ShapeEntry,
    TrackEntry,
    by_frame,
    whole_shape,
    whole_track,
)
from laikaroto.correction.standing import reverted
from laikaroto.errors import UsageError
from laikaroto.frames import format_frames, parse_frames
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.schema import roto_bytes

#: Records that change what holds, and so can be taken back.
_REVERTIBLE = ("edit", "approve", "lock", "unlock", "revert")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a lock or an approval is about; no ``names``: all shapes and tracking points."""

    whole: bool
    frames: tuple[int, ...]
    names: tuple[str, ...]


def parse_scope(text: str, roto: Roto, *, names: Sequence[str] = ()) -> Scope:
    """Read ``all``, a frame range, or the name of a shape or tracking point.

    Args:
        text: as typed.
        roto: the version it is about.
        names: only these shapes and tracking points.

    Raises:
        UsageError: no such shape, frame or range.
    """
    known = {*roto.shapes, *roto.tracks}
    frames = tuple(sorted(roto.frames))
    if unknown := sorted(set(names) - known):
        raise UsageError(f"no shape or tracking point {', '.join(unknown)}; {_there(known)}")
    if text == "all":
        return Scope(whole=True, frames=frames, names=tuple(names))
    if text in known:
        return Scope(whole=True, frames=frames, names=tuple(dict.fromkeys((text, *names))))
    if not text[:1].isdigit():
        raise UsageError(f"{text!r} is no frame range and no shape; say 'all', or {_there(known)}")
    wanted = parse_frames(text)
    if beyond := sorted(set(wanted) - set(frames)):
        raise UsageError(
            f"frames {format_frames(beyond)} are not of this version; it has "
            f"{format_frames(frames)}"
        )
    return Scope(whole=False, frames=wanted, names=tuple(names))


def hold(
    path: Path, kind: Literal["lock", "unlock", "approve"], scope: Scope, roto: Roto, *,
    who: str, note: str = "",
) -> Record:  # fmt: skip
    """Record a lock, an unlock or an approval.

    A lock and an approval keep the drawings themselves, so that they hold whatever becomes of
    the version they were seen in.

    Args:
        path: the corrections file.
        kind: which of them.
        scope: what it is about.
        roto: the version it was seen in.
        who: whom to name.
        note: for people.

    Raises:
        CorrectionError: the file is damaged. TryAgainError: the disk refuses.
    """
    fields: dict[str, Any] = {
        "kind": kind,
        "note": note,
        "version": roto.version,
        "version_sha256": hashlib.sha256(roto_bytes(roto)).hexdigest(),
        "whole": scope.whole,
        "frames": list(scope.frames),
        "names": list(scope.names),
    }
    if kind != "unlock":
        shapes, tracks = _drawings(roto, scope)
        fields |= {"shapes": shapes, "tracks": tracks}
    record = append(path, lambda log: fields, who=who)
    assert record is not None
    return record


def revert(path: Path, number: int, *, who: str, note: str = "") -> Record:
    """Take a record back, by a record that says so.

    Raises:
        UsageError: there is no such record, it has no effect, or it was taken back before.
        CorrectionError: the file is damaged. TryAgainError: the disk refuses.
    """

    def make(log: Log) -> dict[str, Any]:
        if not 1 <= number <= len(log.records):
            raise UsageError(
                f"there is no record {number}; there are {len(log.records)}: see --list"
            )
        target = log.records[number - 1]
        if target.kind not in _REVERTIBLE:
            raise UsageError(f"record {number} is a {target.kind}: it changes nothing")
        if number in reverted(log.records):
            raise UsageError(f"record {number} was taken back before; see --list")
        return {"kind": "revert", "note": note, "target": number}

    record = append(path, make, who=who)
    assert record is not None
    return record


def describe(record: Record) -> str:
    """What a record did, in a few words."""
    if record.kind == "revert":
        return f"takes back {record.target}"
    if record.kind == "repair":
        return record.note
    if record.kind == "conflict":
        return f"refused: {_frames_of([c.what for c in record.conflicts], record)}"
    names = ", ".join((*record.shapes, *record.tracks))
    if record.kind == "edit":
        frames = {int(f) for entries in record.shapes.values() for f in entries}
        frames |= {int(f) for entries in record.tracks.values() for f in entries}
        return f"{names}: frames {format_frames(sorted(frames))}"
    what = ", ".join(record.names) or "everything"
    where = "the whole shot" if record.whole else f"frames {format_frames(record.frames)}"
    return f"{what} on {where}"


def _drawings(
    roto: Roto, scope: Scope
) -> tuple[dict[str, dict[str, ShapeEntry]], dict[str, dict[str, TrackEntry]]]:
    shapes = {
        name: by_frame({f: whole_shape(shape.frames[f]) for f in scope.frames if f in shape.frames})
        for name, shape in roto.shapes.items()
        if not scope.names or name in scope.names
    }
    tracks = {
        name: {str(f): whole_track(track[f]) for f in scope.frames if f in track}
        for name, track in roto.tracks.items()
        if not scope.names or name in scope.names
    }
    return (
        {name: entries for name, entries in shapes.items() if entries},
        {name: entries for name, entries in tracks.items() if entries},
    )


def _frames_of(names: Sequence[str], record: Record) -> str:
    return "; ".join(
        f"{name} on {format_frames([c.frame for c in record.conflicts if c.what == name])}"
        for name in dict.fromkeys(names)
    )


def _there(known: Collection[str]) -> str:
    return f"one of {', '.join(sorted(known))}"
