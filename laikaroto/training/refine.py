"""Close looks: points that know about where they are find out exactly.

In each round every point reads a square of the picture around its place, becomes a token,
talks to all other tokens (which is how the shape prior enters) and moves. Each round looks
from nearer than the one before. Squares, places and moves are turned and scaled with the
head, by the similarity that lays the mean pose over the points, so that a turned or larger
head looks the same.

Because only the squares are read, a round costs a small part of a convolution over the whole
picture, and can be trained from many inexact starts on one picture.

Source: ours; cascades of regressors that look where the last one arrived go back to P. Dollár,
"Cascaded pose regression", 2010, and X. Xiong and F. De la Torre, "Supervised descent method",
2013; tokens that attend to each other to A. Vaswani et al., 2017.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Places along the side of a square, and their distance in each round, px of a crop of 512.
SQUARE = 11
SPACINGS = (6.0, 3.0, 1.5)
WIDTH = 128
_SHARED, _OWN = 192, 24
_UPRIGHT = 1e-3  # weight of the upright pose, beside squared fractions of the crop
#: The furthest a round moves a point, as a fraction of the crop: no round may throw points away.
MOST_MOVED = 0.06


class Pose(NamedTuple):
    """Where a head is: the similarity that lays the mean pose over its points.

    centre (B, 1, 2); turn (B, 2, 2), rotation times scale.
    """

    centre: Tensor
    turn: Tensor

    def to_picture(self, offsets: Tensor) -> Tensor:
        """Offsets (B, …, 2) of the upright mean head, in the picture."""
        return torch.einsum("bij,b...j->b...i", self.turn, offsets)

    def to_head(self, offsets: Tensor) -> Tensor:
        """Offsets (B, …, 2) of the picture, in the upright mean head."""
        size = (self.turn**2).sum((-1, -2)) / 2
        back = self.turn.transpose(-1, -2) / size.clamp_min(1e-6)[:, None, None]
        return torch.einsum("bij,b...j->b...i", back, offsets)


def find_pose(xy: Tensor, mean: Tensor) -> Pose:
    """The least-squares similarity from the mean pose (P, 2), centred, to points (B, P, 2).

    Points that lie together do not tell how the head is turned: it is upright then.
    """
    centre = xy.mean(dim=1, keepdim=True)
    apart = xy - centre
    size = (mean**2).sum() + _UPRIGHT
    along = ((apart * mean).sum((-1, -2)) + _UPRIGHT) / size
    across = (apart[..., 1] * mean[:, 0] - apart[..., 0] * mean[:, 1]).sum(-1) / size
    turn = torch.stack(
        [torch.stack([along, -across], dim=-1), torch.stack([across, along], dim=-1)], dim=-2
    )
    return Pose(centre, turn)


def gather(features: Tensor, xy: Tensor) -> Tensor:
    """Features (B, C, H, W) at fractional places (B, P, 2): (B, P, C), linear, edges repeat."""
    grid = (xy * 2 - 1).unsqueeze(2)
    found = F.grid_sample(
        features, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found.squeeze(-1).transpose(1, 2)


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
        # written out: on a CPU, torch's fused attention takes longer for so few tokens
        score = (q * (width // self.heads) ** -0.5) @ k.transpose(-1, -2)
        mixed = score.softmax(-1) @ v
        x = x + self.mix(mixed.transpose(1, 2).reshape(batch, count, width))
        return torch.add(x, self.feed(self.norm2(x)))


class _Square(nn.Module):
    """What lies around each point: a square of the picture, summed up.

    Colours are taken relative to the square's own mean and contrast, which the light of the
    shot decides. One layer is shared by all points, with a gain for each; a smaller one is
    each point's own, since an eye's corner is not looked for as a chin is.
    """

    def __init__(self, count: int, spacing: float) -> None:
        super().__init__()
        self.count = count
        steps = (torch.arange(SQUARE, dtype=torch.float32) - (SQUARE - 1) / 2) * spacing / 512
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(-1, 2)
        self.register_buffer("grid", grid, persistent=False)
        inputs = 3 * SQUARE**2
        self.shared = nn.Linear(inputs + 4, _SHARED)
        self.gain = nn.Parameter(1 + torch.randn(count, _SHARED) * 0.1)
        self.own = nn.Parameter(torch.randn(count, inputs, _OWN) * inputs**-0.5)
        self.out = nn.Linear(_SHARED + _OWN, WIDTH)

    def forward(self, picture: Tensor, xy: Tensor, pose: Pose, each: int) -> Tensor:
        """Squares of pictures (B, 3, S, S) at places (each × B, P, 2): (each × B, P, WIDTH)."""
        offsets = torch.einsum("bij,gj->bgi", pose.turn, self.grid)
        places = xy.unsqueeze(2) + offsets.unsqueeze(1)
        inside = self.count * SQUARE**2
        # starts of one picture stand side by side: the picture is not copied
        beside = places.reshape(each, -1, inside, 2).transpose(0, 1).flatten(1, 2)
        seen = gather(picture, beside).reshape(-1, each, inside, 3).transpose(0, 1)
        seen = seen.reshape(-1, self.count, SQUARE**2, 3)
        middle = seen.mean(2, keepdim=True)
        apart = seen - middle
        contrast = apart.square().mean((2, 3), keepdim=True).add(1e-4).sqrt()
        form = (apart / (contrast + 0.02)).flatten(2)
        light = torch.cat([middle.flatten(2), contrast.log().flatten(2) * 0.3], dim=-1)
        common = F.gelu(self.shared(torch.cat([form, light], dim=-1))) * self.gain
        own = torch.bmm(form.transpose(0, 1), self.own).transpose(0, 1)
        summed: Tensor = self.out(torch.cat([common, F.gelu(own)], dim=-1))
        return summed


class Round(nn.Module):
    """One close look of all points, and their move."""

    def __init__(self, count: int, spacing: float) -> None:
        """Lay out for ``count`` points whose squares have places ``spacing`` px apart."""
        super().__init__()
        self.square = _Square(count, spacing)
        self.place = nn.Linear(2, WIDTH)
        self.layers = nn.ModuleList(_Attention(WIDTH) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.shift = nn.Linear(WIDTH, 2)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(
        self, picture: Tensor, xy: Tensor, tokens: Tensor, mean: Tensor, *, each: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Look and move.

        Args:
            picture: (B, 3, S, S).
            xy: (N, P, 2) places, fractions of the crop; N = each × B, starts outermost.
            tokens: (N, P, WIDTH) what the points know so far.
            mean: (P, 2) mean pose, centred, fractions of the crop.
            each: starts of each picture.

        Returns:
            New places and tokens.
        """
        pose = find_pose(xy, mean)
        unlike = (pose.to_head(xy - pose.centre) - mean).clamp(-0.5, 0.5)
        tokens = tokens + self.square(picture, xy, pose, each) + self.place(unlike * 16)
        for layer in self.layers:
            tokens = layer(tokens)
        move = torch.tanh(self.shift(self.norm(tokens)).float()) * MOST_MOVED
        return xy + pose.to_picture(move), tokens


def pictures_of(image: Tensor, size: int) -> list[Tensor]:
    """Crops (B, 3, size, size) as each round reads them.

    They are halved while the round's places are two px or more apart.
    """
    halvings = [max(0, int(math.log2(spacing * size / 512))) for spacing in SPACINGS]
    pyramid = [image]
    while len(pyramid) <= max(halvings):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return [pyramid[count] for count in halvings]
