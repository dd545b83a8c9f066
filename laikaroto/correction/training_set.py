"""Corrected frames as ground truth: what the next training learns from, and its digest.

A frame is truth only as far as an artist drew it or approved it: a shape that nobody touched is
not right for that, it is unknown. An approved frame is truth in all of its shapes and points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.correction.log import read_log
from laikaroto.correction.records import ShapeEntry, TrackEntry
from laikaroto.correction.standing import Standing, stand
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.publish import latest_version
from laikaroto.sidecar.schema import read_roto


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedShot:
    """Corrected frames of one shot.

    Attributes:
        roto: the newest version, only its corrected frames; what an artist did not touch tells
            where the head is and nothing more.
        artist: (P,) which points are truth, by frame, in the template's flat order.
    """

    roto: Roto
    artist: Mapping[int, NDArray[np.bool_]]


def corrected_shots(show: Show, character: str, template: CharacterTemplate) -> list[CorrectedShot]:
    """All corrected frames of a character's published shots, those of the truth left out.

    Raises:
        CorrectionError: a corrections file is damaged.
        SidecarError: a version is damaged.
    """
    truth = set(show.truth_shots(character))
    found = []
    for shot in show.corrected_shots(character):
        standing = stand(read_log(show.corrections_file(shot, character)).records)
        parent = show.sidecar_folder(shot, character, "v001").parent
        version = latest_version(parent)
        if version is None or shot in truth:
            continue
        roto = read_roto(parent / version / "roto.json")
        artist = {
            frame: drawn
            for frame in standing.touched_frames()
            if frame in roto.frames and (drawn := _artist(standing, template, frame)).any()
        }
        if artist:
            found.append(CorrectedShot(roto=_only(roto, set(artist)), artist=artist))
    return found


def training_set_digest(show: Show, character: str) -> str:
    """SHA-256 of all a training learns from: template, ground truth, corrected frames.

    Changes when truth is imported or an artist corrects, approves or takes back; locks, and
    corrections that change nothing, leave it as it is.

    Raises:
        CorrectionError: a corrections file is damaged.
    """
    total = hashlib.sha256()
    shots = show.truth_shots(character)
    for path in (show.template_file(character), *(show.truth_file(character, s) for s in shots)):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for shot in show.corrected_shots(character):
        if shot in shots:
            continue
        standing = stand(read_log(show.corrections_file(shot, character)).records)
        for (name, frame), held in sorted(standing.shapes.items()):
            if _is_truth(held.entry):
                total.update(f"{shot} {name} {frame} {_said(held.entry)}\n".encode())
        for (name, frame), point in sorted(standing.tracks.items()):
            if _is_truth(point.entry):
                total.update(f"{shot} {name} {frame} {_said(point.entry)}\n".encode())
    return total.hexdigest()


def _said(entry: ShapeEntry | TrackEntry) -> str:
    return entry.model_dump_json(
        include={"points", "visible", "point_visible", "xy"}, exclude_none=True
    )


def _is_truth(entry: ShapeEntry | TrackEntry) -> bool:
    """Whether it says where something is; that it is hidden does not."""
    place = entry.points if isinstance(entry, ShapeEntry) else entry.xy
    return place is not None


def _artist(standing: Standing, template: CharacterTemplate, frame: int) -> NDArray[np.bool_]:
    """(P,) which points of a frame are an artist's."""
    drawn = np.zeros(template.point_count, dtype=np.bool_)
    for i, name in enumerate(template.tracks):
        held = standing.tracks.get((name, frame))
        drawn[i] = held is not None and _is_truth(held.entry)
    first = len(template.tracks)
    for name, where in template.slices().items():
        held = standing.shapes.get((name, frame))
        drawn[first + where.start : first + where.stop] = held is not None and _is_truth(held.entry)
    return drawn


def _only(roto: Roto, frames: set[int]) -> Roto:
    return replace(
        roto,
        frames={frame: note for frame, note in roto.frames.items() if frame in frames},
        shapes={
            name: replace(
                shape,
                frames={f: entry for f, entry in shape.frames.items() if f in frames},
                keys=tuple(key for key in shape.keys if key in frames),
            )
            for name, shape in roto.shapes.items()
        },
        tracks={
            name: {f: point for f, point in track.items() if f in frames}
            for name, track in roto.tracks.items()
        },
    )
