"""Files for After Effects, Fusion and Natron, evaluated by stand-ins for these programs.

A stand-in proves that a file is sound, that it says what we mean, and that no name becomes code.
It cannot prove that the program itself agrees: these formats stay unverified.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laikaroto.coords import relative_tangents
from laikaroto.sidecar.formats import aftereffects, fusion, natron
from tests.sidecar.formats import natron_stand_in
from tests.sidecar.formats.clients import needed
from tests.sidecar.formats.drawn import (
    FIRST,
    HIDDEN,
    KEYS,
    LAST,
    iou,
    matte,
    moving_roto,
    sparse,
)

HERE = Path(__file__).parent
FRAMES = range(FIRST, LAST + 1)


def check(points: np.ndarray, name: str, frame: int, opacity: float, atol: float) -> None:
    entry = moving_roto().shapes[name].frames[frame]
    np.testing.assert_allclose(points, entry.points, atol=atol)
    assert opacity == float(entry.visible)
    if name == "blob" and entry.visible and frame % 5 == 0:
        from laikaroto.matte.rasterize import rasterize

        drawn = rasterize([points], width=1280, height=720)
        assert iou(drawn, matte(moving_roto(), frame)) >= 0.999


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("ae") / "x.jsx"
    path.write_bytes(aftereffects.write(moving_roto(), sparse(moving_roto()))["x.jsx"])
    ran = subprocess.run(
        [needed("node"), HERE / "aftereffects_stand_in.js", path],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_after_effects_composition(composition: Any) -> None:
    assert composition["name"] == "ev010 hero v001"
    assert composition["size"] == [1280, 720]
    assert (composition["first"], composition["last"], composition["fps"]) == (FIRST, LAST, 24)
    assert list(composition["shapes"]) == ["blob", "seam"]


def test_after_effects_masks(composition: Any) -> None:
    for name, mask in composition["shapes"].items():
        assert mask["mode"] == ("add" if name == "blob" else "none")
        for frame in FRAMES:
            shown = mask["frames"][str(frame)]
            assert shown["closed"] is (name == "blob")
            parts = [shown[part] for part in ("vertices", "inTangents", "outTangents")]
            check(np.concatenate(parts, axis=1), name, frame, shown["opacity"] / 100, 1e-4)
    assert composition["shapes"]["blob"]["keys"] == len(KEYS)


def test_after_effects_nulls(composition: Any) -> None:
    for frame in FRAMES:
        shown = composition["tracks"]["nose_tip"][str(frame)]
        assert shown["xy"] == [100.0 + frame - FIRST, 50.25]
        assert (shown["opacity"] == 0) == (frame in HIDDEN)


def test_fusion_tools(tmp_path: Path) -> None:
    path = tmp_path / "x.setting"
    path.write_bytes(fusion.write(moving_roto(), sparse(moving_roto()))["x.setting"])
    ran = subprocess.run(
        [needed("lua5.4"), HERE / "fusion_stand_in.lua", path, str(FIRST), str(LAST)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    tools = sorted(row[1:] for row in rows if row[0] == "tool")
    assert tools == [
        [name, f"{name} (ev010 hero v001)", "1280", "720"] for name in ("blob", "seam")
    ]
    frames = [row[1:] for row in rows if row[0] == "frame"]
    assert len(frames) == 2 * len(FRAMES)
    for name, frame, level, closed, *numbers in frames:
        assert closed == str(name == "blob").lower()
        pairs = np.array(numbers, dtype=float).reshape(-1, 3, 2)
        pairs[:, 0] += (0.5, -0.5)
        points = (pairs * (1280, -720)).reshape(-1, 6)
        check(points, name, int(frame), float(level), 1e-4)


def test_natron_beziers() -> None:
    code = natron.write(moving_roto(), sparse(moving_roto()))["x.py"]
    curves = {each.script_name: each for each in natron_stand_in.run(code).items}
    assert list(curves) == ["blob", "seam"]
    for name, curve in curves.items():
        assert curve.label == name
        assert curve.finished is (name == "blob")
        for frame in FRAMES:
            places = curve.at(frame).reshape(-1, 3, 2) * (1, -1) + (0, 720)
            check(relative_tangents(places), name, frame, curve.opacity.at(frame), 1e-4)


def test_natron_started_with_the_file_makes_the_node_too() -> None:
    code = natron.write(moving_roto(), sparse(moving_roto()))["x.py"]
    world: dict[str, Any] = {"__name__": "x"}
    exec(compile(code, "x.py", "exec"), world)
    app = natron_stand_in.App()
    world["createInstance"](app, None)
    (node,) = app.nodes
    assert node.label == "ev010 hero v001"
    assert len(node.context.items) == 2
