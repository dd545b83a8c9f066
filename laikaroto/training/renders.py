"""Rendered heads as a second source of training pictures.

The files that a face is printed from can also be rendered, with any expression and from any
side, and a renderer knows where every tracking point lies. A folder of renders holds, for each,

    NAME.exr or NAME.png    RGBA: the head without surroundings. EXR: scene-linear,
                            premultiplied, as renderers write it; PNG: sRGB, not premultiplied.
    NAME.json               {"points": {"nose_tip": [x, y], "ear_L": null}}

Positions are px of the picture, origin at its top-left corner, pixel centres at .5. ``null``
(or [0, 0], as in the set published with the WACV 2021 paper) is a point that cannot be seen.
Points are named as the character's tracking points; those left out are unknown. There are no
shapes: only tracking points are learned from renders, and nothing is ever measured on them.

Each time one is shown, it stands before another piece of a plate, mixed in linear light.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.config import PlateConfig
from laikaroto.coords import FloatArray
from laikaroto.errors import PlateError, TruthError
from laikaroto.model.arrays import load_arrays, write_arrays
from laikaroto.model.crop import Box, box_around, reduce_plate
from laikaroto.plate.colour import decode_log, encode_log
from laikaroto.plate.exr import read_rgb
from laikaroto.shapes.records import Roto
from laikaroto.training.examples import Example
from laikaroto.training.poses import fit_similarity, mean_pose

LEAST_POINTS = 3
LEAST_PX = 32
_SUFFIXES = (".exr", ".png")
_MOST_FAULTS = 20
#: how far from the picture a point may lie, of its larger side
_OUTSIDE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RenderFile:
    """One render on disk: its picture, and xy (T, 2) of the tracking points, NaN if unknown."""

    name: str
    picture: Path
    points: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed(Example):
    """An example whose head box is known although most of its points are not."""

    head_box: Box

    @property
    def box(self) -> Box:
        """Where the head is, px of the picture."""
        return self.head_box


@dataclass(frozen=True, slots=True, eq=False)
class RenderedHead:
    """A prepared render: log-encoded premultiplied colour (h, w, 3), alpha (h, w), its points.

    ``scale`` is px here per px of the file; values, known and box are in px of the file.
    """

    name: str
    colour: NDArray[np.float16]
    alpha: NDArray[np.float16]
    scale: float
    values: FloatArray
    known: NDArray[np.bool_]
    box: Box

    def before(self, background: NDArray[np.float32]) -> Example:
        """The head before a background (H, W, 3), log-encoded; it is enlarged to fit."""
        height, width = self.alpha.shape
        behind = np.asarray(cv2.resize(background, (width, height)), np.float32)
        let = 1 - self.alpha.astype(np.float32)[..., None]
        light = decode_log(self.colour.astype(np.float32)) + decode_log(behind) * let
        return Placed(
            "", 0, encode_log(light).astype(np.float16), self.scale,
            np.zeros((0, 0, 3), np.float16), np.eye(2, 3), self.values, self.known, self.known,
            head_box=self.box,
        )  # fmt: skip


def find_renders(folders: Sequence[Path], template: CharacterTemplate) -> list[RenderFile]:
    """Every render of some folders, its points checked; pictures are only looked for.

    Raises:
        TruthError: lists all faults: folders and files missing, unknown points, bad positions.
    """
    found: list[RenderFile] = []
    faults: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            faults.append(f"{folder}: there is no such folder; mend training.renders.folders")
            continue
        before = len(found) + len(faults)
        for path in sorted(folder.glob("*.json")):
            picture = _picture_of(path, faults)
            points = _read_points(path, template, faults)
            if picture is not None and points is not None:
                # numbered throughout: two folders may be called the same
                name = f"{folder.name}.{len(found):06d}"
                found.append(RenderFile(name, picture, points))
        for path in sorted(folder.iterdir()):
            if path.suffix in _SUFFIXES and not path.with_suffix(".json").is_file():
                faults.append(f"{path}: has no {path.stem}.json with its points beside it")
        if len(found) + len(faults) == before:
            faults.append(f"{folder}: holds no renders; wanted NAME.exr or NAME.png and NAME.json")
    refuse(faults)
    return found


def refuse(faults: Sequence[str]) -> None:
    """Raise TruthError with the faults of a set of renders, if there are any."""
    if faults:
        more = len(faults) - _MOST_FAULTS
        lines = list(faults[:_MOST_FAULTS]) + ([f"… and {more} more"] if more > 0 else [])
        raise TruthError("\n".join(["renders cannot be learned from:", *lines]))


def write_renders(
    folder: Path,
    renders: Sequence[RenderFile],
    template: CharacterTemplate,
    rotos: Sequence[Roto],
    *,
    crop_px: int,
) -> None:
    """Prepare renders, each to ``folder/NAME.npz``.

    Args:
        folder: for the small files.
        renders: as ``find_renders`` gives them.
        template: the character's.
        rotos: ground truth: its frames tell how large a head is around the tracking points.
        crop_px: side of the crop that is learned from.

    Raises:
        TruthError: lists all pictures that cannot be used; or no frame has all points drawn.
        TryAgainError: the disk refuses.
    """
    if not renders:
        return
    packed = [pack(roto, template, frame) for roto in rotos for frame in sorted(roto.frames)]
    drawn = [values[:, :2] for values, _, known in packed if known.all()]
    if not drawn:
        raise TruthError(
            "renders cannot be learned from: how large the head is around their points is told by "
            "a frame on which all shapes and points are drawn, and there is none"
        )
    mean, faults = mean_pose(np.stack(drawn)), []
    for render in renders:
        try:
            path = folder / f"{render.name}.npz"
            write_render(path, render, template, mean, crop_px=crop_px)
        except TruthError as error:
            faults.append(str(error))
    refuse(faults)


def write_render(
    path: Path,
    render: RenderFile,
    template: CharacterTemplate,
    mean: FloatArray,
    *,
    crop_px: int,
) -> None:
    """Prepare one render: picture and points to one small file.

    Args:
        path: of the small file.
        render: what to prepare.
        template: the character's.
        mean: (P, 2) mean pose of all points in the ground truth (``poses.mean_pose``): tells
            how large the head is around the tracking points.
        crop_px: side of the crop that is learned from.

    Raises:
        TruthError: the picture cannot be read, has no alpha, or the points lie outside of it.
        TryAgainError: the disk refuses.
    """
    light, alpha = read_rgba(render.picture)
    _check_inside(render, alpha.shape)
    tracks = len(template.tracks)
    known = np.zeros(template.point_count, bool)
    known[:tracks] = np.isfinite(render.points).all(axis=1)
    values = np.zeros((template.point_count, 6))
    values[:tracks, :2] = np.nan_to_num(render.points)
    matrix = fit_similarity(mean[known], values[known, :2])
    box = box_around(mean @ matrix[:, :2].T + matrix[:, 2])
    colour, scale = reduce_plate(light, box, crop_px)
    thin, _ = reduce_plate(alpha, box, crop_px)
    write_arrays(
        path,
        {
            "colour": encode_log(colour).astype(np.float16),
            "alpha": thin.astype(np.float16),
            "scale": scale,
            "values": values,
            "known": known,
            "box": np.array([box.x, box.y, box.side]),
        },
    )


def read_render(path: Path) -> RenderedHead:
    """Read what ``write_render`` wrote.

    Raises:
        TruthError: the file is missing or damaged.
    """
    try:
        colour, alpha, scale, values, known, box = load_arrays(
            path, ("colour", "alpha", "scale", "values", "known", "box")
        ).values()
        x, y, side = box.tolist()
    except (OSError, ValueError) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the prepare step again") from error
    return RenderedHead(path.stem, colour, alpha, float(scale), values, known, Box(x, y, side))


def read_rgba(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A render's scene-linear premultiplied colour (H, W, 3) and alpha (H, W), 0-1.

    Raises:
        TruthError: it cannot be read, has no alpha, or nothing in it is opaque.
    """
    light, alpha = _read_exr(path) if path.suffix == ".exr" else _read_png(path)
    if min(alpha.shape) < LEAST_PX:
        height, width = alpha.shape
        raise TruthError(f"{path}: is {width}x{height}; wanted {LEAST_PX} px at least")
    if alpha.max() < 0.5:
        raise TruthError(f"{path}: nothing in it is opaque: its alpha is empty")
    return light, np.clip(alpha, 0, 1)


def _read_exr(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    def read(channels: tuple[str, str, str]) -> NDArray[np.float32]:
        return read_rgb(path, PlateConfig(template="{shot}.{frame}", channels=channels))

    try:
        return read(("R", "G", "B")), read(("A", "A", "A"))[..., 0]
    except PlateError as error:
        raise TruthError(f"{error} (a render needs the channels R, G, B and A)") from error


def _read_png(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise TruthError(f"{path}: is not a PNG that can be read; render it again")
    if image.ndim != 3 or image.shape[2] != 4:
        raise TruthError(f"{path}: has no alpha; render it as RGBA, without surroundings")
    values = image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 65535)
    alpha = values[..., 3]
    curve = values[..., 2::-1]
    linear = np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
    return (linear * alpha[..., None]).astype(np.float32), np.asarray(alpha, np.float32)


def _picture_of(path: Path, faults: list[str]) -> Path | None:
    there = [p for suffix in _SUFFIXES if (p := path.with_suffix(suffix)).is_file()]
    if len(there) != 1:
        got = "both" if there else "neither"
        faults.append(f"{path}: wanted {path.stem}.exr or {path.stem}.png beside it, got {got}")
        return None
    return there[0]


def _read_points(path: Path, template: CharacterTemplate, faults: list[str]) -> FloatArray | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        faults.append(f"{path}: cannot be read: {error}")
        return None
    points = data.get("points") if isinstance(data, dict) else None
    if not isinstance(points, dict) or set(data) != {"points"}:
        faults.append(f'{path}: wanted {{"points": {{"name": [x, y] or null}}}} and nothing else')
        return None
    before = len(faults)
    if unknown := sorted(set(points) - set(template.tracks)):
        known = ", ".join(template.tracks) or "none"
        faults.append(f"{path}: points.{', '.join(unknown)}: no tracking points; known: {known}")
    xy = np.full((len(template.tracks), 2), np.nan)
    for row, place in _places(points, template):
        if place is None or place == [0, 0]:
            continue
        if not _is_place(place):
            name = template.tracks[row]
            faults.append(f"{path}: points.{name}: wanted [x, y] or null, got {place!r:.60}")
        else:
            xy[row] = place
    seen = int(np.isfinite(xy).all(axis=1).sum())
    if len(faults) == before and seen < LEAST_POINTS:
        faults.append(f"{path}: {seen} points are seen; wanted {LEAST_POINTS} at least")
    return xy if len(faults) == before else None


def _places(points: dict[str, Any], template: CharacterTemplate) -> Iterator[tuple[int, Any]]:
    for row, name in enumerate(template.tracks):
        if name in points:
            yield row, points[name]


def _is_place(place: Any) -> bool:
    return (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in place)
        and bool(np.isfinite(place).all())
    )


def _check_inside(render: RenderFile, shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    room = _OUTSIDE * max(width, height)
    xy = render.points[np.isfinite(render.points).all(axis=1)]
    if ((xy < -room) | (xy > np.array([width, height]) + room)).any():
        raise TruthError(
            f"{render.picture}: is {width}x{height}, but its points lie around "
            f"{xy.mean(axis=0).round().astype(int).tolist()}: wanted px of the picture"
        )
    if not np.ptp(xy, axis=0).any():
        raise TruthError(f"{render.picture}: all its points lie at one place")
