"""An artist's file, all the way into the corrections file of its shot.

Read it, find the version it came from, bring it into place, find what changed, and record it.
Whatever is not certain stops here with what to say about it; nothing is guessed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.correction.apply import seen_records
from laikaroto.correction.changes import ROUNDING_PX, Changes, doubts, find_changes
from laikaroto.correction.incoming import (
    Fitting,
    Incoming,
    fit,
    match_version,
    read_incoming,
)
from laikaroto.correction.log import read_log
from laikaroto.correction.records import Record
from laikaroto.correction.standing import stand
from laikaroto.correction.submit import (
    Keep,
    Meeting,
    Origin,
    describe_conflicts,
    meet,
    record_changes,
    refuse_locked,
)
from laikaroto.errors import CorrectionError, TruthError, UsageError
from laikaroto.shapes.records import Roto, ShapeFrame
from laikaroto.show import Show
from laikaroto.sidecar.publish import versions
from laikaroto.sidecar.schema import parse_roto, read_roto

#: Versions that a file which does not say its own is compared with, newest first.
_CANDIDATES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the call says besides the file.

    Attributes:
        version: the file was made from; None: as the file says, or by comparing.
        format_name: of the registry; None: by the file's name and content.
        pixel_centres, node: as in ``ReadOptions``.
        keep: whose drawing holds in a conflict.
        every_frame: frames between keys are the artist's too.
        keys_only: frames between keys are the tool's, however far from the version.
    """

    who: str
    note: str = ""
    version: str | None = None
    format_name: str | None = None
    pixel_centres: bool = False
    node: str | None = None
    fitting: Fitting = Fitting()
    keep: Keep | None = None
    every_frame: bool = False
    keys_only: bool = False
    tolerance_px: float = ROUNDING_PX
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """What came of a file.

    Attributes:
        how: how its version is known.
        record: as written; None on a dry run, and where nothing was new.
        notes: what a person should know.
    """

    version: str
    how: str
    changes: Changes
    meeting: Meeting
    record: Record | None
    notes: tuple[str, ...]


def take_file(show: Show, *, shot: str, character: str, file: Path, call: Call) -> Taken:
    """Take an artist's edited file.

    Raises:
        UsageError: nothing is published yet, or the call cannot be.
        SidecarError: the file is not usable.
        CorrectionError: it does not fit, its version is uncertain, a drawing is locked, or
            another artist has changed it as well; all that is wrong is told, nothing holds.
        TryAgainError: the disk refuses.
    """
    parent = show.sidecar_folder(shot, character, "v001").parent
    known = versions(parent)
    if not known:
        raise UsageError(
            f"shot {shot!r}, character {character!r}: nothing is published in {parent}; run "
            f"'laikaroto infer {shot} --character {character}' first"
        )
    fitting = replace(call.fitting, table=show.character(character).names)
    newest = read_roto(parent / known[-1] / "roto.json")
    incoming = read_incoming(
        file, newest, format_name=call.format_name, pixel_centres=call.pixel_centres,
        node=call.node,
    )  # fmt: skip
    told = _told_version(known, incoming, call, shot=shot, character=character)
    if told is None:
        placed = fit(incoming, newest, fitting)
        version, how = _compared_version(parent, known, placed, call)
    else:
        version, how = told
    data = (parent / version / "roto.json").read_bytes()
    base = parse_roto(data, origin=str(parent / version / "roto.json"))
    incoming = fit(incoming, base, fitting)
    changes = find_changes(
        incoming,
        base,
        carry=carry_contour,
        tolerance_px=call.tolerance_px,
        every_frame=call.every_frame,
    )
    if (unsure := doubts(changes)) and not call.keys_only:
        raise CorrectionError(
            "\n".join(f"{file.name}: {line}" for line in unsure)
            + "\nnothing was recorded; say --every-frame if these frames are meant as they are "
            "drawn, or --keys-only if only the keys are"
        )
    origin = Origin(
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        seen=seen_records(base),
        file=incoming.reference,
        who=call.who,
        note=call.note,
    )
    record, meeting = _record(show.corrections_file(shot, character), changes, origin, call)
    return Taken(
        version=version,
        how=how,
        changes=changes,
        meeting=meeting,
        record=record,
        notes=(*incoming.notes, *_notes(changes, meeting, known[-1], version, incoming)),
    )


def carry_contour(name: str, contour: FloatArray, closed: bool, like: ShapeFrame) -> FloatArray:
    """A contour with another number of points, on the points of the version's drawing.

    Raises:
        CorrectionError: no spline with the version's points follows it.
    """
    from laikaroto.character.following import carry_contour as carry

    try:
        return carry(contour, like.points, closed=closed)
    except TruthError as error:
        raise CorrectionError(
            f"shape {name!r}: {error}, or leave the shape out with --ignore {name}"
        ) from error


def _record(
    path: Path, changes: Changes, origin: Origin, call: Call
) -> tuple[Record | None, Meeting]:
    if not call.dry_run:
        return record_changes(path, changes, origin, keep=call.keep, tolerance_px=call.tolerance_px)
    log = read_log(path)
    meeting = meet(
        changes, stand(log.records), origin, keep=call.keep, tolerance_px=call.tolerance_px
    )
    refuse_locked(meeting, log)
    if meeting.conflicts and call.keep is None:
        raise CorrectionError(describe_conflicts(meeting, log, origin, recorded=False))
    return None, meeting


def _told_version(
    known: list[str], incoming: Incoming, call: Call, *, shot: str, character: str
) -> tuple[str, str] | None:
    """The version that the call or the file names, and which of them; None: neither does."""
    name = incoming.reference.name
    if incoming.said is not None and incoming.said[:2] != (shot, character):
        raise CorrectionError(
            f"{name}: is of shot {incoming.said[0]!r}, character {incoming.said[1]!r}; wanted "
            f"{shot!r}, {character!r}"
        )
    if call.version is not None:
        if call.version not in known:
            raise UsageError(
                f"version {call.version} is not published; there are {', '.join(known)}"
            )
        return call.version, "--from-version"
    if incoming.said is None:
        return None
    if incoming.said[2] in known:
        return incoming.said[2], "the file says so"
    raise CorrectionError(
        f"{name}: says it is version {incoming.said[2]!r}, which is not published; there are "
        f"{', '.join(known)}: name the one it was made from with --from-version"
    )


def _compared_version(
    parent: Path, known: list[str], incoming: Incoming, call: Call
) -> tuple[str, str]:
    """The version whose drawings a file shares, and how many."""
    if len(known) == 1:
        return known[0], "the only one there is"
    rotos = [read_roto(parent / v / "roto.json") for v in known[-_CANDIDATES:]]
    found = match_version(incoming, rotos, tolerance_px=call.tolerance_px)
    order = sorted(found, key=lambda v: found[v][0], reverse=True)
    best, second = found[order[0]], found[order[1]]
    tied = [roto for roto in rotos if found[roto.version] == best]
    if best[0] and len(tied) > 1 and all(_draw_the_same(tied[0], roto) for roto in tied[1:]):
        # The oldest: whatever was recorded since, its artist may not have seen.
        names = ", ".join(roto.version for roto in tied)
        return tied[0].version, (
            f"{best[0]} of {best[1]} drawings are as in {names}, which all draw the same"
        )
    if best[0] == 0 or best[0] == second[0]:
        counted = ", ".join(f"{v} {found[v][0]}" for v in order[:3])
        raise CorrectionError(
            f"{incoming.reference.name}: does not say which version it was made from, and its "
            f"drawings do not tell ({counted} of {best[1]} alike); say --from-version"
        )
    return order[0], (f"{best[0]} of {best[1]} drawings are as in it, {second[0]} as in {order[1]}")


def _draw_the_same(one: Roto, other: Roto) -> bool:
    """Whether two versions look the same to whoever opens them."""
    if one.shapes.keys() != other.shapes.keys() or one.tracks.keys() != other.tracks.keys():
        return False
    for name, shape in one.shapes.items():
        theirs = other.shapes[name].frames
        if shape.frames.keys() != theirs.keys():
            return False
        for frame, entry in shape.frames.items():
            if entry.visible != theirs[frame].visible:
                return False
            if not np.array_equal(entry.points, theirs[frame].points):
                return False
    return all(
        {f: (p.xy, p.visible) for f, p in track.items()}
        == {f: (p.xy, p.visible) for f, p in other.tracks[name].items()}
        for name, track in one.tracks.items()
    )


def _notes(
    changes: Changes, meeting: Meeting, newest: str, version: str, incoming: Incoming
) -> list[str]:
    notes = []
    if version != newest:
        notes.append(
            f"made from {version}; {newest} is newer: what changed since is kept, these changes "
            "are added"
        )
    if meeting.repeated:
        notes.append(f"{meeting.repeated} drawings are recorded already")
    if meeting.own:
        numbers = ", ".join(map(str, meeting.own))
        notes.append(f"replaces drawings of your own earlier record {numbers}")
    inbetween = sorted(
        {f for shape in incoming.shapes.values() for f in set(shape.frames) - set(shape.keys)}
    )
    if inbetween and changes.count:
        notes.append(
            "only keyed frames are taken as drawn; frames between keys follow by propagation"
        )
    return notes
