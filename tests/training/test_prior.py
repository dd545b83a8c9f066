"""Learning a shape prior."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from laikaroto.coords import FloatArray
from laikaroto.model.prior import ShapePrior, from_places, place, places, project, start
from laikaroto.training.prior import UNKNOWN_REST, fit_prior

TRACKS, CONTROLS = 20, 10


def heads(count: int, *, faces: int = 2, noise: float = 0.0, seed: int = 0) -> FloatArray:
    """Turned heads (F, P, 6) with expressions, at any place and size, seen from afar."""
    form = np.random.default_rng(7)
    total = TRACKS + 3 * CONTROLS
    body, moved = form.normal(0, 0.4, (total, 3)), form.normal(0, 0.05, (faces, total, 3))
    rng = np.random.default_rng(seed)
    space = body + np.tensordot(rng.normal(0, 1, (count, faces)), moved, axes=1)
    turn = Rotation.from_euler("yx", rng.normal(0, 0.4, (count, 2))).as_matrix()
    seen = (space @ turn.transpose(0, 2, 1))[..., :2]
    seen += rng.normal(0, noise, seen.shape)
    values = from_places(seen * rng.uniform(50, 200, (count, 1, 1)), TRACKS)
    values[..., :2] += rng.uniform(0, 1000, (count, 1, 2))
    return values


def explained(prior: ShapePrior, values: FloatArray) -> float:
    """Mean distance from heads to the nearest the prior allows, as a fraction of their size."""
    side = np.ptp(values[..., :2], axis=1).max(axis=-1)[:, None, None]
    goal = (places(values, TRACKS) - values[..., :2].mean(axis=1, keepdims=True)) / side
    weight = np.broadcast_to(np.eye(2) / 0.001**2, (*goal.shape, 2))
    found = project(prior, place(prior, goal, weight, start(prior, goal, weight), steps=50))
    return float(np.linalg.norm(found - goal, axis=-1).mean())


def test_turned_heads_with_new_mixtures_of_faces_are_explained() -> None:
    prior = fit_prior(heads(40), ["a"] * 20 + ["b"] * 20, tracks=TRACKS, mirrored=None)
    assert prior is not None
    assert prior.body.shape == (TRACKS + 3 * CONTROLS, 3)
    assert explained(prior, heads(10, seed=5)) < 0.002
    other = heads(10, seed=5)
    other[:, 3, :2] += 30.0  # not what a head can look like
    assert explained(prior, other) > 0.004


def test_as_many_faces_as_the_expressions_need() -> None:
    counts = []
    for faces in (1, 7):
        values = heads(60, faces=faces, noise=0.002, seed=1)
        prior = fit_prior(values, ["a"] * 30 + ["b"] * 30, tracks=TRACKS, mirrored=None)
        assert prior is not None
        counts.append(len(prior.faces))
    assert counts[0] <= 4 < counts[1]


def test_rest_is_what_other_shots_do_not_explain() -> None:
    shots = ["a"] * 20 + ["b"] * 20
    exact = fit_prior(heads(40, noise=0.002), shots, tracks=TRACKS, mirrored=None)
    rough = fit_prior(heads(40, noise=0.02), shots, tracks=TRACKS, mirrored=None)
    assert exact is not None and rough is not None
    assert rough.rest.mean() > 2 * exact.rest.mean()


def test_a_head_that_never_turned_is_flat() -> None:
    values = np.repeat(heads(1), 12, axis=0)
    values[..., :2] += np.random.default_rng(0).normal(0, 1.0, (12, TRACKS + CONTROLS, 2))
    prior = fit_prior(values, ["a"] * 6 + ["b"] * 6, tracks=TRACKS, mirrored=None)
    assert prior is not None
    assert np.isfinite(prior.body).all() and np.isfinite(prior.faces).all()
    assert explained(prior, values) < 0.02


def test_one_shot_does_not_tell_what_is_left() -> None:
    prior = fit_prior(heads(8), ["a"] * 8, tracks=TRACKS, mirrored=None)
    assert prior is not None
    assert (prior.rest == UNKNOWN_REST).all()
    assert fit_prior(heads(1), ["a"], tracks=TRACKS, mirrored=None) is None


def test_mirror_images_count_as_frames_of_their_shot() -> None:
    """Faces that only images show are known, and do not make up for a shot left out."""
    values, images = heads(24), heads(24, faces=5, seed=3)
    shots = ["a"] * 12 + ["b"] * 12
    alone, both = (
        fit_prior(values, shots, tracks=TRACKS, mirrored=given) for given in (None, images)
    )
    assert alone is not None and both is not None
    assert explained(both, images) < 0.5 * explained(alone, images)
    again = fit_prior(values, shots, tracks=TRACKS, mirrored=values)
    assert again is not None
    np.testing.assert_allclose(again.rest, alone.rest, rtol=0.2)
