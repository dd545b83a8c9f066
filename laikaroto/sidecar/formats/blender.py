"""Blender masks: out as a Python script that makes them, in as JSON that our script exported.

Blender's mask coordinates: the longer side of the picture is 1, y up, both around 0.5; tangents
absolute. ``scripts/blender_import.py`` converts when it runs, as only Blender can key masks.
``scripts/blender_export.py`` is run by an artist; it has Blender itself fill in the frames, and
writes mask coordinates as they are, with the size they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laikaroto.config import describe_faults
from laikaroto.coords import FloatArray, absolute_tangents, relative_tangents
from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.shapes.keys import reduced_keys
from laikaroto.shapes.records import Roto, Shape, ShapeFrame
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes, opacity_keys
from laikaroto.sidecar.formats.registry import ReadOptions, WriteOptions
from laikaroto.sidecar.formats.text import python_text, rounded

EXPORT_SCRIPT = "blender_export.py"
# Blender keeps single precision: 1e-4 px of a 4K plate, more of a larger one.
_BLENDER_ROUNDING = 2.0**-22
_LARGEST_FILE = 512 << 20


def script(name: str) -> str:
    """One of the scripts that run inside Blender."""
    folder = resources.files("laikaroto.sidecar.formats") / "scripts"
    return (folder / name).read_text(encoding="utf-8")


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A Python script that makes one mask with a layer for each shape.

    It also puts the script for the way back into the Blender file, as a text ready to run.
    """
    plate = roto.plate
    data = {
        "name": f"{roto.shot} {roto.character} {roto.version}",
        "size": [plate.width, plate.height],
        "frames": [plate.first, plate.last],
        "fps": plate.fps,
        "shapes": [_shape_entry(shape) for shape in keyed_shapes(roto, options, tool="Blender")],
        "export_script": script(EXPORT_SCRIPT),
    }
    start = 'if __name__ == "__main__":\n    make_mask(ROTO)\n'
    text = (
        f"{script('blender_import.py')}\n\nimport json\n\n"
        f"{python_text('ROTO', json.dumps(data, allow_nan=False))}\n{start}"
    )
    return {f"{options.name}.py": text.encode()}


def _shape_entry(shape: KeyedShape) -> dict[str, Any]:
    absolute = rounded(absolute_tangents(shape.points), 6)
    return {
        "name": shape.name,
        "closed": shape.closed,
        "keys": [
            [frame, points.reshape(-1, 6).tolist()]
            for frame, points in zip(shape.keys, absolute, strict=True)
        ],
        "opacity": [list(key) for key in opacity_keys(shape.seen)],
    }


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Spline(_Strict):
    closed: bool
    feathered: bool
    # one for each frame of the file: x y, left x y, right x y
    points: list[list[Annotated[list[float], Field(min_length=6, max_length=6)]]]


class _Layer(_Strict):
    name: str
    alpha: list[float]
    hidden: bool
    splines: list[_Spline]
    notes: list[str]


class _Mask(_Strict):
    name: str
    layers: list[_Layer]


class _Export(_Strict):
    schema_: Literal["laikaroto.blender/1"] = Field(alias="schema")
    blender: str
    size: Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=2, max_length=2)]
    frames: Annotated[list[int], Field(min_length=1)]
    masks: list[_Mask]


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Masks from a file that ``scripts/blender_export.py`` wrote in Blender.

    Blender does not tell which frames are keyed: ``keys`` are the fewest from which straight
    lines give the same curves.

    Args:
        path: the JSON file.
        options: ``node`` names a mask; else all masks are read.

    Raises:
        SidecarError: the file is unreadable, not such an export, or has no such mask.
    """
    export = _parse(path)
    masks = [m for m in export.masks if options.node is None or m.name == options.node]
    if not masks:
        known = ", ".join(m.name for m in export.masks) or "none"
        raise SidecarError(
            f"{path}: wanted {'a mask' if options.node is None else f'mask {options.node!r}'}, "
            f"got {known}; draw one in Blender and run {EXPORT_SCRIPT} again"
        )
    size = export.size[0], export.size[1]
    shapes: dict[str, ArtistShape] = {}
    notes: list[str] = []
    for mask in masks:
        for layer in mask.layers:
            name = layer.name if len(masks) == 1 else f"{mask.name}/{layer.name}"
            notes += (f"{name}: {note}" for note in layer.notes)
            for index, spline in enumerate(layer.splines, 1):
                # a layer of ours has one spline and its name is the shape's
                own = name if len(layer.splines) == 1 else f"{name}/{index}"
                shapes[own] = _artist_shape(own, spline, layer, export, size)
    return ArtistFile(
        path=path, tool="blender", size=size, shapes=shapes, tracks={}, notes=tuple(notes)
    )


def _parse(path: Path) -> _Export:
    try:
        if (length := path.stat().st_size) > _LARGEST_FILE:
            raise SidecarError(f"{path}: wanted at most {_LARGEST_FILE} bytes, got {length}")
        data = path.read_bytes()
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        export = _Export.model_validate_json(data)
    except ValidationError as error:
        faults = list(describe_faults(error))
        lines = [f"{path}: {fault}" for fault in faults[:20]]
        lines.append(f"{path}: is no whole export of {EXPORT_SCRIPT}; run that in Blender again")
        raise SidecarError("\n".join(lines)) from error
    count = len(export.frames)
    for mask in export.masks:
        for layer in mask.layers:
            counts = {len(layer.alpha), *(len(spline.points) for spline in layer.splines)}
            if counts != {count}:
                raise SidecarError(
                    f"{path}: mask {mask.name!r}, layer {layer.name!r}: wanted {count} frames, "
                    f"got {sorted(counts)}; run {EXPORT_SCRIPT} in Blender again"
                )
    return export


def _artist_shape(
    name: str, spline: _Spline, layer: _Layer, export: _Export, size: tuple[int, int]
) -> ArtistShape:
    frames = {
        frame: _from_mask(np.array(points, dtype=np.float64).reshape(-1, 6), size)
        for frame, points in zip(export.frames, spline.points, strict=True)
    }
    hidden = frozenset(
        frame
        for frame, alpha in zip(export.frames, layer.alpha, strict=True)
        if layer.hidden or alpha <= 0.0
    )
    whole = Shape(
        closed=spline.closed,
        frames={
            frame: ShapeFrame(points=points, point_visible=np.ones(len(points), dtype=np.bool_))
            for frame, points in frames.items()
        },
    )
    keys = reduced_keys(whole, tolerance_px=8 * max(size) * _BLENDER_ROUNDING)
    return ArtistShape(
        name=name,
        closed=spline.closed,
        frames=frames,
        keys=keys,
        hidden=hidden,
        feathered=spline.feathered,
    )


def _from_mask(points: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Mask coordinates (N, 6), absolute, to control points (N, 6) in plate px."""
    longer, half = max(size), np.array(size) / 2.0
    places = (points.reshape(-1, 3, 2) - 0.5) * (longer, -longer) + half
    return relative_tangents(places)
