"""Our own ``roto.json`` as a format like the others: nothing is lost either way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.shapes.keys import every_key
from laikaroto.shapes.records import Roto, Shape
from laikaroto.sidecar.formats.registry import ReadOptions, WriteOptions
from laikaroto.sidecar.schema import read_roto, roto_bytes


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """A ``.json`` with every frame; ``keys`` are those asked for."""
    shapes = {
        name: dataclasses.replace(shape, keys=tuple(sorted(options.keys.get(name, ()))))
        for name, shape in roto.shapes.items()
    }
    keyed = dataclasses.replace(roto, shapes=shapes)
    return {f"{options.name}.json": roto_bytes(keyed)}


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """A ``roto.json``; frames that are not keys are as the file has them, not filled in.

    Raises:
        SidecarError: the file is missing or not to the schema.
    """
    roto = read_roto(path)
    return ArtistFile(
        path=path,
        tool="json",
        size=(roto.plate.width, roto.plate.height),
        shapes={name: _shape(name, shape) for name, shape in roto.shapes.items()},
        tracks=roto.tracks,
    )


def _shape(name: str, shape: Shape) -> ArtistShape:
    return ArtistShape(
        name=name,
        closed=shape.closed,
        frames={frame: shape.frames[frame].points for frame in sorted(shape.frames)},
        keys=shape.keys or every_key(shape),
        hidden=frozenset(frame for frame, entry in shape.frames.items() if not entry.visible),
    )
