"""Silhouette shape files (``.fxs``): XML of nested layers and their shapes, keyed as paths.

    <Silhouette width= height= sessionStartFrame=>
      <Layer label=><Properties><Property id="objects">
        <Object type="Shape" shape_type="Bezier" label=><Properties>
          <Property id="opacity"><Key frame= interp="linear|hold">0-100</Key> …
          <Property id="path"><Key frame= interp=><Path closed= type="Bezier">
            <Point>(x,y),(x,y),(x,y)</Point> …        position, in-tangent, out-tangent

A point is ``((x - width/2) / height · pixel aspect, (y - height/2) / height)``, y down, its
tangents as places. Frames count from ``sessionStartFrame``. That is what two independent public
exporters write; the order of the tangents is inferred, and no Silhouette has read our files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from laikaroto.coords import FloatArray, absolute_tangents, relative_tangents
from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.shapes.records import PlateInfo, Roto, Shape
from laikaroto.sidecar.formats.against_plate import all_frames, check_frames, check_size
from laikaroto.sidecar.formats.keyed import keyed_points, visibility_steps
from laikaroto.sidecar.formats.registry import ReadOptions, WriteOptions
from laikaroto.sidecar.formats.safe_xml import read_xml

_PAIR = re.compile(r"\(\s*([^,()\s]+)\s*,\s*([^,()\s]+)\s*\)")
_IDENTITY = np.eye(4).ravel()
_MAX_FRAMES = 100_000


@dataclass(slots=True)
class _File:
    """What the file says of itself, and what has been read so far."""

    path: Path
    size: tuple[int, int]
    start: int
    pixel_aspect: float
    shapes: dict[str, ArtistShape] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fail(self, name: str, problem: str) -> SidecarError:
        return SidecarError(f"{self.path}: {name}: {problem}")


def read(path: Path, options: ReadOptions) -> ArtistFile:
    """All Bezier shapes of a file on every frame from their first to their last key.

    Raises:
        SidecarError: not such a file, a size other than the plate's, or values that are none.
    """
    root = read_xml(path)
    if root.tag != "Silhouette":
        raise SidecarError(f"{path}: wanted a Silhouette shape file, got <{root.tag}>")
    size = (_whole(root, "width", path), _whole(root, "height", path))
    plate = options.plate
    check_size(size, options.wanted, path)
    if min(size) < 1:
        raise SidecarError(f"{path}: is {size[0]}x{size[1]}; wanted a picture's size")
    file = _File(
        path=path, size=size, start=_whole(root, "sessionStartFrame", path),
        pixel_aspect=plate.pixel_aspect if plate else 1.0,
    )  # fmt: skip
    for layer in root:
        # a single outermost layer stands for the file; several are told apart by their names
        _take(layer, (layer.get("label", "layer"),) if len(root) > 1 else (), False, file)
    frames = all_frames(shape.frames for shape in file.shapes.values())
    file.notes += check_frames(frames, options.wanted, path)
    return ArtistFile(
        path=path, tool="silhouette", size=size, shapes=file.shapes, notes=tuple(file.notes)
    )


def write(roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
    """One ``.fxs``: a layer of the character's name with all shapes; tracks have no place in it.

    Raises:
        UsageError, SidecarError: keys that do not fit the shapes, see ``keyed_points``.
    """
    plate = roto.plate
    root = Element(
        "Silhouette", width=str(plate.width), height=str(plate.height),
        workRangeStart=str(plate.first), workRangeEnd=str(plate.last),
        sessionStartFrame=str(plate.first),
    )  # fmt: skip
    layer = SubElement(root, "Layer", type="Layer", label=roto.character, expanded="True")
    properties = SubElement(layer, "Properties")
    _constant(properties, "color", "(1.000000,1.000000,1.000000)")
    _constant(properties, "invert", "false")
    _constant(properties, "mode", "Add")
    objects = SubElement(properties, "Property", id="objects", constant="True", expanded="True")
    for name, shape in roto.shapes.items():
        if shape.frames:
            _write_shape(objects, name, shape, plate, options)
    indent(root)
    text = tostring(root, encoding="unicode")
    return {f"{options.name}.fxs": f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()}


# -- reading -----------------------------------------------------------------------------------


def _take(element: Element, above: tuple[str, ...], moved: bool, file: _File) -> None:
    """A layer and all in it, or a shape. The outermost layer is the file's, not a name."""
    label = element.get("label") or f"unnamed {element.tag}"
    properties = {part.get("id", ""): part for part in element.iterfind("Properties/Property")}
    is_shape = element.get("type") == "Shape"
    names = (*above, label) if is_shape or element.tag != "Layer" else above
    name = "/".join(names) or label
    own = sorted(key for key, part in properties.items() if _moves(key, part, file, name))
    moved = moved or bool(own)
    if own:
        file.notes.append(
            f"{name}: is moved by {', '.join(own)}, which is not read: what is in it is left out; "
            "bake it into the points"
        )
    if is_shape:
        if not moved:
            _take_shape(element, properties, name, file)
        return
    for inner in properties.get("objects", ()):
        _take(inner, names, moved, file)


def _moves(key: str, part: Element, file: _File, name: str) -> bool:
    """Whether a property is a transform that does something."""
    if not key.startswith("transform"):
        return False
    for value in part:
        words = re.findall(r"[^(),\s]+", value.text or "")
        numbers = np.array([_number(word, name, file) for word in words])
        if len(numbers) == 16 and np.abs(numbers - _IDENTITY).max() < 1e-6:
            continue
        neutral = 1.0 if "scale" in key else 0.0
        if len(numbers) and np.abs(numbers - neutral).max() > 1e-6:
            return True
    return False


def _take_shape(
    element: Element, properties: Mapping[str, Element], name: str, file: _File
) -> None:
    kind = element.get("shape_type", "Bezier")
    paths = _keys(properties.get("path"), name, file)
    kinds = {kind, *(path.get("type", kind) for _, _, path in _path_elements(paths))}
    if kinds != {"Bezier"}:
        other = ", ".join(sorted(kinds - {"Bezier"}))
        file.notes.append(f"{name}: is a {other}, only Beziers are read; convert it in Silhouette")
        return
    drawn = [(frame, interp, _points(path, name, file)) for frame, interp, path in
             _path_elements(paths)]  # fmt: skip
    if not drawn:
        file.notes.append(f"{name}: has no path")
        return
    if name in file.shapes:
        raise file.fail(name, "two shapes have this name; rename one")
    closed = {path.get("closed", "True") == "True" for _, _, path in _path_elements(paths)}
    if len(closed) > 1:
        raise file.fail(name, "is open on some keys and closed on others")
    frames = _filled(drawn, name, file)
    hidden = _hidden(properties.get("opacity"), frames, name, file)
    if element.get("hidden") == "True":
        hidden = frozenset(frames)
    feathered = any("feather" in key.lower() for key in properties)
    if feathered:
        file.notes.append(f"{name}: soft edges are not kept")
    if "true" in "".join(properties["invert"].itertext() if "invert" in properties else ()):
        file.notes.append(f"{name}: is inverted, which is not kept: its outline is")
    file.shapes[name] = ArtistShape(
        name=name, closed=closed.pop(), frames=frames,
        keys=tuple(frame for frame, _, _ in drawn), hidden=hidden, feathered=feathered,
    )  # fmt: skip


def _keys(part: Element | None, name: str, file: _File) -> list[tuple[int, str, Element]]:
    """Frame, interpolation and element of each key, in order; a constant is one at the start."""
    if part is None:
        return []
    keys = []
    for key in part:
        relative = _number(key.get("frame", "0"), name, file)
        if relative != int(relative):
            raise file.fail(name, f"a key between frames, {relative:g}")
        interp = key.get("interp", "linear")
        if interp not in ("linear", "hold"):
            note = f"{name}: keys of kind {interp!r} are read as linear"
            if note not in file.notes:
                file.notes.append(note)
        keys.append((int(relative) + file.start, interp, key))
    by_frame = {key[0]: key for key in keys}
    return [by_frame[frame] for frame in sorted(by_frame)]


def _path_elements(
    keys: list[tuple[int, str, Element]],
) -> Iterator[tuple[int, str, Element]]:
    for frame, interp, key in keys:
        path = key.find("Path")
        if path is not None:
            yield frame, interp, path


def _points(path: Element, name: str, file: _File) -> FloatArray:
    """Control points of one key (N, 6), plate px."""
    rows = []
    for point in path.iterfind("Point"):
        pairs = _PAIR.findall(point.text or "")
        if len(pairs) != 3:
            raise file.fail(name, f"wanted a point of three pairs, got {(point.text or '')!r:.60}")
        rows.append([[_number(word, name, file) for word in pair] for pair in pairs])
    if not rows:
        raise file.fail(name, "a key without points")
    width, height = file.size
    places = np.array(rows) * height
    places[..., 0] = places[..., 0] / file.pixel_aspect + width / 2
    places[..., 1] += height / 2
    return relative_tangents(places)


def _filled(
    drawn: list[tuple[int, str, FloatArray]], name: str, file: _File
) -> dict[int, FloatArray]:
    """Every frame from the first to the last key: held or straight from key to key."""
    if drawn[-1][0] - drawn[0][0] > _MAX_FRAMES:
        raise file.fail(name, f"keys over more than {_MAX_FRAMES} frames")
    frames = {drawn[-1][0]: drawn[-1][2]}
    for (frame, interp, points), (following, _, towards) in zip(drawn, drawn[1:], strict=False):
        if interp != "hold" and len(points) != len(towards):
            raise file.fail(
                name, f"{len(points)} points on frame {frame}, {len(towards)} on {following}; "
                "key every frame between, or hold"
            )  # fmt: skip
        for between in range(frame, following):
            share = 0.0 if interp == "hold" else (between - frame) / (following - frame)
            frames[between] = points if share == 0.0 else points + share * (towards - points)
    return dict(sorted(frames.items()))


def _hidden(
    part: Element | None, frames: Mapping[int, FloatArray], name: str, file: _File
) -> frozenset[int]:
    keys = _keys(part, name, file)
    if not keys:
        return frozenset()
    at = np.array([frame for frame, _, _ in keys])
    values = np.array([_number(key.text or "", name, file) for _, _, key in keys])
    held = np.array([interp == "hold" for _, interp, _ in keys])
    hidden = set()
    for frame in frames:
        before = max(int(np.searchsorted(at, frame, side="right")) - 1, 0)
        value = values[before] if held[before] else np.interp(frame, at, values)
        if value <= 1e-6:
            hidden.add(frame)
    return frozenset(hidden)


def _whole(root: Element, name: str, path: Path) -> int:
    text = root.get(name, "")
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise SidecarError(f"{path}: {name}: wanted a whole number, got {text!r:.60}")
    return int(text)


def _number(text: str, name: str, file: _File) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise file.fail(name, f"wanted a number, got {text!r:.60}") from error
    if not abs(value) < 1e9:
        raise file.fail(name, f"wanted a number, got {text!r:.60}")
    return value


# -- writing -----------------------------------------------------------------------------------


def _constant(properties: Element, name: str, value: str) -> None:
    SubElement(SubElement(properties, "Property", constant="True", id=name), "Value").text = value


def _write_shape(
    objects: Element, name: str, shape: Shape, plate: PlateInfo, options: WriteOptions
) -> None:
    frames, points = keyed_points(name, shape, options.keys, tool="Silhouette")
    element = SubElement(
        objects, "Object", type="Shape", label=name, shape_type="Bezier",
        hidden="False", locked="False",
    )  # fmt: skip
    properties = SubElement(element, "Properties")
    opacity = SubElement(properties, "Property", id="opacity")
    for frame, seen in visibility_steps(shape, plate):
        key = SubElement(opacity, "Key", frame=str(frame - plate.first), interp="hold")
        key.text = "100.0" if seen else "0.0"
    _constant(properties, "motionBlur", "false")
    _constant(properties, "outlineColor", "(1.0,0.0,0.0)")
    _constant(properties, "mode", "Add")
    _constant(properties, "invert", "false")
    path = SubElement(properties, "Property", id="path")
    for frame, drawn in zip(frames, points, strict=True):
        key = SubElement(path, "Key", frame=str(frame - plate.first), interp="linear")
        outline = SubElement(key, "Path", closed=str(shape.closed), type="Bezier")
        for point in _places(drawn, plate):
            SubElement(outline, "Point").text = ",".join(f"({x:.9f},{y:.9f})" for x, y in point)


def _places(points: FloatArray, plate: PlateInfo) -> FloatArray:
    """Control points (N, 6), plate px, as Silhouette's places (N, 3, 2)."""
    middle = np.array([plate.width / 2, plate.height / 2])
    places: FloatArray = (absolute_tangents(points) - middle) / plate.height
    places[..., 0] *= plate.pixel_aspect
    return places
