"""Our Lottie file in rlottie."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rlottie_python import LottieAnimation

from laikaroto.sidecar.formats import lottie
from tests.sidecar.formats.drawn import FIRST, HIDDEN, KEYS, LAST, iou, matte, moving_roto, sparse

DOCUMENT = json.loads(lottie.write(moving_roto(), sparse(moving_roto()))["x.lottie.json"])


def render(frame: int) -> np.ndarray:
    closed = {**DOCUMENT, "layers": [e for e in DOCUMENT["layers"] if e["nm"] == "blob"]}
    animation = LottieAnimation.from_data(json.dumps(closed))
    data = animation.lottie_animation_render(frame_num=frame - FIRST, width=1280, height=720)
    return np.frombuffer(data, np.uint8).reshape(720, 1280, 4)[..., 3] / 255.0


@pytest.mark.parametrize("frame", range(FIRST, LAST + 1))
def test_rlottie_draws_what_our_matte_shows(frame: int) -> None:
    assert iou(render(frame), matte(moving_roto(), frame)) >= 0.999


def test_hidden_frames_are_empty() -> None:
    assert not any(render(frame).any() for frame in HIDDEN)


def test_frames_and_size_are_the_plates() -> None:
    said = {key: DOCUMENT[key] for key in ("ip", "op", "fr", "w", "h")}
    assert said == {"ip": FIRST, "op": LAST + 1, "fr": 24.0, "w": 1280, "h": 720}
    assert [layer["nm"] for layer in DOCUMENT["layers"]] == ["blob", "seam"]


def test_the_last_key_leads_nowhere() -> None:
    path = DOCUMENT["layers"][0]["shapes"][0]["it"][0]["ks"]["k"]
    assert [key["t"] for key in path] == list(KEYS)
    assert all("i" in key and "o" in key for key in path[:-1])
    assert "i" not in path[-1] and "o" not in path[-1]


def test_open_shapes_stay_open_and_are_not_filled() -> None:
    path, paint, _ = DOCUMENT["layers"][1]["shapes"][0]["it"]
    assert path["ks"]["k"][0]["s"][0]["c"] is False
    assert paint["ty"] == "st"
