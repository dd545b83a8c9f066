"""The paper's data set: four real frames of a film, and files that are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.bezier import segments
from laikaroto.sidecar.formats.registry import ReadOptions
from laikaroto.sidecar.formats.wacv2021 import read
from tests.sidecar.formats.rotos import PLATE

LIONEL = Path(__file__).parents[2] / "data" / "lionel"
ANY = ReadOptions()


@pytest.mark.parametrize("path", sorted(LIONEL.glob("*.json")), ids=lambda path: path.stem)
def test_every_real_segment_is_where_it_was(path: Path) -> None:
    artist = read(path, ANY)
    document = json.loads(path.read_text())
    frame = int(path.stem[-3:])
    assert artist.size == (800, 800)
    assert set(artist.shapes) == set(document) - {"points"}
    for name, shape in artist.shapes.items():
        assert shape.closed == ("seam" not in name)
        assert shape.keys == (frame,)
        polygons = segments(shape.frames[frame], closed=shape.closed)
        for polygon, (xs, ys) in zip(polygons, document[name], strict=True):
            for axis, (start, out, end, into) in enumerate((xs, ys)):
                wanted = [start, start + out, end + into, end]
                assert polygon[:, axis] == pytest.approx(wanted, abs=2e-3)
    assert len(artist.tracks) == (43 if path.stem.startswith("revec") else 0)


def folder(tmp_path: Path) -> Path:
    for path in LIONEL.glob("*shot0*.json"):
        shutil.copy(path, tmp_path)
    (tmp_path / "image-shot0-frame100.png").write_bytes(b"not looked at")
    return tmp_path


def test_a_shots_folder_gives_the_artists_contours(tmp_path: Path) -> None:
    raw = read(folder(tmp_path), ANY)
    assert len(raw.shapes["left_eye"].frames[100]) == 8
    assert not raw.shapes["nose_seam"].closed
    revec = read(tmp_path, ReadOptions(node="revec"))
    assert len(revec.shapes["left_eye"].frames[100]) == 6
    assert revec.tracks["point_01"][100].xy == (201.2902, 449.7109)
    centred = read(tmp_path, ReadOptions(node="revec", pixel_centres=True))
    assert centred.tracks["point_01"][100].xy == pytest.approx((201.7902, 450.2109))
    assert centred.shapes["left_eye"].frames[100][0] == pytest.approx(
        revec.shapes["left_eye"].frames[100][0] + [0.5, 0.5, 0, 0, 0, 0]
    )


def test_covered_points_of_renders_are_left_out(tmp_path: Path) -> None:
    for frame, place in ((0, [3.5, 4.5]), (1, [0.0, 0.0])):
        text = json.dumps({"points": [place, [5, 6]]})
        (tmp_path / f"points-CG-frame{frame:03d}.json").write_text(text)
    tracks = read(tmp_path, ANY).tracks
    assert {name: sorted(track) for name, track in tracks.items()} == {
        "point_01": [0], "point_02": [0, 1]
    }  # fmt: skip


def one(tmp_path: Path, document: object) -> ArtistFile:
    path = tmp_path / "shapes-test-frame001.json"
    path.write_text(json.dumps(document))
    return read(path, ANY)


LINE = [[[0, 1, 3, -1], [0, 0, 0, 0]], [[3, 1, 6, -1], [0, 0, 2, 0]]]


def test_an_open_contour_of_the_test_set(tmp_path: Path) -> None:
    shape = one(tmp_path, {"seam": LINE}).shapes["seam"]
    assert not shape.closed
    assert np.array_equal(
        shape.frames[1], [[0, 0, 0, 0, 1, 0], [3, 0, -1, 0, 1, 0], [6, 2, -1, 0, 0, 0]]
    )


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ([], "wanted shapes by name, got list"),
        ({"eye": 3}, "eye: wanted a list, got int"),
        ({"eye": []}, "eye: no segments"),
        ({"eye": [[1]]}, "eye: segment 0: wanted x and y"),
        ({"eye": [[[1, 2, 3], [1, 2, 3, 4]]]}, "segment 0: wanted 4 numbers"),
        ({"eye": [[[1, 2, 3, "4"], [1, 2, 3, 4]]]}, "segment 0: wanted a number, got '4'"),
        ({"eye": [[[1, 2, 3, float("nan")], [1, 2, 3, 4]]]}, "wanted a number, got nan"),
        ({"eye": [*LINE, [[9, 1, 6, -1], [0, 0, 2, 0]]]}, "segment 2 begins 3 px off"),
        ({"points": [[1]]}, "points[1]: wanted 2 numbers, got [1]"),
    ],
)
def test_wrong_files_say_where_and_why(tmp_path: Path, document: object, wanted: str) -> None:
    with pytest.raises(SidecarError) as caught:
        one(tmp_path, document)
    assert wanted in str(caught.value)
    assert "shapes-test-frame001.json" in str(caught.value)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="wanted files such as raw_shapes"):
        read(tmp_path, ANY)
    with pytest.raises(SidecarError, match="several shots, shot0, shot1, shot2, shot3"):
        read(LIONEL, ANY)
    with pytest.raises(SidecarError, match="no set 'cg'; there are raw, revec"):
        read(folder(tmp_path), ReadOptions(node="cg"))
    with pytest.raises(SidecarError, match="format is 800x800, the plate is 1280x720"):
        read(tmp_path, ReadOptions(plate=PLATE))
