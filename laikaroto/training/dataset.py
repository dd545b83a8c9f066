"""From plates and ground truth to what the training loop eats.

``write_example`` turns a plate and its truth into a small log-encoded file, once;
``Dataset`` loads those files and makes random batches. Plates can then stay on a slow
server while a night's training runs.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.coords import FloatArray, transform_points
from laikaroto.errors import TruthError
from laikaroto.model.crop import (
    WHOLE_DETAIL,
    Box,
    box_around,
    crop_matrix,
    cut_crop,
    cut_view,
    invert,
    reduce_plate,
    whole_plate,
)
from laikaroto.plate.colour import encode_log
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.files import write_file
from laikaroto.training.augment import Image, Rng, Sample, light, random_view, vary
from laikaroto.training.losses import Targets
from laikaroto.training.mirror import Mirror


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One frame to learn from.

    head: reduced log-encoded plate (h, w, 3) float16, ``scale`` reduced px per plate px;
    whole: small whole plate (fh, fw, 3) float16 and the 2×3 ``matrix`` from its px to the
    plate's; values (P, 6), visible, known (P,) as ``character.template.pack`` gives them,
    in plate px. placed (P,): points that tell where the head is, where that is more than
    the known ones: of a frame on which an artist corrected a few shapes.
    """

    shot: str
    frame: int
    head: NDArray[np.float16]
    scale: float
    whole: NDArray[np.float16]
    matrix: FloatArray
    values: FloatArray
    visible: NDArray[np.bool_]
    known: NDArray[np.bool_]
    placed: NDArray[np.bool_] | None = None

    @property
    def box(self) -> Box:
        """Where the head is, plate px."""
        return box_around(self.values[self.known if self.placed is None else self.placed, :2])


def finder_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the finder's picture for plates of this size, px."""
    if width >= height:
        return 192, -(-192 * height // width // 32) * 32
    return -(-192 * width // height // 32) * 32, 192


def example_file(folder: Path, shot: str, frame: int) -> Path:
    """Where ``write_example`` puts a frame."""
    return folder / f"{shot}.{frame}.npz"


def write_example(
    folder: Path,
    roto: Roto,
    frame: int,
    rgb: NDArray[np.float32],
    template: CharacterTemplate,
    *,
    crop_px: int,
    finder: tuple[int, int],
    artist: NDArray[np.bool_] | None = None,
) -> None:
    """Prepare one frame: plate (H, W, 3) scene-linear and truth to one small file.

    With ``artist`` (P,) only those points are truth; the others tell where the head is.

    Raises:
        TruthError: the truth says nothing of this frame, or only one place.
        TryAgainError: the disk refuses.
    """
    values, visible, known = pack(roto, template, frame)
    if not known.any():
        raise TruthError(f"shot {roto.shot} frame {frame}: the truth has no point on this frame")
    if not np.ptp(values[known, :2], axis=0).any():
        raise TruthError(
            f"shot {roto.shot} frame {frame}: all points lie at one place, which does not tell how "
            "large the puppet is; draw at least two points apart"
        )
    placed = known
    if artist is not None:
        known = known & artist
    encoded = encode_log(rgb)
    head, scale = reduce_plate(encoded, box_around(values[placed, :2]), crop_px)
    whole, matrix = whole_plate(encoded, (finder[0] * WHOLE_DETAIL, finder[1] * WHOLE_DETAIL))
    stream = io.BytesIO()
    np.savez(
        stream,
        head=head.astype(np.float16),
        scale=scale,
        whole=whole.astype(np.float16),
        matrix=matrix,
        values=values,
        visible=visible,
        known=known,
        placed=placed,
    )
    write_file(example_file(folder, roto.shot, frame), stream.getvalue())


def read_example(folder: Path, shot: str, frame: int) -> Example:
    """Read what ``write_example`` wrote.

    Raises:
        TruthError: the file is missing or damaged.
    """
    path = example_file(folder, shot, frame)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            return Example(
                shot,
                frame,
                data["head"],
                float(data["scale"]),
                data["whole"],
                data["matrix"],
                data["values"],
                data["visible"],
                data["known"],
                data["placed"],
            )
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the prepare step again") from error


#: a head in the finder's picture: centre as fractions, log of its side relative to the width
Place = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's pictures and truth: crops (B, 3, S, S), wholes (B, 3, fh, fw)."""

    crops: torch.Tensor
    targets: Targets
    wholes: torch.Tensor
    centres: torch.Tensor
    sides: torch.Tensor


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
        self.examples = tuple(examples)
        self.tracks, self.crop_px, self.finder, self.mirror = tracks, crop_px, finder, mirror

    def of_shots(self, shots: Sequence[str]) -> Dataset:
        """The part of the data set that comes from these shots."""
        chosen = [example for example in self.examples if example.shot in shots]
        return Dataset(
            chosen, tracks=self.tracks, crop_px=self.crop_px, finder=self.finder, mirror=self.mirror
        )

    def poses(self, shots: Sequence[str] | None = None) -> list[FloatArray]:
        """(P, 2) points about the head's centre, as fractions of its side, where all are known."""
        return [
            (example.values[:, :2] - [example.box.x, example.box.y]) / example.box.side
            for example in self.examples
            if example.known.all() and (shots is None or example.shot in shots)
        ]

    def mean_tangents(self) -> torch.Tensor:
        """(C, 4) mean tangents as fractions of the head box: where a network starts from."""
        rows = [example.values[self.tracks :, 2:] / example.box.side for example in self.examples]
        known = np.stack([example.known[self.tracks :] for example in self.examples])[..., None]
        total = (np.stack(rows) * known).sum(0) / np.maximum(known.sum(0), 1)
        return torch.tensor(total, dtype=torch.float32)

    def batch(self, seed: tuple[int, int], size: int, pool: Executor) -> Batch:
        """A random batch, the same for the same seed.

        Args:
            seed: of the training, and the step.
            size: number of pictures.
            pool: makes the pictures.
        """
        pictures = list(pool.map(self._one, [(*seed, number) for number in range(size)]))
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
        places = np.array([place for _, place in wholes])
        return Batch(
            _images(crops),
            targets,
            _images(np.stack([picture for picture, _ in wholes])),
            _tensor(places[:, :2]),
            _tensor(places[:, 2]),
        )

    def _one(self, seed: tuple[int, int, int]) -> tuple[Sample, tuple[Image, Place]]:
        rng = np.random.default_rng(seed)
        example = self.examples[int(rng.integers(len(self.examples)))]
        return self._crop(example, rng), self._whole(example, rng)

    def _crop(self, example: Example, rng: Rng) -> Sample:
        image = example.head.astype(np.float32)
        values = example.values * example.scale
        box = Box(
            example.box.x * example.scale,
            example.box.y * example.scale,
            example.box.side * example.scale,
        )
        visible, known = example.visible, example.known
        if self.mirror is not None and rng.random() < 0.5:
            width = image.shape[1]
            image = np.ascontiguousarray(image[:, ::-1])
            values = self.mirror.values(values, width)
            visible, known = visible[self.mirror.order], known[self.mirror.order]
            box = Box(width - box.x, box.y, box.side)
        crop, points = random_view(image, values, box, self.crop_px, rng)
        sample = Sample(crop, points, visible, known)
        return vary(sample, rng, lambda: self._piece(rng))

    def _piece(self, rng: Rng) -> Image:
        """A random piece of some training plate, to put behind or before the puppet."""
        plate = self.examples[int(rng.integers(len(self.examples)))].head
        height, width = plate.shape[:2]
        side = float(rng.uniform(0.3, 1.0)) * min(width, height)
        box = Box(float(rng.uniform(0, width)), float(rng.uniform(0, height)), side)
        turn = float(rng.uniform(-np.pi, np.pi))
        matrix = crop_matrix(box, self.crop_px, turn=turn)
        return cut_crop(plate.astype(np.float32), matrix, self.crop_px)

    def _whole(self, example: Example, rng: Rng) -> tuple[Image, Place]:
        """A random view of a whole plate; the head's centre (fractions) and log relative side."""
        width, height = self.finder
        inner = invert(example.matrix)
        box = transform_points(np.array([[example.box.x, example.box.y, 0, 0, 0, 0]]), inner)[0]
        side = example.box.side * inner[0, 0]
        zoom = float(np.exp(rng.uniform(-0.5, 0.5)))
        # keep the head's centre in the picture wherever the view wanders
        place = rng.uniform(0.12, 0.88, 2) * self.finder if rng.random() < 0.7 else None
        if place is None:
            place = box[:2] / WHOLE_DETAIL
        turn = float(rng.normal(0, 0.1))
        cos, sin = np.cos(turn) * zoom * WHOLE_DETAIL, np.sin(turn) * zoom * WHOLE_DETAIL
        linear = np.array([[cos, -sin], [sin, cos]])
        matrix = np.column_stack([linear, box[:2] - linear @ place])
        picture = cut_view(example.whole.astype(np.float32), matrix, (width, height))
        sample = Sample(picture, np.zeros((0, 6)), np.zeros(0, bool), np.zeros(0, bool))
        picture = light(sample, rng).image
        centre = place
        if rng.random() < 0.5:
            picture, centre = picture[:, ::-1], np.array([width - place[0], place[1]])
        return picture, (
            float(centre[0] / width),
            float(centre[1] / height),
            float(np.log(side / (zoom * WHOLE_DETAIL) / width)),
        )


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _images(array: NDArray[np.float32]) -> torch.Tensor:
    """(B, H, W, 3) to (B, 3, H, W), channels last in memory: what CPU convolutions like."""
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return tensor.permute(0, 3, 1, 2)
