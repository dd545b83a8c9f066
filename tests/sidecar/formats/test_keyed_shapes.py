from __future__ import annotations

import dataclasses
import json

import pytest

from laikaroto.errors import SidecarError
from laikaroto.sidecar.formats import fusion, threede
from laikaroto.sidecar.formats.keyed_shapes import keyed_shapes, opacity_keys, seen_track
from laikaroto.sidecar.formats.text import identifiers, number, python_text
from tests.sidecar.formats.drawn import moving_roto, sparse


def test_when_a_shape_is_seen() -> None:
    roto = moving_roto()
    blob = roto.shapes["blob"]
    (shape, _) = keyed_shapes(roto, sparse(roto), tool="a test")
    assert shape.seen == ((1001, True), (1011, False), (1013, True))
    gap = dataclasses.replace(
        blob, frames={f: e for f, e in blob.frames.items() if f not in (1001, 1020)}
    )
    roto_with_gap = dataclasses.replace(roto, shapes={"blob": gap})
    (shape,) = keyed_shapes(roto_with_gap, sparse(roto_with_gap), tool="a test")
    assert shape.seen == (
        (1001, False), (1002, True), (1011, False), (1013, True), (1020, False), (1021, True),
    )  # fmt: skip
    assert seen_track(roto.tracks["nose_tip"], 1010, 1013) == (
        (1010, True), (1011, False), (1013, True),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        (((1001, True),), [(1001, 1)]),
        (((1001, False),), [(1001, 0)]),
        (((1001, True), (1011, False)), [(1001, 1), (1010, 1), (1011, 0)]),
        # a state of a single frame is not keyed twice
        (((1001, True), (1002, False), (1003, True)), [(1001, 1), (1002, 0), (1003, 1)]),
        (((1001, True), (1004, False), (1005, True)),
         [(1001, 1), (1003, 1), (1004, 0), (1005, 1)]),
    ],
)  # fmt: skip
def test_opacity_steps_have_a_key_on_either_side(
    changes: tuple[tuple[int, bool], ...], keys: list[tuple[int, int]]
) -> None:
    assert list(opacity_keys(changes)) == keys


def test_numbers_as_text() -> None:
    assert number(1.5, 4) == "1.5"
    assert number(-0.00001, 4) == "0"
    assert number(100.0, 0) == "100"
    assert number(1e-7, 9) == "0.0000001"
    assert number(-3.0, 2) == "-3"


def test_identifiers_differ_whatever_the_names() -> None:
    given = identifiers(["eye_L", "eye.L", "EYE_l", "7", "é", "eye L"])
    assert given["eye_L"] == "eye_L"
    assert len({name.lower() for name in given.values()}) == 6
    assert all(name.isidentifier() and name.isascii() for name in given.values())


def test_a_document_in_python_is_only_text() -> None:
    document = json.dumps({"name": "'''\"\"\"\\ \n é { } %s" * 900})
    world: dict[str, object] = {"json": json}
    exec(python_text("ROTO", document), world)
    assert world["ROTO"] == json.loads(document)


def test_lua_strings() -> None:
    assert fusion.quoted('a"b\\c\né') == '"a\\034b\\092c\\010\\195\\169"'


def test_3de_takes_names_of_one_line_only() -> None:
    roto = moving_roto()
    roto = dataclasses.replace(roto, tracks={"a\n3": roto.tracks["nose_tip"]})
    with pytest.raises(SidecarError, match="wanted a name of one line"):
        threede.write(roto, sparse(roto))


def test_3de_text() -> None:
    roto = moving_roto()
    lines = threede.write(roto, sparse(roto))["x.txt"].decode().splitlines()
    # 21 frames, two of them hidden; y counts from the bottom of 720 px
    assert lines[:5] == ["1", "nose_tip", "0", "19", "1001 100 669.75"]
    assert [line.split()[0] for line in lines[4:]] == [
        str(frame) for frame in range(1001, 1022) if frame not in (1011, 1012)
    ]
