"""Configured augmentations and losses: every name is known, and every one is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from laikaroto.config import TrainingConfig
from laikaroto.errors import ConfigError
from laikaroto.training.augment import Sample, vary
from laikaroto.training.choices import augmentations, check_choices, losses
from laikaroto.training.views import WARPS


def test_every_registered_name_may_be_configured() -> None:
    training = TrainingConfig(
        augmentations=dict.fromkeys(augmentations(), 0.5), losses=dict.fromkeys(losses(), 1.0)
    )
    check_choices("hero", training)
    assert all(0 <= value <= 1 for value in augmentations().values())
    assert len(augmentations()) >= 6 and len(losses()) >= 7


def test_all_unknown_names_are_told_with_the_known_ones() -> None:
    training = TrainingConfig(augmentations={"snow": 0.1, "grain": 0.2}, losses={"curves": 1.0})
    with pytest.raises(ConfigError) as caught:
        check_choices("hero", training)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "characters/hero.yaml: training.augmentations.snow: there is no such" in lines[0]
    assert "grain (" in lines[0] and "occluder (" in lines[0]
    assert "training.losses.curves" in lines[1] and "curve (2)" in lines[1]


@pytest.mark.parametrize(
    "wrong", [{"augmentations": {"grain": 1.5}}, {"losses": {"curve": -1}}, {"patience": 1}]
)
def test_values_that_cannot_be_are_refused_when_read(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="1"):
        TrainingConfig.model_validate(wrong)


@pytest.mark.parametrize("name", sorted(set(augmentations()) - set(WARPS)))
def test_a_configured_augmentation_is_applied_and_only_that(name: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(0.2, 0.6, (128, 128, 3)).astype(np.float32)
    values = np.zeros((4, 6))
    values[:, :2] = [(36, 36), (92, 36), (92, 92), (36, 92)]
    depth = np.array([0.0, 0.12, 0.05, -0.1])  # some turn or light by it
    sample = Sample(image, values, np.ones(4, bool), np.ones(4, bool), depth)
    other = rng.uniform(0.2, 0.6, (128, 128, 3)).astype(np.float32)
    off = dict.fromkeys(augmentations(), 0.0)
    untouched = vary(sample, np.random.default_rng(1), lambda: other, off)
    np.testing.assert_array_equal(untouched.image, image)
    changed = vary(sample, np.random.default_rng(1), lambda: other, {**off, name: 1.0})
    assert np.abs(changed.image - image).max() > 1e-5
    # what is not known entirely is not cut out of its surroundings
    partly = replace(sample, known=np.array([True, True, True, False]))
    if name == "another_set":
        kept = vary(partly, np.random.default_rng(1), lambda: other, {**off, name: 1.0})
        np.testing.assert_array_equal(kept.image, image)
