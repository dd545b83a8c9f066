"""One line of the corrections file: what someone did to a shot, when, and from which version.

Lines are only ever added; what a line says is never altered, only taken back by a later one.
Coordinates follow ``laikaroto.coords`` and are rounded as in ``roto.json``, so that what was
recorded comes out of every later version to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from laikaroto.shapes.records import ShapeFrame, Source, TrackFrame

SCHEMA: Literal["laikaroto.correction/1"] = "laikaroto.correction/1"
_PX_DECIMALS = 3  # as roto.json has them

Kind = Literal["edit", "approve", "lock", "unlock", "revert", "conflict", "repair"]
_Frame = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,8})$")]
_Point = Annotated[list[float], Field(min_length=6, max_length=6)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ShapeEntry(_Strict):
    """A shape on one frame. None: nothing was said of it.

    An edit holds only what the artist changed; an approval and a lock hold everything.
    """

    points: Annotated[list[_Point], Field(min_length=1)] | None = None
    visible: bool | None = None
    point_visible: list[bool] | None = None
    confidence: float | None = None
    expected_error_px: float | None = None
    source: Source | None = None

    @model_validator(mode="after")
    def _agree(self) -> ShapeEntry:
        if self.points is not None and self.point_visible is not None:
            if len(self.points) != len(self.point_visible):
                raise ValueError(
                    f"{len(self.points)} points, but point_visible of {len(self.point_visible)}"
                )
        return self


class TrackEntry(_Strict):
    """A tracking point on one frame. None: nothing was said of it."""

    xy: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    visible: bool | None = None
    confidence: float | None = None


class FileReference(_Strict):
    """The artist's file: enough to know it again."""

    name: str
    format: str
    sha256: str


class Conflict(_Strict):
    """Two people drew the same thing on the same frame, neither having seen the other's.

    Attributes:
        what: name of the shape or tracking point.
        record: the earlier record it disagrees with.
        kept: which of the two holds; ``none``: the later file was refused.
    """

    what: str
    frame: int
    record: int
    kept: Literal["mine", "theirs", "none"]


class Record(_Strict):
    """One line.

    Attributes:
        number: counts from 1.
        kind: ``edit`` what an artist's file changed; ``approve`` frames that are right as they
            are; ``lock``, ``unlock`` what jobs may not touch; ``revert`` takes ``target`` back;
            ``conflict`` a file that was refused; ``repair`` the line before is half a line.
        time: UTC, ISO 8601.
        version: the published version the file was made from, or the frames were seen in.
        version_sha256: of that version's roto.json.
        frames, names: what an approval, lock or unlock is about; no ``names``: all shapes and
            tracking points; ``whole``: the shot, whatever frames it has.
        previous: SHA-256 of the line before; empty on the first. It shows when a line was
            changed or lost.
    """

    schema_: Literal["laikaroto.correction/1"] = Field(alias="schema", default=SCHEMA)
    number: Annotated[int, Field(ge=1)]
    kind: Kind
    time: str
    who: str
    note: str = ""
    version: str | None = None
    version_sha256: str | None = None
    file: FileReference | None = None
    whole: bool = False
    frames: list[int] = []
    names: list[str] = []
    shapes: dict[str, dict[_Frame, ShapeEntry]] = {}
    tracks: dict[str, dict[_Frame, TrackEntry]] = {}
    target: int | None = None
    conflicts: list[Conflict] = []
    previous: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Record:
        if (self.kind == "revert") != (self.target is not None):
            raise ValueError("a revert, and nothing else, has a target")
        if self.kind in ("lock", "approve"):
            for entries in self.shapes.values():
                for frame, entry in entries.items():
                    if None in (entry.points, entry.visible, entry.point_visible):
                        raise ValueError(f"frame {frame}: a {self.kind} holds whole drawings")
        return self

    def line(self) -> bytes:
        """The line as it stands in the file, with its end."""
        text = self.model_dump_json(by_alias=True, exclude_defaults=True)
        start = f'{{"schema":"{SCHEMA}",'
        return (start + text[1:]).encode() + b"\n"

    def covered(self) -> int:
        """How many drawings (a shape or tracking point on a frame) it holds."""
        return sum(map(len, self.shapes.values())) + sum(map(len, self.tracks.values()))


def rounded(value: float) -> float:
    """A coordinate as ``roto.json`` holds it."""
    return round(float(value), _PX_DECIMALS) + 0.0


def whole_shape(entry: ShapeFrame) -> ShapeEntry:
    """Everything a roto says of a shape on a frame."""
    return ShapeEntry(
        points=[[rounded(value) for value in point] for point in entry.points.tolist()],
        visible=entry.visible,
        point_visible=entry.point_visible.tolist(),
        confidence=entry.confidence,
        expected_error_px=entry.expected_error_px,
        source=entry.source,
    )


def whole_track(entry: TrackFrame) -> TrackEntry:
    """Everything a roto says of a tracking point on a frame."""
    return TrackEntry(
        xy=[rounded(entry.xy[0]), rounded(entry.xy[1])],
        visible=entry.visible,
        confidence=entry.confidence,
    )


def by_frame(entries: Mapping[int, ShapeEntry]) -> dict[str, ShapeEntry]:
    """Frame numbers as a line writes them, ascending."""
    return {str(frame): entries[frame] for frame in sorted(entries)}
