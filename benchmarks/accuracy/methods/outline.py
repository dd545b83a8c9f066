"""From a mask to a Bezier spline with a given number of points: what vectorising a matte gives.

A closed shape's outline is traced at one half of the mask, to a fraction of a pixel. An open
shape is a thin band; its middle is found in slices across its longest direction, which suits
lines that do not turn back on themselves, and refined along its normals. Points are spread
over the line as they are over the shape's mean in the training frames; between two points a
cubic is fitted.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import bernstein, sample

_LEAST_PX = 6  # of mask; less is no shape
_SAMPLES = 256
_PER_SEGMENT = 32
_ROUNDS = 3


def trace_outline(mask: NDArray[np.float32]) -> FloatArray | None:
    """The longest outline of the largest part of a mask (S, S), 0-1: (K, 2), or None.

    Corner-origin coordinates, like everywhere. Each vertex is moved along the mask's slope to
    where it is one half.
    """
    inside = (mask > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    if stats[largest, cv2.CC_STAT_AREA] < _LEAST_PX:
        return None
    part = (labels == largest).astype(np.uint8)
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = max(contours, key=len)[:, 0].astype(np.float64)
    down, across = np.gradient(mask)
    for _ in range(_ROUNDS):
        value, gx, gy = (
            _look_up(np.asarray(field, np.float32), line[:, None] + 0.5).ravel()
            for field in (mask, across, down)
        )
        slope = np.stack([gx, gy], axis=-1).astype(np.float64)
        step = (0.5 - value)[:, None] * slope / np.maximum((slope**2).sum(-1, keepdims=True), 1e-3)
        line += np.clip(step, -0.7, 0.7)
    return line + 0.5 if len(line) >= 3 else None


def trace_band(mask: NDArray[np.float32], half_width: float) -> FloatArray | None:
    """The middle line of a band in a mask (S, S), 0-1: (K, 2), or None.

    Args:
        mask: the band.
        half_width: how far the band was drawn beyond the line's ends, px.
    """
    weight = np.where(mask > 0.3, mask, 0).astype(np.float64)
    rows, columns = np.nonzero(weight)
    if len(rows) < _LEAST_PX or mask.max() < 0.5:
        return None
    xy, weight = np.stack([columns, rows], -1) + 0.5, weight[rows, columns]
    middle = np.average(xy, axis=0, weights=weight)
    along = np.linalg.eigh(np.cov((xy - middle).T, aweights=weight))[1][:, -1]
    place = (xy - middle) @ along
    bins = np.floor(place - place.min()).astype(int)
    total = np.bincount(bins, weights=weight)
    good = total > 0
    centres = [np.bincount(bins, weights=weight * xy[:, c])[good] / total[good] for c in (0, 1)]
    line = np.stack(centres, axis=-1)
    if len(line) < 4 * half_width:
        return None
    # slices are not square to the line: what they say is refined along its normals
    for _ in range(_ROUNDS):
        line = _centred(mask, _evenly(line, closed=False), 1.5 * half_width)
    return _trimmed(mask, line, half_width)


def _centred(mask: NDArray[np.float32], line: FloatArray, reach: float) -> FloatArray:
    """Move each point of a line to the middle of what the mask has on its normal."""
    ahead = np.gradient(line, axis=0)
    ahead = cv2.GaussianBlur(ahead, (1, 0), 1, sigmaY=_SAMPLES / 32, borderType=cv2.BORDER_REFLECT)
    normal = ahead[:, ::-1] * [1, -1]
    normal /= np.maximum(np.hypot(*normal.T)[:, None], 1e-9)
    steps = np.linspace(-reach, reach, 21)
    found = _look_up(mask, line[:, None] + steps[:, None] * normal[:, None])
    shift = (found * steps).sum(1) / np.maximum(found.sum(1), 1e-6)
    return np.asarray(line + shift[:, None] * normal)


def _trimmed(mask: NDArray[np.float32], line: FloatArray, half_width: float) -> FloatArray | None:
    """Let a line run to both ends of its band, then take off what the band was drawn beyond."""
    steps = np.arange(0.25, 4 * half_width, 0.25)
    ends = []
    for end, inner in ((line[0], line[8]), (line[-1], line[-9])):
        outward = (end - inner) / max(float(np.hypot(*(end - inner))), 1e-9)
        beyond = end + steps[:, None] * outward
        inside = _look_up(mask, beyond[:, None])[:, 0] > 0.5
        ends.append(beyond[: len(steps) if inside.all() else int(inside.argmin())])
    whole = np.concatenate([ends[0][::-1], line, ends[1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(whole, axis=0).T))])
    if along[-1] < 2 * half_width + 2:
        return None
    at = np.linspace(half_width, along[-1] - half_width, _SAMPLES)
    return np.stack([np.interp(at, along, whole[:, c]) for c in (0, 1)], -1)


def _look_up(mask: NDArray[np.float32], xy: FloatArray) -> FloatArray:
    """The mask at places (K, L, 2), between pixels by linear interpolation: (K, L)."""
    across, down = (xy - 0.5).astype(np.float32).transpose(2, 0, 1)
    found = cv2.remap(mask, across, down, cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(found, np.float64)


def fit_spline(line: FloatArray, model: FloatArray, *, closed: bool) -> FloatArray:
    """Control points (N, 6) along a line (K, 2), spread like those of ``model`` (N, 6).

    The model is laid over the line by its bounding box; which way round and where to start is
    what brings the two nearest to each other.
    """
    even, start = _like(line, model, closed=closed)
    knots = _knots(model, closed=closed)
    count = len(model)
    places = (knots + start) % 1.0 if closed else knots
    control = np.zeros((count, 6))
    control[:, :2] = _at(even, places, closed=closed)
    for i in range(count if closed else count - 1):
        j = (i + 1) % count
        span = (places[j] - places[i]) % 1.0 if closed else places[j] - places[i]
        piece = places[i] + span * np.linspace(0, 1, _PER_SEGMENT + 1)
        first, second = _cubic(_at(even, piece % 1.0 if closed else piece, closed=closed))
        control[i, 4:6], control[j, 2:4] = first, second
    return control


def _like(line: FloatArray, model: FloatArray, *, closed: bool) -> tuple[FloatArray, float]:
    """The line at even distances, running as the model does; where the model starts (share)."""
    even = _evenly(line, closed=closed)
    target = _evenly(sample(model, closed=closed), closed=closed)
    low, high = target.min(0), target.max(0)
    size = np.maximum(high - low, 1e-6)
    target = (target - low) / size * np.ptp(even, axis=0) + even.min(0)
    turned = np.roll(even[::-1], 1, axis=0) if closed else even[::-1]
    best: tuple[float, FloatArray, int] = (np.inf, even, 0)
    for candidate in (even, turned):
        for roll in range(len(even) if closed else 1):
            gap = float(((np.roll(candidate, -roll, axis=0) - target) ** 2).sum())
            if gap < best[0]:
                best = (gap, candidate, roll)
    return best[1], best[2] / len(even)


def _knots(model: FloatArray, *, closed: bool) -> FloatArray:
    """Where the model's points lie along its length, as shares."""
    dense = sample(model, closed=closed, per_segment=_PER_SEGMENT)
    if closed:
        dense = np.concatenate([dense, dense[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(dense, axis=0).T))])
    shares = along[::_PER_SEGMENT][: len(model)] / max(along[-1], 1e-9)
    return np.asarray(shares)


def _evenly(line: FloatArray, *, closed: bool) -> FloatArray:
    ring = np.concatenate([line, line[:1]]) if closed else line
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ring, axis=0).T))])
    at = np.linspace(0, along[-1], _SAMPLES, endpoint=not closed)
    return np.stack([np.interp(at, along, ring[:, c]) for c in (0, 1)], -1)


def _at(even: FloatArray, shares: FloatArray, *, closed: bool) -> FloatArray:
    """Points of an evenly sampled line at shares of its length."""
    ring = np.concatenate([even, even[:1]]) if closed else even
    grid = np.linspace(0, 1, len(ring))
    return np.stack([np.interp(shares, grid, ring[:, c]) for c in (0, 1)], -1)


def _cubic(piece: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Out-tangent of the first and in-tangent of the last point of a cubic through a piece.

    Least squares; tangents are held weakly at a third of the way, so that a straight or tiny
    piece has a sensible answer.
    """
    basis = bernstein(len(piece), endpoint=True)
    first, last = piece[0], piece[-1]
    rest = piece - np.outer(basis[:, 0] + basis[:, 1], first)
    rest -= np.outer(basis[:, 2] + basis[:, 3], last)
    inner, weak = basis[:, 1:3], 1e-2 * np.eye(2)
    third = np.stack([last - first, first - last]) / 3
    found = np.linalg.solve(inner.T @ inner + weak, inner.T @ rest + weak @ third)
    return found[0], found[1]
