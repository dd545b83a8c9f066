"""SVG: one file for each frame, because SVG has no time. Pixels, y down, as our own records.

Closed shapes are filled white, open ones are a line; hidden ones are there, but not displayed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import segments
from laikaroto.shapes.records import Roto, Shape, ShapeFrame
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import number

_DECIMALS = 4
_NAMESPACE = "http://www.w3.org/2000/svg"
_LINE_PX = "1"


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """``<name>.<frame>.svg`` for every frame of the plate, whatever the keys."""
    frames = range(roto.plate.first, roto.plate.last + 1)
    return {f"{options.name}.{frame:04d}.svg": _frame(roto, frame) for frame in frames}


def _frame(roto: Roto, frame: int) -> bytes:
    width, height = str(roto.plate.width), str(roto.plate.height)
    root = ET.Element(
        "svg",
        xmlns=_NAMESPACE,
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )
    title = f"{roto.shot} {roto.character} {roto.version} frame {frame}"
    ET.SubElement(root, "title").text = title
    for name, shape in roto.shapes.items():
        if (entry := shape.frames.get(frame)) is not None:
            root.append(_path(name, shape, entry))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _path(name: str, shape: Shape, entry: ShapeFrame) -> ET.Element:
    path = ET.Element("path", {"id": _identifier(name), "data-name": name})
    ET.SubElement(path, "title").text = name
    if shape.closed:
        path.set("fill", "#ffffff")
        path.set("fill-rule", "nonzero")
    else:
        path.set("fill", "none")
        path.set("stroke", "#ffffff")
        path.set("stroke-width", _LINE_PX)
    if not entry.visible:
        path.set("display", "none")
    path.set("d", _drawn(entry.points, closed=shape.closed))
    return path


def _drawn(points: FloatArray, *, closed: bool) -> str:
    def place(xy: FloatArray) -> str:
        return f"{number(xy[0], _DECIMALS)},{number(xy[1], _DECIMALS)}"

    curves = [
        "C" + " ".join(place(xy) for xy in polygon[1:])
        for polygon in segments(points, closed=closed)
    ]
    return " ".join([f"M{place(points[0, :2])}", *curves, *(["Z"] if closed else [])])


def _identifier(name: str) -> str:
    """A name that may be an XML id; ours nearly always are one already."""
    plain = re.sub(r"[^\w.-]", "_", name)
    return plain if re.match(r"[^\W\d]", plain) else f"_{plain}"
