"""SLEAP (HDF5): projects (``.slp``) and exported analyses (``.h5``), points by their names.

Frames are a video's from 0, which is the plate's first. A project knows where its pixels'
centres lie: (0, 0) since its format 1.1, (0.5, 0.5) before; of an analysis the caller says.
A point without a position was not placed; a project's ``visible`` is kept. Scores are the
confidence. Of several tracks ``ReadOptions.node`` names one. Needs h5py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames
from laikaroto.sidecar.formats.keypoints import Tracks, choose, track_frame, video_frame
from laikaroto.sidecar.formats.registry import ReadOptions

_CENTRES_AT_WHOLE_NUMBERS = 1.1
_TABLES_CHANGED = 3.0
_MAX_VALUES = 50_000_000
_ANALYSIS_DIMS = ["track", "xy", "node", "frame"]


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Tracking points of one track.

    Raises:
        SidecarError: not such a file, several tracks and none named, or two puppets on a frame.
        UsageError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise UsageError("SLEAP files need h5py: pip install 'laikaroto[keypoints]'") from error
    try:
        with h5py.File(path, "r") as file:
            if "tracks" in file and "node_names" in file:
                return _read_analysis(file, path, options)
            if "metadata" in file and "frames" in file:
                return _read_project(file, path, options)
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise SidecarError(
            f"{path}: not a SLEAP project or analysis that can be read: {error}; export it again"
        ) from error
    raise SidecarError(f"{path}: neither a SLEAP project (.slp) nor an analysis (.h5)")


def _data(file: Any, name: str, path: Path) -> NDArray[Any]:
    """One array of the file itself, never of another file it links to; bounded."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise SidecarError(f"{path}: {name} is missing, or lies in another file; export it again")
    data = file[name]
    if data.size > _MAX_VALUES or data.is_virtual or data.external:
        raise SidecarError(f"{path}: {name}: {data.size} values, or kept elsewhere; export anew")
    return np.asarray(data[()])


def _texts(values: NDArray[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _read_analysis(file: Any, path: Path, options: ReadOptions) -> ArtistFile:
    places = _data(file, "tracks", path).astype(np.float64)
    names = _texts(_data(file, "node_names", path))
    dims = json.loads(file["tracks"].attrs.get("dims", json.dumps(_ANALYSIS_DIMS)))
    places = places.transpose([dims.index(name) for name in _ANALYSIS_DIMS])
    tracks_there = _texts(_data(file, "track_names", path)) if "track_names" in file else []
    tracks_there = tracks_there or [f"track_{index}" for index in range(len(places))]
    if places.shape[:3] != (len(tracks_there), 2, len(names)):
        raise SidecarError(f"{path}: tracks of shape {places.shape}, for {len(names)} points")
    chosen = choose(tracks_there, options.node, "track", path)
    scores = np.full(places[:, 0].shape, np.nan)
    if "point_scores" in file and file["point_scores"].shape == scores.shape:
        scores = _data(file, "point_scores", path).astype(np.float64)
    points: Tracks = {name: {} for name in names}
    at = tracks_there.index(chosen) if chosen is not None else 0
    for node, name in enumerate(names):
        for index, (x, y) in enumerate(places[at, :, node].T):
            if np.isfinite((x, y)).all():
                points[name][video_frame(index, options.plate)] = track_frame(
                    x, y, options, confidence=_score(scores[at, node, index])
                )
    notes = () if options.pixel_centres else (
        f"{path}: SLEAP counts pixel centres at whole numbers since its version 1.1; this was "
        "read as if it did not: say --pixel-centres if it does",
    )  # fmt: skip
    return _artist(path, points, options, notes)


def _read_project(file: Any, path: Path, options: ReadOptions) -> ArtistFile:
    version = float(file["metadata"].attrs.get("format_id", 1.0))
    if version >= _TABLES_CHANGED:
        raise SidecarError(f"{path}: SLEAP format {version:g} is not known; export an analysis .h5")
    options = dataclasses.replace(options, pixel_centres=version >= _CENTRES_AT_WHOLE_NUMBERS)
    document = json.loads(file["metadata"].attrs["json"])
    names = [str(node["name"]) for node in document["nodes"]]
    order = [int(node["id"]) for node in document["skeletons"][0]["nodes"]]
    names = [names[index] for index in order]
    track_names = [str(json.loads(text)[1]) for text in _texts(_data(file, "tracks_json", path))]
    frames, instances = _data(file, "frames", path), _data(file, "instances", path)
    if len(set(frames["video"].tolist())) > 1:
        raise SidecarError(f"{path}: several videos; hand in a project of one shot")
    used = sorted({int(track) for track in instances["track"] if track >= 0})
    chosen = choose([track_names[track] for track in used], options.node, "track", path)
    tables = {0: _data(file, "points", path), 1: _data(file, "pred_points", path)}
    points: Tracks = {name: {} for name in names}
    for row in frames:
        all_here = instances[int(row["instance_id_start"]) : int(row["instance_id_end"])]
        here = [one for one in all_here if one["track"] < 0 or track_names[one["track"]] == chosen]
        by_hand = [one for one in here if one["instance_type"] == 0] or here
        if len(by_hand) > 1:
            raise SidecarError(f"{path}: video frame {row['frame_idx']}: several puppets; keep one")
        for one in by_hand:
            table = tables[int(one["instance_type"])]
            placed = table[int(one["point_id_start"]) : int(one["point_id_end"])]
            _take(placed, names, video_frame(int(row["frame_idx"]), options.plate), points, options)
    return _artist(path, points, options, ())


def _take(
    placed: NDArray[Any], names: list[str], frame: int, points: Tracks, options: ReadOptions
) -> None:
    scored = "score" in (placed.dtype.names or ())
    for name, point in zip(names, placed, strict=True):
        if np.isfinite((point["x"], point["y"])).all():
            points[name][frame] = track_frame(
                float(point["x"]), float(point["y"]), options, visible=bool(point["visible"]),
                confidence=_score(point["score"]) if scored else None,
            )  # fmt: skip


def _score(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _artist(path: Path, points: Tracks, options: ReadOptions, notes: tuple[str, ...]) -> ArtistFile:
    notes += check_frames(all_frames(points.values()), options.wanted, path)
    return ArtistFile(
        path=path, tool="sleap", size=None, shapes={},
        tracks={name: track for name, track in points.items() if track}, notes=notes,
    )  # fmt: skip
