"""Masks of known shapes are turned back into them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.methods.matte import draw_band
from benchmarks.accuracy.methods.outline import fit_spline, trace_band, trace_outline
from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.bezier import sample
from laikaroto.training.curve_distance import symmetric_distances

#: of a quarter circle
_BEND = 0.5522847


def ellipse(x: float, y: float, across: float, down: float) -> np.ndarray:
    """Four control points, clockwise on screen from the right."""
    points = []
    for turn in range(4):
        angle = turn * np.pi / 2
        place = np.array([np.cos(angle) * across, np.sin(angle) * down])
        ahead = np.array([-np.sin(angle) * across, np.cos(angle) * down]) * _BEND
        points.append([x + place[0], y + place[1], *-ahead, *ahead])
    return np.array(points)


def apart(a: np.ndarray, b: np.ndarray, *, closed: bool) -> np.ndarray:
    seen = np.ones(len(b), bool)
    return symmetric_distances(a, b, seen, closed=closed, step_px=0.25)


def test_an_outline_is_found_to_a_fraction_of_a_pixel() -> None:
    true = ellipse(60.3, 50.7, 24.0, 15.0)
    line = trace_outline(rasterize([true], width=128, height=96))
    assert line is not None
    x, y = (line - [60.3, 50.7]).T
    off = np.hypot(x / 24, y / 15) - 1
    assert np.abs(off).max() * 15 < 0.3 and np.abs(off).mean() * 15 < 0.08


@pytest.mark.parametrize("turned", [False, True])
def test_a_fitted_spline_lies_on_the_outline_whichever_way_its_model_runs(turned: bool) -> None:
    true = ellipse(60.3, 50.7, 24.0, 15.0)
    line = trace_outline(rasterize([true], width=128, height=96))
    model = ellipse(40.0, 40.0, 10.0, 8.0)
    if turned:
        model = model[::-1][:, [0, 1, 4, 5, 2, 3]]
    found = fit_spline(line, model, closed=True)
    distances = apart(found, true, closed=True)
    assert distances.mean() < 0.1 and distances.max() < 0.4
    own = true[::-1] if turned else true
    assert np.hypot(*(found[:, :2] - own[:, :2]).T).max() < 2.0, "points where the model has them"


def test_the_middle_of_a_band_is_its_line() -> None:
    true = np.array(
        [[20, 40, 0, 0, 12, -14], [64, 44, -14, -6, 14, 6], [106, 60, -12, -12, 0, 0]], float
    )
    line = trace_band(draw_band(true, 128), 2.5)
    assert line is not None
    for model in (true, true[::-1][:, [0, 1, 4, 5, 2, 3]]):
        found = fit_spline(line, model, closed=False)
        distances = apart(found, true, closed=False)
        assert distances.mean() < 0.12 and distances.max() < 0.8
        assert np.hypot(*(found[0, :2] - model[0, :2])) < 1.0, "it starts where the model does"


@pytest.mark.parametrize("trace", [trace_outline, lambda mask: trace_band(mask, 2.5)])
def test_an_empty_mask_is_no_shape(trace) -> None:
    assert trace(np.zeros((32, 32), np.float32)) is None
    speck = np.zeros((32, 32), np.float32)
    speck[5, 5] = 1
    assert trace(speck) is None


def test_the_larger_of_two_parts_is_taken() -> None:
    both = [ellipse(20, 20, 6, 6), ellipse(60, 60, 20, 12)]
    line = trace_outline(rasterize(both, width=100, height=90))
    assert line is not None and line[:, 0].min() > 35


def test_samples_of_a_fitted_closed_shape_do_not_cross_its_middle() -> None:
    true = ellipse(40, 40, 20, 14)
    found = fit_spline(sample(true, closed=True), true, closed=True)
    assert np.hypot(*(sample(found, closed=True) - 40).T).min() > 12
