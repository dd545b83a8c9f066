"""One contract for every method that is listed, and that the quick one really learns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.accuracy.figures import measure
from benchmarks.accuracy.footage import Footage
from benchmarks.accuracy.method import NotInstalledError, Oracle, Task, given_boxes
from benchmarks.accuracy.methods import METHODS
from laikaroto.character.template import pack
from laikaroto.training.evaluate import evaluate
from tests.benchmarks.regatta import write_footage


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return write_footage(tmp_path_factory.mktemp("regatta"))


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def task(footage: Footage, folder: Path, *, oracle: Oracle = "none", budget_s: float = 1.0) -> Task:
    folder.mkdir(exist_ok=True)
    return Task(footage=footage, budget_s=budget_s, threads=1, folder=folder, oracle=oracle)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "sleap"])
def test_every_method_keeps_the_contract(name: str, footage: Footage, tmp_path: Path) -> None:
    (shot,) = footage.evaluation
    method = METHODS[name](task(footage, tmp_path / name))
    notes = method.fit()
    assert all(isinstance(key, str) for key in notes)
    for oracle in ("none", *sorted(method.oracles)):
        # what fit left in the folder is all that another instance needs
        again = METHODS[name](task(footage, tmp_path / name, oracle=oracle))
        roto = again.predict(shot)
        assert (roto.shot, roto.character) == ("b1", "boat")
        assert set(roto.shapes) == {"mast", "sail"} and set(roto.tracks) <= {"bow", "stern"}
        assert not roto.shapes["mast"].closed and roto.shapes["sail"].closed
        for form in footage.template.shapes:
            points = roto.shapes[form.name].stack(shot.frames)
            assert points.shape == (2, form.count, 6) and np.isfinite(points).all()
        found = measure(roto, shot, footage.template, keyed=again.keyed(shot))
        assert found.evaluation.width == shot.truth.plate.width
    keyed = set(method.keyed(shot))
    assert keyed <= set(shot.frames) and (not keyed or not method.learns)


def test_a_method_does_not_look_at_what_it_has_to_draw(footage: Footage, tmp_path: Path) -> None:
    """Trees grown on the training shots alone; drawing needs no more than the head's boxes."""
    (shot,) = footage.evaluation
    first = METHODS["dlib"](task(footage, tmp_path / "dlib"))
    first.fit()
    moved = footage.training[0].truth  # another shot's truth, of other poses
    boxes = given_boxes(task(footage, tmp_path / "dlib"), shot)
    import dataclasses

    import benchmarks.accuracy.methods.dlib_trees as trees

    blind = dataclasses.replace(shot, truth=dataclasses.replace(moved, shot="b1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "given_boxes", lambda task, shot: boxes)
        seen, unseen = first.predict(shot), first.predict(blind)
    for name in seen.shapes:
        a, b = (roto.shapes[name].stack(shot.frames) for roto in (seen, unseen))
        assert np.array_equal(a, b)


def test_dlib_learns_the_boat(
    footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cascade of fixed size, not of what this machine does in a second."""
    import benchmarks.accuracy.methods.dlib_trees as trees

    monkeypatch.setattr(trees, "_PLANS", ((5, 5, 25),))
    (shot,) = footage.evaluation
    method = METHODS["dlib"](task(footage, tmp_path / "dlib", oracle="crop"))
    assert method.fit() == {"trees": 25, "cascades": 10, "pictures": 36, "starts": 5}
    learned = evaluate(method.predict(shot), shot.truth).points_all.mean_px
    mean = np.mean([training.truth_values(footage.template) for training in footage.training], 0)
    apart = shot.truth_values(footage.template)[..., :2] - mean[:2, :, :2]
    assert learned is not None and learned < 0.4 * np.hypot(*np.moveaxis(apart, -1, 0)).mean()


def test_given_boxes_are_inexact_and_the_same_for_all(footage: Footage, tmp_path: Path) -> None:
    (shot,) = footage.evaluation
    true = shot.true_boxes(footage.template)
    given = given_boxes(task(footage, tmp_path), shot)
    assert given == given_boxes(task(footage, tmp_path), shot)
    assert given_boxes(task(footage, tmp_path, oracle="crop"), shot) == true
    for frame, box in given.items():
        assert box != true[frame]
        assert abs(box.x - true[frame].x) < 0.1 * true[frame].side
        assert 0.8 < box.side / true[frame].side < 1.25


def test_true_points_give_the_points_back(footage: Footage, tmp_path: Path) -> None:
    """The paper's shapes from true landmarks keep them where they are, before any learning."""
    from benchmarks.accuracy.methods.shape_networks import draw_shapes, fit_shapes

    class Once:
        @staticmethod
        def as_they_are() -> list[object]:
            (shot,) = footage.evaluation
            from benchmarks.accuracy.heads import Sample

            values = [pack(shot.truth, footage.template, frame)[0] for frame in shot.frames]
            return [Sample(np.zeros((1, 1, 3), np.float32), v, np.ones(9, bool)) for v in values]

    own = task(footage, tmp_path)
    fit_shapes(own, Once(), 1e-6)  # one step each
    points = footage.evaluation[0].truth_values(footage.template)[..., :2]
    drawn = draw_shapes(own, points)
    assert np.array_equal(drawn[:, :2, :2], points[:, :2])
    assert np.abs(drawn[:, 2:, :2] - points[:, 2:]).max() < 2.0


def test_sleap_says_that_it_is_not_installed(footage: Footage, tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="--sleap-python"):
        METHODS["sleap"](task(footage, tmp_path))
    bare = Task(
        footage=footage, budget_s=1, threads=1, folder=tmp_path,
        options={"sleap_python": Path(sys.executable)},
    )  # fmt: skip
    with pytest.raises(NotInstalledError, match="cannot import sleap_nn"):
        METHODS["sleap"](bare)
    assert os.listdir(tmp_path) == []
