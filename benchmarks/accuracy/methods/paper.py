"""The published state of the art, replicated: landmarks from the picture, shapes from landmarks.

Source: Bermudez et al., WACV 2021, "A Learning-Based Approach to Parametric Rotoscoping of
Multi-Shape Systems". Two models: E[P|I], an EfficientNet-B0 on a rough 224 x 224 crop of the
face, flattened to one dense layer that gives the landmarks, L1 loss; E[S|P], a small network
for each shape (``shape_networks``). In between, landmarks are fused with those of the
neighbouring frames along optical flow.

What the paper leaves open, chosen here: the landmarks are all tracking points and the
positions of all control points, as its re-vectorised shapes have their points on landmarks.
It predicts no visibility: everything is called visible. The truth is on persistent points
already, so nothing is re-vectorised. Weights start from nothing, as laikaroto's do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.accuracy.fitting import load_network, save_network, train_for, use_threads
from benchmarks.accuracy.flow import Flow
from benchmarks.accuracy.footage import Image, Shot
from benchmarks.accuracy.heads import Heads, crop_of, to_plate
from benchmarks.accuracy.method import Task, given_boxes
from benchmarks.accuracy.methods.efficientnet import CHANNELS, STRIDE, efficientnet_b0
from benchmarks.accuracy.methods.shape_networks import draw_shapes, fit_shapes
from laikaroto.character.template import unpack
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.shapes.records import Roto

CROP_PX = 224
_BATCH = 8
_LANDMARK_SHARE = 0.88  # of the budget; the rest is for the shapes
_RATE, _DENSE_RATE = 1e-3, 1e-6
_AGREE = 0.01  # flow counts where forward and backward agree to this share of the head's side


class LandmarkNetwork(nn.Module):
    """Crops (B, 3, 224, 224) to landmarks (B, P, 2), as shares of the crop."""

    def __init__(self, start: FloatArray) -> None:
        """Begin at the mean landmarks ``start`` (P, 2), shares of the crop."""
        super().__init__()
        self.features = efficientnet_b0()
        self.dense = nn.Linear(CHANNELS * (CROP_PX // STRIDE) ** 2, start.size)
        nn.init.zeros_(self.dense.weight)
        with torch.no_grad():
            self.dense.bias.copy_(torch.tensor(start.ravel(), dtype=torch.float32))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        flat = self.features(crops - 0.4).flatten(1)
        with torch.autocast("cpu", enabled=False):  # positions need more than bfloat16
            found: Tensor = self.dense(flat.float())
        return found.view(len(crops), -1, 2)


class Paper:
    """See the module."""

    learns = True
    oracles = frozenset({"crop", "points"})

    def __init__(self, task: Task) -> None:
        """Take the task."""
        self.task, self.template = task, task.footage.template
        use_threads(task.threads)

    def fit(self) -> dict[str, Any]:
        """Learn landmarks from pictures, then each shape from landmarks."""
        task = self.task
        torch.manual_seed(task.seed)
        heads = Heads(task.footage, CROP_PX)
        network = LandmarkNetwork(heads.mean_values()[:, :2] / CROP_PX)

        def loss_of_step(step: int) -> Tensor:
            samples = [heads.sample((task.seed, step, i)) for i in range(_BATCH)]
            truth = np.stack([sample.values[:, :2] for sample in samples]) / CROP_PX
            found = network(as_pictures([sample.image for sample in samples]))
            loss: Tensor = (found - torch.tensor(truth, dtype=torch.float32)).abs().mean()
            return loss

        notes = train_for(
            task.budget_s * _LANDMARK_SHARE,
            network,
            loss_of_step,
            rates=[(network.features, _RATE), (network.dense, _DENSE_RATE)],
            weight_decay=1e-2,
            report=task.report,
        )
        save_network(task.folder / "landmarks.pt", network)
        fit_shapes(task, heads, task.budget_s * (1 - _LANDMARK_SHARE))
        return notes

    def predict(self, shot: Shot) -> Roto:
        """Landmarks of every frame, fused along the flow, then the shapes."""
        if self.task.oracle == "points":
            points = shot.truth_values(self.template)[..., :2]
        else:
            found = dict(zip(shot.frames, self._landmarks(shot), strict=True))
            points = fuse(found, Flow(shot))
        values = draw_shapes(self.task, points)
        visible = np.ones(values.shape[:2], bool)
        return unpack(self.template, shot.name, shot.truth.plate, shot.frames, values, visible)

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """None."""
        return ()

    def _landmarks(self, shot: Shot) -> FloatArray:
        """(F, P, 2), plate px."""
        network = LandmarkNetwork(np.zeros((self.template.point_count, 2)))
        load_network(self.task.folder / "landmarks.pt", network)
        boxes, found = given_boxes(self.task, shot), []
        for frame, plate in shot.read():
            crop, matrix = crop_of(plate, boxes[frame], CROP_PX)
            with torch.no_grad():
                points = network(as_pictures([crop]))[0].numpy().astype(np.float64) * CROP_PX
            values = np.concatenate([points, np.zeros((len(points), 4))], axis=1)
            found.append(to_plate(values, matrix)[:, :2])
        return np.stack(found)


def as_pictures(crops: Sequence[Image]) -> Tensor:
    """Crops (S, S, 3) as one tensor (B, 3, S, S), channels last in memory."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def fuse(points: Mapping[int, FloatArray], flow: Flow) -> FloatArray:
    """Mean of each frame's landmarks and those of its neighbours, carried to it along the flow.

    A neighbour's landmark counts where the flow there and back again returns to it.

    Returns:
        (F, P, 2) in the order of the frames.
    """
    fused = []
    for frame, own in points.items():
        limit = _AGREE * box_around(own).side
        total, weight = own.copy(), np.ones((len(own), 1))
        for other in (frame - 1, frame + 1):
            if other in points:
                here = flow.carry(points[other], other, frame)
                back = flow.carry(here, frame, other)
                agrees = np.hypot(*(back - points[other]).T)[:, None] < limit
                total += np.where(agrees, here, 0.0)
                weight += agrees
        fused.append(total / weight)
    return np.stack(fused)
