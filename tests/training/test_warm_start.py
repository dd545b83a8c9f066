"""Weights of another model: taken whole, or row by row by the names of the points."""

from __future__ import annotations

import numpy as np
import torch

from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.training.checkpoint import Settings, State, new_state
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import Example
from laikaroto.training.warm_start import Source, load_weights, point_rows

CROP = 128


def form(tracks: tuple[str, ...], **shapes: int) -> CharacterTemplate:
    return CharacterTemplate(
        character="boat", tracks=tracks,
        shapes=tuple(ShapeTemplate(name=n, closed=True, count=c) for n, c in shapes.items()),
    )  # fmt: skip


def untrained(template: CharacterTemplate, seed: int) -> State:
    count = template.point_count
    values = np.random.default_rng(seed).uniform(0, 90, (count, 6))
    example = Example(
        "a1", 1, np.zeros((96, 96, 3), np.float16), 1.0, np.zeros((96, 96, 3), np.float16),
        np.eye(2, 3), values, np.ones(count, bool), np.ones(count, bool),
    )  # fmt: skip
    dataset = Dataset([example], tracks=len(template.tracks), crop_px=CROP, finder=(96, 96))
    settings = Settings(
        budget_s=1.0, seed=seed, training_shots=("a1",), held_out=(), crop_px=CROP,
        finder_size=(96, 96),
    )  # fmt: skip
    return new_state(settings, dataset)


def source(state: State, template: CharacterTemplate) -> Source:
    weights = {
        f"{part}.{name}": value
        for part, module in (("drawer", state.average_drawer), ("finder", state.average_finder))
        for name, value in module.state_dict().items()
    }
    return Source(label="v001", weights=weights, template=template)


def test_the_same_points_take_every_weight() -> None:
    boat = form(("bow", "stern"), sail=3)
    given = source(untrained(boat, 9), boat)
    state = untrained(boat, 1)
    taken = load_weights(state, given, boat)
    assert (taken.whole, taken.by_name, taken.anew) == (len(given.weights), 0, ())
    assert str(taken) == f"{len(given.weights)} of {len(given.weights)} weights fit"
    for part, module in state.modules().items():
        for name, value in module.state_dict().items():
            assert torch.equal(value, given.weights[f"{part.removeprefix('average_')}.{name}"])


def test_which_weights_have_a_row_for_each_point_is_found_out() -> None:
    rows = point_rows(form(("bow", "stern"), sail=3))
    assert rows["heat.weight"] == rows["heat.bias"] == rows["identity"] == "points"
    assert rows["mean_tangents"] == "controls"
    assert "look.weight" not in rows and "visible.weight" not in rows
    # also where a layer happens to be as wide as there are points
    many = form(tuple(f"p{i}" for i in range(128)))
    assert {n for n, kind in point_rows(many).items() if kind == "points"} == {
        n for n, kind in rows.items() if kind == "points"
    }


def test_points_are_taken_by_name_from_another_character() -> None:
    boat, ship = form(("bow", "stern"), sail=3), form(("anchor", "stern", "bow"), sail=3, flag=4)
    old = untrained(boat, 9)
    given = source(old, boat)
    state = untrained(ship, 1)
    before = state.drawer.heat.weight.detach().clone()
    taken = load_weights(state, given, ship)
    heat, theirs = state.drawer.heat.weight, old.drawer.heat.weight
    assert torch.equal(heat[1], theirs[1]) and torch.equal(heat[2], theirs[0])
    assert torch.equal(heat[3:6], theirs[2:5])  # the sail: same name, same form
    assert torch.equal(heat[0], before[0]) and torch.equal(heat[6:], before[6:])
    assert torch.equal(state.drawer.mean_tangents[:3], old.drawer.mean_tangents)
    assert torch.equal(state.average_drawer.heat.weight, heat)
    assert (taken.points, taken.all_points, taken.anew) == (5, 10, ())
    assert taken.by_name == len(point_rows(ship))
    assert "in part: 5 of 10 points have the same names" in str(taken)


def test_as_many_points_with_other_names_do_not_mix() -> None:
    """Same shapes of all weights, other order: rows follow the names, not the places."""
    boat, other = form(("bow", "stern"), sail=3), form(("stern", "bow"), sail=3)
    old = untrained(boat, 9)
    state = untrained(other, 1)
    load_weights(state, source(old, boat), other)
    assert torch.equal(state.drawer.identity[[1, 0]], old.drawer.identity[:2])


def test_a_shape_of_another_form_begins_anew() -> None:
    boat, other = form((), sail=3), form((), sail=4)
    state = untrained(other, 1)
    before = state.drawer.heat.weight.detach().clone()
    taken = load_weights(state, source(untrained(boat, 9), boat), other)
    assert torch.equal(state.drawer.heat.weight, before)
    assert taken.points == 0 and taken.by_name == 0
    assert set(taken.anew) == {f"drawer.{name}" for name in point_rows(other)}
    assert f"{len(taken.anew)} begin anew" in str(taken)


def test_what_the_source_lacks_begins_anew() -> None:
    boat = form(("bow", "stern"), sail=3)
    given = source(untrained(boat, 9), boat)
    weights = dict(given.weights)
    del weights["drawer.look.weight"]
    weights["finder.heat.weight"] = torch.zeros(7, 7)
    state = untrained(boat, 1)
    taken = load_weights(state, Source(label="v001", weights=weights, template=boat), boat)
    assert set(taken.anew) == {"drawer.look.weight", "finder.heat.weight"}
