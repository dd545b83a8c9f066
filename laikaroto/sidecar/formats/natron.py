"""Natron: a Python script that makes a Roto node.

Pixels, y up, tangents absolute. The project format itself (``.ntp``) is XML of a versioned
serialisation, not meant to be written by others. No Natron has run the script: a stand-in for
its objects has (``tests/sidecar/formats/natron_stand_in.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from laikaroto.coords import FloatArray, absolute_tangents
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes, opacity_keys
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import identifiers, python_text, rounded

_DECIMALS = 5


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.py`` file: the data and the code that reads it."""
    plate = roto.plate
    names = identifiers(roto.shapes)
    data = {
        "name": f"{roto.shot} {roto.character} {roto.version}",
        "size": [plate.width, plate.height],
        "frames": [plate.first, plate.last],
        "fps": plate.fps,
        "shapes": [
            _shape_entry(shape, names[shape.name], plate.height)
            for shape in keyed_shapes(roto, options, tool="Natron")
        ],
    }
    code = (
        resources.files("laikaroto.sidecar.formats") / "scripts" / "natron_import.py"
    ).read_text(encoding="utf-8")
    document = python_text("ROTO", json.dumps(data, allow_nan=False))
    start = 'if __name__ == "__main__":  # the Script Editor\n    make_roto(app)\n'
    text = f"{code}\n\nimport json\n\n{document}\n{start}"
    return {f"{options.name}.py": text.encode("ascii")}


def _shape_entry(shape: KeyedShape, identifier: str, height: int) -> dict[str, Any]:
    return {
        "name": shape.name,
        "id": identifier,
        "closed": shape.closed,
        "keys": [
            [frame, _upward(points, height).tolist()]
            for frame, points in zip(shape.keys, shape.points, strict=True)
        ],
        "opacity": [list(key) for key in opacity_keys(shape.seen)],
    }


def _upward(points: FloatArray, height: int) -> FloatArray:
    """Control points (N, 6) as (N, 6) absolute places with y up."""
    places = absolute_tangents(points) * (1.0, -1.0) + (0.0, height)
    return rounded(places.reshape(-1, 6), _DECIMALS)
