"""How far a correction travels: offsets of a part on some poses in, of all poses out.

What the model draws is off by an error that it repeats: where it sees the like it errs alike.
So a corrected frame tells of the others. For each part on its own:

- **Which part is worn.** D is how far the forms (``head``) of two poses differ (RMS over the
  points, px, carried by the head's motion into one frame): the same part with a share of
  S = exp(-D²/2(REACH·error)²), and beyond ``CUT`` times the usual error another printed part,
  or the same one hidden: S = 0.
- **The offset** (corrected minus drawn) is interpolated between the corrected poses as a
  Gaussian process: exact where it was corrected, fading as pictures differ (``likeness``, squared
  distance L) and, for a part of it, as frames grow apart. Offsets are turned and stretched by
  the head's motion on their way. The covariance is
  exp(-L/UNLIKE) · (LASTING + (1-LASTING) exp(-Δt²/2·FADE²)) · (h + (1-h) S).
- **The habit** h, 0 to 1, is what of its errors the model is shown to make on different parts
  alike. It is 0 until two parts are corrected, and then what of each part's offsets those of
  the others foretell. So one correction never leaves its part, nor do errors of several parts
  that have nothing in common.

The numbers were measured, see ``docs/corrections.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.correction.head import HeadMotion
from laikaroto.correction.likeness import UNKNOWN, Likeness

#: Forms that differ by more than this many usual errors are those of different parts.
CUT = 6.0
#: Difference of forms at which errors are alike by exp(-1/2), in usual errors.
REACH = 1.5
#: Frames apart at which what errors share for a while only is alike by exp(-1/2).
FADE = 4.0
#: Share of an error's square that stays the same however many frames lie between like pictures.
LASTING = 0.4
#: Squared distance in likeness at which errors are alike by exp(-1).
UNLIKE = 0.2
#: Points that both poses have to show for their forms to be compared.
LEAST_SEEN = 3
#: Share of an error's square that belongs to the frame alone.
OWN = 0.05
#: The expected errors count as this many corrections when the artist's are set against them.
TRUST = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """What corrections of a part say of all poses.

    Attributes:
        offset: (Q, N, 6) to add to the drawings, plate px; zero where nothing travels.
        told: (Q,) 0-1: how much of the error's square is explained; 0: nothing travels there.
        surprise: (Q,) how much larger corrections of such poses were than expected; 1: as large.
    """

    offset: FloatArray
    told: FloatArray
    surprise: FloatArray


def carry(
    motion: HeadMotion,
    part: str,
    corrected: Mapping[int, FloatArray],
    likeness: Likeness = UNKNOWN,
) -> Carried:
    """Carry corrections of one part to all poses.

    Args:
        motion: of the shot, from the drawings before any correction.
        part: name of the shape or tracking point.
        corrected: control points (N, 6) the artist says are right, by pose, plate px.
        likeness: of the shot; unknown ones: all pictures are taken to be as like as their time.
    """
    where = motion.parts[part]
    drawn = motion.values[:, where]
    known = sorted(pose for pose in corrected if np.isfinite(drawn[pose]).all())
    count = len(motion.poses)
    if not known:
        nothing = np.zeros((count, *drawn.shape[1:]))
        return Carried(offset=nothing, told=np.zeros(count), surprise=np.ones(count))
    turns = np.stack([motion.turns(pose) for pose in known])
    form = motion.form(part)
    gap = np.stack([_turned(t, form[c]) - form for t, c in zip(turns, known, strict=True)])
    apart = _apart(gap, motion.seen[known][:, None, where] & motion.seen[None, :, where])
    error_px = float(motion.error_px[where].mean())
    same = _same(apart, error_px)
    like = np.exp(-likeness.unlike(part, motion.poses)[known] / UNLIKE) * _lasting(motion, known)
    offsets = np.stack([corrected[c] - drawn[c] for c in known])
    moved = np.stack([_turned(t, o) for t, o in zip(turns, offsets, strict=True)])
    seen = np.broadcast_to(motion.seen[known][:, where, None], (*offsets.shape[:2], 2))
    habit = _habit(like[:, known], same[:, known], moved[:, known, :, :2], seen, error_px)
    alike = like * (habit + (1.0 - habit) * same)
    weights, told = _weigh(alike, known)
    away = np.array([_across(drawn[c], corrected[c]) for c in known]) / error_px
    total = np.einsum("cq,cqnk->qnk", weights, moved)
    total[told == 0] = 0.0
    for row, pose in enumerate(known):
        total[pose] = offsets[row]
    return Carried(
        offset=np.nan_to_num(total),
        told=told,
        surprise=np.sqrt((TRUST + away**2 @ alike) / (TRUST + alike.sum(axis=0))),
    )


def _across(drawn: FloatArray, right: FloatArray) -> float:
    """Mean distance of control points across the curve, px: expected errors are meant so."""
    offset = right[:, :2] - drawn[:, :2]
    if len(right) < 2:
        return float(np.linalg.norm(offset, axis=-1).mean())
    along = np.gradient(right[:, :2], axis=0)
    length = np.maximum(np.linalg.norm(along, axis=-1), 1e-9)
    return float((np.abs(offset[:, 0] * along[:, 1] - offset[:, 1] * along[:, 0]) / length).mean())


def _apart(gap: FloatArray, seen: NDArray[np.bool_]) -> FloatArray:
    """(C, Q) RMS over the points (C, Q, N) that both poses show, px; infinite for too few."""
    count = seen.sum(axis=-1)
    square = np.where(seen, (gap**2).sum(-1), 0.0).sum(axis=-1)
    enough = count >= max(1, min(LEAST_SEEN, seen.shape[-1]))
    return np.where(enough, np.sqrt(square / np.maximum(count, 1)), np.inf)


def _turned(turns: FloatArray, points: FloatArray) -> FloatArray:
    """Offsets (N, 2k) of one pose as they look in every pose: (Q, N, 2k)."""
    pairs = points.reshape(len(points), -1, 2)
    return np.asarray(np.einsum("qij,nkj->qnki", turns, pairs).reshape(len(turns), *points.shape))


def _same(apart: FloatArray, error_px: float) -> FloatArray:
    """(C, Q) 0-1: the same part is worn, by how far the forms are apart; 0 beyond the cut."""
    same = np.maximum(np.exp(-((apart / (REACH * error_px)) ** 2) / 2), 1e-9)
    same[apart > CUT * error_px] = 0.0
    return np.asarray(same)


def _lasting(motion: HeadMotion, known: Sequence[int]) -> FloatArray:
    """(C, Q) what of the likeness of errors is left after the time between poses."""
    times = np.array([np.mean(frames) for frames in motion.poses])
    gap = (times[None] - times[list(known), None]) / FADE
    return np.asarray(LASTING + (1.0 - LASTING) * np.exp(-(gap**2) / 2))


def _habit(
    like: FloatArray,
    same: FloatArray,
    moved: FloatArray,
    seen: NDArray[np.bool_],
    error_px: float,
) -> float:
    """What of the errors is shown to be alike on different parts: 0-1.

    Each corrected pose is foretold from those that wear other parts; how much of that came
    true is the habit. An offset of the usual size that nothing speaks for counts against it.

    Args:
        like: (C, C) likeness of the corrected poses' pictures.
        same: (C, C) whether they wear the same part; 0: they do not.
        moved: (C, C, N, 2) offset of each corrected pose (first axis) as it looks in each.
        seen: (C, N, 2) whether a point can be seen: hidden ones were guessed, and prove nothing.
        error_px: the usual error.
    """
    other = (same <= 0) & (same.T <= 0)
    true, square = 0.0, error_px**2 * moved.shape[2]
    for row in range(len(like)):
        rows = np.flatnonzero(other[row])
        if not len(rows):
            continue
        among = like[np.ix_(rows, rows)] + OWN * np.eye(len(rows))
        foretold = np.einsum("c,cnk->nk", np.linalg.solve(among, like[rows, row]), moved[rows, row])
        foretold = np.where(seen[row], foretold, 0.0)
        true += float((foretold * moved[row, row]).sum())
        square += float((foretold**2).sum())
    return float(np.clip(true / square, 0.0, 1.0))


def _weigh(alike: FloatArray, known: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Weights (C, Q) of the corrected poses for every pose, and what they explain (Q,)."""
    among = (alike[:, list(known)] + alike[:, list(known)].T) / 2
    np.fill_diagonal(among, 1.0)
    sizes, axes = np.linalg.eigh(among)  # the cut may leave it a little indefinite
    inverse = (axes / (np.maximum(sizes, 0.0) + OWN)) @ axes.T
    weights = inverse @ alike
    told = np.clip((alike * weights).sum(axis=0), 0.0, 1.0)
    return weights, told
