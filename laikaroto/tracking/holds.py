"""Holds and frames on twos: which frames repeat the one before, and what that means.

A held puppet does not move, so every difference between its drawings is chatter, and the
drawings are independent measurements of one pose. They are averaged by their expected error
and given to every frame of the hold, exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.model.predictions import Predictions

#: Largest shift of the head's picture that is still grain. Held frames of the sample and dev
#: shows measure 0.07 px at most, a camera move of 0.3 px measures 0.32 px at least.
WHOLE_PX = 0.15
#: Largest local shift that is still grain. Held frames measure 0.67 px at most; the smallest
#: change of a pose in these shows (145 pairs of frames) measures 1.19 px.
LOCAL_PX = 0.9
#: The drawings of a hold differ by this many times their expected error at most.
_APART = 3.0


def find_holds(predictions: Predictions) -> NDArray[np.int64]:
    """Which pose each frame shows: the picture of the head repeats, and so does its drawing.

    A slow camera move is not a hold although each of its steps is tiny: the shifts are summed
    over the hold, and when the sum is too large a new pose begins.

    Args:
        predictions: of the whole shot; ``moved`` of the first frame is not looked at.

    Returns:
        (F,) number of the pose, 0, 1, 2 …; frames of one hold share it.
    """
    moved, xy = predictions.moved, predictions.values[..., :2]
    apart = np.median(np.linalg.norm(np.diff(xy, axis=0), axis=-1), axis=1)
    error = np.median(predictions.error_px[1:] + predictions.error_px[:-1], axis=1)
    poses = np.zeros(len(moved), dtype=np.int64)
    drift = np.zeros(2)
    for i in range(1, len(moved)):
        drift = drift + moved[i, :2]
        still = np.hypot(*drift) < WHOLE_PX and moved[i, 2] < LOCAL_PX
        held = bool(still and apart[i - 1] < _APART * error[i - 1])
        poses[i] = poses[i - 1] + (not held)
        if not held:
            drift = np.zeros(2)
    return poses


def merge_holds(predictions: Predictions, poses: NDArray[np.int64]) -> Predictions:
    """One entry for each pose: the mean over its frames, the surer drawing counting more.

    Args:
        predictions: of the whole shot.
        poses: as ``find_holds`` gives them.

    Returns:
        Entries as many as there are poses; ``frames`` names the first frame of each.
    """
    starts = np.flatnonzero(np.diff(poses, prepend=-1))
    weight = 1.0 / np.maximum(predictions.error_px, 1e-3) ** 2
    total = np.add.reduceat(weight, starts)

    def mean(values: FloatArray) -> FloatArray:
        extra = (1,) * (values.ndim - 2)
        shape = (*weight.shape, *extra)
        summed = np.add.reduceat(values * weight.reshape(shape), starts)
        return np.asarray(summed / total.reshape(*total.shape, *extra))

    return Predictions(
        frames=predictions.frames[starts],
        values=mean(predictions.values),
        visible=mean(predictions.visible),
        error_px=mean(predictions.error_px),
        apart_px=mean(predictions.apart_px),
        box=predictions.box[starts],
        found=np.maximum.reduceat(predictions.found, starts),
        moved=predictions.moved[starts],
        tokens=mean(predictions.tokens.astype(np.float64)).astype(np.float16),
    )
