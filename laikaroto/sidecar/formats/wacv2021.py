"""The data set of LAIKA and Intel's paper (WACV 2021): a folder of a shot, or one of its files.

    shot0/  raw_shapes-shot0-frame100.json    the artists' contours
            revec_shapes-shot0-frame100.json  the same, carried onto persistent points
    test/   shapes-test-frame100.json         shapes and 28 points
    CG/     points-CG-frame100.json           45 projected points, [0, 0] where covered

A shape is a list of Bezier segments ``[[x0, tx0, x1, tx1], [y0, ty0, y1, ty1]]``: px, y down,
tangents relative to their end. It is closed where the last segment ends at the first's start.
Pictures are 800x800. ``points`` have no names: they are ``point_01`` and on. Of a shot's folder
the artists' contours are read; ``ReadOptions.node`` ``revec`` asks for the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames, check_size
from laikaroto.sidecar.formats.keypoints import (
    Tracks,
    choose,
    number,
    read_json,
    track_frame,
)
from laikaroto.sidecar.formats.registry import ReadOptions

_NAME = re.compile(r"(raw_shapes|revec_shapes|shapes|points)-(.+)-frame(\d{1,9})\.json")
_SETS = {"raw_shapes": "raw", "revec_shapes": "revec", "shapes": "test", "points": "cg"}
_SIZE = (800, 800)
#: Segments meet within the four decimals the numbers may be rounded to.
_MEET_PX = 1e-3


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Shapes and points of a folder's frames, or of one file.

    Raises:
        SidecarError: no such files, several sets, a shape whose segments do not join, a plate of
            another size, or values that are none.
    """
    check_size(_SIZE, options.wanted, path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    named = [(match, file) for file in files if (match := _NAME.fullmatch(file.name))]
    if not named:
        raise SidecarError(
            f"{path}: wanted files such as raw_shapes-shot0-frame100.json, or a folder of them"
        )
    if len(shots := sorted({match[2] for match, _ in named})) > 1:
        raise SidecarError(
            f"{path}: holds files of several shots, {', '.join(shots)}; hand in one shot's folder"
        )
    there = {_SETS[match[1]] for match, _ in named}
    wanted = "raw" if options.node is None and there == {"raw", "revec"} else options.node
    chosen = choose(there, wanted, "set", path)
    shapes: dict[str, dict[int, tuple[FloatArray, bool]]] = {}
    tracks: Tracks = {}
    for match, file in named:
        if _SETS[match[1]] == chosen:
            _take(file, int(match[3]), shapes, tracks, options)
    frames = all_frames(shapes.values(), tracks.values())
    return ArtistFile(
        path=path, tool="wacv2021", size=_SIZE, notes=check_frames(frames, options.wanted, path),
        shapes={name: _shape(name, frames, path) for name, frames in sorted(shapes.items())},
        tracks={name: track for name, track in tracks.items() if track},
    )  # fmt: skip


def _take(
    file: Path, frame: int, shapes: dict[str, dict[int, tuple[FloatArray, bool]]], tracks: Tracks,
    options: ReadOptions,
) -> None:  # fmt: skip
    document = read_json(file)
    if not isinstance(document, dict):
        raise SidecarError(f"{file}: wanted shapes by name, got {type(document).__name__}")
    for name, value in document.items():
        where = f"{file}: {name}"
        if not isinstance(value, list):
            raise SidecarError(f"{where}: wanted a list, got {type(value).__name__}")
        if name != "points":
            shapes.setdefault(name, {})[frame] = _contour(value, where, options)
            continue
        for index, point in enumerate(value, 1):
            x, y = _numbers(point, 2, f"{where}[{index}]")
            track = tracks.setdefault(f"point_{index:02d}", {})
            if (x, y) != (0.0, 0.0):
                track[frame] = track_frame(x, y, options)


def _contour(value: Sequence[Any], where: str, options: ReadOptions) -> tuple[FloatArray, bool]:
    """Control points (N, 6) of a list of segments, and whether it is closed."""
    rows = []
    for index, segment in enumerate(value):
        if not isinstance(segment, list) or len(segment) != 2:
            raise SidecarError(f"{where}: segment {index}: wanted x and y")
        rows.append([_numbers(axis, 4, f"{where}: segment {index}") for axis in segment])
    if not rows:
        raise SidecarError(f"{where}: no segments")
    segments = np.array(rows)  # (S, xy, start tangent end tangent)
    gap = np.abs(segments[1:, :, 0] - segments[:-1, :, 2])
    if gap.size and gap.max() > _MEET_PX:
        at = int(gap.max(axis=1).argmax())
        raise SidecarError(
            f"{where}: segment {at + 1} begins {gap.max():.3g} px off the one before"
        )
    closed = bool(np.abs(segments[0, :, 0] - segments[-1, :, 2]).max() <= _MEET_PX)
    closed = closed and len(segments) > 1
    out = np.concatenate([segments[:, :, [0, 1]], _tail(segments)]) if not closed else (
        segments[:, :, [0, 1]]
    )  # fmt: skip
    into = np.concatenate([segments[-1:, :, 3] if closed else np.zeros((1, 2)), segments[:, :, 3]])
    points: FloatArray = np.concatenate([out[:, :, 0], into[: len(out)], out[:, :, 1]], axis=1)
    if options.pixel_centres:
        points[:, :2] += 0.5
    return points, closed


def _tail(segments: FloatArray) -> FloatArray:
    """The last place of an open contour, without a tangent onwards: (1, 2, 2)."""
    return np.stack([segments[-1, :, 2], np.zeros(2)], axis=-1)[None]


def _numbers(value: Any, count: int, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise SidecarError(f"{where}: wanted {count} numbers, got {value!r:.60}")
    return [number(part, where) for part in value]


def _shape(name: str, frames: dict[int, tuple[FloatArray, bool]], path: Path) -> ArtistShape:
    closed = {at_frame[1] for at_frame in frames.values()}
    if len(closed) > 1:
        odd = [frame for frame, at_frame in sorted(frames.items()) if not at_frame[1]]
        raise SidecarError(f"{path}: {name}: open on frames {odd[:10]}, closed on others")
    return ArtistShape(
        name=name, closed=closed.pop(), keys=tuple(sorted(frames)),
        frames={frame: frames[frame][0] for frame in sorted(frames)},
    )  # fmt: skip
