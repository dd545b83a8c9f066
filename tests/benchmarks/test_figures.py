"""Figures on shots of which they are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.accuracy.figures import (
    find_swaps,
    held_moves,
    hidden_stretches,
    measure,
    reliability,
)
from laikaroto.shapes.records import Roto
from tests.benchmarks.regatta import roto_of, shot_of
from tests.benchmarks.test_keys import moving
from tests.training.synthetic import template


def with_expected_error(roto: Roto, px: dict[str, list[float]]) -> Roto:
    shapes = {}
    for name, shape in roto.shapes.items():
        frames = {
            f: replace(v, expected_error_px=px[name][i])
            for i, (f, v) in enumerate(shape.frames.items())
        }
        shapes[name] = replace(shape, frames=frames)
    return replace(roto, shapes=shapes)


def test_a_perfect_roto_has_no_error_anywhere() -> None:
    shot = shot_of(roto_of(moving(np.arange(8.0).reshape(4, 2))))
    found = measure(shot.truth, shot, template())
    assert found.evaluation.clean_share == 1.0
    assert (found.swapped, found.swapped_px, found.held) == (0, None, 0)
    assert found.elsewhere_px == pytest.approx(0, abs=2e-3)
    assert found.hidden_seam_px is None and found.reliability == ()


def test_what_moves_beyond_an_affine_map_was_swapped() -> None:
    values = moving(np.arange(10.0).reshape(5, 2))
    values[3:, 6:, 1] += 15  # the sail is another one from 1004 on
    shot = shot_of(roto_of(values))
    assert {(name, f) for name, f in find_swaps(shot, template()) if name == "sail"} == {
        ("sail", 1004)
    }
    assert {f for _, f in find_swaps(shot, template())} == {1004}


def test_error_at_swaps_is_told_from_that_elsewhere() -> None:
    values = moving(np.zeros((5, 2)))
    values[3:, 6:, 1] += 15
    shot = shot_of(roto_of(values))
    late = values.copy()
    late[3, 6:] = values[2, 6:]  # the swap is missed by one frame
    found = measure(roto_of(late), shot, template())
    assert found.swapped >= 1 and found.swapped_px > 1.0
    assert found.elsewhere_px == pytest.approx(0, abs=2e-3)


def test_holds_must_be_exactly_still() -> None:
    values = moving(np.array([[0.0, 0], [0, 0], [5, 0], [5, 0]]))
    shot = shot_of(roto_of(values))
    assert held_moves(shot.truth, shot, template()) == [0.0, 0.0]
    chatter = values.copy()
    chatter[1, 3, 0] += 0.01
    found = measure(roto_of(chatter), shot, template())
    assert (found.held, found.held_still) == (2, 1)
    assert found.held_moved_px == pytest.approx(0.01)


def test_a_shape_that_vanishes_in_a_hold_is_not_still() -> None:
    values = moving(np.zeros((2, 2)))
    shot = shot_of(roto_of(values))
    visible = np.ones((2, 9), bool)
    visible[1, 6:] = False
    assert held_moves(roto_of(values, visible), shot, template()) == [float("inf")]


def test_hidden_stretches_of_open_shapes_are_measured_and_nothing_else() -> None:
    values = moving(np.zeros((2, 2)))
    visible = np.ones((2, 9), bool)
    visible[0, 4:6] = False  # upper half of the mast
    visible[1, 2:6] = False  # all of it: needs no line
    visible[:, 6] = False  # a corner of the sail, which is closed
    shot = shot_of(roto_of(values, visible))
    assert hidden_stretches(shot.truth, shot).max() < 2e-3
    off = values.copy()
    off[:, 2:6, 0] += 3  # the mast stands upright, about
    distances = hidden_stretches(roto_of(off), shot)
    assert len(distances) > 40 and distances.mean() == pytest.approx(3, abs=0.05)
    assert len(hidden_stretches(roto_of(off, visible), shot)) == len(distances)


def test_expected_errors_are_compared_with_measured_ones() -> None:
    values = moving(np.zeros((3, 2)))
    shot = shot_of(roto_of(values))
    off = values.copy()
    off[:, 2:6, 0] += np.array([0.2, 0.6, 2.5])[:, None]
    px = {"mast": [0.1, 0.7, 2.2], "sail": [0.05, 0.05, 0.05]}
    found = measure(with_expected_error(roto_of(off), px), shot, template())
    rows = [(row.low_px, row.high_px, row.count) for row in found.reliability]
    assert rows == [(0.0, 0.25, 4), (0.5, 0.75, 1), (2.0, 3.0, 1)]
    assert found.reliability[1].expected_px == pytest.approx(0.7)
    assert found.reliability[1].measured_px == pytest.approx(0.6, abs=0.02)
    assert found.rank_correlation is not None and found.rank_correlation > 0.9


def test_bins_scale_with_the_plate_and_the_last_is_open() -> None:
    rows = reliability(np.array([[0.3, 0.2], [50.0, 40.0]]), scale=0.5)
    assert [(row.low_px, row.high_px) for row in rows] == [(0.25, 0.375), (1.5, None)]
