"""What a training is told, all that changes while it runs, and how that is kept on disk."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import nn

from laikaroto.errors import TruthError
from laikaroto.model.arrays import load_arrays, write_arrays
from laikaroto.sidecar.files import write_file
from laikaroto.training.dataset import Dataset
from laikaroto.training.muon import Muon
from laikaroto.training.network import Drawer, Finder, hidden_matrices


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a training is told.

    budget_s: wall time, all attempts together; held_out: shots kept for measuring in the
    first phase, which takes ``held_out_share`` of the budget; patience: measurements without
    gain that end the first phase early, None for never; augmentations, losses: probabilities
    and weights that differ from the registered ones.
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
    patience: int | None = None
    augmentations: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)


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
    measured_at_s: float | None = None

    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {
            "drawer": self.drawer,
            "finder": self.finder,
            "average_drawer": self.average_drawer,
            "average_finder": self.average_finder,
        }

    def budget_s(self, settings: Settings) -> float:
        """Wall time of the whole training: shorter in proportion if the first phase was."""
        if self.measured_at_s is None or not settings.held_out:
            return settings.budget_s
        return min(settings.budget_s, self.measured_at_s / settings.held_out_share)


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; elsewhere it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


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


def save(path: Path, data: dict[str, Any]) -> None:
    """Write tensors and plain values to a file, whole or not at all.

    Raises:
        TryAgainError: the disk refuses; a former file is intact.
    """
    stream = io.BytesIO()
    torch.save(data, stream)
    write_file(path, stream.getvalue())


def load(path: Path) -> Any:
    """What ``save`` wrote; only plain tensors and values are accepted.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        with ZipFile(path) as archive:
            if broken := archive.testzip():
                raise BadZipFile(f"checksum of {broken} differs")
        return torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # neither torch nor zipfile lists what damaged files raise
        raise ValueError((str(error).splitlines() or ["is damaged"])[0]) from error


def write_weights(path: Path, drawer: Drawer, finder: Finder) -> None:
    """Write networks as plain arrays, as a package's ``weights.npz``.

    Raises:
        TryAgainError: the disk refuses; a former file is intact.
    """
    arrays = {
        f"{part}.{name}": value.numpy()
        for part, module in (("drawer", drawer), ("finder", finder))
        for name, value in module.state_dict().items()
    }
    write_arrays(path, arrays)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """What ``write_weights`` wrote, by names that begin with ``drawer.`` or ``finder.``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    return {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}


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
        "measured_at_s": state.measured_at_s,
    }
    save(path, data)


def read_checkpoint(path: Path, state: State) -> bool:
    """Go on from a checkpoint, if there is one; only plain tensors and numbers are accepted.

    Raises:
        TruthError: it is damaged, or of a network for other points.
    """
    if not path.is_file():
        return False
    try:
        _restore(state, load(path))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
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
    state.measured_at_s = data["measured_at_s"]
