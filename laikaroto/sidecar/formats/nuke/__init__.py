"""Nuke scripts (``.nk``): shapes of Roto and RotoPaint nodes and points of Tracker4 nodes.

    script      text -> nodes, knobs, nested lists; bounds on what a file may hold
    animation   keys -> values on any frame, as Nuke makes them
    roto        the curves knob -> shapes with their layers' transforms
    tracker     the tracks knob, both ways
    writing     a roto -> a script

Nuke counts px from the bottom-left corner, y up; here, and in ``writing``, it is turned round.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames, check_size
from laikaroto.sidecar.formats.nuke.roto import Found, RotoShape, read_curves
from laikaroto.sidecar.formats.nuke.script import (
    Node,
    find_nodes,
    parse_value,
    read_text,
    unquote,
)
from laikaroto.sidecar.formats.nuke.tracker import Tracks, read_tracks
from laikaroto.sidecar.formats.nuke.writing import write
from laikaroto.sidecar.formats.registry import ReadOptions

__all__ = ["read", "write"]

_ROTO = frozenset({"Roto", "RotoPaint"})
_TRACKER = frozenset({"Tracker4"})
_ROOT = frozenset({"Root"})
#: More frames than this between two keys of a shape are a mistake, not a shot.
_MAX_FRAMES = 100_000


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Shapes and tracking points of a script, on every frame between their keys.

    The size of the picture is the node's own format, else the project's, else the plate's.

    Raises:
        SidecarError: no such nodes, an expression or anything else where a number has to be, a
            format other than the plate's, or a file that is no script.
        UsageError: ``options.node`` names no node of the script.
    """
    text = read_text(path)
    nodes = find_nodes(text, _ROTO | _TRACKER | _ROOT, path=path)
    root = next((node for node in nodes if node.kind == "Root"), None)
    chosen = _choose([node for node in nodes if node.kind != "Root"], options.node, path)
    reading = _Reading(path, root, options)
    for node in chosen:
        reading.take(node)
    return reading.finish()


def _choose(nodes: Sequence[Node], wanted: str | None, path: Path) -> list[Node]:
    if not nodes:
        raise SidecarError(
            f"{path}: no Roto, RotoPaint or Tracker4 node; save a script that has one "
            "(trackers older than Nuke 7 are not read)"
        )
    chosen = [node for node in nodes if wanted in (None, node.name)]
    if not chosen:
        names = ", ".join(sorted({node.name for node in nodes}))
        raise UsageError(f"{path}: no node {wanted!r}; there are {names}")
    return chosen


class _Reading:
    """What has been read of one script so far."""

    def __init__(self, path: Path, root: Node | None, options: ReadOptions) -> None:
        self.path = path
        self.root = root
        self.options = options
        self.size: tuple[int, int] | None = None
        self.shapes: list[tuple[str, ArtistShape]] = []
        self.tracks: Tracks = {}
        self.notes: list[str] = []

    def take(self, node: Node) -> None:
        where = f"{self.path}: {node.name}"
        if node.knobs.get("disable", "false") == "true":
            self.notes.append(f"{where}: is disabled in the script; read all the same")
        if node.kind in _TRACKER:
            self._take_tracks(node, where)
            return
        curves = parse_value(node.knobs.get("curves", "{}"), f"{where}: curves")
        if "curves" not in node.knobs:
            self.notes.append(f"{where}: nothing has been drawn")
            return
        found = read_curves(curves, where)
        if found.shapes:
            height = self._height(node, where, found)
            read = [self._artist_shape(shape, height, where, found) for shape in found.shapes]
            self.shapes += [(node.name, shape) for shape in read if shape is not None]
        self._note(found, where)

    def finish(self) -> ArtistFile:
        """All of it; names two nodes share are told apart by the nodes' names before them."""
        names = [shape.name for _, shape in self.shapes]
        shapes: dict[str, ArtistShape] = {}
        for node, shape in self.shapes:
            name = shape.name if names.count(shape.name) == 1 else f"{node}/{shape.name}"
            if name in shapes:
                raise SidecarError(f"{self.path}: two shapes are called {name!r}; rename one")
            shapes[name] = _renamed(shape, name)
        frames = all_frames((shape.frames for shape in shapes.values()), self.tracks.values())
        self.notes += check_frames(frames, self.options.wanted, self.path)
        return ArtistFile(
            path=self.path, tool="nuke", size=self.size, shapes=shapes,
            tracks=self.tracks, notes=tuple(self.notes),
        )  # fmt: skip

    def _take_tracks(self, node: Node, where: str) -> None:
        tree = parse_value(node.knobs.get("tracks", ""), f"{where}: tracks")
        tracks, notes = read_tracks(tree, where, self._height(node, where, None))
        for name, frames in tracks.items():
            self.tracks[name if name not in self.tracks else f"{node.name}/{name}"] = frames
        self.notes += notes

    def _artist_shape(
        self, shape: RotoShape, height: int, where: str, found: Found
    ) -> ArtistShape | None:
        """The shape on every frame from its first to its last key; plate px."""
        times = sorted(shape.key_times)
        keys = tuple(int(time) for time in times if time == int(time))
        if len(keys) < len(times):
            self.notes.append(f"{where}: {shape.name}: has keys between frames")
        if not times:
            first, last = self._range()
            self.notes.append(
                f"{where}: {shape.name}: is not keyed; taken as the same on {first} to {last}"
            )
            times, keys = [first, last], tuple(sorted({first, last}))
        if times[-1] - times[0] > _MAX_FRAMES:
            raise SidecarError(
                f"{where}: {shape.name}: keys from {times[0]:g} to {times[-1]:g}; "
                f"wanted a shot of at most {_MAX_FRAMES} frames"
            )
        frames = np.arange(np.ceil(times[0]), np.floor(times[-1]) + 1)
        if not len(frames):
            self.notes.append(f"{where}: {shape.name}: has no key on a frame; left out")
            return None
        drawn = shape.drawn(frames)
        drawn[..., 1::2] *= -1.0
        drawn[..., 1] += height
        hidden = frames[shape.hidden(frames, found.views)]
        return ArtistShape(
            name=shape.name,
            closed=shape.closed,
            frames={int(frame): points for frame, points in zip(frames, drawn, strict=True)},
            keys=keys,
            hidden=frozenset(int(frame) for frame in hidden),
            feathered=shape.feathered,
        )

    def _note(self, found: Found, where: str) -> None:
        self.notes += found.notes
        if found.strokes:
            self.notes.append(f"{where}: {len(found.strokes)} paint strokes are no shapes")
        if found.views:
            views = ", ".join(sorted(found.views))
            self.notes.append(f"{where}: keys of single views ({views}) are not read")
        feathered = [shape.name for shape in found.shapes if shape.feathered]
        if feathered:
            self.notes.append(f"{where}: soft edges are not kept: {', '.join(feathered)}")

    def _range(self) -> tuple[int, int]:
        if self.options.plate is not None:
            return self.options.plate.first, self.options.plate.last
        knobs = self.root.knobs if self.root else {}
        values = [knobs.get(name, "") for name in ("first_frame", "last_frame")]
        if all(re.fullmatch(r"-?\d+", value) for value in values):
            return int(values[0]), max(int(values[0]), int(values[1]))
        return 1, 1

    def _height(self, node: Node, where: str, found: Found | None) -> int:
        """Height of the picture the node draws on, and a check of it against the plate."""
        plate = self.options.plate
        own = _size(node.knobs.get("format"))
        project = _size(self.root.knobs.get("format")) if self.root else None
        # without inputs the project's format is the node's; else it may be another picture's
        stated = own or (project if node.knobs.get("inputs") == "0" else None)
        wanted = (plate.width, plate.height) if plate else None
        check_size(stated, self.options.wanted, where)
        size = stated or wanted or project
        if project and wanted and not stated and project != wanted:
            self.notes.append(
                f"{where}: the project's format is {project[0]}x{project[1]}; "
                "read as drawn on the plate"
            )
        if size is None and found is not None and found.root_pivot:
            size = (round(2 * found.root_pivot[0]), round(2 * found.root_pivot[1]))
            self.notes.append(
                f"{where}: no format is given; {size[0]}x{size[1]} is where it was begun"
            )
        if size is None:
            raise SidecarError(f"{where}: no format is given; name the shot it is meant for")
        if self.size not in (None, size):
            self.notes.append(f"{where}: is drawn on {size[0]}x{size[1]}, unlike other nodes")
        self.size = self.size or size
        return size[1]


def _renamed(shape: ArtistShape, name: str) -> ArtistShape:
    return ArtistShape(
        name=name, closed=shape.closed, frames=shape.frames, keys=shape.keys,
        hidden=shape.hidden, feathered=shape.feathered,
    )  # fmt: skip


def _size(knob: str | None) -> tuple[int, int] | None:
    """Width and height of a format knob, ``"1280 720 0 0 1280 720 1 plate"``."""
    match = re.match(r"\s*(\d{1,6}) (\d{1,6})\b", unquote(knob or ""))
    if match is None or 0 in (int(match[1]), int(match[2])):
        return None
    return int(match[1]), int(match[2])
