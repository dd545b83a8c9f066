"""The training of a character, top to bottom.

The budget of wall time has two phases. In the first, whole shots are held out, and at its
end the networks are measured on them: these are the figures that a model is judged by. In
the second, the held-out shots join in, so that the model that is used has seen everything.
With one shot only there is nothing to hold out, and no figure.

The learning rate falls along a half cosine over the budget; averaged weights are what is
measured and kept. Every step's batch depends on the seed and the step alone, so a training
that was killed goes on from its last checkpoint as if nothing had been (told to stop, it writes
one first), and several processes (``training.processes``), each with a slice of the batch, see
the samples that one would see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import cv2
import torch
from torch import nn

from laikaroto.ahead import usable_threads
from laikaroto.character.template import CharacterTemplate
from laikaroto.errors import ConfigError, TruthError, TryAgainError, UsageError
from laikaroto.shapes.records import PlateInfo
from laikaroto.stopping import Stop, ToldToStopError
from laikaroto.training.checkpoint import (
    Settings,
    State,
    has_fast_bfloat16,
    new_state,
    read_checkpoint,
    save,
    write_checkpoint,
    write_weights,
)
from laikaroto.training.dataset import Batch, Dataset
from laikaroto.training.evaluate import evaluate
from laikaroto.training.losses import WEIGHTS, CurveIndex, drawing_loss, finder_loss
from laikaroto.training.meeting import slice_of
from laikaroto.training.processes import ALONE, LostContactError, Peers
from laikaroto.training.schedule import learning_rate, measure_every, stalled
from laikaroto.training.validate import HeldOut, as_rotos, predict_held_out, refine_held_out
from laikaroto.training.views import NEEDS_RELIEF
from laikaroto.training.warm_start import Source, Taken, load_weights

Report = Callable[[float, str], None]

CHECKPOINT_EVERY_S = 45.0
AVERAGE = 0.99
#: The networks at the end of the first phase, which have not seen the held-out shots.
UNSEEN = "unseen.npz"


def threads_for(processes: int = 1) -> int:
    """Threads of each of the processes that share the CPUs of this task."""
    return max(1, usable_threads() // processes)


def use_threads(processes: int = 1) -> int:
    """Let torch use as many threads as ``threads_for`` says; their number."""
    count = threads_for(processes)
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    return count


def _average(average: nn.Module, network: nn.Module, step: int) -> None:
    keep = min(AVERAGE, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(
            average.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a step is taken: what is lost by, with whom, and in which numbers."""

    index: CurveIndex
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    peers: Peers = ALONE
    share: float = 1.0
    bfloat16: bool = False


def train_step(state: State, batch: Batch, learning: Learning, *, rate: float) -> float:
    """One step of both networks at ``rate`` of the full learning rate; the drawer's loss."""
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("full_lr", group["lr"]) * rate
        optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=learning.bfloat16):
        drawing = state.drawer(batch.crops, batch.starts)
        seen = state.finder(batch.wholes)
    loss, _ = drawing_loss(drawing, batch.targets, learning.index, learning.weights)
    found = finder_loss(seen, batch.centres, batch.sides, batch.present)
    (loss + found).backward()  # type: ignore[no-untyped-call]
    learning.peers.add_gradients((state.drawer, state.finder), learning.share)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    _average(state.average_drawer, state.drawer, state.step)
    _average(state.average_finder, state.finder, state.step)
    return float(loss.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Everything fixed during one training.

    peers: all processes that train together; processes_here: those that share this task's CPUs;
    stop: a wish to end; permit: asked before a checkpoint replaces the former one, raises if this
    is a late copy of a training that goes on elsewhere.
    """

    settings: Settings
    dataset: Dataset
    template: CharacterTemplate
    plates: Mapping[str, PlateInfo]
    folder: Path
    report: Report
    peers: Peers = ALONE
    processes_here: int = 1
    stop: Stop = field(default_factory=Stop)
    permit: Callable[[], None] = lambda: None

    @property
    def checkpoint(self) -> Path:
        """Where the training can go on from."""
        return self.folder / "checkpoint.pt"

    def share(self, state: State) -> float:
        """How much of the budget is used, 0-1."""
        return min(1.0, state.seconds / state.budget_s(self.settings))

    def measure(self, state: State, index: CurveIndex) -> HeldOut:
        """Predict the held-out shots with the averaged networks and the other shots' prior."""
        held_out = self.dataset.of_shots(self.settings.held_out)
        found = predict_held_out(state.average_drawer, state.average_finder, held_out, index)
        kept = [s for s in self.settings.training_shots if s not in self.settings.held_out]
        return refine_held_out(found, self.dataset.of_shots(kept).prior(), self.template)


def _errors(course: Course, held_out: HeldOut) -> tuple[float | None, float | None]:
    """Mean error of tracking points and curves on the held-out shots, plate px."""
    results = [
        evaluate(prediction, truth)
        for prediction, truth in as_rotos(held_out, course.template, course.plates).values()
    ]
    return (
        _mean([result.tracks_all.mean_px for result in results]),
        _mean([result.curves_all.mean_px for result in results]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _measure(course: Course, state: State, index: CurveIndex) -> dict[str, float | None]:
    """Errors on the held-out shots as process 0 measures them, for a row of the history."""
    tracks, curves = None, None
    if course.peers.leads:
        with course.stop.at_once():
            tracks, curves = _errors(course, course.measure(state, index))
    tracks, curves = course.peers.agree(tracks, curves)
    return {"validation_tracks_px": tracks, "validation_curves_px": curves}


def _finish_held_out(course: Course, state: State, index: CurveIndex) -> None:
    """End of the first phase: measure, keep the predictions for calibration and report."""
    began, peers = time.monotonic(), course.peers
    reached = state.seconds
    if peers.leads:
        with course.stop.at_once():
            held_out = course.measure(state, index)
        save(
            course.folder / "held_out.pt",
            {
                "values": torch.from_numpy(held_out.values),
                "visible": torch.from_numpy(held_out.visible),
                "expected": torch.from_numpy(held_out.expected),
                "actual": torch.from_numpy(held_out.actual),
                "rows": [[example.shot, example.frame] for example in held_out.examples],
            },
        )
        write_weights(course.folder / UNSEEN, state.average_drawer, state.average_finder)
    (seconds,) = peers.agree(state.seconds + time.monotonic() - began)
    state.seconds, state.measured_at_s = seconds or 0.0, reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How an attempt begins: from a checkpoint or not, with what of another model."""

    resumed: bool
    step: int
    seconds: float
    threads: int
    taken: Taken | None


def train(
    course: Course,
    *,
    source: Source | None = None,
    on_start: Callable[[Start], None] | None = None,
) -> State:
    """Train until the budget is used; go on from the checkpoint in ``course.folder``.

    Args:
        course: data, settings, folder and the other processes.
        source: another model, for a warm start.
        on_start: told how this attempt begins.

    Raises:
        TruthError: nothing to learn from.
        ConfigError: a configured loss has nothing to learn from.
        TryAgainError: the disk refuses a checkpoint.
        ToldToStopError: after a checkpoint; so is LostContactError of process 0.
    """
    settings = course.settings
    if not course.dataset.examples:
        raise TruthError("there is no frame to learn from; import ground truth first")
    threads = use_threads(course.processes_here)
    index = CurveIndex.of(course.template)
    state = new_state(settings, course.dataset)
    resumed = read_checkpoint(course.checkpoint, state)
    taken = None
    if not resumed:
        taken = load_weights(state, source, course.template) if source is not None else None
        check_augmentations(course)
        check_losses(course, state, index)
    with course.stop.careful():
        try:
            _start_together(course, state)
            if on_start is not None:
                on_start(
                    Start(
                        resumed=resumed,
                        step=state.step,
                        seconds=state.seconds,
                        threads=threads,
                        taken=taken,
                    )
                )
            _run_phases(course, state, index)
        except (ToldToStopError, LostContactError) as error:
            _leave(course, state, error)
    return state


def _run_phases(course: Course, state: State, index: CurveIndex) -> None:
    """All that is left of the training."""
    settings = course.settings
    phases: Sequence[tuple[float, Dataset]] = [(1.0, course.dataset)]
    if settings.held_out:
        kept = [shot for shot in settings.training_shots if shot not in settings.held_out]
        phases = [(settings.held_out_share, course.dataset.of_shots(kept)), (1.0, course.dataset)]
    for end, dataset in phases:
        if course.share(state) < end:
            _run_phase(course, state, index, dataset, end)
        if end < 1.0 and state.measured_at_s is None:
            _finish_held_out(course, state, index)
            _keep(course, state)
    _keep(course, state)


def _leave(course: Course, state: State, error: ToldToStopError | LostContactError) -> NoReturn:
    """End before the end; process 0 keeps what was learned. The state is whole between steps."""
    if not course.peers.leads or not state.step:
        raise error
    course.permit()
    write_checkpoint(course.checkpoint, state)
    raise type(error)(
        f"{str(error).partition(';')[0]}; a checkpoint at step {state.step}, with "
        f"{state.seconds:.0f} s of {state.budget_s(course.settings):.0f} s used, is written: "
        "started again, the training goes on from there"
    ) from error


def _start_together(course: Course, state: State) -> None:
    """Let all processes hold the same state, or none begin."""
    peers, batch = course.peers, course.settings.batch
    if peers.count > batch:
        raise UsageError(f"{peers.count} processes for batches of {batch}: use {batch} at most")
    (step,) = peers.agree(float(state.step))
    if step != state.step:
        raise TryAgainError(
            f"process {peers.rank} sees {course.checkpoint} at step {state.step}, process 0 at "
            f"step {step:.0f}: the file system was not up to date; start all of them again"
        )
    peers.follow(tuple(state.modules().values()))


def _keep(course: Course, state: State) -> None:
    """Write a checkpoint, once for all processes, which then hold what is in it."""
    if course.peers.leads:
        course.permit()
        write_checkpoint(course.checkpoint, state)
    course.peers.follow(tuple(state.modules().values()))


def check_augmentations(course: Course) -> None:
    """Refuse configured augmentations for which a character's truth does not say enough.

    Raises:
        ConfigError: names them.
    """
    configured = course.settings.augmentations
    wanted = [name for name in NEEDS_RELIEF if configured.get(name, 0.0) > 0]
    if wanted and course.dataset.relief is None:
        raise ConfigError(
            f"characters/{course.template.character}.yaml: training.augmentations: "
            f"{', '.join(wanted)} need the head in space, which this ground truth does not tell "
            "(too few frames with all points known, or the head hardly turns); remove them, or "
            "set them to 0"
        )


def check_losses(course: Course, state: State, index: CurveIndex) -> None:
    """Refuse configured losses that a character's truth gives nothing to learn from.

    Found by trying: a loss without a target is exactly 0 on every batch.

    Raises:
        ConfigError: names them.
    """
    wanted = {name for name, weight in course.settings.losses.items() if weight > 0}
    if not wanted:
        return
    with ThreadPoolExecutor(1) as pool, torch.no_grad():
        for number in range(3):
            batch = course.dataset.batch((course.settings.seed, number), 2, pool)
            drawing = state.drawer(batch.crops, batch.starts)
            _, values = drawing_loss(drawing, batch.targets, index)
            wanted -= {name for name, value in values.items() if value != 0.0}
    if wanted:
        raise ConfigError(
            f"characters/{course.template.character}.yaml: training.losses: nothing in this "
            f"character's ground truth is a target of {', '.join(sorted(wanted))} (its shapes: "
            f"{', '.join(shape.name for shape in course.template.shapes) or 'none'}); remove "
            "them, or set them to 0"
        )


def _run_phase(
    course: Course, state: State, index: CurveIndex, dataset: Dataset, end: float
) -> None:
    """Train on one data set until ``end`` of the budget, or until measuring says it is enough."""
    settings, peers = course.settings, course.peers
    own = slice_of(settings.batch, peers.rank, peers.count)
    learning = Learning(
        index=index,
        weights=WEIGHTS | dict(settings.losses),
        peers=peers,
        share=len(own) / settings.batch,
        bfloat16=has_fast_bfloat16(),
    )
    # Pictures are varied by all threads, then learned from by all threads. A thread that works
    # ahead would take a core from torch, whose threads wait for one another thousands of times.
    pool = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="batch")
    began, before = time.monotonic(), state.seconds

    def clock() -> float:
        return peers.agree(before + time.monotonic() - began)[0] or 0.0

    saved = validated = said = state.seconds
    loss, cost = None, None
    measures = end < 1.0
    try:
        while course.share(state) < end:
            if peers.any(course.stop.asked):
                raise ToldToStopError("told to stop; goes on when it is started again")
            if measures and stalled(state.history, settings.patience):
                course.report(course.share(state), "the held-out error falls no more: going on")
                break
            rate = learning_rate(course.share(state), state.step)
            batch = dataset.batch((settings.seed, state.step), len(own), pool, first=own.start)
            value = train_step(state, batch, learning, rate=rate)
            loss = value if loss is None else 0.95 * loss + 0.05 * value
            state.seconds = clock()
            row: dict[str, Any] = {
                "seconds": state.seconds,
                "step": state.step,
                "loss": loss,
                "learning_rate": settings.matrix_rate * rate,
            }
            if measures and state.seconds - validated > measure_every(settings.budget_s, cost):
                row |= _measure(course, state, index)
                validated = clock()
                cost, state.seconds = validated - state.seconds, validated
            if len(row) > 4 or state.seconds - said > min(10.0, settings.budget_s / 50):
                said = state.seconds
                state.history.append(row)
                course.report(course.share(state), _line(course, state))
            if state.seconds - saved > min(CHECKPOINT_EVERY_S, settings.budget_s / 10):
                _keep(course, state)
                saved = state.seconds
    finally:
        pool.shutdown()


def _line(course: Course, state: State) -> str:
    """What a person wants to read while waiting."""
    row = state.history[-1]
    text = f"step {state.step}  loss {row['loss']:.2f}"
    measured = [r for r in state.history if "validation_curves_px" in r]
    if measured:
        for name in ("tracks", "curves"):
            value = measured[-1][f"validation_{name}_px"]
            text += f"  held-out {name} " + ("unknown" if value is None else f"{value:.2f} px")
    return f"{text}  {_clock(state.budget_s(course.settings) - state.seconds)} left"
