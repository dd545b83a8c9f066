"""Our SVG files in resvg."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
import resvg_py

from laikaroto.sidecar.formats import svg
from tests.sidecar.formats.drawn import FIRST, HIDDEN, LAST, iou, matte, moving_roto, sparse

FILES = svg.write(moving_roto(), sparse(moving_roto()))


def drawn(data: bytes) -> np.ndarray:
    png = np.frombuffer(bytes(resvg_py.svg_to_bytes(svg_string=data.decode())), np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image[..., 3] / 255.0)


def without_open(data: bytes) -> bytes:
    return data.replace(b'stroke="#ffffff"', b'stroke="none"')


def test_there_is_a_file_for_every_frame() -> None:
    assert list(FILES) == [f"x.{frame}.svg" for frame in range(FIRST, LAST + 1)]


@pytest.mark.parametrize("frame", range(FIRST, LAST + 1, 4))
def test_resvg_draws_what_our_matte_shows(frame: int) -> None:
    picture = drawn(without_open(FILES[f"x.{frame}.svg"]))
    assert picture.shape == (720, 1280)
    assert iou(picture, matte(moving_roto(), frame)) >= 0.999


def test_an_open_shape_is_a_line() -> None:
    one = drawn(FILES["x.1003.svg"].replace(b'fill="#ffffff"', b'fill="none"'))
    rows, columns = np.nonzero(one > 0.5)
    assert 20 < len(rows) and columns.min() > 100
    assert one.sum() < 2000  # of a line, not of an area


def test_hidden_shapes_are_there_but_not_drawn() -> None:
    for frame in sorted(HIDDEN):
        data = FILES[f"x.{frame}.svg"]
        assert not drawn(without_open(data)).any()
        (path,) = (e for e in ET.fromstring(data).iter() if e.get("data-name") == "blob")
        assert path.get("display") == "none" and path.get("d")


def test_names_that_are_no_identifiers_stay_readable() -> None:
    assert svg._identifier("eye_L") == "eye_L"
    assert svg._identifier("7 dwarfs") == "_7_dwarfs"
    assert json.dumps(svg._identifier('a"b')) == '"a_b"'
