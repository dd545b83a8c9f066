"""Which place of one contour is which place of another: a first, frame by frame answer.

In: a reference contour with stations along it, and the same thing drawn on other frames with any
number of points, any start, either direction. Out: each frame's contour, turned to run like the
reference, and how far along it each station lies. ``character.settling`` then makes all frames
agree with each other.

All shapes of a frame together tell how the head is placed, scaled and rolled in it
(``align_frames``). In that frame of reference position, direction of travel and sharpness of bend
are compared by dynamic programming over all monotone correspondences, every start tried, so
that stretches may shrink and grow.
Source: dynamic time warping after Sakoe and Chiba, 1978; cyclic strings after Maes, 1990.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.contour import Contour

_ROWS = 64  # samples of the reference
_FINE = 4  # samples of a frame's contour for each
_STEPS = np.arange(1, 11)  # samples of the frame that one of the reference may cover
_BAND = 72  # samples a correspondence may run ahead or behind
_STRETCH = 0.05  # cost of a stretch by e
_PLACE, _HEADING, _BEND = 1.0, 0.5, 0.15  # weights of what is compared
_PLACE_SCALE = 1 / 6  # of the length: an offset of this much costs _PLACE
_STARTS = np.arange(-3, 4) * _FINE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """A frame's contour laid along the reference.

    Attributes:
        contour: runs like the reference.
        along: (P,) px along it of each station; may run past the length of a closed one.
        cost: mean disagreement, 0 for the same curve; about 0.1 for the same thing.
        turned: whether the contour was drawn the other way.
        bends: (B,) px along the contour where it turns most, see ``contour.find_bends``.
        anchored: (P,) stations that lie on such a bend, which is theirs; None: none.
    """

    contour: Contour
    along: FloatArray
    cost: float
    turned: bool = False
    bends: FloatArray = field(default_factory=lambda: np.zeros(0))
    anchored: NDArray[np.bool_] | None = None


def align_frames(
    base: Mapping[str, Contour], frames: Sequence[Mapping[str, Contour]]
) -> FloatArray:
    """Similarities that lay each frame's shapes over those of a base frame, by their middles.

    Expressions move middles about; the fit is to least absolute distances, so that a few shapes
    that moved, or that bear a wrong name, do not turn the head.

    Returns:
        (F, 2, 3) matrices from a frame's plate pixels to the base frame's.
    """
    return np.stack([_align(base, frame) for frame in frames])


def _align(base: Mapping[str, Contour], frame: Mapping[str, Contour]) -> FloatArray:
    names = sorted(set(base) & set(frame))
    if not names:
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    from_xy = np.stack([frame[name].centroid for name in names])
    to_xy = np.stack([base[name].centroid for name in names])
    if len(names) == 1:
        lengths = max(frame[names[0]].length, 1.0), max(base[names[0]].length, 1.0)
        scale = lengths[1] / lengths[0]
        shift = to_xy[0] - scale * from_xy[0]
        return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    weights = np.ones(len(names))
    matrix = np.zeros((2, 3))
    for _ in range(12):
        matrix = _similarity(from_xy, to_xy, weights)
        off = np.linalg.norm(from_xy @ matrix[:, :2].T + matrix[:, 2] - to_xy, axis=1)
        weights = 1.0 / np.maximum(off, 1.0)
    return matrix


def _similarity(from_xy: FloatArray, to_xy: FloatArray, weights: FloatArray) -> FloatArray:
    share = (weights / weights.sum())[:, None]
    a, b = (share * from_xy).sum(0), (share * to_xy).sum(0)
    p, q = from_xy - a, to_xy - b
    spread = max(float((share * p**2).sum()), 1e-9)
    cosine = float((share * p * q).sum()) / spread
    sine = float((share[:, 0] * (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])).sum()) / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([linear, (b - linear @ a)[:, None]], axis=1)


def match_contour(
    reference: Contour,
    stations: FloatArray,
    contour: Contour,
    to_reference: FloatArray,
    *,
    turned: bool | None = None,
    start: float | None = None,
) -> Match:
    """Lay one contour along the reference.

    Args:
        reference: where the stations are known.
        stations: (P,) px along it, ascending; those of a closed one span less than its length.
        contour: on another frame, open or closed like the reference.
        to_reference: (2, 3) similarity from the contour's frame to the reference's.
        turned: whether the contour runs against the reference; None: to be found out.
        start: where the first station lies, roughly, as a share of the contour's length, if
            that is known (an animated drawing keeps its start); None: to be found out.
    """
    origin = stations[0] if reference.closed else 0.0
    target = _features(reference, np.eye(2, 3), _ROWS, origin=origin)
    shares = (stations - origin) / max(reference.length, 1e-9)
    ways = (False, True) if turned is None else (turned,)
    both = [
        _lay(
            contour.reversed() if way else contour,
            target, shares, to_reference, start=start, turned=way,
        )
        for way in ways
    ]  # fmt: skip
    return min(both, key=lambda match: match.cost)


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """Samples of a contour in the base frame: place (…, 2), heading (…, 2), bend (…)."""

    place: FloatArray
    heading: FloatArray
    bend: FloatArray


def _features(
    contour: Contour, to_base: FloatArray, rows: int, *, origin: float = 0.0
) -> _Features:
    length = max(contour.length, 1e-6)
    at = origin + np.linspace(0.0, length, rows, endpoint=not contour.closed)
    reach = length / _ROWS
    place = contour.at(at) @ to_base[:, :2].T + to_base[:, 2]
    middle = contour.centroid @ to_base[:, :2].T + to_base[:, 2]
    size = max(length * float(np.sqrt(abs(np.linalg.det(to_base[:, :2])))), 1e-6)
    before = contour.direction(at, before_px=reach, after_px=0.0)
    after = contour.direction(at, before_px=0.0, after_px=reach)
    heading = contour.direction(at, before_px=reach, after_px=reach) @ to_base[:, :2].T
    heading /= np.maximum(np.linalg.norm(heading, axis=-1, keepdims=True), 1e-9)
    bend = np.arctan2(
        before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(-1)
    )
    return _Features((place - middle) / size / _PLACE_SCALE, heading, bend)


def _costs(target: _Features, got: _Features) -> FloatArray:
    """Disagreement of every sample of the reference with every one of a contour: (R, K)."""
    place = ((target.place[:, None] - got.place) ** 2).sum(-1)
    heading = 1.0 - (target.heading[:, None] * got.heading).sum(-1)
    bend = (target.bend[:, None] - got.bend) ** 2
    cost: FloatArray = _PLACE * place + _HEADING * heading + _BEND * bend
    return cost


def _lay(
    contour: Contour,
    target: _Features,
    shares: FloatArray,
    to_reference: FloatArray,
    *,
    start: float | None,
    turned: bool,
) -> Match:
    """The best monotone correspondence of a contour as it runs.

    Args:
        contour: to be laid.
        target: (R,) samples of the reference.
        shares: (P,) stations as shares of the reference's length from its first sample.
        to_reference: (2, 3).
        start: where it starts, roughly, as a share of the contour's length; None: anywhere.
        turned: whether it was reversed, to be told.
    """
    width = _ROWS * _FINE if contour.closed else (_ROWS - 1) * _FINE + 1
    costs = _costs(target, _features(contour, to_reference, width))
    if contour.closed:
        if start is None:
            starts = _likely_starts(costs)
        else:
            starts = (round(start * width) + _STARTS) % width
        around = (starts[:, None] + np.arange(width + 1)) % width
        turns = costs[:, around].swapaxes(0, 1)  # (S, R, K + 1)
        turns = np.concatenate([turns, turns[:, :1]], axis=1)
        totals, paths = _dynamic(turns)
        best = int(totals.argmin())
        total, path = totals[best], paths[best] + starts[best]
        at, by = shares * _ROWS, contour.length / width
    else:
        totals, paths = _dynamic(costs[None])
        total, path = totals[0], paths[0]
        at, by = shares * (_ROWS - 1), contour.length / (width - 1)
    along = np.interp(at, np.arange(path.size), path) * by
    return Match(contour=contour, along=along, cost=float(total), turned=turned)


def _likely_starts(costs: FloatArray) -> NDArray[np.int64]:
    """Where the reference's start may lie on a closed contour: (S,) samples.

    Around the two best of all rigid shifts; the second may be the right one where a shape looks
    alike after half a turn.
    """
    width = costs.shape[1]
    rows = np.arange(_ROWS)
    shifts = np.arange(0, width, _FINE)
    means = costs[rows, (shifts[:, None] + rows * _FINE) % width].mean(axis=-1)
    first = int(means.argmin())
    apart = np.abs((np.arange(len(shifts)) - first + _ROWS // 2) % _ROWS - _ROWS // 2)
    second = int(np.where(apart > _ROWS // 8, means, np.inf).argmin())
    around = (np.array([first, second]) * _FINE)[:, None] + _STARTS
    return np.asarray(around.reshape(-1) % width)


def _dynamic(costs: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Cheapest monotone path through each (R, K) table from its first to its last corner.

    Returns:
        Mean cost (B,) of the paths, and (B, R) the column in each row.
    """
    batch, rows, width = costs.shape
    longest = int(_STEPS[-1])
    padded = np.full((batch, width + longest), np.inf)
    padded[:, longest] = costs[:, 0, 0]
    # windows[b, k, s - 1] is the total s samples before k
    windows = np.lib.stride_tricks.sliding_window_view(padded, longest, axis=1)[:, :width, ::-1]
    stretch = _STRETCH * np.log(_STEPS / _FINE) ** 2
    back = np.zeros((rows, batch, width), dtype=np.int8)
    columns = np.arange(width)
    for row in range(1, rows):
        options = windows + stretch
        pick = options.argmin(axis=-1)
        back[row] = pick + 1
        total = np.take_along_axis(options, pick[..., None], axis=-1)[..., 0] + costs[:, row]
        total[:, np.abs(columns - row * _FINE) > _BAND] = np.inf
        padded[:, longest:] = total
    path = np.zeros((batch, rows), dtype=np.int64)
    path[:, -1] = width - 1
    everyone = np.arange(batch)
    for row in range(rows - 1, 0, -1):
        path[:, row - 1] = path[:, row] - back[row, everyone, path[:, row]]
    return padded[:, -1] / rows, path
