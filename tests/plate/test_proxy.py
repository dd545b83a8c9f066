from __future__ import annotations

import cv2
import numpy as np
import pytest

from laikaroto.errors import TryAgainError
from laikaroto.plate.proxy import encode_jpeg, make_proxy, view_processor, write_jpeg


def test_baked_view_matches_the_exact_one():
    rng = np.random.default_rng(3)
    linear = np.exp(rng.uniform(np.log(0.003), np.log(20), (60, 80, 3))).astype(np.float32)
    linear[0] = 0
    exact = linear.copy()
    view_processor().applyRGB(exact)
    error = np.abs(make_proxy(linear).astype(np.float64) - np.clip(exact, 0, 1) * 255)
    assert error.mean() < 0.6 and np.percentile(error, 99) < 2.0


def test_grey_stays_grey_and_rises():
    levels = np.array([0.0, 0.01, 0.05, 0.18, 0.5, 1.0, 4.0, 16.0, 500.0], np.float32)
    row = make_proxy(np.repeat(levels[None, :, None], 3, axis=2))[0].astype(int)
    assert (np.ptp(row, axis=1) <= 1).all()
    assert (np.diff(row[:, 1]) >= 0).all() and row[0, 1] == 0 and row[-1, 1] >= 250
    assert 80 < row[3, 1] < 110, "18 % grey lies where ACES 2.0 puts it"


def test_channels_are_red_green_blue():
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0] = 0.5
    pixel = make_proxy(red)[0, 0]
    assert pixel[0] > 120 and pixel[0] > 2 * max(pixel[1], pixel[2])


def test_scales_down_by_area_and_never_up():
    image = np.zeros((90, 160, 3), np.float32)
    image[:, ::2] = 0.36  # averages to 0.18 in light, not after the view
    proxy = make_proxy(image, max_width=80)
    assert proxy.shape == (45, 80, 3) and proxy.dtype == np.uint8
    grey = make_proxy(np.full((4, 4, 3), 0.18, np.float32))
    assert np.abs(proxy.astype(int) - grey[0, 0].astype(int)).max() <= 1
    assert make_proxy(image, max_width=160).shape == (90, 160, 3)
    assert make_proxy(np.zeros((1, 3000, 3), np.float32), max_width=100).shape == (1, 100, 3)


@pytest.mark.parametrize(
    ("aspect", "max_width", "size"),
    [
        (2.0, 960, (50, 160)),  # never enlarged: anamorphic plates lose rows
        (2.0, 80, (25, 80)),
        (0.5, 960, (100, 80)),
        (0.5, 40, (50, 40)),
        (1.0, 960, (100, 160)),
    ],
)
def test_a_squeezed_plate_comes_out_with_square_pixels(
    aspect: float, max_width: int, size: tuple[int, int]
) -> None:
    """A disc that is photographed through an anamorphic lens is a disc again."""
    rows, columns = np.mgrid[:100, :160] + 0.5
    across, down = (columns - 80) * aspect / max(aspect, 1), (rows - 50) / max(aspect, 1)
    disc = (np.hypot(across, down) < 20 / max(aspect, 1)).astype(np.float32)
    proxy = make_proxy(np.stack([disc] * 3, axis=-1), max_width=max_width, pixel_aspect=aspect)
    assert proxy.shape[:2] == size
    lit = proxy[..., 1] > 90
    assert np.ptp(np.nonzero(lit)[1]) == pytest.approx(np.ptp(np.nonzero(lit)[0]), abs=2)
    assert lit.sum() > 20


def test_input_is_not_changed():
    image = np.full((4, 4, 3), 0.18, np.float32)
    make_proxy(image)
    assert (image == np.float32(0.18)).all()


def test_jpeg_keeps_colours(tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    image[...] = (200, 60, 20)
    write_jpeg(tmp_path / "a.jpg", image)
    back = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
    assert np.abs(back.astype(int) - image).max() <= 4
    grey = cv2.imdecode(np.frombuffer(encode_jpeg(image[..., 0]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (32, 32)
    assert len(encode_jpeg(image, quality=50)) <= len(encode_jpeg(image, quality=95))


def test_jpeg_write_failure(tmp_path):
    with pytest.raises(TryAgainError, match=r"cannot write .*a\.jpg: No such file"):
        write_jpeg(tmp_path / "none" / "a.jpg", np.zeros((4, 4, 3), np.uint8))
