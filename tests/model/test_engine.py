from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.config import PlateConfig
from laikaroto.errors import ModelError, PlateError
from laikaroto.model import engine as engine_module
from laikaroto.model.crop import Box, box_around
from laikaroto.model.engine import Engine
from laikaroto.model.looks import Look
from laikaroto.model.package import load_package
from laikaroto.model.predictions import Predictions
from laikaroto.plate.colour import encode_log
from laikaroto.plate.exr import read_rgb
from tests.model.tiny import CROP_PX

Image = np.ndarray
FRAMES = (1001, 1002, 1003, 1004)


@pytest.fixture(scope="module")
def engine(tiny_models: Path) -> Engine:
    return Engine(load_package(tiny_models / "v001"), threads=1)


@pytest.fixture(scope="module")
def plates() -> dict[int, Image]:
    config = PlateConfig(template="{shot}{frame}")
    folder = bundled("sample") / "plates" / "ta01"
    return {frame: read_rgb(folder / f"ta01.{frame}.exr", config) for frame in FRAMES}


def reader(plates: dict[int, Image]) -> Callable[[Sequence[int]], Iterator[tuple[int, Image]]]:
    return lambda frames: ((frame, plates[frame]) for frame in frames)


def assert_same(a: Predictions, b: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_predictions_have_the_templates_form(engine: Engine, plates: dict[int, Image]) -> None:
    said: list[float] = []
    found = engine.predict(FRAMES, reader(plates), report=lambda f, text: said.append(f))
    template = engine.package.template
    count = template.point_count
    assert found.frames.tolist() == list(FRAMES)
    assert found.values.shape == (4, count, 6) and np.isfinite(found.values).all()
    assert (found.values[:, : len(template.tracks), 2:] == 0).all()  # tracks have no tangents
    assert np.abs(found.values[:, len(template.tracks) :, 2:]).min(axis=(0, 1)).max() > 0
    assert ((found.visible >= 0) & (found.visible <= 1)).all()
    assert (found.error_px > 0).all()
    assert found.tokens.shape[:2] == (4, count) and np.isfinite(found.tokens).all()
    assert np.ptp(found.tokens, axis=0).max() > 0  # no frame is quite like another
    assert ((found.found >= 0) & (found.found <= 1)).all()
    assert said == [0.25, 0.5, 0.75, 1.0]


def test_same_bytes_whatever_the_chunks_and_the_order(
    engine: Engine, plates: dict[int, Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.predict(FRAMES, reader(plates), boxes=centred(FRAMES))
    assert_same(whole, engine.predict(FRAMES, reader(plates), boxes=centred(FRAMES)))
    for most, memory in ((2, 2**40), (16, 1)):
        monkeypatch.setattr(engine_module, "_MOST_FRAMES", most)
        monkeypatch.setattr(engine_module, "_MOST_BYTES", memory)
        assert_same(whole, engine.predict(FRAMES, reader(plates), boxes=centred(FRAMES)))
    tail = engine.predict(FRAMES[2:], reader(plates), before=FRAMES[1], boxes=centred(FRAMES))
    assert_same(whole.pick(FRAMES[2:]), tail)


def centred(frames: Sequence[int]) -> dict[int, Box]:
    return {frame: Box(320.0, 180.0, 250.0) for frame in frames}


def test_a_box_by_hand_is_where_it_looks(engine: Engine, plates: dict[int, Image]) -> None:
    left, right = (
        engine.predict(FRAMES[:1], reader(plates), boxes={1001: Box(x, 180.0, 100.0)})
        for x in (100.0, 500.0)
    )
    assert left.box[0, 0] < 260.0 < 340.0 < right.box[0, 0]


def test_predictions_follow_the_picture(engine: Engine, plates: dict[int, Image]) -> None:
    """A plate moved by whole pixels moves everything that is drawn by as much."""
    moved = {1001: np.roll(plates[1001], (7, 12), axis=(0, 1))}
    here = engine.predict([1001], reader(plates), boxes={1001: Box(320.0, 180.0, 130.0)})
    there = engine.predict([1001], reader(moved), boxes={1001: Box(332.0, 187.0, 130.0)})
    np.testing.assert_allclose(there.values[0, :, 0], here.values[0, :, 0] + 12, atol=0.2)
    np.testing.assert_allclose(there.values[0, :, 1], here.values[0, :, 1] + 7, atol=0.2)
    np.testing.assert_allclose(there.values[0, :, 2:], here.values[0, :, 2:], atol=0.2)


def test_repeated_pictures_have_not_moved(engine: Engine, plates: dict[int, Image]) -> None:
    again = dict(plates) | {1002: plates[1001] * np.float32(1.02)}
    moved = engine.predict(FRAMES, reader(again), boxes=centred(FRAMES)).moved
    assert np.isinf(moved[0]).all()  # there is nothing before the first
    assert np.abs(moved[1]).max() < 0.1
    assert moved[2, 2] > 1.0


def test_the_frame_before_a_chunk_counts(engine: Engine, plates: dict[int, Image]) -> None:
    again = dict(plates) | {1002: plates[1001]}
    moved = engine.predict([1002], reader(again), before=1001, boxes=centred([1002])).moved
    assert np.abs(moved[0]).max() < 0.05


def test_more_looks_are_averaged(tiny_models: Path, plates: dict[int, Image]) -> None:
    package = load_package(tiny_models / "v001")
    one, two = Look(), Look(0.05, 0.0, 1.1, 0.1)
    results = [
        Engine(package, threads=1, looks=looks).predict(
            [1001], reader(plates), boxes=centred([1001])
        )
        for looks in ((one,), (two,), (one, two))
    ]
    mean = (results[0].values + results[1].values) / 2
    # crops that are cut together are reduced together: a hundredth of a px for a trained model
    np.testing.assert_allclose(results[2].values, mean, atol=0.2)
    assert np.abs(results[0].values - results[1].values).max() > 2


def test_a_doubtful_head_is_looked_for_where_its_neighbours_have_it(
    engine: Engine, plates: dict[int, Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finder is made to fail on one frame; the drawer is surer at the right place."""
    true = Box(320.0, 180.0, 150.0)
    asked: list[float] = []
    real = engine._draw

    def draw(plate, known):  # type: ignore[no-untyped-def]
        one = real(plate, known)
        wrong = known is None and np.array_equal(plate, encode_log(held[1003]))
        box = known or (Box(60.0, 60.0, 150.0) if wrong else true)
        asked.append(box.x)
        error = np.full(len(one.values), 1.0 if abs(box.x - true.x) < 20 else 30.0)
        return dataclasses.replace(one, box=box, error_px=error, found=0.1 if wrong else 0.9)

    monkeypatch.setattr(engine, "_draw", draw)
    held = dict(plates) | {1003: plates[1002] * np.float32(1.02)}
    found = engine.predict(FRAMES, reader(held))
    assert len(asked) == 5 and asked.count(60.0) == 1  # only the doubtful frame is drawn twice
    np.testing.assert_allclose(found.box[2], [320.0, 180.0, 150.0])
    assert found.found[2] == pytest.approx(0.1)  # the finder stays as unsure as it was
    # a hold is still seen to be one, where the head really is
    assert np.abs(found.moved[2]).max() < 0.1
    assert found.moved[1, 2] > 0.5 and found.moved[3, 2] > 0.5


def test_second_look_is_closer_than_the_first(engine: Engine, plates: dict[int, Image]) -> None:
    found = engine.predict([1001], reader(plates), boxes={1001: Box(320.0, 180.0, 360.0)})
    box = box_around(found.values[0, :, :2])
    np.testing.assert_allclose(found.box[0], [box.x, box.y, box.side])


def test_a_package_of_another_template_is_refused(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = load_package(tiny_models / "v001")
    fewer = package.template.model_copy(update={"tracks": package.template.tracks[1:]})
    with pytest.raises(ModelError, match="the drawer gives points"):
        Engine(dataclasses.replace(package, template=fewer), threads=1)


def test_networks_that_cannot_be_read_are_told(tiny_models: Path, tmp_path: Path) -> None:
    package = dataclasses.replace(load_package(tiny_models / "v001"), folder=tmp_path)
    (tmp_path / "finder.xml").write_text("<net/>")
    with pytest.raises(ModelError, match="finder.xml: cannot be used"):
        Engine(package, threads=1)


def drawing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("draw")]


def test_no_more_plates_are_taken_than_fit_in_memory(
    engine: Engine, plates: dict[int, Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    drawn: list[int] = []

    def read(frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
        for frame in frames:
            taken.append(frame)
            yield frame, plates[1001 + frame % 4]

    def report(fraction: float, text: str) -> None:
        drawn.append(len(taken))

    monkeypatch.setattr(engine_module, "_MOST_BYTES", 3 * plates[1001].nbytes)
    monkeypatch.setattr(engine_module, "_FAR", 1e9)
    monkeypatch.setattr(engine_module, "_RESIZED", 1e9)
    engine.predict(range(1, 13), read, boxes=centred(range(1, 13)), report=report)
    assert [min(i + 3, 12) for i in range(12)] == drawn


def test_a_broken_plate_in_the_middle_is_told_and_everything_ends(
    engine: Engine, plates: dict[int, Image]
) -> None:
    closed = []

    def read(frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
        try:
            yield 1001, plates[1001]
            yield 1002, plates[1002]
            raise PlateError("shot ta01 frame 1003: the file is cut off")
        finally:
            closed.append(True)

    with pytest.raises(PlateError, match="frame 1003: the file is cut off"):
        engine.predict(FRAMES, read)
    assert closed == [True] and drawing_threads() == []
    assert len(engine.predict(FRAMES[:2], reader(plates)).frames) == 2  # and it goes on working


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_whatever_is_raised_ends_the_threads_and_the_reading(
    engine: Engine,
    plates: dict[int, Image],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    """An error in a drawing thread; a Ctrl-C while the results are taken."""
    closed = []
    real = engine._draw

    def draw(plate: Image, known: Box | None) -> object:
        if np.array_equal(plate, encode_log(plates[1002])) and isinstance(error, RuntimeError):
            raise error
        return real(plate, known)

    def report(fraction: float, text: str) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error

    def read(frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
        try:
            for frame in frames:
                yield frame, plates[frame]
        finally:
            closed.append(True)

    monkeypatch.setattr(engine, "_draw", draw)
    with pytest.raises(type(error)):
        engine.predict(FRAMES, read, report=report)
    assert closed == [True] and drawing_threads() == []


def test_crops_are_of_the_packages_size(engine: Engine) -> None:
    assert tuple(engine._drawer.compiled.input("image").shape) == (1, 3, CROP_PX, CROP_PX)
