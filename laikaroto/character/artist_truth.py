"""An artist's file as ground truth: names matched to the template, size and frames to the plate.

Names are never guessed: one that is not the template's is a fault that says which it may mean.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from laikaroto.character.revectorize import Revectorized
from laikaroto.config import check_name
from laikaroto.coords import FloatArray
from laikaroto.errors import UsageError
from laikaroto.frames import format_frames
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto, Shape, ShapeFrame, TrackFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Named:
    """An artist's file by the template's names.

    Attributes:
        faults: what is wrong with names, size or frames; one line each.
    """

    shapes: Mapping[str, ArtistShape]
    tracks: Mapping[str, Mapping[int, TrackFrame]]
    faults: tuple[str, ...] = field(default=())


def match_names(
    file: ArtistFile,
    names: Mapping[str, str | None],
    *,
    shapes: Collection[str] | None,
    tracks: Collection[str] | None,
    config: str,
) -> Named:
    """Give an artist's shapes and points the template's names.

    Args:
        file: as read.
        names: the character's table, artist's name to template's name or None to leave it out; a
            name may be written with or without the layers before it.
        shapes: the template's shapes; None: there is no template yet, any name will do.
        tracks: its tracking points; None likewise.
        config: file the table is in, for messages.
    """
    faults: list[str] = []
    found = _rename(file.shapes, "shape", names, shapes, config, faults)
    points = _rename(file.tracks, "tracking point", names, tracks, config, faults)
    if found or not points:  # a file of tracking points alone belongs to one that has the shapes
        for name in sorted(set(shapes or ()) - set(found)):
            faults.append(f"shape {name!r} of the template is missing")
    if points:
        for name in sorted(set(tracks or ()) - set(points)):
            faults.append(
                f"tracking point {name!r} of the template is missing; track it as well, or leave "
                f"all points of the shot out: null for each in 'names' of {config}"
            )
    return Named(shapes=found, tracks=points, faults=tuple(faults))


def meant_name(path: str, table: Mapping[str, str | None]) -> str | None:
    """What an artist's name means by a character's table; None: it is to be left out.

    Args:
        path: as written, with the names of the layers it lies in: ``head/eyeLeft``.
        table: the character's ``names``, each with or without the layers.
    """
    own = path.rsplit("/", 1)[-1]
    return table.get(path, table.get(own, own))


def _rename(
    given: Mapping[str, Any],
    kind: str,
    table: Mapping[str, str | None],
    wanted: Collection[str] | None,
    config: str,
    faults: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    whose: dict[str, str] = {}
    for path, value in given.items():
        target = meant_name(path, table)
        if target is None:
            continue
        if wanted is not None and target not in wanted:
            faults.append(_unknown(path, kind, wanted, config))
            continue
        try:
            check_name(target, kind)
        except UsageError as error:
            faults.append(f"{error}; give it another in 'names' of {config}")
            continue
        if target in found:
            faults.append(
                f"{kind}s {whose[target]!r} and {path!r} are both {target!r}; say which is meant "
                f"in 'names' of {config}, the other one is null"
            )
            continue
        found[target], whose[target] = value, path
    return found


def _unknown(path: str, kind: str, wanted: Collection[str], config: str) -> str:
    own = path.rsplit("/", 1)[-1]
    lower = {name.lower(): name for name in sorted(wanted)}
    close = difflib.get_close_matches(own.lower(), list(lower), n=1, cutoff=0.5)
    meant = lower[close[0]] if close else None
    text = f"{kind} {path!r} is not in the template"
    if meant is not None:
        text += f"; if it is {meant!r}, write 'names: {{{path}: {meant}}}' into {config}"
    else:
        text += f" ({', '.join(sorted(wanted)) or 'which has none'})"
        text += f"; name the one it is in 'names' of {config}"
    return text + ", or null to leave it out"


def check_against_plate(
    file: ArtistFile, named: Named, plate: PlateInfo, frames: Collection[int]
) -> list[str]:
    """What does not go with the plate: another size, keys where there is no plate.

    Args:
        file: as read.
        named: its shapes and points that are used.
        plate: size and range of the plate.
        frames: frames of it that are on disk.
    """
    faults = []
    if file.size is not None and file.size != (plate.width, plate.height):
        faults.append(
            f"is drawn on {file.size[0]}x{file.size[1]}, the plate is "
            f"{plate.width}x{plate.height}; draw it on the full-size plate, or export it at that "
            "size"
        )
    there = set(frames)
    drawn = {frame for shape in named.shapes.values() for frame in shape.frames}
    drawn |= {frame for track in named.tracks.values() for frame in track}
    if beyond := sorted(drawn - there):
        text = f"has frames {format_frames(beyond)}, the plate has {format_frames(sorted(there))}"
        if not drawn & there:
            text += f"; is it of another shot, or counted from {beyond[0]} on?"
        faults.append(text + "; limit what is imported with --frames, or mend the file")
    return faults


def limit_frames(named: Named, frames: Collection[int]) -> Named:
    """Only these frames of an artist's file."""
    wanted = set(frames)
    shapes = {}
    for name, shape in named.shapes.items():
        kept = {frame: points for frame, points in shape.frames.items() if frame in wanted}
        if kept:
            shapes[name] = replace(
                shape, frames=kept, keys=tuple(key for key in shape.keys if key in wanted)
            )
    tracks = {
        name: {frame: point for frame, point in track.items() if frame in wanted}
        for name, track in named.tracks.items()
    }
    return replace(named, shapes=shapes, tracks=tracks)


def as_truth(
    named: Named, result: Revectorized, *, shot: str, character: str, plate: PlateInfo,
    file: ArtistFile, points: ArtistFile | None = None,
) -> Roto:  # fmt: skip
    """One shot's ground truth out of what was carried over.

    Args:
        named: what the files hold, by the template's names.
        result: the shapes of all shots on the template.
        shot: which of them.
        character: whose it is.
        plate: of the shot.
        file: the artist's.
        points: the file that the tracking points are from; None: the same one.
    """
    shapes = {}
    for form in result.shapes:
        drawn = named.shapes.get(form.name)
        splines = result.splines.get(shot, {}).get(form.name, {})
        if drawn is None or not splines:
            continue
        frames = {
            frame: _frame(points, frame not in drawn.hidden) for frame, points in splines.items()
        }
        shapes[form.name] = Shape(
            closed=form.closed,
            frames=frames,
            corners=form.corners,
            keys=tuple(key for key in sorted(drawn.keys) if key in frames),
        )
    noted = {frame for shape in shapes.values() for frame in shape.frames}
    noted |= {frame for track in named.tracks.values() for frame in track}
    return Roto(
        shot=shot,
        character=character,
        version="artist",
        plate=plate,
        tracks={name: dict(track) for name, track in named.tracks.items() if track},
        shapes=shapes,
        frames={frame: FrameNote() for frame in sorted(noted)},
        provenance=_provenance(file, result, shot, points),
    )


def with_points(truth: Roto, named: Named, file: ArtistFile) -> Roto:
    """Ground truth with the tracking points of a file that has nothing else."""
    frames = {frame for track in named.tracks.values() for frame in track}
    imported = truth.provenance.get("imported")
    return replace(
        truth,
        tracks={**truth.tracks, **{n: dict(track) for n, track in named.tracks.items() if track}},
        frames={**{frame: FrameNote() for frame in sorted(frames)}, **truth.frames},
        provenance={
            **truth.provenance,
            "imported": {
                **(imported if isinstance(imported, dict) else {}), "points": _source(file)
            },
        },
    )  # fmt: skip


def _frame(points: FloatArray, visible: bool) -> ShapeFrame:
    return ShapeFrame(
        points=points,
        point_visible=np.full(len(points), visible),
        visible=visible,
        source="artist",
    )


def _source(file: ArtistFile) -> dict[str, Any]:
    """Which file it was; a folder has no sum."""
    whole = file.path.is_file()
    return {
        "file": file.path.name,
        "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest() if whole else None,
        "tool": file.tool,
    }


def _provenance(
    file: ArtistFile, result: Revectorized, shot: str, points: ArtistFile | None
) -> dict[str, Any]:
    return {
        "imported": {
            **_source(file),
            **({} if points is None else {"points": _source(points)}),
            "shapes": {
                report.shape: {
                    "mean_px": round(report.mean_px, 4),
                    "max_px": round(report.max_px, 4),
                    "left_out": list(report.left_out),
                }
                for report in result.reports
                if report.shot == shot
            },
        }
    }
