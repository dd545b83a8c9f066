"""Which frames are worst and why, and which new frame would teach most.

A frame teaches much if the model expects to be wrong on it, if its pose is unlike those that were
learned, and if many other frames are like it: one odd frame alone helps nobody. So frames are
chosen one after another, each the one that brings most of the *uncovered error* near to a known
pose: the sum over all frames of expected error times distance to the nearest known pose. This is
greedy facility location; as a way to choose what to label it is known as core-set selection (Sener
& Savarese, ICLR 2018); the weight by expected error is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.shapes.records import Roto
from laikaroto.training.poses import distances, lay_over, mean_pose

#: Frames that are compared with one another; more would not fit into memory.
MOST_CANDIDATES = 2000
#: A cause is named if it is this much above the usual.
_UNUSUAL = 1.3
_MOSTLY = 0.6
_MANY_HIDDEN = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """Poses (N, P, 2) of frames, and the shot and frame of each."""

    xy: FloatArray
    frames: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A predicted frame: its points xy (P, 2), and the expected errors of its visible shapes."""

    shot: str
    version: str
    frame: int
    xy: FloatArray
    expected_px: float
    worst: tuple[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A frame to rotoscope next.

    Attributes:
        shot, version, frame: which, and which published version it was looked at in.
        expected_px: mean expected error of its visible shapes; worst: the worst of them.
        novelty: distance to the nearest learned pose, as a fraction of the head's side.
        nearest: shot and frame of that pose.
        stands_for: how many of the frames looked at it is nearer to than all known ones.
        share: of the uncovered error that it covers, 0-1; what earlier suggestions cover is
            not counted again.
    """

    shot: str
    version: str
    frame: int
    expected_px: float
    worst: tuple[str, float]
    novelty: float
    nearest: tuple[str, int]
    stands_for: int
    share: float

    def why(self) -> tuple[str, ...]:
        """Reasons for a person."""
        shot, frame = self.nearest
        others = self.stands_for - 1
        return (
            f"expected error {self.expected_px:.2f} px, most on {self.worst[0]} "
            f"({self.worst[1]:.2f} px)",
            f"pose {100 * self.novelty:.1f} % of the head's size from the nearest learned one "
            f"({shot} frame {frame})",
            f"like {others} other frame{'s' if others != 1 else ''}: covers "
            f"{100 * self.share:.0f} % of the expected error on poses not learned",
        )


def known_poses(rotos: Sequence[Roto], template: CharacterTemplate) -> Poses:
    """The poses of all frames of the ground truth on which every point is known."""
    found = []
    for roto in rotos:
        for frame in sorted(roto.frames):
            values, _, known = pack(roto, template, frame)
            if known.all():
                found.append((values[:, :2], (roto.shot, frame)))
    xy = np.stack([pose for pose, _ in found]) if found else np.zeros((0, 0, 2))
    return Poses(xy, tuple(place for _, place in found))


def candidates(
    roto: Roto, template: CharacterTemplate, drawn: AbstractSet[int]
) -> Iterator[Candidate]:
    """Frames of a published version that could be rotoscoped.

    Args:
        roto: the version.
        template: of the character.
        drawn: frames of the shot that are ground truth already; they are left out, as are
            repeats of held frames and frames that show no shape.

    Raises:
        SidecarError: the version has other points than the template.
    """
    counts = {
        name: {len(at.points) for at in shape.frames.values()}
        for name, shape in roto.shapes.items()
    }
    wanted = {shape.name: {shape.count} for shape in template.shapes}
    if counts != wanted or not set(template.tracks) <= set(roto.tracks):
        raise SidecarError(
            f"shot {roto.shot} {roto.version}: was made with other shapes or points than "
            f"{template.character} has now; run the shot again"
        )
    for frame, note in sorted(roto.frames.items()):
        if frame in drawn or note.hold_of is not None:
            continue
        expected = {
            name: at.expected_error_px
            for name, shape in roto.shapes.items()
            if (at := shape.frames.get(frame)) is not None
            and at.visible
            and at.expected_error_px is not None
        }
        values, _, known = pack(roto, template, frame)
        if expected and known.all():
            worst = max(expected, key=lambda name: expected[name])
            mean = sum(expected.values()) / len(expected)
            yield Candidate(
                roto.shot, roto.version, frame, values[:, :2], mean, (worst, expected[worst])
            )


def suggest(known: Poses, frames: Sequence[Candidate], count: int) -> list[Suggestion]:
    """The frames that would teach most, the best first.

    Args:
        known: poses that were learned; at least one.
        frames: those to choose from.
        count: how many are wanted; fewer are given where nothing is left to learn.
    """
    if not frames:
        return []
    reference = mean_pose(known.xy)
    learned = lay_over(known.xy, reference)
    poses = lay_over(np.stack([frame.xy for frame in frames]), reference)
    apart = distances(poses, learned)
    nearest, novelty = apart.argmin(axis=1), apart.min(axis=1)
    errors = np.array([frame.expected_px for frame in frames])
    chosen = np.argsort(-(errors * novelty), kind="stable")[:MOST_CANDIDATES]
    between = distances(poses[chosen], poses[chosen])
    np.fill_diagonal(between, 0.0)  # rounding must not keep a frame from itself
    uncovered, weight = novelty[chosen].copy(), errors[chosen]
    total = float((weight * uncovered).sum())
    found: list[Suggestion] = []
    while len(found) < min(count, len(chosen)) and total > 0:
        gains = (weight * np.maximum(uncovered - between, 0.0)).sum(axis=1)
        best = int(gains.argmax())
        if gains[best] <= 1e-9 * total:
            break
        row = int(chosen[best])
        frame = frames[row]
        found.append(
            Suggestion(
                shot=frame.shot,
                version=frame.version,
                frame=frame.frame,
                expected_px=frame.expected_px,
                worst=frame.worst,
                novelty=float(novelty[row]),
                nearest=known.frames[int(nearest[row])],
                stands_for=int((between[best] < uncovered).sum()),
                share=float(gains[best]) / total,
            )
        )
        uncovered = np.minimum(uncovered, between[best])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A held-out frame: predicted and true points (P, 2), and which of them count."""

    predicted: FloatArray
    true: FloatArray
    seen: NDArray[np.bool_]
    known: NDArray[np.bool_]


def causes(frames: Sequence[Measured], known: Poses) -> list[tuple[str, ...]]:
    """For each held-out frame, what sets it apart from the others: why it may be wrong.

    Args:
        frames: of all held-out shots.
        known: poses that were learned when they were predicted; may be empty.
    """
    novelty = _novelty(frames, known)
    usual = float(np.median([apart for apart, _ in novelty if apart is not None] or [0.0]))
    found = []
    for frame, (apart, nearest) in zip(frames, novelty, strict=True):
        reasons = []
        offsets = (frame.predicted - frame.true)[frame.seen]
        if len(offsets) > 1:
            lengths = np.hypot(*offsets.T)
            x, y = offsets.mean(axis=0)
            if np.hypot(x, y) > _MOSTLY * lengths.mean():
                reasons.append(f"all of it is shifted by ({x:+.1f}, {y:+.1f}) px")
        if apart is not None and nearest is not None and apart > _UNUSUAL * usual:
            shot, number = nearest
            reasons.append(
                f"pose {100 * apart:.1f} % of the head's size from the nearest learned one "
                f"({shot} frame {number}); usual here: {100 * usual:.1f} %"
            )
        hidden = int((frame.known & ~frame.seen).sum())
        if hidden > _MANY_HIDDEN * frame.known.sum():
            reasons.append(f"{hidden} of {int(frame.known.sum())} points are hidden")
        found.append(tuple(reasons))
    return found


def _novelty(
    frames: Sequence[Measured], known: Poses
) -> list[tuple[float | None, tuple[str, int] | None]]:
    if not known.frames:
        return [(None, None)] * len(frames)
    reference = mean_pose(known.xy)
    learned = lay_over(known.xy, reference)
    found: list[tuple[float | None, tuple[str, int] | None]] = []
    for frame in frames:
        if not frame.known.all():
            found.append((None, None))
            continue
        apart = distances(lay_over(frame.true[None], reference), learned)[0]
        found.append((float(apart.min()), known.frames[int(apart.argmin())]))
    return found
