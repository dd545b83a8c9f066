"""Every figure of ``evaluate`` against answers that can be worked out on paper."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.shapes.records import (
    FrameNote,
    PlateInfo,
    Roto,
    Shape,
    ShapeFrame,
    TrackFrame,
)
from laikaroto.training.evaluate import Evaluation, evaluate

FRAMES = range(1001, 1009)
KAPPA = 4 / 3 * np.tan(np.pi / 8)  # tangent length of a quarter circle of radius 1

Move = Callable[[FloatArray, int], FloatArray]


def line(length: float = 100.0, count: int = 5) -> FloatArray:
    """A straight horizontal open spline with tangents of a third of each segment."""
    x = np.linspace(50, 50 + length, count)
    third = np.full(count, length / (count - 1) / 3)
    zero = np.zeros(count)
    return np.stack([x, zero + 100, -third, zero, third, zero], axis=-1)


def circle(radius: float, *, centre: tuple[float, float] = (200, 150)) -> FloatArray:
    """A circle of four quarter arcs, true to 0.03 % of the radius."""
    turn = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=float)
    tangent = KAPPA * radius * np.stack([-turn[:, 1], turn[:, 0]], axis=-1)
    return np.concatenate([turn * radius + centre, -tangent, tangent], axis=-1)


def make_roto(
    points: FloatArray,
    *,
    closed: bool = False,
    move: Move = lambda points, frame: points,
    seen: list[bool] | None = None,
    visible: bool = True,
    flagged: tuple[int, ...] = (),
    width: int = 1280,
    frames: range = FRAMES,
) -> Roto:
    """One shape and one track (the shape's first point) on every frame."""
    moved = {frame: move(points.copy(), frame) for frame in frames}
    seen = [True] * len(points) if seen is None else seen
    shape = Shape(
        closed=closed,
        frames={
            frame: ShapeFrame(points=p, point_visible=np.array(seen), visible=visible)
            for frame, p in moved.items()
        },
    )
    track = {f: TrackFrame(xy=(p[0, 0], p[0, 1]), visible=seen[0]) for f, p in moved.items()}
    return Roto(
        shot="ev",
        character="hero",
        version="v001",
        plate=PlateInfo(width=width, height=720, first=frames[0], last=frames[-1]),
        tracks={"tip": track},
        shapes={"shape": shape},
        frames={frame: FrameNote(flagged=frame in flagged) for frame in frames},
    )


def shifted(dx: float, dy: float) -> Move:
    """Move a whole spline."""

    def move(points: FloatArray, frame: int) -> FloatArray:
        points[:, :2] += (dx, dy)
        return points

    return move


def worked(number: float | None) -> float:
    """A figure that has to be there."""
    assert number is not None
    return number


def test_truth_against_itself_is_perfect() -> None:
    truth = make_roto(circle(40), closed=True)
    result = evaluate(truth, truth)
    assert worked(result.curves_all.max_px) == pytest.approx(0, abs=0.005)
    assert result.tracks_all.max_px == 0
    assert result.points_all.max_px == 0
    assert result.iou_all == 1
    assert result.clean_share == 1
    assert result.shape_chatter_all_px == 0
    assert result.flag_recall is None
    assert result.clean_flagged_share == 0
    assert not result.missing_shapes and not result.missing_tracks


def test_line_moved_sideways_is_off_by_the_move() -> None:
    result = evaluate(make_roto(line(), move=shifted(0, 1.5)), make_roto(line()))
    stats = result.curves["shape"]
    assert stats.mean_px == pytest.approx(1.5)
    assert stats.p95_px == pytest.approx(1.5)
    assert result.points["shape"].mean_px == pytest.approx(1.5)
    assert result.tracks["tip"].median_px == pytest.approx(1.5)
    assert result.clean_share == 0


def test_line_moved_along_itself_is_off_at_its_ends_only() -> None:
    """Of each 100 px, 10 stick out by 0 to 10 px: mean 0.5 px; points are off by 10 px."""
    result = evaluate(make_roto(line(), move=shifted(10, 0)), make_roto(line()))
    assert worked(result.curves_all.mean_px) == pytest.approx(0.5, rel=0.01)
    assert worked(result.curves_all.p95_px) == pytest.approx(5, abs=0.3)
    assert worked(result.points_all.mean_px) == pytest.approx(10)


def test_circle_of_larger_radius() -> None:
    result = evaluate(make_roto(circle(42), closed=True), make_roto(circle(40), closed=True))
    assert worked(result.curves_all.mean_px) == pytest.approx(2, abs=0.01)
    assert worked(result.curves_all.p95_px) == pytest.approx(2, abs=0.02)
    assert worked(result.iou["shape"]) == pytest.approx(40**2 / 42**2, abs=1e-3)


def test_iou_counts_only_what_is_inside_the_frame() -> None:
    """Half of each circle lies left of the frame; the halves overlap as the wholes do."""
    truth = make_roto(circle(40, centre=(0, 150)), closed=True)
    guess = make_roto(circle(42, centre=(0, 150)), closed=True)
    assert worked(evaluate(guess, truth).iou_all) == pytest.approx(40**2 / 42**2, abs=2e-3)


def test_iou_is_not_measured_where_it_says_nothing() -> None:
    tiny = make_roto(circle(1), closed=True)
    hidden = make_roto(circle(40), closed=True, seen=[True, True, True, False])
    outside = make_roto(circle(40, centre=(-500, 150)), closed=True)
    for truth in (tiny, hidden, outside):
        assert evaluate(truth, truth).iou == {"shape": None}
    assert evaluate(make_roto(line()), make_roto(line())).iou == {}


def test_the_same_curve_cut_into_other_points_has_no_error() -> None:
    """A line with 9 points for 5, points unevenly placed: only the control points differ."""
    other = line(count=9)
    other[3, 0] += 4
    result = evaluate(make_roto(other), make_roto(line()))
    assert worked(result.curves_all.max_px) == pytest.approx(0, abs=0.02)
    assert result.points_all.count == 0
    assert result.points_all.mean_px is None
    assert result.point_visibility.accuracy is None


def test_a_closed_curve_started_elsewhere_has_no_error() -> None:
    result = evaluate(
        make_roto(np.roll(circle(40), 1, axis=0), closed=True), make_roto(circle(40), closed=True)
    )
    assert worked(result.curves_all.max_px) == pytest.approx(0, abs=0.01)
    assert worked(result.points_all.mean_px) > 50


def test_the_hidden_half_does_not_count() -> None:
    """The last two segments are hidden; the prediction is 30 px off there and right before."""

    def bend(points: FloatArray, frame: int) -> FloatArray:
        points[3:, 1] += 30
        return points

    seen = [True, True, True, False, False]
    result = evaluate(make_roto(line(), move=bend), make_roto(line(), seen=seen))
    assert worked(result.curves_all.mean_px) < 0.1
    assert result.points_all.max_px == 0
    assert result.points_all.count == 3 * len(FRAMES)
    wrong = result.point_visibility
    assert (wrong.count, wrong.wrongly_visible, wrong.wrongly_hidden) == (40, 16, 0)
    assert wrong.accuracy == pytest.approx(0.6)
    whole = evaluate(make_roto(line(), move=bend), make_roto(line()))
    assert worked(whole.curves_all.mean_px) > 5


def test_a_shape_with_no_visible_segment_has_no_curve_error() -> None:
    truth = make_roto(line(), seen=[True, False, True, False, True])
    result = evaluate(make_roto(line(), move=shifted(0, 50)), truth)
    assert result.curves_all.mean_px is None
    assert result.points_all.mean_px == pytest.approx(50)


def test_chatter_of_alternating_offsets_is_four_times_the_offset() -> None:
    """Second difference of +a, -a, +a … is 4 a; the true motion does not matter."""

    def drift(points: FloatArray, frame: int) -> FloatArray:
        points[:, :2] += (frame - 1001) ** 2
        return points

    def shake(points: FloatArray, frame: int) -> FloatArray:
        points = drift(points, frame)
        points[:, 0] += 0.25 if frame % 2 else -0.25
        return points

    result = evaluate(make_roto(line(), move=shake), make_roto(line(), move=drift))
    assert result.shape_chatter_px["shape"] == pytest.approx(1.0)
    assert result.track_chatter_px["tip"] == pytest.approx(1.0)
    assert result.track_chatter_all_px == pytest.approx(1.0)


def test_a_steady_or_drifting_error_is_no_chatter() -> None:
    def drift(points: FloatArray, frame: int) -> FloatArray:
        points[:, :2] += 0.5 * (frame - 1001)
        return points

    result = evaluate(make_roto(line(), move=drift), make_roto(line()))
    assert result.shape_chatter_all_px == pytest.approx(0, abs=1e-9)


def test_chatter_needs_three_neighbouring_visible_frames() -> None:
    truth = make_roto(line(), seen=[True] * 4 + [False])
    result = evaluate(truth, truth, frames=[1001, 1002, 1004, 1005])
    assert result.shape_chatter_px == {"shape": None}
    assert result.shape_chatter_all_px is None
    assert evaluate(truth, truth, frames=[1001, 1002, 1003]).shape_chatter_all_px == 0


@pytest.mark.parametrize(("width", "off", "share"), [(1280, 0.9, 1), (640, 0.9, 0), (640, 0.4, 1)])
def test_clean_frames_scale_with_the_width(width: int, off: float, share: float) -> None:
    result = evaluate(
        make_roto(line(), move=shifted(0, off), width=width), make_roto(line(), width=width)
    )
    assert result.clean_share == share
    assert result.clean_mean_limit_px == width / 1280


def test_a_good_mean_with_a_bad_tail_is_not_clean() -> None:
    """One in ten px is off by 0 to 6 px: mean 0.3 px, p95 3 px."""
    result = evaluate(make_roto(line(), move=shifted(6, 0)), make_roto(line(60)))
    shape = result.frames[1001].shapes["shape"]
    assert worked(shape.p95_px) > 2
    assert not shape.clean


def test_missing_hidden_and_absent_shapes_are_listed_and_not_clean() -> None:
    truth = make_roto(circle(40), closed=True)
    hidden = make_roto(circle(40), closed=True, visible=False)
    short = make_roto(circle(40), closed=True, frames=range(1001, 1007))
    none = make_roto(circle(40), closed=True, frames=range(2001, 2002))
    assert evaluate(hidden, truth).missing_shapes == {"shape": tuple(FRAMES)}
    assert evaluate(hidden, truth).missing_tracks == {}
    result = evaluate(short, truth)
    assert result.missing_shapes == {"shape": (1007, 1008)}
    assert result.missing_tracks == {"tip": (1007, 1008)}
    assert result.clean_share == 0.75
    assert result.frames[1007].shapes["shape"].missing
    assert result.frames[1007].tracks_mean_px is None
    lost = evaluate(none, truth)
    assert lost.clean_share == 0
    assert lost.curves_all.mean_px is None
    assert lost.shape_visibility.wrongly_hidden == len(FRAMES)


def test_a_hidden_true_shape_is_not_scored_and_inventing_it_is_a_visibility_error() -> None:
    truth = make_roto(circle(40), closed=True, visible=False, seen=[False] * 4)
    result = evaluate(make_roto(circle(60), closed=True), truth)
    assert result.curves_all.count == 0
    assert result.tracks_all.count == 0
    assert result.clean_share == 1
    assert result.shape_visibility.wrongly_visible == len(FRAMES)
    assert result.track_visibility.accuracy == 0


def test_flags_against_frames_that_are_not_clean() -> None:
    """Frames 1001-1004 are bad; 1001 and 1005 are flagged."""

    def bad(points: FloatArray, frame: int) -> FloatArray:
        points[:, 1] += 9 if frame <= 1004 else 0
        return points

    result = evaluate(make_roto(line(), move=bad, flagged=(1001, 1005)), make_roto(line()))
    assert result.clean_share == 0.5
    assert result.flag_recall == 0.25
    assert result.clean_flagged_share == 0.25
    assert result.frames[1005].flagged and result.frames[1005].clean


def test_only_the_asked_frames_count() -> None:
    def late(points: FloatArray, frame: int) -> FloatArray:
        points[:, 1] += 9 if frame > 1004 else 0
        return points

    result = evaluate(make_roto(line(), move=late), make_roto(line()), frames=range(1001, 1004))
    assert list(result.frames) == [1001, 1002, 1003]
    assert worked(result.curves_all.max_px) == pytest.approx(0, abs=0.005)


def test_shapes_the_truth_does_not_know_are_named() -> None:
    truth = make_roto(line())
    guess = make_roto(line())
    more = Roto(
        shot=guess.shot,
        character=guess.character,
        version="v002",
        plate=guess.plate,
        tracks={},
        shapes={**guess.shapes, "moustache": guess.shapes["shape"]},
        frames={},
    )
    result = evaluate(more, truth)
    assert result.unknown_shapes == ("moustache",)
    assert result.missing_tracks == {"tip": tuple(FRAMES)}


def test_what_cannot_be_compared_is_refused() -> None:
    truth = make_roto(line())
    with pytest.raises(TruthError, match="640x720.*1280x720"):
        evaluate(make_roto(line(), width=640), truth)
    with pytest.raises(TruthError, match="'shape' is open in the truth and closed"):
        evaluate(make_roto(line(), closed=True), truth)
    with pytest.raises(TruthError, match=r"no frame \[1099\]; it has 1001-1008"):
        evaluate(truth, truth, frames=[1001, 1099])


def test_to_dict_is_plain_json() -> None:
    guess, truth = (make_roto(circle(radius), closed=True) for radius in (40.5, 40))
    result: Evaluation = evaluate(guess, truth)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["curves"]["shape"]["mean_px"] == pytest.approx(0.5, abs=0.01)
    assert data["frames"]["1001"]["shapes"]["shape"]["clean"] is True
    assert set(data["frames"]) == {str(frame) for frame in FRAMES}
