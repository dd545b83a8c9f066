"""What counts as an error, and how much."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.training.losses import (
    UNIT,
    CurveIndex,
    Targets,
    actual_errors,
    curve_distances,
    drawing_loss,
    finder_loss,
    heat_loss,
)
from laikaroto.training.network import Drawing

TEMPLATE = CharacterTemplate(
    character="any",
    tracks=("a", "b"),
    shapes=(
        ShapeTemplate(name="line", closed=False, count=3),
        ShapeTemplate(name="ring", closed=True, count=4),
    ),
)
INDEX = CurveIndex.of(TEMPLATE)


def truth() -> Targets:
    """A level line and a square, all visible; tangents a third of the way."""
    line = [(0.2, 0.3), (0.5, 0.3), (0.8, 0.3)]
    ring = [(0.3, 0.5), (0.7, 0.5), (0.7, 0.9), (0.3, 0.9)]
    xy = torch.tensor([[(0.1, 0.1), (0.9, 0.1), *line, *ring]])
    tangents = torch.zeros(1, 7, 4)
    for first, count, closed in ((0, 3, False), (3, 4, True)):
        for i in range(count):
            here = xy[0, 2 + first + i]
            if closed or i > 0:
                tangents[0, first + i, :2] = (xy[0, 2 + first + (i - 1) % count] - here) / 3
            if closed or i < count - 1:
                tangents[0, first + i, 2:] = (xy[0, 2 + first + (i + 1) % count] - here) / 3
    return Targets(xy, tangents, torch.ones(1, 9), torch.ones(1, 9))


def drawn(targets: Targets, shift: Tensor | float = 0.0) -> Drawing:
    """A drawing that is ``shift`` (fractions) off, and sure of itself."""
    xy = targets.xy + shift
    return Drawing(
        torch.stack([xy] * 3),
        targets.tangents.clone(),
        40 * targets.visible - 20,
        torch.full((1, 9), -5.0),
        torch.zeros(1, 9, 16, 16),
        torch.zeros(1, 9, 4),
    )


def parts(drawing: Drawing, targets: Targets) -> dict[str, float]:
    return drawing_loss(drawing, targets, INDEX)[1]


def test_segments_join_what_the_template_joins() -> None:
    assert INDEX.start.tolist() == [0, 1, 3, 4, 5, 6]
    assert INDEX.end.tolist() == [1, 2, 4, 5, 6, 3]


def test_a_perfect_drawing_costs_nothing() -> None:
    found = parts(drawn(truth()), truth())
    for name in ("coarse", "points", "curve", "tangents", "visible"):
        assert found[name] == pytest.approx(0, abs=0.03), name
    worse = parts(drawn(truth(), 0.02), truth())
    assert all(worse[name] > found[name] + 0.5 for name in ("coarse", "points", "curve", "error"))


def test_a_shifted_line_is_off_by_the_shift_across_and_along() -> None:
    targets = truth()
    down = torch.tensor([0.0, 3 / UNIT])
    across, along = curve_distances(INDEX, drawn(targets, down), targets)
    torch.testing.assert_close(across[:, :2], torch.full_like(across[:, :2], 3.0))
    torch.testing.assert_close(along[:, :2], torch.zeros_like(along[:, :2]), atol=1e-3, rtol=0)
    across, along = curve_distances(INDEX, drawn(targets, down.flip(0)), targets)
    torch.testing.assert_close(across[:, :2], torch.zeros_like(across[:, :2]), atol=1e-3, rtol=0)
    torch.testing.assert_close(along[:, :2], torch.full_like(along[:, :2], 3.0))


def test_errors_of_points_and_curves() -> None:
    targets = truth()
    errors = actual_errors(drawn(targets, torch.tensor([0.0, 3 / UNIT])), targets, INDEX)
    assert errors[0, :2].tolist() == pytest.approx([3, 3])  # tracking points: distance
    assert errors[0, 2:5].tolist() == pytest.approx([3, 3, 3])  # line: across it
    # each corner of the square joins a side that is crossed and one that is slid along
    assert errors[0, 5:].tolist() == pytest.approx([1.5] * 4, abs=1e-3)


def test_unknown_points_do_not_count() -> None:
    targets = truth()
    known = targets.known.clone()
    known[0, 1] = 0
    known[0, 5:] = 0  # the ring is not drawn on this frame
    targets = replace(targets, known=known)
    good, bad = drawn(targets), drawn(targets)
    bad.xy[:, :, 1] += 0.3
    bad.xy[:, :, 5:] -= 0.2
    bad.tangents[:, 3:] += 0.1
    bad.visible[:, 5:] *= -1
    bad.log_error[:, 5:] = 3.0
    bad.heat[:, 5:, 0, 0] = 9.0
    assert parts(bad, targets) == pytest.approx(parts(good, targets))


def test_hidden_points_count_less() -> None:
    def cost(hidden: bool) -> float:
        targets = truth()
        if hidden:
            visible = targets.visible.clone()
            visible[0, 0] = 0
            targets = replace(targets, visible=visible)
        wrong = drawn(targets)
        wrong.xy[:, :, 0] += 0.02
        return parts(wrong, targets)["points"] - parts(drawn(targets), targets)["points"]

    assert 0 < cost(hidden=True) < 0.5 * cost(hidden=False)


def test_nothing_known_costs_nothing_and_is_no_number_trouble() -> None:
    targets = replace(truth(), known=torch.zeros(1, 9))
    drawing = drawn(targets, 0.1)
    drawing.xy.requires_grad_()
    loss, _ = drawing_loss(drawing, targets, INDEX)
    loss.backward()
    assert loss.item() == 0 and drawing.xy.grad is not None and not drawing.xy.grad.any()


@pytest.mark.parametrize("kind", ["tracks", "shapes"])
def test_templates_of_tracks_or_shapes_alone(kind: str) -> None:
    form = TEMPLATE.model_copy(update={"tracks": ()} if kind == "shapes" else {"shapes": ()})
    index, whole = CurveIndex.of(form), truth()
    part = slice(2, None) if kind == "shapes" else slice(0, 2)
    tangents = whole.tangents if kind == "shapes" else whole.tangents[:, :0]
    targets = Targets(whole.xy[:, part], tangents, whole.visible[:, part], whole.known[:, part])
    good = Drawing(
        torch.stack([targets.xy] * 3), tangents, 40 * targets.visible - 20,
        torch.full_like(targets.visible, -5.0), torch.zeros(1, targets.xy.shape[1], 8, 8),
        torch.zeros(1, targets.xy.shape[1], 4),
    )  # fmt: skip
    bad = good._replace(xy=good.xy + 0.02)
    assert float(drawing_loss(bad, targets, index)[0]) > float(
        drawing_loss(good, targets, index)[0]
    )
    assert actual_errors(bad, targets, index).shape == targets.visible.shape


def test_heat_is_best_at_the_true_place() -> None:
    targets = replace(truth(), xy=torch.full((1, 9, 2), 4.5 / 16))
    weight = torch.ones(1, 9)

    def at(row: int, column: int) -> float:
        heat = torch.zeros(1, 9, 16, 16)
        heat[..., row, column] = 3.0
        return float(heat_loss(heat, targets, weight))

    assert at(4, 4) < at(4, 5) < at(4, 8)
    outside = replace(targets, xy=torch.full((1, 9, 2), 1.5))
    assert float(heat_loss(torch.zeros(1, 9, 16, 16), outside, weight)) == 0


def test_the_finder_is_right_where_it_is_right() -> None:
    centre, side = torch.tensor([[0.3, 0.6]]), torch.tensor([-1.0])
    heat = torch.zeros(1, 24, 40)
    sure, there = torch.tensor([3.0]), torch.ones(1)
    best = float(finder_loss((centre, side, heat, sure), centre, side, there))
    assert float(finder_loss((centre, side, heat, sure), centre + 0.1, side, there)) > best + 0.5
    assert float(finder_loss((centre, side - 0.5, heat, sure), centre, side, there)) > best + 0.5
    assert float(finder_loss((centre, side, heat, -sure), centre, side, there)) > best + 2


CENTRES, SIDES = torch.tensor([[0.3, 0.5], [0.7, 0.7]]), torch.tensor([-1.2, -1.0])


def test_where_there_is_no_head_only_saying_so_counts() -> None:
    centre, side = torch.tensor([[0.3, 0.6], [0.2, 0.2]]), torch.tensor([-1.0, -2.0])
    heat = torch.zeros(2, 24, 40, requires_grad=True)
    logit = torch.tensor([3.0, -3.0])
    present = torch.tensor([1.0, 0.0])

    def loss(centre: torch.Tensor, side: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
        return finder_loss((centre, side, heat, logit), CENTRES, SIDES, present)

    graph = loss(centre, side, logit)
    best = float(graph.detach())
    elsewhere = centre + torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    with torch.no_grad():
        assert float(loss(elsewhere, side + torch.tensor([0.0, 2.0]), logit)) == best
        assert float(loss(centre, side, torch.tensor([3.0, 3.0]))) > best + 1
    graph.backward()  # type: ignore[no-untyped-call]
    assert heat.grad is not None
    assert heat.grad[0].abs().sum() > 0 and heat.grad[1].abs().sum() == 0
    # one picture without a head more does not make the others weigh less
    alone = finder_loss(
        (centre[:1], side[:1], heat[:1], logit[:1]), CENTRES[:1], SIDES[:1], present[:1]
    )
    assert best == pytest.approx(float(alone.detach()), abs=1e-5)
