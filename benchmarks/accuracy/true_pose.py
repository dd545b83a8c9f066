"""The oracle of the pose: a drawing moved to where the head truly is, its face as it was drawn.

The character's shape prior (``laikaroto.model.prior``) says of a drawing how the head is turned,
placed and scaled, and which face it wears. Found of the truth as well, the one can be given in
place of the other; what the prior does not explain of a drawing goes with it.
"""

from __future__ import annotations

import numpy as np

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.prior import (
    ShapePrior,
    from_places,
    place_evenly,
    places,
    project,
)

#: How exactly heads are laid over drawings, as a fraction of the head: the truth's own accuracy.
_ERROR = 0.0015


def with_true_pose(
    drawn: FloatArray, truth: FloatArray, prior: ShapePrior, template: CharacterTemplate
) -> FloatArray:
    """Drawings (F, P, 6) with the true pose of each frame; all plate px, template order.

    Args:
        drawn: as predicted.
        truth: the same frames as they are.
        prior: of the character.
        template: of the character.
    """
    tracks = len(template.tracks)
    middle = truth[..., :2].mean(axis=1)[:, None]
    side = np.ptp(truth[..., :2], axis=1).max(axis=-1)[:, None, None]
    goal, aim = ((places(values, tracks) - middle) / side for values in (drawn, truth))
    own, true = (place_evenly(prior, heads, _ERROR) for heads in (goal, aim))
    left = goal - project(prior, own)
    moved = project(prior, true._replace(shares=own.shares))
    found = from_places((moved + left) * side + middle, tracks)
    return np.asarray(found)
