"""The optimiser's two promises: steps of even size in every direction, and downhill."""

from __future__ import annotations

import pytest
import torch

from laikaroto.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(40, 40), (96, 24), (24, 96)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(*shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    uneven = left @ torch.diag(torch.logspace(0, -1, min(shape))) @ right
    even = orthogonalize(uneven)
    values = torch.linalg.svdvals(even)
    assert values.min() > 0.5 and values.max() < 1.3
    # the directions stay: the nearest orthogonal matrix is left @ right
    assert torch.nn.functional.cosine_similarity(even.flatten(), (left @ right).flatten(), 0) > 0.97


def test_nothing_moves_without_a_gradient() -> None:
    still, moving = torch.nn.Parameter(torch.ones(3, 3)), torch.nn.Parameter(torch.ones(3, 3))
    optimizer = Muon([still, moving], lr=0.1)
    moving.square().sum().backward()
    optimizer.step()
    assert torch.equal(still, torch.ones(3, 3)) and not torch.equal(moving, torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(12, 20), (16, 3, 3, 3)])
def test_it_descends_matrices_and_convolutions(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    goal = torch.randn(*shape)
    parameter = torch.nn.Parameter(torch.zeros(*shape))
    optimizer = Muon([parameter], lr=0.05)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = (parameter - goal).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.25 * losses[0]
    assert losses[20] < losses[0]
