"""Checks of one shot's ground truth: what a character cannot, or should not, be learned from.

Faults are found, never mended. What only shows between shots is in ``character.flips``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from laikaroto.character.template import CharacterTemplate
from laikaroto.frames import format_frames
from laikaroto.shapes.records import Roto, Shape, ShapeFrame

Severity = Literal["error", "warning"]

# A tangent this many times longer than its shape is wide is a slip, not a bend.
_LONGEST_TANGENT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFault:
    """One thing that is wrong with the ground truth of a shot.

    Attributes:
        severity: an ``error`` spoils learning; a ``warning`` may be as it should be.
        what: the shape, tracking point or pair it is about; "" for the shot as a whole.
        frames: where; empty when it is not about certain frames.
        text: what is wrong: wanted and got.
        remedy: what to do about it.
    """

    severity: Severity
    shot: str
    what: str
    frames: tuple[int, ...]
    text: str
    remedy: str

    def __str__(self) -> str:
        """One line for a person."""
        where = f" frames {format_frames(self.frames)}" if self.frames else ""
        what = f" {self.what!r}" if self.what else ""
        return f"{self.severity}: shot {self.shot}{what}{where}: {self.text}; {self.remedy}"


def check_truth(
    roto: Roto,
    template: CharacterTemplate,
    *,
    plate_frames: Collection[int] | None,
    plate_size: tuple[int, int] | None = None,
) -> list[TruthFault]:
    """Check the ground truth of one shot by itself.

    Args:
        roto: the ground truth.
        template: what the character's shapes and points have to be.
        plate_frames: frames that are on disk; None: not looked at.
        plate_size: width and height of the plates; None: not looked at.

    Returns:
        All faults, errors first. ``flips.check_flips`` finds those that only show between shots.
    """
    faults = list(_find_mismatches(roto, template))
    for name, shape in roto.shapes.items():
        faults += _check_shape(roto, name, shape)
    faults += _check_tracks(roto)
    faults += _check_frames(roto, plate_frames)
    size = (roto.plate.width, roto.plate.height)
    if plate_size is not None and size != plate_size:
        faults.append(
            TruthFault(
                severity="error",
                shot=roto.shot,
                what="",
                frames=(),
                text=f"drawn on {size[0]}x{size[1]}, the plates are "
                f"{plate_size[0]}x{plate_size[1]}",
                remedy="draw it on the full-size plates",
            )
        )
    return sorted(faults, key=lambda fault: fault.severity)


def drawn_frames(roto: Roto) -> tuple[int, ...]:
    """Frames on which any shape or tracking point is given, ascending."""
    frames = {frame for shape in roto.shapes.values() for frame in shape.frames}
    return tuple(sorted(frames.union(*roto.tracks.values())))


def template_differences(roto: Roto, template: CharacterTemplate) -> list[str]:
    """How a roto differs from a template in names, closedness, corners and point counts."""
    return [
        f"{fault.what!r}: {fault.text}" if fault.what else fault.text
        for fault in _find_mismatches(roto, template)
    ]


def _find_mismatches(roto: Roto, template: CharacterTemplate) -> Iterator[TruthFault]:
    def fault(what: str, text: str, frames: Sequence[int] = ()) -> TruthFault:
        return TruthFault(
            severity="error", shot=roto.shot, what=what, frames=tuple(frames), text=text,
            remedy="redraw it like the template",
        )  # fmt: skip

    shapes = {shape.name: shape for shape in template.shapes}
    for kind, wanted, got in (
        ("shape", set(shapes), set(roto.shapes)),
        ("tracking point", set(template.tracks), set(roto.tracks)),
    ):
        # Artists' files seldom have tracking points: none at all says nothing of them.
        if got or kind == "shape":
            yield from (fault(name, f"{kind} is missing") for name in sorted(wanted - got))
        yield from (fault(name, f"{kind} is not in the template") for name in sorted(got - wanted))
    for name, shape in roto.shapes.items():
        if (like := shapes.get(name)) is None:
            continue
        if shape.closed != like.closed:
            form = {True: "closed", False: "open"}
            yield fault(name, f"wanted it {form[like.closed]}, got it {form[shape.closed]}")
        if tuple(sorted(shape.corners)) != tuple(sorted(like.corners)):
            yield fault(name, f"wanted corners {list(like.corners)}, got {list(shape.corners)}")
        for count, frames in _by_count(shape).items():
            if count != like.count:
                yield fault(name, f"wanted {like.count} points, got {count}", frames)


def _by_count(shape: Shape) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for frame, value in sorted(shape.frames.items()):
        found.setdefault(len(value.points), []).append(frame)
    return found


def _check_shape(roto: Roto, name: str, shape: Shape) -> Iterator[TruthFault]:
    counts = _by_count(shape)
    if len(counts) > 1:
        text = ", ".join(f"{n} on {format_frames(f)}" for n, f in sorted(counts.items()))
        usual = max(counts, key=lambda count: len(counts[count]))
        yield TruthFault(
            severity="error", shot=roto.shot, what=name,
            frames=tuple(sorted(f for n, fs in counts.items() if n != usual for f in fs)),
            text=f"changes its number of points: {text}",
            remedy="redraw it with the same points throughout",
        )  # fmt: skip

    def where(test: Callable[[ShapeFrame], bool]) -> tuple[int, ...]:
        return tuple(frame for frame, value in sorted(shape.frames.items()) if test(value))

    nonfinite = where(lambda value: not np.isfinite(value.points).all())
    finite = {frame: v for frame, v in shape.frames.items() if frame not in nonfinite}
    shape = Shape(closed=shape.closed, frames=finite)
    width, height = roto.plate.width, roto.plate.height
    checks: tuple[tuple[Severity, tuple[int, ...], str, str], ...] = (
        ("error", nonfinite, "holds numbers that are not finite", "export it again"),
        (
            "error",
            where(_has_wild_tangent),
            f"a tangent is over {_LONGEST_TANGENT:g} times as long as the shape is wide",
            "pull it back or redraw the point",
        ),
        (
            "warning",
            where(lambda value: _leaves(value, width, height)),
            f"visible points lie outside the {width}x{height} frame",
            "fine where the puppet leaves the frame",
        ),
    )
    for severity, frames, text, remedy in checks:
        if frames:
            yield TruthFault(
                severity=severity,
                shot=roto.shot,
                what=name,
                frames=frames,
                text=text,
                remedy=remedy,
            )


def _has_wild_tangent(value: ShapeFrame) -> bool:
    xy = value.points[:, :2]
    across = float(np.hypot(*np.ptp(xy, axis=0)))
    lengths = np.hypot(value.points[:, [2, 4]], value.points[:, [3, 5]])
    # A shape closed to a dot may keep tangents of a few pixels.
    return bool((lengths > _LONGEST_TANGENT * max(across, 5.0)).any())


def _leaves(value: ShapeFrame, width: int, height: int) -> bool:
    x, y = value.points[value.point_visible, :2].T
    outside = (x < 0) | (y < 0) | (x > width) | (y > height)
    return bool(value.visible and outside.any())


def _check_tracks(roto: Roto) -> Iterator[TruthFault]:
    width, height = roto.plate.width, roto.plate.height
    for name, track in roto.tracks.items():
        nonfinite = tuple(f for f, p in sorted(track.items()) if not np.isfinite(p.xy).all())
        outside = tuple(
            f
            for f, p in sorted(track.items())
            if p.visible and not (0 <= p.xy[0] <= width and 0 <= p.xy[1] <= height)
        )
        if nonfinite:
            yield TruthFault(
                severity="error", shot=roto.shot, what=name, frames=nonfinite,
                text="holds numbers that are not finite", remedy="export it again",
            )  # fmt: skip
        if outside := tuple(f for f in outside if f not in nonfinite):
            yield TruthFault(
                severity="warning", shot=roto.shot, what=name, frames=outside,
                text=f"visible point lies outside the {width}x{height} frame",
                remedy="fine where the puppet leaves the frame",
            )  # fmt: skip


def _check_frames(roto: Roto, plate_frames: Collection[int] | None) -> Iterator[TruthFault]:
    drawn = {name: set(shape.frames) for name, shape in roto.shapes.items()}
    drawn |= {name: set(track) for name, track in roto.tracks.items()}
    everything = set(drawn_frames(roto))
    if not everything:
        yield TruthFault(
            severity="error", shot=roto.shot, what="", frames=(),
            text="holds no frame at all", remedy="draw at least one frame",
        )  # fmt: skip
    for name, frames in drawn.items():
        if missing := everything - frames:
            yield TruthFault(
                severity="warning", shot=roto.shot, what=name, frames=tuple(sorted(missing)),
                text="is not there on frames that others have",
                remedy="draw it, or mark it 'visible': false where it is hidden",
            )  # fmt: skip
    plate = roto.plate
    if beyond := {frame for frame in everything if not plate.first <= frame <= plate.last}:
        yield TruthFault(
            severity="error", shot=roto.shot, what="", frames=tuple(sorted(beyond)),
            text=f"drawn beyond its own plate range {plate.first}-{plate.last}",
            remedy="mend plate.first and plate.last, or remove these frames",
        )  # fmt: skip
    if plate_frames is not None and (gone := everything - set(plate_frames)):
        yield TruthFault(
            severity="error", shot=roto.shot, what="", frames=tuple(sorted(gone)),
            text="drawn, but there is no plate",
            remedy="put the plates back or remove these frames",
        )  # fmt: skip
