"""A drawing with the true pose of the head and the face it was drawn with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.true_pose import with_true_pose
from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.coords import FloatArray, transform_points
from laikaroto.model.prior import ShapePrior
from laikaroto.training.prior import fit_prior
from tests.tracking.simulated import read_truth


@pytest.fixture(scope="module")
def learned() -> tuple[CharacterTemplate, ShapePrior, FloatArray]:
    """Template and prior of two shots, and the true frames of the first."""
    values, names = [], []
    for shot in ("tr01", "tr02"):
        roto, template = read_truth(shot)
        for frame in roto.frames:
            values.append(pack(roto, template, frame)[0])
            names.append(shot)
    prior = fit_prior(np.stack(values), names, tracks=len(template.tracks), mirrored=None)
    assert prior is not None
    return template, prior, np.stack([v for v, n in zip(values, names, strict=True) if n == "tr01"])


def gap(one: FloatArray, other: FloatArray) -> float:
    return float(np.linalg.norm((one - other)[..., :2], axis=-1).mean())


def test_a_head_that_was_put_elsewhere_comes_back(
    learned: tuple[CharacterTemplate, ShapePrior, FloatArray],
) -> None:
    template, prior, truth = learned
    turn, scale = 0.06, 1.04
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    away = np.array([[cos, -sin, 9.0], [sin, cos, -4.0]])
    drawn = np.stack([transform_points(values, away) for values in truth])
    found = with_true_pose(drawn, truth, prior, template)
    assert gap(drawn, truth) > 5.0
    assert gap(found, truth) < 0.3
    np.testing.assert_allclose(found[..., 2:], truth[..., 2:], atol=1.5)


def test_what_is_no_matter_of_the_pose_stays_as_it_was_drawn(
    learned: tuple[CharacterTemplate, ShapePrior, FloatArray],
) -> None:
    template, prior, truth = learned
    where = template.slices()["mouth"]
    mouth = slice(len(template.tracks) + where.start, len(template.tracks) + where.stop)
    drawn = truth.copy()
    drawn[:, mouth, 1] += 3.0
    found = with_true_pose(drawn, truth, prior, template)
    off = (found - truth)[:, mouth, 1].mean()
    assert 2.0 < off < 3.5
    rest = np.delete(found - truth, np.r_[mouth], axis=1)
    assert np.abs(rest[..., :2]).mean() < 0.5  # a mouth elsewhere is a little of a nod
