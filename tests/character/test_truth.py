"""Checks of one shot's ground truth: each slip is found, sound truth is left in peace."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import CharacterTemplate, template_from
from laikaroto.character.truth import TruthFault, check_truth, template_differences
from laikaroto.shapes.records import Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.sidecar.schema import read_roto

SAMPLE = bundled("sample") / "truth" / "hero"
FRAMES = range(1001, 1009)


@pytest.fixture
def roto() -> Roto:
    return read_roto(SAMPLE / "tr01.roto.json")


@pytest.fixture
def template(roto: Roto) -> CharacterTemplate:
    return template_from(roto)


def edit_shape(roto: Roto, name: str, frame: int, edit: Callable[[ShapeFrame], ShapeFrame]) -> Roto:
    shape = roto.shapes[name]
    frames = {**shape.frames, frame: edit(shape.frames[frame])}
    return with_shape(roto, name, dataclasses.replace(shape, frames=frames))


def with_shape(roto: Roto, name: str, shape: Shape) -> Roto:
    return dataclasses.replace(roto, shapes={**roto.shapes, name: shape})


def set_number(index: tuple[int, int], value: float) -> Callable[[ShapeFrame], ShapeFrame]:
    def edit(entry: ShapeFrame) -> ShapeFrame:
        points = entry.points.copy()
        points[index] = value
        return dataclasses.replace(entry, points=points)

    return edit


def only(faults: list[TruthFault]) -> TruthFault:
    assert len(faults) == 1, [str(fault) for fault in faults]
    return faults[0]


@pytest.mark.parametrize("shot", ["tr01", "tr02", "tr03", "ta01"])
def test_the_sample_truth_has_no_errors(shot: str, template: CharacterTemplate) -> None:
    roto = read_roto(SAMPLE / f"{shot}.roto.json")
    plates = range(roto.plate.first, roto.plate.last + 1)
    faults = check_truth(roto, template, plate_frames=plates, plate_size=(640, 360))
    assert [str(f) for f in faults if f.severity == "error"] == []


def test_missing_plates(roto: Roto, template: CharacterTemplate) -> None:
    fault = only(check_truth(roto, template, plate_frames={1001, 1002, 1004, 1005, 1006, 1007}))
    assert (fault.severity, fault.frames) == ("error", (1003, 1008))
    assert str(fault) == (
        "error: shot tr01 frames 1003,1008: drawn, but there is no plate; "
        "put the plates back or remove these frames"
    )


def test_plates_of_another_size(roto: Roto, template: CharacterTemplate) -> None:
    faults = check_truth(roto, template, plate_frames=FRAMES, plate_size=(1280, 720))
    assert only(faults).text == "drawn on 640x360, the plates are 1280x720"


def test_a_point_outside_the_frame_is_a_warning(roto: Roto, template: CharacterTemplate) -> None:
    bad = edit_shape(roto, "mouth", 1004, set_number((0, 0), -3.0))
    bad = edit_shape(bad, "mouth", 1005, set_number((0, 1), 360.5))
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.what, fault.frames) == ("warning", "mouth", (1004, 1005))


def test_a_hidden_point_may_lie_outside(roto: Roto, template: CharacterTemplate) -> None:
    def hide(entry: ShapeFrame) -> ShapeFrame:
        return dataclasses.replace(set_number((0, 0), -3.0)(entry), visible=False)

    bad = edit_shape(roto, "mouth", 1004, hide)
    assert check_truth(bad, template, plate_frames=FRAMES) == []


def test_a_tracking_point_outside_the_frame(roto: Roto, template: CharacterTemplate) -> None:
    tracks = {**roto.tracks, "chin": {**roto.tracks["chin"], 1002: TrackFrame(xy=(641.0, 5.0))}}
    bad = dataclasses.replace(roto, tracks=tracks)
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.what, fault.frames) == ("warning", "chin", (1002,))


def test_a_shape_that_changes_its_point_count(roto: Roto, template: CharacterTemplate) -> None:
    def lose_one(entry: ShapeFrame) -> ShapeFrame:
        return dataclasses.replace(
            entry, points=entry.points[:-1], point_visible=entry.point_visible[:-1]
        )

    bad = edit_shape(roto, "seam_L", 1006, lose_one)
    faults = check_truth(bad, template, plate_frames=FRAMES)
    assert {(f.severity, f.what, f.frames) for f in faults} == {("error", "seam_L", (1006,))}
    texts = " | ".join(f.text for f in faults)
    assert "changes its number of points: 4 on 1006, 5 on 1001-1005,1007-1008" in texts
    assert "wanted 5 points, got 4" in texts


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none(roto: Roto, template: CharacterTemplate, number: float) -> None:
    bad = edit_shape(roto, "mouth", 1003, set_number((2, 3), number))
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.what, fault.frames) == ("error", "mouth", (1003,))
    assert "not finite" in fault.text
    tracks = {**roto.tracks, "chin": {**roto.tracks["chin"], 1002: TrackFrame(xy=(number, 5.0))}}
    bad = dataclasses.replace(roto, tracks=tracks)
    assert only(check_truth(bad, template, plate_frames=FRAMES)).what == "chin"


def test_a_tangent_that_ran_away(roto: Roto, template: CharacterTemplate) -> None:
    bad = edit_shape(roto, "eye_L", 1003, set_number((2, 4), 400.0))
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.what, fault.frames) == ("error", "eye_L", (1003,))
    assert "tangent" in fault.text


def test_a_frame_that_only_some_have(roto: Roto, template: CharacterTemplate) -> None:
    frames = {f: v for f, v in roto.shapes["mouth"].frames.items() if f != 1004}
    bad = with_shape(roto, "mouth", dataclasses.replace(roto.shapes["mouth"], frames=frames))
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.what, fault.frames) == ("warning", "mouth", (1004,))


def test_truth_beyond_its_own_range(roto: Roto, template: CharacterTemplate) -> None:
    bad = dataclasses.replace(roto, plate=dataclasses.replace(roto.plate, last=1006))
    fault = only(check_truth(bad, template, plate_frames=FRAMES))
    assert (fault.severity, fault.frames) == ("error", (1007, 1008))


def test_truth_without_frames(template: CharacterTemplate, roto: Roto) -> None:
    shapes = {n: dataclasses.replace(s, frames={}) for n, s in roto.shapes.items()}
    bad = dataclasses.replace(roto, shapes=shapes, tracks={n: {} for n in roto.tracks})
    assert "no frame at all" in only(check_truth(bad, template, plate_frames=FRAMES)).text


def test_every_difference_from_the_template_is_told(
    roto: Roto, template: CharacterTemplate
) -> None:
    shapes = dict(roto.shapes)
    shapes["tail"] = shapes.pop("mouth")
    shapes["eye_L"] = dataclasses.replace(shapes["eye_L"], closed=False)
    shapes["eye_R"] = dataclasses.replace(shapes["eye_R"], corners=(0,))
    tracks = {name: track for name, track in roto.tracks.items() if name != "chin"}
    bad = dataclasses.replace(roto, shapes=shapes, tracks=tracks)
    assert template_differences(bad, template) == [
        "'mouth': shape is missing",
        "'tail': shape is not in the template",
        "'chin': tracking point is missing",
        "'eye_L': wanted it closed, got it open",
        "'eye_R': wanted corners [0, 4], got [0]",
    ]
    assert template_differences(roto, template) == []


def test_errors_come_before_warnings(roto: Roto, template: CharacterTemplate) -> None:
    bad = edit_shape(roto, "mouth", 1004, set_number((0, 0), -3.0))
    bad = edit_shape(bad, "seam_R", 1003, set_number((2, 4), 4000.0))
    faults = check_truth(bad, template, plate_frames=FRAMES)
    assert [fault.severity for fault in faults] == ["error", "warning"]


def test_nothing_about_a_face_is_needed() -> None:
    points = np.array([[10, 10, 0, 0, 0, 0], [50, 40, 0, 0, 0, 0]], dtype=float)
    sleeve = ShapeFrame(points=points, point_visible=np.ones(2, dtype=bool))
    roto = dataclasses.replace(
        read_roto(SAMPLE / "tr01.roto.json"),
        tracks={},
        shapes={"sleeve": Shape(closed=False, frames={1001: sleeve})},
    )
    assert check_truth(roto, template_from(roto), plate_frames={1001}) == []
