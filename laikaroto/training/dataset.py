"""Examples in memory, and the random batches that the training loop eats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.model.crop import (
    WHOLE_DETAIL,
    Box,
    box_around,
    crop_matrix,
    cut_crop,
    cut_view,
    invert,
)
from laikaroto.model.mirror import Mirror
from laikaroto.model.prior import ShapePrior
from laikaroto.training.absence import background, vary_presence
from laikaroto.training.augment import Sample, light, vary
from laikaroto.training.examples import Example
from laikaroto.training.expression import towards_others
from laikaroto.training.losses import Targets
from laikaroto.training.prior import fit_prior
from laikaroto.training.relief import Relief, find_relief
from laikaroto.training.views import Head, Image, Rng, random_view


class RenderedHead(Protocol):
    """A picture of the head without surroundings, as ``training.renders`` reads it."""

    def before(self, background: Image) -> Example:
        """The head before a background (H, W, 3), log-encoded; it is enlarged to fit."""


#: inexact starts of each training picture, and the noise of a single point of theirs, fractions
#: of the crop, from least to most
STARTS = 3
START_NOISE = (0.0004, 0.01)
#: how much larger than a training picture ``Dataset.views`` are
VIEW_ROOM = 1.5
#: a head in the finder's picture: centre as fractions, log of its side relative to the width
Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's pictures and truth.

    crops (B, 3, S, S); starts (K, B, P, 2) inexact places to refine from, fractions of the
    crop; wholes (B, 3, fh, fw) with their centres and sides; present (B,) 1 where the whole
    picture shows the head, else 0, and then its centre and side mean nothing.
    """

    crops: torch.Tensor
    starts: torch.Tensor
    targets: Targets
    wholes: torch.Tensor
    centres: torch.Tensor
    sides: torch.Tensor
    present: torch.Tensor


class Dataset:
    """All examples in memory, and random batches of them."""

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        tracks: int,
        crop_px: int,
        finder: tuple[int, int],
        mirror: Mirror | None = None,
    ) -> None:
        """Take examples; ``tracks`` of their points are tracking points, the first ones.

        With a ``mirror``, half of the pictures of a batch are mirrored.
        """
        self.examples = tuple(_with_mirror_image(example, mirror) for example in examples)
        self.tracks, self.crop_px, self.finder, self.mirror = tracks, crop_px, finder, mirror
        self.relief, self._in_relief = _relief(self.examples)
        self._poses = self.poses()
        self._parts: dict[tuple[str, ...], Dataset] = {}
        self._prior: ShapePrior | None = None
        #: probabilities of augmentations that differ from the registered ones
        self.probabilities: Mapping[str, float] = {}
        #: rendered heads, and the share of the pictures that shows them
        self.renders: Sequence[RenderedHead] = ()
        self.renders_share = 0.0

    def of_shots(self, shots: Sequence[str]) -> Dataset:
        """The part of the data set that comes from these shots; renders are of no shot."""
        part = self._parts.get(tuple(shots))
        if part is None:
            chosen = [example for example in self.examples if example.shot in shots]
            part = Dataset(
                chosen,
                tracks=self.tracks,
                crop_px=self.crop_px,
                finder=self.finder,
                mirror=self.mirror,
            )
            self._parts[tuple(shots)] = part  # relief and prior take seconds to find
        part.probabilities = self.probabilities
        part.renders, part.renders_share = self.renders, self.renders_share
        return part

    def poses(self, shots: Sequence[str] | None = None) -> list[FloatArray]:
        """(P, 2) points about the head's centre, as fractions of its side, where all are known."""
        return [
            (example.values[:, :2] - [example.box.x, example.box.y]) / example.box.side
            for example in self.examples
            if example.known.all() and (shots is None or example.shot in shots)
        ]

    def prior(self) -> ShapePrior | None:
        """What the shapes of this data set can look like; None where it does not tell."""
        whole = [example for example in self.examples if example.known.all()]
        if not whole or self._prior is not None:
            return self._prior
        values = np.stack([example.values for example in whole])
        shots = [example.shot for example in whole]
        images = [example.mirrored for example in whole if example.mirrored is not None]
        mirrored = np.stack(images) if self.mirror is not None else None
        self._prior = fit_prior(values, shots, tracks=self.tracks, mirrored=mirrored)
        return self._prior

    def mean_xy(self) -> torch.Tensor:
        """(P, 2) mean places as fractions of the head box, whose middle is at (0.5, 0.5)."""
        rows = [
            (example.values[:, :2] - [example.box.x, example.box.y]) / example.box.side
            for example in self.examples
        ]
        known = np.stack([example.known for example in self.examples])[..., None]
        total = (np.stack(rows) * known).sum(0) / np.maximum(known.sum(0), 1)
        return torch.tensor(total + 0.5, dtype=torch.float32)

    def mean_tangents(self) -> torch.Tensor:
        """(C, 4) mean tangents as fractions of the head box: where a network starts from."""
        rows = [example.values[self.tracks :, 2:] / example.box.side for example in self.examples]
        known = np.stack([example.known[self.tracks :] for example in self.examples])[..., None]
        total = (np.stack(rows) * known).sum(0) / np.maximum(known.sum(0), 1)
        return torch.tensor(total, dtype=torch.float32)

    def batch(self, seed: tuple[int, int], size: int, pool: Executor, *, first: int = 0) -> Batch:
        """A random batch, the same for the same seed.

        Args:
            seed: of the training, and the step.
            size: number of pictures.
            pool: makes the pictures.
            first: number of the first one: several processes share a batch.
        """
        numbers = range(first, first + size)
        pictures = list(pool.map(self._one, [(*seed, number) for number in numbers]))
        samples = [sample for sample, _ in pictures]
        wholes = [whole for _, whole in pictures]
        values = np.stack([sample.values for sample in samples]) / self.crop_px
        crops = np.stack([sample.image for sample in samples])
        targets = Targets(
            _tensor(values[..., :2]),
            _tensor(values[:, self.tracks :, 2:]),
            _tensor(np.stack([sample.visible for sample in samples])),
            _tensor(np.stack([sample.known for sample in samples])),
        )
        places = np.array([place for _, place, _ in wholes])
        starts = [
            # a number of its own, not the batch's size: several processes share a batch
            self._starts(value, np.random.default_rng((*seed, number, 1)))
            for number, value in zip(numbers, values[..., :2], strict=True)
        ]
        return Batch(
            _images(crops),
            _tensor(np.stack(starts, axis=1)),
            targets,
            _images(np.stack([picture for picture, _, _ in wholes])),
            _tensor(places[:, :2]),
            _tensor(places[:, 2]),
            _tensor(np.array([present for _, _, present in wholes])),
        )

    def _one(self, seed: tuple[int, int, int]) -> tuple[Sample, tuple[Image, Place, bool]]:
        rng = np.random.default_rng(seed)
        number = int(rng.integers(len(self.examples)))
        example = self.examples[number]
        shown, head = example, self._head(number, rng)
        if self.renders and rng.random() < self.renders_share:
            render = self.renders[int(rng.integers(len(self.renders)))]
            shown = render.before(self._piece(rng, self.crop_px))
            head = Head(shown.values)
        # where heads are in a plate is learned from plates only
        return self._crop(shown, head, rng), self._whole(example, rng)

    def _head(self, number: int, rng: Rng) -> Head:
        """What is known of the head of an example, plate px."""
        values = self.examples[number].values
        if self.relief is None or number not in self._in_relief:
            return Head(values)
        frame = self._in_relief[number]
        moves = towards_others(self.relief, frame, values[:, 1], rng) * self.relief.side[frame]
        return Head(values, self.relief.depth[frame], moves)

    def views(self, numbers: Sequence[int], each: int, *, seed: int) -> list[Example]:
        """Examples as another shot might show them: turned, relit, occluded.

        Varied as training pictures are, but not warped into heads that no puppet has, every
        second one not turned either, and with room around the head, so that they can be cropped
        as plates are.

        Args:
            numbers: which of the examples.
            each: how many views of each.
            seed: of all chance.

        Returns:
            Examples whose frames are numbered from 0; of the whole plate nothing is kept.
        """
        found: list[Example] = []
        size = round(self.crop_px * VIEW_ROOM)
        for number in numbers:
            example = self.examples[number]
            for again in range(each):
                rng = np.random.default_rng((seed, number, again, 2))
                head = self._head(number, rng) if again % 2 else Head(example.values)
                sample = self._crop(example, head, rng, room=VIEW_ROOM, rigid=True)
                drawn = box_around(sample.values[sample.known, :2])
                scale = drawn.side / example.box.side
                values = sample.values / scale
                inside = ((sample.values[:, :2] >= 0) & (sample.values[:, :2] <= size)).all(axis=1)
                found.append(
                    Example(
                        example.shot, len(found), sample.image.astype(np.float16), scale,
                        np.zeros((0, 0, 3), np.float16), np.eye(2, 3), values,
                        sample.visible & inside, sample.known,
                    )
                )  # fmt: skip
        return found

    def _crop(
        self, example: Example, head: Head, rng: Rng, *, room: float = 1.0, rigid: bool = False
    ) -> Sample:
        image, scale = example.head, example.scale
        if example.behind is not None:  # goes the way of the picture
            image = np.dstack([image, example.behind])
        head = head.through(np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]]))
        side = example.box.side * scale * room
        box = Box(example.box.x * scale, example.box.y * scale, side)
        size = round(self.crop_px * room)
        visible, known = example.visible, example.known
        if self.mirror is not None and rng.random() < 0.5:
            width = image.shape[1]
            image = image[:, ::-1]
            example = _with_mirror_image(example, self.mirror)  # a render has none yet
            assert example.mirrored is not None
            values = example.mirrored * scale + [width, 0, 0, 0, 0, 0]
            head = head.mirrored(values, self.mirror)
            visible, known = visible[self.mirror.order], known[self.mirror.order]
            box = Box(width - box.x, box.y, box.side)
        crop, points = random_view(image, head, box, size, rng, self.probabilities, rigid=rigid)
        behind = crop[..., 3] if example.behind is not None else None
        picture = np.ascontiguousarray(crop[..., :3])
        sample = Sample(picture, points, visible, known, head.depth, behind)
        return vary(sample, rng, lambda: self._piece(rng, size), self.probabilities)

    def _starts(self, xy: FloatArray, rng: Rng) -> FloatArray:
        """Inexact places (K, P, 2) of points (P, 2), all fractions of the crop.

        Wrong as sketches and rounds are: a little moved and turned, drawn towards another
        pose or expression, and each point for itself, by much or by little.
        """
        starts = []
        middle = xy.mean(axis=0)
        for _ in range(STARTS):
            much = rng.uniform(0, 1)
            turn, grow = rng.normal(0, 0.03) * much, 1 + rng.normal(0, 0.02) * much
            linear = grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            start = (xy - middle) @ linear.T + middle + rng.normal(0, 0.008, 2) * much
            if self._poses:
                one, other = (self._poses[int(i)] for i in rng.integers(len(self._poses), size=2))
                start += (one - other) * rng.uniform(0, 0.25) * much
            each = float(np.exp(rng.uniform(*np.log(START_NOISE))))
            starts.append(start + rng.normal(0, each, xy.shape))
        return np.stack(starts)

    def _piece(self, rng: Rng, size: int) -> Image:
        """A random piece of some training plate, to put behind or before the puppet."""
        plate = self.examples[int(rng.integers(len(self.examples)))].head
        height, width = plate.shape[:2]
        side = float(rng.uniform(0.3, 1.0)) * min(width, height)
        box = Box(float(rng.uniform(0, width)), float(rng.uniform(0, height)), side)
        turn = float(rng.uniform(-np.pi, np.pi))
        # every second pixel will do for what is out of focus, and is quicker to bring to float32
        matrix = crop_matrix(box, size, turn=turn) / 2
        return cut_crop(plate[::2, ::2].astype(np.float32), matrix, size)

    def _whole(self, example: Example, rng: Rng) -> tuple[Image, Place, bool]:
        """A random view of a whole plate; the head's centre (fractions) and log relative side.

        In some views there is no head, as the last value says.
        """
        width, height = self.finder
        head = _whole_box(example)
        zoom = float(np.exp(rng.uniform(-0.5, 0.5)))
        # keep the head's centre in the picture wherever the view wanders
        place = rng.uniform(0.12, 0.88, 2) * self.finder if rng.random() < 0.7 else None
        if place is None:
            place = np.array([head.x, head.y]) / WHOLE_DETAIL
        turn = float(rng.normal(0, 0.1))
        cos, sin = np.cos(turn) * zoom * WHOLE_DETAIL, np.sin(turn) * zoom * WHOLE_DETAIL
        linear = np.array([[cos, -sin], [sin, cos]])
        matrix = np.column_stack([linear, [head.x, head.y] - linear @ place])
        picture = cut_view(example.whole.astype(np.float32), matrix, (width, height))
        side = head.side / (zoom * WHOLE_DETAIL)
        seen = Box(float(place[0]), float(place[1]), side)
        pieces = (self._background(rng), self._background(rng))
        picture, present = vary_presence(picture, seen, rng, pieces=pieces)
        sample = Sample(picture, np.zeros((0, 6)), np.zeros(0, bool), np.zeros(0, bool))
        picture = light(sample, rng).image
        centre = place
        if rng.random() < 0.5:
            picture, centre = picture[:, ::-1], np.array([width - place[0], place[1]])
        return (
            picture,
            (
                float(centre[0] / width),
                float(centre[1] / height),
                float(np.log(side / width)),
            ),
            present,
        )

    def _background(self, rng: Rng) -> Image:
        """A random piece of some training plate, from beside its head."""
        example = self.examples[int(rng.integers(len(self.examples)))]
        return background(example.whole, _whole_box(example), rng).astype(np.float32)


def _with_mirror_image(example: Example, mirror: Mirror | None) -> Example:
    """The example, its mirror image beside it if there is a mirror."""
    if mirror is None or example.mirrored is not None:
        return example
    return replace(example, mirrored=mirror.values(example.values, 0.0))


def _whole_box(example: Example) -> Box:
    """Where the head is, px of the example's small whole plate."""
    inner = invert(example.matrix)
    x, y = inner[:, :2] @ [example.box.x, example.box.y] + inner[:, 2]
    return Box(float(x), float(y), example.box.side * float(inner[0, 0]))


def _relief(examples: Sequence[Example]) -> tuple[Relief | None, dict[int, int]]:
    """The head in space, of the examples with all points known, and which frame of it each is."""
    whole = [i for i, example in enumerate(examples) if example.known.all()]
    if not whole:
        return None, {}
    xy = np.stack([examples[i].values[:, :2] for i in whole])
    found = find_relief(xy, np.stack([examples[i].visible for i in whole]))
    return found, {number: frame for frame, number in enumerate(whole)}


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _images(array: NDArray[np.float32]) -> torch.Tensor:
    """(B, H, W, 3) to (B, 3, H, W), channels last in memory: what CPU convolutions like."""
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return tensor.permute(0, 3, 1, 2)
