"""What a file of each format shows, read without our own code where we have no reader for it.

A *look* takes the files a writer made and gives what they hold as ``Seen``. Programs, their own
libraries, or stand-ins do the reading; see ``tests/sidecar/formats``.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from laikaroto.coords import FloatArray, relative_tangents
from laikaroto.shapes.artist import ArtistFile
from laikaroto.sidecar.formats import blender
from laikaroto.sidecar.formats.registry import FORMATS, ReadOptions
from tests.sidecar.formats import natron_stand_in
from tests.sidecar.formats.clients import blender_python, needed

STAND_INS = Path(__file__).parents[1] / "sidecar" / "formats"
# what the rotos of the suite are drawn for; lua is told, and MLT counts from 0
FIRST, LAST = 1001, 1021


@dataclass
class SeenShape:
    closed: bool
    frames: dict[int, FloatArray] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)


@dataclass
class Seen:
    """What a file says; None or nothing where the format has no place for it."""

    size: tuple[int, int] | None = None
    frames: tuple[int, int] | None = None
    shapes: dict[str, SeenShape] = field(default_factory=dict)
    tracks: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)


Look = Callable[[Mapping[str, bytes], Path, range], Seen]


def only(files: Mapping[str, bytes]) -> bytes:
    (data,) = files.values()
    return data


def put(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / next(iter(files))


def run(*command: object, cwd: Path) -> str:
    ran = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


def from_artist(file: ArtistFile) -> Seen:
    return Seen(
        size=file.size,
        shapes={
            name: SeenShape(shape.closed, dict(shape.frames), set(shape.hidden))
            for name, shape in file.shapes.items()
        },
        tracks={
            name: {frame: point.xy for frame, point in track.items() if point.visible}
            for name, track in file.tracks.items()
        },
    )


def with_our_reader(name: str) -> Look:
    def look(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
        return from_artist(FORMATS[name].read(put(files, folder), ReadOptions()))

    return look


def in_blender(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    script = resources.files("laikaroto.sidecar.formats") / "scripts" / blender.EXPORT_SCRIPT
    put(files, folder)
    with resources.as_file(script) as export:
        run(blender_python(), STAND_INS / "in_blender.py", next(iter(files)), export,
            "out.json", folder, cwd=folder)  # fmt: skip
    said = json.loads((folder / "out.json").read_text())
    seen = Seen(tuple(said["size"]), (said["frames"][0], said["frames"][-1]))
    if any(mask["layers"] for mask in said["masks"]):
        seen.shapes = from_artist(blender.read(folder / "out.json", ReadOptions())).shapes
    return seen


def in_mlt(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    root = ET.fromstring(only(files))
    profile, clip = root.find("profile"), root.find("producer")
    assert profile is not None and clip is not None
    width, height = int(profile.attrib["width"]), int(profile.attrib["height"])
    first = int(said(clip, "laikaroto:first_frame"))
    seen = Seen((width, height), (first, first + int(clip.attrib["out"])))
    shown: dict[str, set[int]] = {}
    for each in clip.findall("filter"):
        name = said(each, "laikaroto:shape")
        keys = json.loads(said(each, "spline"))
        at = [first + int(key) for key in keys]
        flat = np.array(list(keys.values())).reshape(len(keys), -1)
        shape = seen.shapes.setdefault(name, SeenShape(closed=True))
        for frame in range(at[0], at[-1] + 1):
            places = np.array([np.interp(frame, at, c) for c in flat.T]).reshape(-1, 3, 2)
            places = (places * (width, height) - (0.5, -0.5))[:, [1, 0, 2]]
            shape.frames[frame] = relative_tangents(places)
        on = range(first + int(each.attrib["in"]), first + int(each.attrib["out"]) + 1)
        off = any(e.get("name") == "disable" and e.text == "1" for e in each)
        shown.setdefault(name, set()).update([] if off else on)
    for name, shape in seen.shapes.items():
        shape.hidden = set(frames) - shown[name]
    return seen


def said(element: ET.Element, name: str) -> str:
    (value,) = (e.text for e in element.findall("property") if e.get("name") == name)
    return str(value)


def in_after_effects(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    path = put(files, folder)
    shown = json.loads(
        run(needed("node"), STAND_INS / "aftereffects_stand_in.js", path, cwd=folder)
    )
    seen = Seen(tuple(shown["size"]), (shown["first"], shown["last"]))
    for name, mask in shown["shapes"].items():
        by_frame = {int(frame): entry for frame, entry in mask["frames"].items()}
        parts = ("vertices", "inTangents", "outTangents")
        seen.shapes[name] = SeenShape(
            all(entry["closed"] for entry in by_frame.values()),
            {f: np.concatenate([e[part] for part in parts], axis=1) for f, e in by_frame.items()},
            {f for f, e in by_frame.items() if e["opacity"] == 0},
        )
    for name, track in shown["tracks"].items():
        seen.tracks[name] = {int(f): tuple(e["xy"]) for f, e in track.items() if e["opacity"]}
    return seen


def in_fusion(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    path = put(files, folder)
    rows = run(needed("lua5.4"), STAND_INS / "fusion_stand_in.lua", path, frames[0], frames[-1],
               cwd=folder).splitlines()  # fmt: skip
    seen, names = Seen(frames=(frames[0], frames[-1])), {}
    for kind, tool, *fields in sorted((row.split("\t") for row in rows), reverse=True):
        if kind == "tool":
            comment = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1])), fields[0])
            names[tool] = comment.encode("latin-1").decode().rsplit(" (", 1)[0]
            seen.size = int(fields[1]), int(fields[2])
            continue
        frame, level, closed, *numbers = fields
        assert seen.size is not None
        pairs = np.array(numbers, dtype=float).reshape(-1, 3, 2)
        pairs[:, 0] += (0.5, -0.5)
        pairs *= (seen.size[0], -seen.size[1])
        shape = seen.shapes.setdefault(names[tool], SeenShape(closed == "true"))
        shape.frames[int(frame)] = pairs.reshape(-1, 6)
        if float(level) == 0:
            shape.hidden.add(int(frame))
    return seen


def in_natron(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    seen = Seen()
    for curve in natron_stand_in.run(only(files)).items:
        shape = seen.shapes[curve.label] = SeenShape(curve.finished)
        for frame in frames:
            places = curve.at(frame).reshape(-1, 3, 2) * (1, -1) + (0, 720)
            shape.frames[frame] = relative_tangents(places)
            if curve.opacity.at(frame) == 0:
                shape.hidden.add(frame)
    return seen


def in_svg(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    numbers = [int(name.split(".")[-2]) for name in files]
    seen = Seen(frames=(min(numbers), max(numbers)))
    for frame, data in zip(numbers, files.values(), strict=True):
        root = ET.fromstring(data)
        seen.size = int(root.attrib["width"]), int(root.attrib["height"])
        for path in root.iter("{http://www.w3.org/2000/svg}path"):
            drawn = path.attrib["d"]
            closed = drawn.endswith("Z")
            places = np.array(re.findall(r"-?[\d.]+", drawn), dtype=float).reshape(-1, 2)
            shape = seen.shapes.setdefault(path.attrib["data-name"], SeenShape(closed))
            shape.frames[frame] = from_vertices(places, closed)
            if path.get("display") == "none":
                shape.hidden.add(frame)
    return seen


def from_vertices(places: FloatArray, closed: bool) -> FloatArray:
    """Control points from point, out, in, point, …; a closed path ends on its first point."""
    if closed:
        places = places[:-1]  # the first point again
        return relative_tangents(np.roll(places, 1, axis=0).reshape(-1, 3, 2)[:, [1, 0, 2]])
    whole = np.concatenate([places[:1], places, places[-1:]])
    return relative_tangents(whole.reshape(-1, 3, 2)[:, [1, 0, 2]])


def in_lottie(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    said = json.loads(only(files))
    seen = Seen((said["w"], said["h"]), (said["ip"], said["op"] - 1))
    for layer in said["layers"]:
        path, opacity = layer["shapes"][0]["it"][0]["ks"], layer["ks"]["o"]
        drawn = {k["t"]: k["s"][0] for k in path["k"]} if path["a"] else {frames[0]: path["k"]}
        flat = np.stack(
            [np.concatenate([d[k] for k in "vio"], axis=1).ravel() for d in drawn.values()]
        )
        shape = seen.shapes[layer["nm"]] = SeenShape(all(d["c"] for d in drawn.values()))
        for frame in frames:
            filled = [np.interp(frame, list(drawn), column) for column in flat.T]
            shape.frames[frame] = np.array(filled).reshape(-1, 6)
        held = {k["t"]: k["s"][0] for k in opacity["k"]} if opacity["a"] else {
            frames[0]: opacity["k"]}  # fmt: skip
        shape.hidden = {f for f in frames if held[max(k for k in held if k <= f)] == 0}
    return seen


def in_usd(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(put(files, folder)))
    size = stage.GetRootLayer().customLayerData["laikarotoSize"]
    seen = Seen((size[0], size[1]), (int(stage.GetStartTimeCode()), int(stage.GetEndTimeCode())))
    for prim in stage.GetPrimAtPath("/roto/shapes").GetChildren():
        curve = UsdGeom.BasisCurves(prim)
        shape = SeenShape(curve.GetWrapAttr().Get() == "periodic")
        seen.shapes[prim.GetDisplayName()] = shape
        for frame in frames:
            code = Usd.TimeCode(frame)
            places = np.array(curve.GetPointsAttr().Get(code), dtype=float)[:, :2]
            closing = [places, places[:1]] if shape.closed else [places]
            shape.frames[frame] = from_vertices(np.concatenate(closing), shape.closed)
            if curve.ComputeVisibility(code) == "invisible":
                shape.hidden.add(frame)
    for prim in stage.GetPrimAtPath("/roto/tracks").GetChildren():
        point = UsdGeom.Points(prim)
        seen.tracks[prim.GetDisplayName()] = {
            frame: tuple(point.GetPointsAttr().Get(Usd.TimeCode(frame))[0][:2])
            for frame in frames
            if point.ComputeVisibility(Usd.TimeCode(frame)) != "invisible"
        }
    return seen


def in_3de(files: Mapping[str, bytes], folder: Path, frames: range) -> Seen:
    lines = iter(only(files).decode().split("\n"))
    seen = Seen()
    for _ in range(int(next(lines))):
        track = seen.tracks.setdefault(next(lines), {})
        assert next(lines) == "0"
        for _ in range(int(next(lines))):
            frame, x, y = next(lines).split()
            track[int(frame)] = float(x), 720 - float(y)
    assert list(lines) == [""]
    return seen


LOOKS: dict[str, Look] = {
    "blender": in_blender,
    "mlt": in_mlt,
    "aftereffects": in_after_effects,
    "fusion": in_fusion,
    "natron": in_natron,
    "svg": in_svg,
    "lottie": in_lottie,
    "usd": in_usd,
    "3de": in_3de,
}


def look_for(name: str) -> Look:
    """How to look at a format's files: one of the above, else our own reader."""
    if name in LOOKS:
        return LOOKS[name]
    assert FORMATS[name].reads, f"{name} is written and not read: add a look for it here"
    return with_our_reader(name)
