"""Lottie: one JSON animation, a layer for each shape. Pixels, y down, tangents relative.

Frames keep their numbers: the animation runs from the plate's first frame on. Paths run straight
between keys (the easing is linear); opacity is held. The last key of a property has no easing:
players take one for the start of a further stretch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import PlateInfo, Roto
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import rounded

_DECIMALS = 4
_VERSION = "5.7.0"  # of the Lottie player this way of writing keys is from
_STRAIGHT = {"o": {"x": [0], "y": [0]}, "i": {"x": [1], "y": [1]}}
_WHITE = {"a": 0, "k": [1, 1, 1, 1]}
_FULL = {"a": 0, "k": 100}


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.json`` animation."""
    plate = roto.plate
    shapes = keyed_shapes(roto, options, tool="Lottie")
    document = {
        "v": _VERSION,
        "nm": f"{roto.shot} {roto.character} {roto.version}",
        "fr": plate.fps,
        "ip": plate.first,
        "op": plate.last + 1,
        "w": plate.width,
        "h": plate.height,
        "ddd": 0,
        "assets": [],
        "layers": [_layer(shape, index, plate) for index, shape in enumerate(shapes, 1)],
    }
    return {f"{options.name}.lottie.json": json.dumps(document, allow_nan=False).encode()}


def _layer(shape: KeyedShape, index: int, plate: PlateInfo) -> dict[str, Any]:
    paint: dict[str, Any] = {"ty": "fl", "nm": "fill", "c": _WHITE, "o": _FULL, "r": 1}
    if not shape.closed:
        line = {"a": 0, "k": 1}
        paint = {"ty": "st", "nm": "line", "c": _WHITE, "o": _FULL, "w": line, "lc": 2, "lj": 2}
    path = {"ty": "sh", "nm": shape.name, "ks": _path(shape)}
    still = {"ty": "tr", "p": _zero(2), "a": _zero(2), "s": _hundred(), "r": _zero(1), "o": _FULL}
    group = {"ty": "gr", "nm": shape.name, "it": [path, paint, still]}
    return {
        "ty": 4,
        "ind": index,
        "nm": shape.name,
        "ip": plate.first,
        "op": plate.last + 1,
        "st": 0,
        "sr": 1,
        "ddd": 0,
        "bm": 0,
        "ks": {
            "p": _zero(3),
            "a": _zero(3),
            "s": {"a": 0, "k": [100, 100, 100]},
            "r": _zero(1),
            "o": _opacity(shape),
        },
        "shapes": [group],
    }


def _zero(count: int) -> dict[str, Any]:
    return {"a": 0, "k": 0 if count == 1 else [0] * count}


def _hundred() -> dict[str, Any]:
    return {"a": 0, "k": [100, 100]}


def _path(shape: KeyedShape) -> dict[str, Any]:
    drawn = [_drawn(points, shape.closed) for points in rounded(shape.points, _DECIMALS)]
    if len(drawn) == 1:
        return {"a": 0, "k": drawn[0]}
    keys = [{"t": frame, "s": [one]} for frame, one in zip(shape.keys, drawn, strict=True)]
    return {"a": 1, "k": [{**key, **_STRAIGHT} for key in keys[:-1]] + keys[-1:]}


def _drawn(points: FloatArray, closed: bool) -> dict[str, Any]:
    return {
        "c": closed,
        "v": points[:, 0:2].tolist(),
        "i": points[:, 2:4].tolist(),
        "o": points[:, 4:6].tolist(),
    }


def _opacity(shape: KeyedShape) -> dict[str, Any]:
    if len(shape.seen) == 1:
        return {"a": 0, "k": 100 * int(shape.seen[0][1])}
    keys = [{"t": frame, "s": [100 * int(state)], "h": 1} for frame, state in shape.seen]
    return {"a": 1, "k": keys}
