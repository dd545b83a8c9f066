"""The published state of the art, replicated: landmarks from the picture, shapes from landmarks.

Source: Bermudez et al., WACV 2021, "A Learning-Based Approach to Parametric Rotoscoping of
Multi-Shape Systems". Two models: E[P|I], an EfficientNet-B0 on a rough 224 x 224 crop of the
face, flattened to one dense layer that gives the landmarks, L1 loss; E[S|P], for each shape a
small perceptron with skip connections from its landmarks to all its points and tangents.
Landmarks are fused with those of the neighbouring frames along optical flow in between.

What the paper leaves open, chosen here: the landmarks are all tracking points and the
positions of all control points (its re-vectorised shapes have their points on landmarks);
"its landmarks" are a shape's own and all tracking points. The paper predicts no visibility:
everything is called visible. The truth is on persistent points already, so nothing is
re-vectorised. Weights start from nothing; laikaroto's do as well.
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
from laikaroto.character.template import CharacterTemplate, unpack
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.shapes.records import Roto

CROP_PX = 224
_BATCH = 8
_LANDMARK_SHARE = 0.88  # of the budget; the rest is for the shapes
_RATE, _DENSE_RATE = 1e-3, 1e-5
_SHAPE_RATE, _SHAPE_BATCH, _HIDDEN = 2e-3, 64, 128
_SHAPE_NOISE = 0.006  # largest standard deviation of landmarks while shapes are learned, of spread
_SHORTEST = 0.01  # tangents shorter than this share of the shape's spread count as that long
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


class ShapeNetwork(nn.Module):
    """One shape from its landmarks: (B, L, 2) to control points (B, N, 6).

    Both about the landmarks' mean and relative to their spread, so that place and size of the
    head do not matter. The last N landmarks are the shape's own; positions are learned as what
    is added to them.
    """

    def __init__(self, landmarks: int, count: int) -> None:
        """Make a network for ``landmarks`` L and ``count`` N."""
        super().__init__()
        inner = landmarks * 2
        self.first = nn.Linear(inner, _HIDDEN)
        self.second = nn.Linear(_HIDDEN + inner, _HIDDEN)
        self.last = nn.Linear(_HIDDEN + inner, count * 6)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.count = count

    def forward(self, landmarks: Tensor) -> Tensor:
        """See the class."""
        flat = landmarks.flatten(1)
        hidden = torch.relu(self.first(flat))
        hidden = torch.relu(self.second(torch.cat([hidden, flat], 1)))
        found = self.last(torch.cat([hidden, flat], 1)).view(-1, self.count, 6)
        xy = landmarks[:, -self.count :] + found[..., :2]
        return torch.cat([xy, found[..., 2:]], -1)


def landmark_rows(template: CharacterTemplate, name: str) -> list[int]:
    """Which of all points are a shape's landmarks: tracking points, then its own, in order."""
    tracks, own = len(template.tracks), template.slices()[name]
    return [*range(tracks), *range(tracks + own.start, tracks + own.stop)]


def normalise(landmarks: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Landmarks (…, L, 2) about their mean over their spread; mean (…, 1, 2), spread (…, 1, 1)."""
    mean = landmarks.mean(-2, keepdims=True)
    spread = np.sqrt(((landmarks - mean) ** 2).sum(-1, keepdims=True).mean(-2, keepdims=True))
    return (landmarks - mean) / spread, mean, spread


def shape_loss(found: Tensor, true: Tensor) -> Tensor:
    """L1 of the positions, and the error of each tangent relative to its length."""
    place = (found[..., :2] - true[..., :2]).abs().mean()
    ends = true[..., 2:].unflatten(-1, (2, 2))
    apart = (found[..., 2:].unflatten(-1, (2, 2)) - ends).norm(dim=-1)
    relative = apart / ends.norm(dim=-1).clamp_min(_SHORTEST)
    return place + 0.1 * relative.mean()


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
            return (found - torch.tensor(truth, dtype=torch.float32)).abs().mean()

        notes = train_for(
            task.budget_s * _LANDMARK_SHARE,
            network,
            loss_of_step,
            rates=[(network.features, _RATE), (network.dense, _DENSE_RATE)],
            weight_decay=1e-2,
            report=task.report,
        )
        save_network(task.folder / "landmarks.pt", network)
        values = np.stack([sample.values for sample in heads.as_they_are()])
        for shape in self.template.shapes:
            share = (1 - _LANDMARK_SHARE) / len(self.template.shapes)
            self._fit_shape(shape.name, values, task.budget_s * share)
        return notes

    def _fit_shape(self, name: str, values: FloatArray, budget_s: float) -> None:
        rows, network = landmark_rows(self.template, name), self._shape_network(name)
        rng = np.random.default_rng((self.task.seed, *name.encode()))

        def loss_of_step(step: int) -> Tensor:
            chosen = values[rng.integers(len(values), size=_SHAPE_BATCH)][:, rows]
            chosen = turned(chosen, rng.normal(0, 0.2, _SHAPE_BATCH))
            _, mean, spread = normalise(chosen[..., :2])
            true = np.concatenate([chosen[..., :2] - mean, chosen[..., 2:]], -1) / spread
            noise = rng.normal(0, 1, true[..., :2].shape) * rng.uniform(0, _SHAPE_NOISE)
            found = network(torch.tensor(true[..., :2] + noise, dtype=torch.float32))
            own = torch.tensor(true[:, -network.count :], dtype=torch.float32)
            return shape_loss(found, own)

        train_for(
            budget_s, network, loss_of_step, rates=[(network, _SHAPE_RATE)], weight_decay=1e-4,
            report=lambda fraction, text: self.task.report(fraction, f"{name}: {text}"),
        )  # fmt: skip
        save_network(self.task.folder / f"shape.{name}.pt", network)

    def predict(self, shot: Shot) -> Roto:
        """Landmarks of every frame, fused along the flow, then the shapes."""
        points = shot.truth_values(self.template)[..., :2]
        if self.task.oracle != "points":
            points = self._landmarks(shot)
            points = fuse(dict(zip(shot.frames, points, strict=True)), Flow(shot))
        values = np.zeros((*points.shape[:2], 6))
        values[..., :2] = points
        start = len(self.template.tracks)
        for shape in self.template.shapes:
            where = slice(start, start + shape.count)
            values[:, where] = self._shape(shape.name, points)
            start = where.stop
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

    def _shape_network(self, name: str) -> ShapeNetwork:
        count = next(shape.count for shape in self.template.shapes if shape.name == name)
        return ShapeNetwork(len(landmark_rows(self.template, name)), count)

    def _shape(self, name: str, points: FloatArray) -> FloatArray:
        """Control points (F, N, 6) of a shape from all landmarks (F, P, 2), plate px."""
        network = self._shape_network(name)
        load_network(self.task.folder / f"shape.{name}.pt", network)
        landmarks, mean, spread = normalise(points[:, landmark_rows(self.template, name)])
        with torch.no_grad():
            found = network(torch.tensor(landmarks, dtype=torch.float32)).numpy()
        values = found.astype(np.float64) * spread
        values[..., :2] += mean
        return values


def as_pictures(crops: Sequence[Image]) -> Tensor:
    """Crops (S, S, 3) as one tensor (B, 3, S, S), channels last in memory."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def turned(values: FloatArray, angles: FloatArray) -> FloatArray:
    """Control points (B, N, 6), each of B turned about the origin by its angle (B,), radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    matrix = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    pairs = values.reshape(*values.shape[:-1], 3, 2)
    return np.einsum("bij,bnkj->bnki", matrix, pairs).reshape(values.shape)


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
