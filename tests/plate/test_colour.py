from __future__ import annotations

import numpy as np
import pytest

from laikaroto.plate.colour import decode_log, encode_log


def test_fixed_points():
    linear = np.array([0.0, 1 / 256, 0.18, 1.0, 64.0], np.float32)
    encoded = encode_log(linear)
    wanted = np.log2(1 + 256 * linear.astype(np.float64)) / np.log2(1 + 256 * 64)
    np.testing.assert_allclose(encoded, wanted, atol=1e-6)
    assert encoded[0] == 0 and encoded[-1] == pytest.approx(1, abs=1e-6)
    assert 0.39 < encoded[2] < 0.41


def test_inverse_over_the_whole_range():
    linear = np.concatenate([np.geomspace(1e-3, 65504, 2000), [0.0]]).astype(np.float32)
    linear = np.concatenate([-linear, linear])
    np.testing.assert_allclose(decode_log(encode_log(linear)), linear, rtol=3e-5, atol=1e-8)


def test_rises_everywhere_and_mirrors_negatives():
    linear = np.linspace(-2, 100, 10001, dtype=np.float32)
    assert (np.diff(encode_log(linear)) > 0).all()
    np.testing.assert_array_equal(encode_log(-linear), -encode_log(linear))


def test_equal_ratios_of_light_are_equal_steps_above_the_knee():
    one, two, four = encode_log(np.array([4.0, 8.0, 16.0]))
    assert two - one == pytest.approx(four - two, abs=2e-4)


def test_keeps_shape_and_input():
    image = np.random.default_rng(1).normal(0.2, 0.3, (7, 5, 3)).astype(np.float32)
    before = image.copy()
    encoded = encode_log(image)
    assert encoded.shape == image.shape and encoded.dtype == np.float32
    np.testing.assert_array_equal(image, before)
    strided = encode_log(image.transpose(2, 0, 1)[:, ::2])
    np.testing.assert_array_equal(strided, encoded.transpose(2, 0, 1)[:, ::2])
    assert decode_log(encoded).shape == image.shape
    assert encode_log(np.zeros((0, 3), np.float32)).shape == (0, 3)
