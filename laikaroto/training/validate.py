"""How good the networks are on shots they were not trained on.

The whole way an inference takes is taken: finder on the whole plate, a crop, a second
crop from the first result. Nothing of the truth helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, unpack
from laikaroto.coords import FloatArray, transform_points
from laikaroto.model.crop import (
    WHOLE_DETAIL,
    Box,
    box_around,
    crop_matrix,
    cut_crop,
    cut_view,
    invert,
)
from laikaroto.model.predictions import Predictions
from laikaroto.model.prior import ShapePrior
from laikaroto.shapes.records import PlateInfo, Roto
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import Example
from laikaroto.training.losses import CurveIndex, Targets, actual_errors
from laikaroto.training.network import Drawer, Drawing, Finder

#: A tracking point errs as all others do, until so many frames say something else; and one
#: frame on which it was quite lost does not say more than this many times.
_BELIEF = 4.0
_MOST_WRONG = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions for held-out examples.

    values (F, P, 6) plate px; visible (F, P) bool; expected, actual (F, P): error estimate
    and error as ``losses.actual_errors`` counts it, plate px.
    """

    examples: tuple[Example, ...]
    values: FloatArray
    visible: NDArray[np.bool_]
    expected: FloatArray
    actual: FloatArray

    def error_scale(self, tracks: int) -> FloatArray:
        """What the estimate of each point must be multiplied by to be right on average: (P,).

        The first ``tracks`` points have a factor of their own, as they lie on all kinds of skin: on
        a smooth nose they err five times as much as they say, on a temple they do not. Control
        points share one: told apart by point or by shape, ten frames made other shots worse.
        """
        seen = np.stack([example.known & example.visible for example in self.examples])
        scale = np.ones(seen.shape[1])
        if not seen.any():
            return scale
        ratio = self.actual[seen].mean() / max(float(self.expected[seen].mean()), 1e-6)
        scale *= np.clip(ratio, 0.25, 20.0)
        off = np.minimum(self.actual / np.maximum(self.expected * scale, 1e-6), _MOST_WRONG) ** 2
        believed = ((off * seen).sum(axis=0) + _BELIEF) / (seen.sum(axis=0) + _BELIEF)
        scale[:tracks] *= np.sqrt(believed[:tracks])
        return scale


def _find(finder: Finder, example: Example, size: tuple[int, int]) -> Box:
    shrink = np.array([[WHOLE_DETAIL, 0.0, 0.0], [0.0, WHOLE_DETAIL, 0.0]])
    picture = cut_view(example.whole.astype(np.float32), shrink, size)
    image = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())
    centre, side, _, _ = finder(image)
    place = centre[0].numpy().astype(np.float64) * size * WHOLE_DETAIL
    matrix = example.matrix
    xy = matrix[:, :2] @ place + matrix[:, 2]
    return Box(
        float(xy[0]), float(xy[1]), float(side.exp()[0]) * size[0] * WHOLE_DETAIL * matrix[0, 0]
    )


def _draw(drawer: Drawer, example: Example, box: Box) -> tuple[Drawing, FloatArray]:
    matrix = crop_matrix(box, drawer.size)
    crop = cut_crop(example.head.astype(np.float32), matrix * example.scale, drawer.size)
    return drawer(torch.from_numpy(crop.transpose(2, 0, 1)[None].copy())), matrix


def _values(drawing: Drawing, tracks: int, size: int, matrix: FloatArray) -> FloatArray:
    xy = drawing.xy[-1][0].numpy().astype(np.float64) * size
    tangents = np.zeros((len(xy), 4))
    tangents[tracks:] = drawing.tangents[0].numpy().astype(np.float64) * size
    return transform_points(np.concatenate([xy, tangents], axis=1), matrix)


def refine_held_out(
    held_out: HeldOut, prior: ShapePrior | None, template: CharacterTemplate
) -> HeldOut:
    """Held-out predictions as the solve would take them up: brought to what is likely."""
    if prior is None:
        return held_out
    count = len(held_out.examples)
    predictions = Predictions(
        frames=np.arange(count),
        values=held_out.values,
        visible=held_out.visible.astype(np.float64),
        error_px=held_out.expected * held_out.error_scale(len(template.tracks)),
        apart_px=np.zeros_like(held_out.expected),  # of one look
        box=np.ones((count, 3)),
        found=np.ones(count),
        moved=np.full((count, 3), np.inf),
        tokens=np.zeros((*held_out.values.shape[:2], 0), np.float16),
    )
    return replace(held_out, values=prior.apply(predictions, template).values)


@torch.no_grad()
def predict_held_out(
    drawer: Drawer, finder: Finder, dataset: Dataset, index: CurveIndex
) -> HeldOut:
    """Predict every example of a data set from its plate alone."""
    drawer.eval()
    finder.eval()
    rows = []
    for example in dataset.examples:
        box = _find(finder, example, dataset.finder)
        for _ in range(2):
            drawing, matrix = _draw(drawer, example, box)
            values = _values(drawing, dataset.tracks, drawer.size, matrix)
            box = box_around(values[:, :2])
        truth = _targets(example, matrix, drawer.size, dataset.tracks)
        scale = float(matrix[0, 0]) * drawer.size / 256.0
        rows.append(
            (
                values,
                torch.sigmoid(drawing.visible)[0].numpy() > 0.5,
                drawing.log_error.exp()[0].numpy() * scale,
                actual_errors(drawing, truth, index)[0].numpy() * scale,
            )
        )
    drawer.train()
    finder.train()
    arrays = [np.stack(column).astype(np.float64) for column in zip(*rows, strict=True)]
    return HeldOut(dataset.examples, arrays[0], arrays[1].astype(bool), arrays[2], arrays[3])


def _targets(example: Example, matrix: FloatArray, size: int, tracks: int) -> Targets:
    drawn = transform_points(example.values, invert(matrix)) / size
    values = torch.tensor(drawn, dtype=torch.float32)[None]
    ones = torch.ones(1, len(example.values))
    return Targets(values[..., :2], values[:, tracks:, 2:], ones, ones)


def as_rotos(
    held_out: HeldOut, template: CharacterTemplate, plates: Mapping[str, PlateInfo]
) -> dict[str, tuple[Roto, Roto]]:
    """Predicted and true roto of each held-out shot."""
    found = {}
    for shot in dict.fromkeys(example.shot for example in held_out.examples):
        rows = [i for i, example in enumerate(held_out.examples) if example.shot == shot]
        frames = [held_out.examples[i].frame for i in rows]
        truth = np.stack([held_out.examples[i].values for i in rows])
        seen = np.stack([held_out.examples[i].visible for i in rows])
        found[shot] = (
            unpack(
                template, shot, plates[shot], frames, held_out.values[rows], held_out.visible[rows]
            ),
            unpack(template, shot, plates[shot], frames, truth, seen),
        )
    return found


def choose_held_out(shots: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """The shot to hold out: the one nearest to the average, so that the extremes are learned.

    Returns:
        One shot, or none where there is only one to learn from.
    """
    if len(shots) < 2:
        return ()
    poses = {shot: dataset.poses([shot]) for shot in shots}
    means = {shot: np.mean(rows, axis=0) for shot, rows in poses.items() if rows}
    if not means:
        return (sorted(shots)[-1],)
    average = np.mean(list(means.values()), axis=0)
    return (min(sorted(means), key=lambda shot: float(np.abs(means[shot] - average).mean())),)
