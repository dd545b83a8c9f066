"""The card behind a puppet, told from everything else that is green."""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.config import PlateConfig
from laikaroto.matte.green_card import card_share
from laikaroto.plate.exr import read_rgb

HEIGHT, WIDTH = 180, 320
CARD = np.array([0.06, 0.45, 0.09], np.float32)
SKIN = np.array([0.5, 0.3, 0.2], np.float32)


def stage(cover: np.ndarray, *, light: float = 1.0) -> np.ndarray:
    """A puppet of this coverage (H, W) before a card that fills most of a grey set."""
    set_ = np.full((HEIGHT, WIDTH, 3), 0.2, np.float32)
    set_[10:170, 40:280] = CARD
    # lit from the left: half as bright on the right
    set_ *= np.linspace(1.0, 0.5, WIDTH, dtype=np.float32)[None, :, None] * light
    return set_ * (1 - cover[..., None]) + SKIN * light * cover[..., None]


def head() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip((60 - np.hypot(x - 160, y - 95)) / 6 + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("light", [0.05, 1.0, 20.0])
def test_card_is_one_puppet_and_set_are_none_in_any_light(light: float) -> None:
    share = card_share(stage(head(), light=light))
    assert share.shape == (HEIGHT, WIDTH) and share.dtype == np.float32
    assert share[20:160, 45:95].min() > 0.99 and share[20:160, 225:275].min() > 0.99
    assert share[head() > 0.95].max() == 0.0
    assert share[:, :36].max() == 0.0 and share[:, 284:].max() == 0.0


def test_edges_belong_to_the_puppet() -> None:
    cover, share = head(), card_share(stage(head()))
    assert share[cover > 0.2].max() == 0.0
    # and the card begins right behind them
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    around = np.hypot(x - 160, y - 95)
    assert share[(around > 66) & (around < 70)].min() > 0.9


def test_the_card_s_light_on_a_cheek_is_no_card() -> None:
    cover = head()
    picture = stage(cover)
    lit = (cover > 0.99) & (np.mgrid[:HEIGHT, :WIDTH][1] < 130)
    picture[lit] += CARD * np.float32(0.9)  # greener than red: 0.54 of pure green
    assert (picture[lit][:, 1] > picture[lit][:, 0] + 0.1).all()
    assert card_share(picture)[cover > 0.2].max() == 0.0


def test_green_eyes_are_no_card() -> None:
    picture = stage(head())
    picture[90:94, 140:145] = CARD
    share = card_share(picture)
    assert share[85:99, 135:150].max() == 0.0


def test_a_picture_without_a_card_has_none() -> None:
    assert not card_share(np.full((HEIGHT, WIDTH, 3), 0.18, np.float32)).any()
    assert not card_share(np.zeros((HEIGHT, WIDTH, 3), np.float32)).any()


@pytest.mark.parametrize("frame", [1001, 1007])
def test_it_agrees_with_the_exact_matte_of_the_sample(frame: int) -> None:
    root, name = bundled("sample"), f"tr02.{frame}.exr"
    card = read_rgb(root / "green_card" / "tr02" / name, PlateConfig(template="{shot}{frame}"))
    alpha = PlateConfig(template="{shot}{frame}", channels=("A", "A", "A"))
    puppet = read_rgb(root / "reference" / "alpha" / "tr02" / name, alpha)[..., 0]
    share = card_share(card)
    assert share[puppet > 0.99].mean() < 0.005
    assert share[puppet < 0.01].mean() > 0.95
