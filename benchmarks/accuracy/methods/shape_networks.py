"""Shapes from landmarks: E[S|P] of the WACV 2021 paper, one small network for each shape.

A perceptron with skip connections takes a shape's landmarks (the positions of its own control
points, and all tracking points) to all its points and tangents. The loss is the L1 of the
positions and the error of each tangent relative to its length. Learned from the training
frames' truth alone, turned at random, with a little noise on the landmarks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.accuracy.fitting import load_network, save_network, train_for
from benchmarks.accuracy.heads import Heads
from benchmarks.accuracy.method import Task
from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray

_RATE, _BATCH, _HIDDEN = 2e-3, 64, 128
_NOISE = 0.006  # largest standard deviation of the landmarks while learning, of their spread
_TURN = 0.2  # standard deviation, radians
_SHORTEST = 0.01  # tangents shorter than this share of the shape's spread count as that long
_TANGENTS = 0.1  # weight of the relative error of tangents against the L1 of positions


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
    ends, guess = (values[..., 2:].reshape(*values.shape[:-1], 2, 2) for values in (true, found))
    apart = (guess - ends).norm(dim=-1)
    relative = apart / ends.norm(dim=-1).clamp_min(_SHORTEST)
    total: Tensor = place + _TANGENTS * relative.mean()
    return total


def turned(values: FloatArray, angles: FloatArray) -> FloatArray:
    """Control points (B, N, 6), each of B turned about the origin by its angle (B,), radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    matrix = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    pairs = values.reshape(*values.shape[:-1], 3, 2)
    return np.asarray(np.einsum("bij,bnkj->bnki", matrix, pairs).reshape(values.shape))


def fit_shapes(task: Task, heads: Heads, budget_s: float) -> None:
    """Learn all shapes, each in its part of the budget, and leave them in the task's folder."""
    values = np.stack([sample.values for sample in heads.as_they_are()])
    shapes = task.footage.template.shapes
    for shape in shapes:
        _fit_shape(task, shape.name, values, budget_s / len(shapes))


def draw_shapes(task: Task, points: FloatArray) -> FloatArray:
    """Control points (F, P, 6) from landmarks (F, P, 2); both in template order, plate px."""
    template = task.footage.template
    values = np.zeros((*points.shape[:2], 6))
    values[..., :2] = points
    start = len(template.tracks)
    for shape in template.shapes:
        network = _network(template, shape.name)
        load_network(_file(task, shape.name), network)
        landmarks, mean, spread = normalise(points[:, landmark_rows(template, shape.name)])
        with torch.no_grad():
            found = network(torch.tensor(landmarks, dtype=torch.float32)).numpy()
        drawn = np.asarray(found, np.float64) * spread
        drawn[..., :2] += mean
        values[:, start : start + shape.count] = drawn
        start += shape.count
    return values


def _fit_shape(task: Task, name: str, values: FloatArray, budget_s: float) -> None:
    template = task.footage.template
    rows, network = landmark_rows(template, name), _network(template, name)
    rng = np.random.default_rng((task.seed, *name.encode()))

    def loss_of_step(step: int) -> Tensor:
        chosen = values[rng.integers(len(values), size=_BATCH)][:, rows]
        chosen = turned(chosen, rng.normal(0, _TURN, _BATCH))
        _, mean, spread = normalise(chosen[..., :2])
        true = np.concatenate([chosen[..., :2] - mean, chosen[..., 2:]], -1) / spread
        noise = rng.normal(0, 1, true[..., :2].shape) * rng.uniform(0, _NOISE)
        found = network(torch.tensor(true[..., :2] + noise, dtype=torch.float32))
        own = torch.tensor(true[:, -network.count :], dtype=torch.float32)
        return shape_loss(found, own)

    train_for(
        budget_s, network, loss_of_step, rates=[(network, _RATE)], weight_decay=1e-4,
        report=lambda fraction, text: task.report(fraction, f"{name}: {text}"),
    )  # fmt: skip
    save_network(_file(task, name), network)


def _network(template: CharacterTemplate, name: str) -> ShapeNetwork:
    count = next(shape.count for shape in template.shapes if shape.name == name)
    return ShapeNetwork(len(landmark_rows(template, name)), count)


def _file(task: Task, name: str) -> Path:
    return task.folder / f"shape.{name}.pt"
