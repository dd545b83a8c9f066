"""Begin with the weights of another model, of this character or of another one.

Weights fit by name and shape. Those with one row for each point (embeddings, heat maps) are
taken row by row, by the points' names: a character that gained a shape keeps what it knows of
the others, and two characters share the points that are named alike. Nothing here knows how
the network is built: which weights have such rows is found by giving a template one point more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.training.checkpoint import State
from laikaroto.training.network import Drawer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A model to begin with: its weights as in ``weights.npz``, and what it was for.

    ``label`` is how a person names it: ``v003``, or ``villain:v003`` of another character.
    """

    label: str
    weights: Mapping[str, Tensor]
    template: CharacterTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What of a source was used.

    whole: weights taken as they are; by_name: weights of which rows were taken; anew: names
    of those that begin untrained; points: how many of ``all_points`` the source knows by name.
    """

    whole: int
    by_name: int
    anew: tuple[str, ...]
    points: int
    all_points: int

    def __str__(self) -> str:
        """For a person: how much of the network does not begin anew."""
        total = self.whole + self.by_name + len(self.anew)
        text = f"{self.whole} of {total} weights fit"
        if self.by_name:
            text += (
                f", {self.by_name} in part: {self.points} of {self.all_points} points have the "
                "same names"
            )
        if self.anew:
            text += f", {len(self.anew)} begin anew"
        return text


def load_weights(state: State, source: Source, template: CharacterTemplate) -> Taken:
    """Take over all that fits of a model, into the networks and their averages.

    Args:
        state: of a training that has not begun.
        source: the model.
        template: the character's own.
    """
    rows = point_rows(template)
    own_names, their_names = _row_names(template), _row_names(source.template)
    whole, by_name, anew = 0, 0, []
    for part, modules in (
        ("drawer", (state.drawer, state.average_drawer)),
        ("finder", (state.finder, state.average_finder)),
    ):
        fitting: dict[str, Tensor] = {}
        for name, own in modules[0].state_dict().items():
            given = source.weights.get(f"{part}.{name}")
            kind = rows.get(name) if part == "drawer" else None
            if given is None or given.shape[1:] != own.shape[1:]:
                anew.append(f"{part}.{name}")
            elif kind is not None and own_names[kind] != their_names[kind]:
                taken = _take_rows(own, given, own_names[kind], their_names[kind])
                if taken is None:
                    anew.append(f"{part}.{name}")
                else:
                    fitting[name] = taken
                    by_name += 1
            elif given.shape == own.shape:
                fitting[name] = given
                whole += 1
            else:
                anew.append(f"{part}.{name}")
        for module in modules:
            module.load_state_dict(fitting, strict=False)
    shared = set(own_names["points"]) & set(their_names["points"])
    return Taken(
        whole=whole,
        by_name=by_name,
        anew=tuple(anew),
        points=len(shared),
        all_points=len(own_names["points"]),
    )


def point_rows(template: CharacterTemplate) -> dict[str, str]:
    """Which of a drawer's weights have a row for each of something.

    Returns:
        Name of the weight -> ``points``, ``tracks`` or ``controls``.
    """
    plain = _shapes(template)
    extra = ShapeTemplate(name="+", closed=False, count=1)
    grown = {
        "tracks": _shapes(template.model_copy(update={"tracks": (*template.tracks, "+")})),
        "controls": _shapes(template.model_copy(update={"shapes": (*template.shapes, extra)})),
    }
    found = {}
    for name, shape in plain.items():
        kinds = [kind for kind, other in grown.items() if _one_row_more(shape, other[name])]
        if kinds:
            found[name] = "points" if len(kinds) == 2 else kinds[0]
    return found


def _shapes(template: CharacterTemplate) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # shapes only: no memory, no random numbers
        xy, tangents = torch.zeros(template.point_count, 2), torch.zeros(template.control_count, 4)
        drawer = Drawer(len(template.tracks), xy, tangents, size=256)
    return {name: tuple(value.shape) for name, value in drawer.state_dict().items()}


def _one_row_more(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return bool(shape) and other == (shape[0] + 1, *shape[1:])


def _row_names(template: CharacterTemplate) -> dict[str, tuple[str, ...]]:
    """Names of all points, in order; those of a shape hold for shapes of the same form only."""
    tracks = tuple(f"track {name}" for name in template.tracks)
    controls = tuple(
        f"{'closed' if shape.closed else 'open'} shape {shape.name} {i} of {shape.count}"
        for shape in template.shapes
        for i in range(shape.count)
    )
    return {"tracks": tracks, "controls": controls, "points": tracks + controls}


def _take_rows(
    own: Tensor, given: Tensor, own_names: Sequence[str], their_names: Sequence[str]
) -> Tensor | None:
    """``own`` with the rows of the points that both know; None if there is none."""
    if len(given) != len(their_names):
        return None
    where = {name: row for row, name in enumerate(their_names)}
    pairs = [(row, where[name]) for row, name in enumerate(own_names) if name in where]
    if not pairs:
        return None
    taken = own.clone()
    to, come = (list(side) for side in zip(*pairs, strict=True))
    taken[to] = given[come].to(own.dtype)
    return taken
