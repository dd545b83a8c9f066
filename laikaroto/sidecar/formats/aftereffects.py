"""After Effects: a script that makes a composition with a solid and null objects.

The solid has a mask for each shape; each tracking point is a null object.

Pixels, y down, tangents relative, as in our own records. No After Effects has run it: a stand-in
for its objects under node has (``tests/sidecar/formats/aftereffects_stand_in.js``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from laikaroto.shapes.records import Roto, TrackFrame
from laikaroto.sidecar.formats.keyed_shapes import KeyedShape, keyed_shapes, seen_track
from laikaroto.sidecar.formats.registry import WriteOptions
from laikaroto.sidecar.formats.text import rounded

_DECIMALS = 5


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.jsx`` file: the data, then the code that reads it."""
    plate = roto.plate
    data = {
        "name": f"{roto.shot} {roto.character} {roto.version}",
        "size": [plate.width, plate.height],
        "pixelAspect": plate.pixel_aspect,
        "frames": [plate.first, plate.last],
        "fps": plate.fps,
        "shapes": [
            _shape_entry(shape) for shape in keyed_shapes(roto, options, tool="After Effects")
        ],
        "tracks": [
            _track_entry(name, track, plate.first, plate.last)
            for name, track in roto.tracks.items()
            if track
        ],
    }
    # ASCII: a script's encoding is whatever the machine's is; and then no name can end a string.
    code = (
        resources.files("laikaroto.sidecar.formats") / "scripts" / "aftereffects_import.jsx"
    ).read_text(encoding="utf-8")
    text = f"var ROTO = {json.dumps(data, allow_nan=False)};\n\n{code}"
    return {f"{options.name}.jsx": text.encode("ascii")}


def _shape_entry(shape: KeyedShape) -> dict[str, Any]:
    points = rounded(shape.points, _DECIMALS)
    return {
        "name": shape.name,
        "closed": shape.closed,
        "keys": list(shape.keys),
        "shapes": [[p[:, k : k + 2].tolist() for k in (0, 2, 4)] for p in points],
        "seen": [[frame, int(state)] for frame, state in shape.seen],
    }


def _track_entry(
    name: str, track: Mapping[int, TrackFrame], first: int, last: int
) -> dict[str, Any]:
    frames = sorted(track)
    return {
        "name": name,
        "frames": frames,
        "places": [[round(float(v), _DECIMALS) + 0.0 for v in track[f].xy] for f in frames],
        "seen": [[frame, int(state)] for frame, state in seen_track(track, first, last)],
    }
