"""Stations of all frames and shots brought to agree with each other.

In: contours of every frame with a first guess of where each station lies along them. Out: the
same stations, slid along the contours so that each is the same physical spot throughout.

The way a spot of a head moves through the frames of all shots is not arbitrary: it follows the
head's pose and a few expressions, which all spots share. So over all frames the paths of the
stations span few dimensions when they are true spots, and many when they wander along their
curves. The number of dimensions is measured smoothly, by the log-determinant of the paths'
covariance (a description length), and made as small as sliding allows; corners, ends and
marked frames stay where they are.
Source: description length of point correspondences after Davies et al., "A Minimum Description
Length Approach to Statistical Shape Modeling", IEEE TMI 2002; paths of rigid points as a low
rank matrix, Tomasi and Kanade, IJCV 1992. The solution by reweighting is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.contour import Contour

_NOISE = 0.002  # of the head's size: how exactly contours are drawn
_ROUNDS = 20
_LONGEST_SLIDE = 0.015  # of a contour's length in one round
_LEAST_GAP = 0.15  # of the first gap between two stations that has to stay
_MOST_DIMENSIONS = 80
_NOT_WORTH = 0.02  # a dimension that counts less than this is noise


@dataclass(slots=True, kw_only=True, eq=False)
class Stations:
    """One shape's stations on all frames.

    Attributes:
        contours: (F,); None where the shape is not there.
        along: (F, P) px along the contours, ascending; NaN where the shape is not there.
        fixed: (F, P) which may not slide: ends, corners, marked ones.
    """

    contours: Sequence[Contour | None]
    along: FloatArray
    fixed: NDArray[np.bool_]

    @property
    def there(self) -> NDArray[np.bool_]:
        """(F,) frames on which the shape is."""
        return np.array([contour is not None for contour in self.contours])

    def places(self) -> FloatArray:
        """(F, 2, P) where the stations lie, px; NaN where the shape is not there."""
        rows = np.full((len(self.contours), 2, self.along.shape[1]), np.nan)
        for f, contour in enumerate(self.contours):
            if contour is not None:
                rows[f] = contour.at(self.along[f]).T
        return rows

    def headings(self) -> FloatArray:
        """(F, 2, P) unit directions of the contours there; 0 where nothing can slide."""
        rows = np.zeros((len(self.contours), 2, self.along.shape[1]))
        for f, contour in enumerate(self.contours):
            if contour is not None:
                rows[f] = contour.direction(self.along[f]).T
        return np.asarray(rows * ~self.fixed[:, None, :])


def settle(shapes: Sequence[Stations], *, rounds: int = _ROUNDS) -> FloatArray:
    """Slide stations along their contours until they move as one head does.

    Args:
        shapes: all shapes of a character over the same F frames; ``along`` is changed in place.
        rounds: how often.

    Returns:
        (F, S) px by how much each shape's stations would still like to slide, root mean square:
        how far apart the frames are on where the spots lie. NaN where a shape is not there.
    """
    frames = len(shapes[0].contours)
    first = [shape.along.copy() for shape in shapes]
    if frames < 2:
        return np.zeros((frames, len(shapes)))
    # With few frames everything spans few dimensions; then the first guess is worth more.
    stay = max(2e-4, 0.5 / frames**2)
    left = np.zeros((frames, len(shapes)))
    for _ in range(rounds):
        paths = _fill([shape.places().reshape(2 * frames, -1) for shape in shapes])
        basis, weight, everything = _dimensions(paths)
        start = 0
        for s, shape in enumerate(shapes):
            count = shape.along.shape[1]
            columns = everything[:, start : start + count]
            start += count
            slide = _slide(shape, columns, basis, weight, shape.along - first[s], stay)
            left[:, s] = np.sqrt(np.mean(slide**2, axis=1))
            _move(shape, slide, first[s])
    there = np.stack([shape.there for shape in shapes], axis=1)
    return np.where(there, left, np.nan)


def expect(
    shapes: Sequence[Stations], *, dimensions: int, by_others: bool = False
) -> list[FloatArray]:
    """Where each shape's stations lie by what the other shapes say, frame by frame.

    The others' paths give the pose and expressions of every frame (their first ``dimensions``
    dimensions); each station follows these as it mostly does, by least absolute distances, so
    that a frame on which it was laid wrong does not spoil the rest.

    Args:
        shapes: all shapes over the same F frames.
        dimensions: how many of the others' dimensions are followed.
        by_others: each frame is expected from the other frames alone; for few frames, where
            one that is wrong would have a say in what is expected of it.

    Returns:
        For each shape (F, 2, P) px, also for frames on which it is not there.
    """
    frames = len(shapes[0].contours)
    paths = [shape.places().reshape(2 * frames, -1) for shape in shapes]
    filled = _fill(paths)
    ends = np.cumsum([path.shape[1] for path in paths])
    expected = []
    for shape, path, end in zip(shapes, paths, ends, strict=True):
        own = slice(end - path.shape[1], end)
        others = np.delete(filled, own, axis=1) if len(shapes) > 1 else filled
        basis = np.linalg.svd(others, full_matrices=False)[0][:, :dimensions]
        there = shape.there
        places = (basis @ _follow(basis, path, there)).reshape(frames, 2, -1)
        if by_others and there.sum() > dimensions + 1:
            for f in range(frames):
                rest = there.copy()
                rest[f] = False
                places[f] = basis[2 * f : 2 * f + 2] @ _follow(basis, path, rest)
        expected.append(places)
    return expected


def _follow(basis: FloatArray, path: FloatArray, there: NDArray[np.bool_]) -> FloatArray:
    """How much of each dimension (2F, R) paths (2F, P) mostly have, on these frames: (R, P)."""
    rows = np.repeat(there, 2)
    weight = np.ones(int(there.sum()))
    follow: FloatArray = np.zeros((basis.shape[1], path.shape[1]))
    for _ in range(8):
        root = np.sqrt(np.repeat(weight, 2))[:, None]
        solved = np.linalg.lstsq(basis[rows] * root, path[rows] * root, rcond=None)[0]
        follow = np.asarray(solved, dtype=np.float64)
        off = (basis[rows] @ follow - path[rows]).reshape(len(weight), 2, -1)
        weight = 1.0 / np.maximum(np.sqrt((off**2).sum(axis=1).mean(axis=1)), 1.0)
    return follow


def _fill(paths: list[FloatArray]) -> FloatArray:
    """All paths (2F, P) side by side; where a shape is not there, as the rest would have it."""
    everything = np.concatenate(paths, axis=1)
    missing = ~np.isfinite(everything)
    if not missing.any():
        return everything
    complete = everything[:, ~missing.any(axis=0)]
    if complete.shape[1] < 4:
        return np.where(missing, np.nanmean(everything, axis=1, keepdims=True), everything)
    basis = np.linalg.svd(complete, full_matrices=False)[0][:, :4]  # pose
    for column in np.flatnonzero(missing.any(axis=0)):
        gone = missing[:, column]
        pose = np.linalg.lstsq(basis[~gone], everything[~gone, column], rcond=None)[0]
        everything[gone, column] = basis[gone] @ pose
    return everything


def _dimensions(paths: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The dimensions the paths span: basis (2F, R), how far each is to be trusted (R,), paths."""
    middle = paths.reshape(-1, 2, paths.shape[1]).mean(axis=2, keepdims=True)
    spread = np.sqrt(((paths.reshape(-1, 2, paths.shape[1]) - middle) ** 2).sum(1).mean(1))
    noise = max(_NOISE * 2.0 * float(np.median(spread)), 1e-3)
    u, s, _ = np.linalg.svd(paths, full_matrices=False)
    power = s**2 / paths.shape[1]
    weight = power / (power + noise**2)
    keep = min(int((weight > _NOT_WORTH).sum()), _MOST_DIMENSIONS)
    # A dimension that one frame has for itself would let that frame slide as it likes.
    share = (u[:, :keep].reshape(-1, 2, keep) ** 2).sum(axis=1)
    spread_over = 1.0 / (share**2).sum(axis=0)
    shared = np.clip((spread_over - 1.5) / 3.0, 0.0, 1.0) if len(share) > 4 else 1.0
    return u[:, :keep], np.maximum(weight[:keep] * shared, 1e-6), paths


def _slide(
    shape: Stations,
    paths: FloatArray,
    basis: FloatArray,
    weight: FloatArray,
    so_far: FloatArray,
    stay: float,
) -> FloatArray:
    """Slides (F, P), px, that take each path nearest to the shared dimensions.

    For one station: minimise over slides d (F,) the part of ``path + T d`` outside the
    dimensions, T (2F, F) the headings, plus ``stay`` times the squared slide from the start.
    The matrix to solve is the identity less few dimensions, so Woodbury's formula applies.
    """
    frames, count = shape.along.shape
    headings = shape.headings()
    outside = paths - basis @ (weight[:, None] * (basis.T @ paths))
    pull = -(outside.reshape(frames, 2, count) * headings).sum(axis=1)
    pull -= stay * np.where(np.isfinite(so_far), so_far, 0.0)
    free = np.linalg.norm(headings, axis=1) > 0
    pull = np.where(free, pull, 0.0).T  # (P, F)
    along_basis = np.einsum("fcp,fcr->pfr", headings, basis.reshape(frames, 2, -1))
    inner = np.diag((1.0 + stay) / weight) - np.einsum("pfr,pfq->prq", along_basis, along_basis)
    right = np.einsum("pfr,pf->pr", along_basis, pull)
    solved = np.linalg.solve(inner, right[..., None])
    slide = (pull + np.einsum("pfr,pr->pf", along_basis, solved[..., 0])) / (1.0 + stay)
    return np.asarray(np.where(free, slide.T, 0.0))


def _move(shape: Stations, slide: FloatArray, first: FloatArray) -> None:
    """Slide by at most a little, and never past a neighbour."""
    for f, contour in enumerate(shape.contours):
        if contour is None:
            continue
        most = _LONGEST_SLIDE * contour.length
        along = shape.along[f] + np.clip(slide[f], -most, most)
        shape.along[f] = _keep_order(along, first[f], shape.fixed[f], contour)


def _keep_order(
    along: FloatArray, first: FloatArray, fixed: NDArray[np.bool_], contour: Contour
) -> FloatArray:
    """Stations ascending, with some of their first gaps between them, fixed ones where they are.

    Runs between fixed stations are pushed apart from the left and then from the right.
    """
    gaps = np.diff(first, append=first[0] + contour.length) * _LEAST_GAP
    least = np.concatenate([[0.0], np.cumsum(gaps[:-1])])
    low = np.where(fixed, along - least, -np.inf)
    high = np.where(fixed, along - least, np.inf)
    if contour.closed and not fixed.any():
        bare = np.maximum.accumulate(along - least)
        return np.asarray(np.minimum(bare + least, bare[0] + contour.length - gaps[-1]))
    low = np.maximum.accumulate(low)
    high = np.minimum.accumulate(high[::-1])[::-1]
    if contour.closed:  # beyond the first and last fixed stations it goes round
        turn = contour.length - gaps.sum()
        low = np.where(np.isfinite(low), low, low[-1] - turn)
        high = np.where(np.isfinite(high), high, high[0] + turn)
    bare = np.clip(np.maximum.accumulate(along - least), low, high)
    return np.asarray(np.where(fixed, along, bare + least))
