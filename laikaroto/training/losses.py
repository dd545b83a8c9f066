"""What a network is asked to get right, and by how much.

All drawing losses are in crop px scaled to a crop of 256, so weights mean the same for any
crop size. Points whose truth is unknown do not count. Hidden points count less, because an
artist only cares for them as a guide; less still, and heads turned to the side were drawn worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from laikaroto.character.template import CharacterTemplate
from laikaroto.shapes.bezier import bernstein
from laikaroto.training.network import Drawing

UNIT = 256.0
HIDDEN_WEIGHT = 0.4
#: Tracking points are few, and only this loss is theirs; control points have their curves as well.
TRACK_WEIGHT = 3.0
SAMPLES = 8
WEIGHTS = {
    "heat": 0.4,
    "coarse": 0.1,
    "points": 1.0,
    "curve": 2.0,
    "tangents": 0.3,
    "visible": 1.0,
    "error": 0.1,
}


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Truth of a batch of crops: fractions of the crop, flat template order.

    xy (B, P, 2); tangents (B, C, 4); visible, known (B, P) as 0/1 floats.
    """

    xy: Tensor
    tangents: Tensor
    visible: Tensor
    known: Tensor

    def repeat(self, times: int) -> Targets:
        """The same truth for ``times`` drawings of each crop, those of one start together."""
        return Targets(
            self.xy.repeat(times, 1, 1),
            self.tangents.repeat(times, 1, 1),
            self.visible.repeat(times, 1),
            self.known.repeat(times, 1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CurveIndex:
    """Which control points each Bezier segment joins: (S,) indices, over all shapes."""

    start: Tensor
    end: Tensor
    basis: Tensor

    @classmethod
    def of(cls, template: CharacterTemplate) -> CurveIndex:
        """Segments of every shape of a template, in flat control point order."""
        start: list[int] = []
        end: list[int] = []
        for shape in template.shapes:
            first = template.slices()[shape.name].start
            for i in range(shape.count if shape.closed else shape.count - 1):
                start.append(first + i)
                end.append(first + (i + 1) % shape.count)
        basis = torch.tensor(bernstein(SAMPLES), dtype=torch.float32)
        return cls(
            torch.tensor(start, dtype=torch.long), torch.tensor(end, dtype=torch.long), basis
        )

    def curves(self, xy: Tensor, tangents: Tensor) -> Tensor:
        """Samples of every segment: (B, S, SAMPLES, 2)."""
        a, b = xy[:, self.start], xy[:, self.end]
        polygon = torch.stack(
            [a, a + tangents[:, self.start, 2:4], b + tangents[:, self.end, 0:2], b], dim=2
        )
        return torch.einsum("tk,bskc->bstc", self.basis, polygon)


def heat_loss(heat: Tensor, targets: Targets, weight: Tensor, spread: float = 1.0) -> Tensor:
    """Cross entropy of heat maps against Gaussians at the true places, ``spread`` cells wide."""
    height, width = heat.shape[-2:]
    xs = torch.arange(width, dtype=torch.float32) + 0.5
    ys = torch.arange(height, dtype=torch.float32) + 0.5
    x, y = targets.xy[..., 0:1] * width, targets.xy[..., 1:2] * height
    gx = torch.exp(-((xs - x) ** 2) / (2 * spread**2))
    gy = torch.exp(-((ys - y) ** 2) / (2 * spread**2))
    inside = ((targets.xy > 0) & (targets.xy < 1)).all(-1)
    gx, gy = (
        gx / gx.sum(-1, keepdim=True).clamp_min(1e-6),
        gy / gy.sum(-1, keepdim=True).clamp_min(1e-6),
    )
    goal = (gy.unsqueeze(-1) * gx.unsqueeze(-2)).flatten(2)
    entropy = -(goal * F.log_softmax(heat.flatten(2), -1)).sum(-1)
    weight = weight * inside
    return (entropy * weight).sum() / weight.sum().clamp_min(1.0)


def curve_distances(index: CurveIndex, drawing: Drawing, targets: Targets) -> tuple[Tensor, Tensor]:
    """How far each sample of each curve lies from the truth: across it and along it, px.

    Returns:
        across, along: (B, S, SAMPLES), absolute, in units of ``UNIT``.
    """
    tracks = targets.xy.shape[1] - targets.tangents.shape[1]
    truth = index.curves(targets.xy[:, tracks:], targets.tangents)
    drawn = index.curves(drawing.xy[-1][:, tracks:], drawing.tangents)
    ahead = torch.roll(truth, -1, 2) - truth
    ahead = torch.cat([ahead[:, :, :-1], truth[:, :, -1:] - truth[:, :, -2:-1]], dim=2)
    ahead = F.normalize(ahead, dim=-1, eps=1e-6)
    gap = (drawn - truth) * UNIT
    along = (gap * ahead).sum(-1)
    across = gap[..., 0] * ahead[..., 1] - gap[..., 1] * ahead[..., 0]
    return across.abs(), along.abs()


def _tame(gap: Tensor, knee: float = 4.0) -> Tensor:
    """Px error that grows ever more slowly beyond ``knee`` px.

    Far points are the heat maps' business; left as they are, their gradients would drown it.
    """
    return knee * torch.log1p(gap / knee)


def _importance(targets: Targets) -> Tensor:
    """How much each point counts (B, P)."""
    return targets.known * (HIDDEN_WEIGHT + (1 - HIDDEN_WEIGHT) * targets.visible)


def drawing_loss(
    drawing: Drawing,
    targets: Targets,
    index: CurveIndex,
    weights: Mapping[str, float] = WEIGHTS,
) -> tuple[Tensor, dict[str, float]]:
    """The sum of all losses, each by its weight, and each one's own value.

    Args:
        drawing: of B crops, from one or more starts each.
        targets: of the B crops.
        index: segments of the template.
        weights: of the losses, by name; the registered ones as they are.
    """
    heat = heat_loss(drawing.heat, targets, _importance(targets))
    targets = targets.repeat(drawing.xy.shape[1] // len(targets.xy))
    weight = _importance(targets)
    gaps = [((xy - targets.xy) * UNIT).square().sum(-1).add(1e-4).sqrt() for xy in drawing.xy]
    far = [_tame(gap) for gap in gaps]
    across, along = curve_distances(index, drawing, targets)
    tracks = targets.xy.shape[1] - targets.tangents.shape[1]
    ends = weight[:, tracks:]
    share = torch.cat([weight[:, :tracks] * TRACK_WEIGHT, ends], dim=1)
    total = share.sum().clamp_min(1.0)
    segment = (ends[:, index.start] * ends[:, index.end]).unsqueeze(-1)
    segments = (segment.sum() * SAMPLES).clamp_min(1.0)
    tangent_gap = ((drawing.tangents - targets.tangents) * UNIT).abs().mean(-1)
    losses = {
        "heat": heat,
        "coarse": (far[0] * share).sum() / total,
        "points": sum(((gap * share).sum() / total for gap in far[1:]), torch.zeros(())),
        "curve": (_tame(across + 0.1 * along) * segment).sum() / segments,
        "tangents": (tangent_gap * ends).sum() / ends.sum().clamp_min(1.0),
        "visible": (
            F.binary_cross_entropy_with_logits(drawing.visible, targets.visible, reduction="none")
            * targets.known
        ).sum()
        / targets.known.sum().clamp_min(1.0),
        "error": error_loss(drawing, targets, index, weight),
    }
    loss = sum((weights[name] * value for name, value in losses.items()), torch.zeros(()))
    return loss, {name: float(value.detach()) for name, value in losses.items()}


def actual_errors(drawing: Drawing, targets: Targets, index: CurveIndex) -> Tensor:
    """The error of each point as an artist sees it, px of ``UNIT``: (B, P).

    A tracking point's error is its distance from the truth; a control point's is the mean
    distance across the curve of the segments it bounds.
    """
    gap = ((drawing.xy[-1] - targets.xy) * UNIT).square().sum(-1).sqrt()
    across, _ = curve_distances(index, drawing, targets)
    mean = across.mean(-1)
    batch, controls = targets.tangents.shape[:2]
    summed = (
        torch.zeros(batch, controls).index_add(1, index.start, mean).index_add(1, index.end, mean)
    )
    ones = torch.ones(len(index.start))
    count = torch.zeros(controls).index_add(0, index.start, ones).index_add(0, index.end, ones)
    tracks = gap.shape[1] - controls
    return torch.cat([gap[:, :tracks], summed / count.clamp_min(1.0)], dim=1)


def error_loss(drawing: Drawing, targets: Targets, index: CurveIndex, weight: Tensor) -> Tensor:
    """Negative log likelihood of the actual errors under the predicted ones (Laplace)."""
    actual = actual_errors(drawing, targets, index).detach()
    log_error = drawing.log_error.clamp(-5.0, 6.0)
    value = log_error + actual * torch.exp(-log_error)
    return (value * weight).sum() / weight.sum().clamp_min(1.0)


def finder_loss(
    found: tuple[Tensor, Tensor, Tensor, Tensor],
    true_centre: Tensor,
    true_side: Tensor,
    present: Tensor,
) -> Tensor:
    """Heat map, centre and size of the head where there is one, and whether there is one.

    Args:
        found: what ``Finder`` says.
        true_centre: (B, 2) fractions.
        true_side: (B,) log of fractions.
        present: (B,) 1 where there is a head, else 0.
    """
    centre, side, heat, logit = found
    share = present / present.sum().clamp_min(1.0)
    targets = Targets(
        true_centre.unsqueeze(1), centre.new_zeros(0), present[:, None], present[:, None]
    )
    place = heat_loss(heat.unsqueeze(1), targets, present[:, None])
    away = ((centre - true_centre).abs().mean(-1) * share).sum()
    larger = ((side - true_side).abs() * share).sum()
    there = F.binary_cross_entropy_with_logits(logit, present)
    return place + 10 * away + 2 * larger + there
