"""COCO keypoints (JSON): each annotation's ``[x, y, v] * K`` becomes tracking points by name.

``v`` 0 is a point nobody placed: it is left out; 1 is placed but covered: kept, not visible; 2 is
seen. Names stand in the category. Frames are the last number of each picture's ``file_name``.
``ReadOptions.node`` names a category where there are several with keypoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames, check_size
from laikaroto.sidecar.formats.keypoints import (
    Tracks,
    choose,
    frame_in_name,
    number,
    read_json,
    track_frame,
)
from laikaroto.sidecar.formats.registry import ReadOptions


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """Tracking points of one category.

    Raises:
        SidecarError: not such a file, several puppets in one picture, pictures of several sizes
            or another than the plate's, or values that are none.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        raise SidecarError(f"{path}: wanted a COCO document, got {type(document).__name__}")
    names = _names(document, options, path)
    frames, size = _frames(document, path)
    check_size(size, options.wanted, path)
    tracks: Tracks = {name: {} for name in names[1]}
    seen: set[int] = set()
    for index, annotation in enumerate(_list(document, "annotations", path)):
        where = f"{path}: annotations[{index}]"
        if _get(annotation, "category_id", where) != names[0] or "keypoints" not in annotation:
            continue
        image = _get(annotation, "image_id", where)
        if image not in frames:
            raise SidecarError(f"{where}: image_id {image!r} names no picture of the file")
        if frames[image] in seen:
            raise SidecarError(f"{where}: a second puppet on frame {frames[image]}; keep one")
        seen.add(frames[image])
        _take(annotation["keypoints"], names[1], frames[image], tracks, options, where)
    notes = check_frames(all_frames(tracks.values()), options.wanted, path)
    return ArtistFile(
        path=path, tool="coco", size=size, shapes={}, notes=notes,
        tracks={name: track for name, track in tracks.items() if track},
    )  # fmt: skip


def _names(document: dict[str, Any], options: ReadOptions, path: Path) -> tuple[Any, list[str]]:
    """Id of the category to read, and the names of its points in their order."""
    categories = {}
    for index, category in enumerate(_list(document, "categories", path)):
        where = f"{path}: categories[{index}]"
        if _get(category, "keypoints", where, default=None):
            categories[str(_get(category, "name", where))] = category
    name = choose(categories, options.node, "category", path)
    if name is None:
        raise SidecarError(f"{path}: no category has keypoints; wanted COCO keypoint annotations")
    points = categories[name]["keypoints"]
    if not isinstance(points, list) or len({str(point) for point in points}) != len(points):
        raise SidecarError(f"{path}: category {name!r}: wanted a list of names that all differ")
    return _get(categories[name], "id", f"{path}: category {name!r}"), [str(p) for p in points]


def _frames(document: dict[str, Any], path: Path) -> tuple[dict[Any, int], tuple[int, int] | None]:
    """Frame of each picture by its id, and the size of all pictures."""
    frames: dict[Any, int] = {}
    sizes = set()
    for index, image in enumerate(_list(document, "images", path)):
        where = f"{path}: images[{index}]"
        frame = frame_in_name(str(_get(image, "file_name", where)), where)
        if frame in frames.values():
            raise SidecarError(f"{where}: a second picture of frame {frame}; hand in one shot only")
        frames[_get(image, "id", where)] = frame
        if "width" in image and "height" in image:
            sizes.add((int(number(image["width"], where)), int(number(image["height"], where))))
    if len(sizes) > 1:
        raise SidecarError(f"{path}: pictures of several sizes, {sorted(sizes)}; wanted one shot")
    return frames, sizes.pop() if sizes else None


def _take(
    values: Any, names: list[str], frame: int, tracks: Tracks, options: ReadOptions, where: str
) -> None:
    if not isinstance(values, list) or len(values) != 3 * len(names):
        got = len(values) if isinstance(values, list) else type(values).__name__
        raise SidecarError(f"{where}: keypoints: wanted {3 * len(names)} numbers, got {got}")
    for index, name in enumerate(names):
        x, y, v = (number(value, f"{where}: {name}") for value in values[3 * index :][:3])
        if v not in (0.0, 1.0, 2.0):
            raise SidecarError(f"{where}: {name}: wanted visibility 0, 1 or 2, got {v:g}")
        if v > 0.0:
            tracks[name][frame] = track_frame(x, y, options, visible=v == 2.0)


def _list(document: dict[str, Any], name: str, path: Path) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise SidecarError(f"{path}: {name}: wanted a list; is it COCO keypoint annotations?")
    return value


def _get(record: Any, name: str, where: str, **default: Any) -> Any:
    if not isinstance(record, dict) or (name not in record and not default):
        raise SidecarError(f"{where}: wanted a record with {name!r}")
    value = record.get(name, default.get("default"))
    if name in ("id", "image_id", "category_id") and not isinstance(value, int | str):
        raise SidecarError(f"{where}: {name}: wanted a number or name, got {value!r:.60}")
    return value
