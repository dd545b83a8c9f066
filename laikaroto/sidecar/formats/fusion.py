"""Fusion (and Resolve's Fusion page): a ``.setting`` file, one polygon mask tool for each shape.

X and Y are shares of width and height around the middle, y up; tangents relative. The file is a
table in Lua. No Fusion has opened it: lua evaluates it in a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import PlateInfo, Roto
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes, opacity_keys
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import identifiers, number

_DECIMALS = 10  # of a share of the width
_LINEAR = "Flags = { Linear = true, LockedY = true }"


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.setting`` file."""
    tools = identifiers(roto.shapes)
    lines = ["{", "\tTools = ordered() {"]
    for index, shape in enumerate(keyed_shapes(roto, options, tool="Fusion")):
        lines += _mask(shape, tools[shape.name], roto, index)
        lines += _path(shape, tools[shape.name], roto.plate)
        if len(shape.seen) > 1:
            lines += _level(shape, tools[shape.name])
    lines += ["\t}", "}", ""]
    return {f"{options.name}.setting": "\n".join(lines).encode()}


def quoted(text: str) -> str:
    """A Lua string: everything but plain ASCII as decimal bytes, so that it stays text."""
    return '"{}"'.format(
        "".join(
            chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}"
            for byte in text.encode("utf-8")
        )
    )


def _mask(shape: KeyedShape, tool: str, roto: Roto, index: int) -> Iterator[str]:
    plate = roto.plate
    level = (
        f'SourceOp = "{tool}Level", Source = "Value",'
        if len(shape.seen) > 1
        else f"Value = {int(shape.seen[0][1])},"
    )
    origin = f"{shape.name} ({roto.shot} {roto.character} {roto.version})"
    yield f"\t\t{tool} = PolylineMask {{"
    yield "\t\t\tNameSet = true,"
    yield '\t\t\tDrawMode = "InsertAndModify", DrawMode2 = "InsertAndModify",'
    yield "\t\t\tInputs = {"
    yield f"\t\t\t\tComments = Input {{ Value = {quoted(origin)}, }},"
    yield '\t\t\t\tOutputSize = Input { Value = FuID { "Custom" }, },'
    yield f"\t\t\t\tMaskWidth = Input {{ Value = {plate.width}, }},"
    yield f"\t\t\t\tMaskHeight = Input {{ Value = {plate.height}, }},"
    aspect = number(plate.pixel_aspect, 6)
    yield f"\t\t\t\tPixelAspect = Input {{ Value = {{ {aspect}, 1 }}, }},"
    yield '\t\t\t\tClippingMode = Input { Value = FuID { "None" }, },'
    yield f"\t\t\t\tLevel = Input {{ {level} }},"
    yield f'\t\t\t\tPolyline = Input {{ SourceOp = "{tool}Polyline", Source = "Value", }},'
    yield "\t\t\t},"
    across, down = 110 * (index % 8), 66 * (index // 8)
    yield f"\t\t\tViewInfo = OperatorInfo {{ Pos = {{ {across}, {down} }} }},"
    yield "\t\t},"


def _path(shape: KeyedShape, tool: str, plate: PlateInfo) -> Iterator[str]:
    yield f"\t\t{tool}Polyline = BezierSpline {{"
    yield "\t\t\tNameSet = true,"
    yield "\t\t\tKeyFrames = {"
    for index, (frame, points) in enumerate(zip(shape.keys, shape.points, strict=True)):
        closed = str(shape.closed).lower()
        yield f"\t\t\t\t[{frame}] = {{ {index}, {_LINEAR}, Value = Polyline {{"
        yield f"\t\t\t\t\tClosed = {closed},"
        yield "\t\t\t\t\tPoints = {"
        for point in _shares(points, plate):
            said = ", ".join(
                f"{name} = {number(value, _DECIMALS)}"
                for name, value in zip(("X", "Y", "LX", "LY", "RX", "RY"), point, strict=True)
            )
            yield f"\t\t\t\t\t\t{{ {said} }},"
        yield "\t\t\t\t\t},"
        yield "\t\t\t\t} },"
    yield "\t\t\t},"
    yield "\t\t},"


def _level(shape: KeyedShape, tool: str) -> Iterator[str]:
    yield f"\t\t{tool}Level = BezierSpline {{"
    yield "\t\t\tNameSet = true,"
    yield "\t\t\tKeyFrames = {"
    for frame, level in opacity_keys(shape.seen):
        yield f"\t\t\t\t[{frame}] = {{ {level}, Flags = {{ Linear = true }} }},"
    yield "\t\t\t},"
    yield "\t\t},"


def _shares(points: FloatArray, plate: PlateInfo) -> FloatArray:
    """Control points (N, 6) as X Y LX LY RX RY."""
    size = np.array((plate.width, -plate.height), dtype=np.float64)
    pairs = points.reshape(-1, 3, 2) / size
    pairs[:, 0] += (-0.5, 0.5)
    return pairs.reshape(-1, 6)
