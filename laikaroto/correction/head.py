"""The head frame: what of a drawing is head motion, and what is the face that is worn.

A puppet's head is stiff, its camera far away: the pictures of its points lie, over a shot, in
a space of four dimensions (three of the head's form and the place), whatever the head does.
The best such space is found from the drawings themselves, deaf to points that do not keep to
it; what a drawing has beyond it is the *form*: the printed part that is worn, and the model's
error. Two frames wear the same part where their forms agree as well as the errors allow; a
swap shows as a jump of many px, while a turn of the head by 60 degrees shows as less than 1.

Source: Tomasi & Kanade 1992 (factorisation of image streams), with Cauchy's weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import Roto
from laikaroto.tracking.settle import fit_affine

_RANK = 3
_ROUNDS = 25
#: With fewer poses than this a stiff head cannot be told from a face that changes: the mean
#: form of all poses, moved by an affine map, stands in.
_LEAST_POSES = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadMotion:
    """All drawings of a shot over its poses (a hold is one pose), and the stiff head in them.

    Attributes:
        poses: frames of each pose, ascending.
        pose_of: number of the pose of each frame.
        parts: where each shape and tracking point lies among the points: a tracking point is
            one point without tangents.
        values: (Q, P, 6) control points as drawn, plate px; NaN where there is none.
        stiff: (Q, P, 2) where the points would be if the head wore its mean face, plate px.
        error_px: (P,) the usual expected error of each point's shape, plate px.
    """

    poses: tuple[tuple[int, ...], ...]
    pose_of: Mapping[int, int]
    parts: Mapping[str, slice]
    values: FloatArray
    stiff: FloatArray
    error_px: FloatArray

    def form(self, part: str) -> FloatArray:
        """(Q, N, 2) what the drawings of a part have beyond the stiff head, px of each pose."""
        where = self.parts[part]
        return np.asarray(self.values[:, where, :2] - self.stiff[:, where])

    def turns(self, source: Sequence[int], target: Sequence[int]) -> FloatArray:
        """(B, 2, 2) linear maps that carry offsets from poses to others, pair by pair."""
        scale = np.broadcast_to(self.error_px, (len(source), len(self.error_px)))
        fitted = fit_affine(self.stiff[list(source)], self.stiff[list(target)], scale)
        return np.asarray(fitted[:, :, :2])


def head_motion(roto: Roto) -> HeadMotion:
    """Find the head's motion from the drawings of a shot.

    Args:
        roto: as the model drew it. Frames on which a shape or tracking point is not drawn take
            no part where it is concerned.
    """
    poses = _poses(roto)
    pose_of = {frame: i for i, frames in enumerate(poses) for frame in frames}
    parts = _parts(roto)
    count = max((part.stop for part in parts.values()), default=0)
    values = np.full((len(poses), count, 6), np.nan)
    for name, part in parts.items():
        drawn = _drawn(roto, name)
        for i, frames in enumerate(poses):
            points = drawn.get(frames[0])
            if points is not None and len(points) == part.stop - part.start:
                values[i, part] = points
    error_px = _usual_errors(roto, parts, count)
    return HeadMotion(
        poses=poses,
        pose_of=pose_of,
        parts=parts,
        values=values,
        stiff=_stiff(values[..., :2], error_px),
        error_px=error_px,
    )


def _poses(roto: Roto) -> tuple[tuple[int, ...], ...]:
    """Frames of each pose: a hold is one, also where other frames lie between."""
    poses: dict[int, list[int]] = {}
    for frame in sorted(roto.frames):
        origin = roto.frames[frame].hold_of
        poses.setdefault(frame if origin is None else origin, []).append(frame)
    return tuple(tuple(frames) for frames in poses.values())


def _parts(roto: Roto) -> dict[str, slice]:
    found: dict[str, slice] = {}
    start = 0
    for name in roto.tracks:
        found[name] = slice(start, start + 1)
        start += 1
    for name, shape in roto.shapes.items():
        counts = [len(entry.points) for entry in shape.frames.values()]
        count = max(set(counts), key=counts.count, default=0)
        found[name] = slice(start, start + count)
        start += count
    return found


def _drawn(roto: Roto, name: str) -> dict[int, FloatArray]:
    if name in roto.shapes:
        return {frame: entry.points for frame, entry in roto.shapes[name].frames.items()}
    return {
        frame: np.array([[*entry.xy, 0.0, 0.0, 0.0, 0.0]])
        for frame, entry in roto.tracks[name].items()
    }


def _usual_errors(roto: Roto, parts: Mapping[str, slice], count: int) -> FloatArray:
    """(P,) median expected error of each shape; tracking points get that of all shapes."""
    width = roto.plate.width
    said = {
        name: [e.expected_error_px for e in shape.frames.values() if e.expected_error_px]
        for name, shape in roto.shapes.items()
    }
    everything = [value for values in said.values() for value in values]
    usual = float(np.median(everything)) if everything else width / 1280
    errors = np.full(count, usual)
    for name, values in said.items():
        if values:
            errors[parts[name]] = float(np.median(values))
    return np.asarray(np.maximum(errors, 0.1 * width / 1280))


def _stiff(xy: FloatArray, error_px: FloatArray) -> FloatArray:
    """(Q, P, 2) the stiff head: the best space of four dimensions through the drawings."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(xy).all(axis=-1))
    if not known.any():
        return np.zeros_like(xy)
    centre = np.stack([np.median(row[k], axis=0) if k.any() else np.zeros(2)
                       for row, k in zip(xy, known, strict=True)])[:, None]  # fmt: skip
    flat = np.where(known[..., None], xy - centre, 0.0)
    form = _first_form(flat)
    weight: FloatArray = known.astype(np.float64)
    view = np.zeros((len(xy), _RANK + 1, 2))
    for _ in range(_ROUNDS):
        padded = np.concatenate([form, np.ones((len(form), 1))], axis=1)
        view = _least_squares(np.broadcast_to(padded, (len(xy), *padded.shape)), flat, weight)
        misfit = ((padded @ view - flat) ** 2).sum(-1)
        weight = np.asarray(known / (1.0 + misfit / (2.0 * error_px**2)))
        form = _least_squares(
            np.broadcast_to(
                view[:, :_RANK].transpose(0, 2, 1).reshape(-1, _RANK),
                (len(form), 2 * len(xy), _RANK),
            ),
            (flat - view[:, _RANK][:, None]).transpose(1, 0, 2).reshape(len(form), -1, 1),
            np.repeat(weight.T, 2, axis=1),
        )[..., 0]
    padded = np.concatenate([form, np.ones((len(form), 1))], axis=1)
    return np.asarray(padded @ view + centre)


def _first_form(flat: FloatArray) -> FloatArray:
    """(P, 3) a form to start from: depth from how the points move against one another."""
    rows = flat.transpose(0, 2, 1).reshape(-1, flat.shape[1])
    _, _, forms = np.linalg.svd(rows, full_matrices=False)
    rank = min(_RANK, len(forms)) if len(flat) >= _LEAST_POSES else min(2, len(forms))
    first = np.zeros((flat.shape[1], _RANK))
    first[:, :rank] = forms[:rank].T * np.sqrt(flat.shape[1])
    return first


def _least_squares(left: FloatArray, right: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted solutions (B, K, M) of left (B, N, K) · x = right (B, N, M)."""
    square = np.einsum("bni,bn,bnj->bij", left, weight, left)
    ridge = 1e-6 * np.trace(square, axis1=1, axis2=2) + 1e-9
    square += ridge[:, None, None] * np.eye(square.shape[-1])
    return np.linalg.solve(square, np.einsum("bni,bn,bnm->bim", left, weight, right))
