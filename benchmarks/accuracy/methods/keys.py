"""The artist's way: keys every few frames of the very shot, and something in between.

A measure of effort, not of learning: every ``every``-th frame and the last are the truth. In
between, control points and tangents run in straight lines, as roto programs do between keys;
or positions are carried along optical flow, from the key before and from the key after, and
the two are blended by how near each key is. A point of which the two disagree widely (a face
was swapped, something passed in front) runs in a straight line, as it does in a tracker that
was told to give up.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from benchmarks.accuracy.flow import Flow
from benchmarks.accuracy.footage import Shot
from benchmarks.accuracy.method import Task
from laikaroto.character.template import pack, unpack
from laikaroto.coords import FloatArray
from laikaroto.model.crop import box_around
from laikaroto.shapes.records import Roto

_APART = 0.04  # of the head's side: where tracks from both keys differ by more, neither counts


class Keys:
    """See the module."""

    learns = False
    oracles: frozenset[str] = frozenset()

    def __init__(self, task: Task, *, every: int, flow: bool) -> None:
        """Key every ``every``-th frame; with ``flow``, carry positions along it."""
        self.task, self.every, self.flow = task, every, flow
        cv2.setNumThreads(task.threads)

    def fit(self) -> dict[str, Any]:
        """Nothing to learn."""
        return {}

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """Every ``every``-th frame, and the last."""
        return tuple(sorted({*shot.frames[:: self.every], shot.frames[-1]}))

    def predict(self, shot: Shot) -> Roto:
        """Looks at the truth of the keyed frames. Visibility stays as on the key before."""
        template = self.task.footage.template
        keys = self.keyed(shot)
        packed = {key: pack(shot.truth, template, key) for key in keys}
        flow = Flow(shot) if self.flow else None
        values, visible = [packed[keys[0]][0]], [packed[keys[0]][1]]
        for a, b in zip(keys, keys[1:], strict=False):
            between = [frame for frame in shot.frames if a <= frame <= b]
            drawn = straight(packed[a][0], packed[b][0], between)
            if flow is not None:
                drawn = carried(drawn, between, flow)
            values += [*drawn[1:]]
            visible += [packed[a][1]] * (len(between) - 2) + [packed[b][1]]
        return unpack(
            template, shot.name, shot.truth.plate, shot.frames, np.stack(values), np.stack(visible)
        )


def straight(first: FloatArray, last: FloatArray, frames: list[int]) -> FloatArray:
    """Control points (F, P, 6) in straight lines from the first frame to the last."""
    share = (np.array(frames, dtype=np.float64) - frames[0]) / (frames[-1] - frames[0])
    drawn = first + share[:, None, None] * (last - first)
    drawn[0], drawn[-1] = first, last  # exactly
    return drawn


def carried(drawn: FloatArray, frames: list[int], flow: Flow) -> FloatArray:
    """``drawn`` (F, P, 6) with positions carried from both ends where these agree."""
    ahead, back = [drawn[0, :, :2]], [drawn[-1, :, :2]]
    for a, b in zip(frames, frames[1:], strict=False):
        ahead.append(flow.carry(ahead[-1], a, b))
    for a, b in zip(frames[::-1], frames[-2::-1], strict=False):
        back.append(flow.carry(back[-1], a, b))
    forward, backward = np.stack(ahead), np.stack(back[::-1])
    share = (np.array(frames, dtype=np.float64) - frames[0]) / (frames[-1] - frames[0])
    mixed = forward + share[:, None, None] * (backward - forward)
    limit = _APART * box_around(drawn[0, :, :2]).side
    agree = np.linalg.norm(forward - backward, axis=-1, keepdims=True) < limit
    found = drawn.copy()
    found[1:-1, :, :2] = np.where(agree, mixed, drawn[..., :2])[1:-1]
    return found
