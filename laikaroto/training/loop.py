"""The training of a character, top to bottom.

The budget of wall time has two phases. In the first, whole shots are held out, and at its
end the networks are measured on them: these are the figures that a model is judged by. In
the second, the held-out shots join in, so that the model that is used has seen everything.
With one shot only there is nothing to hold out, and no figure.

The learning rate falls along a half cosine over the budget; averaged weights are what is
measured and kept. Every step's batch depends on the seed and the step alone, so a training
that was killed goes on from its last checkpoint as if nothing had been.
"""

from __future__ import annotations

import copy
import io
import math
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import torch
from torch import Tensor, nn

from laikaroto.character.template import CharacterTemplate
from laikaroto.errors import TruthError
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.files import write_file
from laikaroto.training.dataset import Batch, Dataset
from laikaroto.training.evaluate import evaluate
from laikaroto.training.losses import CurveIndex, drawing_loss, finder_loss
from laikaroto.training.muon import Muon
from laikaroto.training.network import Drawer, Finder, hidden_matrices
from laikaroto.training.validate import HeldOut, as_rotos, predict_held_out, refine_held_out

Report = Callable[[float, str], None]

CHECKPOINT_EVERY_S = 45.0
VALIDATE_SHARE = 0.08  # of the budget, between two validations
WARM_UP_STEPS = 60
AVERAGE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a training is told.

    budget_s: wall time, all attempts together; held_out: shots kept for measuring in the
    first phase, which takes ``held_out_share`` of the budget.
    """

    budget_s: float
    seed: int
    training_shots: tuple[str, ...]
    held_out: tuple[str, ...]
    crop_px: int
    finder_size: tuple[int, int]
    held_out_share: float = 0.4
    batch: int = 8
    matrix_rate: float = 0.02
    other_rate: float = 2e-3


@dataclass(slots=True)
class State:
    """All that changes while training; what a checkpoint holds."""

    drawer: Drawer
    finder: Finder
    average_drawer: Drawer
    average_finder: Finder
    optimizers: tuple[torch.optim.Optimizer, ...]
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    error_scale: float | None = None
    measured_at_s: float | None = None

    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {
            "drawer": self.drawer,
            "finder": self.finder,
            "average_drawer": self.average_drawer,
            "average_finder": self.average_finder,
        }


def new_state(settings: Settings, dataset: Dataset) -> State:
    """Fresh networks and optimisers, seeded."""
    torch.manual_seed(settings.seed)
    drawer = Drawer(
        dataset.tracks, dataset.mean_xy(), dataset.mean_tangents(), size=settings.crop_px
    )
    finder = Finder()
    for network in (drawer, finder):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = [hidden_matrices(network) for network in (drawer, finder)]
    matrices = [parameter for hidden, _ in parts for parameter in hidden]
    others = [parameter for _, rest in parts for parameter in rest]
    optimizers = (
        Muon(matrices, settings.matrix_rate, bfloat16=has_fast_bfloat16()),
        torch.optim.AdamW(others, settings.other_rate, weight_decay=1e-2),
    )
    return State(drawer, finder, copy.deepcopy(drawer), copy.deepcopy(finder), optimizers)


def use_threads() -> int:
    """Let torch use the CPUs this task was given (OMP_NUM_THREADS), or all; their number."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    count = int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    cv2.setNumThreads(1)
    return count


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; elsewhere it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _save(path: Path, data: dict[str, Any]) -> None:
    """Write tensors and plain values to a file, whole or not at all."""
    stream = io.BytesIO()
    torch.save(data, stream)
    write_file(path, stream.getvalue())


def write_checkpoint(path: Path, state: State) -> None:
    """Write everything a resumed training needs.

    Raises:
        TryAgainError: the disk refuses; the former checkpoint is intact.
    """
    data = {
        "modules": {name: module.state_dict() for name, module in state.modules().items()},
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "step": state.step,
        "seconds": state.seconds,
        "history": state.history,
        "error_scale": state.error_scale,
        "measured_at_s": state.measured_at_s,
    }
    _save(path, data)


def read_checkpoint(path: Path, state: State) -> bool:
    """Go on from a checkpoint, if there is one; only plain tensors and numbers are accepted.

    Raises:
        TruthError: it is damaged, or of a network for other points.
    """
    if not path.is_file():
        return False
    try:
        with ZipFile(path) as archive:
            if broken := archive.testzip():
                raise BadZipFile(f"checksum of {broken} differs")
        data = torch.load(path, weights_only=True, map_location="cpu")
        _restore(state, data)
    except (OSError, BadZipFile, zlib.error, RuntimeError, KeyError, ValueError) as error:
        raise TruthError(
            f"{path}: cannot be gone on from: {str(error).splitlines()[0]}; remove "
            f"{path.parent} to start this training anew"
        ) from error
    return True


def _restore(state: State, data: Mapping[str, Any]) -> None:
    for name, module in state.modules().items():
        module.load_state_dict(data["modules"][name])
    for optimizer, saved in zip(state.optimizers, data["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    state.step, state.seconds = data["step"], data["seconds"]
    state.history = data["history"]
    state.error_scale, state.measured_at_s = data["error_scale"], data["measured_at_s"]


def load_weights(state: State, weights: Mapping[str, Tensor]) -> int:
    """Warm start: take over every weight that fits by name and shape; how many did."""
    taken = 0
    for part, modules in (
        ("drawer", (state.drawer, state.average_drawer)),
        ("finder", (state.finder, state.average_finder)),
    ):
        own = modules[0].state_dict()
        fitting = {
            name: weights[f"{part}.{name}"]
            for name, value in own.items()
            if f"{part}.{name}" in weights and weights[f"{part}.{name}"].shape == value.shape
        }
        for module in modules:
            module.load_state_dict(fitting, strict=False)
        taken += len(fitting)
    return taken


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


def train_step(
    state: State, batch: Batch, index: CurveIndex, *, bfloat16: bool, rate: float
) -> float:
    """One step of both networks at ``rate`` of the full learning rate; the drawer's loss."""
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("full_lr", group["lr"]) * rate
        optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        drawing = state.drawer(batch.crops, batch.starts)
        seen = state.finder(batch.wholes)
    loss, _ = drawing_loss(drawing, batch.targets, index)
    found = finder_loss(seen, batch.centres, batch.sides, batch.present)
    (loss + found).backward()  # type: ignore[no-untyped-call]
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    _average(state.average_drawer, state.drawer, state.step)
    _average(state.average_finder, state.finder, state.step)
    return float(loss.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Everything fixed during one training."""

    settings: Settings
    dataset: Dataset
    template: CharacterTemplate
    plates: Mapping[str, PlateInfo]
    folder: Path
    report: Report

    @property
    def checkpoint(self) -> Path:
        """Where the training can go on from."""
        return self.folder / "checkpoint.pt"

    def share(self, state: State) -> float:
        """How much of the budget is used, 0-1."""
        return min(1.0, state.seconds / self.settings.budget_s)

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


def _finish_held_out(course: Course, state: State, index: CurveIndex) -> None:
    """End of the first phase: measure, calibrate, keep the predictions for the report."""
    began = time.monotonic()
    held_out = course.measure(state, index)
    state.error_scale = held_out.error_scale()
    state.measured_at_s = state.seconds
    state.seconds += time.monotonic() - began
    _save(
        course.folder / "held_out.pt",
        {
            "values": torch.from_numpy(held_out.values),
            "visible": torch.from_numpy(held_out.visible),
            "expected": torch.from_numpy(held_out.expected),
            "actual": torch.from_numpy(held_out.actual),
            "rows": [[example.shot, example.frame] for example in held_out.examples],
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How an attempt begins: from a checkpoint or not, with how many weights of another model."""

    resumed: bool
    step: int
    seconds: float
    threads: int
    taken: int


def train(
    course: Course,
    *,
    init_weights: Mapping[str, Tensor] | None = None,
    on_start: Callable[[Start], None] | None = None,
) -> State:
    """Train until the budget is used; go on from the checkpoint in ``course.folder``.

    Args:
        course: data, settings and folder.
        init_weights: weights of an earlier package for a warm start.
        on_start: told how this attempt begins.

    Raises:
        TruthError: nothing to learn from.
        TryAgainError: the disk refuses a checkpoint.
    """
    settings = course.settings
    if not course.dataset.examples:
        raise TruthError("there is no frame to learn from; import ground truth first")
    threads = use_threads()
    index = CurveIndex.of(course.template)
    state = new_state(settings, course.dataset)
    resumed = read_checkpoint(course.checkpoint, state)
    taken = 0 if init_weights is None or resumed else load_weights(state, init_weights)
    if on_start is not None:
        start = Start(
            resumed=resumed,
            step=state.step,
            seconds=state.seconds,
            threads=threads,
            taken=taken,
        )
        on_start(start)
    phases: Sequence[tuple[float, Dataset]] = [(1.0, course.dataset)]
    if settings.held_out:
        kept = [shot for shot in settings.training_shots if shot not in settings.held_out]
        phases = [(settings.held_out_share, course.dataset.of_shots(kept)), (1.0, course.dataset)]
    for end, dataset in phases:
        if state.seconds < end * settings.budget_s:
            _run_phase(course, state, index, dataset, end)
        if end < 1.0 and state.error_scale is None:
            _finish_held_out(course, state, index)
            write_checkpoint(course.checkpoint, state)
    write_checkpoint(course.checkpoint, state)
    return state


def _run_phase(
    course: Course, state: State, index: CurveIndex, dataset: Dataset, end: float
) -> None:
    """Train on one data set until ``end`` of the budget."""
    settings, bfloat16 = course.settings, has_fast_bfloat16()
    # Pictures are varied by all threads, then learned from by all threads. A thread that works
    # ahead would take a core from torch, whose threads wait for one another thousands of times.
    pool = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="batch")
    began, before = time.monotonic(), state.seconds
    saved = validated = said = state.seconds
    loss = None
    measures = end < 1.0
    try:
        while course.share(state) < end:
            half_cosine = 0.5 + 0.5 * math.cos(math.pi * course.share(state))
            rate = max(half_cosine, 0.01) * min(1.0, (state.step + 1) / WARM_UP_STEPS)
            batch = dataset.batch((settings.seed, state.step), settings.batch, pool)
            value = train_step(state, batch, index, bfloat16=bfloat16, rate=rate)
            loss = value if loss is None else 0.95 * loss + 0.05 * value
            state.seconds = before + time.monotonic() - began
            row: dict[str, Any] = {
                "seconds": state.seconds,
                "step": state.step,
                "loss": loss,
                "learning_rate": settings.matrix_rate * rate,
            }
            if measures and state.seconds - validated > VALIDATE_SHARE * settings.budget_s:
                tracks, curves = _errors(course, course.measure(state, index))
                row |= {"validation_tracks_px": tracks, "validation_curves_px": curves}
                validated = state.seconds = before + time.monotonic() - began
            if len(row) > 4 or state.seconds - said > min(10.0, settings.budget_s / 50):
                said = state.seconds
                state.history.append(row)
                course.report(course.share(state), _line(course, state))
            if state.seconds - saved > min(CHECKPOINT_EVERY_S, settings.budget_s / 10):
                write_checkpoint(course.checkpoint, state)
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
    return f"{text}  {_clock(course.settings.budget_s - state.seconds)} left"
