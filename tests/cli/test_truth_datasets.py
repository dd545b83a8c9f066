"""``laikaroto truth import`` of others' data sets: keypoints, folders of shapes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import read_template
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats.registry import FORMATS, WriteOptions
from laikaroto.sidecar.schema import read_roto

Run = Callable[..., Any]

SAMPLE = bundled("sample")
FRAMES = range(1001, 1009)


@pytest.fixture
def truth() -> Roto:
    return read_roto(SAMPLE / "truth" / "hero" / "tr02.roto.json")


@pytest.fixture
def take(laikaroto: Run, sample_configs: Path) -> Run:
    return lambda *arguments: laikaroto(
        "truth", "import", "hero", *arguments, "--configs", sample_configs
    )


def imported(configs: Path, shot: str = "tr02") -> Roto:
    return read_roto(configs.parent / f"sample/training_set/hero/{shot}.roto.json")


def coco(path: Path, roto: Roto, names: Mapping[str, str] | None = None) -> Path:
    """Keypoints as an annotator with pixel centres at whole numbers writes them."""
    points = list(roto.tracks)
    annotations = []
    for frame in FRAMES:
        numbers: list[float] = []
        for name in points:
            point = roto.tracks[name][frame]
            numbers += [point.xy[0] - 0.5, point.xy[1] - 0.5, 2 if point.visible else 1]
        annotations.append({"image_id": frame, "category_id": 1, "keypoints": numbers})
    document = {
        "images": [
            {"id": f, "file_name": f"{roto.shot}.{f}.png", "width": 640, "height": 360}
            for f in FRAMES
        ],
        "categories": [
            {"id": 1, "name": "hero", "keypoints": [(names or {}).get(p, p) for p in points]}
        ],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document))
    return path


def nk(path: Path, roto: Roto, *, tracks: bool = False) -> Path:
    roto = roto if tracks else replace(roto, tracks={})
    keys = {name: tuple(sorted(shape.frames)) for name, shape in roto.shapes.items()}
    files = FORMATS["nuke"].write(roto, WriteOptions(keys=keys, name=roto.shot))
    path.write_bytes(next(iter(files.values())))
    return path


def assert_points(found: Roto, truth: Roto, *, off: float = 0.0) -> None:
    assert set(found.tracks) == set(truth.tracks)
    for name, track in truth.tracks.items():
        for frame in FRAMES:
            got, wanted = found.tracks[name][frame], track[frame]
            assert got.visible == wanted.visible
            assert got.xy == pytest.approx((wanted.xy[0] - off, wanted.xy[1] - off), abs=1e-6)


def test_points_and_shapes_of_a_shot_come_in_together(
    take: Run, sample_configs: Path, truth: Roto, tmp_path: Path
) -> None:
    shapes, points = nk(tmp_path / "tr02.nk", truth), coco(tmp_path / "tr02.json", truth)
    ran = take(shapes, points, "--mark", "1001", "--pixel-centres")
    assert ran.code == 0, ran.err
    assert "import hero:   0% reading 2 files" in ran.err and "% fitting mouth" in ran.err
    found = imported(sample_configs)
    assert_points(found, truth)
    assert set(found.shapes) == set(truth.shapes)
    source = found.provenance["imported"]
    assert (source["file"], source["points"]["file"]) == ("tr02.nk", "tr02.json")
    template = sample_configs.parent / "sample/models/hero/template.json"
    assert read_template(template).tracks == tuple(sorted(truth.tracks))


def test_points_join_the_truth_that_is_there(
    take: Run, sample_configs: Path, truth: Roto, tmp_path: Path
) -> None:
    first = SAMPLE / "truth" / "hero" / "tr01.roto.json"
    assert take(first, nk(tmp_path / "tr02.nk", truth)).code == 0
    before = imported(sample_configs)
    assert not before.tracks
    points = coco(tmp_path / "labels.json", truth)
    ran = take(points, "--shot", "tr02")
    assert ran.code == 2 and "use --replace" in ran.err
    ran = take(points, "--shot", "tr02", "--replace")
    assert ran.code == 0, ran.err
    found = imported(sample_configs)
    assert_points(found, truth, off=0.5)  # nobody said --pixel-centres
    for name, shape in before.shapes.items():
        for frame, entry in shape.frames.items():
            assert found.shapes[name].frames[frame].points.tolist() == entry.points.tolist()


def test_a_puppet_of_points_alone(
    take: Run, laikaroto: Run, sample_configs: Path, truth: Roto, tmp_path: Path
) -> None:
    ran = take(coco(tmp_path / "tr02.json", truth), "--pixel-centres")
    assert ran.code == 0, ran.err
    assert_points(imported(sample_configs), truth)
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert ran.code == 0 and "0 errors" in ran.out, ran.out


def test_frames_of_a_video_count_from_the_plates_first(
    take: Run, sample_configs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tr02.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([
            ["scorer", *["net"] * 6],
            ["individuals", *["hero"] * 3, *["double"] * 3],
            ["bodyparts", *["chin"] * 6],
            ["coords", *["x", "y", "likelihood"] * 2],
            ["0", 1, 2, 0.9, 3, 4, 0.9],
        ])  # fmt: skip
    assert "several individuals, double, hero; say which with --node" in take(path).err
    ran = take(path, "--node", "hero")
    assert ran.code == 0, ran.err
    assert imported(sample_configs).tracks["chin"][1001].xy == (1.0, 2.0)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("alone", "holds tracking points only, and there are no shapes of shot 'tr02'"),
        ("twice", "two go together only where one has shapes and the other nothing but"),
        ("both", "two go together only where one has shapes and the other nothing but"),
        ("renamed", "tracking point 'snout' is not in the template"),
        ("fewer", "tracking point 'chin' of the template is missing"),
        ("size", "is drawn on 1280x720, the plate is 640x360"),
    ],
)
def test_points_that_do_not_fit_are_told_and_nothing_is_imported(
    take: Run, sample_configs: Path, truth: Roto, tmp_path: Path, case: str, words: str
) -> None:
    assert take(SAMPLE / "truth" / "hero" / "tr01.roto.json").code == 0
    path = tmp_path / "tr02.json"
    files = [path]
    if case == "fewer":
        truth = replace(truth, tracks={n: t for n, t in truth.tracks.items() if n != "chin"})
    coco(path, truth, {"nose_tip": "snout"} if case == "renamed" else None)
    if case == "twice":
        (tmp_path / "again").mkdir()
        files.append(coco(tmp_path / "again" / "tr02.json", truth))
    if case == "both":
        files.append(nk(tmp_path / "tr02.nk", truth, tracks=True))
    if case == "size":
        path.write_text(path.read_text().replace('"width": 640, "height": 360',
                                                 '"width": 1280, "height": 720'))  # fmt: skip
    ran = take(*files)
    assert ran.code != 0 and words in ran.err, ran.err
    folder = sample_configs.parent / "sample/training_set/hero"
    assert [p.name for p in folder.iterdir()] == ["tr01.roto.json"]


LIONEL = Path(__file__).parents[1] / "data" / "lionel"


def test_a_folder_of_the_wacv_data_set(laikaroto: Run, tmp_path: Path) -> None:
    folders = []
    for shot, frame in (("shot0", 100), ("shot1", 50)):
        folders.append(tmp_path / "data" / shot)
        folders[-1].mkdir(parents=True)
        for file in LIONEL.glob(f"*-{shot}-*.json"):
            shutil.copy(file, folders[-1])
        plate = tmp_path / "plates" / shot / f"{shot}.{frame:04d}.exr"
        plate.parent.mkdir(parents=True)
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        grey = np.full((800, 800, 3), 0.2, np.float16)
        OpenEXR.File(header, {"RGB": grey}).write(str(plate))
    plates = f"{tmp_path}/plates/{{shot}}/{{shot}}.{{frame:04d}}.exr"
    assert laikaroto("init", tmp_path / "show", "--plates", plates,
                     "--character", "lionel").code == 0  # fmt: skip
    configs = tmp_path / "show" / "configs"
    ran = laikaroto("truth", "import", "lionel", *folders, "--configs", configs, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert sorted(report["imported"]) == ["shot0", "shot1"]
    assert max(row["max_px"] for row in report["reports"]) <= 0.5
    found = read_roto(tmp_path / "show/training_set/lionel/shot0.roto.json")
    assert not found.shapes["nose_seam"].closed and found.shapes["left_eye"].closed
    assert found.provenance["imported"]["file"] == "shot0"

    shutil.copy(LIONEL / "raw_shapes-shot2-frame150.json", folders[0])
    ran = laikaroto("truth", "import", "lionel", folders[0], "--configs", configs, "--dry-run")
    assert ran.code != 0 and "several shots, shot0, shot2; hand in one shot's folder" in ran.err
