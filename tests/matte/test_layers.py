from __future__ import annotations

import pytest

from laikaroto.config import MatteConfig
from laikaroto.errors import ConfigError
from laikaroto.matte.layers import matte_layers

CLOSED = ("mouth", "eye_L", "eye_R")


def test_each_closed_shape_is_a_layer_by_default():
    assert matte_layers(MatteConfig(), CLOSED) == {
        "eye_L": ("eye_L",),
        "eye_R": ("eye_R",),
        "mouth": ("mouth",),
    }
    assert matte_layers(MatteConfig(), ()) == {}


def test_configured_layers_and_their_union():
    config = MatteConfig(
        layers={"eyes": ("eye_L", "eye_R"), "right": ("eye_R", "mouth")}, combined="all"
    )
    assert matte_layers(config, CLOSED) == {
        "eyes": ("eye_L", "eye_R"),
        "right": ("eye_R", "mouth"),
        "all": ("eye_L", "eye_R", "mouth"),
    }


def test_combined_alone():
    found = matte_layers(MatteConfig(combined="all"), CLOSED)
    assert found["all"] == ("eye_L", "eye_R", "mouth") and len(found) == 4


def test_all_faults_at_once():
    config = MatteConfig(
        layers={"eyes": ("eye_L", "eye_M"), "seam": ("seam_L",), "none": ()}, combined="seam"
    )
    with pytest.raises(ConfigError) as caught:
        matte_layers(config, CLOSED)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "mattes.layers.eyes: 'eye_M' is no closed shape" in lines[0]
    assert "the closed shapes are: eye_L, eye_R, mouth" in lines[0]
    assert "mattes.layers.seam: 'seam_L'" in lines[1]
    assert "mattes.layers.none: names no shape" in lines[2]
    assert "mattes.combined: the name 'seam' is taken" in lines[3]
