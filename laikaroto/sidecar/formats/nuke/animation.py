"""Animated numbers of Nuke: keys, and the value on any frame between them.

Inside a Roto's ``curves`` a number is ``v``, or a list of keys
``{time value [left slope, left reach [, right slope, right reach]] [type] [view]}``; in other
knobs it is ``{curve x1001 v v …}``. Between two keys the value runs along a cubic Bezier in the
plane of time and value: a slope is value per frame, a reach of 1 puts the handle at a third of
the way to the other key (then the curve is a cubic Hermite one), 0 puts it on its own key.

Slopes that a file does not give are made as Nuke makes them. What each type of key does was
measured by others in Nuke 17.1 and published with the numbers (``tests/sidecar/formats`` holds
them): 1 holds its value, 2 is straight on both sides, 0 and 256 (unset) are smooth, 3
Catmull-Rom, 4 a spline of continuous curvature, 5 the artist's own slopes; the outer slope of
the first and the last key always leaves the curve without curvature there. Before the first and
after the last key the value stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.sidecar.formats.nuke.script import Tree

SMOOTH, STEP, LINEAR, CATMULL_ROM, CUBIC, BY_HAND = range(6)
#: The type of a key in a file holds how it goes on past the ends in its second byte.
_TYPE_MASK = 255
_LETTERS = {"K": STEP, "L": LINEAR, "S": SMOOTH, "R": CATMULL_ROM, "C": CUBIC}
_BISECTIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key; slopes are None where Nuke is to make them."""

    time: float
    value: float
    kind: int = SMOOTH
    left: float | None = None
    right: float | None = None
    left_reach: float = 1.0
    right_reach: float = 1.0
    view: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Animated:
    """A number over time: a constant, or keys in ascending time."""

    keys: tuple[Key, ...] = ()
    constant: float = 0.0

    @property
    def times(self) -> tuple[float, ...]:
        """When it is keyed."""
        return tuple(key.time for key in self.keys)

    def at(self, frames: FloatArray) -> FloatArray:
        """Values on these frames, (F,)."""
        if not self.keys:
            return np.full(len(frames), self.constant)
        if len(self.keys) == 1:
            return np.full(len(frames), self.keys[0].value)
        return _between(self.keys, np.asarray(frames, dtype=np.float64))


def read_animated(tree: Tree, where: str, views: set[str]) -> Animated:
    """A number of a Roto's ``curves``.

    Args:
        tree: as in the file.
        where: file, node, shape and place, for messages.
        views: receives the names of the views that have keys of their own; only the keys all
            views share are kept, or the first view's where none are shared.

    Raises:
        SidecarError: an expression, not a number, or not finite.
    """
    if not isinstance(tree, list):
        return Animated(constant=number(tree, where))
    if not tree:
        return Animated()
    if isinstance(tree[0], str) and tree[0].startswith("="):
        number(tree[0], where)
    keys = [_read_key(part, where) for part in tree]
    views.update(key.view for key in keys if key.view)
    shared = [key for key in keys if key.view is None]
    if not shared:
        shared = [key for key in keys if key.view == keys[0].view]
    return Animated(_in_order(shared))


def read_curve(tree: Tree, where: str) -> Animated:
    """A number of any other knob: plain, or ``curve`` and its keys.

    Raises:
        SidecarError: an expression, not a number, or not finite.
    """
    if not isinstance(tree, list):
        return Animated(constant=number(tree, where))
    if not tree or tree[0] != "curve":
        return Animated(constant=number(tree[0] if tree else "", where))
    keys: list[Key] = []
    kind, time = SMOOTH, None
    for word in tree[1:]:
        if isinstance(word, float):
            at = _next_time(keys) if time is None else time
            keys.append(Key(time=at, value=number(word, where), kind=kind))
            time = None
        elif isinstance(word, str) and word in _LETTERS:
            kind = _LETTERS[word]
        elif isinstance(word, str) and word[:1] == "x":
            time = _suffix(word, where)
        elif isinstance(word, str) and word[:1] in ("s", "t", "u", "v") and keys:
            keys[-1] = _with_tangent(keys[-1], word[0], _suffix(word, where))
        elif word not in ("i", "I", "k", "l"):
            raise SidecarError(f"{where}: wanted keys, got {word!r}")
    return Animated(_in_order(keys))


def number(tree: Tree, where: str) -> float:
    """A finite number.

    Raises:
        SidecarError: what is there instead, and what to do.
    """
    if isinstance(tree, float):
        if math.isfinite(tree) and abs(tree) < 1e9:
            return tree
        raise SidecarError(f"{where}: wanted a number, got {tree}; set it anew in Nuke")
    if isinstance(tree, str) and tree[:1] in ("=", "["):
        raise SidecarError(
            f"{where}: wanted a number, got the expression {tree[:60]!r}; "
            "bake expressions to keys in Nuke and save again"
        )
    got = "a list" if isinstance(tree, list) else repr(tree[:60])
    raise SidecarError(f"{where}: wanted a number, got {got}")


def _read_key(tree: Tree, where: str) -> Key:
    if not isinstance(tree, list) or len(tree) < 2:
        raise SidecarError(f"{where}: wanted a key {{time value …}}, got {tree!r:.60}")
    parts = list(tree)
    view = None
    if isinstance(parts[-1], str) and not parts[-1].startswith("="):
        view = str(parts.pop())
    values = [number(part, where) for part in parts]
    if len(values) not in (2, 3, 4, 5, 6, 7):
        raise SidecarError(f"{where}: wanted a key of 2 to 7 numbers, got {len(values)}")
    kind = SMOOTH
    if len(values) % 2:  # the type stands last and alone; slopes come in pairs
        kind = int(values.pop()) & _TYPE_MASK
    left, left_reach = values[2:4] if len(values) > 2 else (None, 1.0)
    right, right_reach = values[4:6] if len(values) > 4 else (left, left_reach)
    return Key(
        time=values[0], value=values[1], kind=kind, left=left, right=right,
        left_reach=left_reach, right_reach=right_reach,
        view=None if view in (None, "-") else view,
    )  # fmt: skip


def _next_time(keys: Sequence[Key]) -> float:
    if not keys:
        return 0.0
    step = keys[-1].time - keys[-2].time if len(keys) > 1 else 1.0
    return keys[-1].time + step


def _suffix(word: str, where: str) -> float:
    try:
        return number(float(word[1:]), where)
    except ValueError as error:
        raise SidecarError(f"{where}: wanted a number after {word[0]!r}, got {word!r}") from error


def _with_tangent(key: Key, letter: str, value: float) -> Key:
    slot = {"s": "left", "t": "right", "u": "left_reach", "v": "right_reach"}[letter]
    changes = {slot: value}
    if letter == "s" and key.right is None:
        changes["right"] = value
    fields = {name: getattr(key, name) for name in Key.__slots__}
    return Key(**{**fields, **changes, "kind": BY_HAND})


def _in_order(keys: Sequence[Key]) -> tuple[Key, ...]:
    by_time = {key.time: key for key in keys}
    return tuple(by_time[time] for time in sorted(by_time))


def _between(keys: Sequence[Key], frames: FloatArray) -> FloatArray:
    times = np.array([key.time for key in keys])
    values = np.array([key.value for key in keys])
    kinds = np.array([key.kind for key in keys])
    left, right = _slopes(keys, times, values, kinds)
    reach = np.array([[key.left_reach, key.right_reach] for key in keys])
    at = np.clip(np.searchsorted(times, frames, side="right") - 1, 0, len(keys) - 2)
    span = times[at + 1] - times[at]
    along = np.clip((frames - times[at]) / span, 0.0, 1.0)
    out, into = reach[at, 1] / 3.0, 1.0 - reach[at + 1, 0] / 3.0
    parameter = _bezier_parameter(along, out, into)
    value = _bezier(
        parameter,
        values[at],
        values[at] + right[at] * out * span,
        values[at + 1] - left[at + 1] * (1.0 - into) * span,
        values[at + 1],
    )
    value = np.where((kinds[at] == STEP) & (along < 1.0), values[at], value)
    return np.where(frames <= times[0], values[0], np.where(frames >= times[-1], values[-1], value))


def _slopes(
    keys: Sequence[Key], times: FloatArray, values: FloatArray, kinds: NDArray[np.int_]
) -> tuple[FloatArray, FloatArray]:
    """Left and right slopes of every key, as given or as Nuke makes them: 2 × (K,)."""
    chord = np.diff(values) / np.diff(times)
    before, after = np.r_[chord[0], chord], np.r_[chord, chord[-1]]
    inner = np.zeros(len(keys))
    inner[1:-1] = (values[2:] - values[:-2]) / (times[2:] - times[:-2])
    smooth = np.where(before * after <= 0.0, 0.0, inner)
    bound = 3.0 * np.minimum(abs(before), abs(after))
    smooth = np.clip(smooth, -bound, bound)
    made = np.select(
        [kinds == SMOOTH, kinds == CATMULL_ROM, kinds == CUBIC],
        [smooth, inner, _curvature_slopes(times, values)],
        0.0,
    )
    made[0], made[-1] = chord[0], chord[-1]
    left, right = made.copy(), made.copy()
    for index, key in enumerate(keys):
        if key.kind == LINEAR:
            left[index], right[index] = before[index], after[index]
        elif key.kind != STEP and key.left is not None and key.right is not None:
            left[index], right[index] = key.left, key.right
    if keys[0].kind != LINEAR and keys[0].right is None:
        right[0] = 1.5 * chord[0] - 0.5 * left[1]
    if keys[-1].kind != LINEAR and keys[-1].left is None:
        left[-1] = 1.5 * chord[-1] - 0.5 * right[-2]
    return left, right


def _curvature_slopes(times: FloatArray, values: FloatArray) -> FloatArray:
    """Slopes of the natural cubic spline through the keys (K,): no jump of curvature."""
    span, chord = np.diff(times), np.diff(values) / np.diff(times)
    count = len(times)
    system, wanted = np.zeros((count, count)), np.zeros(count)
    system[0, :2], wanted[0] = (2.0, 1.0), 3.0 * chord[0]
    system[-1, -2:], wanted[-1] = (1.0, 2.0), 3.0 * chord[-1]
    for row in range(1, count - 1):
        a, b = 1.0 / span[row - 1], 1.0 / span[row]
        system[row, row - 1 : row + 2] = a, 2.0 * (a + b), b
        wanted[row] = 3.0 * (a * chord[row - 1] + b * chord[row])
    return np.asarray(np.linalg.solve(system, wanted))


def _bezier_parameter(along: FloatArray, out: FloatArray, into: FloatArray) -> FloatArray:
    """Where on the Bezier the share ``along`` of the time has gone by: (F,), by bisection.

    With both handles at a third it is ``along`` itself, which is the common case.
    """
    third = (abs(out - 1 / 3) < 1e-9) & (abs(into - 2 / 3) < 1e-9)
    if third.all():
        return along
    low, high = np.zeros_like(along), np.ones_like(along)
    zero, one = np.zeros_like(along), np.ones_like(along)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        under = _bezier(middle, zero, out, into, one) < along
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.where(third, along, 0.5 * (low + high))


def _bezier(
    s: FloatArray, p0: FloatArray, p1: FloatArray, p2: FloatArray, p3: FloatArray
) -> FloatArray:
    r = 1.0 - s
    curve: FloatArray = r**3 * p0 + 3 * r**2 * s * p1 + 3 * r * s**2 * p2 + s**3 * p3
    return curve
