import cv2
import numpy as np
import pytest

from laikaroto.model.crop import (
    MARGIN,
    Box,
    box_around,
    crop_matrix,
    cut_crop,
    cut_plate,
    invert,
    reduce_plate,
    whole_plate,
)


def blob(width: int, height: int, x: float, y: float, radius: float) -> np.ndarray:
    """A soft bright spot at plate coordinates (corner origin)."""
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    weight = np.exp(-(((xs - x) ** 2)[None] + ((ys - y) ** 2)[:, None]) / (2 * radius**2))
    return np.repeat(weight[..., None], 3, axis=2).astype(np.float32)


def centre_of(image: np.ndarray) -> np.ndarray:
    """Centre of mass, corner origin."""
    weight = image[..., 0].astype(np.float64)
    ys, xs = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


def apply(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return np.asarray(matrix[:, :2] @ xy + matrix[:, 2])


def test_box_around_points_has_a_margin_on_the_longer_side() -> None:
    box = box_around(np.array([[10.0, 20.0], [110.0, 60.0]]))
    assert box == Box(60.0, 40.0, 100.0 * MARGIN)


def test_crop_matrix_maps_centre_and_corners() -> None:
    matrix = crop_matrix(Box(100.0, 50.0, 64.0), 32)
    np.testing.assert_allclose(apply(matrix, np.array([16.0, 16.0])), [100.0, 50.0])
    np.testing.assert_allclose(apply(matrix, np.array([0.0, 0.0])), [68.0, 18.0])


def test_turn_is_clockwise_on_screen() -> None:
    matrix = crop_matrix(Box(0.0, 0.0, 32.0), 32, turn=np.pi / 2)
    # what lies right of the crop's centre lies below the head's centre on the plate
    np.testing.assert_allclose(apply(matrix, np.array([26.0, 16.0])), [0.0, 10.0], atol=1e-12)


def test_invert() -> None:
    matrix = crop_matrix(Box(12.0, 90.0, 70.0), 32, turn=0.3)
    point = np.array([3.0, 8.0])
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, point)), point)


@pytest.mark.parametrize("turn", [0.0, 0.4])
@pytest.mark.parametrize("side", [60.0, 128.0, 300.0])
def test_a_spot_is_found_where_the_matrix_says(side: float, turn: float) -> None:
    image = blob(320, 240, 150.3, 120.8, side / 25)
    box = Box(158.0, 113.0, side)
    matrix = crop_matrix(box, 64, turn=turn)
    reduced, scale = reduce_plate(image, box, 64)
    crop = cut_crop(reduced, matrix * scale, 64)
    found = apply(matrix, centre_of(crop))
    np.testing.assert_allclose(found, [150.3, 120.8], atol=0.02 * side / 64 + 0.02)


def test_a_crop_of_a_plate_is_centred_on_its_box() -> None:
    matrix = crop_matrix(Box(150.0, 120.0, 100.0), 64)
    (crop,) = cut_plate(blob(320, 240, 150.0, 120.0, 6.0), [matrix], 64)
    assert crop.shape == (64, 64, 3) and crop.dtype == np.float32
    np.testing.assert_allclose(centre_of(crop), [32.0, 32.0], atol=0.05)


@pytest.mark.parametrize("turn", [0.0, 0.4])
@pytest.mark.parametrize("box", [Box(158.0, 113.0, 50.0), Box(40.0, 200.0, 230.0)])
def test_only_the_part_under_the_crop_matters(box: Box, turn: float) -> None:
    """As if the whole plate had been reduced, and with everything around painted over."""
    image = np.random.default_rng(3).random((240, 320, 3)).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 4.0)
    matrix = crop_matrix(box, 64, turn=turn)
    (crop,) = cut_plate(image, [matrix], 64)
    reduced, scale = reduce_plate(image, box, 64)
    np.testing.assert_allclose(crop, cut_crop(reduced, matrix * scale, 64), atol=0.01)
    ends = [[0.0, 0.0], [64.0, 0.0], [64.0, 64.0], [0.0, 64.0]]
    corners = np.stack([apply(matrix, np.array(end)) for end in ends])
    slack = 4.0 * max(box.side / 64, 1.0)
    low = np.maximum(corners.min(axis=0) - slack, 0).astype(int)
    high = (corners.max(axis=0) + slack).astype(int)
    painted = np.full_like(image, 9.0)
    inside = np.s_[low[1] : high[1], low[0] : high[0]]
    painted[inside] = image[inside]
    np.testing.assert_array_equal(cut_plate(painted, [matrix], 64)[0], crop)


def test_several_crops_of_a_plate_are_cut_at_once() -> None:
    image = blob(320, 240, 150.0, 120.0, 12.0)
    boxes = (Box(150.0, 120.0, 200.0), Box(146.0, 122.0, 190.0), Box(154.0, 118.0, 210.0))
    matrices = [crop_matrix(box, 64, turn=0.1 * i) for i, box in enumerate(boxes)]
    together = cut_plate(image, matrices, 64)
    for crop, matrix in zip(together, matrices, strict=True):
        np.testing.assert_allclose(apply(matrix, centre_of(crop)), [150.0, 120.0], atol=0.1)
        np.testing.assert_allclose(crop, cut_plate(image, [matrix], 64)[0], atol=0.02)


@pytest.mark.parametrize("x", [0.0, -500.0, 39.0, 700.0])
def test_outside_the_plate_its_edge_repeats(x: float) -> None:
    image = np.full((40, 40, 3), 0.5, np.float32)
    (crop,) = cut_plate(image, [crop_matrix(Box(x, 0.0, 60.0), 32)], 32)
    np.testing.assert_allclose(crop, 0.5, atol=1e-6)


def test_a_plate_is_reduced_but_never_enlarged() -> None:
    image = blob(400, 200, 100.0, 100.0, 20.0)
    same, scale = reduce_plate(image, Box(100, 100, 60.0), 64)
    assert same is image and scale == 1.0
    small, scale = reduce_plate(image, Box(100, 100, 320.0), 64)
    assert small.shape[1] == round(400 * scale) == 100


@pytest.mark.parametrize(("width", "height"), [(640, 360), (100, 400), (61, 33)])
def test_whole_plate_fits_and_maps_back(width: int, height: int) -> None:
    x, y = 0.3 * width, 0.6 * height
    image = blob(width, height, x, y, width / 20)
    picture, matrix = whole_plate(image, (96, 64))
    assert picture.shape == (64, 96, 3)
    np.testing.assert_allclose(
        apply(matrix, centre_of(picture)), [x, y], atol=1.0 * float(matrix[0, 0])
    )
