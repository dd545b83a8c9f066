from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.coords import FloatArray
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.keys import (
    deviation_px,
    every_key,
    filled_in,
    largest_deviation_px,
    per_100_frames,
    reduced_keys,
)
from laikaroto.shapes.records import Shape, ShapeFrame
from laikaroto.sidecar.schema import read_roto

SQUARE = np.array(
    [[10.0, 10, -3, 1, 4, 0], [60, 12, -9, 0, 2, 7], [55, 50, 1, -8, -5, 3], [8, 44, 6, 2, 0, -9]]
)


def shape(
    stack: FloatArray, *, first: int = 1001, closed: bool = True, hidden: set[int] | None = None
) -> Shape:
    return Shape(
        closed=closed,
        frames={
            first + k: ShapeFrame(
                points=points,
                point_visible=np.ones(len(points), dtype=np.bool_),
                visible=first + k not in (hidden or set()),
            )
            for k, points in enumerate(stack)
        },
    )


def moved(*steps: float) -> FloatArray:
    """The square moved right by so many px on each frame."""
    return np.stack([SQUARE + [step, 0, 0, 0, 0, 0] for step in steps])


def wandering(seed: int, frames: int, *, step_px: float = 0.6) -> FloatArray:
    """A motion with smooth stretches, jumps and exact holds, all points and tangents for
    themselves."""
    rng = np.random.default_rng(seed)
    speed = np.zeros((4, 6))
    stack = [SQUARE]
    for _ in range(frames - 1):
        kind = rng.random()
        if kind < 0.15:
            speed = rng.normal(size=(4, 6)) * step_px
        jump = rng.normal(size=(4, 6)) * 5 * (kind > 0.95)
        still = 0.15 < kind < 0.35
        stack.append(stack[-1] if still else stack[-1] + speed + jump)
    return np.stack(stack)


def dense_deviation(one: FloatArray, other: FloatArray, *, closed: bool) -> float:
    """Largest distance at equal parameters, from many samples: from below."""
    curves = [sample(points, closed=closed, per_segment=400) for points in (one, other)]
    return float(np.linalg.norm(curves[0] - curves[1], axis=-1).max())


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_deviation_is_never_less_than_what_samples_show_and_hardly_more(
    seed: int, closed: bool
) -> None:
    rng = np.random.default_rng(seed)
    other = SQUARE + rng.normal(size=SQUARE.shape) * 4
    shown = dense_deviation(SQUARE, other, closed=closed)
    bound = deviation_px(SQUARE, other, closed=closed)
    assert shown - 1e-9 <= bound <= 1.05 * shown


def test_deviation_sees_a_tangent_that_no_point_shows() -> None:
    other = SQUARE.copy()
    other[0, 5] += 4.0  # points stay where they are
    # at 1/3 of a segment a tangent moves the curve by 4/9 of itself
    assert deviation_px(SQUARE, other, closed=True) == pytest.approx(4 * 4 / 9, rel=0.02)
    assert deviation_px(SQUARE, SQUARE, closed=True) == 0.0


def test_a_straight_motion_needs_its_ends_only() -> None:
    straight = shape(moved(*range(30)))
    assert reduced_keys(straight, tolerance_px=0.0) == (1001, 1030)


def test_a_bend_is_keyed() -> None:
    bent = shape(moved(0, 1, 2, 3, 4, 8, 12, 16))
    assert reduced_keys(bent) == (1001, 1005, 1008)


def test_a_step_has_keys_on_both_sides() -> None:
    step = shape(moved(0, 0, 0, 0, 9, 9, 9, 9))
    assert reduced_keys(step) == (1001, 1004, 1005, 1008)


def test_on_twos_every_pose_stands_still_until_the_next() -> None:
    # slow enough to run straight within the tolerance, but then held frames would creep
    twos = shape(moved(0, 0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3))
    keys = reduced_keys(twos)
    filled = filled_in(twos, keys)
    for left in (1001, 1003, 1005, 1007):
        np.testing.assert_array_equal(filled[left], filled[left + 1])


def test_changes_of_visibility_are_keyed_on_both_sides() -> None:
    some = shape(moved(*range(12)), hidden={1005, 1006, 1007})
    assert reduced_keys(some) == (1001, 1004, 1005, 1007, 1008, 1012)


def test_every_stretch_between_gaps_has_its_ends() -> None:
    whole = shape(moved(*range(12)))
    frames = {f: e for f, e in whole.frames.items() if f not in (1005, 1006, 1008)}
    gaps = Shape(closed=True, frames=frames)
    assert reduced_keys(gaps) == (1001, 1004, 1007, 1009, 1012)


def test_a_change_of_the_number_of_points_is_keyed_on_both_sides() -> None:
    frames = dict(shape(moved(*range(6))).frames)
    for frame in (1004, 1005, 1006):
        frames[frame] = ShapeFrame(
            points=frames[frame].points[:3], point_visible=np.ones(3, dtype=np.bool_)
        )
    changing = Shape(closed=True, frames=frames)
    assert reduced_keys(changing) == (1001, 1003, 1004, 1006)
    assert largest_deviation_px(changing, (1001, 1003, 1004, 1006)) < 1e-9


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_ones(count: int) -> None:
    short = shape(moved(*range(count)) if count else np.zeros((0, 4, 6)))
    assert reduced_keys(short) == ((), (1001,), (1001, 1002), (1001, 1003))[count]
    assert largest_deviation_px(short, reduced_keys(short)) < 1e-9


def test_a_shape_of_one_point() -> None:
    one = shape(moved(0, 1, 2, 9)[:, :1], closed=False)
    assert reduced_keys(one) == (1001, 1003, 1004)


def test_a_bad_tolerance_is_refused() -> None:
    for bad in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="tolerance"):
            reduced_keys(shape(moved(0, 1)), tolerance_px=bad)
    with pytest.raises(ValueError, match="needs a key"):
        filled_in(shape(moved(0, 1)), ())


@pytest.mark.parametrize("tolerance_px", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_no_frame_is_off_by_more_than_the_tolerance(seed: int, tolerance_px: float) -> None:
    some = shape(wandering(seed, 40), closed=seed % 2 == 0, hidden={1010, 1011, 1030})
    keys = reduced_keys(some, tolerance_px=tolerance_px)
    filled = filled_in(some, keys)
    for frame, entry in some.frames.items():
        off = dense_deviation(filled[frame], entry.points, closed=some.closed)
        assert off <= tolerance_px + 1e-6
    for left, right in itertools.pairwise(some.frames):
        if np.array_equal(some.frames[left].points, some.frames[right].points):
            np.testing.assert_allclose(filled[left], filled[right], atol=1e-12)


def fewest_by_trying(some: Shape, tolerance_px: float) -> int:
    """The size of the smallest set of frames that keeps the rules, from all there are."""
    frames = every_key(some)
    holds = [
        np.array_equal(some.frames[a].points, some.frames[b].points)
        for a, b in itertools.pairwise(frames)
    ]
    forced = {frames[0], frames[-1]}
    for k in range(1, len(frames) - 1):
        if holds[k - 1] != holds[k]:
            forced.add(frames[k])
    free = [frame for frame in frames if frame not in forced]
    for count in range(len(free) + 1):
        for chosen in itertools.combinations(free, count):
            keys = sorted(forced | set(chosen))
            if largest_deviation_px(some, keys) <= tolerance_px:
                return len(keys)
    raise AssertionError("a key on every frame is off by nothing")


@pytest.mark.parametrize("seed", range(25))
def test_no_choice_of_frames_is_smaller(seed: int) -> None:
    some = shape(wandering(seed, 9, step_px=0.25), closed=seed % 2 == 0)
    assert len(reduced_keys(some, tolerance_px=0.3)) == fewest_by_trying(some, 0.3)


def test_sample_truth_is_held_within_the_tolerance() -> None:
    for path in sorted((bundled("sample") / "truth" / "hero").glob("*.json")):
        roto = read_roto(Path(path))
        for name, one in roto.shapes.items():
            for tolerance_px in (0.25, 2.0):
                keys = reduced_keys(one, tolerance_px=tolerance_px)
                filled = filled_in(one, keys)
                worst = max(
                    dense_deviation(filled[f], e.points, closed=one.closed)
                    for f, e in one.frames.items()
                )
                assert worst <= tolerance_px + 1e-6, (path, name)


def test_a_long_smooth_motion_is_held_by_few_keys() -> None:
    t = np.linspace(0, 4 * np.pi, 400)
    smooth = shape(moved(*(40 * np.sin(t))))
    keys = reduced_keys(smooth, tolerance_px=0.25)
    assert largest_deviation_px(smooth, keys) <= 0.25 + 1e-6
    assert per_100_frames(len(keys), 400) < 15


def test_keys_per_100_frames() -> None:
    assert per_100_frames(8, 32) == 25.0
    assert per_100_frames(0, 0) == 0.0
