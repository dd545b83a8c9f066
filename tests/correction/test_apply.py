"""Corrections on what a model drew: exact where drawn, carried where the same part is worn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laikaroto.config import ReviewConfig
from laikaroto.correction.apply import correct, seen_records
from laikaroto.correction.holding import parse_scope
from laikaroto.correction.likeness import Likeness
from laikaroto.correction.log import Log
from laikaroto.correction.records import (
    Record,
    ShapeEntry,
    TrackEntry,
    by_frame,
    whole_shape,
)
from laikaroto.errors import CorrectionError
from laikaroto.shapes.records import FrameNote, Roto, Shape, ShapeFrame
from laikaroto.sidecar.schema import parse_roto, roto_bytes
from laikaroto.training.evaluate import evaluate
from tests.correction.shows import drawn_roto
from tests.tracking.simulated import read_truth

NAME = "brow_L"
REVIEW = ReviewConfig()


@pytest.fixture(scope="module")
def raw() -> Roto:
    return drawn_roto()


@pytest.fixture(scope="module")
def truth() -> Roto:
    return read_truth()[0]


def rows(points: Any) -> list[list[float]]:
    return [[round(float(v), 3) for v in point] for point in points]


def edit(entries: dict[str, dict[int, ShapeEntry]], **more: Any) -> dict[str, Any]:
    return {"kind": "edit", "shapes": {n: by_frame(e) for n, e in entries.items()}, **more}


def log(*fields: dict[str, Any]) -> Log:
    records = tuple(
        Record(number=i, time="", who="anna", **f) for i, f in enumerate(fields, start=1)
    )
    return Log(path=Path("corrections.jsonl"), records=records, last=f"digest{len(records)}")


def drawn(raw: Roto, frame: int, by: Sequence[float]) -> ShapeEntry:
    points = raw.shapes[NAME].frames[frame].points + np.array([*by, 0, 0, 0, 0])
    return ShapeEntry(points=rows(points))


def test_without_corrections_nothing_changes(raw: Roto) -> None:
    assert correct(raw, log(), REVIEW) is raw
    gone = log(edit({NAME: {1003: drawn(raw, 1003, (3, 0))}}), {"kind": "revert", "target": 1})
    assert correct(raw, gone, REVIEW) is raw


def test_an_edited_frame_comes_out_to_the_last_digit(raw: Roto) -> None:
    entry = drawn(raw, 1003, (3.217, -1.118))
    found = correct(raw, log(edit({NAME: {1003: entry}})), REVIEW)
    back = parse_roto(roto_bytes(found), origin="test").shapes[NAME].frames[1003]
    assert back.points.tolist() == entry.points
    assert (back.source, back.confidence, back.expected_error_px) == ("artist", 1.0, 0.0)
    assert found.provenance["corrections"] == [1] and seen_records(found) == 1
    for name, shape in raw.shapes.items():
        if name != NAME:
            assert found.shapes[name] is shape


def test_the_same_records_give_the_same_bytes(raw: Roto) -> None:
    records = log(edit({NAME: {1003: drawn(raw, 1003, (3, 1))}}))
    one, two = (roto_bytes(correct(raw, records, REVIEW)) for _ in range(2))
    assert one == two


def two_parts(truth: Roto) -> tuple[Roto, dict[int, str]]:
    """ta01's truth with one brow on the first eight frames, a raised one on the rest, errors of
    their own; the head moves as it does. Returns also which part each frame wears."""
    shape = truth.shapes[NAME]
    frames, worn = {}, {}
    up = np.array([0.0, -14.0])
    rng = np.random.default_rng(5)
    wrong = {"low": np.array([1.5, 0.8]), "high": np.array([-1.2, 0.5])}
    base = shape.frames[1001].points
    for frame in sorted(truth.frames):
        part = "low" if frame in (1001, 1002, 1003, 1004, 1009, 1010) else "high"
        points = base.copy()
        points[:, :2] += up if part == "high" else 0.0
        points[:, :2] += wrong[part] + rng.normal(0, 0.05, (1, 2))
        frames[frame] = replace(
            shape.frames[1001], points=points, expected_error_px=0.8, confidence=0.7,
            source="predicted",
        )  # fmt: skip
        worn[frame] = part
    still = {
        name: replace(s, frames={f: s.frames[1001] for f in truth.frames})
        for name, s in truth.shapes.items()
    }
    tracks = {n: {f: t[1001] for f in truth.frames} for n, t in truth.tracks.items()}
    shapes = {**still, NAME: Shape(closed=shape.closed, frames=frames)}
    notes = {f: FrameNote() for f in truth.frames}
    return replace(truth, shapes=shapes, tracks=tracks, frames=notes), worn


def test_the_same_part_worn_again_follows_and_a_swapped_one_never_does(truth: Roto) -> None:
    roto, worn = two_parts(truth)
    right = truth.shapes[NAME].frames[1001].points
    found = correct(roto, log(edit({NAME: {1002: ShapeEntry(points=rows(right))}})), REVIEW)
    for frame, part in worn.items():
        entry = found.shapes[NAME].frames[frame]
        away = np.abs(entry.points[:, :2] - right[:, :2]).max()
        if part == "low":
            # of 1.5 px: near in time all but all of it follows, later the half that lasts
            assert away < (0.35 if frame <= 1004 else 0.8), frame
            assert entry.source == ("artist" if frame == 1002 else "propagated")
            assert entry.expected_error_px is not None and entry.expected_error_px < 0.8
        else:
            assert np.array_equal(entry.points, roto.shapes[NAME].frames[frame].points), frame
            assert entry.source == "predicted"


def three_parts(
    truth: Roto, wrong: dict[str, tuple[float, float]]
) -> tuple[Roto, dict[int, str], dict[str, np.ndarray]]:
    """A still head that wears three brows one after the other, each drawn wrong in its way.

    Returns the roto, which brow each frame wears, and what each brow truly is.
    """
    shape = truth.shapes[NAME]
    still = {
        name: replace(s, frames={f: s.frames[1001] for f in truth.frames})
        for name, s in truth.shapes.items()
    }
    base = shape.frames[1001].points
    right, frames, worn = {}, {}, {}
    for i, part in enumerate(wrong):
        right[part] = base + np.array([0.0, -14.0 * i, 0, 0, 0, 0])
    for i, frame in enumerate(sorted(truth.frames)):
        worn[frame] = part = list(wrong)[i * len(wrong) // len(truth.frames)]
        points = right[part] + np.array([*wrong[part], 0, 0, 0, 0])
        frames[frame] = replace(
            shape.frames[1001], points=points, expected_error_px=0.8, confidence=0.7,
            source="predicted",
        )  # fmt: skip
    tracks = {n: {f: t[1001] for f in truth.frames} for n, t in truth.tracks.items()}
    shapes = {**still, NAME: Shape(closed=shape.closed, frames=frames)}
    notes = {f: FrameNote() for f in truth.frames}
    return replace(truth, shapes=shapes, tracks=tracks, frames=notes), worn, right


def correct_parts(
    roto: Roto, worn: dict[int, str], right: dict[str, np.ndarray], *parts: str
) -> Shape:
    """The brow after one frame of each of these parts was corrected."""
    chosen = {next(f for f in worn if worn[f] == part): right[part] for part in parts}
    entries = {f: ShapeEntry(points=rows(points)) for f, points in chosen.items()}
    return correct(roto, log(edit({NAME: entries})), REVIEW).shapes[NAME]


def test_what_two_parts_show_alike_goes_to_a_third(truth: Roto) -> None:
    habit = (1.5, 0.9)
    roto, worn, right = three_parts(truth, {"a": habit, "b": habit, "c": habit})
    before, third = roto.shapes[NAME], [f for f in worn if worn[f] == "c"]
    alone = correct_parts(roto, worn, right, "a")
    for frame in third:
        assert alone.frames[frame] is before.frames[frame]
    both = correct_parts(roto, worn, right, "a", "b")
    near, far = third[0], third[-1]
    for frame in (near, far):
        assert both.frames[frame].source == "propagated"
        was, now = (np.abs(s.frames[frame].points - right["c"]).max() for s in (before, both))
        assert now < (0.4 if frame == near else 0.8) * was
        error = both.frames[frame].expected_error_px
        assert error is not None and np.isfinite(error)


@pytest.mark.parametrize("other", [(-1.5, -0.9), (0.9, -1.5), (0.0, 0.0)])
def test_parts_that_have_no_error_in_common_tell_nothing_of_a_third(
    truth: Roto, other: tuple[float, float]
) -> None:
    roto, worn, right = three_parts(truth, {"a": (1.5, 0.9), "b": other, "c": (1.5, 0.9)})
    found = correct_parts(roto, worn, right, "a", "b")
    for frame, part in worn.items():
        if part == "c":
            assert found.frames[frame] is roto.shapes[NAME].frames[frame]


def test_frames_that_look_alike_follow_and_others_less(truth: Roto) -> None:
    """The same brow all along; on every other frame the drawer saw it in another light."""
    roto, worn, right = three_parts(truth, {"a": (1.5, 0.9)})
    order = sorted(worn)
    look = np.zeros((len(order), 2))
    look[1::2, 0] = 1.2
    likeness = Likeness(frames=tuple(order), parts={NAME: look})
    before = roto.shapes[NAME].frames
    entries = {order[0]: ShapeEntry(points=rows(before[order[0]].points + 1.0))}
    found = correct(roto, log(edit({NAME: entries})), REVIEW, likeness).shapes[NAME].frames
    moved = [float(np.abs(found[f].points - before[f].points).max()) for f in order]
    assert moved[0] == pytest.approx(1.0)
    assert moved[2] > 0.8 and moved[1] < 0.1 and moved[4] > moved[3]


def test_a_hold_follows_exactly_and_keeps_still(truth: Roto) -> None:
    roto, _ = two_parts(truth)
    held = roto.shapes[NAME].frames[1003]
    frames = {**roto.shapes[NAME].frames, 1004: held}
    notes = {**roto.frames, 1004: FrameNote(hold_of=1003)}
    roto = replace(
        roto,
        frames=notes,
        shapes={**roto.shapes, NAME: replace(roto.shapes[NAME], frames=frames)},
    )
    entry = ShapeEntry(points=rows(held.points + np.array([2.0, 1, 0, 0, 0, 0])))
    found = correct(roto, log(edit({NAME: {1004: entry}})), REVIEW).shapes[NAME]
    assert found.frames[1003].points.tolist() == entry.points == found.frames[1004].points.tolist()
    assert (found.frames[1003].source, found.frames[1004].source) == ("propagated", "artist")


def test_correcting_brings_uncorrected_frames_nearer_to_the_truth(raw: Roto, truth: Roto) -> None:
    """A shared error on every frame of the sample: one corrected frame mends others."""
    biased = {
        name: replace(
            shape,
            frames={
                f: replace(e, points=e.points + np.array([0.9, -0.7, 0, 0, 0, 0]))
                for f, e in shape.frames.items()
            },
        )
        for name, shape in raw.shapes.items()
    }
    wrong = replace(raw, shapes=biased)
    right = {n: {1006: ShapeEntry(points=rows(s.frames[1006].points))}
             for n, s in truth.shapes.items() if s.frames[1006].visible}  # fmt: skip
    found = correct(wrong, log(edit(right)), REVIEW)
    others = [f for f in truth.frames if f != 1006]
    before = evaluate(wrong, truth, frames=others).curves_all.mean_px
    after = evaluate(found, truth, frames=others).curves_all.mean_px
    assert before is not None and after is not None and after < 0.9 * before


def test_a_tracking_point_is_exact_and_its_hold_follows(raw: Roto) -> None:
    name = next(iter(raw.tracks))
    x, y = raw.tracks[name][1005].xy
    record = {"kind": "edit",
              "tracks": {name: {"1005": TrackEntry(xy=[x + 2, y - 1], visible=True)}}}  # fmt: skip
    found = correct(raw, log(record), REVIEW)
    assert found.tracks[name][1005].xy == (x + 2, y - 1)
    assert found.tracks[name][1005].confidence == 1.0


def test_a_locked_drawing_is_as_it_was_whatever_the_model_and_artists_say(raw: Roto) -> None:
    kept = raw.shapes[NAME].frames[1004]
    lock = {"kind": "lock", "frames": [1004], "shapes": {NAME: {"1004": whole_shape(kept)}}}
    other = drawn_roto(seed=8)  # a new model
    found = correct(other, log(lock, edit({NAME: {1003: drawn(other, 1003, (2, 2))}})), REVIEW)
    entry = found.shapes[NAME].frames[1004]
    assert np.array_equal(entry.points, kept.points)
    assert (entry.source, entry.expected_error_px) == (kept.source, kept.expected_error_px)


def test_a_new_model_keeps_every_correction(raw: Roto) -> None:
    records = log(edit({NAME: {1003: drawn(raw, 1003, (3, 1)), 1009: drawn(raw, 1009, (0, 2))}}))
    other = correct(drawn_roto(seed=9), records, REVIEW)
    one = correct(raw, records, REVIEW)
    for frame in (1003, 1009):
        both = (r.shapes[NAME].frames[frame] for r in (one, other))
        first, second = both
        assert np.array_equal(first.points, second.points) and second.source == "artist"


def test_an_approved_frame_is_not_flagged_and_stays(raw: Roto) -> None:
    notes = {**raw.frames, 1007: FrameNote(flagged=True, reasons=("mouth: expected error 9 px",))}
    raw = replace(raw, frames=notes)
    shapes = {n: {"1007": whole_shape(s.frames[1007])} for n, s in raw.shapes.items()}
    found = correct(raw, log({"kind": "approve", "frames": [1007], "shapes": shapes}), REVIEW)
    assert found.frames[1007] == replace(raw.frames[1007], flagged=False, reasons=())
    for name, shape in found.shapes.items():
        assert np.array_equal(shape.frames[1007].points, raw.shapes[name].frames[1007].points)
        assert shape.frames[1007].source == "artist"


def test_hiding_a_shape_hides_its_points_and_goes_over_the_hold(raw: Roto) -> None:
    roto = replace(raw, frames={**raw.frames, 1003: FrameNote(hold_of=1002)})
    found = correct(roto, log(edit({NAME: {1002: ShapeEntry(visible=False)}})), REVIEW)
    frames: dict[int, ShapeFrame] = dict(found.shapes[NAME].frames)
    for frame, source in ((1002, "artist"), (1003, "propagated")):
        assert not frames[frame].visible and not frames[frame].point_visible.any()
        assert frames[frame].source == source
        assert np.array_equal(frames[frame].points, raw.shapes[NAME].frames[frame].points)
    assert frames[1004].visible == raw.shapes[NAME].frames[1004].visible


def test_a_model_of_another_template_is_told_which_record_it_cannot_keep(raw: Roto) -> None:
    entry = ShapeEntry(points=rows(raw.shapes[NAME].frames[1003].points[:-1]))
    with pytest.raises(CorrectionError, match=f"record 1: shape '{NAME}' on frame 1003 has 7 poi"):
        correct(raw, log(edit({NAME: {1003: entry}})), REVIEW)
    with pytest.raises(CorrectionError, match="the model has no shape 'nose'"):
        correct(raw, log(edit({"nose": {1003: entry}})), REVIEW)


def test_scopes_are_read(raw: Roto) -> None:
    everything = tuple(sorted(raw.frames))
    assert parse_scope("all", raw).whole and parse_scope("all", raw).frames == everything
    assert parse_scope("1003-1004", raw).frames == (1003, 1004)
    shape = parse_scope("mouth", raw)
    assert shape.names == ("mouth",) and shape.whole
    from laikaroto.errors import UsageError

    for text in ("nose", "1020", "1003-", ""):
        with pytest.raises(UsageError):
            parse_scope(text, raw)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_short_shots_and_characters_of_one_shape(raw: Roto, count: int) -> None:
    frames = sorted(raw.frames)[:count]
    shape = raw.shapes[NAME]
    alone = replace(
        raw,
        tracks={},
        frames={f: raw.frames[f] for f in frames},
        shapes={NAME: replace(shape, keys=(), frames={
            f: replace(shape.frames[f], expected_error_px=None, confidence=None) for f in frames
        })},
    )  # fmt: skip
    entry = drawn(raw, frames[0], (1.0, 1.0))
    found = correct(alone, log(edit({NAME: {frames[0]: entry}})), REVIEW).shapes[NAME]
    assert found.frames[frames[0]].points.tolist() == entry.points
    assert all(np.isfinite(e.points).all() for e in found.frames.values())


def test_a_shape_that_is_missing_on_frames_is_corrected_where_it_is(raw: Roto) -> None:
    shape = raw.shapes[NAME]
    there = {f: e for f, e in shape.frames.items() if f not in (1004, 1005)}
    gaps = replace(raw, shapes={**raw.shapes, NAME: replace(shape, frames=there, keys=())})
    records = log(edit({NAME: {1003: drawn(raw, 1003, (1.0, 1.0))}}))
    found = correct(gaps, records, REVIEW).shapes[NAME]
    assert sorted(found.frames) == sorted(there)
    assert found.frames[1003].source == "artist"
