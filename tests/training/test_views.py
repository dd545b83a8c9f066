"""Views: the truth follows the picture exactly, however it is bent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from laikaroto.coords import FloatArray
from laikaroto.model.crop import Box
from laikaroto.training.expression import towards_others
from laikaroto.training.relief import Relief
from laikaroto.training.views import GRID, WARPS, Head, Image, random_view

BOX = Box(130.0, 90.0, 110.0)
SIZE = 128


def blobs(values: FloatArray, *, width: int = 260, height: int = 180) -> np.ndarray:
    """A picture with a soft blob at each point, each in a channel of its own."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    layers = [
        np.exp(-((x[None] - px) ** 2 + (y[:, None] - py) ** 2) / (2 * 1.2**2))
        for px, py in values[:, :2]
    ]
    return np.stack(layers, -1).astype(np.float32)


def centroids(image: np.ndarray) -> FloatArray:
    height, width, _ = image.shape
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    total = image.sum((0, 1))
    across = (image * x[None, :, None]).sum((0, 1)) / total
    return np.stack([across, (image * y[:, None, None]).sum((0, 1)) / total], -1)


def test_points_follow_the_picture() -> None:
    rng = np.random.default_rng(3)
    gaps = []
    for seed in range(25):
        values = np.zeros((3, 6))
        values[:, :2] = [BOX.x, BOX.y] + rng.uniform(-28, 28, (3, 2))
        crop, points = random_view(
            blobs(values), Head(values), BOX, SIZE, np.random.default_rng(seed)
        )
        assert crop.shape == (SIZE, SIZE, 3)
        gaps.append(np.hypot(*(centroids(crop) - points[:, :2]).T))
    # the centre of a bent blob is not quite the bent centre
    assert np.mean(gaps) < 0.06 and np.max(gaps) < 0.2


def test_a_rigid_view_is_a_similarity() -> None:
    values = np.zeros((3, 6))
    values[:, :2] = [(100.0, 90.0), (160.0, 90.0), (100.0, 130.0)]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        _, points = random_view(blobs(values), Head(values), BOX, SIZE, rng, rigid=True)
        across, down = points[1, :2] - points[0, :2], points[2, :2] - points[0, :2]
        assert across @ down == pytest.approx(0.0, abs=1e-6)
        assert np.hypot(*across) / np.hypot(*down) == pytest.approx(1.5)


def test_views_differ_in_place_size_and_turn() -> None:
    values = np.zeros((2, 6))
    values[:, :2] = [(100.0, 90.0), (160.0, 90.0)]
    image = np.zeros((180, 260, 3), np.float32)
    points = np.array(
        [
            random_view(image, Head(values), BOX, SIZE, np.random.default_rng(s))[1]
            for s in range(60)
        ]
    )
    reach = points[:, 1, :2] - points[:, 0, :2]
    sizes, turns = np.hypot(*reach.T), np.degrees(np.arctan2(reach[:, 1], reach[:, 0]))
    assert sizes.max() / sizes.min() > 1.2 and np.ptp(turns) > 15
    assert np.ptp(points[:, :, 0].mean(1)) > 5


def test_tangents_are_turned_with_their_point() -> None:
    values = np.zeros((3, 6))
    values[0] = [120, 80, -14, 6, 17, 9]
    values[1, :2] = values[0, :2] + values[0, 2:4]
    values[2, :2] = values[0, :2] + values[0, 4:6]
    image = np.zeros((180, 260, 3), np.float32)
    for seed in range(10):
        _, points = random_view(image, Head(values), BOX, SIZE, np.random.default_rng(seed))
        np.testing.assert_allclose(points[0, :2] + points[0, 2:4], points[1, :2], atol=1e-4)
        np.testing.assert_allclose(points[0, :2] + points[0, 4:6], points[2, :2], atol=1e-4)
        np.testing.assert_allclose(points[1:, 2:], 0, atol=1e-4)  # none stay none


def face(rng: np.random.Generator) -> Head:
    """Three points whose picture may be turned and bent towards another expression."""
    values = np.zeros((3, 6))
    values[:, :2] = np.array([BOX.x, BOX.y]) + [(-25.0, -20.0), (22.0, -8.0), (-4.0, 26.0)]
    return Head(values, np.array([0.1, -0.1, 0.05]), rng.uniform(-5, 5, (3, 2)))


@pytest.mark.parametrize("name", sorted(WARPS))
def test_points_follow_each_warp(name: str) -> None:
    across, down = np.meshgrid(np.arange(260) + 0.5, np.arange(180) + 0.5)
    coordinates = np.stack([across, down, 0 * across], axis=-1).astype(np.float32)
    only = {**dict.fromkeys(WARPS, 0.0), name: 1.0}
    moved = []
    for seed in range(20):
        head = face(np.random.default_rng(seed))
        views = [
            random_view(coordinates, head, BOX, SIZE, np.random.default_rng(seed), probabilities)
            for probabilities in (only, dict.fromkeys(WARPS, 0.0))
        ]
        for crop, points in views:
            at = points[:, 1::-1].T - 0.5
            shown = [map_coordinates(crop[..., i], at, order=1) for i in (0, 1)]
            np.testing.assert_allclose(np.stack(shown, axis=1), head.values[:, :2], atol=0.2)
        moved.append(np.hypot(*(views[0][1] - views[1][1])[:, :2].T))
    assert np.mean(moved) > 0.5 and np.max(moved) > 2.0


@pytest.mark.parametrize("name", ["turn", "expression"])
def test_a_head_whose_form_is_unknown_is_not_bent_by_guess(name: str) -> None:
    head = Head(face(np.random.default_rng(0)).values)
    field = WARPS[name][1](head, SIZE, np.random.default_rng(0))
    assert field.shape == (SIZE // GRID, SIZE // GRID, 2) and not field.any()


def test_each_warp_is_used_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    used = dict.fromkeys(WARPS, 0)

    def counting(name: str, warp):
        def call(head: Head, size: int, rng: np.random.Generator) -> Image:
            used[name] += 1
            return warp(head, size, rng)

        return call

    wanted = {name: probability for name, (probability, _) in WARPS.items()}
    for name, (probability, warp) in list(WARPS.items()):
        monkeypatch.setitem(WARPS, name, (probability, counting(name, warp)))
    head, picture = face(np.random.default_rng(0)), np.zeros((180, 260, 3), np.float32)
    for seed in range(200):
        random_view(picture, head, BOX, SIZE, np.random.default_rng(seed))
    for name, probability in wanted.items():
        assert used[name] / 200 == pytest.approx(probability, abs=0.1), name


def relief(expression: FloatArray) -> Relief:
    """Heads seen from the front, with expressions (F, P, 3)."""
    frames, count, _ = expression.shape
    camera = np.tile(np.eye(3)[:2], (frames, 1, 1))
    return Relief(np.zeros((frames, count)), camera, expression, np.ones(frames))


def test_moves_lie_between_the_faces_of_the_kit() -> None:
    rng = np.random.default_rng(1)
    expression = np.zeros((3, 40, 3))
    expression[1, :, 0], expression[2, :, 1] = 0.1, 0.2  # one face is wider, one hangs lower
    height = np.linspace(0, 100, 40)
    moves = np.stack([towards_others(relief(expression), 0, height, rng) for _ in range(200)])
    assert np.abs(moves[..., 0]).max() <= 0.1 + 1e-9 and np.abs(moves[..., 1]).max() <= 0.2 + 1e-9
    # upper and lower faces come from different frames: some have one's width and the other's droop
    upper, lower = moves[:, :8].mean(1), moves[:, -8:].mean(1)
    mixed = (np.abs(upper[:, 0]) > 0.01) & (np.abs(lower[:, 1]) > 0.02)
    assert mixed.sum() > 5


def test_a_picture_never_folds() -> None:
    values = np.zeros((2, 6))
    values[:, :2] = [(60.0, 60.0), (66.0, 60.0)]
    crossing = Head(values, None, np.array([(30.0, 0.0), (-30.0, 0.0)]))
    field = WARPS["expression"][1](crossing, SIZE, np.random.default_rng(0))
    assert np.abs(field).max() > 0.5  # it goes part of the way
    for axis in (0, 1):
        assert np.abs(np.diff(field, axis=axis)).max() / GRID <= 0.5 + 1e-6
