"""dlib's shape predictor: a cascade of ensembles of regression trees on pixel differences.

Source: Kazemi & Sullivan, CVPR 2014, "One Millisecond Face Alignment with an Ensemble of
Regression Trees". Points are the tracking points, the control points, and where the control
points' tangents end. dlib keeps points in whole pixels and cannot stop by the clock: crops are
made large, and the number of trees is chosen from a timed trial. Everything is called visible.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.footage import Image, Shot
from benchmarks.accuracy.heads import Heads, Sample, crop_of, to_plate
from benchmarks.accuracy.method import NotInstalledError, Task, given_boxes
from laikaroto.character.template import unpack
from laikaroto.coords import FloatArray, absolute_tangents, relative_tangents
from laikaroto.shapes.records import Roto

CROP_PX = 512  # 1 px of it is about 1 px of a 1280 wide plate: whole pixels cost little
_DEPTH, _NU, _FEATURES, _SPLITS, _CASCADES = 4, 0.1, 400, 20, 10  # dlib's own defaults
#: varied copies of each training frame besides it as it is, starts from other frames' shapes
#: for each picture, trees for each step of the cascade: the first that fits the budget. dlib's
#: own numbers are 20 starts and 500 trees.
_PLANS = (
    (32, 20, 500), (32, 10, 500), (24, 5, 500), (12, 5, 500), (12, 5, 250), (6, 5, 250),
    (6, 5, 100), (2, 5, 100), (1, 5, 50), (1, 2, 20), (0, 1, 10),
)  # fmt: skip
_TRIAL = (1, 5)  # copies and starts
_TRIAL_TREES = 4
_USED = 0.85  # of the budget is planned for: the trial is not exact


class DlibTrees:
    """See the module."""

    learns = True
    oracles = frozenset({"crop"})

    def __init__(self, task: Task) -> None:
        """Take the task.

        Raises:
            NotInstalledError: dlib is not here.
        """
        try:
            import dlib
        except ImportError as error:
            raise NotInstalledError(
                "dlib is not installed; pip install dlib-bin (extra 'bench')"
            ) from error
        self.task, self.template, self._dlib = task, task.footage.template, dlib
        self._model = task.folder / "shape_predictor.dat"

    def fit(self) -> dict[str, Any]:
        """Grow the largest cascade of ``_PLANS`` that fits into the budget, by a timed trial."""
        task, started = self.task, time.monotonic()
        heads = Heads(task.footage, CROP_PX)
        fixed_s, tree_s = self._trial(heads)
        left_s = task.budget_s * _USED - (time.monotonic() - started)

        def cost_s(copies: int, starts: int, trees: int) -> float:
            return _CASCADES * (1 + copies) * starts * (fixed_s + trees * tree_s)

        plan = next((plan for plan in _PLANS if cost_s(*plan) < left_s), _PLANS[-1])
        copies, starts, trees = plan
        pictures, shapes = self._material(heads, copies)
        notes = {"trees": trees, "cascades": _CASCADES, "pictures": len(pictures), "starts": starts}
        task.report(0.1, f"{notes}, {cost_s(*plan):.0f} s planned")
        options = self._options(trees, _CASCADES, starts)
        predictor = self._dlib.train_shape_predictor(pictures, shapes, options)
        predictor.save(str(self._model))
        return notes

    def _trial(self, heads: Heads) -> tuple[float, float]:
        """Seconds that a step of the cascade costs without trees, and that each tree adds.

        Both for one picture of each training frame and one start; cost grows with their number.
        """
        copies, starts = _TRIAL
        pictures, shapes = self._material(heads, copies)
        spent = []
        for trees in (1, 1 + _TRIAL_TREES):
            begun = time.monotonic()
            options = self._options(trees, 1, starts)
            self._dlib.train_shape_predictor(pictures, shapes, options)
            spent.append((time.monotonic() - begun) / ((1 + copies) * starts))
        tree_s = max((spent[1] - spent[0]) / _TRIAL_TREES, 1e-6)
        return max(spent[0] - tree_s, 0.0), tree_s

    def _material(self, heads: Heads, copies: int) -> tuple[list[Any], list[Any]]:
        """Grey pictures and their points: every frame as it is, and varied copies of each."""
        seeds = range(copies * len(heads.heads))
        samples = [*heads.as_they_are(), *(heads.sample((self.task.seed, i)) for i in seeds)]
        return [as_grey(s.image) for s in samples], [[self._detection(s)] for s in samples]

    def predict(self, shot: Shot) -> Roto:
        """Every frame by itself."""
        predictor = self._dlib.shape_predictor(str(self._model))
        boxes, found = given_boxes(self.task, shot), []
        for frame, plate in shot.read():
            crop, matrix = crop_of(plate, boxes[frame], CROP_PX)
            parts = predictor(as_grey(crop), self._whole())
            xy = np.array([[p.x, p.y] for p in parts.parts()], dtype=np.float64) + 0.5
            found.append(to_plate(self._values(xy), matrix))
        values = np.stack(found)
        visible = np.ones(values.shape[:2], bool)
        return unpack(self.template, shot.name, shot.truth.plate, shot.frames, values, visible)

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """None."""
        return ()

    def _options(self, trees: int, cascades: int, starts: int) -> Any:
        options = self._dlib.shape_predictor_training_options()
        options.tree_depth, options.nu = _DEPTH, _NU
        options.feature_pool_size, options.num_test_splits = _FEATURES, _SPLITS
        options.oversampling_amount = starts
        options.cascade_depth, options.num_trees_per_cascade_level = cascades, trees
        options.num_threads = self.task.threads
        options.random_seed = str(self.task.seed)
        return options

    def _whole(self) -> Any:
        return self._dlib.rectangle(0, 0, CROP_PX - 1, CROP_PX - 1)

    def _detection(self, sample: Sample) -> Any:
        """All points of a crop: positions, then both tangent ends of the control points."""
        ends = absolute_tangents(sample.values)
        control = ends[len(self.template.tracks) :]
        xy = np.concatenate([ends[:, 0], control[:, 1], control[:, 2]])
        whole = np.round(xy - 0.5).astype(int)  # dlib: pixel centres at whole numbers
        points = [self._dlib.point(x, y) for x, y in whole.tolist()]
        return self._dlib.full_object_detection(self._whole(), points)

    def _values(self, xy: FloatArray) -> FloatArray:
        """Inverse of ``_detection``: control points (P, 6) in crop px."""
        count, tracks = self.template.point_count, len(self.template.tracks)
        ends = np.repeat(xy[:count, None], 3, axis=1)
        ends[tracks:, 1:] = np.stack(np.split(xy[count:], 2), axis=1)
        return relative_tangents(ends)


def as_grey(crop: Image) -> NDArray[np.uint8]:
    """A log-encoded crop as 8-bit grey: what the trees compare."""
    return np.asarray(np.round(np.clip(crop.mean(-1) * 1.6, 0, 1) * 255), np.uint8)
