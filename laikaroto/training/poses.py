"""Poses of a character as sets of points, compared whatever their place, size and turn.

A pose is (P, 2) positions of all its points. Before poses are compared they are laid over a
reference by the similarity that fits best (Procrustes analysis: Dryden & Mardia 1998, here with
complex numbers), so that what is left is what a training picture could not be shifted, scaled
and turned into: another view of the head, another face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around


def fit_similarity(xy: FloatArray, goal: FloatArray) -> FloatArray:
    """The 2×3 matrix of the shift, scale and turn that bring points (P, 2) nearest to others.

    Points at one place keep their size: only a shift can be told of them.
    """
    start, end = _complex(xy), _complex(goal)
    a, b = start - start.mean(), end - end.mean()
    size = float((np.abs(a) ** 2).sum())
    turn = complex((a.conj() * b).sum()) / size if size > 0 else 1 + 0j
    shift = end.mean() - turn * start.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def mean_pose(poses: FloatArray) -> FloatArray:
    """The mean of poses (F, P, 2) of all sizes and places, as fractions of the head's side.

    Its head box (``model.crop.box_around``) has its centre at 0 and side 1.
    """
    reference = _unit(poses[0])
    for _ in range(3):  # the mean moves little after the first round
        reference = _unit(lay_over(poses, reference).mean(axis=0))
    return reference


def lay_over(poses: FloatArray, reference: FloatArray) -> FloatArray:
    """Each of the poses (F, P, 2) brought nearest to a reference (P, 2)."""
    found = np.empty_like(poses)
    for i, pose in enumerate(poses):
        matrix = fit_similarity(pose, reference)
        found[i] = pose @ matrix[:, :2].T + matrix[:, 2]
    return found


def distances(poses: FloatArray, others: FloatArray) -> FloatArray:
    """How different two sets of laid over poses are: (F, G), root mean square over the points."""
    a, b = poses.reshape(len(poses), -1), others.reshape(len(others), -1)
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    found: NDArray[np.float64] = np.sqrt(np.maximum(square, 0.0) / poses.shape[1])
    return found


def _unit(pose: FloatArray) -> FloatArray:
    box = box_around(pose)
    return (pose - [box.x, box.y]) / box.side


def _complex(xy: FloatArray) -> NDArray[np.complex128]:
    return xy[:, 0] + 1j * xy[:, 1]
