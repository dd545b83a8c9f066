"""The artist's way has exact figures where the motion is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.figures import measure
from benchmarks.accuracy.flow import Flow
from benchmarks.accuracy.method import Task
from benchmarks.accuracy.methods.keys import Keys, carried, straight
from laikaroto.character.template import pack
from tests.benchmarks.regatta import footage_of, roto_of, shot_of
from tests.training.synthetic import at_rest, template


def moving(offsets: np.ndarray) -> np.ndarray:
    """The boat at rest, moved by offsets (F, 2): (F, 9, 6)."""
    rest = pack(at_rest(), template(), 1001)[0] + [300, 200, 0, 0, 0, 0]
    values = np.repeat(rest[None], len(offsets), axis=0)
    values[..., :2] += offsets[:, None]
    return values


def keys(values: np.ndarray, every: int, folder: Path):
    shot = shot_of(roto_of(values))
    method = Keys(
        Task(footage=footage_of(shot, folder), budget_s=1, threads=1, folder=folder),
        every=every,
        flow=False,
    )
    return method, shot


def test_every_fourth_frame_and_the_last_are_keyed(tmp_path: Path) -> None:
    method, shot = keys(moving(np.zeros((11, 2))), 4, tmp_path)
    assert method.keyed(shot) == (1001, 1005, 1009, 1011)
    assert method.fit() == {} and not method.learns


def test_even_motion_needs_no_more_keys(tmp_path: Path) -> None:
    t = np.arange(9.0)
    method, shot = keys(moving(np.stack([3 * t, -t], -1)), 4, tmp_path)
    drawn = method.predict(shot)
    assert measure(drawn, shot, template()).evaluation.points_all.max_px < 1e-9


def test_accelerated_motion_is_off_by_what_the_parabola_says(tmp_path: Path) -> None:
    """x = t²: straight between keys a and b it is off by (t - a)(b - t)."""
    t = np.arange(9.0)
    method, shot = keys(moving(np.stack([t**2, 0 * t], -1)), 4, tmp_path)
    drawn = method.predict(shot)
    for name, track in shot.truth.tracks.items():
        off = [drawn.tracks[name][f].xy[0] - track[f].xy[0] for f in shot.frames]
        assert np.allclose(off, [0, 3, 4, 3, 0, 3, 4, 3, 0])
    found = measure(drawn, shot, template(), keyed=method.keyed(shot))
    assert found.evaluation.tracks_all.mean_px == pytest.approx((3 + 4 + 3) * 2 / 9)
    assert found.keyed == (1001, 1005, 1009)
    # keyed frames are exact, so the others carry all the error
    curves = found.evaluation.curves_all
    exact = [found.evaluation.frames[f].shapes["sail"].mean_px for f in found.keyed]
    assert max(exact) < 2e-3
    assert found.unkeyed_curves_px == pytest.approx(curves.mean_px * 9 / 6, rel=0.02)


def test_keyed_frames_are_exact_and_hidden_points_stay_as_on_the_key_before(tmp_path: Path) -> None:
    values = moving(np.random.default_rng(1).normal(0, 5, (6, 2)))
    visible = np.ones((6, 9), bool)
    visible[3:, 4] = False
    shot = shot_of(roto_of(values, visible))
    own = Task(footage=footage_of(shot, tmp_path), budget_s=1, threads=1, folder=tmp_path)
    drawn = Keys(own, every=4, flow=False).predict(shot)
    for frame in (1001, 1005, 1006):
        assert np.array_equal(
            drawn.shapes["sail"].frames[frame].points,
            shot.truth.shapes["sail"].frames[frame].points,
        )
    seen = [bool(drawn.shapes["mast"].frames[f].point_visible[2]) for f in shot.frames]
    assert seen == [True, True, True, True, False, False]


class Current:
    """A flow that moves everything by the same amount from one frame to the next."""

    def __init__(self, ahead: float, back: float) -> None:
        self.step = {1: np.array([ahead, 0.0]), -1: np.array([back, 0.0])}

    def carry(self, xy: np.ndarray, start: int, end: int) -> np.ndarray:
        return xy + self.step[end - start]


def test_flow_is_followed_where_both_keys_agree() -> None:
    values = moving(np.zeros((5, 2)))
    ends = values[[0, 4]]
    ends[1, :, 0] += 8
    frames = [1001, 1002, 1003, 1004, 1005]
    drawn = straight(ends[0], ends[1], frames)
    with_flow = carried(drawn, frames, Current(2.25, -1.75))
    assert np.array_equal(with_flow[[0, 4]], ends)
    moved = with_flow[..., 0] - ends[0][:, 0]
    # ahead 2.25 t, back 8 - 1.75 (4 - t), mixed by t / 4
    t = np.arange(5.0)
    mixed = (1 - t / 4) * 2.25 * t + t / 4 * (8 - 1.75 * (4 - t))
    assert np.allclose(moved, mixed[:, None])
    assert np.array_equal(carried(drawn, frames, Current(30, 0)), drawn), "too far apart"


def test_flow_between_plates_follows_them(tmp_path: Path) -> None:
    """A textured plate moved by (3, -2) px: points in the middle go with it."""
    from dataclasses import replace

    from laikaroto.config import PlateConfig
    from laikaroto.plate.sequence import PlateSequence
    from tests.training.synthetic import write_plate

    rng = np.random.default_rng(3)
    import cv2

    noise = cv2.GaussianBlur(rng.uniform(0, 1, (150, 220, 3)).astype(np.float32), (0, 0), 3)
    noise = (noise - noise.min()) / np.ptp(noise)
    for i in range(2):
        part = noise[10 + 2 * i : 138 + 2 * i, 10 - 3 * i : 202 - 3 * i]
        write_plate(tmp_path / f"f.{1001 + i}.exr", part)
    shot = shot_of(roto_of(moving(np.zeros((2, 2)))))
    sequence = PlateSequence("f", str(tmp_path / "f.{frame}.exr"), (1001, 1002))
    flow = Flow(replace(shot, sequence=sequence, plates=PlateConfig(template="{shot}{frame}")))
    points = np.array([[60.0, 50.0], [100.25, 70.5], [130.0, 80.0]])
    assert np.abs(flow.carry(points, 1001, 1002) - points - [3, -2]).max() < 0.3
    assert np.abs(flow.carry(points, 1002, 1001) - points + [3, -2]).max() < 0.3
