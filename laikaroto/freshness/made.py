"""What made a published version, out of its report.json; of older versions, out of roto.json."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from laikaroto.errors import SidecarError
from laikaroto.sidecar.publish import MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A published version and what it was made from; empty texts: never noted.

    Attributes:
        published: when, UTC, ISO 8601.
        frames, flagged: how many there are, and how many a person should look at.
        model, model_sha256: that drew it.
        template: ``character.template.template_digest`` of that model.
        laikaroto: version of the code that drew it.
        plate_frames: as ``frames.format_frames`` writes them.
        plates_sha256: of the plates' contents; plates_scan: of their sizes and times.
        plates_whole: its frames were all there were.
        records, corrections_sha256: of the corrections file it was made with; 0 and empty also
            where nothing of it had an effect.
    """

    version: str
    published: str
    frames: int
    flagged: int
    model: str
    model_sha256: str
    template: str
    laikaroto: str
    plate_frames: str
    plates_sha256: str
    plates_scan: str
    plates_whole: bool
    records: int
    corrections_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``Made(**values)``."""
        return asdict(self)


def read_made(folder: Path) -> Made:
    """Read what made a published version.

    Raises:
        SidecarError: a file of it is missing or damaged.
    """
    path = folder / "report.json"
    try:
        report = json.loads(path.read_bytes())
        if not isinstance(report.get("provenance"), dict):
            path = folder / "roto.json"
            report = _as_report(json.loads(path.read_bytes()), report)
        when = os.stat(folder / MANIFEST).st_mtime
        return _made(folder.name, report, when)
    except FileNotFoundError as error:
        raise SidecarError(f"{error.filename}: is missing") from error
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SidecarError(f"{path}: is damaged: {error!r}") from error


def _as_report(roto: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """What report.json holds nowadays, of a version whose own is older than that."""
    notes = roto["frames"].values()
    return {
        **report,
        "frames": len(notes),
        "flagged": [note for note in notes if note["flagged"]],
        "provenance": roto["provenance"],
    }


def _made(version: str, report: Mapping[str, Any], when: float) -> Made:
    provenance = report["provenance"]
    model, plates = provenance.get("model") or {}, provenance.get("plates") or {}
    seen, corrections = report.get("plates") or {}, provenance.get("corrections_file") or {}
    noted = datetime.datetime.fromtimestamp(int(when), datetime.UTC).isoformat()
    return Made(
        version=version,
        published=str(report.get("published") or noted),
        frames=int(report["frames"]),
        flagged=len(report["flagged"]),
        model=str(model.get("version") or ""),
        model_sha256=str(model.get("sha256") or ""),
        template=str((provenance.get("template") or {}).get("sha256") or ""),
        laikaroto=str(provenance.get("laikaroto") or ""),
        plate_frames=str(plates.get("frames") or ""),
        plates_sha256=str(plates.get("sha256") or ""),
        plates_scan=str(seen.get("scan") or ""),
        plates_whole=bool(seen.get("whole", True)),
        records=int(corrections.get("records") or 0),
        corrections_sha256=str(corrections.get("sha256") or ""),
    )
