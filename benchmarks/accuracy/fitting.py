"""Training a torch network for a given wall time: what the peers with networks share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from benchmarks.accuracy.method import Report
from laikaroto.training.checkpoint import has_fast_bfloat16

_WARM_UP = 0.02  # of the budget
_CLIP = 1.0  # largest norm of the gradient
_REPORT_EVERY = 20


def use_threads(count: int) -> None:
    """Give torch these threads, and OpenCV one: it works beside torch only for milliseconds."""
    torch.set_num_threads(count)
    cv2.setNumThreads(1)


def train_for(
    budget_s: float,
    network: nn.Module,
    loss_of_step: Callable[[int], Tensor],
    *,
    rates: Sequence[tuple[nn.Module, float]],
    weight_decay: float,
    report: Report,
) -> dict[str, Any]:
    """AdamW with a learning rate that rises briefly and falls along a half cosine to zero.

    The schedule follows the clock, so it ends with the budget however fast the machine is.
    bfloat16 is used where the processor has it, as laikaroto's own training does.

    Args:
        budget_s: wall time; at least one step is made.
        network: what is trained; put into training mode, and left in evaluation mode.
        loss_of_step: makes a batch of its own and returns the loss.
        rates: each part of the network with its largest learning rate.
        weight_decay: of AdamW.
        report: told how far it is.

    Returns:
        Number of ``steps`` and the mean ``loss`` of the first and last tenth of them.
    """
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in rates]
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
    fast = has_fast_bfloat16()
    losses: list[float] = []
    started, share = time.monotonic(), 0.0
    network.train()
    while share < 1.0:
        factor = min(share / _WARM_UP, 1.0) * 0.5 * (1 + math.cos(math.pi * share))
        for group, (_, rate) in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * max(factor, 1e-3)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            loss = loss_of_step(len(losses))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        share = min((time.monotonic() - started) / budget_s, 1.0)
        if len(losses) % _REPORT_EVERY == 0:
            report(share, f"step {len(losses)}, loss {losses[-1]:.4g}")
    network.eval()
    tenth = max(len(losses) // 10, 1)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    return {"steps": len(losses), "first_loss": first, "last_loss": last}


def save_network(path: Path, network: nn.Module) -> None:
    """Write the weights; a killed run leaves no half file under this name."""
    hidden = path.with_name(f".{path.name}")
    torch.save(network.state_dict(), hidden)
    hidden.replace(path)


def load_network(path: Path, network: nn.Module) -> None:
    """Put the weights of ``save_network`` into a network, ready to predict."""
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval()
