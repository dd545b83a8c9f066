"""EfficientNet-B0's convolutions, from scratch.

Source: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", table 1. Without its dropping of whole blocks, and without pretrained weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: expansion, channels, repeats, stride, kernel of each stage
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_STEM, _HEAD = 32, 1280
#: input px per px of the output map, and its channels
STRIDE, CHANNELS = 32, _HEAD


def _convolution(
    inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer),
    )


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.up(self.activation(self.down(mean))))


class _MbConv(nn.Module):
    """Expand, filter each channel, weigh the channels, project; added to its input if it fits."""

    def __init__(self, inner: int, outer: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = inner * expansion
        expand = [_convolution(inner, wide, 1), nn.SiLU()] if expansion > 1 else []
        self.body = nn.Sequential(
            *expand,
            _convolution(wide, wide, kernel, stride, groups=wide),
            nn.SiLU(),
            _SqueezeExcite(wide, max(inner // 4, 1)),
            _convolution(wide, outer, 1),
        )
        self.adds = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return x + found if self.adds else found


def efficientnet_b0() -> nn.Sequential:
    """Pictures (B, 3, S, S) to features (B, CHANNELS, S / STRIDE, S / STRIDE)."""
    layers: list[nn.Module] = [_convolution(3, _STEM, 3, 2), nn.SiLU()]
    inner = _STEM
    for expansion, outer, repeats, stride, kernel in _STAGES:
        for number in range(repeats):
            layers.append(_MbConv(inner, outer, expansion, stride if number == 0 else 1, kernel))
            inner = outer
    return nn.Sequential(*layers, _convolution(inner, _HEAD, 1), nn.SiLU())
