"""Inference: plates in, points and shapes of each frame out, before they are settled in time.

Each frame goes through four stages: find the head in the whole plate, small; draw it on that
crop; draw it again on the crop that the first drawing asks for, seen a few times with small
shifts and turns; bring everything to plate pixels. Frames go in windows of a few at once, so
that memory does not grow with their number, and each stage runs its whole window through an
asynchronous queue. Every request is one picture, so the result depends on the picture alone,
not on the order in which requests end.

The drawer's own expected error judges between hypotheses: a frame whose head the finder is
unsure of, or finds far from where its neighbours have it, is drawn again where the neighbours
say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model.crop import (
    MARGIN,
    Box,
    box_around,
    crop_matrix,
    cut_crop,
    look,
    reduce_plate,
    whole_plate,
)
from laikaroto.model.package import ModelPackage
from laikaroto.model.predictions import Predictions
from laikaroto.plate.colour import encode_log
from laikaroto.plate.motion import NO_MOTION_KNOWN, Motion, measure_motion

Image = NDArray[np.float32]
Report = Callable[[float, str], None]
#: Gives (frame, (H, W, 3) scene-linear float32) for frames, in that order.
Reader = Callable[[Sequence[int]], Iterator[tuple[int, Image]]]

#: Shift across and down, as shares of the crop's side, scale and turn (radians) of each look.
LOOKS = ((0.0, 0.0, 1.0, 0.0), (0.02, 0.01, 1.05, 0.03), (-0.01, -0.02, 0.97, -0.03))

#: What the networks of a package give.
OUTPUTS = frozenset({"centre", "side", "found", "points", "tangents", "visible", "error"})

_WINDOW_BYTES = 256 * 2**20
_WINDOW_MOST = 16
_SMALLEST_HEAD_PX = 8.0
_LARGEST_HEAD = 1.5  # as a share of the plate's longer side
_SURE = 0.5  # of the finder
_FAR = 0.6  # head boxes further than this share of their side from the trend are doubted
_RESIZED = 1.35


@dataclass(frozen=True, slots=True, eq=False)
class _Drawing:
    """One frame drawn: plate px, template order."""

    values: FloatArray
    visible: FloatArray
    error_px: FloatArray
    box: Box
    found: float
    motion: Motion

    @property
    def doubt(self) -> float:
        """Expected error as a share of the head's size: comparable between hypotheses."""
        return float(np.median(self.error_px)) / self.box.side


class Engine:
    """A model package ready to draw frames."""

    def __init__(
        self,
        package: ModelPackage,
        *,
        threads: int | None = None,
        looks: Sequence[tuple[float, float, float, float]] = LOOKS,
    ) -> None:
        """Compile the package's networks.

        Args:
            package: verified package.
            threads: processor threads to use; None: OMP_NUM_THREADS, else all there are.
            looks: variations of the second look whose drawings are averaged.

        Raises:
            ModelError: the networks cannot be read or do not fit the package's template.
        """
        self.package = package
        self.looks = tuple(looks)
        core = ov.Core()
        width, height = package.info.finder_size
        crop = package.info.crop_px
        count = threads or usable_threads()
        self._finder = _compile(core, package, "finder", [1, 3, height, width], count)
        self._drawer = _compile(core, package, "drawer", [1, 3, crop, crop], count)
        found = tuple(self._drawer.compiled.output("points").shape)
        if found != (1, package.template.point_count, 2):
            raise ModelError(
                f"{package.folder}: the drawer gives points {found[1:]}, the template has "
                f"{package.template.point_count}; train again"
            )

    def predict(
        self,
        frames: Sequence[int],
        read: Reader,
        *,
        before: int | None = None,
        boxes: Mapping[int, Box] | None = None,
        report: Report = lambda fraction, text: None,
    ) -> Predictions:
        """Draw frames.

        Args:
            frames: which, ascending.
            read: gives their plates; doubtful frames are asked for a second time.
            before: the frame ahead of the first, to see whether that one repeats it.
            boxes: heads marked by hand, used as they are.
            report: told how far it is.

        Returns:
            One entry a frame, in the order of ``frames``.

        Raises:
            PlateError: as ``read`` raises it.
        """
        known = dict(boxes or {})
        drawn: dict[int, _Drawing] = {}
        last: Image | None = None
        wanted = list(frames) if before is None else [before, *frames]
        for window in _windows(read(wanted)):
            if before is not None and last is None:
                last = window.pop(0)[1]
            for (frame, plate), drawing in zip(window, self._draw(window, known), strict=True):
                moved = NO_MOTION_KNOWN if last is None else _head_motion(last, plate, drawing)
                drawn[frame] = replace(drawing, motion=moved)
                last = plate
                report(len(drawn) / len(frames), f"frame {frame} drawn")
            window.clear()  # else two windows are in memory while the next is read
        self._draw_doubtful(drawn, known, read)
        return _pack([drawn[frame] for frame in frames], frames)

    def _draw_doubtful(
        self, drawn: dict[int, _Drawing], known: Mapping[int, Box], read: Reader
    ) -> None:
        """Draw doubtful frames where their neighbours have the head; keep what is better."""
        other = {f: box for f, box in _second_boxes(drawn).items() if f not in known}
        for window in _windows(read(sorted(other))) if other else ():
            for (frame, _), drawing in zip(window, self._draw(window, other), strict=True):
                if drawing.doubt < drawn[frame].doubt:
                    drawn[frame] = replace(drawing, found=drawn[frame].found)

    def _draw(
        self, window: Sequence[tuple[int, Image]], known: Mapping[int, Box]
    ) -> list[_Drawing]:
        plates = [plate for _, plate in window]
        found = self._find(plates)
        firm = [known.get(frame, box) for (frame, _), (box, _) in zip(window, found, strict=True)]
        size = self.package.info.crop_px
        views = [look(plate, box, size) for plate, box in zip(plates, firm, strict=True)]
        first = self._drawer.run([crop for crop, _ in views])
        boxes = []
        for (_, matrix), out, box in zip(views, first, firm, strict=True):
            boxes.append(_next_box(_to_plate(out["points"], matrix), box))
        second = [
            view
            for plate, box in zip(plates, boxes, strict=True)
            for view in self._vary(plate, box)
        ]
        outs = self._drawer.run([crop for crop, _ in second])
        count = len(self.looks)
        return [
            self._merge(
                outs[i * count : (i + 1) * count],
                [matrix for _, matrix in second[i * count : (i + 1) * count]],
                found[i][1],
            )
            for i in range(len(plates))
        ]

    def _find(self, plates: Sequence[Image]) -> list[tuple[Box, float]]:
        views = [whole_plate(plate, self.package.info.finder_size) for plate in plates]
        heads = []
        outs = self._finder.run([view for view, _ in views])
        for plate, (_, matrix), out in zip(plates, views, outs, strict=True):
            x, y = _to_plate(out["centre"], matrix)
            side = float(out["side"]) * float(matrix[0, 0])
            side = float(np.clip(side, _SMALLEST_HEAD_PX, _LARGEST_HEAD * max(plate.shape)))
            heads.append((Box(float(x), float(y), side), float(out["found"])))
        return heads

    def _vary(self, plate: Image, box: Box) -> list[tuple[Image, FloatArray]]:
        size = self.package.info.crop_px
        reduced, scale = reduce_plate(plate, box, size)
        views = []
        for across, down, zoom, turn in self.looks:
            seen = Box(box.x + across * box.side, box.y + down * box.side, box.side * zoom)
            matrix = crop_matrix(seen, size, turn=turn)
            views.append((cut_crop(reduced, matrix * scale, size), matrix))
        return views

    def _merge(
        self, outs: Sequence[dict[str, Any]], matrices: Sequence[FloatArray], found: float
    ) -> _Drawing:
        """The mean of the looks, in plate px."""
        tracks = len(self.package.template.tracks)
        drawings, errors = [], []
        for out, matrix in zip(outs, matrices, strict=True):
            values = np.zeros((len(out["points"]), 6))
            values[:, :2] = _to_plate(out["points"], matrix)
            tangents = out["tangents"].astype(np.float64).reshape(-1, 2, 2) @ matrix[:, :2].T
            values[tracks:, 2:] = tangents.reshape(-1, 4)
            drawings.append(values)
            errors.append(out["error"] * np.hypot(*matrix[:, 0]))
        values = np.mean(drawings, axis=0)
        return _Drawing(
            values=values,
            visible=np.mean([out["visible"] for out in outs], axis=0, dtype=np.float64),
            error_px=np.mean(errors, axis=0, dtype=np.float64),
            box=box_around(values[:, :2]),
            found=found,
            motion=NO_MOTION_KNOWN,
        )


def usable_threads() -> int:
    """Processor threads this task may use: OMP_NUM_THREADS if a farm set it, else all."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else len(os.sched_getaffinity(0))


def _compile(
    core: Any, package: ModelPackage, name: str, shape: list[int], threads: int
) -> _Network:
    path = package.folder / f"{name}.xml"
    try:
        model = core.read_model(path)
        # a fixed shape of one picture: nothing depends on which pictures go together
        model.reshape({"image": shape})
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 would move points
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # several tasks share a host's cores
        }
        return _Network(core.compile_model(model, "CPU", settings))
    except RuntimeError as error:
        raise ModelError(f"{path}: cannot be used by OpenVINO: {error}; train again") from error


class _Network:
    """A compiled network and its queue of asynchronous requests."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.names = {out: sorted(out.get_names() & OUTPUTS)[0] for out in compiled.outputs}
        # One queue for good and no callback: a callback in Python may still be on its way
        # when the queue is taken down, which ends the process.
        self.queue = ov.AsyncInferQueue(compiled)

    def run(self, pictures: Sequence[Image]) -> list[dict[str, Any]]:
        """Outputs by name, without the batch axis, of each picture (h, w, 3)."""
        results: list[dict[str, Any]] = [{} for _ in pictures]
        pending: dict[int, int] = {}
        for index, picture in enumerate(pictures):
            slot = self.queue.get_idle_request_id()
            if slot in pending:
                results[pending[slot]] = self._collect(slot)
            self.queue.start_async(
                {"image": np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}
            )
            pending[slot] = index
        self.queue.wait_all()
        for slot, index in pending.items():
            results[index] = self._collect(slot)
        return results

    def _collect(self, slot: int) -> dict[str, Any]:
        request = self.queue[slot]
        return {name: request.get_tensor(out).data[0].copy() for out, name in self.names.items()}


def _windows(plates: Iterator[tuple[int, Image]]) -> Iterator[list[tuple[int, Image]]]:
    """Cut a run of linear plates into windows of log-encoded ones that fit in memory."""
    window: list[tuple[int, Image]] = []
    for frame, plate in plates:
        window.append((frame, encode_log(plate)))
        if len(window) >= min(_WINDOW_MOST, max(2, _WINDOW_BYTES // plate.nbytes)):
            yield window
            window = []
    if window:
        yield window


def _to_plate(xy: NDArray[np.floating], matrix: FloatArray) -> FloatArray:
    return np.asarray(xy.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2])


def _next_box(xy: FloatArray, box: Box) -> Box:
    """The box that a first drawing asks for; a drawing gone wild does not lead far away."""
    asked = box_around(xy)
    side = float(np.clip(asked.side, box.side / 2, box.side * 2))
    reach = box.side / 2
    return Box(
        float(np.clip(asked.x, box.x - reach, box.x + reach)),
        float(np.clip(asked.y, box.y - reach, box.y + reach)),
        side,
    )


def _head_motion(last: Image, plate: Image, drawing: _Drawing) -> Motion:
    reach = drawing.box.side / MARGIN / 2 * 1.05
    x, y = drawing.box.x, drawing.box.y
    return measure_motion(last, plate, (x - reach, y - reach, x + reach, y + reach))


def _second_boxes(drawn: Mapping[int, _Drawing]) -> dict[int, Box]:
    """Where the neighbours have the head, for every frame that is doubtful."""
    frames = sorted(drawn)
    boxes = np.array([[drawn[f].box.x, drawn[f].box.y, drawn[f].box.side] for f in frames])
    sure = np.array([drawn[f].found >= _SURE for f in frames])
    second: dict[int, Box] = {}
    for i, frame in enumerate(frames):
        others = sure.copy()
        others[i] = False
        if not others.any():
            continue
        at = np.array(frames)[others]
        x, y, side = (float(np.interp(frame, at, boxes[others, c])) for c in range(3))
        far = np.hypot(boxes[i, 0] - x, boxes[i, 1] - y) > _FAR * side
        ratio = boxes[i, 2] / side
        if not sure[i] or far or not 1 / _RESIZED < ratio < _RESIZED:
            second[frame] = Box(x, y, side)
    return second


def _pack(drawings: Sequence[_Drawing], frames: Sequence[int]) -> Predictions:
    return Predictions(
        frames=np.array(frames, dtype=np.int64),
        values=np.stack([d.values for d in drawings]),
        visible=np.stack([d.visible for d in drawings]),
        error_px=np.stack([d.error_px for d in drawings]),
        box=np.array([[d.box.x, d.box.y, d.box.side] for d in drawings]),
        found=np.array([d.found for d in drawings]),
        moved=np.array([astuple(d.motion) for d in drawings]),
    )
