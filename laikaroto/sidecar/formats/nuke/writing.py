"""A roto as a Nuke script: project settings, one Roto node with all shapes, one Tracker4 node.

Every number of a point is keyed on the same frames. A key gives the straight slopes to its
neighbours and the type 258 (straight, both sides), so that Nuke goes straight from key to key:
without the type, Nuke makes the slopes anew and smooths them. Numbers are float32, as Nuke's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import PlateInfo, Roto, Shape
from laikaroto.sidecar.formats.keyed import keyed_points, visibility_steps
from laikaroto.sidecar.formats.nuke.script import hex_float, quote, to_float32
from laikaroto.sidecar.formats.nuke.tracker import tracker_node
from laikaroto.sidecar.formats.registry import WriteOptions

_VERSION = "11.0 v1"
_CURVES_VERSION = 1.2
_STRAIGHT = 256 + 2
#: Flags of the shape and its curves, what each point carries, attributes: as Nuke writes them.
_CLOSED = (512, 8192, "", "osw x41200000 osf 0 str 1 tt x40800000")
_OPEN = (1049088, 1056800, "{a osw 1 osf 0} ", "osbe 0 osee 0 osw 1 osf 0 str 1 tt x41200000")


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """One ``.nk`` of all shapes and tracking points.

    Raises:
        UsageError, SidecarError: keys that do not fit the shapes, see ``keyed_points``.
    """
    parts = [f"version {_VERSION}\n", _project(roto.plate, options.name)]
    shapes = {name: shape for name, shape in roto.shapes.items() if shape.frames}
    if shapes:
        parts.append(_roto_node(shapes, roto, options))
    if any(roto.tracks.values()):
        parts.append(tracker_node(roto.tracks, roto.plate.height, f"Tracker_{roto.character}"))
    return {f"{options.name}.nk": "".join(parts).encode()}


def _format(plate: PlateInfo) -> str:
    size = f"{plate.width} {plate.height}"
    name = f"plate_{plate.width}x{plate.height}"
    return f'"{size} 0 0 {size} {plate.pixel_aspect:g} {name}"'


def _project(plate: PlateInfo, name: str) -> str:
    return (
        f"Root {{\n inputs 0\n name {quote(name)}\n first_frame {plate.first}\n"
        f" last_frame {plate.last}\n lock_range true\n fps {plate.fps:.9g}\n"
        f" format {_format(plate)}\n}}\n"
    )


def _roto_node(shapes: Mapping[str, Shape], roto: Roto, options: WriteOptions) -> str:
    plate = roto.plate
    middle = f"{hex_float(plate.width / 2)} {hex_float(plate.height / 2)}"
    drawn = "\n".join(_shape(name, shape, plate, options) for name, shape in shapes.items())
    return (
        "Roto {\n inputs 0\n output alpha\n"
        f" format {_format(plate)}\n cliptype none\n"
        f" curves {{{{{{v {hex_float(_CURVES_VERSION)}}}\n  {{f 0}}\n  {{n\n   {{layer Root\n"
        f"    {{f 0}}\n    {{t {middle}}}\n    {{a}}\n{drawn}}}}}}}}}\n"
        f" name Roto_{roto.character}\n xpos 0\n ypos 0\n}}\n"
    )


def _shape(name: str, shape: Shape, plate: PlateInfo, options: WriteOptions) -> str:
    frames, points = keyed_points(name, shape, options.keys, tool="Nuke")
    points = np.array([[1, -1] * 3]) * points
    points[..., 1] += plate.height
    flags, curve_flags, line, attributes = _CLOSED if shape.closed else _OPEN
    outline = "\n".join(_point(frames, points[:, index], line) for index in range(points.shape[1]))
    feather = "\n".join("        {0 0}" for _ in range(3 * points.shape[1]))
    middle = points[0, :, :2].mean(axis=0)
    return (
        f"    {{curvegroup {quote(name)} {flags} bezier\n"
        f"     {{{{cc\n       {{f {curve_flags}}}\n       {{p\n{outline}}}}}\n"
        f"      {{cc\n       {{f {curve_flags}}}\n       {{p\n{feather}}}}}}}\n"
        f"     {{t {hex_float(middle[0])} {hex_float(middle[1])}}}\n"
        f"     {{a opc {_opacity(shape, plate)} {attributes}}}}}"
    )


def _point(frames: Sequence[int], point: FloatArray, line: str) -> str:
    """In-tangent, position and out-tangent of one point (K, 6) as three pairs of numbers."""
    x, y, in_x, in_y, out_x, out_y = (_number(frames, column) for column in point.T)
    return f"        {{{in_x} {in_y}}}\n        {{{line}{x} {y}}}\n        {{{out_x} {out_y}}}"


def _number(frames: Sequence[int], values: FloatArray) -> str:
    """A number over time: a straight key on every one of these frames."""
    rounded = [to_float32(float(value)) for value in values]
    chord = np.diff(rounded) / np.diff(frames)
    left, right = [0.0, *chord], [*chord, 0.0]
    keys = [
        f"{{{hex_float(frame)} {hex_float(value)} {hex_float(a)} 1 {hex_float(b)} 1 {_STRAIGHT}}}"
        for frame, value, a, b in zip(frames, rounded, left, right, strict=True)
    ]
    return "{" + " ".join(keys) + "}"


def _opacity(shape: Shape, plate: PlateInfo) -> str:
    """1 or 0; where it changes, the frame before is keyed too, so that nothing fades."""
    steps = visibility_steps(shape, plate)
    if len(steps) == 1:
        return str(int(steps[0][1]))
    frames, values = [steps[0][0]], [float(steps[0][1])]
    for frame, seen in steps[1:]:
        if frames[-1] != frame - 1:
            frames.append(frame - 1)
            values.append(values[-1])
        frames.append(frame)
        values.append(float(seen))
    return "\n      " + _number(frames, np.array(values))
