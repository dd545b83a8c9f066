"""One solve over the whole shot: take the chatter out, leave the performance in.

Stop-motion heads may jump from frame to frame and their faces are swapped, so nothing may be
smoothed along time as such. What does repeat is the *form*: the same printed part, seen a
frame or two later from nearly the same side. So each pose is compared with its neighbours:
they are laid over it by the motion of the head (an affine fit to all points, deaf to those
that do not follow), and where a shape then agrees as well as the expected errors allow, it is
the same part measured again and counts into the mean; where it does not, it is another part
or another expression and does not count. Source: non-local means (Buades, Coll & Morel 2005),
on shapes in place of image patches, with the weights of a James-Stein estimate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.model.predictions import Predictions

#: How many poses to either side are compared: further ones were no better on the dev shots.
REACH = 2
#: Disagreement beyond this many times what the errors explain: another part.
_SAME = 9.0
#: Mean square distance from mean distance, of a normal error in two dimensions.
_SQUARE = 4.0 / np.pi
#: Share of the expected error that neighbouring poses do not have in common. A network errs
#: alike on like pictures: 0.6 of the error's square was common on the sample show. More than
#: this share smears poses into one another there.
_OWN = 0.45
#: A single expected error counts as this many times its point's usual one at most.
_TRUSTED = 1.3
#: What a hidden point counts, of a visible one.
_HIDDEN = 0.05
#: Neighbourhood whose agreement a tracking point is judged by, as a share of the head.
_NEAR = 0.08
_ROUNDS = 8


def settle(predictions: Predictions, template: CharacterTemplate) -> Predictions:
    """Average each shape and point with its own repeats on neighbouring poses.

    Args:
        predictions: one entry a pose (``merge_holds``), in order of time.
        template: of the character.

    Returns:
        The same with settled ``values``; all else unchanged.
    """
    xy, error = predictions.values[..., :2], _own_error(predictions.error_px)
    count = len(xy)
    square = _SQUARE * error**2
    seen = np.clip(predictions.visible, _HIDDEN, 1.0)
    weight = seen / square
    total = weight.copy()
    summed = predictions.values * weight[..., None]
    near = _near_tracks(xy, template)
    for step in (s for s in range(-REACH, REACH + 1) if s and abs(s) < count):
        here = np.arange(max(0, -step), min(count, count - step))
        there = here + step
        matrices = fit_affine(xy[there], xy[here], error[here] + error[there])
        moved = _move(predictions.values[there], matrices)
        apart = ((moved[..., :2] - xy[here]) ** 2).sum(-1)
        noise = square[here] + square[there]
        # both are judged over the whole shape: single points agree by chance
        both = (seen[here] * seen[there]) ** 2
        apart, noise = (_judge(values, both, near[here], template) for values in (apart, noise))
        share = seen[there] / (square[there] + np.maximum(apart - noise, 0.0))
        share[apart > _SAME * noise] = 0.0
        total[here] += share
        summed[here] += moved * share[..., None]
    return replace(predictions, values=summed / total[..., None])


def _own_error(error_px: FloatArray) -> FloatArray:
    """What of the expected errors (F, P) is chatter, by each point's usual error in the shot.

    The network's estimate tells points well and frames badly: one that it takes to be lost
    would else be drawn from its neighbours altogether.
    """
    usual = np.median(error_px, axis=0)
    trusted = np.clip(error_px, usual / _TRUSTED, usual * _TRUSTED)
    return np.asarray(np.maximum(trusted * _OWN, 1e-3))


def fit_affine(source: FloatArray, target: FloatArray, scale: FloatArray) -> FloatArray:
    """Affine maps from sets of points to others, deaf to points that do not follow.

    Args:
        source: (B, P, 2) px.
        target: (B, P, 2) px.
        scale: (B, P) px: misfits well above it hardly count.

    Returns:
        (B, 2, 3) matrices.
    """
    centre = source.mean(axis=1, keepdims=True)
    size = np.abs(source - centre).max(axis=(1, 2), keepdims=True) + 1e-6
    padded = np.concatenate([(source - centre) / size, np.ones((*source.shape[:2], 1))], axis=-1)
    base = 1.0 / scale**2
    weight = base
    for _ in range(_ROUNDS):
        left = np.einsum("bpi,bp,bpj->bij", padded, weight, padded)
        left += 1e-6 * np.trace(left, axis1=1, axis2=2)[:, None, None] * np.eye(3)
        right = np.einsum("bpi,bp,bpj->bij", padded, weight, target - centre)
        solved = np.linalg.solve(left, right)
        misfit = ((padded @ solved - (target - centre)) ** 2).sum(-1)
        weight = base / (1.0 + misfit / scale**2)  # Cauchy's weights
    linear = solved[:, :2].transpose(0, 2, 1) / size
    shift = solved[:, 2] + centre[:, 0] - np.einsum("bij,bj->bi", linear, centre[:, 0])
    return np.asarray(np.concatenate([linear, shift[..., None]], axis=-1))


def _move(values: FloatArray, matrices: FloatArray) -> FloatArray:
    """Control points (B, P, 6) by matrices (B, 2, 3)."""
    pairs = values.reshape(*values.shape[:-1], 3, 2)
    pairs = np.einsum("bij,bpkj->bpki", matrices[..., :2], pairs)
    pairs[..., 0, :] += matrices[:, None, :, 2]
    return np.asarray(pairs.reshape(values.shape))


def _judge(
    values: FloatArray, weight: FloatArray, near: FloatArray, template: CharacterTemplate
) -> FloatArray:
    """Weighted means (B, P) of values (B, P) over those whose agreement counts for each point.

    A control point is judged with all of its shape; a tracking point with what is near it.
    """
    first = len(template.tracks)
    judged = np.empty_like(values)
    near = near * weight[:, None]
    judged[:, :first] = np.einsum("btp,bp->bt", near, values) / near.sum(axis=-1)
    for where in template.slices().values():
        shape = slice(first + where.start, first + where.stop)
        total = weight[:, shape].sum(axis=1, keepdims=True)
        judged[:, shape] = (values * weight)[:, shape].sum(axis=1, keepdims=True) / total
    return judged


def _near_tracks(xy: FloatArray, template: CharacterTemplate) -> FloatArray:
    """(F, T, P) weights, rows summing to 1: how near each point is to each tracking point."""
    extent = np.ptp(xy, axis=1).max(axis=-1)[:, None, None] * _NEAR + 1e-6
    apart = np.linalg.norm(xy[:, : len(template.tracks), None] - xy[:, None], axis=-1)
    near = np.exp(-((apart / extent) ** 2) / 2)
    return np.asarray(near / near.sum(axis=-1, keepdims=True))
