"""What every writer of keyed shapes needs from a roto: points at the keys, and when it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.records import PlateInfo, Shape


def keyed_points(
    name: str, shape: Shape, keys: Mapping[str, tuple[int, ...]], *, tool: str
) -> tuple[tuple[int, ...], FloatArray]:
    """Frames to key and the control points there: (K,) and (K, N, 6), plate px.

    Raises:
        UsageError: no keys were chosen for this shape, or one on a frame it does not have.
        SidecarError: it has not the same number of points on all of them.
    """
    frames = tuple(sorted(set(keys.get(name, ()))))
    absent = [frame for frame in frames if frame not in shape.frames]
    if not frames or absent:
        problem = f"keys on frames it does not have: {absent}" if absent else "no keys were chosen"
        raise UsageError(f"shape {name!r}: {problem}; it has {_range(sorted(shape.frames))}")
    counts = {frame: len(shape.frames[frame].points) for frame in frames}
    odd = [frame for frame in frames if counts[frame] != counts[frames[0]]]
    if odd:
        raise SidecarError(
            f"shape {name!r}: {counts[frames[0]]} points on frame {frames[0]}, "
            f"{counts[odd[0]]} on frame {odd[0]}; {tool} wants the same number throughout: "
            "leave these frames out, or redraw them"
        )
    return frames, shape.stack(frames)


def visibility_steps(shape: Shape, plate: PlateInfo) -> tuple[tuple[int, bool], ...]:
    """Frames on which a shape appears or vanishes, the plate's first always among them.

    A frame the shape does not have counts as hidden.
    """
    frames = range(min([plate.first, *shape.frames]), max([plate.last, *shape.frames]) + 1)
    seen = [frame in shape.frames and shape.frames[frame].visible for frame in frames]
    changes = [
        (frame, after) for frame, (before, after) in zip(frames[1:], pairwise(seen), strict=True)
        if before != after
    ]  # fmt: skip
    return ((frames[0], seen[0]), *changes)


def _range(frames: list[int]) -> str:
    return f"frames {frames[0]} to {frames[-1]}" if frames else "no frames"
