"""report.json of a published version: what a script or a supervisor wants to know first.

It also holds, in a small file, all that tells whether the version is out of date
(``freshness``): the provenance of roto.json, and what the plates looked like in their folder.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from laikaroto.shapes.records import Roto
from laikaroto.sidecar.files import write_file


def write_report(
    folder: Path, roto: Roto, *, job: str, model: str, plates: Mapping[str, Any] | None
) -> None:
    """Write report.json of a version into its build folder; arguments as of ``summary``.

    Raises:
        TryAgainError: the disk refuses.
    """
    text = json.dumps(summary(roto, job=job, model=model, plates=plates), indent=1) + "\n"
    write_file(folder / "report.json", text.encode())


def summary(
    roto: Roto, *, job: str, model: str, plates: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The report of a version.

    Args:
        roto: as published.
        job: token of what made it.
        model: version of the model that drew it.
        plates: ``scan``, the ``plate.scan.scan_digest`` of its frames before they were read, and
            ``whole``, whether these were all there were; None where it was never noted.
    """
    shapes = {}
    for name, shape in roto.shapes.items():
        seen = [frame for frame in shape.frames.values() if frame.visible]
        errors = [f.expected_error_px for f in seen if f.expected_error_px is not None]
        shapes[name] = {
            "visible_frames": len(seen),
            "expected_error_px": round(float(np.mean(errors)), 3) if errors else None,
            "artist_frames": sum(frame.source == "artist" for frame in seen),
            "propagated_frames": sum(frame.source == "propagated" for frame in seen),
        }
    return {
        "schema": "laikaroto.report/1",
        "shot": roto.shot,
        "character": roto.character,
        "version": roto.version,
        "published": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "job": job,
        "model": model,
        "frames": len(roto.frames),
        "holds": sum(note.hold_of is not None for note in roto.frames.values()),
        "flagged": {
            str(frame): list(note.reasons)
            for frame, note in sorted(roto.frames.items())
            if note.flagged
        },
        "shapes": shapes,
        "plates": None if plates is None else dict(plates),
        "provenance": dict(roto.provenance),
    }
