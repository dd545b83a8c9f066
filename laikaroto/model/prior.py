"""What a character can look like: drawings are brought to what its ground truth makes likely.

A head is a rigid body, turned and seen in perspective, plus a mixture of few faces that moves its
points about, plus a small deviation of every point. What the network saw well pulls hard, what
it is unsure of hardly, what contradicts all others less than it would like to, and what it cannot
have seen (along a curve, behind a hand) follows the rest of the head. Some thirty numbers describe
a drawing of hundreds, so their errors cancel out.

Source: shape and motion with a shape that changes, after C. Bregler, A. Hertzmann and H.
Biermann, "Recovering non-rigid 3D shape from image streams", 2000, and L. Torresani, A.
Hertzmann and C. Bregler, "Nonrigid structure-from-motion: estimating shape and motion with
hierarchical priors", 2008; an error of its own for every point and direction is ours. Errors of
Student's distribution by reweighting: K. Lange, R. Little and J. Taylor, "Robust statistical
modeling using the t distribution", 1989.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model.arrays import read_arrays, write_arrays
from laikaroto.model.predictions import Predictions

FILE = "prior.npz"
#: A control point's error along its curve, times that across it; a tangent's error, times that
#: of its point; how much more a point that is not seen may err.
ALONG = 4.0
TANGENT = 2.2
UNSEEN = 5.0
#: Standard deviation of nearness: how much larger what is a head nearer looks.
NEARNESS = 0.05
#: The same once the lens of a shot is known.
ONE_LENS = 0.002
#: Degrees of freedom of errors (Student's t): now and then a point errs far more than it says.
FREEDOM = 8.0
_ROUNDS = 3  # of doubting what contradicts the rest
_MOST_STEPS = 15
_STALLED = 1e-6  # a step that gains less, relative to the cost, is the last


class Placed(NamedTuple):
    """Where F heads are, how they are turned and which faces they wear.

    turn (F, 3, 3); size (F,); centre (F, 2); nearness (F,); shares (F, K) of the faces, each of
    spread 1.
    """

    turn: FloatArray
    size: FloatArray
    centre: FloatArray
    nearness: FloatArray
    shares: FloatArray


class Near(NamedTuple):
    """What is known beforehand of the nearness of heads: mean, (F,) or of all; its deviation."""

    mean: FloatArray | float = 0.0
    spread: float = NEARNESS


_UNKNOWN = Near()


@dataclass(frozen=True, slots=True, eq=False)
class ShapePrior:
    """A head in space; lengths are fractions of the larger extent of its points in a picture.

    body (Q, 3) and faces (K, Q, 3): places of the P points, then the ends of the in-tangents and
    of the out-tangents of the control points; rest (P,): standard deviation of what they leave
    of each point, in x and in y.
    """

    body: FloatArray
    faces: FloatArray
    rest: FloatArray

    def apply(
        self, predictions: Predictions, template: CharacterTemplate, *, one_lens: bool = False
    ) -> Predictions:
        """The most likely drawings, given what was predicted and how sure it is.

        Args:
            predictions: to be brought to what is likely.
            template: of the character.
            one_lens: they are frames of one shot, taken with one lens that does not zoom; alone,
                a frame hardly tells perspective from turn and expression.
        """
        drawn = predictions.values
        side = np.ptp(drawn[..., :2], axis=1).max(axis=-1)
        somewhere = side > 0
        if not somewhere.any():
            return predictions
        middle = drawn[..., :2].mean(axis=1)
        scale = np.where(somewhere, side, 1.0)[:, None, None]
        tracks = len(template.tracks)
        goal = (places(drawn, tracks) - middle[:, None]) / scale
        noise = (predictions.error_px / scale[..., 0]) ** 2
        # what may be either counts by its chances: a step would let it jump from frame to frame
        chance = predictions.visible
        noise = noise / (chance + (1 - chance) / UNSEEN**2)
        curve = curve_directions(drawn, template)
        doubt, placed, near = np.ones_like(noise), None, _UNKNOWN
        for _ in range(_ROUNDS):
            across = noise * doubt + self.rest**2
            along = noise * doubt * ALONG**2 + self.rest**2
            weight = _weights(across, along, curve, tracks)
            placed = place(self, goal, weight, placed or start(self, goal, weight), near=near)
            near = _through_one_lens(placed, scale[:, 0, 0]) if one_lens else near
            likely = project(self, placed)
            gap = goal[:, : drawn.shape[1]] - likely[:, : drawn.shape[1]]
            doubt = _doubt(gap, curve, noise + self.rest**2)
        sure, less = self.rest**2 / across, self.rest**2 / along
        slid = (gap * curve).sum(axis=-1)
        values = from_places(likely, tracks)
        values[..., :2] += sure[..., None] * gap + ((less - sure) * slid)[..., None] * curve
        values *= scale
        values[..., :2] += middle[:, None]
        return replace(predictions, values=np.where(somewhere[:, None, None], values, drawn))


def places(values: FloatArray, tracks: int) -> FloatArray:
    """Control points (F, P, 6) as places (F, Q, 2): the points, ends of in- and out-tangents."""
    ends = [values[:, tracks:, :2] + values[:, tracks:, i : i + 2] for i in (2, 4)]
    return np.concatenate([values[..., :2], *ends], axis=1)


def from_places(found: FloatArray, tracks: int) -> FloatArray:
    """The inverse of ``places``; tracking points have no tangents."""
    controls = (found.shape[1] - tracks) // 3
    count = tracks + controls
    values = np.zeros((len(found), count, 6))
    values[..., :2] = found[:, :count]
    values[:, tracks:, 2:4] = found[:, count : count + controls] - found[:, tracks:count]
    values[:, tracks:, 4:6] = found[:, count + controls :] - found[:, tracks:count]
    return values


def _through_one_lens(placed: Placed, side: FloatArray) -> Near:
    """Nearness of all frames of a shot from what each alone seems to have.

    How large a head looks, over how near it is, is the focal length: the same in all of them.
    """
    size = np.maximum(placed.size * side, 1e-9)
    return Near(size * np.median(placed.nearness / size), ONE_LENS)


def _doubt(gap: FloatArray, curve: FloatArray, variance: FloatArray) -> FloatArray:
    """How many times larger the variance of points (F, P) seems, by what they err (F, P, 2)."""
    return np.asarray((FREEDOM + square_off(gap, curve) / variance) / (FREEDOM + 1))


def _weights(across: FloatArray, along: FloatArray, curve: FloatArray, tracks: int) -> FloatArray:
    """How hard each place pulls in x and y, (F, Q, 2, 2), by variances (F, P)."""
    weight = np.eye(2) / across[..., None, None]
    slack = (1 / along - 1 / across)[..., None, None]
    weight = weight + slack * curve[..., :, None] * curve[..., None, :]
    bend = np.eye(2) / (across[:, tracks:] * TANGENT**2)[..., None, None]
    return np.concatenate([weight, bend, bend], axis=1)


def project(prior: ShapePrior, placed: Placed) -> FloatArray:
    """Where the places of heads are in the picture: (F, Q, 2)."""
    return _seen(_turned(prior, placed), placed)


def _turned(prior: ShapePrior, placed: Placed) -> FloatArray:
    space = prior.body + np.tensordot(placed.shares, prior.faces, axes=1)
    return np.asarray(space @ placed.turn.transpose(0, 2, 1))


def _seen(turned: FloatArray, placed: Placed) -> FloatArray:
    away = 1 + placed.nearness[:, None] * turned[..., 2]
    seen = placed.size[:, None, None] * turned[..., :2] / away[..., None]
    return np.asarray(placed.centre[:, None] + seen)


def start(prior: ShapePrior, goal: FloatArray, weight: FloatArray) -> Placed:
    """Heads without expression, seen from afar, laid over goals (F, Q, 2)."""
    frames, count = goal.shape[:2]
    pull = np.sqrt(np.trace(weight, axis1=-2, axis2=-1))[..., None]
    body = np.concatenate([prior.body, np.ones((count, 1))], axis=1)
    turn, size, centre = np.zeros((frames, 3, 3)), np.zeros(frames), np.zeros((frames, 2))
    for i in range(frames):
        camera = np.linalg.lstsq(body * pull[i], goal[i] * pull[i], rcond=None)[0].T
        u, lengths, v = np.linalg.svd(camera[:, :3], full_matrices=False)
        across, down = u @ v
        turn[i] = across, down, np.cross(across, down)
        size[i], centre[i] = np.sqrt((lengths**2).mean()), camera[:, 3]
    return Placed(turn, size, centre, np.zeros(frames), np.zeros((frames, len(prior.faces))))


def place_evenly(prior: ShapePrior, goal: FloatArray, error: float) -> Placed:
    """The likeliest heads where all places (F, Q, 2) are as exact: ``error`` of a head's extent."""
    weight = np.broadcast_to(np.eye(2) / error**2, (*goal.shape, 2))
    return place(prior, goal, weight, start(prior, goal, weight))


def place(
    prior: ShapePrior,
    goal: FloatArray,
    weight: FloatArray,
    begin: Placed,
    *,
    near: Near = _UNKNOWN,
    steps: int = _MOST_STEPS,
) -> Placed:
    """The likeliest heads: Levenberg-Marquardt, all frames at once.

    Args:
        prior: body and faces.
        goal: (F, Q, 2) where places were seen.
        weight: (F, Q, 2, 2) inverse covariance of that.
        begin: where to start.
        near: what is known of nearness beforehand.
        steps: at most.
    """
    placed, frames = begin, len(goal)
    damping = np.full(frames, 1e-6)
    cost = _cost(prior, placed, goal, weight, near)
    for _ in range(steps):
        left, right = _normal_equations(prior, placed, goal, weight, near)
        diagonal = np.einsum("fii->fi", left).copy()
        np.einsum("fii->fi", left)[:] += damping[:, None] * diagonal + 1e-9
        step = np.asarray(np.linalg.solve(left, right[..., None])[..., 0], np.float64)
        tried = _moved(placed, step)
        reached = _cost(prior, tried, goal, weight, near)
        better = reached < cost
        gain = np.where(better, cost - reached, 0.0)
        placed = Placed(
            *(
                np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(tried, placed, strict=True)
            )
        )
        if (better & (gain <= _STALLED * cost)).sum() + (~better & (damping > 1e3)).sum() == frames:
            break
        cost = np.where(better, reached, cost)
        damping = np.where(better, np.maximum(damping / 10, 1e-9), np.maximum(damping, 1e-7) * 10)
    return placed


def _cost(
    prior: ShapePrior, placed: Placed, goal: FloatArray, weight: FloatArray, near: Near
) -> FloatArray:
    """Twice the negative log likelihood of each frame, up to a constant: (F,)."""
    gap = goal - project(prior, placed)
    pulled = np.einsum("fqi,fqij,fqj->f", gap, weight, gap)
    unlikely = (placed.shares**2).sum(axis=-1) + ((placed.nearness - near.mean) / near.spread) ** 2
    return np.asarray(pulled + unlikely)


def _normal_equations(
    prior: ShapePrior, placed: Placed, goal: FloatArray, weight: FloatArray, near: Near
) -> tuple[FloatArray, FloatArray]:
    """Left (F, 7 + K, 7 + K) and right sides (F, 7 + K) of a Gauss-Newton step.

    The unknowns are a turn (3), growth, centre (2), nearness and the shares.
    """
    turned = _turned(prior, placed)
    frames, count = turned.shape[:2]
    size, nearness = placed.size[:, None], placed.nearness[:, None]
    away = 1 / (1 + nearness * turned[..., 2])
    seen = size[..., None] * turned[..., :2] * away[..., None]
    by_place = np.zeros((frames, count, 2, 3))
    by_place[..., 0, 0] = by_place[..., 1, 1] = size * away
    by_place[..., 2] = -seen * (nearness * away)[..., None]
    x, y, z = np.moveaxis(turned, -1, 0)
    cross = np.zeros((frames, count, 3, 3))
    cross[..., 0, 1], cross[..., 0, 2] = z, -y
    cross[..., 1, 0], cross[..., 1, 2] = -z, x
    cross[..., 2, 0], cross[..., 2, 1] = y, -x
    centre = np.broadcast_to(np.eye(2), (frames, count, 2, 2))
    camera = by_place @ placed.turn[:, None]
    parts = [
        by_place @ cross,
        seen[..., None],
        centre,
        (-seen * (z * away)[..., None])[..., None],
        camera @ prior.faces.transpose(1, 2, 0),
    ]
    slope = np.concatenate(parts, axis=-1)
    flat = slope.reshape(frames, 2 * count, -1)
    pulled = (weight @ slope).reshape(frames, 2 * count, -1)
    left = pulled.transpose(0, 2, 1) @ flat
    gap = (goal - placed.centre[:, None] - seen).reshape(frames, 2 * count, 1)
    right = (pulled.transpose(0, 2, 1) @ gap)[..., 0]
    off = (placed.nearness - near.mean) / near.spread**2
    likely = np.concatenate([off[:, None], placed.shares], axis=1)
    right[:, 6:] -= likely
    diagonal = np.einsum("fii->fi", left)
    diagonal[:, 6] += 1 / near.spread**2
    diagonal[:, 7:] += 1.0
    return left, right


def _moved(placed: Placed, step: FloatArray) -> Placed:
    from scipy.spatial.transform import Rotation  # slow to load, and --help comes past here

    return Placed(
        Rotation.from_rotvec(step[:, :3]).as_matrix() @ placed.turn,
        placed.size * np.exp(np.clip(step[:, 3], -0.5, 0.5)),
        placed.centre + step[:, 4:6],
        np.clip(placed.nearness + step[:, 6], -0.4, 0.4),
        placed.shares + step[:, 7:],
    )


def curve_directions(values: FloatArray, template: CharacterTemplate) -> FloatArray:
    """Which way the curve runs at each point: (F, P, 2) of length 1, or 0 where it has no way.

    Tracking points, corners and ends have none: they cannot slide unseen.
    """
    ahead = values[..., 4:6] - values[..., 2:4]
    length = np.linalg.norm(ahead, axis=-1, keepdims=True)
    ahead = np.where(length > 1e-6, ahead / np.maximum(length, 1e-6), 0.0)
    ahead[:, : len(template.tracks)] = 0.0
    for shape in template.shapes:
        first = len(template.tracks) + template.slices()[shape.name].start
        fixed = set(shape.corners) | (set() if shape.closed else {0, shape.count - 1})
        ahead[:, [first + i for i in sorted(fixed)]] = 0.0
    return np.asarray(ahead)


def square_off(gap: FloatArray, curve: FloatArray) -> FloatArray:
    """Squares (…, P) of how far points are off by gaps (…, P, 2), as an artist sees it.

    Across the curve, whose directions (…, P, 2) are those of ``curve_directions``; in the mean of
    both directions where there is none.
    """
    across = gap[..., 0] * curve[..., 1] - gap[..., 1] * curve[..., 0]
    has_way = (curve != 0).any(axis=-1)
    return np.where(has_way, across**2, (gap**2).sum(axis=-1) / 2)


def write_prior(folder: Path, prior: ShapePrior) -> None:
    """Write a package's prior as plain arrays."""
    write_arrays(folder / FILE, {f.name: getattr(prior, f.name) for f in fields(prior)})


def read_prior(folder: Path, template: CharacterTemplate) -> ShapePrior | None:
    """The prior of a package, or None where it has none (too little truth to know one).

    Raises:
        ModelError: it does not fit the package's template.
    """
    path = folder / FILE
    prior = read_arrays(
        path,
        lambda data: ShapePrior(
            *(np.asarray(data[f.name], np.float64) for f in fields(ShapePrior))
        ),
    )
    if prior is None:
        return None
    count = template.point_count
    everything = count + 2 * template.control_count
    found: tuple[NDArray[np.float64], ...] = (prior.body, prior.faces, prior.rest)
    wanted = ((everything, 3), (len(prior.faces), everything, 3), (count,))
    if tuple(array.shape for array in found) != wanted:
        raise ModelError(
            f"{path}: wanted arrays of shapes {wanted} for {count} points, got "
            f"{tuple(array.shape for array in found)}; train again"
        )
    return prior
