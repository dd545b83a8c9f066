"""How the networks do on held-out frames as other shots might show them.

One held-out shot is one light, one camera and a few poses, and the one that is held out is the
nearest to the average: errors measured on it alone would be taken for too small. So its frames
are shown again turned in space, relit, out of focus, before other sets and with something in
front, as training pictures are, and drawn with the networks that never saw the shot, by the
looks that inference takes (``model.looks``). What comes out calibrates expected errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from laikaroto.character.template import CharacterTemplate, unpack
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError
from laikaroto.model.calibration import ErrorCalibration, shape_mean
from laikaroto.model.crop import Box, box_around, cut_crop
from laikaroto.model.looks import LOOKS, Look, Seen, look_matrix, merge, see
from laikaroto.model.mirror import Mirror
from laikaroto.model.predictions import Predictions
from laikaroto.model.prior import ShapePrior
from laikaroto.shapes.records import PlateInfo
from laikaroto.training.calibrate import JudgedFrame, JudgedShape, fit_calibration
from laikaroto.training.checkpoint import read_weights
from laikaroto.training.dataset import VIEW_ROOM, Dataset
from laikaroto.training.evaluate import Evaluation, evaluate
from laikaroto.training.examples import Example
from laikaroto.training.loop import UNSEEN, Course
from laikaroto.training.network import Drawer

#: Views of all held-out frames together at most, and of a single frame at least and at most. Of
#: more frames than that makes, some are chosen: views take time, and neighbours are alike.
MOST_VIEWS = 96
LEAST_EACH, MOST_EACH = 2, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDrawer:
    """Draws views as inference draws plates.

    scale: (P,) what error estimates are multiplied by (``HeldOut.error_scale``).
    """

    drawer: Drawer
    template: CharacterTemplate
    mirror: Mirror | None
    prior: ShapePrior | None
    scale: FloatArray

    @torch.no_grad()
    def draw(self, views: list[Example]) -> Predictions:
        """What inference would predict of each view; plate px."""
        self.drawer.eval()
        rows = [self._draw(view) for view in views]
        count = len(rows)
        predictions = Predictions(
            frames=np.array([view.frame for view in views]),
            values=np.stack([mean.values for mean, _ in rows]),
            visible=np.stack([mean.visible for mean, _ in rows]),
            error_px=np.stack([mean.error_px for mean, _ in rows]) * self.scale,
            apart_px=np.stack([apart for _, apart in rows]),
            box=np.stack([_as_row(box_around(mean.values[:, :2])) for mean, _ in rows]),
            found=np.ones(count),
            moved=np.full((count, 3), np.inf),
            tokens=np.zeros((count, self.template.point_count, 0), np.float16),
        )
        return predictions if self.prior is None else self.prior.apply(predictions, self.template)

    def _draw(self, view: Example) -> tuple[Seen, FloatArray]:
        side = view.head.shape[0] / view.scale
        first = self._look(view, Look(), Box(side / 2, side / 2, side / VIEW_ROOM))
        box = box_around(first.values[:, :2])
        return merge([self._look(view, look, box) for look in LOOKS], self.template)

    def _look(self, view: Example, look: Look, box: Box) -> Seen:
        size = self.drawer.size
        matrix = look_matrix(look, box, size, self.mirror)
        crop = cut_crop(view.head.astype(np.float32), matrix * view.scale, size)
        drawn = self.drawer(torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()))
        return see(
            look,
            matrix,
            self.mirror,
            points=drawn.xy[-1][0].numpy() * size,
            tangents=drawn.tangents[0].numpy() * size,
            visible=torch.sigmoid(drawn.visible)[0].numpy(),
            error=drawn.log_error.exp()[0].numpy() * size / 256.0,
        )


def calibrate(course: Course, scale: FloatArray) -> ErrorCalibration:
    """What views of the held-out shots say of expected errors.

    Args:
        course: a training whose first phase is over.
        scale: (P,) ``HeldOut.error_scale`` of that phase.

    Raises:
        TruthError: the weights of that phase are not there.
    """
    settings, dataset = course.settings, course.dataset
    shown, each = _shown(dataset, settings.held_out)
    kept = [shot for shot in settings.training_shots if shot not in settings.held_out]
    drawer = ViewDrawer(
        drawer=_unseen_drawer(course),
        template=course.template,
        mirror=dataset.mirror,
        prior=dataset.of_shots(kept).prior(),
        scale=scale,
    )
    judged: list[JudgedFrame] = []
    for shot in settings.held_out:
        own = [number for number in shown if dataset.examples[number].shot == shot]
        views = dataset.views(own, each, seed=settings.seed)
        if views:
            predictions = drawer.draw(views)
            judged += judge_views(views, predictions, course.template, course.plates[shot])
    return fit_calibration(judged)


def _shown(dataset: Dataset, held_out: Sequence[str]) -> tuple[list[int], int]:
    """Which examples are shown, by number, and how many views of each."""
    held = [n for n, example in enumerate(dataset.examples) if example.shot in held_out]
    most = MOST_VIEWS // LEAST_EACH
    if len(held) > most:
        held = [held[i] for i in np.linspace(0, len(held) - 1, most).round().astype(int)]
    return held, min(MOST_EACH, MOST_VIEWS // max(len(held), 1))


def _unseen_drawer(course: Course) -> Drawer:
    """The drawer as it was before it learned the held-out shots."""
    dataset = course.dataset
    drawer = Drawer(
        dataset.tracks, dataset.mean_xy(), dataset.mean_tangents(), size=course.settings.crop_px
    )
    path = course.folder / UNSEEN
    try:
        own = {n: w for n, w in read_weights(path).items() if n.startswith("drawer.")}
        drawer.load_state_dict({name.removeprefix("drawer."): w for name, w in own.items()})
    except (OSError, ValueError, RuntimeError) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the train step again") from error
    return drawer


def _as_row(box: Box) -> FloatArray:
    return np.array([box.x, box.y, box.side])


def judge_views(
    views: list[Example],
    predictions: Predictions,
    template: CharacterTemplate,
    plate: PlateInfo,
) -> list[JudgedFrame]:
    """What was expected of every visible shape of views of one shot, and how it is."""
    frames = [view.frame for view in views]
    shot = views[0].shot
    true = np.stack([view.values for view in views])
    seen = np.stack([view.visible for view in views])
    drawn = unpack(template, shot, plate, frames, predictions.values, predictions.visible > 0.5)
    measured = evaluate(drawn, unpack(template, shot, plate, frames, true, seen))
    return [_judge(measured, frame, row, predictions, template) for row, frame in enumerate(frames)]


def _judge(
    measured: Evaluation,
    frame: int,
    row: int,
    predictions: Predictions,
    template: CharacterTemplate,
) -> JudgedFrame:
    judged = []
    for name, where in template.slices().items():
        error = measured.frames[frame].shapes.get(name)
        if error is None or error.mean_px is None:
            continue
        points = slice(len(template.tracks) + where.start, len(template.tracks) + where.stop)
        chance = predictions.visible[row, points]
        judged.append(
            JudgedShape(
                expected_px=shape_mean(predictions.error_px[row, points], chance),
                apart_px=shape_mean(predictions.apart_px[row, points], chance),
                actual_px=error.mean_px,
                clean=error.clean,
                limit_px=measured.clean_mean_limit_px,
            )
        )
    return judged, all(shape.clean for shape in judged)
