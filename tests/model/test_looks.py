"""Looks: a mirrored crop is cut and taken back, and what lies apart is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laikaroto.character.template import CharacterTemplate, ShapeTemplate
from laikaroto.errors import ModelError
from laikaroto.model.crop import Box, cut_plate
from laikaroto.model.looks import Look, Seen, look_matrix, merge, see
from laikaroto.model.mirror import Mirror, Redrawn, read_mirror, write_mirror

TEMPLATE = CharacterTemplate(
    character="puppet",
    tracks=("ear_L", "ear_R"),
    shapes=(ShapeTemplate(name="lid", closed=False, count=3),),
)
#: the ears exchange, the lid runs the other way
ORDER = np.array([1, 0, 4, 3, 2])
MIRROR = Mirror(
    ORDER, np.array([False, False, True, True, True]), np.column_stack([ORDER, ORDER]), np.zeros(5)
)
BOX, SIZE = Box(60.0, 40.0, 50.0), 100
POINTS = np.array([[70.0, 30.0], [50.0, 31.0], [66.0, 45.0], [60.0, 47.0], [54.0, 44.0]])
TANGENTS = np.array([[0.0, 0.0, -2.0, 1.0], [2.0, 0.0, -2.0, 0.0], [2.0, 1.0, 0.0, 0.0]])


def drawn_in(look: Look, mirror: Mirror | None) -> Seen:
    """What a drawer without faults says of a look, as it sees it, and what that means."""
    matrix = look_matrix(look, BOX, SIZE, mirror)
    linear = np.linalg.inv(matrix[:, :2])
    values = np.zeros((5, 6))
    values[:, :2] = (POINTS - matrix[:, 2]) @ linear.T
    values[2:, 2:] = (TANGENTS.reshape(-1, 2, 2) @ linear.T).reshape(-1, 4)
    visible, error = np.arange(5) / 10.0, np.arange(5) + 1.0
    if look.mirrored and mirror is not None:  # it takes the left ear for the right one
        values = mirror.rename(values)
        visible, error = visible[mirror.order], error[mirror.order]
    return see(
        look, matrix, mirror,
        points=values[:, :2], tangents=values[2:, 2:], visible=visible, error=error,
    )  # fmt: skip


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("mirror", [None, MIRROR])
def test_every_look_comes_back_to_the_same_places(mirrored: bool, mirror: Mirror | None) -> None:
    seen = drawn_in(Look(0.1, -0.05, 1.2, 0.3, mirrored=mirrored), mirror)
    np.testing.assert_allclose(seen.values[:, :2], POINTS, atol=1e-9)
    np.testing.assert_allclose(seen.values[2:, 2:], TANGENTS, atol=1e-9)
    np.testing.assert_allclose(seen.values[:2, 2:], 0.0)
    np.testing.assert_allclose(seen.visible, np.arange(5) / 10)
    np.testing.assert_allclose(seen.error_px, (np.arange(5) + 1.0) * 0.6)  # a crop px is 0.6


def test_a_mirrored_crop_is_the_crop_mirrored() -> None:
    plate = np.random.default_rng(0).random((90, 120, 3), dtype=np.float32)
    plain, mirrored = (
        look_matrix(Look(0.1, 0.0, 1.2, 0.0, mirrored=m), BOX, SIZE, MIRROR) for m in (False, True)
    )
    one, other = cut_plate(plate, [plain, mirrored], SIZE)
    np.testing.assert_allclose(other, one[:, ::-1], atol=2e-2)  # interpolated in 1/32 px
    without = look_matrix(Look(0.1, 0.0, 1.2, 0.0, mirrored=True), BOX, SIZE, None)
    np.testing.assert_array_equal(without, plain)


def test_apart_is_the_deviation_across_curves() -> None:
    """The lid runs level in its middle: looks may slide along it and agree."""
    values = np.zeros((5, 6))
    values[:, :2], values[2:, 2:] = POINTS, TANGENTS
    values[3, 2:] = (2.0, 0.0, -2.0, 0.0)
    ones = np.ones(5)
    moves = ([0.0, 0.0], [3.0, 0.0]), ([0.0, 0.0], [0.0, 3.0])
    for (first, second), middle in zip(moves, (0.0, 3 / np.sqrt(2)), strict=True):
        looks = []
        for move in (first, second):
            moved = values.copy()
            moved[:, :2] += move
            looks.append(Seen(moved, ones, ones))
        mean, apart = merge(looks, TEMPLATE)
        np.testing.assert_allclose(mean.values[:, :2], POINTS + np.array(second) / 2)
        assert apart[3] == pytest.approx(middle, abs=1e-9)
        assert apart[0] == pytest.approx(1.5)  # a point: both directions' mean
    assert not merge([Seen(values, ones, ones)], TEMPLATE)[1].any()


def test_a_mirror_is_read_as_it_was_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert read_mirror(tmp_path, TEMPLATE) is None
    write_mirror(tmp_path, MIRROR)
    again = read_mirror(tmp_path, TEMPLATE)
    assert again is not None
    np.testing.assert_array_equal(again.order, MIRROR.order)
    np.testing.assert_array_equal(again.backwards, MIRROR.backwards)
    corners = np.array([True, False, True])
    lid = Redrawn(slice(2, 5), slice(2, 5), False, True, np.array([0.0, 0.8, 2.0]), corners)
    write_mirror(tmp_path, replace(MIRROR, redrawn=(lid,)))
    again = read_mirror(tmp_path, TEMPLATE)
    assert again is not None and len(again.redrawn) == 1
    drawn = np.zeros((5, 6))
    drawn[:, :2] = POINTS
    np.testing.assert_allclose(again.rename(drawn), replace(MIRROR, redrawn=(lid,)).rename(drawn))
    write_mirror(tmp_path, replace(MIRROR, order=np.array([0, 0, 2, 3, 5])))
    with pytest.raises(ModelError, match="wanted the image of each of 5 points"):
        read_mirror(tmp_path, TEMPLATE)
    (tmp_path / "mirror.npz").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be read"):
        read_mirror(tmp_path, TEMPLATE)
