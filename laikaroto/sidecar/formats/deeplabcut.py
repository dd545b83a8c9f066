"""DeepLabCut tables (``.csv``): labelled pictures, or predictions on a video.

Header rows say scorer, (individuals,) bodyparts and coords; points are matched by their names.
Rows are a picture's path (its last number is the frame) or a video's frame from 0, which is the
plate's first. A position left empty is a point nobody placed. ``likelihood`` is the confidence;
the table says nothing of visibility, so a placed point counts as visible. Of several individuals
``ReadOptions.node`` names one. The ``.h5`` beside a table holds the same and is not read.
"""

from __future__ import annotations

import csv
from pathlib import Path

from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames
from laikaroto.sidecar.formats.keypoints import (
    Tracks,
    choose,
    frame_in_name,
    number,
    read_bytes,
    track_frame,
    video_frame,
)
from laikaroto.sidecar.formats.registry import ReadOptions

_HEADERS = ("scorer", "individuals", "bodyparts", "coords")


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Tracking points of one individual.

    Raises:
        SidecarError: not such a table, several individuals and none named, or values that are none.
    """
    rows = _rows(path)
    header = {row[0]: row for row in rows[:4] if row[0] in _HEADERS}
    if not {"scorer", "bodyparts", "coords"} <= set(header):
        first = rows[0][0] if rows else ""
        raise SidecarError(
            f"{path}: wanted a DeepLabCut table with rows scorer, bodyparts and coords, "
            f"got {first!r:.60}; export .h5 files as .csv"
        )
    columns = _columns(header, options, path)
    tracks: Tracks = {name: {} for name in columns}
    coords = header["coords"]
    first_column = next(at for at in range(1, len(coords)) if coords[at])
    for line, row in enumerate(rows[len(header) :], len(header) + 1):
        frame = _frame(row[:first_column], options, f"{path}: line {line}")
        for name, cells in columns.items():
            where = f"{path}: line {line}: {name}"
            values = {coord: _value(row, at, where) for coord, at in cells.items()}
            x, y = values["x"], values["y"]
            if x is None or y is None:
                continue
            if frame in tracks[name]:
                raise SidecarError(f"{path}: line {line}: frame {frame} is there twice")
            tracks[name][frame] = track_frame(x, y, options, confidence=values.get("likelihood"))
    notes = check_frames(all_frames(tracks.values()), options.wanted, path)
    return ArtistFile(
        path=path, tool="deeplabcut", size=None, shapes={}, notes=notes,
        tracks={name: track for name, track in tracks.items() if track},
    )  # fmt: skip


def _rows(path: Path) -> list[list[str]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
        return [row for row in csv.reader(text.splitlines()) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SidecarError(f"{path}: not a table of text (.csv): {error}") from error


def _columns(
    header: dict[str, list[str]], options: ReadOptions, path: Path
) -> dict[str, dict[str, int]]:
    """Column of each coordinate, by the points' names."""
    width = len(header["coords"])
    if any(len(row) != width for row in header.values()):
        raise SidecarError(f"{path}: header rows of unlike length; export the table again")
    filled = [at for at in range(1, width) if header["coords"][at]]
    individuals = header.get("individuals", [""] * width)
    names = {individuals[at] for at in filled}
    wanted = choose(names - {"single"} or names, options.node, "individual", path)
    columns: dict[str, dict[str, int]] = {}
    for at in filled:
        if individuals[at] == wanted:
            columns.setdefault(header["bodyparts"][at], {})[header["coords"][at]] = at
    short = [name for name, cells in columns.items() if not {"x", "y"} <= set(cells)]
    if short or not columns:
        raise SidecarError(f"{path}: wanted columns x and y of each point; {short or 'none'} lack")
    return columns


def _frame(index: list[str], options: ReadOptions, where: str) -> int:
    name = index[-1]
    if name.isdecimal():
        return video_frame(int(name), options.plate)
    return frame_in_name(name, where)


def _value(row: list[str], at: int, where: str) -> float | None:
    text = row[at].strip() if at < len(row) else ""
    if text.lower() in ("", "nan"):
        return None
    try:
        return number(float(text), where)
    except ValueError as error:
        raise SidecarError(f"{where}: wanted a number, got {text!r:.60}") from error
