"""Distances between two Bezier splines, measured along their length.

A spline becomes a polyline with a vertex at every control point and at even distances
between; the distance of a sample is to the nearest *place* of the other polyline, not to its
nearest vertex. How a spline is cut into points does not matter, only where it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import sample

_PER_SEGMENT = 64  # a 100 px segment bent to a 20 px radius is then off by under 0.02 px


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A spline cut into short straight pieces, and samples spread evenly along it.

    Attributes:
        line: (M, 2) vertices in plate px; a closed spline ends where it starts.
        piece_segment: (M-1,) the spline segment that each piece of ``line`` belongs to.
        samples: (K, 2) one in the middle of each of K stretches of equal length.
        sample_segment: (K,) the spline segment of each sample.
    """

    line: FloatArray
    piece_segment: NDArray[np.intp]
    samples: FloatArray
    sample_segment: NDArray[np.intp]


def flatten(points: FloatArray, *, closed: bool, step_px: float) -> Curve:
    """Cut a spline (N, 6) into pieces and samples of at most ``step_px``.

    A spline of no length, or of a single point, is one piece and one sample.
    """
    if len(points) == 1:
        points = np.repeat(points, 2, axis=0)
    dense = sample(points, closed=closed, per_segment=_PER_SEGMENT)
    if closed:
        dense = np.concatenate([dense, dense[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(dense, axis=0).T))])
    knots = along[::_PER_SEGMENT]
    count = max(int(np.ceil(along[-1] / step_px)), 1)
    edges = np.linspace(0.0, along[-1], count + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    vertices = np.sort(np.concatenate([edges[1:], knots[:-1]]))  # corners must not be cut
    apart = np.diff(vertices) > 1e-6  # where a knot is an edge the piece between has no length
    vertices = vertices[np.append(apart, True)] if apart.any() else edges

    def place(at: FloatArray) -> FloatArray:
        return np.stack([np.interp(at, along, dense[:, axis]) for axis in (0, 1)], axis=-1)

    def segment(at: FloatArray) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)

    return Curve(
        line=place(vertices),
        piece_segment=segment((vertices[:-1] + vertices[1:]) / 2),
        samples=place(middles),
        sample_segment=segment(middles),
    )


def nearest(xy: FloatArray, curve: Curve) -> tuple[FloatArray, NDArray[np.intp]]:
    """Distance of points (K, 2) to a curve, and the spline segment they are nearest to.

    The nearest vertex is looked up in a tree; the two pieces that meet there decide.

    Returns:
        (K,) distance in plate px; (K,) index of the spline segment.
    """
    if len(xy) == 0:
        return np.zeros(0), np.zeros(0, dtype=np.intp)
    _, vertex = cKDTree(curve.line).query(xy)
    pieces = np.stack([vertex - 1, vertex])
    if np.array_equal(curve.line[0], curve.line[-1]):
        pieces %= len(curve.line) - 1
    else:
        pieces = np.clip(pieces, 0, len(curve.line) - 2)
    start = curve.line[pieces]
    run = curve.line[pieces + 1] - start
    length2 = np.maximum((run**2).sum(-1), 1e-18)
    t = np.clip(((xy - start) * run).sum(-1) / length2, 0.0, 1.0)
    apart = np.sqrt(((start + t[..., None] * run - xy) ** 2).sum(-1))
    best = apart.argmin(axis=0)
    each = np.arange(len(xy))
    return apart[best, each], curve.piece_segment[pieces[best, each]]


def visible_segments(point_visible: NDArray[np.bool_], *, closed: bool) -> NDArray[np.bool_]:
    """Which segments run between two visible points: (N,) for closed, (N-1,) for open."""
    both = np.asarray(point_visible & np.roll(point_visible, -1), dtype=np.bool_)
    return both if closed else both[:-1]


def symmetric_distances(
    prediction: FloatArray,
    truth: FloatArray,
    truth_visible: NDArray[np.bool_],
    *,
    closed: bool,
    step_px: float,
) -> FloatArray:
    """Distances between a predicted spline and the visible part of the true one, both ways.

    True samples count where both ends of their segment are visible and are measured to the
    whole predicted spline. Predicted samples are measured to the whole true spline and count
    where they are nearest to a visible segment of it, so that the number of points of the
    two may differ and a prediction along a hidden part is neither praised nor blamed.

    Args:
        prediction: (N, 6) control points, plate px.
        truth: (M, 6) control points, plate px.
        truth_visible: (M,) whether each true point can be seen.
        closed: whether both splines are closed.
        step_px: distance between samples.

    Returns:
        (K,) distances in plate px, each standing for about ``step_px`` of curve; empty when
        nothing of the true spline is visible.
    """
    seen = visible_segments(truth_visible, closed=closed)
    if not seen.any():
        return np.zeros(0)
    true = flatten(truth, closed=closed, step_px=step_px)
    guess = flatten(prediction, closed=closed, step_px=step_px)
    there, _ = nearest(true.samples[seen[true.sample_segment]], guess)
    back, segment = nearest(guess.samples, true)
    return np.concatenate([there, back[seen[segment]]])
