"""How far each point of a head stands out towards the camera, from its ground truth alone.

A head that was photographed from several sides gives away its relief: all points together
move as a rigid body seen from afar would (expressions are the smaller part of the motion).
With the relief a training picture can be turned in space as if the puppet had turned its head
(``views.turn_field``), which is how a few shots stand for the poses between and beyond them.

Source: factorisation after C. Tomasi and T. Kanade, "Shape and motion from image streams under
orthography", 1992; metric upgrade for scaled orthography after C. Poelman and T. Kanade, 1997.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray

#: Fewest frames, and the least that the third dimension must show beside the second: below it
#: the head did not turn enough for its relief to be known.
_FEWEST_FRAMES = 6
_LEAST_TURN = 0.05
#: Least correlation between depth and distance from the middle that tells a bulge from a hollow;
#: the dev show's faces have 0.7, a saddle has about 0.
_LEAST_FALL = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """A head in space, on each of F frames; lengths are fractions of ``side``.

    depth (F, P): distance of each point towards the camera from the mean of the points;
    camera (F, 2, 3): from the head's space to the picture; expression (F, P, 3): what moves
    points away from the rigid head, in its space, as far as the frame's camera sees it;
    side (F,): the larger side of the points' bounding box, in the unit of the positions.
    """

    depth: FloatArray
    camera: FloatArray
    expression: FloatArray
    side: FloatArray


def find_relief(xy: FloatArray, visible: NDArray[np.bool_]) -> Relief | None:
    """The relief of a head and its expressions.

    Args:
        xy: (F, P, 2) positions, all known; any unit, y down.
        visible: (F, P).

    Returns:
        None where the poses do not tell it: too few frames, too little turning, or nothing that
        would say which side is in front: no hidden point, and points that lie neither on a bulge
        nor in a hollow.
    """
    frames, count = xy.shape[:2]
    if frames < _FEWEST_FRAMES or count < 4:
        return None
    side = np.ptp(xy, axis=1).max(axis=-1)
    scaled = (xy - xy.mean(axis=1, keepdims=True)) / side[:, None, None]
    camera, shape = factorise(scaled)
    if not shape[:, 2].any():
        return None
    length = np.sqrt((camera**2).sum(axis=(1, 2)) / 2)
    depth: FloatArray = np.cross(camera[:, 0], camera[:, 1]) / length[:, None] @ shape.T
    facing = _facing(depth, visible, scaled)
    if facing is None:
        return None
    away = scaled.transpose(0, 2, 1) - camera @ shape.T
    expression = (np.linalg.pinv(camera) @ away).transpose(0, 2, 1)
    return Relief(depth * facing, camera, expression, side)


def factorise(scaled: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A rigid body, and how each frame's camera sees it.

    Args:
        scaled: (F, P, 2) points about their mean, all of about one size.

    Returns:
        camera (F, 2, 3) and body (P, 3). A body that does not turn enough is flat: its third
        coordinate is 0.
    """
    frames = len(scaled)
    u, s, v = np.linalg.svd(np.concatenate([scaled[..., 0], scaled[..., 1]]), full_matrices=False)
    if len(s) > 2 and s[2] >= _LEAST_TURN * s[1]:
        motion, shape = u[:, :3] * s[:3], v[:3]
        upgrade = _metric_upgrade(motion[:frames], motion[frames:])
        if upgrade is not None:
            motion, shape = motion @ upgrade, np.linalg.solve(upgrade, shape)
            return np.stack([motion[:frames], motion[frames:]], axis=1), shape.T
    flat = scaled.mean(axis=0)
    camera = np.linalg.lstsq(flat, scaled.transpose(1, 0, 2).reshape(len(flat), -1), rcond=None)[0]
    camera = camera.T.reshape(frames, 2, 2)
    return (
        np.concatenate([camera, np.zeros((frames, 2, 1))], axis=2),
        np.concatenate([flat, np.zeros((len(flat), 1))], axis=1),
    )


def _metric_upgrade(across: FloatArray, down: FloatArray) -> FloatArray | None:
    """The 3×3 matrix that makes both rows (F, 3) of every camera equally long and square."""

    def products(a: FloatArray, b: FloatArray) -> FloatArray:
        """Coefficients of aᵀ L b in the six entries of a symmetric L."""
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        columns = [a[:, i] * b[:, j] + (a[:, j] * b[:, i] if i != j else 0.0) for i, j in pairs]
        return np.stack(columns, axis=1)

    square, other = products(across, across), products(down, down)
    equations = np.concatenate(
        [square - other, products(across, down), (square + other).mean(axis=0, keepdims=True)]
    )
    wanted = np.zeros(len(equations))
    wanted[-1] = 2.0
    a, b, c, d, e, f = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([[a, b, c], [b, d, e], [c, e, f]]))
    if values[0] <= 1e-6 * values[-1]:
        return None  # no real camera explains the motion
    return np.asarray(vectors * np.sqrt(values))


def _facing(depth: FloatArray, visible: NDArray[np.bool_], xy: FloatArray) -> float | None:
    """1 or -1: chooses between a relief and its inverse, which look the same from afar.

    What a turning head hides are the points on its far side. Where nobody says what is hidden
    (artists' files do not), the head bulges: what is drawn on it was seen, and the side of a
    solid body that one sees is its bulging one.
    """
    mixed = visible.any(axis=1) & ~visible.all(axis=1)
    if not mixed.any():
        return _bulge_facing(depth, xy)
    seen = np.nanmean(np.where(visible, depth, np.nan)[mixed], axis=1)
    hidden = np.nanmean(np.where(visible, np.nan, depth)[mixed], axis=1)
    nearer = float((seen - hidden).sum())
    return None if nearer == 0.0 else float(np.sign(nearer))


def _bulge_facing(depth: FloatArray, xy: FloatArray) -> float | None:
    """1, or -1 for the inverse of depth (F, P), so that points (F, P, 2) lie on a bulge.

    Told by how depth, beside its tilt, falls with the distance from the middle; None: it does not.
    """
    falls = []
    for z, at in zip(depth, xy, strict=True):
        tilt = np.column_stack([np.ones(len(at)), at])
        both = np.column_stack([z, (at**2).sum(axis=1)])
        left, far = (both - tilt @ np.linalg.lstsq(tilt, both, rcond=None)[0]).T
        sizes = float(np.linalg.norm(left) * np.linalg.norm(far))
        falls.append(-float(left @ far) / max(sizes, 1e-12))
    fall = float(np.mean(falls))
    return None if abs(fall) < _LEAST_FALL else float(np.sign(fall))
