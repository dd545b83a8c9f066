"""Augmentations change the picture and its truth together."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from laikaroto.model.crop import Box
from laikaroto.training import augment
from laikaroto.training.augment import AUGMENTATIONS, WITH_OTHER, Sample, vary
from laikaroto.training.dataset import VIEW_ROOM
from laikaroto.training.views import Head, random_view

BOX = Box(130.0, 90.0, 110.0)
SIZE = 128


def sample(size: int = 64, *, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    values = np.zeros((6, 6))
    values[:, :2] = rng.uniform(0.25, 0.75, (6, 2)) * size
    image = rng.uniform(0.2, 0.8, (size, size, 3)).astype(np.float32)
    return Sample(image, values, np.ones(6, bool), np.ones(6, bool), rng.uniform(-0.2, 0.2, 6))


def test_everything_that_is_registered_is_used_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = dict.fromkeys([*AUGMENTATIONS, *WITH_OTHER], 0)

    def counting(name: str, function):
        def call(*arguments):
            used[name] += 1
            return function(*arguments)

        return call

    wanted = {}
    for registry in (AUGMENTATIONS, WITH_OTHER):
        for name, (probability, function) in list(registry.items()):
            wanted[name] = probability
            monkeypatch.setitem(registry, name, (probability, counting(name, function)))
    other = sample(seed=9).image
    for seed in range(300):
        vary(sample(), np.random.default_rng(seed), lambda: other)
    for name, probability in wanted.items():
        assert 0 < probability < 1
        assert used[name] / 300 == pytest.approx(probability, abs=0.1), name


def test_every_augmentation_is_registered_and_changes_the_picture() -> None:
    registered = {name: function for name, (_, function) in AUGMENTATIONS.items()}
    with_other = {name: function for name, (_, function) in WITH_OTHER.items()}
    written = {
        name
        for name, function in inspect.getmembers(augment, inspect.isfunction)
        if function.__module__ == augment.__name__
        and list(inspect.signature(function).parameters)[:2] == ["sample", "rng"]
    } - {"vary"}
    assert written == {*registered, *with_other}
    before, other = sample(), sample(seed=9).image
    for name in sorted(written):
        rng = np.random.default_rng(5)
        if name in registered:
            after = registered[name](before, rng)
        else:
            after = with_other[name](before, rng, other)
        assert after.image.dtype == np.float32 and after.image.shape == before.image.shape
        assert np.isfinite(after.image).all()
        assert np.abs(after.image - before.image).max() > 0.01, name
        np.testing.assert_array_equal(after.values, before.values)


def test_an_occluder_hides_the_points_under_it_and_no_others() -> None:
    size = 64
    grid = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), -1).reshape(-1, 2)
    values = np.concatenate([grid, np.zeros((len(grid), 4))], axis=1)
    seen = np.ones(len(values), bool)
    seen[:7] = False
    dark = Sample(np.zeros((size, size, 3), np.float32), values, seen, np.ones_like(seen))
    light = np.ones((size, size, 3), np.float32)
    for seed in range(20):
        after = augment.occluder(dark, np.random.default_rng(seed), light)
        assert not after.visible[:7].any()  # hidden before, hidden still
        cover = after.image[..., 0].ravel() / after.image.max()
        hidden = seen & ~after.visible
        if hidden.any():
            assert cover[hidden].min() > 0.25
        assert cover[after.visible].max() < 0.75
    assert any(
        (~augment.occluder(dark, np.random.default_rng(s), light).visible[7:]).any()
        for s in range(5)
    )


def test_another_set_keeps_the_puppet() -> None:
    before = sample()
    before.values[:, :2] = np.array([(1, 1), (3, 1), (3, 3), (1, 3), (2, 1), (2, 3)]) * 16
    other = np.full_like(before.image, 9.0)
    for seed in range(10):
        after = augment.another_set(before, np.random.default_rng(seed), other)
        assert np.abs(after.image - before.image)[30:34, 30:34].max() < 1.0
        assert after.image[0, 0].min() > 6.0
        assert after.visible.all()


def test_another_set_shows_through_wherever_the_card_was_seen() -> None:
    before = sample()
    before.values[:, :2] = np.array([(1, 1), (3, 1), (3, 3), (1, 3), (2, 1), (2, 3)]) * 16
    card = np.zeros(before.image.shape[:2], np.float32)
    card[28:36, :32] = 1.0  # reaches into the hull from the left
    card[:, 40] = 0.25  # a hair
    other = np.full_like(before.image, 9.0)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        after = augment.another_set(replace(before, behind=card), rng, other)
        assert after.image[30:34, 4:31].min() > 8.9
        assert np.abs(after.image - before.image)[30:34, 33:35].max() < 1.0
        share = (after.image - before.image)[32, 40] / (other - before.image)[32, 40]
        assert share.min() >= 0.249 and share.max() < 0.4
        assert after.image[0, 0].min() > 6.0  # beyond the hull all of it is another set


def test_the_same_seed_gives_the_same_picture() -> None:
    def make(seed: int) -> tuple[Sample, np.ndarray]:
        rng = np.random.default_rng(seed)
        start = sample()
        crop, points = random_view(start.image, Head(start.values), Box(32, 32, 50), 64, rng)
        made = Sample(crop, points, start.visible, start.known)
        return vary(made, rng, lambda: start.image), points

    (one, points), (same, same_points), (other, other_points) = make(4), make(4), make(5)
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(points, same_points)
    np.testing.assert_array_equal(one.visible, same.visible)
    assert np.abs(one.image - other.image).max() > 0.01
    assert np.abs(points - other_points).max() > 0.1


@pytest.mark.parametrize("crop_px", [896, 1024])
def test_the_largest_crops_can_be_made_grainy_with_the_room_of_views(crop_px: int) -> None:
    size = round(crop_px * VIEW_ROOM)
    flat = replace(sample(), image=np.zeros((size, size, 3), np.float32))
    grainy = augment.grain(flat, np.random.default_rng(3)).image
    assert grainy.shape == (size, size, 3)
    assert grainy.std(axis=(0, 1)).min() > 0.001
