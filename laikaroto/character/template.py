"""The template of a character: which tracking points and roto shapes it has.

Written once, from the first ground truth that is imported; everything later (training,
inference, mattes) follows it. Nothing about a face is known beforehand: any set of named
points and shapes is a template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.config import describe_faults
from laikaroto.errors import TruthError
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.sidecar.files import write_file

SCHEMA = "laikaroto.template/1"


class ShapeTemplate(BaseModel):
    """One roto shape: its form, not its place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    closed: bool
    count: int
    corners: tuple[int, ...] = ()


class CharacterTemplate(BaseModel):
    """Names and forms of all points and shapes of a character.

    The flat order used by networks and arrays is: all tracking points, then the control
    points of each shape in turn (``point_count`` in all).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    character: str
    tracks: tuple[str, ...]
    shapes: tuple[ShapeTemplate, ...]

    @property
    def control_count(self) -> int:
        """Number of control points of all shapes together."""
        return sum(shape.count for shape in self.shapes)

    @property
    def point_count(self) -> int:
        """Number of tracking points and control points together."""
        return len(self.tracks) + self.control_count

    def slices(self) -> dict[str, slice]:
        """Where each shape's control points lie among all control points."""
        found, start = {}, 0
        for shape in self.shapes:
            found[shape.name] = slice(start, start + shape.count)
            start += shape.count
        return found

    def closed_shapes(self) -> tuple[str, ...]:
        """Names of the closed shapes: those that can become mattes."""
        return tuple(shape.name for shape in self.shapes if shape.closed)


def template_from(roto: Roto) -> CharacterTemplate:
    """Read the template off one shot's ground truth.

    Raises:
        TruthError: there is no shape and no point, a shape has no frame, or a shape changes
            its number of points within the shot.
    """
    if not roto.shapes and not roto.tracks:
        raise TruthError(f"shot {roto.shot}: holds neither shapes nor tracking points")
    return CharacterTemplate(
        character=roto.character,
        tracks=tuple(sorted(roto.tracks)),
        shapes=tuple(
            _shape_template(roto.shot, name, shape) for name, shape in sorted(roto.shapes.items())
        ),
    )


def _shape_template(shot: str, name: str, shape: Shape) -> ShapeTemplate:
    counts = {frame: len(value.points) for frame, value in sorted(shape.frames.items())}
    if not counts:
        raise TruthError(f"shot {shot}, shape {name!r}: has no frame; remove it or draw it")
    first, count = next(iter(counts.items()))
    for frame, other in counts.items():
        if other != count:
            raise TruthError(
                f"shot {shot}, shape {name!r}: {count} points on frame {first} but {other} on "
                f"frame {frame}; redraw it with the same points throughout"
            )
    return ShapeTemplate(name=name, closed=shape.closed, count=count, corners=shape.corners)


def read_template(path: Path) -> CharacterTemplate:
    """Read a template file.

    Raises:
        TruthError: there is none yet, or it is damaged; every fault is listed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise TruthError(
            f"{path}: the character has no template yet; import ground truth first with "
            "'laikaroto truth import CHARACTER FILE…'"
        ) from error
    except OSError as error:
        raise TruthError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return CharacterTemplate.model_validate_json(data)
    except ValidationError as error:
        raise TruthError("\n".join(f"{path}: {line}" for line in describe_faults(error))) from error


def write_template(path: Path, template: CharacterTemplate) -> None:
    """Write a template file, whole or not at all.

    Raises:
        TryAgainError: the disk refuses.
    """
    write_file(path, (template.model_dump_json(indent=1) + "\n").encode())


def template_digest(template: CharacterTemplate) -> str:
    """SHA-256 of the names and forms, however the file they were read from is laid out."""
    return hashlib.sha256(template.model_dump_json().encode()).hexdigest()


def pack(
    roto: Roto, template: CharacterTemplate, frame: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """One frame of a roto as flat arrays in the template's order.

    Returns:
        values (P, 6): ``x y in_dx in_dy out_dx out_dy`` in plate px, tangents 0 for tracking
        points; visible (P,); known (P,): False where this frame says nothing of the point.
    """
    values = np.zeros((template.point_count, 6))
    visible = np.zeros(template.point_count, dtype=np.bool_)
    known = np.zeros(template.point_count, dtype=np.bool_)
    for i, name in enumerate(template.tracks):
        track = roto.tracks.get(name, {}).get(frame)
        if track is not None:
            values[i, :2], visible[i], known[i] = track.xy, track.visible, True
    start = len(template.tracks)
    for shape in template.shapes:
        where = slice(start, start + shape.count)
        start += shape.count
        drawn = roto.shapes.get(shape.name)
        value = drawn.frames.get(frame) if drawn is not None else None
        if value is not None:
            values[where], known[where] = value.points, True
            visible[where] = value.point_visible & value.visible
    return values, visible, known


def unpack(
    template: CharacterTemplate,
    shot: str,
    plate: PlateInfo,
    frames: Sequence[int],
    values: NDArray[np.float64],
    visible: NDArray[np.bool_],
) -> Roto:
    """Flat arrays as a roto: the inverse of ``pack`` over many frames.

    Args:
        template: names and forms.
        shot: the shot's name.
        plate: its plates.
        frames: (F,) frame numbers.
        values: (F, P, 6) control points, plate px.
        visible: (F, P); a shape is visible where any of its points is.
    """
    tracks = {
        name: {
            frame: TrackFrame(
                xy=(float(values[f, i, 0]), float(values[f, i, 1])), visible=bool(visible[f, i])
            )
            for f, frame in enumerate(frames)
        }
        for i, name in enumerate(template.tracks)
    }
    shapes = {}
    for shape in template.shapes:
        inner = template.slices()[shape.name]
        where = slice(inner.start + len(template.tracks), inner.stop + len(template.tracks))
        drawn = {
            frame: ShapeFrame(
                points=values[f, where],
                point_visible=visible[f, where],
                visible=bool(visible[f, where].any()),
            )
            for f, frame in enumerate(frames)
        }
        shapes[shape.name] = Shape(
            closed=shape.closed, frames=drawn, corners=shape.corners, keys=tuple(frames)
        )
    return Roto(
        shot=shot,
        character=template.character,
        version="",
        plate=plate,
        tracks=tracks,
        shapes=shapes,
        frames={frame: FrameNote() for frame in frames},
    )
