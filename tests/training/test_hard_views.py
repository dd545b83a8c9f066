"""Held-out frames shown as other shots might show them, drawn and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.model.calibration import ErrorCalibration
from laikaroto.model.predictions import Predictions
from laikaroto.shapes.records import PlateInfo
from laikaroto.training import loop
from laikaroto.training.checkpoint import Settings
from laikaroto.training.dataset import VIEW_ROOM
from laikaroto.training.examples import Example
from laikaroto.training.hard_views import MOST_VIEWS, ViewDrawer, _shown, calibrate, judge_views
from laikaroto.training.loop import Course, train
from laikaroto.training.network import Drawing
from laikaroto.training.run import load_dataset, read_index
from laikaroto.worker import character as steps
from tests.training.synthetic import CHARACTER, template, write_show

FORM = template()
SIZE = 128
COUNT = FORM.point_count


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A training of a few steps, the first shot held out, by a clock that ticks when asked."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    show = write_show(tmp_path)
    run = show.work_folder("train")
    steps.prepare(show, character=CHARACTER, run=run, report=quiet)
    index = read_index(run)
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=monotonic))
    return Course(
        settings=Settings(
            budget_s=6.0, seed=1, training_shots=("a1", "a2"), held_out=("a1",), crop_px=SIZE,
            finder_size=index.finder_size, batch=2,
        ),
        dataset=load_dataset(run, index, FORM), template=FORM, plates=index.plate_infos(),
        folder=run, report=quiet,
    )  # fmt: skip


def test_views_of_held_out_shots_calibrate(course: Course) -> None:
    train(course)
    found = calibrate(course, 1.0)
    assert found != ErrorCalibration() and found == calibrate(course, 1.0)
    assert calibrate(course, 2.0) != found  # of estimates that are scaled otherwise
    (course.folder / loop.UNSEEN).unlink()
    with pytest.raises(TruthError, match="run the train step again"):
        calibrate(course, 1.0)


def test_views_are_the_frames_varied(course: Course) -> None:
    own = [n for n, e in enumerate(course.dataset.examples) if e.shot == "a1"]
    views = course.dataset.views(own, 4, seed=1)
    assert [view.frame for view in views] == list(range(12))
    again = course.dataset.views(own, 4, seed=1)
    other = course.dataset.views(own, 4, seed=2)
    for view, same in zip(views, again, strict=True):
        np.testing.assert_array_equal(view.head, same.head)
    assert not np.array_equal(views[0].head, other[0].head)
    heads = [e for e in course.dataset.examples if e.shot == "a1"]
    for number, view in enumerate(views):
        assert view.head.shape == (SIZE * VIEW_ROOM, SIZE * VIEW_ROOM, 3)
        # as large on the plate as the frame that it shows
        assert view.box.side == pytest.approx(heads[number // 4].box.side, rel=1e-6)
        at = (view.values[:, :2] * view.scale).astype(int)
        assert (at > 0).all() and (at < SIZE * VIEW_ROOM).all()


@pytest.mark.parametrize(
    ("frames", "shown", "each"), [(1, 1, 10), (9, 9, 10), (20, 20, 4), (48, 48, 2), (300, 48, 2)]
)
def test_long_held_out_shots_have_no_more_views_than_short_ones(
    frames: int, shown: int, each: int
) -> None:
    examples = [SimpleNamespace(shot=shot) for shot in ("a1", *["b1"] * frames, "c1")]
    numbers, times = _shown(SimpleNamespace(examples=examples), ("b1",))  # type: ignore[arg-type]
    assert (len(set(numbers)), times) == (shown, each)
    assert {1, frames} <= set(numbers) <= set(range(1, frames + 1))
    assert len(numbers) * times <= MOST_VIEWS


class Knowing(torch.nn.Module):
    """A drawer for plates whose red and green are their own coordinates: it draws ``goal``."""

    size = SIZE

    def __init__(self, goal: FloatArray) -> None:
        super().__init__()
        self.goal = goal

    def forward(self, image: torch.Tensor) -> Drawing:
        """Where in the crop the goal is, by the plane that both colours are there."""
        inner = image[0, :2, 40:-40, 40:-40].numpy().astype(np.float64).reshape(2, -1)
        places = np.arange(40, SIZE - 40) + 0.5
        xs, ys = np.meshgrid(places, places)
        plane = np.column_stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
        fit = np.linalg.lstsq(plane, inner.T * 1000, rcond=None)[0]
        linear = np.linalg.inv(fit[:2].T)
        xy = (self.goal[:, :2] - fit[2]) @ linear.T
        bends = self.goal[2:, 2:].reshape(-1, 2, 2) @ linear.T
        ones = torch.zeros(1, COUNT)
        return Drawing(
            torch.tensor(xy / SIZE)[None, None], torch.tensor(bends.reshape(1, -1, 4) / SIZE),
            ones, ones, ones, torch.zeros(1, COUNT, 0),
        )  # fmt: skip


def test_all_looks_at_a_view_meet_in_its_px() -> None:
    side = round(SIZE * VIEW_ROOM)
    scale = 1.5  # px of the view a plate px
    at = (np.arange(side) + 0.5) / scale / 1000
    picture = np.zeros((side, side, 3), np.float32)
    picture[..., 0], picture[..., 1] = at[None, :], at[:, None]
    goal = np.zeros((COUNT, 6))
    rng = np.random.default_rng(1)
    goal[:, :2] = side / scale / 2 + rng.uniform(-30, 30, (COUNT, 2))
    goal[2:, 2:] = rng.uniform(-5, 5, (COUNT - 2, 4))
    seen = np.ones(COUNT, bool)
    view = Example(
        "a1", 0, picture, scale, np.zeros((0, 0, 3), np.float16), np.eye(2, 3), goal, seen, seen
    )  # type: ignore[arg-type]
    drawer = ViewDrawer(drawer=Knowing(goal), template=FORM, mirror=None, prior=None, scale=2.0)  # type: ignore[arg-type]
    found = drawer.draw([view])
    np.testing.assert_allclose(found.values[0], goal, atol=0.05)
    assert found.apart_px.max() < 0.05
    # errors of 1 px of a crop of 256, twice
    np.testing.assert_allclose(found.error_px, 2 * 0.5 * found.box[0, 2] / SIZE, rtol=0.1)


def test_judged_as_an_artist_would() -> None:
    """The sail of the second view is drawn three px off, all else where it is."""
    truth = course_truth()
    views = [
        Example(
            "a1", i, np.zeros((1, 1, 3), np.float16), 1.0, np.zeros((0, 0, 3), np.float16),
            np.eye(2, 3), truth, np.ones(COUNT, bool), np.ones(COUNT, bool),
        )
        for i in range(2)
    ]  # fmt: skip
    drawn = np.stack([truth, truth])
    drawn[1, 6:9, :2] += 3.0
    shape = (2, COUNT)
    predictions = Predictions(
        frames=np.arange(2), values=drawn, visible=np.ones(shape), error_px=np.full(shape, 0.3),
        apart_px=np.full(shape, 0.2), box=np.ones((2, 3)), found=np.ones(2),
        moved=np.full((2, 3), np.inf), tokens=np.zeros((*shape, 0), np.float16),
    )  # fmt: skip
    plate = PlateInfo(width=1280, height=720, first=0, last=1)
    (good, clean), (bad, faulty) = judge_views(views, predictions, FORM, plate)
    assert clean and not faulty
    assert [shape.clean for shape in good] == [True, True]
    assert sorted(shape.clean for shape in bad) == [False, True]
    off = next(shape for shape in bad if not shape.clean)
    assert 1.0 < off.actual_px < 4.3
    assert off.expected_px == pytest.approx(0.3) and off.apart_px == pytest.approx(0.2)
    assert off.limit_px == pytest.approx(1.0)
    hidden = [replace(view, visible=np.zeros(COUNT, bool)) for view in views]
    assert judge_views(hidden, predictions, FORM, plate) == [([], True), ([], True)]


def course_truth() -> FloatArray:
    """The boat in the middle of a plate."""
    from laikaroto.character.template import pack
    from tests.training.synthetic import at_rest

    values = pack(at_rest(), FORM, 1001)[0].copy()
    values[:, :2] += 300.0
    return np.asarray(values)
