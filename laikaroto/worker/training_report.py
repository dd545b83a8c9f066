"""The report of a training: gathered from its folder, its held-out plates and published shots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from laikaroto.errors import LaikarotoError
from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import find_sequence
from laikaroto.review.training_page import (
    HistoryRow,
    Phase,
    SuggestedPicture,
    TrainingReport,
    ValidationPicture,
    write_training_page,
)
from laikaroto.show import Show
from laikaroto.training.suggest import Measured, Poses, causes
from laikaroto.worker.suggestions import suggest_frames

if TYPE_CHECKING:
    from laikaroto.training.checkpoint import State
    from laikaroto.training.loop import Course
    from laikaroto.training.validate import HeldOut

_SUGGESTIONS = 6


def write_report(show: Show, course: Course, state: State, version: str, folder: Path) -> Path:
    """Write the report of a finished training; returns its page."""
    metrics = json.loads((course.folder / "metrics.json").read_text(encoding="utf-8"))
    half = state.measured_at_s
    phases = [Phase(name="learning from all shots", start_s=half or 0.0, end_s=state.seconds)]
    if half is not None:
        phases.insert(0, Phase(name="held-out validation", start_s=0.0, end_s=half))
    suggested, notes = _suggested(show, course.template.character)
    return write_training_page(
        TrainingReport(
            character=course.template.character,
            model_version=version,
            settings=_settings(course, state),
            history=[HistoryRow(**row) for row in state.history],
            phases=phases,
            held_out=course.settings.held_out,
            validation=metrics["shots"],
            pictures=_pictures(show, course),
            suggestions=suggested,
            notes=notes,
        ),
        folder,
    )


def _settings(course: Course, state: State) -> dict[str, object]:
    settings = course.settings
    told: dict[str, object] = {
        "budget": f"{settings.budget_s:.0f} s",
        "seed": settings.seed,
        "steps": state.step,
        "crop": f"{settings.crop_px} px",
        "training shots": ", ".join(settings.training_shots),
        "held out": ", ".join(settings.held_out) or "none",
    }
    if (used := state.budget_s(settings)) < settings.budget_s:
        told["early stop"] = f"the held-out error fell no more: {used:.0f} s of the budget used"
    for name, changed in (("augmentations", settings.augmentations), ("losses", settings.losses)):
        if changed:
            told[name] = ", ".join(f"{key} {value:g}" for key, value in changed.items())
    if course.dataset.renders:
        told["renders"] = (
            f"{len(course.dataset.renders)}, on {course.dataset.renders_share:.0%} of the pictures"
        )
    return told


def _pictures(show: Show, course: Course) -> Iterator[ValidationPicture]:
    """Held-out frames with prediction and truth, one plate in memory at a time."""
    from laikaroto.training.run import read_held_out
    from laikaroto.training.validate import as_rotos

    held_out = read_held_out(course)
    if held_out is None:
        return
    why = _why(course, held_out)
    plates = show.configs.show.plates
    for shot, (prediction, truth) in as_rotos(held_out, course.template, course.plates).items():
        sequence = find_sequence(show.plate_template(shot), shot=shot)
        for frame, rgb in read_ahead(sequence, sorted(truth.frames), plates):
            yield ValidationPicture(
                title=f"{shot} frame {frame}",
                frame=frame,
                truth=truth,
                prediction=prediction,
                rgb=rgb,
                why=why[shot, frame],
            )


def _why(course: Course, held_out: HeldOut) -> dict[tuple[str, int], tuple[str, ...]]:
    """What sets each held-out frame apart, against the shots learned when it was predicted."""
    import numpy as np

    learned = [
        example
        for example in course.dataset.examples
        if example.shot not in course.settings.held_out and example.known.all()
    ]
    xy = np.stack([e.values[:, :2] for e in learned]) if learned else np.zeros((0, 0, 2))
    known = Poses(xy, tuple((example.shot, example.frame) for example in learned))
    measured = [
        Measured(values[:, :2], e.values[:, :2], e.visible & e.known, e.known)
        for e, values in zip(held_out.examples, held_out.values, strict=True)
    ]
    places = [(example.shot, example.frame) for example in held_out.examples]
    return dict(zip(places, causes(measured, known), strict=True))


def _suggested(show: Show, character: str) -> tuple[Iterator[SuggestedPicture], tuple[str, ...]]:
    """Frames of published shots to rotoscope next; a fault there must not cost the model."""
    try:
        found = suggest_frames(show, character, count=_SUGGESTIONS)
    except LaikarotoError as error:
        return iter(()), (str(error),)

    def pictures() -> Iterator[SuggestedPicture]:
        for one in found.suggestions:
            sequence = find_sequence(show.plate_template(one.shot), shot=one.shot)
            for frame, rgb in read_ahead(sequence, [one.frame], show.configs.show.plates):
                yield SuggestedPicture(
                    title=f"{one.shot} {one.version}",
                    frame=frame,
                    prediction=found.rotos[one.shot],
                    rgb=rgb,
                    why=one.why(),
                )

    return pictures(), found.notes
