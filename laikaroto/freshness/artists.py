"""What artists say of a shot, in a few lines: locked, approved, and what a version lacks of it.

A corrections file may be megabytes (an approval holds every drawing), so ``memo`` keeps this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from laikaroto.correction.log import Log, read_log
from laikaroto.correction.records import Record
from laikaroto.correction.standing import Held, Standing, stand
from laikaroto.freshness.made import Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Artists:
    """What a corrections file comes down to.

    Attributes:
        locked, approved: by whom and when the whole shot was; empty where it was not.
        locked_frames, approved_frames: how many have a lock, are approved.
        lacking: what of the corrections the version lacks; empty if nothing.
    """

    locked: str = ""
    approved: str = ""
    locked_frames: int = 0
    approved_frames: int = 0
    lacking: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``Artists(**values)``."""
        return asdict(self)


def read_artists(path: Path, made: Made | None) -> Artists:
    """Sum a corrections file up.

    Args:
        path: the file; one that is not there says nothing.
        made: the version whose lack is asked for; None where it is damaged.

    Raises:
        CorrectionError: the file is damaged.
    """
    log = read_log(path)
    now = stand(log.records)
    locks = {frame for _, frame in (*now.locked_shapes, *now.locked_tracks)}
    return Artists(
        locked=_by(now.shot_lock, "locked"),
        approved=_by(now.shot_approval, "approved"),
        locked_frames=len(locks),
        approved_frames=len(now.approved_frames),
        lacking="" if made is None else _lacking(log, now, made),
    )


def _by(record: Record | None, what: str) -> str:
    if record is None:
        return ""
    return f"{what} by {record.who} at {record.time} (record {record.number})"


def _lacking(log: Log, now: Standing, made: Made) -> str:
    """What of the corrections would make another version of it."""
    if log.digest == made.corrections_sha256:
        return ""
    seen, there = made.records, len(log.records)
    if seen > there or (0 < seen < there and log.records[seen].previous != made.corrections_sha256):
        return f"the corrections file is not the one {made.version} was made with"
    if _same(log, stand(log.records[:seen]), now, made.version):
        return ""
    if there <= seen:
        return "the corrections file was altered"
    new = f"record {there}" if there == seen + 1 else f"records {seen + 1}-{there}"
    return f"{new} came after {made.version}"


def _same(log: Log, then: Standing, now: Standing, version: str) -> bool:
    """Whether both make the same drawings.

    A lock keeps what it saw, so one that saw this very version changes nothing in it.
    """

    def said(standing: Standing) -> list[dict[Any, Any]]:
        entries: tuple[Mapping[Any, Held], ...] = (standing.shapes, standing.tracks)
        return [{place: (h.entry, h.approved) for place, h in found.items()} for found in entries]

    if said(then) != said(now) or then.approved_frames != now.approved_frames:
        return False
    before = {**then.locked_shapes, **then.locked_tracks}
    after = {**now.locked_shapes, **now.locked_tracks}
    return before.keys() <= after.keys() and all(
        (place in before and before[place][1] == entry)
        or log.records[number - 1].version == version
        for place, (number, entry) in after.items()
    )
