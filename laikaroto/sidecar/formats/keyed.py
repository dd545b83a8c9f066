"""What writers have in common: a shape's keys, when it can be seen, numbers as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.shapes.records import Roto, Shape, TrackFrame
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


def keyed_shapes(roto: Roto, options: WriteOptions) -> list[KeyedShape]:
    """All shapes that are drawn on some frame, in the roto's order.

    Raises:
        SidecarError: a shape has no key, a key where it has no points, or keys with differing
            numbers of points; lists all of them.
    """
    shapes, faults = [], []
    for name, shape in roto.shapes.items():
        if not shape.frames:
            continue
        keys = tuple(sorted(options.keys.get(name, ())))
        if fault := _fault(shape, keys):
            faults.append(f"shot {roto.shot!r}, shape {name!r}: {fault}")
            continue
        shapes.append(
            KeyedShape(
                name=name,
                closed=shape.closed,
                keys=keys,
                points=shape.stack(keys),
                seen=seen(shape, roto.plate.first, roto.plate.last),
            )
        )
    if faults:
        raise SidecarError("\n".join(faults))
    return shapes


def _fault(shape: Shape, keys: tuple[int, ...]) -> str | None:
    if not keys:
        return "wanted a frame to key, got none"
    if missing := [frame for frame in keys if frame not in shape.frames]:
        return f"wanted points on every key, got none on frame {missing[0]}"
    first = len(shape.frames[keys[0]].points)
    for frame in keys:
        if (count := len(shape.frames[frame].points)) != first:
            return (
                f"wanted {first} points on every key as on frame {keys[0]}, got {count} on frame "
                f"{frame}; redraw it, or export the two ranges with --frames"
            )
    return None


def seen(shape: Shape, first: int, last: int) -> tuple[tuple[int, bool], ...]:
    """When a shape can be seen: frame and state of each change, beginning with ``first``.

    Frames on which it is not drawn count as hidden.
    """
    entries = shape.frames
    return _changes(lambda frame: frame in entries and entries[frame].visible, first, last)


def seen_track(
    track: Mapping[int, TrackFrame], first: int, last: int
) -> tuple[tuple[int, bool], ...]:
    """As ``seen``, of a tracking point."""
    return _changes(lambda frame: frame in track and track[frame].visible, first, last)


def _changes(state: Callable[[int], bool], first: int, last: int) -> tuple[tuple[int, bool], ...]:
    states = [(frame, state(frame)) for frame in range(first, last + 1)]
    return tuple(
        (frame, on) for k, (frame, on) in enumerate(states) if k == 0 or states[k - 1][1] != on
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


def number(value: float, decimals: int) -> str:
    """A number as text: no exponent, no trailing zeros, never ``-0``."""
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def rounded(values: FloatArray, decimals: int) -> FloatArray:
    """Rounded, and without minus zeros."""
    return np.asarray(np.round(values, decimals) + 0.0)


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """A name that any program accepts for each name: ASCII letters, digits, ``_``; all differ."""
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if re.match(r"[A-Za-z]", plain) else f"s_{plain}"
        unique, count = plain, 1
        while unique.lower() in taken:  # some programs do not tell A from a
            count += 1
            unique = f"{plain}_{count}"
        taken.add(unique.lower())
        given[name] = unique
    return given


def python_text(name: str, document: str) -> str:
    """``name = json.loads(...)`` with a JSON document as ASCII Python strings.

    Python's own quoting, so that nothing in a document can end a string and become code.
    """
    pieces = [document[k : k + 4000] for k in range(0, len(document), 4000)]
    lines = "".join(f"    {ascii(piece)}\n" for piece in pieces)
    return f"{name} = json.loads(\n{lines})\n"
