from __future__ import annotations

import dataclasses
import errno
import json
import re
import weakref
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from laikaroto.errors import PlateError, SidecarError, TryAgainError
from laikaroto.review import shot_page
from laikaroto.review.shot_page import known_frames, write_shot_page
from laikaroto.shapes.records import FrameNote, Roto
from laikaroto.training.evaluate import evaluate


def page_data(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="roto">(.*?)</script>', text, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


class Links(HTMLParser):
    """Every address a page loads, and the tags it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_page_and_pictures(roto: Roto, plates: Any, mattes: Path, tmp_path: Path) -> None:
    page = write_shot_page(roto, tmp_path / "review", plates=plates, mattes=mattes)
    assert page == tmp_path / "review" / "index.html"
    names = {path.name for path in (page.parent / "pictures").iterdir()}
    assert names == {
        name
        for f in (1001, 1002, 1003, 1004)
        for name in (
            f"plate.{f}.jpg", f"thumb.{f}.jpg", f"matte.all.{f}.jpg", f"matte.eyes.{f}.jpg"
        )
    }  # fmt: skip
    dark, light = (cv2.imread(page.parent / "pictures" / f"plate.{f}.jpg") for f in (1001, 1004))
    assert dark.shape == (180, 240, 3)
    assert dark.mean() < light.mean()
    matte = cv2.imread(page.parent / "pictures" / "matte.eyes.1001.jpg", cv2.IMREAD_GRAYSCALE)
    assert matte[90, 120] == pytest.approx(128, abs=2)
    assert matte[10, 10] <= 2


def test_pictures_of_an_anamorphic_shot_are_unsqueezed(
    roto: Roto, plates: Any, mattes: Path, tmp_path: Path
) -> None:
    squeezed = dataclasses.replace(roto, plate=dataclasses.replace(roto.plate, pixel_aspect=2.0))
    page = write_shot_page(squeezed, tmp_path / "review", plates=plates, mattes=mattes)
    for name in ("plate.1001.jpg", "matte.eyes.1001.jpg"):
        assert cv2.imread(page.parent / "pictures" / name).shape[:2] == (90, 240)
    assert cv2.imread(page.parent / "pictures" / "thumb.1001.jpg").shape[:2] == (72, 192)


def test_data_of_the_page(roto: Roto, plates: Any, tmp_path: Path) -> None:
    data = page_data(write_shot_page(roto, tmp_path / "review", plates=plates, mattes=None))
    assert data["layers"] == []
    assert data["limit_px"] == 240 / 1280
    assert [f["frame"] for f in data["frames"]] == [1001, 1002, 1003, 1004]
    first, second, third, fourth = data["frames"]
    assert first["expected_px"] == pytest.approx(0.08)  # the worse of the two shapes
    assert second["shapes"][0]["visible"] is False
    assert second["shapes"][1]["source"] == "artist"
    assert third["flagged"] and fourth["hold_of"] == 1003
    assert first["shapes"][1]["seen"] == [1, 1, 0]
    assert first["shapes"][1]["points"][0] == [60, 90, 0, 0, 20, 0]
    assert first["error"] is None


def test_measured_errors_are_in_the_page(roto: Roto, plates: Any, tmp_path: Path) -> None:
    shapes = {name: s for name, s in roto.shapes.items() if name == "seam"}
    prediction = dataclasses.replace(roto, shapes=shapes)
    result = evaluate(prediction, roto)
    page = write_shot_page(
        prediction, tmp_path / "review", plates=plates, mattes=None, evaluation=result
    )
    error = page_data(page)["frames"][0]["error"]
    assert error["missing"] == ["eye"]
    assert error["clean"] is False
    assert error["shapes"][0]["mean_px"] == pytest.approx(0, abs=0.01)
    assert "0.00 px mean" in page.read_text()


def test_untrusted_text_stays_text(roto: Roto, plates: Any, tmp_path: Path) -> None:
    """The reason of frame 1003 and the names hold markup; none of it becomes an element."""
    nasty = roto.frames[1003].reasons[1]
    named = dataclasses.replace(roto, shot=nasty, shapes={nasty: roto.shapes["eye"]})
    page = write_shot_page(named, tmp_path / "review", plates=plates, mattes=None)
    text = page.read_text()
    assert nasty not in text
    assert page_data(page)["shot"] == nasty
    links = Links()
    links.feed(text)
    assert links.tags.count("script") == 2
    assert "x" not in links.addresses


def test_the_page_needs_no_network(roto: Roto, plates: Any, mattes: Path, tmp_path: Path) -> None:
    page = write_shot_page(roto, tmp_path / "review", plates=plates, mattes=mattes)
    links = Links()
    links.feed(page.read_text())
    loaded = [address for address in links.addresses if address != "data:,"]
    assert len(loaded) == 4
    assert all((page.parent / address).is_file() for address in loaded)


def test_flagged_frames_come_first(roto: Roto, plates: Any, tmp_path: Path) -> None:
    text = write_shot_page(roto, tmp_path / "r", plates=plates, mattes=None).read_text()
    order = re.findall(r'data-frame="(\d+)"', text)
    assert order == ["1003", "1001", "1002", "1004"]
    none = dataclasses.replace(roto, frames={f: FrameNote() for f in roto.frames})
    text = write_shot_page(none, tmp_path / "r", plates=plates, mattes=None).read_text()
    assert "No frame is flagged." in text


def test_same_input_same_page(roto: Roto, plates: Any, mattes: Path, tmp_path: Path) -> None:
    def made() -> dict[str, bytes]:
        write_shot_page(roto, tmp_path / "r", plates=plates, mattes=mattes)
        return {p.name: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}

    assert made() == made()
    assert {path.name for path in tmp_path.iterdir()} == {"r", "matte"}


def test_a_failure_keeps_the_old_page_and_leaves_nothing(
    roto: Roto, plates: Any, tmp_path: Path
) -> None:
    page = write_shot_page(roto, tmp_path / "r", plates=plates, mattes=None)
    before = page.read_bytes()

    def broken(frames: Sequence[int]) -> Iterator[Any]:
        yield next(plates(frames))
        raise PlateError("shot ev01 frame 1002: the file is cut off")

    later = dataclasses.replace(roto, version="v003")
    with pytest.raises(PlateError, match="frame 1002"):
        write_shot_page(later, tmp_path / "r", plates=broken, mattes=None)
    with pytest.raises(PlateError, match="frame 1002: wanted its plate.*got none"):
        write_shot_page(later, tmp_path / "r", plates=lambda f: plates(f[:1]), mattes=None)
    assert page.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_full_disk_says_so(
    roto: Roto, plates: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, html: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shot_page, "write_page", full)
    with pytest.raises(TryAgainError, match="disk is full"):
        write_shot_page(roto, tmp_path / "r", plates=plates, mattes=None)
    assert list(tmp_path.iterdir()) == []


def test_missing_mattes_are_named(roto: Roto, plates: Any, mattes: Path, tmp_path: Path) -> None:
    (mattes / "eyes.1002.exr").unlink()
    with pytest.raises(SidecarError, match="layer 'eyes' has no matte of frames 1002"):
        write_shot_page(roto, tmp_path / "r", plates=plates, mattes=mattes)
    with pytest.raises(SidecarError, match="is not a folder"):
        write_shot_page(roto, tmp_path / "r", plates=plates, mattes=tmp_path / "none")


def test_a_roto_without_frames_is_refused(roto: Roto, plates: Any, tmp_path: Path) -> None:
    empty = dataclasses.replace(roto, shapes={}, tracks={}, frames={})
    with pytest.raises(SidecarError, match="'ev01'.*no frames"):
        write_shot_page(empty, tmp_path / "r", plates=plates, mattes=None)
    assert known_frames(dataclasses.replace(roto, frames={}, shapes={})) == (1001, 1002, 1003, 1004)


def test_plates_do_not_pile_up(roto: Roto, tmp_path: Path) -> None:
    """However long the shot, only a few plates are in memory at a time."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def give(frames: Sequence[int]) -> Iterator[tuple[int, Any]]:
        nonlocal most
        for frame in frames:
            rgb = np.zeros((18, 24, 3), dtype=np.float32)
            alive.append(weakref.ref(rgb))
            most = max(most, sum(ref() is not None for ref in alive))
            yield frame, rgb

    long = dataclasses.replace(roto, frames={f: FrameNote() for f in range(1001, 1061)})
    write_shot_page(long, tmp_path / "r", plates=give, mattes=None)
    assert len(alive) == 60
    assert most <= 7
