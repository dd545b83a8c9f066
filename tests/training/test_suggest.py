"""Which frames would teach most, and why held-out frames are wrong; poses laid over another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laikaroto.character.template import pack, unpack
from laikaroto.coords import transform_points
from laikaroto.errors import SidecarError
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto
from laikaroto.training.poses import distances, fit_similarity, lay_over, mean_pose
from laikaroto.training.suggest import (
    Candidate,
    Measured,
    Poses,
    candidates,
    causes,
    known_poses,
    suggest,
)
from tests.training.synthetic import at_rest, poses, template

FORM = template()
REST = pack(at_rest(), FORM, 1001)[0]


def bent(amount: float) -> np.ndarray:
    """The boat with its mast bent to one side: no shift, scale or turn makes it straight."""
    values = REST.copy()
    values[2:6, 0] += amount * np.array([0.0, 0.3, 1.0, 1.0])
    return values


def published(amounts: list[float], errors: list[float], shot: str = "b1") -> Roto:
    """A version whose frames have masts bent by these amounts, at changing places."""
    frames = list(range(1001, 1001 + len(amounts)))
    values = np.stack(
        [transform_points(bent(a), m) for a, m in zip(amounts, poses(3, len(amounts)), strict=True)]
    )
    plate = PlateInfo(width=192, height=128, first=frames[0], last=frames[-1])
    roto = unpack(FORM, shot, plate, frames, values, np.ones(values.shape[:2], bool))
    shapes = {
        name: replace(shape, frames={
            f: replace(at, expected_error_px=error * (2.0 if name == "sail" else 1.0))
            for (f, at), error in zip(shape.frames.items(), errors, strict=True)
        })
        for name, shape in roto.shapes.items()
    }  # fmt: skip
    return replace(roto, shapes=shapes, version="v002")


def learned() -> Poses:
    return known_poses([published([0.0, 1.0, -1.0], [0.1] * 3, shot="a1")], FORM)


def test_a_similarity_is_found_back() -> None:
    matrix = poses(5, 1)[0]
    moved = transform_points(REST, matrix)[:, :2]
    np.testing.assert_allclose(fit_similarity(REST[:, :2], moved), matrix, atol=1e-9)
    one_place = fit_similarity(np.zeros((3, 2)), np.full((3, 2), 5.0))
    np.testing.assert_allclose(one_place, [[1, 0, 5], [0, 1, 5]])


def test_poses_differ_by_what_no_similarity_takes_away() -> None:
    stack = np.stack([transform_points(bent(a), m)[:, :2]
                      for a, m in zip((0.0, 0.0, 10.0), poses(7, 3), strict=True)])  # fmt: skip
    laid = lay_over(stack, mean_pose(stack))
    apart = distances(laid, laid)
    # the expansion |a|² + |b|² - 2ab leaves the square root of a rounding error
    assert apart[0, 1] < 1e-6 < 0.02 < apart[0, 2] and apart[0, 2] == pytest.approx(apart[1, 2])


def test_the_first_frame_is_odd_wrong_and_like_many() -> None:
    # twenty frames bent by 12, one by 40, ten as learned but with the same expected error
    amounts = [12.0 + 0.01 * i for i in range(20)] + [40.0] + [0.0] * 10
    roto = published(amounts, [1.0] * 31)
    found = suggest(learned(), list(candidates(roto, FORM, set())), 3)
    assert found[0].frame in range(1001, 1021) and found[0].stands_for >= 20
    assert found[1].frame == 1021
    assert found[0].novelty > 0.02 and found[0].nearest[0] == "a1"
    assert 0.5 < found[0].share and found[0].share + found[1].share > 0.98
    text = " / ".join(found[0].why())
    assert "expected error 1.50 px, most on sail (2.00 px)" in text
    assert "from the nearest learned one (a1 frame" in text and "like 2" in text


def test_expected_error_weighs() -> None:
    roto = published([12.0, -12.0], [0.2, 2.0])
    assert [s.frame for s in suggest(learned(), list(candidates(roto, FORM, set())), 2)] == [
        1002, 1001
    ]  # fmt: skip


def test_what_is_drawn_or_held_or_shows_nothing_is_left_out() -> None:
    roto = published([12.0] * 4, [1.0] * 4)
    notes = {**roto.frames, 1002: FrameNote(hold_of=1001)}
    hidden = {
        name: replace(shape, frames={**shape.frames, 1004: replace(shape.frames[1004],
                                                                   visible=False)})
        for name, shape in roto.shapes.items()
    }  # fmt: skip
    roto = replace(roto, frames=notes, shapes=hidden)
    assert [c.frame for c in candidates(roto, FORM, {1003})] == [1001]
    assert suggest(learned(), [], 3) == []


def test_a_version_with_other_points_is_told() -> None:
    roto = published([12.0], [1.0])
    roto = replace(roto, shapes={"sail": roto.shapes["sail"]})
    with pytest.raises(SidecarError, match="shot b1 v002: was made with other shapes"):
        list(candidates(roto, FORM, set()))


def test_nothing_new_is_no_suggestion() -> None:
    frames = [Candidate("b1", "v001", 1, learned().xy[0], 3.0, ("sail", 3.0))]
    found = suggest(learned(), frames, 5)
    assert found == [] or found[0].novelty < 1e-6


def test_causes_of_held_out_errors() -> None:
    bends = zip((0.5, -0.5, 20.0, 0.2), poses(9, 4), strict=True)
    true = [transform_points(bent(amount), matrix)[:, :2] for amount, matrix in bends]
    rng = np.random.default_rng(1)
    everything = np.ones(9, bool)
    half = everything.copy()
    half[:4] = False
    frames = [
        Measured(true[0] + [3.0, -2.0], true[0], everything, everything),
        Measured(true[1] + rng.normal(0, 1, (9, 2)), true[1], everything, everything),
        Measured(true[2] + rng.normal(0, 1, (9, 2)), true[2], everything, everything),
        Measured(true[3] + rng.normal(0, 1, (9, 2)), true[3], half, everything),
    ]
    shifted, plain, odd, hidden = causes(frames, learned())
    assert shifted == ("all of it is shifted by (+3.0, -2.0) px",)
    assert plain == ()
    assert len(odd) == 1 and "from the nearest learned one (a1 frame" in odd[0]
    assert hidden == ("4 of 9 points are hidden",)
    assert causes(frames, Poses(np.zeros((0, 0, 2)), ()))[2] == ()
