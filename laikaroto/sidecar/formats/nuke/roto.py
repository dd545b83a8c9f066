"""Shapes of a Roto or RotoPaint node: its ``curves`` knob, element by element.

A tree of layers holds shapes (``curvegroup``) and paint strokes (``cubiccurve``, no shapes).
Each layer and each shape has a transform and attributes, all of which may be animated; what is
here composes them, so that the points that come out lie where Nuke draws them, in Nuke's
coordinates: px, origin at the bottom-left corner, y up, tangents relative to their point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from laikaroto.coords import FloatArray
from laikaroto.errors import SidecarError
from laikaroto.sidecar.formats.nuke.animation import Animated, number, read_animated
from laikaroto.sidecar.formats.nuke.script import Tree

#: Bits of the flags of a curve, by the names of Nuke's Python module.
_OPEN_FLAG = 1 << 5
_RELATIVE_TANGENTS_FLAG = 1 << 13

#: The numbers of ``{t …}`` in their order; what follows is a matrix of the layer's own.
_TRANSFORM = ("px", "py", "pz", "tx", "ty", "tz", "rx", "ry", "rz", "sx", "sy", "sz", "kx")
_TRANSFORM_DEFAULT = {"sx": 1.0, "sy": 1.0, "sz": 1.0}
_FLAT = {"tz": 0.0, "rx": 0.0, "ry": 0.0}

#: ``ltt``: on all frames, up to ``ltm``, on ``ltn`` alone, from ``ltn``, from ``ltn`` to ``ltm``.
_LIFETIMES: tuple[Callable[[FloatArray, float, float], NDArray[np.bool_]], ...] = (
    lambda frames, n, m: np.full(len(frames), True),
    lambda frames, n, m: frames <= m,
    lambda frames, n, m: frames == n,
    lambda frames, n, m: frames >= n,
    lambda frames, n, m: (frames >= n) & (frames <= m),
)


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """A layer or shape: what it does to all below it.

    Attributes:
        name: its own.
        transform: its numbers by their names in ``_TRANSFORM``.
        attributes: as in the file.
        where: file, node and names, for messages.
    """

    name: str
    transform: Mapping[str, Animated]
    attributes: Mapping[str, Tree]
    where: str

    def attribute(self, name: str, default: float, views: set[str]) -> Animated:
        """An attribute over time.

        Raises:
            SidecarError: it is an expression or no number.
        """
        if name not in self.attributes:
            return Animated(constant=default)
        return read_animated(self.attributes[name], f"{self.where}: {name}", views)


@dataclass(frozen=True, slots=True, eq=False)
class RotoShape:
    """One shape with the layers it lies in, outermost first, and itself last.

    Attributes:
        points: in-tangent, position and out-tangent of each point, x and y of each: 6 numbers
            over time for every point, in the order ``x y in_dx in_dy out_dx out_dy``.
        shared_key: when all its numbers are keyed that have no keys of their own.
    """

    chain: tuple[Element, ...]
    closed: bool
    points: tuple[tuple[Animated, ...], ...]
    shared_key: float | None
    feathered: bool

    @property
    def name(self) -> str:
        """Its name after those of its layers, without the root's."""
        return "/".join(element.name for element in self.chain[1:])

    @property
    def key_times(self) -> frozenset[float]:
        """When a point is keyed, or a transform that moves it."""
        times = {time for point in self.points for part in point for time in part.times}
        if self.shared_key is not None:
            times.add(self.shared_key)
        for element in self.chain:
            for part in element.transform.values():
                if len(part.keys) > 1:
                    times.update(part.times)
        return frozenset(times)

    def drawn(self, frames: FloatArray) -> FloatArray:
        """Control points (F, N, 6) on these frames, every transform applied; px, y up."""
        columns = [[part.at(frames) for part in point] for point in self.points]
        points: FloatArray = np.array(columns).transpose(2, 0, 1)
        for element in reversed(self.chain):
            matrix = _matrices(element.transform, frames)
            pairs = points.reshape(len(frames), len(self.points), 3, 2)
            pairs = np.einsum("fij,fnkj->fnki", matrix[:, :2, :2], pairs)
            pairs[:, :, 0] += matrix[:, None, :2, 2]
            points = pairs.reshape(len(frames), len(self.points), 6)
        return points

    def hidden(self, frames: FloatArray, views: set[str]) -> NDArray[np.bool_]:
        """On which of these frames it or a layer above it is off, clear or out of its life."""
        shown = np.full(len(frames), True)
        for element in self.chain:
            for name in ("opc", "vis"):
                shown &= element.attribute(name, 1.0, views).at(frames) > 1e-6
            kind, first, last = (
                element.attribute(name, 0.0, views).at(frames) for name in ("ltt", "ltn", "ltm")
            )
            lifetime = int(kind[0]) if len(kind) else 0
            if not 0 <= lifetime < len(_LIFETIMES):
                raise SidecarError(f"{element.where}: lifetime type {lifetime} is not known")
            shown &= _LIFETIMES[lifetime](frames, first[0], last[0]) if len(kind) else True
        return ~shown


@dataclass(slots=True)
class Found:
    """What a ``curves`` knob holds: shapes, and what could not be taken, one sentence each."""

    shapes: list[RotoShape] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    strokes: list[str] = field(default_factory=list)
    views: set[str] = field(default_factory=set)
    root_pivot: tuple[float, float] | None = None


def read_curves(tree: Sequence[Tree], where: str) -> Found:
    """Everything in a ``curves`` knob.

    Args:
        tree: the knob's value as nested lists.
        where: file and node, for messages.

    Raises:
        SidecarError: not the format of Nuke 7 and later, or a value that is not usable.
    """
    found = Found()
    root = _find_root(list(tree))
    if root is None:
        if "AnimTree:" in _words(tree):
            raise SidecarError(f"{where}: saved by Nuke 6; open it in Nuke 7 or later and save")
        raise SidecarError(f"{where}: curves has no root layer; save it from Nuke again")
    _walk(root, (), where, found)
    pivot = found.root_pivot
    found.root_pivot = pivot if pivot and all(value > 0 for value in pivot) else None
    return found


def _words(tree: Sequence[Tree]) -> set[str]:
    flat = [part for part in tree if isinstance(part, str)]
    for part in tree:
        if isinstance(part, list):
            flat += [word for word in part if isinstance(word, str)]
    return set(flat)


def _find_root(tree: list[Tree]) -> list[Tree] | None:
    """The outermost ``{layer …}``, breadth first: it lies a fixed few levels down."""
    level: list[list[Tree]] = [tree]
    while level:
        for candidate in level:
            if candidate and candidate[0] == "layer":
                return candidate
        level = [part for candidate in level for part in candidate if isinstance(part, list)]
    return None


def _walk(tree: list[Tree], above: tuple[Element, ...], where: str, found: Found) -> None:
    name = _name(tree, where)
    where = f"{where}: {name}" if above else where
    transform, own_matrix = _read_transform(_part(tree, ("t", "tx")), where, found.views)
    element = Element(name, transform, _read_attributes(_part(tree, ("a",))), where)
    chain = (*above, element)
    if not above:
        found.root_pivot = (transform["px"].at(np.zeros(1))[0], transform["py"].at(np.zeros(1))[0])
    kind = tree[0]
    if own_matrix:
        found.notes.append(
            f"{where}: moved by a matrix of its own (a planar track, or Mocha), which is not "
            "read: bake it into the points"
        )
    elif kind == "curvegroup":
        _read_shape(tree, chain, where, found)
    else:
        for part in tree[2:]:
            if isinstance(part, list) and part and part[0] in ("layer", "curvegroup"):
                _walk(part, chain, where, found)
            elif isinstance(part, list) and part and part[0] == "cubiccurve":
                found.strokes.append(_name(part, where))


def _name(tree: list[Tree], where: str) -> str:
    if len(tree) < 2 or isinstance(tree[1], list):
        raise SidecarError(f"{where}: {tree[0]} without a name; save it from Nuke again")
    return tree[1] if isinstance(tree[1], str) else f"{tree[1]:g}"


def _part(tree: list[Tree], heads: tuple[str, ...]) -> list[Tree]:
    for part in tree[1:]:
        if isinstance(part, list) and part and part[0] in heads:
            return part
    return [heads[0]]


def _read_attributes(tree: list[Tree]) -> dict[str, Tree]:
    pairs = zip(tree[1::2], tree[2::2], strict=False)
    return {name: value for name, value in pairs if isinstance(name, str)}


def _read_transform(
    tree: list[Tree], where: str, views: set[str]
) -> tuple[dict[str, Animated], bool]:
    """The transform's numbers, and whether a matrix follows that is not the identity."""
    values = tree[2:] if tree[0] == "tx" else tree[1:]
    read = [read_animated(value, f"{where}: transform", views) for value in values]
    transform = {
        name: read[index]
        if index < len(read)
        else Animated(constant=_TRANSFORM_DEFAULT.get(name, 0.0))
        for index, name in enumerate(_TRANSFORM)
    }
    for name, flat in _FLAT.items():
        if any(abs(value - flat) > 1e-6 for value in _all_values(transform[name])):
            raise SidecarError(f"{where}: transform leaves the picture plane ({name}); bake it")
    rest = [_all_values(part) for part in read[len(_TRANSFORM) :]]
    return transform, not _is_identity(rest)


def _all_values(part: Animated) -> set[float]:
    return {key.value for key in part.keys} or {part.constant}


def _is_identity(rest: list[set[float]]) -> bool:
    """Whether what follows the skew does nothing: further skews, then 16 of a matrix."""
    matrix, skews = (rest[-16:], rest[:-16]) if len(rest) >= 16 else ([], rest)
    identity = [{1.0} if index % 5 == 0 else {0.0} for index in range(len(matrix))]
    return matrix == identity and all(skew == {0.0} for skew in skews)


def _read_shape(tree: list[Tree], chain: tuple[Element, ...], where: str, found: Found) -> None:
    kind = next((part for part in tree[2:] if isinstance(part, str)), "")
    if kind != "bezier":
        found.notes.append(f"{where}: is a {kind or 'nameless'} curve; convert it to Bezier")
        return
    lists = [part for part in tree[2:] if isinstance(part, list)]
    outlines = [
        curve for part in lists for curve in part if isinstance(curve, list) and curve[:1] == ["cc"]
    ]
    if not outlines:
        raise SidecarError(f"{where}: a shape without a curve; save it from Nuke again")
    flags = _flags(outlines[0], where)
    points, shared_key = _read_points(outlines[0], where, found.views)
    if not points:
        found.notes.append(f"{where}: has no points")
        return
    if not flags & _RELATIVE_TANGENTS_FLAG:
        found.notes.append(f"{where}: its tangents are not relative to their points")
        return
    feathered = len(outlines) > 1 and _has_offset(outlines[1], where, found.views)
    feathered |= _has_soft_line(outlines[0], where, found.views)
    feathered |= any(
        _all_values(chain[-1].attribute(name, 0.0, found.views)) != {0.0} for name in ("fx", "fy")
    )
    found.shapes.append(
        RotoShape(chain, not flags & _OPEN_FLAG, tuple(points), shared_key, feathered)
    )
    for name, text in (("inv", "is inverted"), ("bm", "is combined by a mode of its own")):
        if _all_values(chain[-1].attribute(name, 0.0, found.views)) != {0.0}:
            found.notes.append(f"{where}: {text}, which is not kept: its outline is")


def _flags(outline: list[Tree], where: str) -> int:
    part = _part(outline, ("f",))
    return int(number(part[1], f"{where}: flags")) if len(part) > 1 else 0


def _read_points(
    outline: list[Tree], where: str, views: set[str]
) -> tuple[list[tuple[Animated, ...]], float | None]:
    """Points of a curve as 6 numbers over time each, and the key all of them share, if any."""
    points, shared_key = _point_list(outline, where)
    if len(points) % 3:
        raise SidecarError(
            f"{where}: {len(points)} pairs of numbers; wanted three for each point "
            "(tangent, position, tangent)"
        )
    pairs = []
    for index, point in enumerate(points):
        at = f"{where}: point {index // 3 + 1}"
        if not isinstance(point, list):
            raise SidecarError(f"{at}: wanted x and y, got {point!r}")
        values = [value for value in point if not _is_attributes(value)]
        pairs.append([read_animated(value, at, views) for value in values[:2]])
    for pair in pairs:  # what Nuke leaves out is 0
        pair += [Animated()] * (2 - len(pair))
    return [(*pairs[i + 1], *pairs[i], *pairs[i + 2]) for i in range(0, len(pairs), 3)], shared_key


def _is_attributes(tree: Tree) -> bool:
    """Points of open shapes carry the width of the line before x and y: ``{a osw 1 osf 0}``."""
    return isinstance(tree, list) and tree[:1] == ["a"]


def _point_list(outline: list[Tree], where: str) -> tuple[list[Tree], float | None]:
    part = _part(outline, ("p", "px"))
    if part[0] == "px":
        if len(part) < 2:
            raise SidecarError(f"{where}: keyed points without their frame")
        return part[2:], number(part[1], f"{where}: key")
    return part[1:], None


def _has_offset(feather: list[Tree], where: str, views: set[str]) -> bool:
    points, _ = _point_list(feather, where)
    return any(
        _all_values(read_animated(value, f"{where}: feather", views)) != {0.0}
        for point in points[1::3]
        if isinstance(point, list)
        for value in [value for value in point if not _is_attributes(value)][:2]
    )


def _has_soft_line(outline: list[Tree], where: str, views: set[str]) -> bool:
    """Open shapes have their softness, ``osf``, at each point."""
    softness = [
        _read_attributes(value).get("osf", 0.0)
        for point in _point_list(outline, where)[0]
        if isinstance(point, list)
        for value in point
        if isinstance(value, list) and _is_attributes(value)
    ]
    return any(
        _all_values(read_animated(value, f"{where}: osf", views)) != {0.0} for value in softness
    )


def _matrices(transform: Mapping[str, Animated], frames: FloatArray) -> FloatArray:
    """(F, 3, 3): scaled, skewed, turned about the pivot, then moved; y up, degrees to the left.

    Source: the order of Nuke's Transform (scale, skew, rotate, translate), as Natron documents
    and copies it; the unit of skew is x per y.
    """
    part = {name: transform[name].at(frames) for name in _TRANSFORM}
    angle = np.radians(part["rz"])
    cos, sin = np.cos(angle), np.sin(angle)
    one, zero = np.ones_like(angle), np.zeros_like(angle)

    def matrix(*rows: FloatArray) -> FloatArray:
        return np.stack(rows, axis=-1).reshape(-1, 3, 3)

    move = matrix(
        one, zero, part["px"] + part["tx"], zero, one, part["py"] + part["ty"], zero, zero, one
    )
    turn = matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)
    skew = matrix(one, part["kx"], zero, zero, one, zero, zero, zero, one)
    scale = matrix(part["sx"], zero, zero, zero, part["sy"], zero, zero, zero, one)
    back = matrix(one, zero, -part["px"], zero, one, -part["py"], zero, zero, one)
    whole: FloatArray = move @ turn @ skew @ scale @ back
    return whole
