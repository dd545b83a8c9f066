"""Rendered heads: read and checked, put before plates, learned from and never measured on."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from laikaroto.character.template import pack
from laikaroto.coords import transform_points
from laikaroto.errors import TruthError
from laikaroto.matte.rasterize import rasterize
from laikaroto.plate.colour import encode_log
from laikaroto.training import dataset as dataset_module
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import read_example, write_example
from laikaroto.training.renders import (
    find_renders,
    read_render,
    read_rgba,
    write_renders,
)
from tests.training.synthetic import TRACKS, at_rest, paint, poses, straight, template
from tests.training.test_dataset import as_roto

FORM = template()
REST = pack(at_rest(), FORM, 1001)[0]
SIZE = (96, 160)  # height and width of a render
POSE = np.array([[1.2, 0.0, 80.0], [0.0, 1.2, 50.0]])
KNOB = (0.1, 0.7, 0.1)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Scene-linear premultiplied colour and alpha of two knobs and a sail, half px soft."""
    values = transform_points(REST, POSE)
    height, width = SIZE
    alpha = np.zeros(SIZE, np.float32)
    colour = np.zeros((*SIZE, 3), np.float32)
    shapes = [(values[6:9], (0.9, 0.15, 0.05))]
    for x, y in values[:2, :2]:
        knob = [(x - 4, y - 4), (x + 4, y - 4), (x + 4, y + 4), (x - 4, y + 4)]
        shapes.append((straight(knob, closed=True), KNOB))
    for points, paint_with in shapes:
        mask = rasterize([points], width=width, height=height)
        colour = colour * (1 - mask[..., None]) + np.float32(paint_with) * mask[..., None]
        alpha = alpha * (1 - mask) + mask
    return colour, alpha


def write_exr(path: Path, colour: np.ndarray, alpha: np.ndarray | None) -> None:
    channels = {c: np.ascontiguousarray(colour[..., i]).astype("f2") for i, c in enumerate("RGB")}
    if alpha is not None:
        channels["A"] = alpha.astype("f2")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def write_png(path: Path, colour: np.ndarray, alpha: np.ndarray) -> None:
    straight_ = np.where(alpha[..., None] > 0, colour / np.maximum(alpha[..., None], 1e-6), 0)
    curve = np.where(straight_ <= 0.0031308, straight_ * 12.92,
                     1.055 * np.maximum(straight_, 1e-9) ** (1 / 2.4) - 0.055)  # fmt: skip
    rgba = np.concatenate([curve[..., ::-1], alpha[..., None]], axis=2)
    cv2.imwrite(str(path), np.round(rgba * 65535).astype(np.uint16))


def write_points(path: Path, **changes: object) -> None:
    xy = transform_points(REST, POSE)[:2, :2]
    points = {name: place.tolist() for name, place in zip(TRACKS, xy, strict=True)}
    path.write_text(json.dumps({"points": points | changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cg").mkdir()
    write_exr(tmp_path / "cg" / "a.exr", *drawn())
    write_points(tmp_path / "cg" / "a.json")
    return tmp_path / "cg"


@pytest.fixture(autouse=True)
def two_points_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laikaroto.training.renders.LEAST_POINTS", 2)  # the boat has two


def prepared(folder: Path, to: Path) -> list:
    found = find_renders([folder], FORM)
    roto = as_roto(transform_points(REST, poses(3, 1)[0]), 1001)
    write_renders(to, found, FORM, [roto], crop_px=128)
    return [read_render(to / f"{one.name}.npz") for one in found]


def test_exr_and_png_hold_the_same_light(folder: Path) -> None:
    colour, alpha = drawn()
    write_png(folder / "b.png", colour, alpha)
    for name, limit in (("a.exr", 1e-3), ("b.png", 2e-4)):
        light, opaque = read_rgba(folder / name)
        assert np.abs(light - colour).max() < limit, name
        assert np.abs(opaque - alpha).max() < limit, name


def test_folders_of_one_name_do_not_take_each_others_place(folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin" / folder.name
    shutil.copytree(folder, twin)
    found = find_renders([folder, twin], FORM)
    names = {render.name for render in found}
    assert len(names) == len(found) == 2 * len(prepared(folder, tmp_path))


def test_a_render_knows_its_points_and_where_the_head_is(folder: Path, tmp_path: Path) -> None:
    (head,) = prepared(folder, tmp_path / "run")
    truth = transform_points(REST, POSE)
    assert head.known.tolist() == [True] * 2 + [False] * 7
    np.testing.assert_allclose(head.values[:2, :2], truth[:2, :2])
    # two tracking points tell where the mast's top is: the drawn frames say how large the boat is
    low, high = truth[:, :2].min(0), truth[:, :2].max(0)
    assert (head.box.x, head.box.y) == pytest.approx(tuple((low + high) / 2), abs=0.01)
    assert head.box.side == pytest.approx(1.3 * (high - low).max(), rel=1e-3)


def test_a_head_stands_before_a_plate_in_linear_light(folder: Path, tmp_path: Path) -> None:
    (head,) = prepared(folder, tmp_path / "run")
    behind = encode_log(np.full((40, 40, 3), 0.5, np.float32))
    example = head.before(behind)
    colour, alpha = drawn()
    assert head.scale == 1.0
    wanted = encode_log(colour + 0.5 * (1 - alpha[..., None]))
    assert np.abs(example.head.astype(np.float32) - wanted).max() < 2e-3
    assert example.box == head.box and not example.known[2:].any()


def test_batches_show_renders_at_their_share(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = transform_points(REST, poses(3, 1)[0])
    write_example(
        tmp_path, as_roto(values, 1001), 1001, paint(values, 1), FORM, crop_px=128, finder=(128, 96)
    )
    dataset = Dataset([read_example(tmp_path, "a1", 1001)], tracks=2, crop_px=128, finder=(128, 96))
    with ThreadPoolExecutor(1) as pool:
        dataset.renders, dataset.renders_share = prepared(folder, tmp_path / "run"), 0.0
        none = dataset.batch((1, 0), 20, pool)
        dataset.renders_share = 0.4
        kept = dataset.of_shots(["a1"])
        many = kept.batch((1, 0), 60, pool)
    assert none.targets.known.all()
    rendered = many.targets.known[:, 2:].sum(1) == 0
    assert 12 <= int(rendered.sum()) <= 36
    # where the knobs are said to be, there is a knob
    monkeypatch.setattr(dataset_module, "vary", lambda sample, rng, other, chances: sample)
    kept.renders_share = 0.9
    with ThreadPoolExecutor(1) as pool:
        exact = kept.batch((2, 0), 8, pool)
    green = encode_log(np.array(KNOB))
    for crop, xy, known in zip(exact.crops, exact.targets.xy, exact.targets.known, strict=True):
        for x, y in (xy[:2] * 128).int().tolist() if not known[2:].any() else []:
            if 0 <= x < 128 and 0 <= y < 128:
                assert np.abs(crop[:, y, x].numpy() - green).max() < 0.06
    assert len(kept.poses()) == 1  # held-out shots, means and mirrors are of plates only


def refused(folders: list[Path], *texts: str) -> str:
    with pytest.raises(TruthError) as caught:
        find_renders(folders, FORM)
    for text in texts:
        assert text in str(caught.value), str(caught.value)
    return str(caught.value)


def test_all_faults_of_all_files_are_listed(folder: Path, tmp_path: Path) -> None:
    (folder / "b.json").write_text("{")
    write_points(folder / "c.json", bow=[1, "2"], keel=[1, 2])
    write_exr(folder / "c.exr", *drawn())
    (folder / "d.png").write_bytes(b"")
    write_points(folder / "e.json")
    write_exr(folder / "e.exr", *drawn())
    write_png(folder / "e.png", *drawn())
    (folder / "f.json").write_text('{"points": {"bow": [3, 4]}, "camera": 1}')
    write_exr(folder / "f.exr", *drawn())
    write_points(folder / "g.json", bow=None)
    write_exr(folder / "g.exr", *drawn())
    write_points(folder / "h.json", bow=[0, 0], stern=[float("nan"), 1])
    write_exr(folder / "h.exr", *drawn())
    (tmp_path / "empty").mkdir()
    said = refused(
        [folder, tmp_path / "nowhere", tmp_path / "empty"],
        "b.json: cannot be read", "b.json: wanted b.exr or b.png beside it, got neither",
        "c.json: points.keel: no tracking points; known: bow, stern",
        "c.json: points.bow: wanted [x, y] or null, got [1, '2']",
        "d.png: has no d.json", "e.json: wanted e.exr or e.png beside it, got both",
        'f.json: wanted {"points"', "g.json: 1 points are seen; wanted 2 at least",
        "h.json: points.stern: wanted [x, y] or null, got [nan, 1]",
        "nowhere: there is no such folder", "empty: holds no renders",
    )  # fmt: skip
    assert "a.json" not in said


def test_a_long_list_of_faults_is_cut(folder: Path) -> None:
    for number in range(30):
        (folder / f"x{number}.json").write_text("[]")
    assert refused([folder]).splitlines()[-1] == "… and 40 more"


def test_pictures_that_cannot_be_used_are_listed(folder: Path, tmp_path: Path) -> None:
    colour, alpha = drawn()
    for name in "bcdef":
        write_points(folder / f"{name}.json")
    write_exr(folder / "b.exr", colour, None)
    (folder / "c.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "d.png"), np.zeros((96, 160, 3), np.uint8))
    write_exr(folder / "e.exr", colour, alpha * 0)
    write_points(folder / "f.json", bow=[900, 20])
    write_exr(folder / "f.exr", colour, alpha)
    with pytest.raises(TruthError) as caught:
        prepared(folder, tmp_path / "run")
    said = str(caught.value)
    for text in (
        "b.exr: has no channel A", "c.png: is not a PNG", "d.png: has no alpha",
        "e.exr: nothing in it is opaque", "f.exr: is 160x96, but its points lie",
    ):  # fmt: skip
        assert text in said
    assert len(said.splitlines()) == 6


def test_a_frame_with_everything_drawn_is_needed(folder: Path, tmp_path: Path) -> None:
    roto = as_roto(transform_points(REST, POSE), 1001)
    del roto.shapes["mast"]
    with pytest.raises(TruthError, match="a frame on which all shapes and points are drawn"):
        write_renders(tmp_path, find_renders([folder], FORM), FORM, [roto], crop_px=128)


def test_damaged_files_are_told(folder: Path, tmp_path: Path) -> None:
    prepared(folder, tmp_path / "run")
    (path,) = (tmp_path / "run").iterdir()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TruthError, match="cannot be read.*prepare step again"):
        read_render(path)
