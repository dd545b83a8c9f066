"""What holds now: the records of a corrections file, boiled down.

Later records win over earlier ones, reverts take records back (a revert can be reverted as
well), and locks last until they are undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from laikaroto.correction.records import Record, ShapeEntry, TrackEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What artists say of one shape or tracking point on one frame.

    Attributes:
        entry: what was said; of several records each field from the newest that has it.
        records: numbers of the records it comes from, the newest last.
        who: who wrote the newest.
        approved: a whole drawing was approved, and nothing was edited since.
    """

    entry: ShapeEntry | TrackEntry
    records: tuple[int, ...]
    who: str
    approved: bool


#: (name of a shape or tracking point, frame)
Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Everything that holds.

    Attributes:
        shapes, tracks: what artists say, by place.
        locked_shapes, locked_tracks: what no job may touch, with the drawing it had when it
            was locked; the numbers are those of the locks.
        shot_lock: the record that locked the whole shot, or None.
        shot_approval: the record that approved the whole shot, or None.
        approved_frames: every drawing on them is right.
        active: numbers of the records that have an effect.
    """

    shapes: Mapping[Place, Held]
    tracks: Mapping[Place, Held]
    locked_shapes: Mapping[Place, tuple[int, ShapeEntry]]
    locked_tracks: Mapping[Place, tuple[int, TrackEntry]]
    shot_lock: Record | None
    shot_approval: Record | None
    approved_frames: frozenset[int]
    active: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether a new version would be as the model made it."""
        return not (self.shapes or self.tracks or self.locked_shapes or self.locked_tracks)

    def touched_frames(self) -> tuple[int, ...]:
        """Frames on which an artist changed or approved anything, ascending."""
        return tuple(sorted({frame for _, frame in (*self.shapes, *self.tracks)}))


def stand(records: Sequence[Record]) -> Standing:
    """Boil records down, oldest first."""
    gone = reverted(records)
    shapes: dict[Place, Held] = {}
    tracks: dict[Place, Held] = {}
    locked_shapes: dict[Place, tuple[int, ShapeEntry]] = {}
    locked_tracks: dict[Place, tuple[int, TrackEntry]] = {}
    shot_lock: Record | None = None
    shot_approval: Record | None = None
    approved: set[int] = set()
    for record in records:
        if record.number in gone:
            continue
        if record.kind in ("edit", "approve"):
            for place, shape in shape_places(record):
                shapes[place] = _held(shapes.get(place), shape, record)
            for place, track in track_places(record):
                tracks[place] = _held(tracks.get(place), track, record)
        if record.kind == "approve":
            if not record.names:
                approved |= set(record.frames)
                shot_approval = record if record.whole else shot_approval
        elif record.kind == "lock":
            locked_shapes |= {p: (record.number, e) for p, e in shape_places(record)}
            locked_tracks |= {p: (record.number, e) for p, e in track_places(record)}
            shot_lock = record if record.whole and not record.names else shot_lock
        elif record.kind == "unlock":
            for places in (locked_shapes, locked_tracks):
                for place in [p for p in places if _meant(record, p)]:
                    del places[place]
            # a shot of which a part is free again is no longer locked as a whole
            shot_lock = None
    return Standing(
        shapes=shapes,
        tracks=tracks,
        locked_shapes=locked_shapes,
        locked_tracks=locked_tracks,
        shot_lock=shot_lock,
        shot_approval=shot_approval,
        approved_frames=frozenset(approved),
        active=_active(shapes, tracks, locked_shapes, locked_tracks),
    )


def reverted(records: Sequence[Record]) -> frozenset[int]:
    """Numbers of records that were taken back, from the newest revert to the oldest."""
    gone: set[int] = set()
    for record in reversed(records):
        if record.kind == "revert" and record.number not in gone and record.target is not None:
            gone.add(record.target)
    return frozenset(gone)


def shape_places(record: Record) -> Iterator[tuple[Place, ShapeEntry]]:
    """Every shape and frame of a record."""
    for name, entries in record.shapes.items():
        for frame, entry in entries.items():
            yield (name, int(frame)), entry


def track_places(record: Record) -> Iterator[tuple[Place, TrackEntry]]:
    """Every tracking point and frame of a record."""
    for name, entries in record.tracks.items():
        for frame, entry in entries.items():
            yield (name, int(frame)), entry


def _held(before: Held | None, entry: ShapeEntry | TrackEntry, record: Record) -> Held:
    said = entry.model_dump(exclude_none=True)
    if before is None:
        return Held(
            entry=entry, records=(record.number,), who=record.who,
            approved=record.kind == "approve",
        )  # fmt: skip
    merged = before.entry.model_dump(exclude_none=True) | said
    complete = set(before.entry.model_dump(exclude_none=True)) <= set(said)
    earlier = () if complete else before.records
    return Held(
        entry=type(entry).model_validate(merged),
        records=(*earlier, record.number),
        who=record.who,
        approved=record.kind == "approve",
    )


def _meant(unlock: Record, place: Place) -> bool:
    name, frame = place
    return (not unlock.names or name in unlock.names) and (unlock.whole or frame in unlock.frames)


def _active(
    shapes: Mapping[Place, Held],
    tracks: Mapping[Place, Held],
    *locked: Mapping[Place, tuple[int, ShapeEntry]] | Mapping[Place, tuple[int, TrackEntry]],
) -> tuple[int, ...]:
    found = {number for held in (*shapes.values(), *tracks.values()) for number in held.records}
    found |= {number for places in locked for number, _ in places.values()}
    return tuple(sorted(found))
