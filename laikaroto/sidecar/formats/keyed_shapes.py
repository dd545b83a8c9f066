"""All shapes of a roto as a program that interpolates gets them: keys, and when each is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from laikaroto.coords import FloatArray
from laikaroto.shapes.records import Roto, TrackFrame
from laikaroto.sidecar.formats.keyed import keyed_points, visibility_steps
from laikaroto.sidecar.formats.registry import WriteOptions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyedShape:
    """A shape as a program that interpolates gets it.

    Attributes:
        name: of the shape.
        closed: whether the last point joins the first.
        keys: frames, ascending, at least one.
        points: (K, N, 6) of each key, plate px, tangents relative.
        seen: frames from which on it can be seen (True) or not, each a change; the first is the
            plate's first frame.
    """

    name: str
    closed: bool
    keys: tuple[int, ...]
    points: FloatArray
    seen: tuple[tuple[int, bool], ...]


def keyed_shapes(roto: Roto, options: WriteOptions, *, tool: str) -> list[KeyedShape]:
    """All shapes that are drawn on some frame, in the roto's order.

    Raises:
        UsageError: a shape has no key, or one on a frame it does not have.
        SidecarError: a shape's keys have differing numbers of points; ``tool`` says for what.
    """
    shapes = []
    for name, shape in roto.shapes.items():
        if shape.frames:
            keys, points = keyed_points(name, shape, options.keys, tool=tool)
            shapes.append(
                KeyedShape(
                    name=name,
                    closed=shape.closed,
                    keys=keys,
                    points=points,
                    seen=visibility_steps(shape, roto.plate),
                )
            )
    return shapes


def seen_track(
    track: Mapping[int, TrackFrame], first: int, last: int
) -> tuple[tuple[int, bool], ...]:
    """When a tracking point can be seen, as ``KeyedShape.seen``; gaps count as hidden."""
    states = [(f, f in track and track[f].visible) for f in range(first, last + 1)]
    return tuple(
        (frame, state)
        for k, (frame, state) in enumerate(states)
        if k == 0 or states[k - 1][1] != state
    )


def opacity_keys(changes: tuple[tuple[int, bool], ...]) -> Iterator[tuple[int, int]]:
    """Keys of an opacity of 0 or 1 with one on either side of each change.

    There is no frame between the two, so it is a step whichever way a program interpolates.
    """
    before: tuple[int, bool] | None = None
    for frame, state in changes:
        if before is not None and frame - 1 > before[0]:
            yield frame - 1, int(before[1])
        yield frame, int(state)
        before = frame, state
