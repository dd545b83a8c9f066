"""The shape prior: what is unsure follows what is sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from laikaroto.character.template import CharacterTemplate, ShapeTemplate, pack
from laikaroto.errors import ModelError
from laikaroto.model.predictions import Predictions
from laikaroto.model.prior import (
    Placed,
    ShapePrior,
    curve_directions,
    from_places,
    place,
    places,
    project,
    read_prior,
    start,
    write_prior,
)
from laikaroto.training.mirror import find_mirror
from laikaroto.training.prior import fit_prior
from tests.tracking.simulated import perfect, read_truth


def learned(*shots: str) -> tuple[CharacterTemplate, ShapePrior]:
    values, names = [], []
    for shot in shots:
        roto, template = read_truth(shot)
        for frame in roto.frames:
            values.append(pack(roto, template, frame)[0])
            names.append(shot)
    heads = np.stack(values)
    mirror = find_mirror(template, heads)
    assert mirror is not None
    mirrored = np.stack([mirror.values(head, 0.0) for head in heads])
    prior = fit_prior(heads, names, tracks=len(template.tracks), mirrored=mirrored)
    assert prior is not None
    return template, prior


TEMPLATE, PRIOR = learned("tr01", "tr02", "tr03")
TRUTH, _ = read_truth("ta01")


def mean_gap(one: Predictions, other: Predictions, points: slice = slice(None)) -> float:
    return float(np.linalg.norm((one.values - other.values)[:, points, :2], axis=-1).mean())


def test_what_a_character_can_look_like_is_left_alone() -> None:
    truth, template = read_truth("tr02")
    right = replace(perfect(truth, template), error_px=np.full((8, 114), 0.3))
    assert mean_gap(PRIOR.apply(right, TEMPLATE), right) < 0.1


def test_noise_is_taken_out() -> None:
    right = perfect(TRUTH, TEMPLATE)
    rng = np.random.default_rng(0)
    noise = np.zeros_like(right.values)
    noise[..., :2] = rng.normal(0, 1.0, noise[..., :2].shape)
    error = np.full(right.error_px.shape, 1.25)
    noisy = replace(right, values=right.values + noise, error_px=error)
    assert mean_gap(PRIOR.apply(noisy, TEMPLATE), right) < 0.65 * mean_gap(noisy, right)


def test_a_lost_shape_follows_the_rest_of_the_head() -> None:
    right = perfect(TRUTH, TEMPLATE)
    where = TEMPLATE.slices()["seam_L"]
    seam = slice(len(TEMPLATE.tracks) + where.start, len(TEMPLATE.tracks) + where.stop)
    values, error = right.values.copy(), np.full(right.error_px.shape, 0.2)
    values[:, seam, :2] += [25.0, -18.0]
    error[:, seam] = 30.0
    lost = replace(right, values=values, error_px=error)
    assert mean_gap(lost, right, seam) > 30
    assert mean_gap(PRIOR.apply(lost, TEMPLATE), right, seam) < 4


def test_a_point_that_is_sure_but_contradicts_all_others_is_doubted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = replace(perfect(TRUTH, TEMPLATE), error_px=np.full((16, 114), 0.3))
    nose = TEMPLATE.tracks.index("nose_tip")
    values = right.values.copy()
    values[:, nose, 0] += 6.0
    wrong = replace(right, values=values)
    others = [point for point in range(114) if point != nose]

    def taken_along() -> float:
        gap = PRIOR.apply(wrong, TEMPLATE).values - PRIOR.apply(right, TEMPLATE).values
        return float(np.linalg.norm(gap[:, others, :2], axis=-1).mean())

    doubted = taken_along()
    monkeypatch.setattr("laikaroto.model.prior.FREEDOM", 1e9)  # errors as they say: normal
    assert doubted < 0.4 * taken_along()


def test_one_lens_tells_perspective_from_turn_and_expression() -> None:
    rng = np.random.default_rng(5)
    size = rng.uniform(0.8, 1.2, 16)
    true = Placed(
        Rotation.from_euler("yxz", rng.normal(0, [20, 8, 5], (16, 3)), degrees=True).as_matrix(),
        size,
        rng.normal(0, 0.3, (16, 2)),
        0.06 * size,
        rng.normal(0, 0.7, (16, len(PRIOR.faces))),
    )
    right = perfect(TRUTH, TEMPLATE)
    values = from_places(project(PRIOR, true) * 400.0 + 500.0, len(TEMPLATE.tracks))
    right = replace(right, values=values, error_px=np.full(right.error_px.shape, 2.0))
    noise = np.zeros_like(values)
    noise[..., :2] = rng.normal(0, 2.0, noise[..., :2].shape)
    noisy = replace(right, values=values + noise)
    alone = mean_gap(PRIOR.apply(noisy, TEMPLATE), right)
    assert mean_gap(PRIOR.apply(noisy, TEMPLATE, one_lens=True), right) < 0.99 * alone


def test_it_does_not_matter_where_and_how_large_the_head_is() -> None:
    right = replace(perfect(TRUTH, TEMPLATE), error_px=np.full((16, 114), 1.0))
    moved = right.values * 3.0
    moved[..., :2] += [500.0, -70.0]
    larger = replace(right, values=moved, error_px=right.error_px * 3.0)
    back = PRIOR.apply(larger, TEMPLATE).values
    back[..., :2] -= [500.0, -70.0]
    np.testing.assert_allclose(back / 3.0, PRIOR.apply(right, TEMPLATE).values, atol=1e-6)


def test_places_hold_all_that_control_points_do() -> None:
    values = perfect(TRUTH, TEMPLATE).values
    tracks = len(TEMPLATE.tracks)
    found = places(values, tracks)
    assert found.shape == (16, 114 + 2 * 94, 2)
    np.testing.assert_allclose(from_places(found, tracks), values, atol=1e-9)


def test_a_head_is_placed_where_it_was_seen() -> None:
    rng = np.random.default_rng(2)
    body, faces = rng.normal(0, 0.3, (60, 3)), rng.normal(0, 0.03, (3, 60, 3))
    prior = ShapePrior(body, faces, np.full(60, 1e-3))
    true = Placed(
        Rotation.from_euler("yxz", [[30, -10, 5], [-50, 5, 0]], degrees=True).as_matrix(),
        np.array([1.1, 0.9]), np.array([[0.1, -0.2], [0.0, 0.3]]), np.array([0.06, -0.03]),
        np.array([[1.0, -0.5, 0.3], [-1.2, 0.1, 0.8]]),
    )  # fmt: skip
    seen = project(prior, true)
    weight = np.broadcast_to(np.eye(2) / 1e-4**2, (2, 60, 2, 2))
    found = place(prior, seen, weight, start(prior, seen, weight), steps=50)
    np.testing.assert_allclose(project(prior, found), seen, atol=1e-4)
    np.testing.assert_allclose(found.turn, true.turn, atol=2e-3)
    np.testing.assert_allclose(found.shares, true.shares, atol=2e-2)
    np.testing.assert_allclose(found.nearness, true.nearness, atol=2e-3)


def test_points_that_are_not_on_a_curve_have_no_direction() -> None:
    values = perfect(TRUTH, TEMPLATE).values
    along = curve_directions(values, TEMPLATE)
    length = np.linalg.norm(along, axis=-1)
    assert not length[:, : len(TEMPLATE.tracks)].any()
    first = len(TEMPLATE.tracks) + TEMPLATE.slices()["seam_L"].start
    assert not length[:, [first, first + 4]].any()  # ends of an open shape
    np.testing.assert_allclose(length[:, first + 1 : first + 4], 1.0)


def test_a_single_point_is_left_where_it_is() -> None:
    template = CharacterTemplate(character="dot", tracks=("dot",), shapes=())
    prior = ShapePrior(np.zeros((1, 3)), np.zeros((1, 1, 3)), np.ones(1))
    right = perfect(TRUTH, TEMPLATE)
    one = replace(
        right, values=right.values[:, :1], error_px=right.error_px[:, :1],
        visible=right.visible[:, :1],
    )  # fmt: skip
    np.testing.assert_array_equal(prior.apply(one, template).values, one.values)


def test_read_as_written(tmp_path: Path) -> None:
    assert read_prior(tmp_path, TEMPLATE) is None
    write_prior(tmp_path, PRIOR)
    again = read_prior(tmp_path, TEMPLATE)
    assert again is not None
    np.testing.assert_array_equal(again.body, PRIOR.body)
    np.testing.assert_array_equal(again.faces, PRIOR.faces)
    np.testing.assert_array_equal(again.rest, PRIOR.rest)


def test_a_prior_of_another_template_is_refused(tmp_path: Path) -> None:
    write_prior(tmp_path, PRIOR)
    other = TEMPLATE.model_copy(
        update={"shapes": (ShapeTemplate(name="mouth", closed=True, count=4),)}
    )
    with pytest.raises(ModelError, match=r"prior.npz: wanted arrays of shapes .* for 24 points"):
        read_prior(tmp_path, other)
    (tmp_path / "prior.npz").write_bytes(b"PK no")
    with pytest.raises(ModelError, match="cannot be read"):
        read_prior(tmp_path, TEMPLATE)
