from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from laikaroto.config import ReviewConfig
from laikaroto.model.predictions import Predictions
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.schema import parse_roto, roto_bytes
from laikaroto.tracking.solve import confidence_of, solve_shot
from laikaroto.training.evaluate import evaluate
from tests.tracking.simulated import noisy, perfect, read_truth

TRUTH, TEMPLATE = read_truth()


def solve(predictions: Predictions, *, width: int = 640, height: int = 360) -> Roto:
    return solve_shot(
        predictions, TEMPLATE, shot="ta01",
        plate=dataclasses.replace(TRUTH.plate, width=width, height=height),
        review=ReviewConfig(), provenance={"seed": 1},
    )  # fmt: skip


def test_perfect_predictions_give_the_truth() -> None:
    measured = evaluate(solve(perfect(TRUTH, TEMPLATE)), TRUTH)
    assert measured.curves_all.mean_px is not None and measured.curves_all.mean_px < 0.02
    assert measured.missing_shapes == {}
    assert measured.shape_visibility.accuracy == 1.0
    assert measured.point_visibility.accuracy == 1.0


def test_settled_beats_the_raw_prediction() -> None:
    raw = noisy(perfect(TRUTH, TEMPLATE), TEMPLATE, seed=4)
    alone = [evaluate(solve(raw.pick([f])), TRUTH, frames=[f]) for f in raw.frames.tolist()]
    single = np.mean([e.curves_all.mean_px for e in alone if e.curves_all.mean_px is not None])
    settled = evaluate(solve(raw), TRUTH).curves_all.mean_px
    assert settled is not None and settled < single


def test_the_roto_is_to_the_contract() -> None:
    roto = solve(noisy(perfect(TRUTH, TEMPLATE), TEMPLATE, seed=1))
    again = parse_roto(roto_bytes(roto), origin="test")
    assert set(again.tracks) == set(TEMPLATE.tracks)
    assert [(n, s.closed, s.corners) for n, s in again.shapes.items()] == [
        (s.name, s.closed, s.corners) for s in TEMPLATE.shapes
    ]
    assert sorted(again.frames) == list(range(1001, 1017))
    mouth = again.shapes["mouth"].frames[1005]
    assert mouth.source == "predicted"
    assert mouth.confidence is not None and 0 < mouth.confidence < 1
    assert mouth.expected_error_px is not None and mouth.expected_error_px > 0


def test_held_frames_are_equal_to_the_last_digit() -> None:
    raw = noisy(perfect(TRUTH, TEMPLATE), TEMPLATE, seed=1).pick([1001, 1001, 1001, 1004])
    moved = np.array([[np.inf] * 3, [0.01, 0.0, 0.3], [0.0, 0.02, 0.3], [2.0, 1.0, 9.0]])
    values = noisy(raw, TEMPLATE, seed=9).values
    roto = solve(dataclasses.replace(raw, frames=np.arange(1001, 1005), moved=moved, values=values))
    assert [roto.frames[f].hold_of for f in range(1001, 1005)] == [None, 1001, 1001, None]
    for shape in roto.shapes.values():
        for frame in (1002, 1003):
            np.testing.assert_array_equal(shape.frames[frame].points, shape.frames[1001].points)
        assert not np.array_equal(shape.frames[1004].points, shape.frames[1001].points)
        assert shape.keys == (1001, 1003, 1004)
    assert roto.tracks["nose_tip"][1003] == roto.tracks["nose_tip"][1001]


def test_a_frame_without_a_puppet_shows_nothing_and_is_flagged() -> None:
    some = perfect(TRUTH, TEMPLATE)
    found, error = some.found.copy(), some.error_px.copy()
    found[5], error[5] = 0.05, 40.0
    roto = solve(dataclasses.replace(some, found=found, error_px=error))
    for shape in roto.shapes.values():
        assert not shape.frames[1006].visible and not shape.frames[1006].point_visible.any()
        assert shape.frames[1006].confidence == 0.0
    assert not any(track[1006].visible for track in roto.tracks.values())
    assert roto.frames[1006].flagged
    assert "none drawn" in roto.frames[1006].reasons[0]
    assert roto.shapes["mouth"].frames[1005].visible


@pytest.mark.parametrize(
    ("found", "error_share", "shown"),
    [
        (0.3, 0.001, True),  # an unsure finder alone hides nothing
        (0.3, 0.02, False),
        (0.9, 0.02, True),  # nor does an unsure drawer
        (0.02, 0.001, False),  # where the finder sees nothing, there is nothing
    ],
)
def test_finder_and_drawer_tell_together_whether_there_is_a_puppet(
    found: float, error_share: float, shown: bool
) -> None:
    some = perfect(TRUTH, TEMPLATE)
    error = np.repeat(some.box[:, 2:] * error_share, some.error_px.shape[1], axis=1)
    roto = solve(dataclasses.replace(some, found=np.full(16, found), error_px=error))
    assert roto.shapes["mouth"].frames[1006].visible == shown


def test_what_lies_outside_the_frame_is_not_visible() -> None:
    some = perfect(TRUTH, TEMPLATE)
    values = some.values.copy()
    values[..., 0] += 640.0 - values[0, :, 0].mean()  # half of the head is off the plate
    roto = solve(dataclasses.replace(some, values=values))
    for name, shape in roto.shapes.items():
        frame = shape.frames[1001]
        inside = (frame.points[:, 0] >= 0) & (frame.points[:, 0] <= 640)
        assert not frame.point_visible[~inside].any(), name
        seen = inside & TRUTH.shapes[name].frames[1001].point_visible
        assert frame.visible == bool(seen.mean() > 0.3), name
    assert any(not shape.frames[1001].visible for shape in roto.shapes.values())
    assert any(shape.frames[1001].visible for shape in roto.shapes.values())


def test_unsure_visibility_is_flagged() -> None:
    some = perfect(TRUTH, TEMPLATE)
    visible = some.visible.copy()
    seam = TEMPLATE.slices()["seam_L"]
    first = len(TEMPLATE.tracks)
    visible[2, first + seam.start : first + seam.stop] = 0.33
    roto = solve(dataclasses.replace(some, visible=visible))
    assert roto.frames[1003].reasons == ("seam_L: hidden or not is unsure",)
    assert not roto.frames[1004].flagged


def test_confidence_is_the_chance_to_be_within_the_limit() -> None:
    rng = np.random.default_rng(0)
    lengths = np.hypot(*rng.normal(0, 1.0, (2, 200_000)))
    for limit in (0.5, 1.0, 2.0):
        chance = float((lengths < limit).mean())
        assert confidence_of(float(lengths.mean()), limit) == pytest.approx(chance, abs=0.005)
    assert confidence_of(0.0, 1.0) == 1.0


def test_same_predictions_give_the_same_bytes() -> None:
    raw = noisy(perfect(TRUTH, TEMPLATE), TEMPLATE, seed=2)
    assert roto_bytes(solve(raw)) == roto_bytes(solve(raw))
