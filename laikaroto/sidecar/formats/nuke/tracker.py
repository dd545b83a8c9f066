"""Tracker4 nodes: a table of tracking points, read by the names of its columns, and written.

A point's position is two curves, px, y up. Whether it was seen is its ``enable`` curve; the rest
of the table (search areas, match errors) is Nuke's own and is written with Nuke's defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from laikaroto.errors import SidecarError
from laikaroto.shapes.records import TrackFrame
from laikaroto.sidecar.formats.nuke.animation import Animated, read_curve
from laikaroto.sidecar.formats.nuke.script import Tree, quote

#: Columns as Nuke 7 and later write them: kind, two numbers of the panel, name, label.
_COLUMNS = (
    (5, 1, 20, "enable", "e"), (3, 1, 75, "name", "name"),
    (2, 1, 58, "track_x", "track_x"), (2, 1, 58, "track_y", "track_y"),
    (2, 1, 63, "offset_x", "offset_x"), (2, 1, 63, "offset_y", "offset_y"),
    (4, 1, 27, "T", "T"), (4, 1, 27, "R", "R"), (4, 1, 27, "S", "S"),
    (2, 0, 45, "error", "error"),
    (1, 1, 0, "error_min", "error_min"), (1, 1, 0, "error_max", "error_max"),
    (1, 1, 0, "pattern_x", "pattern_x"), (1, 1, 0, "pattern_y", "pattern_y"),
    (1, 1, 0, "pattern_r", "pattern_r"), (1, 1, 0, "pattern_t", "pattern_t"),
    (1, 1, 0, "search_x", "search_x"), (1, 1, 0, "search_y", "search_y"),
    (1, 1, 0, "search_r", "search_r"), (1, 1, 0, "search_t", "search_t"),
    (2, 1, 0, "key_track", "key_track"),
    (2, 1, 0, "key_search_x", "key_search_x"), (2, 1, 0, "key_search_y", "key_search_y"),
    (2, 1, 0, "key_search_r", "key_search_r"), (2, 1, 0, "key_search_t", "key_search_t"),
    (2, 1, 0, "key_track_x", "key_track_x"), (2, 1, 0, "key_track_y", "key_track_y"),
    (2, 1, 0, "key_track_r", "key_track_r"), (2, 1, 0, "key_track_t", "key_track_t"),
    (2, 1, 0, "key_centre_offset_x", "key_centre_offset_x"),
    (2, 1, 0, "key_centre_offset_y", "key_centre_offset_y"),
)  # fmt: skip

Tracks = dict[str, dict[int, TrackFrame]]


def read_tracks(tree: Sequence[Tree], where: str, height: float) -> tuple[Tracks, list[str]]:
    """Tracking points of a ``tracks`` knob, by name, and what is not kept, one sentence each.

    Args:
        tree: the knob's value as nested lists.
        where: file and node, for messages.
        height: of the picture, px: y is turned round.

    Raises:
        SidecarError: no such table, or a position that is not numbers.
    """
    table = tree[0] if len(tree) == 1 and isinstance(tree[0], list) else list(tree)
    if len(table) < 3 or not all(isinstance(part, list) for part in table[:3]):
        raise SidecarError(f"{where}: tracks is not a table of Nuke 7 or later; save it again")
    columns = [part[3] for part in _as_list(table[1]) if isinstance(part, list) and len(part) > 3]
    missing = {"name", "track_x", "track_y"} - {str(name) for name in columns}
    if missing:
        raise SidecarError(f"{where}: tracks without the columns {', '.join(sorted(missing))}")
    tracks: Tracks = {}
    notes = []
    for row in _as_list(table[2]):
        cells = dict(zip(columns, _as_list(row), strict=False))
        name = str(cells.get("name", f"track {len(tracks) + 1}"))
        if name in tracks:
            raise SidecarError(f"{where}: two points are called {name!r}; rename one")
        tracks[name] = _read_track(cells, f"{where}: {name}", height)
        if _is_offset(cells, f"{where}: {name}"):
            notes.append(f"{where}: {name}: has an offset, which is not applied")
    return tracks, notes


def tracker_node(tracks: Mapping[str, Mapping[int, TrackFrame]], height: float, name: str) -> str:
    """The text of a Tracker4 node; points without a frame are left out."""
    rows = [_row(point, frames, height) for point, frames in tracks.items() if frames]
    columns = "\n".join(
        f"{{ {kind} {shown} {width} {column} {label} 1 }} "
        for kind, shown, width, column, label in _COLUMNS
    )
    table = "\n".join(f" {{ {row} }} " for row in rows)
    return (
        "Tracker4 {\n inputs 0\n"
        f" tracks {{ {{ 1 {len(_COLUMNS)} {len(rows)} }} \n"
        f"{{ {columns} \n}} \n{{ \n{table}\n}} \n}}\n"
        f" name {quote(name)}\n xpos 200\n ypos 0\n}}\n"
    )


def _as_list(tree: Tree) -> list[Tree]:
    return tree if isinstance(tree, list) else []


def _is_offset(cells: Mapping[Tree, Tree], where: str) -> bool:
    offsets = [read_curve(cells.get(name, 0.0), where) for name in ("offset_x", "offset_y")]
    return any(
        value != 0.0
        for part in offsets
        for value in ([key.value for key in part.keys] or [part.constant])
    )


def _read_track(cells: Mapping[Tree, Tree], where: str, height: float) -> dict[int, TrackFrame]:
    x = read_curve(cells["track_x"], f"{where}: track_x")
    y = read_curve(cells["track_y"], f"{where}: track_y")
    times = sorted({*x.times, *y.times})
    if not times:
        return {}
    frames = np.arange(np.ceil(times[0]), np.floor(times[-1]) + 1)
    seen = _enabled(cells.get("enable", 1.0), where).at(frames) > 0.5
    return {
        int(frame): TrackFrame(xy=(float(px), height - float(py)), visible=bool(visible))
        for frame, px, py, visible in zip(frames, x.at(frames), y.at(frames), seen, strict=True)
    }


def _enabled(tree: Tree, where: str) -> Animated:
    if isinstance(tree, str):
        return Animated(constant=float(tree in ("true", "1")))
    return read_curve(tree, f"{where}: enable")


def _row(name: str, frames: Mapping[int, TrackFrame], height: float) -> str:
    """The 31 cells of one point. Where it has no frame it is not enabled."""
    order = sorted(frames)
    first = order[0]
    x = _curve((frame, frames[frame].xy[0]) for frame in order)
    y = _curve((frame, height - frames[frame].xy[1]) for frame in order)
    still = f"{{curve K x{first} 0}}"
    areas = "-72 -72 72 72 -50 -50 50 50"
    return (
        f"{_enable_curve(frames)} {_in_quotes(name)} {x} {y} {still} {still} 1 0 0 "
        f"{{curve x{first} 0}} 0 0 {areas} " + "{curve} " * 11
    ).rstrip()


def _in_quotes(word: str) -> str:
    """A word in quotes, as names of tracking points are written."""
    quoted = quote(word)
    return quoted if quoted.startswith('"') else f'"{quoted}"'


def _curve(keys: Iterable[tuple[int, float]]) -> str:
    """Linear keys; every one names its frame, so that none depends on its neighbours."""
    words = [f"L x{frame} {value:.9g}" for frame, value in keys]
    return "{curve " + " ".join(words) + "}"


def _enable_curve(frames: Mapping[int, TrackFrame]) -> str:
    order = sorted(frames)
    states = {frame: frames[frame].visible for frame in order}
    states |= {before + 1: False for before, after in pairwise(order) if after > before + 1}
    keys = []
    last: bool | None = None
    for frame in sorted(states):
        if states[frame] != last:
            keys.append(f"K x{frame} {int(states[frame])}")
        last = states[frame]
    return "{curve " + " ".join(keys) + "}"
