"""How far each point of a head stands out towards the camera, from its ground truth alone.

A head that was photographed from several sides gives away its relief: all points together
move as a rigid body seen from afar would (expressions are the smaller part of the motion).
With the relief a training picture can be turned in space as if the puppet had turned its head
(``augment.turn_field``), which is how a few shots stand for the poses between and beyond them.

Source: factorisation after C. Tomasi and T. Kanade, "Shape and motion from image streams under
orthography", 1992; metric upgrade for scaled orthography after C. Poelman and T. Kanade, 1997.
"""

from __future__ import annotations

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


def find_relief(xy: FloatArray, visible: NDArray[np.bool_]) -> FloatArray | None:
    """Depth of every point on every frame.

    Args:
        xy: (F, P, 2) positions, all known; any unit, y down.
        visible: (F, P).

    Returns:
        (F, P) distance towards the camera from the mean of the points, as a fraction of the
        larger side of each frame's bounding box; None where the poses do not tell it: too few
        frames, too little turning, or nothing that would say which side is in front: no hidden
        point, and points that lie neither on a bulge nor in a hollow.
    """
    frames, count = xy.shape[:2]
    if frames < _FEWEST_FRAMES or count < 4:
        return None
    centred = xy - xy.mean(axis=1, keepdims=True)
    side = np.ptp(xy, axis=1).max(axis=-1)
    scaled = centred / side[:, None, None]
    measured = np.concatenate([scaled[..., 0], scaled[..., 1]])
    u, s, v = np.linalg.svd(measured, full_matrices=False)
    if s[2] < _LEAST_TURN * s[1]:
        return None
    motion, shape = u[:, :3] * s[:3], v[:3]
    upgrade = _metric_upgrade(motion[:frames], motion[frames:])
    if upgrade is None:
        return None
    motion, shape = motion @ upgrade, np.linalg.solve(upgrade, shape)
    across, down = motion[:frames], motion[frames:]
    length = np.sqrt(((across**2).sum(axis=1) + (down**2).sum(axis=1)) / 2)
    depth: FloatArray = np.cross(across, down) / length[:, None] @ shape
    return _face_camera(depth, visible, scaled)


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


def _face_camera(
    depth: FloatArray, visible: NDArray[np.bool_], xy: FloatArray
) -> FloatArray | None:
    """Choose between a relief and its inverse, which look the same from afar.

    What a turning head hides are the points on its far side. Where nobody says what is hidden
    (artists' files do not), the head bulges: what is drawn on it was seen, and the side of a
    solid body that one sees is its bulging one.
    """
    mixed = visible.any(axis=1) & ~visible.all(axis=1)
    if not mixed.any():
        return _bulge_towards_camera(depth, xy)
    seen = np.nanmean(np.where(visible, depth, np.nan)[mixed], axis=1)
    hidden = np.nanmean(np.where(visible, np.nan, depth)[mixed], axis=1)
    nearer = float((seen - hidden).sum())
    return None if nearer == 0.0 else depth * np.sign(nearer)


def _bulge_towards_camera(depth: FloatArray, xy: FloatArray) -> FloatArray | None:
    """Depth (F, P) or its inverse, so that points (F, P, 2) lie on a bulge; None: on neither.

    Told by how depth, beside its tilt, falls with the distance from the middle.
    """
    falls = []
    for z, at in zip(depth, xy, strict=True):
        tilt = np.column_stack([np.ones(len(at)), at])
        both = np.column_stack([z, (at**2).sum(axis=1)])
        left, far = (both - tilt @ np.linalg.lstsq(tilt, both, rcond=None)[0]).T
        sizes = float(np.linalg.norm(left) * np.linalg.norm(far))
        falls.append(-float(left @ far) / max(sizes, 1e-12))
    fall = float(np.mean(falls))
    return None if abs(fall) < _LEAST_FALL else np.asarray(depth * np.sign(fall))
