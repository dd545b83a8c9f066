"""Pictures to compare by eye: the plate with the truth, and with every method's shapes.

For each evaluation shot the frame on which the first method of the table is worst, and the
one on which it is in the middle. One panel for each method: the truth thin and green, the
method's shapes magenta; hidden shapes are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.figures import Figures
from benchmarks.accuracy.footage import Footage, Image, Shot
from benchmarks.accuracy.run import Result
from benchmarks.accuracy.table import number
from laikaroto.coords import FloatArray
from laikaroto.model.crop import Box, crop_matrix, cut_crop, invert, reduce_plate
from laikaroto.plate.proxy import make_proxy, write_jpeg
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.records import Roto

_PANEL_PX = 420
_COLUMNS = 4
_ROOM = 1.1  # of the head box
_TRUTH, _DRAWN, _TEXT = (75, 226, 127), (255, 79, 200), (240, 240, 240)

Picture = NDArray[np.uint8]


def write_pictures(folder: Path, results: Sequence[Result], footage: Footage) -> list[Path]:
    """Write one picture for each shot and frame chosen.

    Raises:
        PlateError: a plate cannot be read. TryAgainError: the disk refuses.
    """
    drawn = [result for result in results if result.figures]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()  # of an earlier table, which chose other frames
    written = []
    for shot in footage.evaluation:
        able = [result for result in drawn if shot.name in result.figures]
        if not able:
            continue
        boxes = shot.true_boxes(footage.template)
        for kind, frame in chosen_frames(able[0].figures[shot.name]).items():
            (_, plate) = next(iter(shot.read([frame])))
            path = folder / f"{shot.name}.{kind}.{frame}.jpg"
            write_jpeg(path, _sheet(plate, boxes[frame], shot, frame, able))
            written.append(path)
    return written


def chosen_frames(figures: Figures) -> dict[str, int]:
    """The worst and the middle frame by the mean curve error of their shapes.

    A frame on which a shape is missing is worse than any on which none is.
    """

    def badness(frame: int) -> tuple[int, float]:
        errors = figures.evaluation.frames[frame].shapes.values()
        measured = [e.mean_px for e in errors if e.mean_px is not None]
        return sum(e.missing for e in errors), float(np.mean(measured)) if measured else 0.0

    ranked = sorted(figures.evaluation.frames, key=badness)
    return {"worst": ranked[-1], "median": ranked[len(ranked) // 2]}


def _sheet(plate: Image, box: Box, shot: Shot, frame: int, results: Sequence[Result]) -> Picture:
    near = Box(box.x, box.y, box.side * _ROOM)
    matrix = crop_matrix(near, _PANEL_PX)
    reduced, scale = reduce_plate(plate, near, _PANEL_PX)
    crop = make_proxy(cut_crop(reduced, matrix * scale, _PANEL_PX), max_width=_PANEL_PX)
    back = invert(matrix)
    panels = [_panel(crop, f"{shot.name} {frame}: truth", back, shot.truth, None, frame)]
    for result in results:
        errors = result.figures[shot.name].evaluation.frames[frame].shapes.values()
        measured = [e.mean_px for e in errors if e.mean_px is not None]
        mean = number(float(np.mean(measured)) if measured else None)
        title = f"{result.title}: {mean} px"
        if gone := sum(e.missing for e in errors):
            title += f", {gone} missing"
        panels.append(_panel(crop, title, back, shot.truth, result.rotos[shot.name], frame))
    while len(panels) % _COLUMNS:
        panels.append(np.zeros_like(crop))
    rows = [panels[i : i + _COLUMNS] for i in range(0, len(panels), _COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _panel(
    crop: Picture, title: str, back: FloatArray, truth: Roto, drawn: Roto | None, frame: int
) -> Picture:
    panel = crop.copy()
    _draw(panel, truth, frame, back, _TRUTH)
    if drawn is not None:
        _draw(panel, drawn, frame, back, _DRAWN)
    cv2.rectangle(panel, (0, 0), (_PANEL_PX, 22), (20, 20, 20), -1)
    cv2.putText(panel, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _TEXT, 1, cv2.LINE_AA)
    return panel


def _draw(
    panel: Picture, roto: Roto, frame: int, back: FloatArray, colour: tuple[int, int, int]
) -> None:
    for shape in roto.shapes.values():
        value = shape.frames.get(frame)
        if value is None or not value.visible:
            continue
        line = sample(value.points, closed=shape.closed) @ back[:, :2].T + back[:, 2] - 0.5
        fixed = np.round(np.clip(line, -2000, 2000) * 16).astype(np.int32)
        cv2.polylines(panel, [fixed], shape.closed, colour, 1, cv2.LINE_AA, shift=4)
