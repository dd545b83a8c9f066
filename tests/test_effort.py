"""The benchmark of an artist's effort: what it counts, on errors put in by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.effort import (
    FirstPass,
    keyframes,
    scaled,
    touch,
    worst_by_tool,
    worst_by_truth,
)
from laikaroto.shapes.records import Roto
from tests.tracking.simulated import read_truth


def wrong(truth: Roto, frames: tuple[int, ...]) -> Roto:
    """The truth with the mouth 4 px off on some frames, as a model would draw it."""
    shape = truth.shapes["mouth"]
    moved = {
        f: replace(e, points=e.points + (np.array([4.0, 0, 0, 0, 0, 0]) if f in frames else 0.0),
                   source="predicted", expected_error_px=3.0 if f in frames else 0.1)
        for f, e in shape.frames.items()
    }  # fmt: skip
    return replace(truth, shapes={**truth.shapes, "mouth": replace(shape, frames=moved)})


def test_every_bad_frame_is_touched_once_and_no_other() -> None:
    truth = read_truth()[0]
    prediction = wrong(truth, (1003, 1010))
    for order in (worst_by_truth, worst_by_tool):
        found = touch(FirstPass(prediction, truth), order=order, travel=False)
        assert found.drawings == 2  # the mouths
        assert set(found.touched) == {1003, 1010} and found.clean_after[0] == 14
    for clean in (truth, scaled(prediction, truth, 0.05)):
        first = FirstPass(clean, truth)
        assert touch(first, order=worst_by_truth, travel=True).touched == ()


def test_judged_as_a_whole_a_frame_may_have_a_small_shape_that_is_off() -> None:
    truth = read_truth()[0]
    brow = truth.shapes["brow_L"]
    down = np.array([0.0, 0.75, 0, 0, 0, 0])
    moved = {f: replace(e, points=e.points + down) for f, e in brow.frames.items()}
    gone = {f: replace(e, visible=False) for f, e in brow.frames.items()}
    for frames, touched in ((moved, 0), (gone, 16)):
        drawn = replace(truth, shapes={**truth.shapes, "brow_L": replace(brow, frames=frames)})
        first = FirstPass(drawn, truth)
        strict = touch(first, order=worst_by_truth, travel=False)
        mild = touch(first, order=worst_by_truth, travel=False, rule="frame")
        assert (len(strict.touched), len(mild.touched)) == (16, touched)


def test_a_puppet_that_stands_still_needs_two_keys() -> None:
    truth = read_truth()[0]
    still = {
        name: replace(shape, frames={f: shape.frames[1001] for f in shape.frames})
        for name, shape in truth.shapes.items()
    }
    assert keyframes(replace(truth, shapes=still)).touched == (1001, 1016)
    assert len(keyframes(truth).touched) > 2
