"""The mirror image of a character: which point becomes which.

A puppet that is about symmetric can be learned from mirrored pictures as well, which doubles
the turns of the head that a few shots show. Names tell which points and shapes exchange
their sides (``character.flips.left_right_pairs``); where a shape's first point lies and which
way it runs is found by comparing each shape with its mirrored counterpart. Nothing about a
face is known beforehand: what has no symmetry has no mirror.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laikaroto.character.flips import left_right_pairs
from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.mirror import Mirror

#: Largest mean difference between a character and its mirror image, of the head's side.
TOLERANCE = 0.06


def find_mirror(template: CharacterTemplate, poses: Sequence[FloatArray]) -> Mirror | None:
    """The mirror of a character, or None if it is not symmetric enough.

    Args:
        template: names and forms.
        poses: (P, 2) positions of all points in each picture, relative to the head's centre,
            as fractions of its side; all points known.
    """
    if not poses:
        return None
    mean = np.mean(poses, axis=0)
    names = [*template.tracks, *(shape.name for shape in template.shapes)]
    other = {name: name for name in names}
    for left, right in left_right_pairs(names):
        other[left], other[right] = right, left
    if all(name == partner for name, partner in other.items()):
        return None
    tracks = {name: i for i, name in enumerate(template.tracks)}
    order = [tracks[other[name]] for name in template.tracks]
    backwards = [False] * len(order)
    # The mirror axis is where unlike halves agree best on average: through the pairs' middles.
    pairs = [(tracks[n], tracks[other[n]]) for n in template.tracks if other[n] != n]
    axis = _axis(mean, pairs, template, other)
    flipped = mean * [-1.0, 1.0] + [2 * axis, 0.0]
    starts = {n: s.start + len(tracks) for n, s in template.slices().items()}
    forms = {shape.name: shape for shape in template.shapes}
    for shape in template.shapes:
        partner = forms.get(other[shape.name])
        if partner is None or (partner.count, partner.closed) != (shape.count, shape.closed):
            return None
        rows, reverse = _match(
            mean,
            flipped,
            starts[shape.name],
            starts[partner.name],
            shape.count,
            closed=shape.closed,
        )
        order += rows
        backwards += [reverse] * shape.count
    found = Mirror(np.array(order, dtype=np.intp), np.array(backwards, dtype=np.bool_))
    gap = np.hypot(*(flipped[found.order] - mean).T).mean()
    return found if gap < TOLERANCE else None


def _axis(
    mean: FloatArray,
    pairs: list[tuple[int, int]],
    template: CharacterTemplate,
    other: dict[str, str],
) -> float:
    middles = [(mean[a, 0] + mean[b, 0]) / 2 for a, b in pairs]
    slices, first = template.slices(), len(template.tracks)
    for name, partner in other.items():
        if name in slices and partner != name:
            both = [
                mean[first + s.start : first + s.stop, 0].mean()
                for s in (slices[name], slices[partner])
            ]
            middles.append(sum(both) / 2)
    return float(np.median(middles))


def _match(
    mean: FloatArray, flipped: FloatArray, own: int, partner: int, count: int, *, closed: bool
) -> tuple[list[int], bool]:
    """Which points of the partner, mirrored, lie where a shape's own points lie."""
    target = mean[own : own + count]
    best: tuple[float, list[int], bool] = (np.inf, [], False)
    for reverse in (True, False):
        for turn in range(count if closed else 1):
            rows = [(turn - i if reverse else turn + i) % count for i in range(count)]
            if not closed:
                rows = list(range(count))[::-1] if reverse else list(range(count))
            gap = float(np.hypot(*(flipped[[partner + r for r in rows]] - target).T).mean())
            if gap < best[0]:
                best = (gap, [partner + r for r in rows], reverse)
    return best[1], best[2]
