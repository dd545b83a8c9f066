"""USD: cubic Bezier ``BasisCurves`` for shapes, ``Points`` for tracking points, as ``.usda`` text.

Points are plate pixels, y down, as in our own records; the prim above them turns the picture
upright, so it shows as the camera saw it. Time codes are frame numbers. USD runs straight
between time samples; visibility is held. Written by hand: the text is simple, the library large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from laikaroto.coords import FloatArray, absolute_tangents
from laikaroto.shapes.records import PlateInfo, Roto, TrackFrame
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes, seen_track
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import identifiers, number

_DECIMALS = 5


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.usda`` file."""
    lines = [*_head(roto), 'def Xform "roto" (', f"    displayName = {_title(roto)}", ")", "{"]
    lines += _upright(roto.plate)
    names = identifiers(roto.shapes)
    lines += ['    def Scope "shapes"', "    {"]
    for shape in keyed_shapes(roto, options, tool="USD"):
        lines += (f"        {line}" for line in _curve(shape, names[shape.name]))
    lines += ["    }", '    def Scope "tracks"', "    {"]
    names = identifiers(roto.tracks)
    for name, track in roto.tracks.items():
        if track:
            lines += (f"        {line}" for line in _point(name, names[name], track, roto.plate))
    lines += ["    }", "}", ""]
    return {f"{options.name}.usda": "\n".join(lines).encode()}


def _title(roto: Roto) -> str:
    return quoted(f"{roto.shot} {roto.character} {roto.version}")


def quoted(text: str) -> str:
    """A string of USD's text format, in which nothing of the text can end it."""
    return '"{}"'.format(
        "".join(f"\\{c}" if c in '"\\' else f"\\x{ord(c):02x}" if ord(c) < 32 else c for c in text)
    )


def _head(roto: Roto) -> Iterator[str]:
    plate = roto.plate
    rate = number(plate.fps, 6)
    yield "#usda 1.0"
    yield "("
    yield "    customLayerData = {"
    yield f"        int2 laikarotoSize = ({plate.width}, {plate.height})"
    yield f"        double laikarotoPixelAspect = {number(plate.pixel_aspect, 6)}"
    yield "    }"
    yield '    defaultPrim = "roto"'
    yield f"    startTimeCode = {plate.first}"
    yield f"    endTimeCode = {plate.last}"
    yield f"    timeCodesPerSecond = {rate}"
    yield f"    framesPerSecond = {rate}"
    yield "    metersPerUnit = 0.01"
    yield '    upAxis = "Y"'
    yield ")"


def _upright(plate: PlateInfo) -> Iterator[str]:
    matrix = f"((1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, {plate.height}, 0, 1))"
    yield f"    matrix4d xformOp:transform = {matrix}"
    yield '    uniform token[] xformOpOrder = ["xformOp:transform"]'


def _curve(shape: KeyedShape, identifier: str) -> Iterator[str]:
    vertices = [_vertices(points, shape.closed) for points in shape.points]
    yield f'def BasisCurves "{identifier}" ('
    yield f"    displayName = {quoted(shape.name)}"
    yield ")"
    yield "{"
    yield '    uniform token type = "cubic"'
    yield '    uniform token basis = "bezier"'
    yield f'    uniform token wrap = "{"periodic" if shape.closed else "nonperiodic"}"'
    yield f"    int[] curveVertexCounts = [{len(vertices[0])}]"
    yield "    float[] widths = [1] ("
    yield '        interpolation = "constant"'
    yield "    )"
    yield "    point3f[] points.timeSamples = {"
    for frame, drawn in zip(shape.keys, vertices, strict=True):
        yield f"        {frame}: [{', '.join(_place(xy) for xy in drawn)}],"
    yield "    }"
    yield from _visibility(shape.seen)
    yield "}"


def _vertices(points: FloatArray, closed: bool) -> FloatArray:
    """Point, out-tangent, in-tangent of the next, and so on: (3N, 2) closed, (3N - 2, 2) open."""
    absolute = absolute_tangents(points)[:, [1, 0, 2]].reshape(-1, 2)
    if not closed:
        return absolute[1:-1]
    return np.roll(absolute, -1, axis=0)  # the first in-tangent ends the last segment


def _point(
    name: str, identifier: str, track: Mapping[int, TrackFrame], plate: PlateInfo
) -> Iterator[str]:
    yield f'def Points "{identifier}" ('
    yield f"    displayName = {quoted(name)}"
    yield ")"
    yield "{"
    yield "    float[] widths = [4] ("
    yield '        interpolation = "constant"'
    yield "    )"
    yield "    point3f[] points.timeSamples = {"
    for frame in sorted(track):
        yield f"        {frame}: [{_place(track[frame].xy)}],"
    yield "    }"
    yield from _visibility(seen_track(track, plate.first, plate.last))
    yield "}"


def _place(xy: FloatArray | tuple[float, float]) -> str:
    return f"({number(float(xy[0]), _DECIMALS)}, {number(float(xy[1]), _DECIMALS)}, 0)"


def _visibility(changes: tuple[tuple[int, bool], ...]) -> Iterator[str]:
    yield "    token visibility.timeSamples = {"
    for frame, state in changes:
        yield f'        {frame}: "{"inherited" if state else "invisible"}",'
    yield "    }"
