"""What a character can look like: drawings are brought to what its ground truth makes likely.

A drawing is taken as a mixture of few basis shapes plus a small deviation of every point. What
the network saw well pulls hard, what it is unsure of hardly, and what it cannot have seen (along
a curve, behind a hand) follows the rest of the head. One mixture for x and one for y, of the
same basis: turns, stretches and views from the side of known drawings are mixtures too.

Source: factor analysis, for example C. Bishop, "Pattern Recognition and Machine Learning",
12.2.4, with an error of its own for every point and direction.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model.predictions import Predictions
from laikaroto.sidecar.files import write_file

FILE = "prior.npz"
#: A control point's error along its curve, times that across it; a tangent's error, times that
#: of its point; how much more a point that is not seen may err.
ALONG = 4.0
TANGENT = 2.2
UNSEEN = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class ShapePrior:
    """Basis shapes of a character, as fractions of the larger extent of its points.

    basis (K, 3P): places, in-tangents and out-tangents of all points along one axis,
    orthonormal; spread (K,) standard deviation of their share; rest (P,) standard deviation of
    what they leave of each point, in x and in y.
    """

    basis: FloatArray
    spread: FloatArray
    rest: FloatArray

    def apply(self, predictions: Predictions, template: CharacterTemplate) -> Predictions:
        """The most likely drawings, given what was predicted and how sure it is."""
        values = np.empty_like(predictions.values)
        curves = curve_directions(predictions.values, template)
        for i in range(len(values)):
            values[i] = self._likeliest(
                predictions.values[i], predictions.error_px[i], predictions.visible[i], curves[i]
            )
        return replace(predictions, values=values)

    def _likeliest(
        self, drawn: FloatArray, error_px: FloatArray, visible: FloatArray, curve: FloatArray
    ) -> FloatArray:
        """One frame: control points (P, 6), their errors and chances (P,), directions (P, 2)."""
        side = float(np.ptp(drawn[:, :2], axis=0).max())
        if side == 0.0:
            return drawn
        middle = drawn[:, :2].mean(axis=0)
        head = drawn / side
        head[:, :2] -= middle / side
        # what may be either counts by its chances: a step would let it jump from frame to frame
        noise = (error_px / side) ** 2 / (visible + (1 - visible) / UNSEEN**2)
        along = noise * ALONG**2  # counts only where a curve has a way
        mixed = self._mix(head, noise + self.rest**2, along + self.rest**2, curve)
        gap = head[:, :2] - mixed[:, :2]
        sure, less = self.rest**2 / (self.rest**2 + noise), self.rest**2 / (self.rest**2 + along)
        slid = (gap * curve).sum(axis=1)
        mixed[:, :2] += sure[:, None] * gap + ((less - sure) * slid)[:, None] * curve
        mixed[:, :2] += middle / side
        return np.asarray(mixed * side)

    def _mix(
        self, head: FloatArray, across: FloatArray, along: FloatArray, curve: FloatArray
    ) -> FloatArray:
        """The mixture (P, 6) that fits a head best, by variances (P,) across and along curves."""
        count = len(head)
        places = np.concatenate([self.basis[:, :count], np.ones((1, count))])
        tangents = [
            np.concatenate([self.basis[:, i * count : (i + 1) * count], np.zeros((1, count))])
            for i in (1, 2)
        ]
        weight = np.eye(2) / across[:, None, None]
        weight += (1 / along - 1 / across)[:, None, None] * curve[:, :, None] * curve[:, None, :]
        bend = 1 / (across * TANGENT**2)
        size = len(places)
        left, right = np.zeros((2, size, 2, size)), np.zeros((2, size))
        for a in (0, 1):
            for b in (0, 1):
                left[a, :, b] += (places * weight[:, a, b]) @ places.T
                right[a] += places @ (weight[:, a, b] * head[:, b])
            left[a, :, a] += np.diag(np.append(1 / self.spread**2, 0.0))
            for i, tangent in enumerate(tangents):
                left[a, :, a] += (tangent * bend) @ tangent.T
                right[a] += tangent @ (bend * head[:, 2 + 2 * i + a])
        shares = np.linalg.solve(left.reshape(2 * size, -1), right.ravel()).reshape(2, size)
        mixed = [shares @ part for part in (places, *tangents)]  # each (2, P)
        return np.concatenate([part.T for part in mixed], axis=1)


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


def write_prior(folder: Path, prior: ShapePrior) -> None:
    """Write a package's prior as plain arrays."""
    stream = io.BytesIO()
    np.savez(stream, **{f.name: getattr(prior, f.name) for f in fields(prior)})
    write_file(folder / FILE, stream.getvalue())


def read_prior(folder: Path, template: CharacterTemplate) -> ShapePrior | None:
    """The prior of a package, or None where it has none (too little truth to know one).

    Raises:
        ModelError: it does not fit the package's template.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            prior = ShapePrior(*(np.asarray(data[f.name], np.float64) for f in fields(ShapePrior)))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; train again") from error
    count = template.point_count
    found: tuple[NDArray[np.float64], ...] = (prior.basis, prior.spread, prior.rest)
    wanted = ((len(prior.spread), 3 * count), prior.spread.shape, (count,))
    if tuple(array.shape for array in found) != wanted:
        raise ModelError(
            f"{path}: wanted arrays of shapes {wanted} for {count} points, got "
            f"{tuple(array.shape for array in found)}; train again"
        )
    return prior
