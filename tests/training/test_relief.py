"""Relief from turned heads, made of a body whose depth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from laikaroto.coords import FloatArray
from laikaroto.training.relief import find_relief


def head(angles: list[float], *, expression: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Points of a bulging face turned by yaw angles in degrees: xy (F, P, 2), depth (F, P)."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (40, 2)) * [1.0, 1.3]
    body = np.column_stack([flat, 0.8 - 0.5 * (flat**2).sum(axis=1)])
    frames = []
    for i, yaw in enumerate(angles):
        turned = Rotation.from_euler("yx", [yaw, yaw / 5], degrees=True).as_matrix()
        moved = body + np.column_stack([rng.normal(0, expression, (40, 2)), np.zeros(40)])
        frames.append(moved @ turned.T * (100 + i))
    space = np.stack(frames)
    xy = space[..., :2] + [300.0, 200.0]
    side = np.ptp(xy, axis=1).max(axis=-1)[:, None]
    depth = (space[..., 2] - space[..., 2].mean(axis=1, keepdims=True)) / side
    return xy, depth


TURNS = [-35.0, -20.0, -5.0, 0.0, 10.0, 25.0, 40.0]


@pytest.mark.parametrize("expression", [0.0, 0.01])
def test_depth_of_a_turning_head_is_found(expression: float) -> None:
    xy, depth = head(TURNS, expression=expression)
    visible = depth > np.quantile(depth, 0.1, axis=1, keepdims=True)  # the far side is hidden
    found = find_relief(xy, visible)
    assert found is not None
    assert np.abs(found.depth - depth).mean() < (0.001 if expression == 0.0 else 0.02)


def test_a_face_bulges_where_nobody_says_what_is_hidden() -> None:
    """Artists' files do not: every point of a shape that is drawn counts as visible."""
    xy, depth = head(TURNS, expression=0.01)
    found = find_relief(xy, np.ones(depth.shape, bool))
    assert found is not None
    assert np.abs(found.depth - depth).mean() < 0.02


def test_hidden_points_count_before_the_bulge() -> None:
    """A dish seen from its hollow side: its far points are the ones it hides."""
    xy, depth = head(TURNS)
    hollow = find_relief(xy, -depth > np.quantile(-depth, 0.1, axis=1, keepdims=True))
    assert hollow is not None
    assert np.abs(hollow.depth + depth).mean() < 0.001


def test_what_the_poses_do_not_tell_is_not_guessed() -> None:
    xy, depth = head(TURNS)
    assert find_relief(xy[:4], depth[:4] > 0) is None  # too few frames
    still, depth = head([0.0] * 8)
    assert find_relief(still, depth > 0) is None  # never turned


def test_expressions_are_what_the_rigid_head_does_not_explain() -> None:
    xy, depth = head(TURNS, expression=0.03)
    visible = depth > np.quantile(depth, 0.1, axis=1, keepdims=True)
    found = find_relief(xy, visible)
    assert found is not None
    away = np.einsum("fpk,fik->fpi", found.expression, found.camera) * found.side[:, None, None]
    rigid = xy - away
    assert np.abs(away).mean() > 0.5  # px; without expressions there is next to nothing
    plain = find_relief(rigid, visible)
    assert plain is not None and np.abs(plain.expression).max() < 1e-6


def test_inside_out_is_not_guessed_where_there_is_no_bulge() -> None:
    """Points on a saddle, all visible: inside out it looks the same."""
    flat = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    body = np.column_stack([flat, 0.5 * flat[:, 0] * flat[:, 1]])
    turned = [Rotation.from_euler("yx", [yaw, yaw / 3], degrees=True).as_matrix() for yaw in TURNS]
    xy = np.stack([(body @ turn.T)[:, :2] * 100 for turn in turned])
    assert find_relief(xy, np.ones(xy.shape[:2], bool)) is None
