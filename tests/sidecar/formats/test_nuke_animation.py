"""What Nuke makes of keys, number for number.

The numbers were measured in Nuke 17.1v1 through its Python module and published by the
RotoBridge project (probe cases 21, 63, 71, 74, 108, 115 and 117); here they are facts to meet.
"""

from __future__ import annotations

import numpy as np
import pytest

from laikaroto.sidecar.formats.nuke.animation import Animated, Key, read_animated, read_curve
from laikaroto.sidecar.formats.nuke.script import parse_value

THREE = ((1, 0), (50, 20), (100, 100))
PEAK = ((1, 0), (50, 1), (100, 0))


def curve(pairs: tuple[tuple[float, float], ...], kinds: tuple[int, ...], **middle: float):  # type: ignore[no-untyped-def]
    keys = [Key(time=t, value=v, kind=k) for (t, v), k in zip(pairs, kinds, strict=True)]
    kept = {name: getattr(keys[1], name) for name in Key.__slots__}
    keys[1] = Key(**{**kept, **middle})
    return Animated(tuple(keys))


def test_keys_that_were_never_touched_are_smooth() -> None:
    frames = np.array([1, 12, 25, 37, 50, 62, 75, 87, 100.0])
    measured = [0, 1.3460, 4.3055, 9.7074, 20, 34.4657, 54.4697, 75.6249, 100]
    assert curve(THREE, (0, 0, 0)).at(frames) == pytest.approx(measured, abs=6e-5)


@pytest.mark.parametrize(
    ("kind", "at_25", "at_75"),
    [(0, 4.3055, 54.4697), (1, 0.0, 20.0), (2, 9.7959, 60.0), (3, 4.3055, 54.4697),
     (4, 4.4153, 54.3568)],
)  # fmt: skip
def test_types_of_keys(kind: int, at_25: float, at_75: float) -> None:
    assert curve(THREE, (kind,) * 3).at(np.array([25.0, 75.0])) == pytest.approx(
        [at_25, at_75], abs=6e-5
    )


@pytest.mark.parametrize(
    ("kind", "at_25", "at_75"),
    [(0, 0.6759, 0.6875), (1, 0.6759, 1.0), (2, 0.4898, 0.5), (3, 0.6759, 0.6875),
     (4, 0.6722, 0.6913)],
)  # fmt: skip
def test_one_key_of_another_type(kind: int, at_25: float, at_75: float) -> None:
    assert curve(PEAK, (0, kind, 0)).at(np.array([25.0, 75.0])) == pytest.approx(
        [at_25, at_75], abs=6e-5
    )


@pytest.mark.parametrize(
    ("slope", "reach", "measured"),
    [
        (0.0, 0.0, [0, 0.1164, 0.2204, 0.3161, 0.4058, 0.4907, 0.5718, 0.6497, 0.7247, 0.7971,
                    0.8672, 0.9350, 1]),
        (5.0, 0.0, [0, -1.8676, -3.0027, -3.6502, -3.9405, -3.9523, -3.7371, -3.3300, -2.7557,
                    -2.0311, -1.1664, -0.1636, 1]),
        (5.0, 1.0, [0, -2.3579, -4.6134, -6.6641, -8.4074, -9.7410, -10.5625, -10.7694, -10.2593,
                    -8.9297, -6.6782, -3.4025, 1]),
        (-5.0, 1.0, [0, 2.6073, 5.1088, 7.3984, 9.3704, 10.9187, 11.9375, 12.3209, 11.9630,
                     10.7578, 8.5995, 5.3822, 1]),
    ],
)  # fmt: skip
def test_slopes_and_reaches_of_the_artists_own(
    slope: float, reach: float, measured: list[float]
) -> None:
    made = curve(((0, 0), (12, 1), (24, 2)), (5, 5, 5), left=slope, right=0.0, left_reach=reach)
    assert made.at(np.arange(13.0)) == pytest.approx(measured, abs=6e-5)


def test_a_point_that_goes_up_and_down() -> None:
    x, y = (
        Animated(tuple(Key(time=t, value=v) for t, v in zip((1, 10, 20), values, strict=True)))
        for values in ((100, 300, 500), (100, 200, 100))
    )
    assert x.at(np.array([5.0, 15.0])) == pytest.approx([190.766, 401.974], abs=1e-3)
    assert y.at(np.array([5.0, 15.0])) == pytest.approx([162.277, 168.75], abs=1e-3)


def test_a_smooth_curve_stays_within_its_keys() -> None:
    steep = Animated(tuple(Key(time=t, value=v) for t, v in ((0, 0), (10, 1), (11, 50), (20, 50))))
    values = steep.at(np.linspace(0, 20, 201))
    assert values.min() > -1e-12 and values.max() < 50 + 1e-9


def test_two_keys_are_a_line_and_one_a_constant() -> None:
    two = Animated((Key(time=0, value=0), Key(time=12, value=12)))
    assert two.at(np.array([-5, 0, 6, 12, 20.0])) == pytest.approx([0, 0, 6, 12, 12])
    assert Animated((Key(time=3, value=7),)).at(np.array([0.0, 9.0])) == pytest.approx([7, 7])


def test_later_keys_on_the_same_frame_win_and_order_does_not_matter() -> None:
    made = read_animated(parse_value("{{5 1} {1 0} {5 2}}", "x")[0], "x", set())
    assert made.at(np.array([1.0, 5.0])) == pytest.approx([0, 2])


def test_curves_of_other_knobs() -> None:
    (tree,) = parse_value("{curve K x1001 1 L x1004 0 2 x1010 5 s3 t-1 k}", "x")
    with pytest.raises(Exception, match="wanted"):
        read_curve(parse_value("{curve x1001 oops}", "x")[0], "x")
    made = read_curve(tree, "x")
    assert made.times == (1001, 1004, 1007, 1010)
    assert made.at(np.array([1003.0, 1005.5])) == pytest.approx([1, 1])
