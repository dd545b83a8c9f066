from __future__ import annotations

import numpy as np
import pytest

from laikaroto.config import ReviewConfig
from laikaroto.shapes.records import ShapeFrame
from laikaroto.tracking.flags import (
    FLAG_BELOW,
    error_limit,
    find_jumps,
    reasons_to_look,
    wanted_confidence,
)


def shape(error: float, confidence: float, *, visible: bool = True) -> ShapeFrame:
    return ShapeFrame(
        points=np.zeros((2, 6)), point_visible=np.ones(2, bool), visible=visible,
        confidence=confidence, expected_error_px=error,
    )  # fmt: skip


def reasons(shapes: dict[str, ShapeFrame], *, doubtful: tuple[str, ...] = (), jump: float = 0.0):  # type: ignore[no-untyped-def]
    return reasons_to_look(
        shapes, limit_px=1.0, min_confidence=0.5, doubtful=doubtful, jump_px=jump
    )


def test_good_frames_need_no_look() -> None:
    assert reasons({"mouth": shape(0.4, 0.9), "brow": shape(1.0, 0.6)}) == ()


def test_reasons_are_words_with_figures() -> None:
    found = reasons(
        {"mouth": shape(1.84, 0.2), "brow": shape(0.5, 0.3)}, doubtful=("seam",), jump=120.4
    )
    assert found == (
        "head is 120 px from where the frames around have it",
        "mouth: expected error 1.8 px, limit 1.0 px",
        "brow: 30% sure, wanted 50%",
        "seam: hidden or not is unsure",
    )


def test_many_shapes_that_are_each_just_sure_enough_are_not_sure_together() -> None:
    some = {"mouth": shape(0.6, 0.7), "brow": shape(0.6, 0.65), "eye": shape(0.2, 0.99)}
    assert reasons(some) == (
        "45% sure that every shape is right, wanted 50%; least of brow (65%), mouth (70%), "
        "eye (99%)",
    )


def test_the_model_says_what_confidence_is_wanted_unless_the_character_does() -> None:
    assert wanted_confidence(ReviewConfig(), {FLAG_BELOW: 0.57}) == 0.57
    assert wanted_confidence(ReviewConfig(min_confidence=0.0), {FLAG_BELOW: 0.57}) == 0.0
    assert wanted_confidence(ReviewConfig(), {}) == 0.8  # made before models said it


def test_hidden_shapes_are_not_complained_of() -> None:
    assert reasons({"mouth": shape(9.0, 0.0, visible=False)}) == ()


@pytest.mark.parametrize(("width", "limit"), [(1280, 1.0), (640, 0.5), (4096, 3.2)])
def test_limit_scales_with_the_plate(width: int, limit: float) -> None:
    assert error_limit(ReviewConfig(), width) == pytest.approx(limit)
    assert error_limit(ReviewConfig(max_expected_error_px=2.5), width) == 2.5


def test_a_head_away_from_both_neighbours_jumps() -> None:
    boxes = np.array(
        [[100.0, 100, 80], [104, 100, 80], [300, 100, 80], [112, 100, 80], [116, 100, 80]]
    )
    jumps = find_jumps(np.arange(1001, 1006), boxes)
    assert jumps.tolist() == [0.0, 0.0, 192.0, 0.0, 0.0]


def test_a_fast_head_does_not_jump() -> None:
    boxes = np.array([[100.0 + 90 * i, 100, 80] for i in range(6)])
    assert not find_jumps(np.arange(6), boxes).any()


def test_frames_far_apart_say_nothing_of_each_other() -> None:
    boxes = np.array([[100.0, 100, 80], [300, 100, 80], [112, 100, 80]])
    assert not find_jumps(np.array([1001, 1011, 1021]), boxes).any()
