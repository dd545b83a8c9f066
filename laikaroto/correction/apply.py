"""Corrections onto what a model drew: a roto in, the roto of the next version out.

What an artist drew comes out to the last digit, holds follow exactly, other frames as far as
``carry`` says, and what is locked is as it was when it was locked. The drawings of the model
are always the start, never those of the last version: so a new model keeps every correction,
and the same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.config import ReviewConfig
from laikaroto.coords import FloatArray
from laikaroto.correction.carry import Carried, carry
from laikaroto.correction.head import HeadMotion, head_motion
from laikaroto.correction.likeness import UNKNOWN, Likeness
from laikaroto.correction.log import Log
from laikaroto.correction.records import ShapeEntry, TrackEntry
from laikaroto.correction.standing import Standing, stand
from laikaroto.correction.visibility import carry_visibility
from laikaroto.errors import CorrectionError
from laikaroto.shapes.records import FrameNote, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.tracking.flags import error_limit, reasons_to_look, wanted_confidence
from laikaroto.tracking.solve import confidence_of

#: Below this share of the error explained, a drawing is left as the model made it.
_LEAST_TOLD = 0.02
#: Expected error of a drawing that repeats an artist's in a hold, of its own.
_HELD = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shot:
    """What the parts of this page share."""

    raw: Roto
    standing: Standing
    motion: HeadMotion
    likeness: Likeness
    limit_px: float


def correct(raw: Roto, log: Log, review: ReviewConfig, likeness: Likeness = UNKNOWN) -> Roto:
    """Apply what holds of a corrections file.

    Args:
        raw: as the model drew it, before any correction.
        log: of the shot.
        review: when a frame is to be looked at.
        likeness: what the model saw of each frame.

    Returns:
        The corrected roto; ``raw`` itself where nothing holds.

    Raises:
        CorrectionError: a correction is of a shape the model does not have, or of another
            number of points.
    """
    standing = stand(log.records)
    if standing.empty:
        return raw
    _check(raw, standing)
    shot = _Shot(
        raw=raw,
        standing=standing,
        motion=head_motion(raw),
        likeness=likeness,
        limit_px=error_limit(review, raw.plate.width),
    )
    shapes = {name: _shape(shot, name) for name in raw.shapes}
    tracks = {name: _track(shot, name) for name in raw.tracks}
    return replace(
        raw,
        shapes=shapes,
        tracks=tracks,
        frames=_notes(shot, shapes, review),
        provenance={**raw.provenance, **provenance(log, standing)},
    )


def provenance(log: Log, standing: Standing) -> dict[str, Any]:
    """What a version says of the corrections in it: those in effect, and the file as it was."""
    return {
        "corrections": list(standing.active),
        "corrections_file": {"records": len(log.records), "sha256": log.digest},
    }


def seen_records(roto: Roto) -> int:
    """How many records there were when a version was made: those its artist could see."""
    file = roto.provenance.get("corrections_file", {})
    return int(file.get("records", 0)) if isinstance(file, dict) else 0


def _check(raw: Roto, standing: Standing) -> None:
    faults: list[str] = []
    for (name, frame), held in standing.shapes.items():
        faults += _misfit(raw, name, frame, held.entry, held.records[-1])
    for (name, frame), (number, entry) in standing.locked_shapes.items():
        faults += _misfit(raw, name, frame, entry, number)
    for name, frame in (*standing.tracks, *standing.locked_tracks):
        if name not in raw.tracks:
            faults.append(f"tracking point {name!r} of frame {frame}: the model does not have it")
    if faults:
        raise CorrectionError(
            "\n".join(f"shot {raw.shot}: {fault}" for fault in sorted(set(faults)))
            + "\ntake those corrections back with 'laikaroto correct … --revert N', or use a "
            "model of the template they were made for"
        )


def _misfit(
    raw: Roto, name: str, frame: int, entry: ShapeEntry | TrackEntry, number: int
) -> Iterable[str]:
    if name not in raw.shapes:
        yield f"record {number}: the model has no shape {name!r}"
        return
    drawn = raw.shapes[name].frames.get(frame)
    points = entry.points if isinstance(entry, ShapeEntry) else None
    if drawn is not None and points is not None and len(points) != len(drawn.points):
        yield (
            f"record {number}: shape {name!r} on frame {frame} has {len(points)} points, the "
            f"model draws {len(drawn.points)}"
        )


# ---- shapes --------------------------------------------------------------------------------


def _shape(shot: _Shot, name: str) -> Shape:
    raw = shot.raw.shapes[name]
    said: dict[int, ShapeEntry] = {
        frame: held.entry
        for (part, frame), held in shot.standing.shapes.items()
        if part == name and frame in raw.frames and isinstance(held.entry, ShapeEntry)
    }
    locked = {
        frame: entry
        for (part, frame), (_, entry) in shot.standing.locked_shapes.items()
        if part == name and frame in raw.frames
    }
    frames = dict(raw.frames)
    drawn = {f: np.array(e.points) for f, e in said.items() if e.points is not None}
    if drawn:
        frames = _carried_shape(shot, name, frames, drawn)
    frames = _shown(shot, frames, said)
    frames |= {frame: _locked(entry) for frame, entry in locked.items()}
    if not said and not locked:
        return raw
    return replace(raw, frames=frames, keys=_keys(frames))


def _carried_shape(
    shot: _Shot, name: str, frames: Mapping[int, ShapeFrame], drawn: Mapping[int, FloatArray]
) -> dict[int, ShapeFrame]:
    carried = _carry(shot, name, drawn)
    usual = float(shot.motion.error_px[shot.motion.parts[name]].mean())
    found = dict(frames)
    for frame, entry in frames.items():
        pose = shot.motion.pose_of.get(frame)
        if frame in drawn:
            found[frame] = _sure(entry, drawn[frame])
        elif pose is None:
            continue
        elif (nearest := _nearest(shot.motion.poses[pose], frame, drawn)) is not None:
            found[frame] = _guess(entry, drawn[nearest], _HELD * usual, shot.limit_px)
        elif (told := float(carried.told[pose])) >= _LEAST_TOLD:
            before = entry.expected_error_px if entry.expected_error_px is not None else usual
            left = np.sqrt(1.0 - told) * float(carried.surprise[pose])
            error = max(before * left, _HELD * usual)
            points = np.round(entry.points + carried.offset[pose], 3)
            found[frame] = _guess(entry, points, error, shot.limit_px)
    return found


def _carry(shot: _Shot, name: str, said: Mapping[int, FloatArray]) -> Carried:
    """Where a part's corrections go."""
    corrected: dict[int, FloatArray] = {}
    for frame in sorted(said):
        pose = shot.motion.pose_of.get(frame)
        if pose is not None:
            corrected.setdefault(pose, said[frame])
    return carry(shot.motion, name, corrected, shot.likeness)


def _nearest(hold: Sequence[int], frame: int, drawn: Mapping[int, FloatArray]) -> int | None:
    """The frame of the same hold that an artist drew, nearest in time; the earlier of two."""
    there = [other for other in hold if other in drawn]
    return min(there, key=lambda other: (abs(other - frame), other), default=None)


def _sure(entry: ShapeFrame, points: FloatArray) -> ShapeFrame:
    return replace(entry, points=points, source="artist", confidence=1.0, expected_error_px=0.0)


def _guess(entry: ShapeFrame, points: FloatArray, error_px: float, limit_px: float) -> ShapeFrame:
    return replace(
        entry,
        points=points,
        source="propagated",
        confidence=confidence_of(error_px, limit_px),
        expected_error_px=error_px,
    )


def _shown(
    shot: _Shot, frames: dict[int, ShapeFrame], said: Mapping[int, ShapeEntry]
) -> dict[int, ShapeFrame]:
    """Frames with their visibility as artists have it, and where that goes."""
    holds = [list(hold) for hold in shot.motion.poses]
    shapes = {f: e.visible for f, e in said.items() if e.visible is not None}
    raw = {frame: entry.visible for frame, entry in frames.items()}
    for frame, visible in carry_visibility(raw, shapes, holds).items():
        frames[frame] = _with_visible(frames[frame], visible, told=frame in shapes)
    points = {f: e.point_visible for f, e in said.items() if e.point_visible is not None}
    for hold in holds:
        for frame in hold:
            source = min(
                (f for f in hold if f in points), key=lambda f: (abs(f - frame), f), default=None
            )
            if source is None or frame not in frames:
                continue
            seen = points[source]
            if seen is not None and len(seen) == len(frames[frame].point_visible):
                frames[frame] = replace(frames[frame], point_visible=np.array(seen, dtype=np.bool_))
    return frames


def _with_visible(entry: ShapeFrame, visible: bool, *, told: bool) -> ShapeFrame:
    seen: NDArray[np.bool_] = entry.point_visible
    if not visible:
        seen = np.zeros_like(seen)
    elif not seen.any():
        seen = np.ones_like(seen)
    source = entry.source
    if source == "predicted":
        source = "artist" if told else "propagated"
    return replace(entry, visible=visible, point_visible=seen, source=source)


def _locked(entry: ShapeEntry) -> ShapeFrame:
    assert entry.points is not None and entry.point_visible is not None
    return ShapeFrame(
        points=np.array(entry.points),
        point_visible=np.array(entry.point_visible, dtype=np.bool_),
        visible=bool(entry.visible),
        confidence=entry.confidence,
        expected_error_px=entry.expected_error_px,
        source=entry.source or "artist",
    )


def _keys(frames: Mapping[int, ShapeFrame]) -> tuple[int, ...]:
    """First and last frame of every stretch on which nothing changes."""
    order = sorted(frames)
    edge = [True]
    for before, after in zip(order, order[1:], strict=False):
        one, other = frames[before], frames[after]
        edge.append(
            one.visible != other.visible
            or one.points.shape != other.points.shape
            or not np.array_equal(one.points, other.points)
        )
    edge.append(True)
    return tuple(frame for i, frame in enumerate(order) if edge[i] or edge[i + 1])


# ---- tracking points -----------------------------------------------------------------------


def _track(shot: _Shot, name: str) -> Mapping[int, TrackFrame]:
    raw = shot.raw.tracks[name]
    said: dict[int, TrackEntry] = {
        frame: held.entry
        for (part, frame), held in shot.standing.tracks.items()
        if part == name and frame in raw and isinstance(held.entry, TrackEntry)
    }
    found = dict(raw)
    drawn = {
        f: np.array([[*e.xy, 0.0, 0.0, 0.0, 0.0]]) for f, e in said.items() if e.xy is not None
    }
    if drawn:
        carried = _carry(shot, name, drawn)
        for frame, point in raw.items():
            pose = shot.motion.pose_of.get(frame)
            if frame in drawn:
                xy, confidence = drawn[frame][0, :2], 1.0
            elif pose is None:
                continue
            elif (nearest := _nearest(shot.motion.poses[pose], frame, drawn)) is not None:
                xy, confidence = drawn[nearest][0, :2], point.confidence or 0.0
            elif carried.told[pose] >= _LEAST_TOLD:
                xy = np.add(point.xy, carried.offset[pose, 0, :2])
                confidence = point.confidence or 0.0
            else:
                continue
            found[frame] = replace(point, xy=(float(xy[0]), float(xy[1])), confidence=confidence)
    shown = {f: e.visible for f, e in said.items() if e.visible is not None}
    holds = [list(hold) for hold in shot.motion.poses]
    before = {frame: point.visible for frame, point in raw.items()}
    for frame, visible in carry_visibility(before, shown, holds).items():
        found[frame] = replace(found[frame], visible=visible)
    for (part, frame), (_, entry) in shot.standing.locked_tracks.items():
        if part == name and frame in raw and entry.xy is not None:
            found[frame] = TrackFrame(
                xy=(entry.xy[0], entry.xy[1]),
                visible=bool(entry.visible),
                confidence=entry.confidence,
            )
    return found


# ---- what to look at -----------------------------------------------------------------------


def _notes(shot: _Shot, shapes: Mapping[str, Shape], review: ReviewConfig) -> dict[int, FrameNote]:
    """Flags reconsidered: what an artist drew or approved needs no look, the rest by its error."""
    raw, standing = shot.raw, shot.standing
    decided = {
        (name, frame)
        for (name, frame), held in standing.shapes.items()
        if isinstance(held.entry, ShapeEntry)
    }
    notes = {}
    for frame, note in raw.frames.items():
        if frame in standing.approved_frames:
            notes[frame] = replace(note, flagged=False, reasons=())
            continue
        there = {name: s.frames[frame] for name, s in shapes.items() if frame in s.frames}
        open_ones = {name: e for name, e in there.items() if (name, frame) not in decided}
        reasons = list(
            reasons_to_look(
                open_ones,
                limit_px=shot.limit_px,
                min_confidence=wanted_confidence(review, raw.provenance),
                doubtful=[
                    name
                    for name in open_ones
                    if any(r.startswith(f"{name}: hidden") for r in note.reasons)
                ],
                jump_px=0.0,
            )
        )
        if open_ones:  # what is said of the frame as a whole stays until all of it was looked at
            whole = [r for r in note.reasons if not any(r.startswith(f"{n}: ") for n in there)]
            reasons = [*whole, *reasons]
        notes[frame] = replace(note, flagged=bool(reasons), reasons=tuple(reasons))
    return notes
