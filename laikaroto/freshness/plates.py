"""Whether plates are those that a published version was made from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from laikaroto.errors import PlateError, UsageError
from laikaroto.frames import format_frames, parse_frames
from laikaroto.freshness.made import Made
from laikaroto.freshness.memo import Memo
from laikaroto.plate.scan import Scan, scan_digest
from laikaroto.show import Show


def judge_plates(
    show: Show, shot: str, made: Made, scan: Scan, memo: Memo, stamp: Sequence[int | str], *,
    checksum: bool,
) -> str:  # fmt: skip
    """How plates differ from those a version was made from, in words; empty if they do not.

    Args:
        show: the show.
        shot: its name.
        made: the version.
        scan: what lies in the plates' folder now.
        memo: keeps what comparing contents has shown.
        stamp: of the version.
        checksum: compare contents where sizes or times differ.
    """
    if made.plates_scan and made.plates_whole and scan_digest(scan) == made.plates_scan:
        return ""
    if not scan:
        return f"there are none now: {show.plate_template(shot)}"
    try:
        frames = parse_frames(made.plate_frames)
    except UsageError:
        return f"of {made.version} were not noted"
    digest = scan_digest(scan, frames)
    gone = [frame for frame in frames if frame not in scan]
    added = sorted(set(scan) - set(frames)) if made.plates_whole else []
    found = [f"{format_frames(gone)} taken away"] if gone else []
    found += [f"{format_frames(added)} added"] if added else []
    if not gone and digest != made.plates_scan:
        found += _changed(show, shot, made, scan, frames, memo, [*stamp, digest], checksum)
    return "frames " + ", ".join(found) if found else ""


def _changed(
    show: Show, shot: str, made: Made, scan: Scan, frames: Sequence[int], memo: Memo,
    stamp: Sequence[Any], checksum: bool,
) -> list[str]:  # fmt: skip
    """What to say of frames that are all there, and of another size or time than they were."""
    key = f"contents {shot}"
    if memo.known(key, stamp):
        return []
    if checksum:
        from laikaroto.plate.sequence import PlateSequence, digest_sequence

        sequence = PlateSequence(shot, show.plate_template(shot), tuple(scan))
        try:
            if digest_sequence(sequence, frames) == made.plates_sha256:
                memo.keep(key, stamp, True)
                return []
        except PlateError as error:
            return [str(error)]
        return [f"{format_frames(frames)} of other contents"]
    if not made.plates_scan:
        return [f"{format_frames(frames)} of unknown size and time (--checksum compares contents)"]
    since = datetime.datetime.fromisoformat(made.published).timestamp()
    later = [frame for frame in frames if scan[frame][1] > since * 1e9]
    if later:
        return [f"{format_frames(later)} written after {made.version}"]
    return [f"of another size or time among {format_frames(frames)}"]
