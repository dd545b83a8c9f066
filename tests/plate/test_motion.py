import cv2
import numpy as np
import pytest

from laikaroto.plate.colour import encode_log
from laikaroto.plate.motion import NO_MOTION_KNOWN, measure_motion

WINDOW = (20.0, 10.0, 220.0, 190.0)


def scene(seed: int = 0) -> np.ndarray:
    """Soft blobs with some detail, scene-linear."""
    rng = np.random.default_rng(seed)
    picture = np.full((200, 240, 3), 0.05, np.float32)
    for radius, count in ((16, 20), (6, 60), (3, 100)):
        spots = np.zeros((200, 240), np.float32)
        spots[rng.integers(0, 200, count), rng.integers(0, 240, count)] = radius**2 * 2.0
        picture += cv2.GaussianBlur(spots, (0, 0), radius)[..., None] * rng.uniform(0.5, 1, 3)
    return picture.astype(np.float32)


def grain(picture: np.ndarray, seed: int, amount: float = 0.04) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, amount, picture.shape)
    return (picture * (1 + noise)).astype(np.float32)


def shifted(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    matrix = np.float32([[1, 0, across], [0, 1, down]])
    return cv2.warpAffine(
        picture, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


@pytest.mark.parametrize("gain", [0.96, 1.0, 1.04])
@pytest.mark.parametrize("seed", range(4))
def test_grain_and_flicker_are_no_motion(seed: int, gain: float) -> None:
    picture = scene(seed)
    before, after = grain(picture, 10 + seed), grain(picture * np.float32(gain), 20 + seed)
    motion = measure_motion(encode_log(before), encode_log(after), WINDOW)
    assert np.hypot(motion.across_px, motion.down_px) < 0.05
    assert motion.local_px < 0.6


@pytest.mark.parametrize(("across", "down"), [(0.3, 0.0), (0.0, -0.3), (0.8, 0.5)])
def test_a_small_camera_move_is_measured(across: float, down: float) -> None:
    picture = scene()
    before, after = grain(picture, 1), grain(shifted(picture, across, down), 2)
    motion = measure_motion(encode_log(before), encode_log(after), WINDOW)
    assert motion.across_px == pytest.approx(across, abs=0.12)
    assert motion.down_px == pytest.approx(down, abs=0.12)


def test_a_small_change_is_seen_locally() -> None:
    picture = scene()
    moved = picture.copy()
    moved[80:110, 100:140] = shifted(picture, 0.0, 3.0)[80:110, 100:140]
    motion = measure_motion(encode_log(grain(picture, 1)), encode_log(grain(moved, 2)), WINDOW)
    assert motion.local_px > 1.0


def test_another_picture_is_seen() -> None:
    motion = measure_motion(encode_log(scene(1)), encode_log(scene(2)), WINDOW)
    assert motion.local_px > 1.0


def test_what_lies_outside_the_window_does_not_count() -> None:
    picture = scene()
    other = picture.copy()
    other[:, 225:] = 5.0
    motion = measure_motion(encode_log(picture), encode_log(other), WINDOW)
    assert motion.local_px < 0.05


def test_large_heads_are_measured_in_a_smaller_picture() -> None:
    big = cv2.resize(scene(), None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    after = shifted(big, 8.0, 0.0)
    window = tuple(8 * value for value in WINDOW)
    motion = measure_motion(encode_log(big), encode_log(after), window)
    assert motion.across_px == pytest.approx(8.0 * 512 / 1600, rel=0.15)


@pytest.mark.parametrize("window", [(-90.0, -90.0, 10.0, 10.0), (500.0, 500.0, 900.0, 900.0)])
def test_a_window_off_the_plate_tells_nothing(window: tuple[float, float, float, float]) -> None:
    picture = encode_log(scene())
    assert measure_motion(picture, picture, window) == NO_MOTION_KNOWN


def test_black_plates_have_no_gain() -> None:
    black = np.zeros((200, 240, 3), np.float32)
    assert measure_motion(black, black, WINDOW).local_px == 0.0
