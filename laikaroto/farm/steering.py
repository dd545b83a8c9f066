"""What people want of a job after its submission, and what the job is, as files.

``job.json``
    written once, at submission: settings, steps, tasks, the digest of the bundle (``Card``);
``steering.json``
    replaced under the job's lock: paused, priority, what was cancelled, skipped, retried.

An engine without a database of its own brings the farm in line with these, and tasks look at
them before they start.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from laikaroto.errors import ConfigError, FarmError, SidecarError, write_failure
from laikaroto.farm.bundle import Bundle, JobSettings
from laikaroto.farm.engine import TaskRef
from laikaroto.farm.places import OWNER_ONLY, job_folder
from laikaroto.farm.plan import JobOutline, Requirements, StepPlan
from laikaroto.farm.records import read_json, replace_file, write_once
from laikaroto.frames import format_frames, parse_frames

_NOTHING: Mapping[str, frozenset[int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A submitted job. The last three are settings of its queue at submission."""

    settings: JobSettings
    parameters: Mapping[str, str]
    steps: tuple[StepPlan, ...]
    digest: str
    submitted: float
    threads: int
    timeout_s: float
    stop_before_s: float

    def step(self, name: str) -> StepPlan:
        """One step by name; KeyError if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)


def new_card(
    bundle: Bundle, plan: JobOutline, *, digest: str, threads: int, timeout_s: float,
    stop_before_s: float = 60.0,
) -> Card:  # fmt: skip
    """The card of a job that is submitted now."""
    return Card(
        settings=bundle.settings,
        parameters={name: str(value) for name, value in bundle.parameters.items()},
        steps=plan.steps,
        digest=digest,
        submitted=time.time(),
        threads=threads,
        timeout_s=timeout_s,
        stop_before_s=stop_before_s,
    )


def card_to_dict(card: Card) -> dict[str, Any]:
    """Plain values for JSON; ``card_from_dict`` reads them back."""
    return {
        "schema": "laikaroto.job/1",
        "settings": card.settings.model_dump(mode="json"),
        "parameters": dict(card.parameters),
        "steps": [
            {
                "name": step.name, "needs": list(step.needs), "cpus": step.requirements.cpus,
                "memory_mib": step.requirements.memory_mib, "nodes": step.requirements.nodes,
                "tasks": [dict(task) for task in step.tasks],
            }
            for step in card.steps
        ],
        "digest": card.digest, "submitted": card.submitted, "threads": card.threads,
        "timeout_s": card.timeout_s, "stop_before_s": card.stop_before_s,
    }  # fmt: skip


def card_from_dict(data: Mapping[str, Any], *, where: str) -> Card:
    """The card that ``card_to_dict`` made these values of.

    Raises:
        SidecarError: they are damaged; ``where`` is how the message calls them.
    """
    try:
        return Card(
            settings=JobSettings.model_validate(data["settings"]),
            parameters=data["parameters"],
            steps=tuple(_step(step) for step in data["steps"]),
            digest=data["digest"], submitted=data["submitted"], threads=data["threads"],
            timeout_s=data["timeout_s"], stop_before_s=data["stop_before_s"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise SidecarError(f"{where}: is damaged: {error!r}") from error


def write_card(folder: Path, card: Card, *, flush: bool = True) -> None:
    """Write ``job.json`` into a new job folder; ``flush`` as of ``write_bundle``."""
    write_once(folder / "job.json", card_to_dict(card), flush=flush)


def read_card(state: Path, job: str, *, queue: str = "") -> Card:
    """Read ``job.json`` of a job.

    Raises:
        FarmError: there is no such job.
        SidecarError: it is damaged.
    """
    path = job_folder(state, job) / "job.json"
    try:
        data = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FarmError(
            f"job {job!r} is not in queue {queue!r}; 'laikaroto jobs list' shows all"
        ) from error
    return card_from_dict(data, where=str(path))


def _step(data: Mapping[str, Any]) -> StepPlan:
    return StepPlan(
        name=data["name"],
        needs=tuple(data["needs"]),
        requirements=Requirements(
            cpus=data["cpus"], memory_mib=data["memory_mib"], nodes=data.get("nodes", 1)
        ),  # jobs of former versions do not say on how many hosts
        tasks=tuple(data["tasks"]),
    )


# ---- steering ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What is wanted of a job. Tasks are named by step and index.

    ``ended``: a person cancelled the job. ``since``: attempts of a task up to this number do
    not count any more, because it was retried.
    """

    priority: int
    paused: bool = False
    ended: bool = False
    cancelled: Mapping[str, frozenset[int]] = field(default_factory=lambda: _NOTHING)
    skipped: Mapping[str, frozenset[int]] = field(default_factory=lambda: _NOTHING)
    since: Mapping[str, Mapping[int, int]] = field(default_factory=lambda: MappingProxyType({}))

    def is_cancelled(self, step: str, index: int) -> bool:
        """True if a person cancelled the task."""
        return index in self.cancelled.get(step, ())

    def is_skipped(self, step: str, index: int) -> bool:
        """True if a person skipped the task."""
        return index in self.skipped.get(step, ())

    def counted_since(self, step: str, index: int) -> int:
        """Attempts of the task up to this number do not count."""
        return self.since.get(step, {}).get(index, 0)

    def with_skipped(self, tasks: Sequence[tuple[str, int]]) -> Steering:
        """The same, with these tasks skipped."""
        return replace(
            self, skipped=_joined(self.skipped, tasks), cancelled=_without(self.cancelled, tasks)
        )

    def with_cancelled(self, tasks: Sequence[tuple[str, int]]) -> Steering:
        """The job is over, and these tasks of it never run."""
        return replace(self, ended=True, cancelled=_joined(self.cancelled, tasks))

    def with_retried(self, tasks: Mapping[tuple[str, int], int]) -> Steering:
        """These tasks are run again; with each the number of its last attempt."""
        since = {step: dict(found) for step, found in self.since.items()}
        for (step, index), number in tasks.items():
            since.setdefault(step, {})[index] = number
        return replace(
            self, ended=False, since=since, cancelled=_without(self.cancelled, list(tasks))
        )


def _joined(
    found: Mapping[str, frozenset[int]], tasks: Sequence[tuple[str, int]]
) -> dict[str, frozenset[int]]:
    steps = {*found, *(step for step, _ in tasks)}
    return {s: found.get(s, frozenset()) | {i for step, i in tasks if step == s} for s in steps}


def _without(
    found: Mapping[str, frozenset[int]], tasks: Sequence[tuple[str, int]]
) -> dict[str, frozenset[int]]:
    return {s: indices - {i for step, i in tasks if step == s} for s, indices in found.items()}


def write_steering(folder: Path, steering: Steering, *, flush: bool = True) -> None:
    """Write ``steering.json``; the caller holds the job's lock. ``flush``: ``write_bundle``."""
    replace_file(
        folder / "steering.json",
        {
            "priority": steering.priority, "paused": steering.paused, "ended": steering.ended,
            "cancelled": {s: format_frames(list(i)) for s, i in steering.cancelled.items() if i},
            "skipped": {s: format_frames(list(i)) for s, i in steering.skipped.items() if i},
            "since": {s: {str(k): v for k, v in i.items()} for s, i in steering.since.items()},
        },
        flush=flush,
    )  # fmt: skip


def read_steering(state: Path, job: str) -> Steering:
    """Read ``steering.json`` of a job.

    Raises:
        SidecarError: it is damaged or missing.
    """
    path = job_folder(state, job) / "steering.json"
    try:
        data = read_json(path)
        return Steering(
            priority=data["priority"], paused=data["paused"], ended=data["ended"],
            cancelled={s: frozenset(parse_frames(r)) for s, r in data["cancelled"].items()},
            skipped={s: frozenset(parse_frames(r)) for s, r in data["skipped"].items()},
            since={s: {int(k): v for k, v in i.items()} for s, i in data["since"].items()},
        )  # fmt: skip
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise SidecarError(f"{path}: is damaged or missing: {error!r}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits for it. Holds between hosts where the file system has locks.

    Raises:
        TryAgainError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise write_failure(path, error) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def pick_tasks(card: Card, refs: Sequence[TaskRef]) -> list[tuple[str, int]]:
    """Step and index of every task that ``refs`` name; of all if there are none.

    Raises:
        FarmError: the job has no such task.
    """
    every = [(step.name, index) for step in card.steps for index in range(len(step.tasks))]
    if not refs:
        return every
    picked: dict[tuple[str, int], None] = {}
    for ref in refs:
        found = [(s, i) for s, i in every if s == ref.step and ref.index in (None, i)]
        if not found:
            raise FarmError(
                f"job {card.settings.name!r} has no task {str(ref)!r}; "
                f"'laikaroto jobs show {card.settings.name}' lists them"
            )
        picked.update(dict.fromkeys(found))
    return list(picked)
