"""Silhouette shape files: our own back again, what is told, and files that are wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from laikaroto.errors import SidecarError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.formats import safe_xml
from laikaroto.sidecar.formats.registry import ReadOptions, WriteOptions
from laikaroto.sidecar.formats.silhouette import read, write
from tests.sidecar.formats.rotos import PLATE, every_frame, farthest, roto

ANY = ReadOptions()
POINTS = "<Point>(0,0),(-0.1,0),(0.2,0)</Point><Point>(0.5,0.25),(0.5,0.1),(0.5,0.3)</Point>"
KEY = f'<Key frame="0" interp="linear"><Path closed="True" type="Bezier">{POINTS}</Path></Key>'


def text_of(
    path: str = KEY, *, extra: str = "", shape: str = 'shape_type="Bezier"', layer: str = "",
    head: str = "", size: str = 'width="200" height="100" sessionStartFrame="1001"',
) -> str:  # fmt: skip
    inner = (
        f'<Object type="Layer" label="head"><Properties>{layer}<Property id="objects">'
        f'<Object type="Shape" label="S" {shape}><Properties>{extra}'
        f'<Property id="path">{path}</Property></Properties></Object>'
        "</Property></Properties></Object>"
    )
    return (
        f'<?xml version="1.0"?>{head}<Silhouette {size}><Layer type="Layer" label="Root">'
        f'<Properties><Property id="objects">{inner}</Property></Properties></Layer></Silhouette>'
    )


def read_text(tmp_path: Path, text: str, options: ReadOptions = ANY) -> ArtistFile:
    path = tmp_path / "a.fxs"
    path.write_text(text)
    return read(path, options)


def test_coordinates_layers_and_frames(tmp_path: Path) -> None:
    artist = read_text(tmp_path, text_of())
    assert (artist.size, list(artist.shapes)) == ((200, 100), ["head/S"])
    shape = artist.shapes["head/S"]
    assert (shape.closed, shape.keys) == (True, (1001,))
    assert shape.frames[1001] == pytest.approx(
        np.array([[100, 50, -10, 0, 20, 0], [150, 75, 0, -15, 0, 5]])
    )


def test_pixel_aspect_is_the_plates(tmp_path: Path) -> None:
    plate = PlateInfo(width=200, height=100, first=1, last=2, pixel_aspect=2.0)
    shape = read_text(tmp_path, text_of(), ReadOptions(plate=plate)).shapes["head/S"]
    assert shape.frames[1001][1, 0] == pytest.approx(125)


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_what_is_written_comes_back(tmp_path: Path, aspect: float) -> None:
    plate = dataclasses.replace(PLATE, pixel_aspect=aspect)
    source = dataclasses.replace(roto(), plate=plate)
    path = tmp_path / "x.fxs"
    path.write_bytes(write(source, WriteOptions(keys=every_frame(source), name="x"))["x.fxs"])
    artist = read(path, ReadOptions(plate=plate))
    assert farthest(source, artist) < 1e-4
    assert artist.notes == ()
    for name, original in source.shapes.items():
        back = artist.shapes[name]
        assert (back.closed, back.keys) == (original.closed, tuple(sorted(original.frames)))
        assert back.hidden == {f for f, at in original.frames.items() if not at.visible}


def test_between_keys_it_is_held_or_straight(tmp_path: Path) -> None:
    def key(frame: int, interp: str, x: float) -> str:
        point = f"<Point>({x},0),({x},0),({x},0)</Point>"
        return (
            f'<Key frame="{frame}" interp="{interp}"><Path closed="False" type="Bezier">'
            f"{point}</Path></Key>"
        )

    keys = key(0, "linear", 0.0) + key(4, "hold", 0.4) + key(6, "linear", 1.0)
    shape = read_text(tmp_path, text_of(keys)).shapes["head/S"]
    assert not shape.closed
    assert shape.keys == (1001, 1005, 1007)
    assert [shape.frames[f][0, 0] for f in range(1001, 1008)] == pytest.approx(
        [100, 110, 120, 130, 140, 140, 200]
    )


def test_opacity_and_hidden_shapes(tmp_path: Path) -> None:
    keys = KEY + KEY.replace('frame="0"', 'frame="4"')
    opacity = '<Property id="opacity">{}</Property>'
    fades = '<Key frame="0" interp="linear">100</Key><Key frame="2" interp="linear">0</Key>'
    blinks = '<Key frame="1" interp="hold">0</Key><Key frame="3" interp="hold">50</Key>'

    def hidden(text: str) -> set[int]:
        return set(read_text(tmp_path, text).shapes["head/S"].hidden)

    assert hidden(text_of(keys, extra=opacity.format(fades))) == {1003, 1004, 1005}
    assert hidden(text_of(keys, extra=opacity.format(blinks))) == {1001, 1002, 1003}
    assert hidden(text_of(keys, extra=opacity.format("<Value>100</Value>"))) == set()
    assert len(hidden(text_of(keys, shape='shape_type="Bezier" hidden="True"'))) == 5


MATRIX = '<Property id="transform.matrix"><Key frame="0">({})</Key></Property>'
STILL = "1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1"


@pytest.mark.parametrize(
    ("change", "note", "left"),
    [
        ({"shape": 'shape_type="Xspline"'}, "head/S: is a Xspline, only Beziers are read", 0),
        ({"path": KEY.replace("Bezier", "Bspline")}, "head/S: is a Bspline", 0),
        ({"layer": MATRIX.format(STILL.replace("1,0", "1,0.5", 1))}, "head: is moved by", 0),
        ({"layer": '<Property id="transform.rotate"><Value>3</Value></Property>'}, "is moved", 0),
        ({"path": ""}, "head/S: has no path", 0),
        ({"extra": '<Property id="feather"><Value>2</Value></Property>'}, "soft edges", 1),
        ({"extra": '<Property id="invert"><Value>true</Value></Property>'}, "is inverted", 1),
        ({"path": KEY.replace("linear", "smooth")}, "kind 'smooth' are read as linear", 1),
    ],
)
def test_what_is_not_kept_is_told(
    tmp_path: Path, change: dict[str, str], note: str, left: int
) -> None:
    artist = read_text(tmp_path, text_of(**change))  # type: ignore[arg-type]
    assert len(artist.shapes) == left
    assert any(note in line for line in artist.notes)


def test_a_transform_that_does_nothing_is_none(tmp_path: Path) -> None:
    assert read_text(tmp_path, text_of(layer=MATRIX.format(STILL))).notes == ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (text_of(head='<!DOCTYPE x [<!ENTITY a "b">]>'), "has a document type or entities"),
        (text_of(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'), "has a document type"),
        (
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
            "has a document type or entities",
        ),
        ("<Silhouette", "not well-formed XML"),
        ("", "not well-formed XML"),
        ("<svg/>", "wanted a Silhouette shape file, got <svg>"),
        ("<Silhouette/>", "width: wanted a whole number, got ''"),
        (text_of(size='width="1e9" height="1"'), "width: wanted a whole number, got '1e9'"),
        (text_of(size='width="0" height="1" sessionStartFrame="1"'), "is 0x1"),
        ("<a>" * 300, "nested deeper than 200"),
        (text_of(KEY.replace("(0,0)", "(nan,0)")), "head/S: wanted a number, got 'nan'"),
        (text_of(KEY.replace("(0,0)", "(1,2,3)")), "wanted a point of three pairs"),
        (text_of(KEY.replace('frame="0"', 'frame="x"')), "wanted a number, got 'x'"),
        (text_of(KEY.replace('frame="0"', 'frame="0.5"')), "a key between frames, 0.5"),
        (text_of(KEY + KEY.replace('"0"', '"999999"')), "more than 100000 frames"),
        (
            text_of(KEY + KEY.replace('"0"', '"3"').replace("True", "False")),
            "open on some keys and closed on others",
        ),
        (
            text_of(KEY + KEY.replace('"0"', '"3"').replace(POINTS, POINTS * 2)),
            "2 points on frame 1001, 4 on 1004",
        ),
    ],
)
def test_wrong_files_say_where_and_why(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(SidecarError) as caught:
        read_text(tmp_path, text)
    assert wanted in str(caught.value)
    assert str(tmp_path / "a.fxs") in str(caught.value)


def test_another_resolution_than_the_plates(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="is 200x100, the plate is 1280x720"):
        read_text(tmp_path, text_of(), ReadOptions(plate=PLATE))


def test_size_and_elements_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_xml, "MAX_ELEMENTS", 5)
    with pytest.raises(SidecarError, match="more than 5 elements"):
        read_text(tmp_path, text_of())
    monkeypatch.setattr(safe_xml, "MAX_BYTES", 5)
    with pytest.raises(SidecarError, match="wanted at most"):
        read_text(tmp_path, text_of())
