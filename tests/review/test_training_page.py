from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from laikaroto.review.training_page import (
    HistoryRow,
    Phase,
    SuggestedPicture,
    TrainingReport,
    ValidationPicture,
    write_training_page,
)
from laikaroto.shapes.records import Roto
from laikaroto.training.evaluate import evaluate

FRAMES = (1001, 1002, 1003, 1004)


def shaken(roto: Roto, by: dict[int, float]) -> Roto:
    """The same roto with its shapes moved down by some px on each frame."""
    shapes = {
        name: dataclasses.replace(
            shape,
            frames={
                f: dataclasses.replace(at, points=at.points + [0, by[f], 0, 0, 0, 0])
                for f, at in shape.frames.items()
            },
        )
        for name, shape in roto.shapes.items()
    }
    return dataclasses.replace(roto, shapes=shapes)


def make_report(truth: Roto, prediction: Roto, **changes: Any) -> TrainingReport:
    rgb = np.full((180, 240, 3), 0.18, dtype=np.float32)
    report = TrainingReport(
        character="hero",
        model_version="v003",
        settings={"budget": "6m", "seed": 1},
        history=[
            HistoryRow(
                seconds=60.0 * i,
                step=100 * i,
                loss=1.0 / (i + 1),
                learning_rate=1e-3,
                validation_tracks_px=5.0 / i if i else None,
                validation_curves_px=3.0 / i if i else None,
            )
            for i in range(7)
        ],
        phases=[Phase(name="held-out validation", start_s=0, end_s=240)],
        held_out=["ev01"],
        validation={"ev01": evaluate(prediction, truth).to_dict()},
        pictures=(
            ValidationPicture(title="ev01", frame=f, truth=truth, prediction=prediction, rgb=rgb)
            for f in FRAMES
        ),
    )
    return dataclasses.replace(report, **changes)


def test_worst_frames_come_first(roto: Roto, tmp_path: Path) -> None:
    prediction = shaken(roto, {1001: 0.5, 1002: 0, 1003: 3, 1004: 1})
    page = write_training_page(make_report(roto, prediction), tmp_path / "report")
    text = page.read_text()
    assert re.findall(r"<b>ev01</b> (\d+)", text) == ["1003", "1004", "1001", "1002"]
    assert "worst seam 3.00 px" in text
    images = re.findall(r'<image href="([^"]+)"', text)
    assert len(images) == 4
    picture = cv2.imread(page.parent / images[0])
    assert picture is not None and picture.shape[1] < 240  # cut to the puppet


def test_a_picture_of_an_anamorphic_plate_is_unsqueezed(roto: Roto, tmp_path: Path) -> None:
    squeezed = dataclasses.replace(roto, plate=dataclasses.replace(roto.plate, pixel_aspect=2.0))
    square, wide = (
        write_training_page(make_report(some, some), tmp_path / name)
        for name, some in (("square", roto), ("wide", squeezed))
    )
    sizes, views = [], []
    for page in (square, wide):
        text = page.read_text()
        (image, *_) = re.findall(r'<image href="([^"]+)"', text)
        sizes.append(cv2.imread(page.parent / image).shape[:2])
        views.append(
            [float(v) for v in re.findall(r'viewBox="([^"]+)" class="frame"', text)[0].split()]
        )
    assert sizes[1] == (round(sizes[0][0] / 2), sizes[0][1])
    x, y, width, height = views[0]
    assert views[1] == [2 * x, y, 2 * width, height]
    assert 'transform="scale(2.0 1)"' in wide.read_text()
    assert "transform=" not in square.read_text()


def test_what_sets_a_frame_apart_and_what_would_teach_most_is_said(
    roto: Roto, tmp_path: Path
) -> None:
    rgb = np.full((180, 240, 3), 0.18, dtype=np.float32)
    odd = ValidationPicture(title="ev01", frame=1003, truth=roto, prediction=roto, rgb=rgb,
                            why=("4 of 9 points are hidden",))  # fmt: skip
    suggested = (
        SuggestedPicture(title=f"ev07 v00{i}", frame=1000 + i, prediction=roto, rgb=rgb,
                         why=(f"expected error {i}.00 px", "<b>pose</b>"))
        for i in (2, 1)
    )  # fmt: skip
    report = make_report(
        roto, roto, pictures=[odd], suggestions=suggested, notes=["ev09: made with other shapes"]
    )
    page = write_training_page(report, tmp_path / "report")
    text = page.read_text()
    assert "1. <b>ev01</b> 1003" in text and "4 of 9 points are hidden" in text
    section = text[text.index("Frames that would teach most") :]
    assert re.findall(r"(\d)\. <b>(ev07 v00\d)</b> (\d+)", section) == [
        ("1", "ev07 v002", "1002"), ("2", "ev07 v001", "1001"),
    ]  # fmt: skip
    assert "expected error 2.00 px" in section and "&lt;b&gt;pose" in section
    assert "ev09: made with other shapes" in section
    assert section.count('<g class="prediction">') == 2 and '<g class="truth">' not in section
    for image in re.findall(r'<image href="([^"]+)"', section):
        assert cv2.imread(page.parent / image) is not None
    none = write_training_page(make_report(roto, roto), tmp_path / "none").read_text()
    assert "Nothing is published that was not learned already" in none


def test_a_frame_with_a_missing_shape_is_the_worst(roto: Roto, tmp_path: Path) -> None:
    prediction = shaken(roto, {1001: 9, 1002: 9, 1003: 9, 1004: 9})
    eye = prediction.shapes["eye"]
    frames = {**eye.frames, 1004: dataclasses.replace(eye.frames[1004], visible=False)}
    shapes = {**prediction.shapes, "eye": dataclasses.replace(eye, frames=frames)}
    prediction = dataclasses.replace(prediction, shapes=shapes)
    text = write_training_page(make_report(roto, prediction), tmp_path / "r").read_text()
    assert re.findall(r"<b>ev01</b> (\d+)", text)[0] == "1004"
    assert "missing: eye" in text


def test_figures_settings_and_curves(roto: Roto, tmp_path: Path) -> None:
    prediction = shaken(roto, dict.fromkeys(FRAMES, 2.0))
    text = write_training_page(make_report(roto, prediction), tmp_path / "r").read_text()
    row = re.search(r"<tr><td>seam</td>(.*?)</tr>", text, re.S)
    assert row is not None and re.findall(r">([\d.–]+)</td>", row[1])[0] == "2.00"
    assert "<dt>budget</dt><dd>6m</dd>" in text
    assert text.count('class="chart"') == 3
    assert "tracking points, last 0.833" in text
    assert "held-out validation" in text
    assert "6.0 min" in text


def test_truth_and_prediction_are_drawn_with_their_hidden_parts(roto: Roto, tmp_path: Path) -> None:
    text = write_training_page(make_report(roto, roto), tmp_path / "r").read_text()
    first = text[text.index('<g class="truth">') : text.index('<g class="prediction">')]
    assert first.count("<path d=") == 2  # eye and seam
    assert first.count('class="hidden"') == 1  # the last segment of the seam
    assert "M120.00 60.00h0" in first


def test_nothing_held_out_and_a_broken_history(roto: Roto, tmp_path: Path) -> None:
    """A report must not fail where the training went wrong: that is when it is read."""
    report = make_report(
        roto,
        roto,
        history=[HistoryRow(seconds=1, step=1, loss=math.nan, learning_rate=None)],
        validation={},
        held_out=[],
        pictures=[],
    )
    text = write_training_page(report, tmp_path / "r").read_text()
    assert "Nothing was held out" in text
    assert "No validation frames" in text
    assert 'class="chart"' not in text
    none = dataclasses.replace(report, history=[])
    assert "0.0 min" in write_training_page(none, tmp_path / "r").read_text()


def test_a_prediction_far_off_still_gives_a_picture(roto: Roto, tmp_path: Path) -> None:
    far = shaken(roto, dict.fromkeys(FRAMES, 5000.0))
    page = write_training_page(make_report(roto, far), tmp_path / "r")
    assert len(list((page.parent / "pictures").iterdir())) == 4
    gone = dataclasses.replace(roto, shapes={}, tracks=roto.tracks)
    page = write_training_page(make_report(gone, gone), tmp_path / "r")
    assert "nothing visible" not in page.read_text()


def test_untrusted_text_stays_text(roto: Roto, tmp_path: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    report = make_report(roto, roto, character=nasty, settings={nasty: nasty})
    assert nasty not in write_training_page(report, tmp_path / "r").read_text()


def test_the_report_is_replaced_whole(roto: Roto, tmp_path: Path) -> None:
    for _ in range(2):
        write_training_page(make_report(roto, roto), tmp_path / "r")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
