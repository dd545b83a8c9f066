from __future__ import annotations

import numpy as np
import pytest

from laikaroto.model.crop import Box
from laikaroto.training.absence import ABSENT, background, vary_presence

WIDTH, HEIGHT = 96, 64
HEAD = Box(40.0, 30.0, 24.0)
RED, GREY = np.float32([1, 0, 0]), np.float32([0.3, 0.3, 0.3])


def plate(head: Box) -> np.ndarray:
    """Grey, with the points' square of a head in red."""
    picture = np.full((HEIGHT, WIDTH, 3), GREY)
    xs, ys = np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5
    inside = (np.abs(xs[None] - head.x) < head.side / 2.6) & (
        np.abs(ys[:, None] - head.y) < head.side / 2.6
    )
    picture[inside] = RED
    return picture


def redness(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] - picture[..., 1]


def test_a_picture_says_rightly_whether_it_shows_the_head() -> None:
    picture, before = plate(HEAD), plate(HEAD)
    green = np.full((5, 9, 3), np.float32([0, 0.8, 0]))
    blue = np.full((7, 3, 3), np.float32([0, 0, 0.8]))
    seen = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        varied, present = vary_presence(picture, HEAD, rng, pieces=(green, blue))
        assert varied.shape == picture.shape and varied.dtype == np.float32
        if present:  # all of it
            assert np.abs(varied[redness(picture) > 0.5] - RED).max() < 1e-6
        else:  # nothing of it
            assert redness(varied).max() < 0.05
        colours = varied.reshape(-1, 3).max(axis=0)
        seen.append((present, bool(colours[1] > 0.5), bool(colours[2] > 0.5)))
    np.testing.assert_array_equal(picture, before)
    assert np.mean([not present for present, _, _ in seen]) == pytest.approx(ABSENT, abs=0.07)
    # paint does not give an absent head away: it is on pictures of both kinds
    assert {(True, False, False), (True, True, False)} <= set(seen)
    assert {(False, True, False), (False, False, True)} <= set(seen)


@pytest.mark.parametrize("head", [HEAD, Box(3.0, 60.0, 60.0), Box(90.0, -10.0, 50.0)])
def test_background_is_a_piece_from_beside_the_head(head: Box) -> None:
    picture = np.arange(HEIGHT * WIDTH * 3, dtype=np.float32).reshape(HEIGHT, WIDTH, 3)
    rows = np.arange(HEIGHT)[:, None] + 0.5
    columns = np.arange(WIDTH)[None] + 0.5
    inside = (np.abs(columns - head.x) < head.side / 2) & (np.abs(rows - head.y) < head.side / 2)
    kept = np.where(inside[..., None], np.nan, picture)
    sizes = set()
    for seed in range(100):
        piece = background(kept, head, np.random.default_rng(seed))
        assert np.isfinite(piece).all() and min(piece.shape[:2]) >= 6
        sizes.add(piece.shape)
    assert len(sizes) > 30


@pytest.mark.parametrize(
    ("head", "column"), [(Box(60.0, 32.0, 300.0), 0), (Box(20.0, 32.0, 300.0), WIDTH - 1)]
)
def test_where_the_head_fills_the_picture_the_furthest_edge_must_do(head: Box, column: int) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    picture[:, column] = 1.0
    piece = background(picture, head, np.random.default_rng(0))
    assert piece.shape == (HEIGHT, 6, 3) and piece.max() == 1.0
