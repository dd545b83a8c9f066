"""Inference: plates in, points and shapes of each frame out, before they are settled in time.

Each frame goes through four stages: find the head in the whole plate, small; draw it on that
crop; draw it again on the crop that the first drawing asks for, seen a few times (``looks``);
bring everything to plate pixels. Each frame goes its whole way in one thread
(``Engine._draw``), a few frames at once: while one cuts its crop, others are with the finder or
the drawer, and the frames after them are being read. How many is bounded by the memory of their
plates, so it does not grow with the shot. Nothing passes from one frame to another on this way,
so the result depends on the frame alone, not on what ends first.

The drawer's own expected error judges between hypotheses: a frame whose head the finder is
unsure of, or finds far from where its neighbours have it, is drawn again where the neighbours
say.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from laikaroto.ahead import ahead, usable_threads
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model.crop import (
    MARGIN,
    Box,
    box_around,
    crop_matrix,
    cut_plate,
    whole_plate,
)
from laikaroto.model.looks import LOOKS, Look, look_matrix, merge, see
from laikaroto.model.network import Network, Outputs
from laikaroto.model.package import ModelPackage
from laikaroto.model.predictions import Predictions
from laikaroto.plate.colour import encode_log
from laikaroto.plate.motion import NO_MOTION_KNOWN, Motion, measure_motion

Image = NDArray[np.float32]
Report = Callable[[float, str], None]
#: Gives (frame, (H, W, 3) scene-linear float32) for frames, in that order.
Reader = Callable[[Sequence[int]], Iterator[tuple[int, Image]]]

#: What the networks of a package give.
FINDER_OUTPUTS = frozenset({"centre", "side", "found"})
DRAWER_OUTPUTS = frozenset({"points", "tangents", "visible", "error"})
#: Models trained before corrections travelled by likeness do not give it.
TOKENS = "tokens"

#: Plates under way, log-encoded: at most so many, and not more than this memory, but two.
_MOST_FRAMES = 16
_MOST_BYTES = 256 * 2**20
_SPARE_FRAMES = 2  # done or not begun, so that no thread waits for its next frame
_SMALLEST_HEAD_PX = 8.0
_LARGEST_HEAD = 1.5  # as a share of the plate's longer side
_SURE = 0.5  # of the finder: an even chance, see tracking.solve
_FAR = 0.6  # head boxes further than this share of their side from the trend are doubted
_RESIZED = 1.35


@dataclass(frozen=True, slots=True, eq=False)
class _Drawing:
    """One frame drawn: plate px, template order."""

    values: FloatArray
    visible: FloatArray
    error_px: FloatArray
    apart_px: FloatArray
    tokens: FloatArray
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
        looks: Sequence[Look] = LOOKS,
    ) -> None:
        """Compile the package's networks.

        Args:
            package: verified package.
            threads: processor threads to use; None: OMP_NUM_THREADS, else all there are.
            looks: at each head, whose drawings are averaged.

        Raises:
            ModelError: the networks cannot be read or do not fit the package's template.
        """
        self.package = package
        self.looks = tuple(looks)
        crop = package.info.crop_px
        count = threads or usable_threads()
        self._finder = Network(
            package, "finder", package.info.finder_size, outputs=FINDER_OUTPUTS, threads=count
        )
        self._drawer = Network(
            package, "drawer", (crop, crop), outputs=DRAWER_OUTPUTS, optional=frozenset({TOKENS}),
            threads=count,
        )  # fmt: skip
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
        order = list(frames) if before is None else [before, *frames]
        with closing(self._draw_moving(order, read, known, only=set(frames))) as drawings:
            for frame, drawing in drawings:
                drawn[frame] = drawing
                report(len(drawn) / len(frames), f"frame {frame} drawn")
        self._draw_doubtful(drawn, order, known, read)
        return _pack([drawn[frame] for frame in frames], frames)

    def _draw_doubtful(
        self,
        drawn: dict[int, _Drawing],
        order: Sequence[int],
        known: Mapping[int, Box],
        read: Reader,
    ) -> None:
        """Draw doubtful frames where their neighbours have the head; keep what is better."""
        other = {f: box for f, box in _second_boxes(drawn).items() if f not in known}
        if not other:
            return
        earlier = {frame: last for last, frame in pairwise(order) if frame in other}
        wanted = sorted({*other, *earlier.values()})
        with closing(self._draw_moving(wanted, read, other, only=other)) as drawings:
            for frame, drawing in drawings:
                if drawing.doubt < drawn[frame].doubt:
                    drawn[frame] = replace(drawing, found=drawn[frame].found)

    def _draw_moving(
        self,
        wanted: Sequence[int],
        read: Reader,
        known: Mapping[int, Box],
        *,
        only: Container[int],
    ) -> Generator[tuple[int, _Drawing], None, None]:
        """Drawings of the ``only`` frames among those wanted, and how each moved since the last."""
        last: Image | None = None
        with closing(self._draw_all(read(wanted), known, only=only)) as drawings:
            for frame, plate, drawing in drawings:
                if drawing is not None:
                    moved = NO_MOTION_KNOWN if last is None else _head_motion(last, plate, drawing)
                    yield frame, replace(drawing, motion=moved)
                last = plate
                del plate  # else it stays while the next one is waited for

    def _draw_all(
        self,
        plates: Iterator[tuple[int, Image]],
        known: Mapping[int, Box],
        *,
        only: Container[int],
    ) -> Generator[tuple[int, Image, _Drawing | None], None, None]:
        """Frame, log-encoded plate and drawing (None but for ``only``) of each plate, in order."""

        def work(item: tuple[int, Image]) -> tuple[int, Image, _Drawing | None]:
            frame, plate = item
            if frame not in only:
                return frame, plate, None
            return frame, plate, self._draw(plate, known.get(frame))

        def room(item: tuple[int, Image]) -> int:
            most = min(_MOST_FRAMES, threads + _SPARE_FRAMES, _MOST_BYTES // item[1].nbytes)
            return max(most, 2)

        threads = min(self._drawer.requests + 1, _MOST_FRAMES)
        return ahead(work, _encoded(plates), threads=threads, room=room, name="draw")

    def _draw(self, plate: Image, known: Box | None) -> _Drawing:
        """All stages of one frame; ``known`` is used in place of where the finder has the head."""
        found_at, found = self._find(plate)
        box = known or found_at
        size = self.package.info.crop_px
        matrix = crop_matrix(box, size)
        (first,) = self._drawer.run(cut_plate(plate, [matrix], size))
        box = _next_box(_to_plate(first["points"], matrix), box)
        mirror = self.package.mirror
        matrices = [look_matrix(look, box, size, mirror) for look in self.looks]
        outs = self._drawer.run(cut_plate(plate, matrices, size))
        return self._merge(outs, matrices, found)

    def _find(self, plate: Image) -> tuple[Box, float]:
        view, matrix = whole_plate(plate, self.package.info.finder_size)
        (out,) = self._finder.run([view])
        x, y = _to_plate(out["centre"], matrix)
        side = float(out["side"]) * float(matrix[0, 0])
        side = float(np.clip(side, _SMALLEST_HEAD_PX, _LARGEST_HEAD * max(plate.shape)))
        return Box(float(x), float(y), side), float(out["found"])

    def _merge(
        self, outs: Sequence[Outputs], matrices: Sequence[FloatArray], found: float
    ) -> _Drawing:
        """The mean of the looks, in plate px."""
        seen = [
            see(look, matrix, self.package.mirror, **{name: out[name] for name in DRAWER_OUTPUTS})
            for look, out, matrix in zip(self.looks, outs, matrices, strict=True)
        ]
        mean, apart = merge(seen, self.package.template)
        # of the picture as it is alone: tokens of a mirrored one are not comparable with them
        tokens = [
            out.get(TOKENS, np.zeros((len(mean.values), 0), np.float32))
            for look, out in zip(self.looks, outs, strict=True)
            if not look.mirrored
        ]
        return _Drawing(
            values=mean.values,
            visible=mean.visible,
            error_px=mean.error_px,
            apart_px=apart,
            tokens=np.mean(tokens, axis=0, dtype=np.float64),
            box=box_around(mean.values[:, :2]),
            found=found,
            motion=NO_MOTION_KNOWN,
        )


def _encoded(plates: Iterator[tuple[int, Image]]) -> Generator[tuple[int, Image], None, None]:
    """Linear plates to log-encoded ones; closes ``plates`` when it is closed."""
    try:
        for frame, plate in plates:
            encoded = encode_log(plate)
            del plate
            yield frame, encoded
    finally:
        if isinstance(plates, Generator):
            plates.close()


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
        apart_px=np.stack([d.apart_px for d in drawings]),
        tokens=np.stack([d.tokens for d in drawings]).astype(np.float16),
        box=np.array([[d.box.x, d.box.y, d.box.side] for d in drawings]),
        found=np.array([d.found for d in drawings]),
        moved=np.array([astuple(d.motion) for d in drawings]),
    )
