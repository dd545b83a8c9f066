"""Trained networks to a model package's OpenVINO files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from laikaroto.coords import FloatArray
from laikaroto.model.convert import write_ir
from laikaroto.training.checkpoint import write_weights
from laikaroto.training.network import Drawer, Finder

FINDER_OUTPUTS = ("centre", "side", "found")
DRAWER_OUTPUTS = ("points", "tangents", "visible", "error", "tokens")


class ExportedFinder(nn.Module):
    """The finder in the units of its input picture, ``size`` (width, height) px.

    centre (N, 2) px; side (N,) px; found (N,) 0-1: the chance that there is a head, times how
    much of the heat lies within three cells of the centre, so that it also falls where the
    heat is torn between two places.
    """

    size: Tensor

    def __init__(self, finder: Finder, size: tuple[int, int]) -> None:
        super().__init__()
        self.finder = finder
        self.register_buffer("size", torch.tensor(size, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look at (N, 3, h, w) log-encoded plates."""
        centre, side, heat, present = self.finder(image)
        height, width = heat.shape[-2:]
        weight = heat.flatten(-2).softmax(-1).view(-1, height, width)
        xs = torch.arange(width, dtype=heat.dtype) + 0.5
        ys = torch.arange(height, dtype=heat.dtype) + 0.5
        dx = xs[None, :] - centre[:, 0:1] * width
        dy = ys[None, :] - centre[:, 1:2] * height
        near = (dx[:, None, :] ** 2 + dy[:, :, None] ** 2 < 9.0).to(heat.dtype)
        found = torch.sigmoid(present) * (weight * near).sum((-1, -2))
        return centre * self.size, torch.exp(side) * self.size[0], found


class ExportedDrawer(nn.Module):
    """The drawer in crop px: points (N, P, 2), tangents (N, C, 4), visible, error (N, P).

    Its fifth output, tokens (N, P, WIDTH), tells pictures apart: corrections travel by it.
    """

    unit: Tensor

    def __init__(self, drawer: Drawer, error_scale: FloatArray | float) -> None:
        super().__init__()
        self.drawer = drawer
        unit = np.asarray(error_scale) * drawer.size / 256.0
        self.register_buffer("unit", torch.as_tensor(unit, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw (N, 3, S, S) log-encoded crops."""
        drawn = self.drawer(image)
        size = float(self.drawer.size)
        error = torch.exp(drawn.log_error) * self.unit
        visible = torch.sigmoid(drawn.visible)
        return drawn.xy[-1] * size, drawn.tangents * size, visible, error, drawn.tokens


def export_networks(
    folder: Path,
    drawer: Drawer,
    finder: Finder,
    *,
    finder_size: tuple[int, int],
    error_scale: FloatArray | float,
) -> None:
    """Write finder and drawer as IR, and their weights as plain arrays, into ``folder``.

    Args:
        folder: of a package that is being built.
        drawer: trained.
        finder: trained.
        finder_size: width and height of the finder's pictures, px.
        error_scale: what the drawer's error estimates are multiplied by, (P,) or one for all.

    Raises:
        TryAgainError: the files cannot be written.
    """
    width, height = finder_size
    drawer.eval()
    finder.eval()
    write_ir(
        ExportedFinder(finder, finder_size).eval(),
        torch.zeros(1, 3, height, width),
        folder / "finder.xml",
        outputs=FINDER_OUTPUTS,
    )
    write_ir(
        ExportedDrawer(drawer, error_scale).eval(),
        torch.zeros(1, 3, drawer.size, drawer.size),
        folder / "drawer.xml",
        outputs=DRAWER_OUTPUTS,
    )
    write_weights(folder / "weights.npz", drawer, finder)
