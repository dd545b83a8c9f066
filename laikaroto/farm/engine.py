"""What every farm engine can do, and the records it answers with.

One job is one bundle (``farm.bundle``): steps that depend on each other, each cut into tasks.
The command line knows only this interface; Slurm, OpenCue or Deadline are further engines
behind it (``farm.engines`` says how to add one). A job is known by its name, chosen at
submission, because engines number jobs in their own ways and reuse numbers.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from laikaroto.errors import FarmError
from laikaroto.farm.bundle import Bundle


class TaskState(StrEnum):
    """Where one task stands."""

    WAITING = "waiting"  # for other steps or jobs
    READY = "ready"  # may start as soon as a slot is free
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # a person said: go on without it
    CANCELLED = "cancelled"

    @property
    def done(self) -> bool:
        """True if what depends on the task may go on."""
        return self in (TaskState.SUCCEEDED, TaskState.SKIPPED)


class JobState(StrEnum):
    """Where a job stands; see ``JobStatus.reason`` for why."""

    WAITING = "waiting"  # for another job, or for its not-before time
    READY = "ready"  # may start as soon as a slot is free
    RUNNING = "running"
    PAUSED = "paused"  # running tasks go on, no new ones start
    BLOCKED = "blocked"  # cannot go on before a person does something about another job
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """True if nothing more happens by itself."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.BLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRef:
    """One task of a job, or all tasks of a step when ``index`` is None."""

    step: str
    index: int | None = None

    def __str__(self) -> str:
        """``predict/3``, or ``predict`` for the whole step."""
        return self.step if self.index is None else f"{self.step}/{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One task. Times are seconds since 1970; ``exit_code`` is negative for a signal."""

    step: str
    index: int
    state: TaskState
    parameters: Mapping[str, str]
    attempt: int
    host: str | None
    started: float | None
    ended: float | None
    exit_code: int | None
    progress: float | None
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "step": self.step, "index": self.index, "state": self.state.value,
            "parameters": dict(self.parameters), "attempt": self.attempt, "host": self.host,
            "started": self.started, "ended": self.ended, "exit_code": self.exit_code,
            "progress": self.progress, "message": self.message,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """One step: how many tasks are in which state, and the tasks when they were asked for."""

    name: str
    needs: tuple[str, ...]
    counts: Mapping[TaskState, int]
    progress: float
    tasks: tuple[TaskStatus, ...] = ()

    @property
    def total(self) -> int:
        """Number of tasks."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Number of tasks that need not run any more."""
        return sum(number for state, number in self.counts.items() if state.done)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name, "needs": list(self.needs), "progress": self.progress,
            "counts": {state.value: number for state, number in self.counts.items()},
            "tasks": [task.to_dict() for task in self.tasks],
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One job. ``reason`` says in words why it waits, failed or cannot go on."""

    name: str
    queue: str
    kind: str
    state: JobState
    reason: str
    show: str
    user: str
    priority: int
    attempts: int
    not_before: float | None
    submitted: float
    started: float | None
    ended: float | None
    needs: tuple[str, ...] = ()
    steps: tuple[StepStatus, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def total(self) -> int:
        """Number of tasks of all steps."""
        return sum(step.total for step in self.steps)

    @property
    def done(self) -> int:
        """Number of tasks that need not run any more."""
        return sum(step.done for step in self.steps)

    @property
    def progress(self) -> float:
        """Share of the job that is done, 0-1; every task counts the same."""
        return sum(step.progress * step.total for step in self.steps) / max(1, self.total)

    def tasks(self, state: TaskState) -> tuple[TaskStatus, ...]:
        """The tasks in one state, in the order of the steps."""
        return tuple(task for step in self.steps for task in step.tasks if task.state is state)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name, "queue": self.queue, "kind": self.kind, "state": self.state.value,
            "reason": self.reason, "show": self.show, "user": self.user,
            "priority": self.priority, "attempts": self.attempts, "not_before": self.not_before,
            "submitted": self.submitted, "started": self.started, "ended": self.ended,
            "needs": list(self.needs), "done": self.done, "total": self.total,
            "progress": self.progress, "parameters": dict(self.parameters),
            "steps": [step.to_dict() for step in self.steps],
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """Answer to a submission. ``existing``: an active job with the same key was there already."""

    job: str
    existing: bool


class Engine(ABC):
    """One queue of one farm.

    Every method that names a job raises FarmError if there is none of that name. Methods that
    change something return once the farm has taken it over, not once it has happened: a
    cancelled task may need a moment to die.
    """

    name: str
    """Name of the queue."""

    state: Path
    """Folder of the engine's own files, closed to other users."""

    @property
    @abstractmethod
    def cpus(self) -> int:
        """CPUs that one task may use at most; jobs that can use them all ask for so many."""

    @property
    def all_cpus(self) -> int:
        """CPUs of the whole queue: tells how many large tasks may run side by side.

        An engine that cannot know says what one task may use: then one at a time is counted on.
        """
        return self.cpus

    @abstractmethod
    def submit(self, bundle: Bundle) -> Submitted:
        """Queue a job; the engine writes and keeps the bundle.

        A job whose idempotency key is that of a job still active is not queued again; the
        active one is returned.

        Raises:
            ConfigError: the bundle is malformed.
            FarmError: it asks for what this farm has not (hostRequirements, unknown upstream
                job).
        """

    @abstractmethod
    def jobs(self) -> tuple[JobStatus, ...]:
        """All jobs, oldest first, with counts for each step but without their tasks."""

    @abstractmethod
    def status(self, job: str) -> JobStatus:
        """One job with all its tasks."""

    @abstractmethod
    def log(self, job: str, task: TaskRef, *, attempt: int | None = None) -> str:
        """What a task printed.

        Args:
            job: name of the job.
            task: with its index.
            attempt: which one; None for the last.

        Raises:
            FarmError: that attempt never started.
        """

    @abstractmethod
    def cancel(self, job: str) -> None:
        """End a job for good: running tasks are killed, the others never start."""

    @abstractmethod
    def pause(self, job: str) -> None:
        """Start no more tasks of a job; running ones go on."""

    @abstractmethod
    def resume(self, job: str) -> None:
        """Undo ``pause``."""

    @abstractmethod
    def set_priority(self, job: str, priority: int) -> None:
        """Change the priority, 0-100, of tasks that have not started yet."""

    @abstractmethod
    def retry(self, job: str, tasks: Sequence[TaskRef] = ()) -> int:
        """Run failed and cancelled tasks again, with a fresh set of attempts.

        Args:
            job: name of the job; jobs that depend on it are freed by its success.
            tasks: which; none means all failed and cancelled ones.

        Returns:
            How many tasks will run again.
        """

    @abstractmethod
    def skip(self, job: str, tasks: Sequence[TaskRef]) -> int:
        """Go on as if these tasks had succeeded ("eat"); a running one is killed first."""

    def obstacle(self) -> str:
        """What a person has to do before any job of this queue can run; '' if nothing."""
        return ""

    def verify(self) -> int:
        """Submit again what the farm has lost of active jobs; returns how many tasks.

        Only farms that may lose what they acknowledged need it.
        """
        return 0

    def wait(
        self,
        jobs: Sequence[str],
        *,
        watch: Callable[[JobStatus], None] = lambda status: None,
        poll_s: float = 0.3,
        timeout_s: float | None = None,
    ) -> tuple[JobStatus, ...]:
        """Wait until nothing more happens to these jobs by itself.

        Args:
            jobs: their names.
            watch: called with each job's status at every look.
            poll_s: time between looks, in seconds.
            timeout_s: give up after so long; None for never.

        Returns:
            The last status of each, in the order of ``jobs``.

        Raises:
            FarmError: the time is up.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = tuple(self.status(job) for job in jobs)
            for status in found:
                watch(status)
            if all(status.state.over for status in found):
                return found
            if end is not None and time.monotonic() > end:
                slow = ", ".join(f"{s.name} ({s.state.value})" for s in found if not s.state.over)
                raise FarmError(f"not over after {timeout_s:g} s: {slow}")
            time.sleep(poll_s)
