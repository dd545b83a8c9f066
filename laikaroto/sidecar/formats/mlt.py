"""MLT (melt, Kdenlive, Shotcut): a clip whose alpha is the union of the closed shapes.

Coordinates are 0 to 1 of width and height, y down, tangents absolute, in the order in-tangent,
point, out-tangent. The ``rotoscoping`` filter samples a pixel at (column + 1, row), so the
curves are shifted by (+0.5, -0.5) px to come out where they belong. It knows closed shapes
only. Frames count from 0 at the start of the clip, also where the filter starts later; between
keys it runs straight. Edges are hard: melt 7.12 does not soften them.

A shape is one filter for each stretch of frames on which it can be seen, with all its keys; one
that is hidden throughout is a filter that is switched off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from xml.etree import ElementTree as ET

import numpy as np

from laikaroto.coords import FloatArray, absolute_tangents
from laikaroto.shapes.records import PlateInfo, Roto
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes
from laikaroto.sidecar.formats.registry import WriteOptions

_SAMPLED_AT_PX = (0.5, -0.5)
_DECIMALS = 9  # of a share of the width: 1e-5 px at 8K
_CLEAR_WHITE = "0xffffff00"


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """An ``.mlt`` file; open shapes are not in it."""
    plate = roto.plate
    length = plate.last - plate.first + 1
    title = f"{roto.shot} {roto.character} {roto.version}"
    root = ET.Element("mlt", LC_NUMERIC="C", title=title, producer="roto")
    root.append(_profile(plate))
    clip = ET.SubElement(root, "producer", {"id": "roto", "in": "0", "out": str(length - 1)})
    _property(clip, "length", str(length))
    _property(clip, "mlt_service", "color")
    _property(clip, "resource", _CLEAR_WHITE)
    _property(clip, "mlt_image_format", "rgba")
    _property(clip, "laikaroto:first_frame", str(plate.first))
    for shape in keyed_shapes(roto, options, tool="MLT"):
        if shape.closed:
            clip.extend(_filters(shape, plate))
    ET.indent(root)
    return {f"{options.name}.mlt": ET.tostring(root, encoding="utf-8", xml_declaration=True)}


def frame_rate(fps: float) -> Fraction:
    """A rate as programs count it: 23.976 is 24000/1001."""
    whole = round(fps)
    drop = Fraction(whole * 1000, 1001)
    if whole and abs(fps - whole) > 1e-6 and abs(fps - float(drop)) < 1e-3:
        return drop
    return Fraction(fps).limit_denominator(1000)


def _profile(plate: PlateInfo) -> ET.Element:
    pixel = Fraction(plate.pixel_aspect).limit_denominator(10000)
    shown = pixel * plate.width / plate.height
    rate = frame_rate(plate.fps)
    return ET.Element(
        "profile",
        description="laikaroto",
        width=str(plate.width),
        height=str(plate.height),
        progressive="1",
        sample_aspect_num=str(pixel.numerator),
        sample_aspect_den=str(pixel.denominator),
        display_aspect_num=str(shown.numerator),
        display_aspect_den=str(shown.denominator),
        frame_rate_num=str(rate.numerator),
        frame_rate_den=str(rate.denominator),
        colorspace="709",
    )


def _filters(shape: KeyedShape, plate: PlateInfo) -> Iterator[ET.Element]:
    ends = [frame - 1 for frame, _ in shape.seen[1:]] + [plate.last]
    shown = [(start, end) for (start, state), end in zip(shape.seen, ends, strict=True) if state]
    for start, end in shown or [(plate.first, plate.last)]:
        span = {"in": str(start - plate.first), "out": str(end - plate.first)}
        element = ET.Element("filter", span)
        _property(element, "mlt_service", "rotoscoping")
        _property(element, "kdenlive_id", "rotoscoping")
        _property(element, "laikaroto:shape", shape.name)
        if not shown:
            _property(element, "disable", "1")
        _property(element, "mode", "alpha")
        _property(element, "alpha_operation", "max")
        _property(element, "invert", "0")
        _property(element, "feather", "0")
        _property(element, "feather_passes", "0")
        _property(element, "spline", _spline(shape, plate))
        yield element


def _spline(shape: KeyedShape, plate: PlateInfo) -> str:
    """All keys as JSON. The filter looks frames up as text that ascends."""
    digits = len(str(plate.last - plate.first))
    document = {
        f"{frame - plate.first:0{digits}d}": _points(points, plate)
        for frame, points in zip(shape.keys, shape.points, strict=True)
    }
    return json.dumps(document, separators=(",", ":"))


def _points(points: FloatArray, plate: PlateInfo) -> list[list[list[float]]]:
    absolute = absolute_tangents(points)[:, [1, 0, 2]] + _SAMPLED_AT_PX
    shares = np.round(absolute / (plate.width, plate.height), _DECIMALS) + 0.0
    return [[list(map(float, place)) for place in triple] for triple in shares]


def _property(element: ET.Element, name: str, value: str) -> None:
    ET.SubElement(element, "property", name=name).text = value
