"""COCO, DeepLabCut and SLEAP: files of their own libraries, and files that are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pycocotools.coco import COCO

from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.formats import coco, deeplabcut, keypoints, sleap
from laikaroto.sidecar.formats.registry import ReadOptions
from tests.sidecar.formats.rotos import PLATE

DATA = Path(__file__).parents[2] / "data"
ANY = ReadOptions()
CENTRES = ReadOptions(pixel_centres=True)


def places(artist: ArtistFile, name: str) -> dict[int, tuple[float, float]]:
    return {frame: point.xy for frame, point in artist.tracks[name].items()}


# -- COCO --------------------------------------------------------------------------------------


def coco_document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "plates/ev010.1001.png", "width": 1280, "height": 720},
            {"id": 8, "file_name": "plates/ev010.1002.png", "width": 1280, "height": 720},
        ],
        "categories": [
            {"id": 2, "name": "prop"},
            {"id": 3, "name": "hero", "keypoints": ["chin", "nose_tip"], "skeleton": []},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "num_keypoints": 2, "area": 1,
             "iscrowd": 0, "bbox": [0, 0, 1, 1], "keypoints": [10, 20, 2, 30.5, 40, 1]},
            {"id": 2, "image_id": 8, "category_id": 3, "num_keypoints": 1, "area": 1,
             "iscrowd": 0, "bbox": [0, 0, 1, 1], "keypoints": [11, 21, 2, 0, 0, 0]},
            {"id": 3, "image_id": 8, "category_id": 2, "area": 1, "iscrowd": 0,
             "bbox": [0, 0, 1, 1]},
        ],
    }  # fmt: skip


def read_coco(tmp_path: Path, document: object, options: ReadOptions = ANY) -> ArtistFile:
    path = tmp_path / "person_keypoints.json"
    path.write_text(json.dumps(document))
    return coco.read(path, options)


def test_coco_points_by_name_and_visibility(tmp_path: Path) -> None:
    artist = read_coco(tmp_path, coco_document(), ReadOptions(plate=PLATE))
    assert artist.size == (1280, 720)
    assert places(artist, "chin") == {1001: (10, 20), 1002: (11, 21)}
    assert places(artist, "nose_tip") == {1001: (30.5, 40)}  # 0: nobody placed it
    assert artist.tracks["chin"][1001].visible
    assert not artist.tracks["nose_tip"][1001].visible
    assert places(read_coco(tmp_path, coco_document(), CENTRES), "chin")[1001] == (10.5, 20.5)


def test_pycocotools_reads_the_same(tmp_path: Path) -> None:
    artist = read_coco(tmp_path, coco_document())
    library = COCO(str(artist.path))
    names = library.loadCats(library.getCatIds(catNms=["hero"]))[0]["keypoints"]
    for annotation in library.loadAnns(library.getAnnIds(catIds=library.getCatIds(["hero"]))):
        picture = library.loadImgs(annotation["image_id"])[0]["file_name"]
        frame = int(picture.split(".")[-2])
        for name, (x, y, v) in zip(
            names, np.reshape(annotation["keypoints"], (-1, 3)), strict=True
        ):
            there = artist.tracks[name].get(frame)
            assert (there is None) == (v == 0)
            assert there is None or (there.xy, there.visible) == ((x, y), v == 2)


def changed(**changes: Any) -> dict[str, Any]:
    return {**coco_document(), **changes}


def with_annotation(**changes: Any) -> dict[str, Any]:
    document = coco_document()
    document["annotations"][0].update(changes)
    return document


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ([], "wanted a COCO document, got list"),
        ({}, "categories: wanted a list; is it COCO"),
        (changed(categories=[{"id": 2, "name": "prop"}]), "no category has keypoints"),
        (changed(categories=[{"id": 2, "name": "a", "keypoints": ["x", "x"]}]), "all differ"),
        (
            changed(categories=[{"id": i, "name": f"c{i}", "keypoints": ["x"]} for i in (1, 2)]),
            "several categorys, c1, c2; say which with --node",
        ),
        (changed(images=[{"id": 1, "file_name": "plate.png"}]), "wanted a frame number"),
        (
            changed(images=[{"id": i, "file_name": f"{i}/a.1.png"} for i in (7, 8)]),
            "images[1]: a second picture of frame 1",
        ),
        (
            changed(images=[{"id": i, "file_name": f"a.{i}.png", "width": i, "height": 5}
                            for i in (7, 8)]),
            "pictures of several sizes",
        ),
        (with_annotation(image_id=99), "annotations[0]: image_id 99 names no picture"),
        (with_annotation(image_id=8), "annotations[1]: a second puppet on frame 1002"),
        (with_annotation(image_id=[8]), "image_id: wanted a number or name, got [8]"),
        (with_annotation(keypoints=[1, 2]), "keypoints: wanted 6 numbers, got 2"),
        (with_annotation(keypoints=[1, 2, 3, 4, 5, 2]), "chin: wanted visibility 0, 1 or 2, got 3"),
        (with_annotation(keypoints=["1", 2, 2, 4, 5, 2]), "chin: wanted a number, got '1'"),
        (with_annotation(keypoints=[float("inf"), 2, 2, 4, 5, 2]), "wanted a number, got inf"),
    ],
)  # fmt: skip
def test_wrong_coco_files(tmp_path: Path, document: object, wanted: str) -> None:
    with pytest.raises(SidecarError) as caught:
        read_coco(tmp_path, document)
    assert wanted in str(caught.value)


def test_another_size_than_the_plates(tmp_path: Path) -> None:
    plate = PlateInfo(width=640, height=360, first=1, last=2)
    with pytest.raises(SidecarError, match="format is 1280x720, the plate is 640x360"):
        read_coco(tmp_path, coco_document(), ReadOptions(plate=plate))


def test_what_is_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    for text, wanted in (
        (b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[" * 200_000, "nested too deep"),
    ):  # fmt: skip
        path.write_bytes(text)
        with pytest.raises(SidecarError, match=wanted):
            coco.read(path, ANY)
    monkeypatch.setattr(keypoints, "MAX_BYTES", 10)
    with pytest.raises(SidecarError, match="wanted at most"):
        coco.read(path, ANY)
    with pytest.raises(SidecarError, match="cannot be read"):
        coco.read(tmp_path / "none.json", ANY)


# -- DeepLabCut ----------------------------------------------------------------------------------


def test_deeplabcut_predictions_start_with_the_plate() -> None:
    artist = deeplabcut.read(DATA / "deeplabcut" / "videoDLC_net.csv", ReadOptions(plate=PLATE))
    assert places(artist, "chin") == {1001 + f: (410 + 2 * f, 380.125) for f in range(5)}
    assert sorted(artist.tracks["eye_L"]) == [1001, 1002, 1004, 1005]
    assert artist.tracks["nose_tip"][1001].confidence == 0.9
    assert artist.tracks["nose_tip"][1001].visible


def test_deeplabcut_labels_carry_their_frames() -> None:
    artist = deeplabcut.read(DATA / "deeplabcut" / "CollectedData_artist.csv", CENTRES)
    assert places(artist, "nose_tip")[1005] == (404.75, 301)
    assert sorted(artist.tracks["eye_L"]) == [1001, 1002, 1004, 1005]
    assert artist.tracks["chin"][1001].confidence is None


def test_deeplabcut_several_animals() -> None:
    path = DATA / "deeplabcut" / "multi_animal.csv"
    with pytest.raises(SidecarError, match="several individuals, double, hero"):
        deeplabcut.read(path, ANY)
    artist = deeplabcut.read(path, ReadOptions(node="double"))
    assert places(artist, "chin") == {0: (9.5, 10.5), 1: (21.5, 22.5)}
    assert artist.tracks["chin"][0].confidence is None  # 11.5 is no confidence


HEAD = "scorer,s,s\nbodyparts,chin,chin\ncoords,x,y\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "wanted a DeepLabCut table"),
        ("a,b\n1,2\n", "wanted a DeepLabCut table with rows scorer, bodyparts and coords, got 'a'"),
        (HEAD + "0,1,oops\n", "line 4: chin: wanted a number, got 'oops'"),
        (HEAD + "0,1,inf\n", "line 4: chin: wanted a number, got inf"),
        (HEAD + "0,1,2\n0,1,2\n", "line 5: frame 0 is there twice"),
        (HEAD + "pic.png,1,2\n", "line 4: wanted a frame number"),
        (HEAD.replace("x,y", "x,z"), "wanted columns x and y"),
        (HEAD.replace("coords,x,y", "coords,x"), "header rows of unlike length"),
    ],
)
def test_wrong_deeplabcut_files(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(SidecarError) as caught:
        deeplabcut.read(path, ANY)
    assert wanted in str(caught.value)


def test_a_deeplabcut_h5_is_no_table() -> None:
    with pytest.raises(SidecarError, match="not a table of text"):
        deeplabcut.read(DATA / "sleap" / "hero.slp", ANY)


# -- SLEAP ---------------------------------------------------------------------------------------


def test_a_sleap_project_knows_its_pixel_centres() -> None:
    artist = sleap.read(DATA / "sleap" / "hero.slp", ReadOptions(plate=PLATE))
    assert places(artist, "chin") == {1001 + f: (410.5 + 2 * f, 380.625) for f in range(5)}
    assert sorted(artist.tracks["eye_L"]) == [1001, 1002, 1004, 1005]
    assert artist.tracks["chin"][1001].confidence is None  # by hand
    assert artist.tracks["chin"][1002].confidence == pytest.approx(0.8)
    assert artist.notes == ()


def test_an_old_sleap_project_counts_corners(tmp_path: Path) -> None:
    path = tmp_path / "old.slp"
    shutil.copy(DATA / "sleap" / "hero.slp", path)
    with h5py.File(path, "r+") as file:
        file["metadata"].attrs["format_id"] = 1.0
    assert places(sleap.read(path, CENTRES), "chin")[0] == (410, 380.125)


def test_a_sleap_analysis_is_told_how_it_counts() -> None:
    path = DATA / "sleap" / "hero.analysis.h5"
    artist = sleap.read(path, ReadOptions(plate=PLATE, pixel_centres=True))
    project = sleap.read(DATA / "sleap" / "hero.slp", ReadOptions(plate=PLATE))
    assert set(artist.tracks) == set(project.tracks)
    for name in artist.tracks:
        assert places(artist, name) == places(project, name)
    assert artist.notes == ()
    assert "counts pixel centres" in sleap.read(path, ANY).notes[0]
    assert places(sleap.read(path, ANY), "chin")[0] == (410, 380.125)


def test_sleap_tracks_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["tracks"] = np.arange(24.0).reshape(2, 2, 2, 3)
        file["node_names"] = np.array([b"chin", b"nose"])
        file["track_names"] = np.array([b"hero", b"double"])
    with pytest.raises(SidecarError, match="several tracks, double, hero"):
        sleap.read(path, CENTRES)
    artist = sleap.read(path, ReadOptions(node="double"))
    assert places(artist, "nose") == {0: (15, 21), 1: (16, 22), 2: (17, 23)}


def test_wrong_sleap_files(tmp_path: Path) -> None:
    path = tmp_path / "a.slp"
    path.write_text("no HDF5")
    with pytest.raises(SidecarError, match="not a SLEAP project or analysis that can be read"):
        sleap.read(path, ANY)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(SidecarError, match="neither a SLEAP project"):
        sleap.read(path, ANY)
    with h5py.File(path, "w") as file:
        file["tracks"] = np.zeros((1, 2, 3, 4))
        file["node_names"] = np.array([b"chin"])
    with pytest.raises(SidecarError, match="for 1 points"):
        sleap.read(path, ANY)


def test_sleap_data_kept_in_another_file_is_not_followed(tmp_path: Path) -> None:
    other, path = tmp_path / "secret.h5", tmp_path / "a.h5"
    with h5py.File(other, "w") as file:
        file["t"] = np.zeros((1, 2, 1, 1))
    with h5py.File(path, "w") as file:
        file["tracks"] = h5py.ExternalLink(str(other), "t")
        file["node_names"] = np.array([b"chin"])
    with pytest.raises(SidecarError, match="lies in another file"):
        sleap.read(path, ANY)
