"""The artist's file as it comes in: read, brought to the plate's size and frames, names matched.

Any format of ``sidecar.formats.registry``, or a roto.json. Nothing is bent into place here:
what does not fit is a fault with a remedy, and the call can say what to do about it
(``Fitting``).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.artist_truth import meant_name
from laikaroto.coords import FloatArray
from laikaroto.correction.records import FileReference
from laikaroto.errors import CorrectionError, UsageError
from laikaroto.frames import format_frames
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.records import PlateInfo, Roto, TrackFrame
from laikaroto.sidecar.formats.registry import FORMATS
from laikaroto.sidecar.formats.sniff import told_format
from laikaroto.sidecar.schema import parse_roto


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IncomingShape:
    """A shape of the file.

    Attributes:
        frames: control points (N, 6) of every frame the file says anything of, plate px.
        keys: frames an artist really set; between them the tool interpolated.
        visible: by frame, where the file says.
        point_visible: by frame; only roto.json says.
    """

    closed: bool
    frames: Mapping[int, FloatArray]
    keys: tuple[int, ...]
    visible: Mapping[int, bool]
    point_visible: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Incoming:
    """The file.

    Attributes:
        size: of the picture it was drawn on, px; None where it does not say.
        said: shot, character and version, where the file says them.
        notes: what the file holds and cannot be taken, one sentence each.
    """

    reference: FileReference
    size: tuple[int, int] | None
    shapes: Mapping[str, IncomingShape]
    tracks: Mapping[str, Mapping[int, TrackFrame]]
    said: tuple[str, str, str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What the call says about things that do not fit by themselves.

    Attributes:
        names: the file's name to ours, for shapes and tracking points that were renamed.
        table: the same for all files of the character, as ``truth import`` takes it: with or
            without layers, None to leave one out. What the call says goes before it.
        ignore: names, of the file or ours, that are left as they are.
        offset: frames to add to the file's.
        rescale: the file was drawn on a smaller or larger copy of the plate.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, str | None] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    offset: int = 0
    rescale: bool = False


def read_incoming(
    path: Path, roto: Roto, *, format_name: str | None = None, pixel_centres: bool = False,
    node: str | None = None,
) -> Incoming:  # fmt: skip
    """Read an artist's file.

    Args:
        path: the file.
        roto: any version of the shot it is meant for.
        format_name: of the registry; None: told by the file's name and content.
        pixel_centres: a keypoint file counts pixel centres at whole numbers.
        node: which node, category, individual or track of the file; None: the only one.

    Raises:
        UsageError: the format is not known. SidecarError: the file is not usable.
    """
    name = format_name or told_format(path).name
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise CorrectionError(f"{path}: cannot be read: {error.strerror or error}") from error
    reference = FileReference(name=path.name, format=name, sha256=hashlib.sha256(data).hexdigest())
    if name == "json":
        return _from_roto(parse_roto(data, origin=str(path)), reference)
    if name not in FORMATS:
        known = ", ".join(form for form, entry in FORMATS.items() if entry.reads)
        raise UsageError(f"unknown format {name!r}; known: {known}")
    file = FORMATS[name].read_for(path, roto.plate, pixel_centres=pixel_centres, node=node)
    incoming = _from_artist(file, reference)
    return replace(incoming, said=_title(data, roto))


def fit(incoming: Incoming, base: Roto, fitting: Fitting) -> Incoming:
    """Bring a file to the shot's plate, frames and names.

    Raises:
        CorrectionError: it does not fit; every fault, with what to do about it.
    """
    incoming = _scaled(incoming, base.plate, fitting)
    incoming = _renumbered(incoming, base, fitting)
    return _named(incoming, base, fitting)


def _title(data: bytes, roto: Roto) -> tuple[str, str, str] | None:
    """Shot, character and version as our exports write them into titles: ``ev100 hero v001``.

    Names with other separators do not count: artists number their own scripts like that.
    """
    names = re.escape(f"{roto.shot} {roto.character} ".encode())
    found = set(re.findall(rb"(?<![\w.-])" + names + rb"(v\d{3,})(?![\w.-])", data))
    if len(found) != 1:
        return None
    return roto.shot, roto.character, found.pop().decode()


def _from_roto(roto: Roto, reference: FileReference) -> Incoming:
    shapes = {
        name: IncomingShape(
            closed=shape.closed,
            frames={frame: entry.points for frame, entry in shape.frames.items()},
            keys=tuple(sorted(shape.frames)),
            visible={frame: entry.visible for frame, entry in shape.frames.items()},
            point_visible={f: entry.point_visible for f, entry in shape.frames.items()},
        )
        for name, shape in roto.shapes.items()
    }
    return Incoming(
        reference=reference,
        size=(roto.plate.width, roto.plate.height),
        shapes=shapes,
        tracks=roto.tracks,
        said=(roto.shot, roto.character, roto.version),
    )


def _from_artist(file: ArtistFile, reference: FileReference) -> Incoming:
    notes = list(file.notes)
    shapes = {}
    for name, shape in file.shapes.items():
        if shape.feathered:
            notes.append(f"shape {name!r} has a feather of its own; only its curve is taken")
        frames = {frame: np.asarray(points) for frame, points in shape.frames.items()}
        shapes[name] = IncomingShape(
            closed=shape.closed,
            frames=frames,
            keys=tuple(sorted(shape.keys)),
            visible={frame: frame not in shape.hidden for frame in {*frames, *shape.hidden}},
        )
    return Incoming(
        reference=reference, size=file.size, shapes=shapes, tracks=file.tracks, notes=tuple(notes)
    )


def _scaled(incoming: Incoming, plate: PlateInfo, fitting: Fitting) -> Incoming:
    size = (plate.width, plate.height)
    if incoming.size is None or incoming.size == size:
        return incoming
    across, down = size[0] / incoming.size[0], size[1] / incoming.size[1]
    drawn = f"{incoming.size[0]}x{incoming.size[1]}"
    where = f"{incoming.reference.name}: drawn on {drawn}, the plates are {size[0]}x{size[1]}"
    if abs(across / down - 1) > 0.005:
        raise CorrectionError(f"{where}, of another shape; draw it on the full-size plates")
    if not fitting.rescale:
        raise CorrectionError(
            f"{where}; draw it on the full-size plates, or say --rescale if it was drawn on a "
            "copy of them of another size"
        )
    by = np.array([across, down, across, down, across, down])
    return replace(
        incoming,
        shapes={
            name: replace(shape, frames={f: points * by for f, points in shape.frames.items()})
            for name, shape in incoming.shapes.items()
        },
        tracks={
            name: {f: replace(t, xy=(t.xy[0] * across, t.xy[1] * down)) for f, t in track.items()}
            for name, track in incoming.tracks.items()
        },
        notes=(*incoming.notes, f"scaled from {drawn} by {across:g}"),
    )


def _renumbered(incoming: Incoming, base: Roto, fitting: Fitting) -> Incoming:
    """Frames moved by the offset; those the shot does not have left out, and told."""
    by = fitting.offset
    there = set(base.frames)
    drawn = {f + by for shape in incoming.shapes.values() for f in shape.frames}
    drawn |= {f + by for track in incoming.tracks.values() for f in track}
    if not drawn:
        raise CorrectionError(f"{incoming.reference.name}: holds no shape and no tracking point")
    if not drawn & there:
        offset = min(there) - min(drawn) + by
        raise CorrectionError(
            f"{incoming.reference.name}: is of frames {format_frames(sorted(drawn))}, the version "
            f"of {format_frames(sorted(there))}; if they are the same counted from another start, "
            f"say --frame-offset {offset}"
        )
    notes = incoming.notes
    if beyond := drawn - there:
        left_out = format_frames(sorted(beyond))
        notes = (*notes, f"frames {left_out} are not of this version; left out")
    return replace(
        incoming,
        shapes={
            name: IncomingShape(
                closed=shape.closed,
                frames={f + by: v for f, v in shape.frames.items() if f + by in there},
                keys=tuple(key + by for key in shape.keys if key + by in there),
                visible={f + by: v for f, v in shape.visible.items() if f + by in there},
                point_visible={
                    f + by: v for f, v in shape.point_visible.items() if f + by in there
                },
            )
            for name, shape in incoming.shapes.items()
        },
        tracks={
            name: {f + by: v for f, v in track.items() if f + by in there}
            for name, track in incoming.tracks.items()
        },
        notes=notes,
    )


def _named(incoming: Incoming, base: Roto, fitting: Fitting) -> Incoming:
    there = {*incoming.shapes, *incoming.tracks}
    faults = [
        f"--map {theirs}={ours}: the file has no {theirs!r}; it has {', '.join(sorted(there))}"
        for theirs, ours in fitting.names.items()
        if theirs not in there
    ]
    shapes: dict[str, IncomingShape] = {}
    tracks: dict[str, Mapping[int, TrackFrame]] = {}
    for name, shape in incoming.shapes.items():
        ours = _ours(name, fitting)
        if ours is None:
            continue
        if ours not in base.shapes:
            faults += _stranger("shape", name, base.shapes, incoming.shapes, fitting)
        elif ours in shapes:
            faults.append(f"shape {name!r}: {ours!r} is in the file twice; leave one out, or "
                          f"say --ignore {name}")  # fmt: skip
        else:
            shapes[ours] = shape
            faults += _other_form(ours, shape, base)
    for name, track in incoming.tracks.items():
        ours = _ours(name, fitting)
        if ours is None:
            continue
        if ours not in base.tracks:
            faults += _stranger("tracking point", name, base.tracks, incoming.tracks, fitting)
        elif ours in tracks:
            faults.append(f"tracking point {name!r}: {ours!r} is in the file twice; leave one "
                          f"out, or say --ignore {name}")  # fmt: skip
        else:
            tracks[ours] = track
    if faults:
        raise CorrectionError(
            "\n".join(f"{incoming.reference.name}: {fault}" for fault in faults)
            + "\nnothing was recorded"
        )
    missing = [name for name in base.shapes if name not in shapes and name not in fitting.ignore]
    notes = incoming.notes
    if missing and shapes:
        notes = (*notes, f"not in the file, left as they are: {', '.join(missing)}")
    kept = {name: shape for name, shape in shapes.items() if name not in fitting.ignore}
    return replace(
        incoming,
        shapes=kept,
        tracks={name: track for name, track in tracks.items() if name not in fitting.ignore},
        notes=notes,
    )


def _ours(name: str, fitting: Fitting) -> str | None:
    """Our name of a shape or point of the file: as told, or as the character's table has it.

    None: it is to be left out.
    """
    if name in fitting.names:
        return fitting.names[name]
    if name in fitting.ignore or name.rpartition("/")[2] in fitting.ignore:
        return None
    return meant_name(name, fitting.table)


def _stranger(
    kind: str, name: str, known: Collection[str], there: Collection[str], fitting: Fitting
) -> list[str]:
    ours = _ours(name, fitting)
    last = name.rpartition("/")[2]
    if name in fitting.names:
        return [
            f"--map {name}={ours}: {ours!r} is no {kind} of this character; those are "
            f"{', '.join(sorted(known)) or 'none'}"
        ]
    if ours != last:
        return [
            f"{kind} {name!r} is {ours!r} by 'names' of the character's file, and there is no "
            f"such {kind}; mend the table, or say --map {name}=NAME"
        ]
    lower = {n.lower(): n for n in known if n not in there}
    close = [lower[n] for n in difflib.get_close_matches(last.lower(), lower, n=1, cutoff=0.6)]
    close += [o for n, o in lower.items() if not close and last.lower().startswith(n)]
    hint = ""
    if close:
        hint = (
            f"; if it is {close[0]!r}, say --map {name}={close[0]}, or write "
            f"'names: {{{name}: {close[0]}}}' into the character's file for good"
        )
    return [
        f"{kind} {name!r} is not one of this character{hint}. Added ones have no place in the "
        f"template: leave it out with --ignore {name}"
    ]


def _other_form(name: str, shape: IncomingShape, base: Roto) -> list[str]:
    ours = base.shapes[name].closed
    if shape.closed == ours:
        return []
    form = {True: "closed", False: "open"}
    return [
        f"shape {name!r}: wanted it {form[ours]}, got it {form[shape.closed]}; mend it, or leave "
        f"it out with --ignore {name}"
    ]


def match_version(
    incoming: Incoming, candidates: Sequence[Roto], *, tolerance_px: float
) -> dict[str, tuple[int, int]]:
    """How much of a file is as in each version: (drawings alike, drawings compared)."""
    found = {}
    for roto in candidates:
        alike = compared = 0
        for name, shape in incoming.shapes.items():
            theirs = roto.shapes.get(name.rpartition("/")[2])
            for frame in shape.keys:
                entry = theirs.frames.get(frame) if theirs is not None else None
                if entry is None or frame not in shape.frames:
                    continue
                compared += 1
                points = shape.frames[frame]
                if points.shape == entry.points.shape:
                    alike += bool(np.abs(points - entry.points).max() <= tolerance_px)
        for name, track in incoming.tracks.items():
            for frame, point in track.items():
                theirs_point = roto.tracks.get(name, {}).get(frame)
                if theirs_point is not None:
                    compared += 1
                    away = np.abs(np.subtract(point.xy, theirs_point.xy)).max()
                    alike += bool(away <= tolerance_px)
        found[roto.version] = (alike, compared)
    return found
