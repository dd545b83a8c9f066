"""roto.json: what is read is what was written; every fault is named with its path."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.errors import SidecarError, TryAgainError
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.sidecar.schema import json_schema, parse_roto, read_roto, roto_bytes, write_roto

TRUTH = bundled("sample") / "truth" / "hero" / "ta01.roto.json"
DOCS = Path(__file__).parents[2] / "docs"


def small_roto(**changes: Any) -> Roto:
    square = [[10, 10, 0, 0, 0, 0], [20, 10, -1, 0, 1, 0], [20, 20, 0, 0, 0, 0]]
    shape = Shape(
        closed=True,
        corners=(0, 2),
        keys=(1001,),
        frames={
            1001: ShapeFrame(
                points=np.array(square, dtype=float),
                point_visible=np.array([True, True, False]),
                confidence=0.123456,
                expected_error_px=0.43219,
            ),
        },
    )
    roto = Roto(
        shot="sh010",
        character="hero",
        version="v001",
        plate=PlateInfo(width=64, height=48, first=1001, last=1001),
        tracks={"nose": {1001: TrackFrame(xy=(1.00049, -0.0001), confidence=0.5)}},
        shapes={"mouth": shape},
        frames={1001: FrameNote(flagged=True, reasons=("low confidence",), hold_of=None)},
        provenance={"seed": 1},
    )
    return dataclasses.replace(roto, **changes)


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(roto_bytes(small_roto())), **changes}


def fault(data: Any) -> str:
    with pytest.raises(SidecarError) as caught:
        parse_roto(json.dumps(data).encode(), origin="x.roto.json")
    assert all(line.startswith("x.roto.json: ") for line in str(caught.value).splitlines())
    return str(caught.value)


def test_ground_truth_survives_a_round_trip_unchanged() -> None:
    roto = read_roto(TRUTH)
    before, after = json.loads(TRUTH.read_bytes()), json.loads(roto_bytes(roto))
    assert after["tracks"] == before["tracks"]
    assert after["shapes"] == before["shapes"]
    assert after["plate"] == before["plate"]
    assert roto.shapes["eye_L"].corners == (0, 4)
    assert roto.shapes["eye_L"].stack(range(1001, 1017)).shape == (16, 8, 6)


def test_writing_is_deterministic_rounded_and_newline_terminated() -> None:
    data = roto_bytes(small_roto())
    assert data == roto_bytes(parse_roto(data, origin="again"))
    assert data.endswith(b"\n") and data.count(b"\n") == 1
    written = json.loads(data)
    assert written["tracks"]["nose"]["1001"]["xy"] == [1.0, 0.0]
    assert b"-0.0" not in data
    entry = written["shapes"]["mouth"]["frames"]["1001"]
    assert (entry["confidence"], entry["expected_error_px"]) == (0.1235, 0.432)
    assert written["frames"]["1001"] == {
        "flagged": True, "reasons": ["low confidence"], "hold_of": None
    }  # fmt: skip


def test_frames_ascend_whatever_order_they_were_made_in() -> None:
    track = {frame: TrackFrame(xy=(0.0, 0.0)) for frame in (1010, 999, 1001)}
    written = json.loads(roto_bytes(small_roto(tracks={"nose": track})))
    assert list(written["tracks"]["nose"]) == ["999", "1001", "1010"]


def test_ground_truth_has_no_confidence_and_says_nothing_of_it() -> None:
    written = json.loads(roto_bytes(read_roto(TRUTH)))
    assert "confidence" not in written["tracks"]["nose_tip"]["1001"]
    assert "confidence" not in written["shapes"]["mouth"]["frames"]["1001"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_nonfinite_numbers_are_refused_with_their_place(number: str) -> None:
    text = roto_bytes(small_roto()).replace(b"[20.0,10.0", f"[{number},10.0".encode())
    with pytest.raises(SidecarError, match=r"shapes\.mouth\.frames\.1001\.points\.1\.0.*finite"):
        parse_roto(text, origin="x")


def test_nonfinite_numbers_are_not_written() -> None:
    bad = small_roto(tracks={"nose": {1007: TrackFrame(xy=(math.nan, 0.0))}})
    with pytest.raises(SidecarError, match="track 'nose', frame 1007"):
        roto_bytes(bad)


def test_all_faults_are_told_at_once() -> None:
    data = document(extra=1, plate={"width": 0, "height": "48", "first": 1, "last": 1})
    del data["shot"]
    message = fault(data)
    for part in ("extra: unknown setting", "plate.width", "plate.height", "shot: "):
        assert part in message
    assert len(message.splitlines()) == 4


def test_a_thousand_faults_are_summed_up() -> None:
    frames = {str(f): {"xy": "left"} for f in range(1000)}
    lines = fault(document(tracks={"nose": frames})).splitlines()
    assert len(lines) == 21
    assert "980 faults more" in lines[-1]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "is not JSON"),
        (b'{"schema": ', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "should be an object"),
        (b"3", "should be an object"),
    ],
)
def test_what_is_no_roto_at_all(data: bytes, wanted: str) -> None:
    with pytest.raises(SidecarError, match=wanted):
        parse_roto(data, origin="x")


@pytest.mark.parametrize(
    "name", ["../x", "a b", "a'b", 'a"b', "$(reboot)", "", ".x", "a..b", "a/b"]
)
def test_names_that_could_leave_a_folder_or_reach_a_shell(name: str) -> None:
    shape = document()["shapes"]["mouth"]
    assert "shapes" in fault(document(shapes={name: shape}))
    assert "shot" in fault(document(shot=name))


@pytest.mark.parametrize("frame", ["01001", " 1001", "1e3", "1001.0", "x", ""])
def test_a_frame_number_has_one_writing(frame: str) -> None:
    assert "tracks.nose" in fault(document(tracks={"nose": {frame: {"xy": [1, 2]}}}))


def test_counts_must_agree() -> None:
    data = document()
    data["shapes"]["mouth"]["frames"]["1001"]["point_visible"] = [True]
    data["shapes"]["mouth"]["corners"] = [0, 3]
    data["shapes"]["mouth"]["keys"] = [1002]
    data["plate"]["last"] = 1000
    message = fault(data)
    assert "point_visible: wanted one for each of the 3 points, got 1" in message
    assert "corner 3 is not among 3 points" in message
    assert "keys: frame 1002" in message
    assert "plate.last: 1000 is before plate.first 1001" in message


def test_another_schema_is_refused() -> None:
    assert "laikaroto.roto/1" in fault(document(schema="laikaroto.roto/2"))


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match=r"none\.json: cannot be read: No such file"):
        read_roto(tmp_path / "none.json")


def test_write_roto_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "roto.json"
    write_roto(path, small_roto())
    write_roto(path, small_roto(version="v002"))
    assert read_roto(path).version == "v002"
    assert [p.name for p in path.parent.iterdir()] == ["roto.json"]


def test_write_roto_where_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TryAgainError, match="cannot write"):
        write_roto(tmp_path / "file" / "roto.json", small_roto())


def test_the_published_json_schema_is_the_one_in_use() -> None:
    published = json.loads((DOCS / "roto.schema.json").read_text())
    assert published == json_schema(), "write json_schema() to it again"
