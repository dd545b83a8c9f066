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

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import Roto
from laikaroto.tracking.settle import fit_affine

_ROUNDS = 25
#: What a hidden point counts, of a visible one.
_HIDDEN = 0.05
#: Depth is looked for in shots of at least this many poses,
_LEAST_POSES = 6
#: in which the head turns by at least 14 degrees (1 - cos),
_LEAST_TURN = 0.03
#: and is believed where at least this share of the points takes part in it.
_LEAST_SPREAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadMotion:
    """All drawings of a shot over its poses (a hold is one pose), and the stiff head in them.

    Attributes:
        poses: frames of each pose, ascending.
        pose_of: number of the pose of each frame.
        parts: where each shape and tracking point lies among the points: a tracking point is
            one point without tangents.
        values: (Q, P, 6) control points as drawn, plate px; NaN where there is none.
        seen: (Q, P) which points are drawn as visible: hidden ones are guesses.
        stiff: (Q, P, 2) where the points would be if the head wore its mean face, plate px.
        error_px: (P,) the usual expected error of each point's shape, plate px.
    """

    poses: tuple[tuple[int, ...], ...]
    pose_of: Mapping[int, int]
    parts: Mapping[str, slice]
    values: FloatArray
    seen: NDArray[np.bool_]
    stiff: FloatArray
    error_px: FloatArray
    _turns: dict[int, FloatArray] = field(default_factory=dict)

    def form(self, part: str) -> FloatArray:
        """(Q, N, 2) what the drawings of a part have beyond the stiff head, px of each pose."""
        where = self.parts[part]
        return np.asarray(self.values[:, where, :2] - self.stiff[:, where])

    def turns(self, pose: int) -> FloatArray:
        """(Q, 2, 2) linear maps that carry offsets from one pose to every pose."""
        if pose not in self._turns:  # every part of a shot asks for the same ones
            source = np.broadcast_to(self.stiff[pose], self.stiff.shape)
            scale = np.broadcast_to(self.error_px, self.stiff.shape[:2])
            self._turns[pose] = np.asarray(fit_affine(source, self.stiff, scale)[:, :, :2])
        return self._turns[pose]


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
    seen = np.zeros((len(poses), count), dtype=np.bool_)
    for name, part in parts.items():
        drawn = _drawn(roto, name)
        for i, frames in enumerate(poses):
            points, visible = drawn.get(frames[0], (np.zeros((0, 6)), np.zeros(0, dtype=np.bool_)))
            if len(points) and len(points) == part.stop - part.start:
                values[i, part], seen[i, part] = points, visible
    error_px = _usual_errors(roto, parts, count)
    return HeadMotion(
        poses=poses,
        pose_of=pose_of,
        parts=parts,
        values=values,
        seen=seen,
        stiff=_stiff(values[..., :2], seen, error_px),
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


def _drawn(roto: Roto, name: str) -> dict[int, tuple[FloatArray, NDArray[np.bool_]]]:
    """Control points and which of them are visible, by frame."""
    if name in roto.shapes:
        return {
            frame: (entry.points, np.asarray(entry.point_visible & entry.visible))
            for frame, entry in roto.shapes[name].frames.items()
        }
    return {
        frame: (np.array([[*entry.xy, 0.0, 0.0, 0.0, 0.0]]), np.array([entry.visible]))
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


def _stiff(xy: FloatArray, seen: NDArray[np.bool_], error_px: FloatArray) -> FloatArray:
    """(Q, P, 2) the stiff head: flat first, and with depth where the head turns enough to show it.

    On a still head the largest motion is that of the face, and would be taken for depth.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(xy).all(axis=-1))
    if not known.any():
        return np.zeros_like(xy)
    centre = np.stack([np.median(row[k], axis=0) if k.any() else np.zeros(2)
                       for row, k in zip(xy, known, strict=True)])[:, None]  # fmt: skip
    flat = np.where(known[..., None], xy - centre, 0.0)
    # an outline to start from: the pose that most points are drawn on, the middle one of them
    fullest = np.flatnonzero(known.sum(axis=1) == known.sum(axis=1).max())
    trust = np.where(known, np.where(seen, 1.0, _HIDDEN), 0.0)
    form, view = _alternate(flat[fullest[len(fullest) // 2]], flat, trust, error_px)
    if len(flat) >= _LEAST_POSES and _turn(view) > _LEAST_TURN:
        depth = _depth(flat - _project(form, view), known & seen, error_px)
        if _spread(depth) > _LEAST_SPREAD:
            form, view = _alternate(np.column_stack([form, depth]), flat, trust, error_px)
    return np.asarray(_project(form, view) + centre)


def _project(form: FloatArray, view: FloatArray) -> FloatArray:
    """A form (P, K) seen by views (Q, K+1, 2): (Q, P, 2)."""
    return np.asarray(np.column_stack([form, np.ones(len(form))]) @ view)


def _alternate(
    form: FloatArray, flat: FloatArray, trust: FloatArray, error_px: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Views of a form, the form of the views, and so on: form (P, K) and views (Q, K+1, 2)."""
    rank, poses, points = form.shape[1], len(flat), len(form)
    weight = trust
    view = np.zeros((poses, rank + 1, 2))
    for _ in range(_ROUNDS):
        padded = np.column_stack([form, np.ones(points)])
        view = _least_squares(np.broadcast_to(padded, (poses, *padded.shape)), flat, weight)
        misfit = ((padded @ view - flat) ** 2).sum(-1)
        weight = np.asarray(trust / (1.0 + misfit / (2.0 * error_px**2)))  # Cauchy's weights
        axes = view[:, :rank].transpose(0, 2, 1).reshape(-1, rank)
        form = _least_squares(
            np.broadcast_to(axes, (points, 2 * poses, rank)),
            (flat - view[:, rank][:, None]).transpose(1, 0, 2).reshape(points, -1, 1),
            np.repeat(weight.T, 2, axis=1),
        )[..., 0]
    return form, view


def _turn(view: FloatArray) -> float:
    """How much the head turns out of the picture over the shot: 1 - cos of the angle, about."""
    linear = view[:, :2]
    # against the middle pose: a form is only known up to an affine map
    base = linear[len(linear) // 2]
    if abs(np.linalg.det(base)) < 1e-9:
        return 0.0
    sizes = np.linalg.svd(np.linalg.solve(base, linear), compute_uv=False)
    ratio = sizes[:, 1] / np.maximum(sizes[:, 0], 1e-9)
    return float(1.0 - np.quantile(ratio, 0.1))


def _depth(rest: FloatArray, known: NDArray[np.bool_], error_px: FloatArray) -> FloatArray:
    """(P,) what moves alike beyond an affine map, large moves of few points clipped."""
    length = np.linalg.norm(rest, axis=-1)
    if not known.any():
        return np.zeros(rest.shape[1])
    most = np.maximum(2.0 * np.median(length[known]), 2.0 * float(np.median(error_px)))
    clipped = rest * np.minimum(1.0, most / np.maximum(length, 1e-9))[..., None]
    rows = np.where(known[..., None], clipped, 0.0).transpose(0, 2, 1).reshape(-1, rest.shape[1])
    _, sizes, forms = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(forms[0] * sizes[0] / np.sqrt(len(rest)))


def _spread(depth: FloatArray) -> float:
    """Share of the points that take part in a motion: 1 all alike, 1/P a single one."""
    square = depth**2
    return float(square.sum() ** 2 / np.maximum((square**2).sum() * len(depth), 1e-12))


def _least_squares(left: FloatArray, right: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted solutions (B, K, M) of left (B, N, K) · x = right (B, N, M)."""
    square = np.einsum("bni,bn,bnj->bij", left, weight, left)
    ridge = 1e-6 * np.trace(square, axis1=1, axis2=2) + 1e-9
    square += ridge[:, None, None] * np.eye(square.shape[-1])
    return np.linalg.solve(square, np.einsum("bni,bn,bnm->bim", left, weight, right))
