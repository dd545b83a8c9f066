"""The shape prior of a character, learned from its ground truth (``model.prior`` applies it).

Placing the heads and finding the body and faces that explain them take turns. How many faces a
character needs is found by leaving shots out: too few cannot show its expressions, too many
follow the errors of a drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.model.prior import Placed, ShapePrior, place, place_evenly, places, project
from laikaroto.training.relief import factorise

#: Numbers of faces to choose from.
FACES = (2, 4, 8, 14, 20, 26)
#: What body and faces leave of a known drawing, as a fraction of the head; tangents count less.
LEFT = 0.0015
TANGENTS_COUNT = 0.2
#: How wrong drawings are by which the number of faces is judged, as a fraction of the head.
JUDGED_BY = 0.006
#: What faces of a single shot leave is not measurable; assume that it is much.
UNKNOWN_REST = 0.02
#: Most frames to learn from, evenly chosen, and most parts that are left out in turn.
MOST_FRAMES = 160
MOST_PARTS = 5
_TURNS = 20
_FEW_TURNS = 8  # tell how many faces are right as well
_MEDIAN_TO_DEVIATION = 1.4826
_LEAST_REST = 2.5e-4


def fit_prior(
    values: FloatArray, shots: Sequence[str], *, tracks: int, mirrored: FloatArray | None
) -> ShapePrior | None:
    """Body and faces of all frames, and what those of other shots leave of a shot's frames.

    Args:
        values: (F, P, 6) control points of frames whose points are all known, plate px.
        shots: (F,) shot of each frame: whole shots are left out to measure.
        tracks: number of tracking points, the first ones.
        mirrored: (F, P, 6) those of their mirror images, which count as well; None: there are none.

    Returns:
        The prior; None where fewer than two frames differ.
    """
    chosen = np.unique(np.linspace(0, len(values) - 1, MOST_FRAMES).round().astype(int))
    values, shots = values[chosen], [shots[i] for i in chosen]
    heads = _heads(values, tracks)
    images = None if mirrored is None else _heads(mirrored[chosen], tracks)
    if heads is None or len(heads) < 2:
        return None
    points = values.shape[1]
    rest = np.full(points, UNKNOWN_REST)
    parts = _parts(shots)
    if len(parts) < 2:
        count = min(FACES[-1], len(heads) - 1)
        return ShapePrior(*_explain(_all(heads, images), tracks, count), rest)
    best, faces = np.inf, 1
    for count in [n for n in FACES if n < 2 * len(heads)]:
        left, wrong = _left_out(heads, images, parts, points, count)
        if wrong < best:
            best, faces, rest = wrong, count, left
    body = _explain(_all(heads, images), tracks, faces)
    return ShapePrior(*body, np.maximum(rest, _LEAST_REST))


def _heads(values: FloatArray, tracks: int) -> FloatArray | None:
    """Places (F, Q, 2) about the middle of the points, as fractions of their larger extent."""
    side = np.ptp(values[..., :2], axis=1).max(axis=-1)
    if not (side > 0).all():
        return None
    middle = values[..., :2].mean(axis=1, keepdims=True)
    return np.asarray((places(values, tracks) - middle) / side[:, None, None])


def _all(heads: FloatArray, images: FloatArray | None) -> FloatArray:
    return heads if images is None else np.concatenate([heads, images])


def _parts(shots: Sequence[str]) -> list[NDArray[np.bool_]]:
    """Frames (F,) of whole shots that are left out together."""
    kinds = sorted(set(shots))
    groups = [kinds[i::MOST_PARTS] for i in range(min(MOST_PARTS, len(kinds)))]
    return [np.array([shot in group for shot in shots]) for group in groups]


def _left_out(
    heads: FloatArray,
    images: FloatArray | None,
    parts: Sequence[NDArray[np.bool_]],
    points: int,
    count: int,
) -> tuple[FloatArray, float]:
    """What ``count`` faces of other shots leave of each point (P,), and of wrong drawings.

    Tangents are left away: they would tell the same and take three times as long.
    """
    heads = heads[:, :points]
    images = None if images is None else images[:, :points]
    rng = np.random.default_rng(0)
    gaps, wrong = [], []
    for inside in parts:
        others = _all(heads[~inside], None if images is None else images[~inside])
        body, faces = _explain(others, points, count, turns=_FEW_TURNS)
        prior = ShapePrior(body, faces, np.zeros(points))
        goal = heads[inside]
        gaps.append(goal - _nearest(prior, goal, LEFT))
        noisy = goal + rng.normal(0, JUDGED_BY, goal.shape)
        off = (goal - _nearest(prior, noisy, JUDGED_BY)) ** 2
        wrong.extend(off.mean(axis=(1, 2)))
    # by the median: a face that only the left-out shot wears says nothing of the others
    usual = np.median(np.abs(np.concatenate(gaps)), axis=(0, 2)) * _MEDIAN_TO_DEVIATION
    return np.asarray(usual), float(np.median(wrong))


def _nearest(prior: ShapePrior, goal: FloatArray, error: float) -> FloatArray:
    return project(prior, place_evenly(prior, goal, error))


def _explain(
    heads: FloatArray, tracks: int, count: int, *, turns: int = _TURNS
) -> tuple[FloatArray, FloatArray]:
    """Body (Q, 3) and faces (K, Q, 3) that explain heads (F, Q, 2) best, alternating."""
    points = tracks + (heads.shape[1] - tracks) // 3
    share = np.where(np.arange(heads.shape[1]) < points, 1.0, TANGENTS_COUNT) / LEFT**2
    weight = np.broadcast_to(share[None, :, None, None] * np.eye(2), (*heads.shape, 2))
    placed, body, faces = _begin(heads, count)
    for _ in range(turns):
        body, faces = _forms(heads, share, placed)
        spread = np.sqrt((placed.shares**2).mean(axis=0) + 1e-12)
        placed = placed._replace(shares=placed.shares / spread)
        faces *= spread[:, None, None]
        placed = place(ShapePrior(body, faces, np.zeros(points)), heads, weight, placed, steps=2)
    return body, faces


def _begin(heads: FloatArray, count: int) -> tuple[Placed, FloatArray, FloatArray]:
    """Rigid heads seen from afar, and their largest deviations as faces."""
    frames = len(heads)
    centre = heads.mean(axis=1)
    camera, body = factorise(heads - centre[:, None])
    size = np.sqrt((camera**2).sum(axis=(1, 2)) / 2)
    u, _, v = np.linalg.svd(camera / size[:, None, None], full_matrices=False)
    rows = u @ v
    turn = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    seen = centre[:, None] + body @ (rows * size[:, None, None]).transpose(0, 2, 1)
    away = ((heads - seen) / size[:, None, None]) @ rows
    u, lengths, v = np.linalg.svd(away.reshape(frames, -1), full_matrices=False)
    count = min(count, len(lengths))
    shares = u[:, :count] * np.sqrt(frames)
    faces = (v[:count] * lengths[:count, None] / np.sqrt(frames)).reshape(count, -1, 3)
    return Placed(turn, size, centre, np.zeros(frames), shares), body, faces


def _forms(heads: FloatArray, share: FloatArray, placed: Placed) -> tuple[FloatArray, FloatArray]:
    """Body and faces, given how heads are placed: least squares for each place by itself."""
    frames, count = heads.shape[:2]
    away = heads - placed.centre[:, None]
    camera = placed.size[:, None, None] * placed.turn[:, :2]
    # seen * (1 + nearness * depth) = size * place is linear in the place
    near = placed.nearness[:, None, None, None] * away[..., None] * placed.turn[:, None, 2:3]
    slope = camera[:, None] - near  # (F, Q, 2, 3)
    mixed = np.concatenate([np.ones((frames, 1)), placed.shares], axis=1)
    terms = 3 * mixed.shape[1]
    rows = slope.swapaxes(0, 1)[..., None, :] * mixed[:, None, :, None]  # (Q, F, 2, 1 + K, 3)
    rows = rows.reshape(count, 2 * frames, terms)
    left = rows.transpose(0, 2, 1) @ rows * share[:, None, None]
    left += np.eye(terms)  # forms of the size of the head are likely: where nothing tells, none
    goal = away.transpose(1, 0, 2).reshape(count, 2 * frames, 1)
    right = rows.transpose(0, 2, 1) @ goal * share[:, None, None]
    found = np.linalg.solve(left, right).reshape(count, -1, 3)
    return np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1:].swapaxes(0, 1))
