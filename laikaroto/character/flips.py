"""Left and right exchanged, shapes drawn backwards: slips that only show against other frames.

Nothing about a face is known: left and right are names that differ by such a word
(``eye_L``/``eye_R``, ``arm.left``/``arm.right``), and right is what most frames do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from laikaroto.character.truth import TruthFault, drawn_frames
from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.records import Roto, ShapeFrame

# A shape or pair seen edge-on says nothing of its sense: below this share of the usual
# distance or area a frame does not vote and is not accused.
_TELLING_SHARE = 0.25
_SIDES = (("L", "R"), ("l", "r"), ("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))


def check_flips(rotos: Sequence[Roto]) -> list[TruthFault]:
    """Find left and right exchanged, and shapes drawn in the opposite sense.

    Every frame of every shot votes: whether the left one of a pair lies left or right of the
    other, which way an open shape runs along the line it mostly lies on, whether a closed one
    runs clockwise. What most frames do is right. The roll of the puppet is taken out first, by
    the points that no exchange of names can move (unpaired points, middles of pairs), so a
    puppet that hangs upside down is not accused. Only visible things count; those seen edge-on
    do not.

    Args:
        rotos: ground truth of all shots of one character.
    """
    views = [
        (roto.shot, frame, _centres(roto, frame)) for roto in rotos for frame in drawn_frames(roto)
    ]
    pairs = left_right_pairs({name for _, _, centres in views for name in centres})
    turns = _rolls([centres for _, _, centres in views], pairs)
    votes: dict[tuple[str, str], list[_Vote]] = {}
    runs: dict[str, list[_Run]] = {}
    by_shot = {roto.shot: roto for roto in rotos}
    for (shot, frame, centres), turn in zip(views, turns, strict=True):
        for left, right in pairs:
            if left in centres and right in centres:
                across = float((centres[left] - centres[right]) @ turn)
                votes.setdefault((f"{left}/{right}", "pair"), []).append((shot, frame, across))
        for name, shape in by_shot[shot].shapes.items():
            value = shape.frames.get(frame)
            # On a turned head the hidden end of an open shape bends back behind the visible one.
            if value is None or not _seen(value):
                continue
            if shape.closed:
                area = _signed_area(value.points)
                votes.setdefault((name, "closed"), []).append((shot, frame, area))
            elif _ends_seen(value):
                run = _Run(shot=shot, frame=frame, points=value.points,
                           ahead=_ahead(value.points, turn))  # fmt: skip
                runs.setdefault(name, []).append(run)
    votes |= {(name, "open"): _along_their_line(cast) for name, cast in runs.items()}
    return [fault for (name, kind), cast in votes.items() for fault in _outvoted(name, kind, cast)]


_Vote = tuple[str, int, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """An open shape on one frame: its points, and its end from its start on the unrolled head."""

    shot: str
    frame: int
    points: FloatArray
    ahead: FloatArray


def _along_their_line(runs: Sequence[_Run]) -> list[_Vote]:
    """How far each frame's shape runs along the line on which start and end mostly lie, px.

    Files do not always say that an end is hidden: behind a turned head it may lie on the other
    side of the start. So a run is measured along the direction that all frames share, and
    frames that follow on each other without a jump from end to start have one vote together.
    """
    line = np.linalg.svd(np.stack([run.ahead for run in runs]), full_matrices=False)[2][0]
    stretches: list[list[_Run]] = []
    for run in runs:
        if stretches and _goes_on(stretches[-1][-1], run):
            stretches[-1].append(run)
        else:
            stretches.append([run])
    found = []
    for stretch in stretches:
        along = float(np.mean([run.ahead @ line for run in stretch]))
        found += [(run.shot, run.frame, along) for run in stretch]
    return found


def _goes_on(one: _Run, other: _Run) -> bool:
    """Whether the other is nearer to the one as it is than turned from end to start."""
    if one.shot != other.shot or one.points.shape != other.points.shape:
        return False
    a, b = (run.points[:, :2] - run.points[:, :2].mean(axis=0) for run in (one, other))
    return bool(np.linalg.norm(a - b) <= np.linalg.norm(a - b[::-1]))


_FLIPS = {
    "pair": ("left and right are exchanged", "exchange the two names on these frames"),
    "open": ("runs from end to start", "reverse it on these frames"),
    "closed": ("runs round the other way", "reverse it on these frames"),
}


def _outvoted(name: str, kind: str, cast: list[_Vote]) -> Iterator[TruthFault]:
    usual = float(np.median([abs(value) for _, _, value in cast]))
    telling = [vote for vote in cast if abs(vote[2]) > _TELLING_SHARE * usual]
    right = 1.0 if sum(np.sign(value) for _, _, value in telling) >= 0 else -1.0
    wrong: dict[str, list[int]] = {}
    for shot, frame, value in telling:
        if value * right < 0:
            wrong.setdefault(shot, []).append(frame)
    text, remedy = _FLIPS[kind]
    for shot, frames in wrong.items():
        yield TruthFault(
            severity="error", shot=shot, what=name, frames=tuple(sorted(frames)),
            text=f"{text}, against {len(telling) - sum(map(len, wrong.values()))} of "
            f"{len(telling)} frames of the training set",
            remedy=remedy,
        )  # fmt: skip


def _centres(roto: Roto, frame: int) -> dict[str, FloatArray]:
    """Where the visible points and shapes of a frame are: (2,) each, plate px."""
    found: dict[str, FloatArray] = {}
    for name, track in roto.tracks.items():
        if (point := track.get(frame)) is not None and point.visible:
            found[name] = np.array(point.xy)
    for name, shape in roto.shapes.items():
        value = shape.frames.get(frame)
        if value is not None and _seen(value):
            found[name] = value.points[:, :2].mean(axis=0)
    return {name: xy for name, xy in found.items() if np.isfinite(xy).all()}


def _seen(value: ShapeFrame) -> bool:
    mostly = value.visible and value.point_visible.mean() > 0.5
    return bool(mostly and np.isfinite(value.points).all())


def _ends_seen(value: ShapeFrame) -> bool:
    return bool(value.point_visible[0] and value.point_visible[-1])


def left_right_pairs(names: Collection[str]) -> list[tuple[str, str]]:
    """Names that differ by a word for left and right only, such as ``eye_L`` and ``eye_R``."""
    found = set()
    for name in names:
        words = re.split(r"([_.-])", name)
        for i, word in enumerate(words):
            for left, right in _SIDES:
                other = "".join([*words[:i], right, *words[i + 1 :]])
                if word == left and other in names:
                    found.add((name, other))
    return sorted(found)


def _rolls(
    views: Sequence[Mapping[str, FloatArray]], pairs: Sequence[tuple[str, str]]
) -> list[FloatArray]:
    """Direction of "across" (2,) in each view, as the puppet rolls; (1, 0) if unknown."""
    paired = {name for pair in pairs for name in pair}
    steady: list[dict[str, FloatArray]] = []
    for view in views:
        points = {name: xy for name, xy in view.items() if name not in paired}
        points |= {
            f"{left}/{right}": (view[left] + view[right]) / 2
            for left, right in pairs
            if left in view and right in view
        }
        steady.append(points)
    known = Counter(name for points in steady for name in points)
    reference = max(steady, key=lambda points: sum(known[name] for name in points), default={})
    return [_across(reference, points) for points in steady]


def _across(reference: Mapping[str, FloatArray], points: Mapping[str, FloatArray]) -> FloatArray:
    shared = sorted(reference.keys() & points.keys())
    if len(shared) < 2:
        return np.array([1.0, 0.0])
    a = np.array([reference[name] for name in shared])
    b = np.array([points[name] for name in shared])
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    # The best rotation between two point sets in the plane, in closed form.
    turn = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
    return np.array([np.cos(turn), np.sin(turn)])


def _ahead(points: FloatArray, turn: FloatArray) -> FloatArray:
    """From start to end of an open shape, (2,) px across and down the unrolled head."""
    ahead = points[-1, :2] - points[0, :2]
    return np.array([ahead @ turn, ahead @ [-turn[1], turn[0]]])


def _signed_area(points: FloatArray) -> float:
    """Of a closed shape, px²; positive is clockwise on screen."""
    x, y = sample(points, closed=True, per_segment=4).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
