"""The two networks: one finds the head in the whole plate, one draws its points and shapes.

``Finder`` looks at the whole plate, small, and says where the head is and how large.
``Drawer`` looks at the crop of the head. A U-Net on the crop, small, gives a heat map for each
point: a sketch, quick to learn and never far off. From there the points are refined by close
looks at the crop in full detail (``refine``). From the last tokens come tangents, visibility
and an estimate of the error.

Coordinates inside are fractions of the crop, 0-1; the exported outputs are crop px.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from laikaroto.training.refine import (
    SPACINGS,
    WIDTH,
    Pose,
    Round,
    find_pose,
    gather,
    pictures_of,
)

#: side of the crop that the sketch is made on, px
SKETCH = 128


class Drawing(NamedTuple):
    """What ``Drawer`` says of a batch of B crops; fractions of the crop unless noted.

    xy (R, N, P, 2) for each round R of refinement, round 0 being the start: of the B heat maps
    first, then of further starts of the same crops; tangents (N, C, 4); visible logits (N, P);
    log_error (N, P), log of px of a crop of 256; heat (B, P, H, W) logits; tokens
    (N, P, WIDTH) what each point knows after the last round.
    """

    xy: Tensor
    tangents: Tensor
    visible: Tensor
    log_error: Tensor
    heat: Tensor
    tokens: Tensor


def _conv(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two 3×3 convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Backbone(nn.Module):
    """A small U-Net: pictures in, features at 1/4 (shallow and deep), 1/8 and 1/16 out."""

    def __init__(self, widths: tuple[int, ...] = (40, 80, 128, 160)) -> None:
        super().__init__()
        finest, *deeper = widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, finest, stride=2))
        self.down = nn.ModuleList()
        last = finest
        for depth, width in enumerate(deeper):
            blocks = [_Residual(width) for _ in range(1 if depth == 0 else 2)]
            self.down.append(nn.Sequential(_conv(last, width, stride=2), *blocks))
            last = width
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.lateral = nn.ModuleList(nn.Conv2d(deep, fine, 1) for fine, deep in pairs)
        self.up = nn.ModuleList(_conv(width, width) for width in widths[:-1])
        self.widths = (finest, *widths[:3])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Features of a batch (B, 3, S, S), channels as in ``widths``."""
        features = [self.stem(image)]
        for level in self.down:
            features.append(level(features[-1]))
        x = features[-1]
        outs: list[Tensor] = []
        for lateral, up, fine in zip(
            reversed(self.lateral), reversed(self.up), reversed(features[:-1]), strict=True
        ):
            x = up(fine + F.interpolate(lateral(x), scale_factor=2.0, mode="nearest"))
            outs.insert(0, x)
        return (features[0], *outs)


def soft_argmax(heat: Tensor) -> Tensor:
    """Mean position of each heat map (…, H, W) of logits, as fractions (…, 2), x first."""
    height, width = heat.shape[-2:]
    weight = heat.flatten(-2).softmax(-1).view(heat.shape)
    xs = (torch.arange(width, device=heat.device, dtype=heat.dtype) + 0.5) / width
    ys = (torch.arange(height, device=heat.device, dtype=heat.dtype) + 0.5) / height
    return torch.stack([(weight.sum(-2) * xs).sum(-1), (weight.sum(-1) * ys).sum(-1)], dim=-1)


class Drawer(nn.Module):
    """Points, tangents, visibility and error of one character on the crop of its head."""

    def __init__(self, tracks: int, mean_xy: Tensor, mean_tangents: Tensor, *, size: int) -> None:
        """Lay out for a template.

        Args:
            tracks: number of tracking points; they come first among all points.
            mean_xy: (P, 2) mean place of every point in the crop, fractions of it.
            mean_tangents: (C, 4) mean tangents of the ground truth, fractions of the crop.
            size: side of the crop, px; a multiple of ``SKETCH``.
        """
        super().__init__()
        self.tracks, self.size = tracks, size
        count, self.controls = len(mean_xy), len(mean_tangents)
        self.backbone = Backbone()
        self.heat = nn.Conv2d(self.backbone.widths[1], count, 1)
        self.identity = nn.Parameter(torch.randn(count, WIDTH) * 0.02)
        self.look = nn.Linear(sum(self.backbone.widths), WIDTH)
        self.rounds = nn.ModuleList(Round(count, spacing) for spacing in SPACINGS)
        self.tangents = nn.Linear(WIDTH, 4)
        # judged on normalised tokens: an unusual picture must not blow the estimates up
        self.judged = nn.LayerNorm(WIDTH)
        self.visible, self.log_error = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 1)
        self.mean_xy: Tensor
        self.mean_tangents: Tensor
        self.register_buffer("mean_xy", mean_xy - mean_xy.mean(dim=0))
        self.register_buffer("mean_tangents", mean_tangents.clone())
        for layer in (self.tangents, self.log_error):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # start out expecting the error of an untrained network, not of a good one
        nn.init.constant_(self.log_error.bias, 3.0)

    def forward(self, image: Tensor, starts: Tensor | None = None) -> Drawing:
        """Draw a batch of crops (B, 3, S, S) of log-encoded values.

        Args:
            image: the crops.
            starts: (K, B, P, 2) further places to refine from, for training: the drawing then
                has (1 + K) B rows, those of the sketch first.
        """
        maps = self.backbone(F.avg_pool2d(image, self.size // SKETCH))
        heat = self.heat(maps[1]).float()
        xy = soft_argmax(heat)
        each = 1
        if starts is not None:
            each += len(starts)
            xy = torch.cat([xy, starts.flatten(0, 1)])
        here = xy.detach()
        context = [gather(features.float().repeat(each, 1, 1, 1), here) for features in maps]
        tokens = self.look(torch.cat(context, dim=-1)) + self.identity
        rounds = [xy]
        for close, picture in zip(self.rounds, pictures_of(image, self.size), strict=True):
            here, tokens = close(picture, rounds[-1].detach(), tokens, self.mean_xy, each=each)
            rounds.append(here)
        judged = self.judged(tokens)
        tangents = self._bend(judged[:, self.tracks :], find_pose(here.detach(), self.mean_xy))
        return Drawing(
            torch.stack(rounds),
            tangents,
            self.visible(judged).squeeze(-1).float(),
            self.log_error(self.judged(tokens.detach())).squeeze(-1).float(),
            heat,
            judged,
        )

    def _bend(self, tokens: Tensor, pose: Pose) -> Tensor:
        """Tangents (N, C, 4) of control points, turned with the head."""
        if not self.controls:
            return tokens[..., :4].float()  # none: OpenVINO cannot turn nothing
        bends = self.mean_tangents + self.tangents(tokens).float() * 0.1
        return pose.to_picture(bends.unflatten(-1, (2, 2))).flatten(-2)


class Finder(nn.Module):
    """Where a head is in a whole plate: centre, size and how sure."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Backbone((24, 48, 64, 80))
        self.heat = nn.Conv2d(24, 1, 1)
        self.side = nn.Conv2d(24, 1, 1)
        self.present = nn.Conv2d(24, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Look at small plates (B, 3, h, w).

        Returns:
            centre (B, 2) as fractions of the picture; log side of the head box relative to
            the picture's width (B,); heat (B, h/4, w/4) logits; logit of there being a head
            at all (B,), judged where the heat says it would be.
        """
        fine = self.features(image)[1]
        heat = self.heat(fine).float()
        centre = soft_argmax(heat).squeeze(1)
        weight = heat.flatten(-2).softmax(-1).view(heat.shape)
        side = (self.side(fine).float() * weight).sum((-1, -2)).squeeze(1)
        present = (self.present(fine).float() * weight.detach()).sum((-1, -2)).squeeze(1)
        return centre, side, heat.squeeze(1), present


def hidden_matrices(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters in two lists: matrices between hidden layers, and all others.

    The first are what Muon is meant for: neither first nor last layers, nor tables.
    """
    inner = ("backbone.", "features.", ".layers.", ".shared.", ".out.")
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in network.named_parameters():
        hidden = any(part in f".{name}" for part in inner) and "stem" not in name
        (matrices if hidden and parameter.ndim >= 2 else others).append(parameter)
    return matrices, others
