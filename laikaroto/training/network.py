"""The two networks: one finds the head in the whole plate, one draws its points and shapes.

``Finder`` looks at the whole plate, small, and says where the head is and how large.
``Drawer`` looks at the crop of the head: a U-Net gives a heat map for each point; each
point then becomes a token that gathers image features where it believes to be, talks to
all other tokens (which is how the shape prior enters), and corrects itself, twice. From the
tokens come positions, tangents, visibility and an estimate of the error.

Coordinates inside are fractions of the crop, 0-1; the exported outputs are crop px.
Source: ours; the refinement follows the idea of iterative keypoint regression
(e.g. Carreira et al. 2016), tokens that attend to each other that of Vaswani et al. 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Drawing(NamedTuple):
    """What ``Drawer`` says of a batch; fractions of the crop unless noted.

    xy (R, B, P, 2) for each round R of refinement, round 0 being the heat map's;
    tangents (B, C, 4); visible logits (B, P); log_error (B, P), log of px of the crop;
    heat (B, P, H, W) logits.
    """

    xy: Tensor
    tangents: Tensor
    visible: Tensor
    log_error: Tensor
    heat: Tensor


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


class _Attention(nn.Module):
    """One pre-norm transformer layer over the points of a drawing."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = (
            self.qkv(self.norm1(x))
            .view(batch, count, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.mix(mixed.transpose(1, 2).reshape(batch, count, width))
        return torch.add(x, self.feed(self.norm2(x)))


def soft_argmax(heat: Tensor) -> Tensor:
    """Mean position of each heat map (…, H, W) of logits, as fractions (…, 2), x first."""
    height, width = heat.shape[-2:]
    weight = heat.flatten(-2).softmax(-1).view(heat.shape)
    xs = (torch.arange(width, device=heat.device, dtype=heat.dtype) + 0.5) / width
    ys = (torch.arange(height, device=heat.device, dtype=heat.dtype) + 0.5) / height
    return torch.stack([(weight.sum(-2) * xs).sum(-1), (weight.sum(-1) * ys).sum(-1)], dim=-1)


def gather(features: Tensor, xy: Tensor) -> Tensor:
    """Features (B, C, H, W) at fractional places (B, P, 2): (B, P, C), linear, edges repeat."""
    grid = (xy * 2 - 1).unsqueeze(2)
    found = F.grid_sample(
        features, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found.squeeze(-1).transpose(1, 2)


class Drawer(nn.Module):
    """Points, tangents, visibility and error of one character on the crop of its head."""

    ROUNDS = 2

    def __init__(self, tracks: int, controls: int, mean_tangents: Tensor, *, size: int) -> None:
        """Lay out for a template.

        Args:
            tracks: number of tracking points; they come first among all points.
            controls: number of control points.
            mean_tangents: (C, 4) mean tangents of the ground truth, fractions of the crop.
            size: side of the crop, px.
        """
        super().__init__()
        self.tracks, self.size = tracks, size
        count = tracks + controls
        self.backbone = Backbone()
        stem, fine, coarse, deep = self.backbone.widths
        self.heat = nn.Conv2d(coarse, count, 1)
        width = 128
        self.identity = nn.Parameter(torch.randn(count, width) * 0.02)
        self.look = nn.Linear(5 * (stem + fine) + coarse + deep, width)
        self.place = nn.Linear(4, width)
        self.layers = nn.ModuleList(_Attention(width) for _ in range(self.ROUNDS * 2))
        self.shift = nn.ModuleList(nn.Linear(width, 2) for _ in range(self.ROUNDS))
        self.tangents = nn.Linear(width, 4)
        # judged on normalised tokens: an unusual picture must not blow the estimates up
        self.judged = nn.LayerNorm(width)
        self.visible, self.log_error = nn.Linear(width, 1), nn.Linear(width, 1)
        self.register_buffer("mean_tangents", mean_tangents.clone())
        for layer in (*self.shift, self.tangents, self.log_error):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # start out expecting the error of an untrained network, not of a good one
        nn.init.constant_(self.log_error.bias, 3.0)

    def _tokens(self, maps: list[Tensor], xy: Tensor, first: Tensor) -> Tensor:
        """What each point sees around its place, and where it lies among the others."""
        stem, fine, coarse, deep = maps
        step = 4.0 / self.size
        cross = xy.new_tensor([(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]) * step
        places = (xy.unsqueeze(2) + cross).flatten(1, 2)
        near = gather(torch.cat([stem, fine], dim=1), places).reshape(xy.shape[0], xy.shape[1], -1)
        centre = xy.mean(dim=1, keepdim=True)
        place = torch.cat([(xy - centre) * 4, (first - xy) * 16], dim=-1)
        seen = torch.cat([near, gather(coarse, xy), gather(deep, xy)], dim=-1)
        return torch.add(self.look(seen) + self.place(place), self.identity)

    def forward(self, image: Tensor) -> Drawing:
        """Draw a batch of crops (B, 3, S, S) of log-encoded values."""
        maps = self.backbone(image)
        heat = self.heat(maps[2]).float()
        xy = soft_argmax(heat)
        rounds = [xy]
        tokens = torch.zeros_like(self.identity)
        maps_f = [features.float() for features in maps]
        for turn in range(self.ROUNDS):
            here = rounds[-1].detach()
            tokens = tokens + self._tokens(maps_f, here, rounds[0].detach())
            for layer in list(self.layers)[2 * turn : 2 * turn + 2]:
                tokens = layer(tokens)
            rounds.append(here + self.shift[turn](tokens).float() * 0.1)
        shape_tokens = tokens[:, self.tracks :]
        tangents = self.mean_tangents + self.tangents(shape_tokens).float() * 0.1
        return Drawing(
            torch.stack(rounds),
            tangents,
            self.visible(self.judged(tokens)).squeeze(-1).float(),
            self.log_error(self.judged(tokens.detach())).squeeze(-1).float(),
            heat,
        )


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
