"""Learning a shape prior."""

from __future__ import annotations

import numpy as np

from laikaroto.training.prior import UNKNOWN_REST, fit_prior


def heads(count: int, *, noise: float, seed: int = 0) -> np.ndarray:
    """Mixtures of three forms, each of twelve points, at any place and size."""
    rng = np.random.default_rng(seed)
    forms = np.random.default_rng(7).normal(0, 1, (3, 12, 6))
    mixed = np.einsum("fk,kpc->fpc", rng.normal(0, 1, (count, 3)), forms)
    mixed += rng.normal(0, noise, mixed.shape)
    mixed *= rng.uniform(50, 200, (count, 1, 1))
    mixed[..., :2] += rng.uniform(0, 1000, (count, 1, 2))
    return mixed


def test_basis_holds_what_the_truth_shows() -> None:
    prior = fit_prior(heads(20, noise=0.0), ["a"] * 10 + ["b"] * 10, mirrored=None)
    assert prior is not None
    assert 3 <= len(prior.spread) <= 6  # three forms, of which x and y are two
    np.testing.assert_allclose(prior.basis @ prior.basis.T, np.eye(len(prior.basis)), atol=1e-9)
    assert prior.rest.max() < 1e-4


def test_rest_is_what_other_shots_do_not_explain() -> None:
    exact = fit_prior(heads(12, noise=0.01), ["a"] * 6 + ["b"] * 6, mirrored=None)
    rough = fit_prior(heads(12, noise=0.05), ["a"] * 6 + ["b"] * 6, mirrored=None)
    assert exact is not None and rough is not None
    assert rough.rest.mean() > 2 * exact.rest.mean()


def test_a_single_shot_does_not_tell_the_rest() -> None:
    prior = fit_prior(heads(8, noise=0.0), ["a"] * 8, mirrored=None)
    assert prior is not None
    np.testing.assert_array_equal(prior.rest, UNKNOWN_REST)
    assert fit_prior(heads(1, noise=0.0), ["a"], mirrored=None) is None


def test_mirror_images_count_as_frames_of_their_shot() -> None:
    """Forms that only images show are in the basis, and do not make up for a shot left out."""
    values, images = heads(12, noise=0.0), heads(12, noise=0.0, seed=3)
    images[..., 0] *= -1
    images[..., [0, 2, 4]] = images[..., [2, 4, 0]]  # forms of their own
    shots = ["a"] * 6 + ["b"] * 6
    alone, both = (fit_prior(values, shots, mirrored=m) for m in (None, images))
    assert alone is not None and both is not None
    assert len(both.spread) > len(alone.spread)
    again = fit_prior(values, shots, mirrored=values)
    assert again is not None
    np.testing.assert_allclose(again.spread, alone.spread, rtol=1e-6)
