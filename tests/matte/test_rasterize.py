from __future__ import annotations

import numpy as np
import pytest

from laikaroto.matte.rasterize import rasterize
from laikaroto.shapes.bezier import sample


def polygon(*corners):
    return np.array([[x, y, 0, 0, 0, 0] for x, y in corners], dtype=np.float64)


def box(x0, y0, x1, y1):
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def circle(x, y, radius, count=16):
    """With 16 points the spline leaves the true circle by less than 1e-7 of its radius."""
    angle = np.arange(count) * 2 * np.pi / count
    reach = radius * 4 / 3 * np.tan(np.pi / 2 / count)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [x + radius * cos, y + radius * sin, reach * sin, -reach * cos, -reach * sin, reach * cos],
        axis=-1,
    )


def reverse(points):
    return points[::-1][:, [0, 1, 4, 5, 2, 3]]


def area(shape):
    line = sample(shape, closed=True, per_segment=2000)
    following = np.roll(line, -1, axis=0)
    return abs(np.sum(line[:, 0] * following[:, 1] - following[:, 0] * line[:, 1])) / 2


def supersampled(shape, width, height, times=32):
    """Share of a fine grid of points of every pixel that winds around the shape."""
    line = sample(shape, closed=True, per_segment=200)
    x = (np.arange(width * times) + 0.5) / times
    inside = np.zeros((height * times, width * times), dtype=int)
    for row, y in enumerate((np.arange(height * times) + 0.5) / times):
        a, b = line, np.roll(line, -1, axis=0)
        for sign, low, high in ((1, a, b), (-1, b, a)):
            hit = (low[:, 1] <= y) & (high[:, 1] > y)
            t = (y - low[hit, 1]) / (high[hit, 1] - low[hit, 1])
            crossing = np.sort(low[hit, 0] + t * (high[hit, 0] - low[hit, 0]))
            inside[row] += sign * np.searchsorted(crossing, x)
    return (inside != 0).reshape(height, times, width, times).mean(axis=(1, 3))


def test_box_at_sub_pixel_place():
    wanted = np.zeros((4, 5))
    wanted[1, 1:4] = 0.75 * 0.5, 0.5, 0.5 * 0.5
    wanted[2, 1:4] = 0.75 * 0.75, 0.75, 0.5 * 0.75
    found = rasterize([box(1.25, 1.5, 3.5, 2.75)], width=5, height=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("offset", [0.0, 0.001, 0.25, 1 / 3, 0.5, 0.999])
def test_half_plane_at_sub_pixel_offsets(offset):
    found = rasterize([box(-50, -50, 3 + offset, 60)], width=8, height=6)
    np.testing.assert_allclose(found, np.tile([1, 1, 1, offset, 0, 0, 0, 0], (6, 1)), atol=1e-6)
    found = rasterize([box(-50, 2 + offset, 60, 50)], width=8, height=6)
    wanted = np.array([0, 0, 1 - offset, 1, 1, 1])[:, None]
    np.testing.assert_allclose(found, np.tile(wanted, 8), atol=1e-6)


def test_slanted_edge_has_the_exact_area_in_every_pixel():
    # Below the line y = x / 4 + 1: each pixel is a trapezium of known height.
    shape = polygon((-4, 0), (16, 5), (16, 40), (-4, 40))
    found = rasterize([shape], width=8, height=6)
    for column in range(8):
        for row in range(6):
            edge = (column + np.arange(4000) / 4000 + 1 / 8000) / 4 + 1
            wanted = np.clip(row + 1 - edge, 0, 1).mean()
            assert found[row, column] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("radius", [0.3, 2.0, 17.3, 90.0])
def test_circle_has_its_area(radius):
    found = rasterize([circle(100.37, 99.81, radius)], width=200, height=200)
    flatness = 1e-4 * 2 * np.pi * radius
    assert found.sum(dtype=np.float64) == pytest.approx(np.pi * radius**2, abs=flatness)
    assert found.min() == 0 and found.max() <= 1


def test_curved_shapes_match_a_supersampled_reference():
    rng = np.random.default_rng(7)
    for _ in range(3):
        shape = circle(12, 10, 7, count=6)
        shape += rng.normal(0, 0.8, shape.shape)
        found = rasterize([shape], width=24, height=20)
        wanted = supersampled(shape, 24, 20)
        assert np.abs(found - wanted).max() < 0.03, "a 32x32 grid is right to about 1/32"
        assert np.abs(found - wanted).mean() < 1e-3
        assert found.sum(dtype=np.float64) == pytest.approx(area(shape), rel=1e-4)


def test_winding_direction_and_start_do_not_matter():
    shape = circle(12.3, 9.1, 6.7, count=5)
    found = rasterize([shape], width=24, height=20)
    assert found.any()
    for other in (reverse(shape), np.roll(shape, 2, axis=0)):
        np.testing.assert_allclose(rasterize([other], width=24, height=20), found, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y"), [(0, 15), (30, 15), (15, 0), (15, 30), (0, 0), (30, 0), (0, 30), (30, 30), (-4, 33)]
)
def test_shape_across_the_border_is_the_cut_of_a_larger_frame(x, y):
    shape = circle(x + 0.3, y + 0.6, 9)
    wanted = rasterize([shape + [40, 40, 0, 0, 0, 0]], width=110, height=110)[40:70, 40:70]
    assert wanted.any()
    np.testing.assert_allclose(rasterize([shape], width=30, height=30), wanted, atol=1e-6)


@pytest.mark.parametrize("place", [(-20, 15), (60, 15), (15, -20), (15, 60), (1e9, 1e9)])
def test_shape_outside_covers_nothing(place):
    assert not rasterize([circle(*place, 10)], width=30, height=30).any()


def test_shape_around_the_frame_covers_all():
    assert (rasterize([circle(15, 15, 500)], width=30, height=30) == 1).all()
    assert (rasterize([box(-1e9, -1e9, 1e9, 1e9)], width=30, height=30) == 1).all()
    assert (rasterize([box(0, 0, 30, 30)], width=30, height=30) == 1).all()


def test_no_shapes_and_shapes_without_area():
    for shapes in (
        [],
        [np.zeros((0, 6))],
        [polygon((3, 3))],
        [polygon((3, 3), (9, 7))],
        [polygon((3, 3), (3, 3), (3, 3))],
        [polygon((2, 2), (8, 2), (5, 2))],
    ):
        assert not rasterize(shapes, width=10, height=10).any()


def test_shapes_that_share_an_edge_leave_no_line():
    edge = [(14.2, -5), (15.9, 11.3), (13.1, 35)]
    left = polygon(*edge, (-5, 35), (-5, -5))
    right = polygon(*reversed(edge), (35, -5), (35, 35))
    np.testing.assert_allclose(rasterize([left, right], width=30, height=30), 1.0, atol=1e-6)


def test_overlapping_shapes_are_a_union():
    one, two = circle(10, 10, 6), circle(14, 10, 6)
    found = rasterize([one, two], width=24, height=20)
    separate = [rasterize([shape], width=24, height=20) for shape in (one, two)]
    assert found.max() == 1
    np.testing.assert_allclose(found, np.minimum(separate[0] + separate[1], 1), atol=1e-6)
    inner = rasterize([one, circle(10, 10, 2)], width=24, height=20)
    np.testing.assert_allclose(inner, separate[0], atol=1e-6)


def test_figure_of_eight_covers_both_loops():
    found = rasterize([polygon((2, 2), (18, 10), (18, 2), (2, 10))], width=20, height=12)
    assert found.sum() == pytest.approx(2 * 0.5 * 8 * 8, rel=0.01)
    assert found[4, 3] == 1 and found[4, 16] == 1 and found[2, 10] == 0


def test_shape_wound_twice_is_covered_once():
    twice = np.concatenate([circle(10, 10, 6)] * 2)
    found = rasterize([twice], width=20, height=20)
    assert found.max() == 1
    assert found[10, 10] == 1


def test_long_tangents_stay_accurate():
    shape = polygon((10, 200), (390, 200))
    shape[0, 4:] = shape[1, 2:4] = (0, -250)
    shape[1, 4:] = shape[0, 2:4] = (0, 250)
    found = rasterize([shape], width=400, height=400)
    assert found.sum(dtype=np.float64) == pytest.approx(area(shape), rel=1e-6)


def test_refuses_what_is_no_shape():
    with pytest.raises(ValueError, match=r"\(N, 6\) control points, got \(4, 2\)"):
        rasterize([np.zeros((4, 2))], width=5, height=5)
    broken = box(1, 1, 3, 3)
    broken[2, 4] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        rasterize([broken], width=5, height=5)
