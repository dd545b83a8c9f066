"""``roto.json`` (schema ``laikaroto.roto/1``): reading, writing and its JSON Schema.

In: a file, or the records of ``shapes.records``. Out: the other. Ground truth uses the same
schema. The pydantic models below say what a file looks like and find every fault at once,
each with its path; what they cannot say (counts that must agree) is checked while the
records are made. The parser is pydantic's own, so a 2000-frame file takes about a second.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as _ValidationError

from laikaroto.config import check_name, describe_faults
from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.records import (
    FrameNote,
    PlateInfo,
    Roto,
    Shape,
    ShapeFrame,
    Source,
    TrackFrame,
)
from laikaroto.sidecar.files import write_file

SCHEMA = "laikaroto.roto/1"
_SHOWN_FAULTS = 20
_PX_DECIMALS = 3
_CONFIDENCE_DECIMALS = 4


def _safe(name: str) -> str:
    # Shape and layer names become file names and names in other tools.
    try:
        return check_name(name, "name")
    except UsageError as error:
        raise ValueError(str(error)) from error


_Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"), AfterValidator(_safe)
]
# One writing per frame number: "1001" and "01001" would silently be one frame otherwise.
_Frame = Annotated[str, StringConstraints(pattern=r"^(0|-?[1-9][0-9]{0,8})$")]
_Confidence = Annotated[float, Field(ge=0, le=1)]
_Point = Annotated[list[float], Field(min_length=6, max_length=6)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Plate(_Strict):
    width: Annotated[int, Field(ge=1, le=65536)]
    height: Annotated[int, Field(ge=1, le=65536)]
    first: int
    last: int
    fps: Annotated[float, Field(gt=0)] = 24.0
    pixel_aspect: Annotated[float, Field(gt=0)] = 1.0


class _TrackFrame(_Strict):
    xy: Annotated[list[float], Field(min_length=2, max_length=2)]
    visible: bool = True
    confidence: _Confidence | None = None


class _ShapeFrame(_Strict):
    points: Annotated[list[_Point], Field(min_length=1)] = Field(
        description="x y in_dx in_dy out_dx out_dy; plate px, tangents relative to the point"
    )
    visible: bool = True
    point_visible: list[bool] = Field(description="one for each point")
    confidence: _Confidence | None = None
    expected_error_px: Annotated[float, Field(ge=0)] | None = None
    source: Source = "predicted"


class _Shape(_Strict):
    closed: bool
    corners: list[Annotated[int, Field(ge=0)]] = Field(
        default=[], description="indices of points that stay sharp"
    )
    frames: dict[_Frame, _ShapeFrame]
    keys: list[int] = Field(default=[], description="frames an artist would see as keys")


class _FrameNote(_Strict):
    flagged: bool = False
    reasons: list[str] = []
    hold_of: int | None = Field(default=None, description="earlier frame this one repeats")


class _RotoFile(_Strict):
    """laikaroto roto of one shot and character: tracking points and roto shapes.

    Full-size plate pixels; origin at the top-left corner of the display window, y down,
    pixel centres at .5.
    """

    schema_: Literal["laikaroto.roto/1"] = Field(alias="schema")
    shot: _Name
    character: _Name
    version: _Name
    plate: _Plate
    tracks: dict[_Name, dict[_Frame, _TrackFrame]]
    shapes: dict[_Name, _Shape]
    frames: dict[_Frame, _FrameNote]
    provenance: dict[str, Any] = {}


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``roto.json``, as published in ``docs/roto.schema.json``."""
    schema = _RotoFile.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": SCHEMA,
    }


def read_roto(path: Path) -> Roto:
    """Read and check a ``roto.json``.

    Raises:
        SidecarError: the file is missing, not JSON or not to the schema (NaN and Inf
            included); the message lists the faults, each with its path in the file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_roto(data, origin=str(path))


def parse_roto(data: bytes, *, origin: str) -> Roto:
    """As ``read_roto``, from the bytes of a file; ``origin`` names them in messages."""
    try:
        parsed = _RotoFile.model_validate_json(data)
    except _ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise SidecarError(f"{origin}: is not JSON: {first['msg']}") from error
        raise _faulty(origin, iter(describe_faults(error))) from error
    faults = _disagreements(parsed)
    if (one := next(faults, None)) is not None:
        raise _faulty(origin, itertools.chain([one], faults))
    return _to_records(parsed)


def _faulty(origin: str, faults: Iterator[str]) -> SidecarError:
    lines = list(faults)
    shown = [f"{origin}: {line}" for line in lines[:_SHOWN_FAULTS]]
    if len(lines) > _SHOWN_FAULTS:
        shown.append(f"{origin}: … and {len(lines) - _SHOWN_FAULTS} faults more")
    return SidecarError("\n".join(shown))


def _disagreements(file: _RotoFile) -> Iterator[str]:
    if file.plate.last < file.plate.first:
        yield f"plate.last: {file.plate.last} is before plate.first {file.plate.first}"
    for name, shape in file.shapes.items():
        for frame, entry in shape.frames.items():
            where = f"shapes.{name}.frames.{frame}"
            if len(entry.point_visible) != len(entry.points):
                yield (
                    f"{where}.point_visible: wanted one for each of the {len(entry.points)} "
                    f"points, got {len(entry.point_visible)}"
                )
            for corner in shape.corners:
                if corner >= len(entry.points):
                    yield f"{where}.points: corner {corner} is not among {len(entry.points)} points"
        for key in shape.keys:
            if str(key) not in shape.frames:
                yield f"shapes.{name}.keys: frame {key} is not among the shape's frames"


def _to_records(file: _RotoFile) -> Roto:
    return Roto(
        shot=file.shot,
        character=file.character,
        version=file.version,
        plate=PlateInfo(**dict(file.plate)),
        tracks={
            name: {
                int(frame): TrackFrame(
                    xy=(t.xy[0], t.xy[1]), visible=t.visible, confidence=t.confidence
                )
                for frame, t in track.items()
            }
            for name, track in file.tracks.items()
        },
        shapes={name: _to_shape(shape) for name, shape in file.shapes.items()},
        frames={
            int(frame): FrameNote(
                flagged=note.flagged, reasons=tuple(note.reasons), hold_of=note.hold_of
            )
            for frame, note in file.frames.items()
        },
        provenance=file.provenance,
    )


def _to_shape(shape: _Shape) -> Shape:
    return Shape(
        closed=shape.closed,
        corners=tuple(shape.corners),
        keys=tuple(shape.keys),
        frames={int(frame): ShapeFrame(**dict(entry)) for frame, entry in shape.frames.items()},
    )


def roto_bytes(roto: Roto) -> bytes:
    """The one writing of a roto: the same records always give the same bytes.

    Coordinates are rounded to 0.001 px; frames ascend; tracks and shapes keep their order.

    Raises:
        SidecarError: a number is not finite; names the first shape or track and frame.
    """
    document = {
        "schema": SCHEMA,
        "shot": roto.shot,
        "character": roto.character,
        "version": roto.version,
        "plate": {
            "width": roto.plate.width,
            "height": roto.plate.height,
            "first": roto.plate.first,
            "last": roto.plate.last,
            "fps": roto.plate.fps,
            "pixel_aspect": roto.plate.pixel_aspect,
        },
        "tracks": {
            name: {str(frame): _track_entry(track[frame]) for frame in sorted(track)}
            for name, track in roto.tracks.items()
        },
        "shapes": {name: _shape_entry(shape) for name, shape in roto.shapes.items()},
        "frames": {str(frame): _note_entry(roto.frames[frame]) for frame in sorted(roto.frames)},
        "provenance": json.loads(json.dumps(dict(roto.provenance), sort_keys=True)),
    }
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise SidecarError(
            f"roto of shot {roto.shot!r}: {_first_nonfinite(roto)}: wanted a finite number"
        ) from error
    return text.encode() + b"\n"


def write_roto(path: Path, roto: Roto) -> None:
    """Write a ``roto.json`` atomically.

    Raises:
        SidecarError: a number is not finite. TryAgainError: the disk refused.
    """
    write_file(path, roto_bytes(roto))


def _px(value: float) -> float:
    return round(float(value), _PX_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _track_entry(entry: TrackFrame) -> dict[str, Any]:
    written: dict[str, Any] = {
        "xy": [_px(entry.xy[0]), _px(entry.xy[1])],
        "visible": bool(entry.visible),
    }
    if entry.confidence is not None:
        written["confidence"] = round(float(entry.confidence), _CONFIDENCE_DECIMALS)
    return written


def _shape_entry(shape: Shape) -> dict[str, Any]:
    return {
        "closed": bool(shape.closed),
        "corners": [int(corner) for corner in shape.corners],
        "frames": {
            str(frame): _shape_frame_entry(shape.frames[frame]) for frame in sorted(shape.frames)
        },
        "keys": [int(key) for key in shape.keys],
    }


def _shape_frame_entry(entry: ShapeFrame) -> dict[str, Any]:
    written: dict[str, Any] = {
        "points": (np.round(entry.points, _PX_DECIMALS) + 0.0).tolist(),
        "visible": bool(entry.visible),
        "point_visible": entry.point_visible.tolist(),
    }
    if entry.confidence is not None:
        written["confidence"] = round(float(entry.confidence), _CONFIDENCE_DECIMALS)
    if entry.expected_error_px is not None:
        written["expected_error_px"] = _px(entry.expected_error_px)
    written["source"] = entry.source
    return written


def _note_entry(note: FrameNote) -> dict[str, Any]:
    return {"flagged": bool(note.flagged), "reasons": list(note.reasons), "hold_of": note.hold_of}


def _first_nonfinite(roto: Roto) -> str:
    for name, track in roto.tracks.items():
        for frame, point in track.items():
            if not np.isfinite([*point.xy, point.confidence or 0.0]).all():
                return f"track {name!r}, frame {frame}"
    for name, shape in roto.shapes.items():
        for frame, entry in shape.frames.items():
            numbers = [*entry.points.flat, entry.confidence or 0.0, entry.expected_error_px or 0.0]
            if not np.isfinite(numbers).all():
                return f"shape {name!r}, frame {frame}"
    return "plate or provenance"
