"""Our USD file in OpenUSD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom

from laikaroto.matte.rasterize import rasterize
from laikaroto.sidecar.formats import usd
from tests.sidecar.formats.drawn import FIRST, HIDDEN, LAST, iou, matte, moving_roto, sparse


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Usd.Stage:
    path = tmp_path_factory.mktemp("usd") / "x.usda"
    path.write_bytes(usd.write(moving_roto(), sparse(moving_roto()))["x.usda"])
    return Usd.Stage.Open(str(path))


def curve(stage: Usd.Stage, name: str, frame: int) -> np.ndarray:
    drawn = UsdGeom.BasisCurves(stage.GetPrimAtPath(f"/roto/shapes/{name}"))
    return np.array(drawn.GetPointsAttr().Get(Usd.TimeCode(frame)), dtype=np.float64)[:, :2]


def closed_points(vertices: np.ndarray) -> np.ndarray:
    """Vertices of a periodic Bezier curve as control points: point, in, out."""
    point, out, following = vertices.reshape(-1, 3, 2).transpose(1, 0, 2)
    return np.concatenate([point, np.roll(following, 1, axis=0) - point, out - point], axis=1)


@pytest.mark.parametrize("frame", range(FIRST, LAST + 1))
def test_openusd_fills_in_what_we_mean(stage: Usd.Stage, frame: int) -> None:
    points = closed_points(curve(stage, "blob", frame))
    np.testing.assert_allclose(points, moving_roto().shapes["blob"].frames[frame].points, atol=5e-4)
    if frame not in HIDDEN:
        drawn = rasterize([points], width=1280, height=720)
        assert iou(drawn, matte(moving_roto(), frame)) >= 0.999


def test_an_open_curve_has_the_vertices_between_its_ends(stage: Usd.Stage) -> None:
    own = moving_roto().shapes["seam"].frames[1009].points
    drawn = curve(stage, "seam", 1009)
    assert len(drawn) == 7
    np.testing.assert_allclose(drawn[0], own[0, :2], atol=1e-3)
    np.testing.assert_allclose(drawn[1], own[0, :2] + own[0, 4:], atol=1e-3)
    np.testing.assert_allclose(drawn[2], own[1, :2] + own[1, 2:4], atol=1e-3)
    np.testing.assert_allclose(drawn[-1], own[-1, :2], atol=1e-3)


@pytest.mark.parametrize(("name", "wrap"), [("blob", "periodic"), ("seam", "nonperiodic")])
def test_curves_are_of_the_kind_they_are(stage: Usd.Stage, name: str, wrap: str) -> None:
    drawn = UsdGeom.BasisCurves(stage.GetPrimAtPath(f"/roto/shapes/{name}"))
    kind = drawn.GetTypeAttr().Get(), drawn.GetBasisAttr().Get(), drawn.GetWrapAttr().Get()
    assert kind == ("cubic", "bezier", wrap)
    assert drawn.GetPrim().GetDisplayName() == name
    # OpenUSD itself counts segments: the number of vertices has to fit kind and wrap
    assert drawn.ComputeUniformDataSize(Usd.TimeCode(FIRST)) == 1
    assert drawn.ComputeVaryingDataSize(Usd.TimeCode(FIRST)) == (5 if name == "blob" else 3)


def test_visibility_and_range(stage: Usd.Stage) -> None:
    drawn = UsdGeom.Imageable(stage.GetPrimAtPath("/roto/shapes/blob"))
    hidden = {
        frame
        for frame in range(FIRST, LAST + 1)
        if drawn.ComputeVisibility(Usd.TimeCode(frame)) == "invisible"
    }
    assert hidden == HIDDEN
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (FIRST, LAST)
    assert stage.GetTimeCodesPerSecond() == 24.0
    assert tuple(stage.GetRootLayer().customLayerData["laikarotoSize"]) == (1280, 720)


def test_it_stands_upright(stage: Usd.Stage) -> None:
    prim = UsdGeom.Xformable(stage.GetPrimAtPath("/roto/shapes/seam"))
    world = prim.ComputeLocalToWorldTransform(Usd.TimeCode(FIRST))
    assert world.Transform(Gf.Vec3d(10, 0, 0)) == Gf.Vec3d(10, 720, 0)
    assert world.Transform(Gf.Vec3d(10, 720, 0)) == Gf.Vec3d(10, 0, 0)


def test_tracking_points(stage: Usd.Stage) -> None:
    point = UsdGeom.Points(stage.GetPrimAtPath("/roto/tracks/nose_tip"))
    place = point.GetPointsAttr().Get(Usd.TimeCode(1004))
    assert list(map(list, place)) == [[103.0, 50.25, 0.0]]
    assert point.ComputeVisibility(Usd.TimeCode(1011)) == "invisible"


def test_any_text_is_one_string(tmp_path: Path) -> None:
    text = 'eye "L" \\ é \n def Xform'
    path = tmp_path / "x.usda"
    path.write_text(
        f'#usda 1.0\ndef Xform "a" (\n    displayName = {usd.quoted(text)}\n)\n{{\n}}\n'
    )
    assert Usd.Stage.Open(str(path)).GetPrimAtPath("/a").GetDisplayName() == text
