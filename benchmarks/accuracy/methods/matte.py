"""A matte network, vectorised: what a tool that learns mattes gives when shapes are wanted.

A U-Net on the head's crop gives a mask for each shape (the inside of closed ones, a thin band
along open ones), as a CopyCat-like tool would; ``outline`` turns every mask into a spline with
the template's number of points. It knows no tracking points, no visibility of single points,
and nothing of the frames around. A shape whose mask is empty is called hidden, so a closed lid
or a closed mouth, which has no inside, is lost.

Source: Ronneberger et al. 2015, "U-Net"; half of its channels, batch normalisation, bilinear
enlarging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.accuracy.fitting import load_network, save_network, train_for, use_threads
from benchmarks.accuracy.footage import Shot
from benchmarks.accuracy.heads import Heads, Sample, crop_of, to_plate
from benchmarks.accuracy.method import Task, given_boxes
from benchmarks.accuracy.methods.outline import fit_spline, trace_band, trace_outline
from benchmarks.accuracy.methods.paper import as_pictures
from laikaroto.character.template import ShapeTemplate, unpack
from laikaroto.coords import FloatArray
from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.bezier import sample as sample_curve
from laikaroto.shapes.records import Roto

CROP_PX = 256
_BATCH = 6
_WIDTHS = (16, 32, 64, 128, 192)
_RATE = 2e-3
_BAND_PX = 5  # width of the band along open shapes; an odd number of crop px


class UNet(nn.Module):
    """Crops (B, 3, S, S) to masks (B, C, S, S), as logits."""

    def __init__(self, channels: int) -> None:
        """Make a network with this many masks."""
        super().__init__()
        self.down = nn.ModuleList()
        inner = 3
        for width in _WIDTHS:
            self.down.append(_block(inner, width))
            inner = width
        self.up = nn.ModuleList()
        for width in reversed(_WIDTHS[:-1]):
            self.up.append(_block(inner + width, width))
            inner = width
        self.last = nn.Conv2d(inner, channels, 1)
        # most of a crop is outside of most shapes
        self.last.bias = nn.Parameter(torch.full((channels,), -2.0))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        kept: list[Tensor] = []
        x = crops - 0.4
        for number, block in enumerate(self.down):
            if number:
                x = functional.max_pool2d(x, 2)
            x = block(x)
            kept.append(x)
        for block, beside in zip(self.up, reversed(kept[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, beside], 1))
        found: Tensor = self.last(x)
        return found.float()


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [nn.Conv2d(channels, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def mask_loss(found: Tensor, true: Tensor) -> Tensor:
    """Cross entropy of every px, and one minus the soft overlap (Dice) of every mask."""
    chance = torch.sigmoid(found)
    both = (chance * true).sum((2, 3))
    dice = (2 * both + 1) / (chance.sum((2, 3)) + true.sum((2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(found, true) + 1 - dice.mean()


class MatteToShapes:
    """See the module."""

    learns = True
    oracles = frozenset({"crop"})

    def __init__(self, task: Task) -> None:
        """Take the task."""
        self.task, self.template = task, task.footage.template
        use_threads(task.threads)

    def fit(self) -> dict[str, Any]:
        """Learn the masks, and keep the mean of the training frames' shapes."""
        task = self.task
        torch.manual_seed(task.seed)
        heads = Heads(task.footage, CROP_PX)
        network = UNet(len(self.template.shapes))

        def loss_of_step(step: int) -> Tensor:
            samples = [heads.sample((task.seed, step, i)) for i in range(_BATCH)]
            truth = torch.from_numpy(np.stack([self.masks(sample) for sample in samples]))
            return mask_loss(network(as_pictures([s.image for s in samples])), truth)

        notes = train_for(
            task.budget_s, network, loss_of_step, rates=[(network, _RATE)], weight_decay=1e-2,
            report=task.report,
        )  # fmt: skip
        save_network(task.folder / "masks.pt", network)
        np.save(task.folder / "mean.npy", heads.mean_values())
        return notes

    def masks(self, sample: Sample) -> NDArray[np.float32]:
        """True masks (C, S, S) of a crop; a shape of which nothing is visible has none."""
        size = sample.image.shape[0]
        found = np.zeros((len(self.template.shapes), size, size), np.float32)
        for number, shape, where in self._places():
            points = sample.values[where]
            if not sample.visible[where].any():
                continue
            if shape.closed:
                found[number] = rasterize([points], width=size, height=size)
            else:
                found[number] = draw_band(points, size)
        return found

    def predict(self, shot: Shot) -> Roto:
        """Masks of every frame by itself, vectorised."""
        network = UNet(len(self.template.shapes))
        load_network(self.task.folder / "masks.pt", network)
        mean = np.load(self.task.folder / "mean.npy")
        boxes, values, visible = given_boxes(self.task, shot), [], []
        for frame, plate in shot.read():
            crop, matrix = crop_of(plate, boxes[frame], CROP_PX)
            with torch.no_grad():
                masks = torch.sigmoid(network(as_pictures([crop])))[0].numpy()
            drawn, seen = self._vectorise(masks, mean)
            values.append(to_plate(drawn, matrix))
            visible.append(seen)
        roto = unpack(
            self.template, shot.name, shot.truth.plate, shot.frames,
            np.stack(values), np.stack(visible),
        )  # fmt: skip
        return replace(roto, tracks={})

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """None."""
        return ()

    def _vectorise(
        self, masks: NDArray[np.float32], mean: FloatArray
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Control points (P, 6) in crop px and (P,) visible; hidden shapes stay at the mean."""
        values = mean.copy()
        visible = np.zeros(len(values), np.bool_)
        for number, shape, where in self._places():
            mask = masks[number]
            line = trace_outline(mask) if shape.closed else trace_band(mask, _BAND_PX / 2)
            if line is not None:
                values[where] = fit_spline(line, mean[where], closed=shape.closed)
                visible[where] = True
        return values, visible

    def _places(self) -> Sequence[tuple[int, ShapeTemplate, slice]]:
        tracks, slices = len(self.template.tracks), self.template.slices()
        return [
            (n, s, slice(slices[s.name].start + tracks, slices[s.name].stop + tracks))
            for n, s in enumerate(self.template.shapes)
        ]


def draw_band(points: FloatArray, size: int) -> NDArray[np.float32]:
    """A band of ``_BAND_PX`` along an open spline: (size, size), 0-1."""
    fine = 16  # cv2 takes whole numbers with 4 bits behind the point
    line = np.round((sample_curve(points, closed=False) - 0.5) * fine).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.polylines(mask, [line], False, 255, _BAND_PX, cv2.LINE_AA, shift=4)
    return np.asarray(mask, np.float32) / np.float32(255)
