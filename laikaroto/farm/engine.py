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
from dataclasses import asdict, dataclass, field
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
class AttemptStatus:
    """One attempt at a task. ``outcome`` is '' while it runs, else as of ``farm.outcome``.

    ``others`` are the further hosts of a task that several work at together.
    """

    number: int
    host: str
    started: float
    ended: float | None
    outcome: str
    exit_code: int | None
    message: str
    others: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One task. Times are seconds since 1970; ``exit_code`` is negative for a signal.

    ``attempts`` are all that were made, oldest first, where the farm keeps them; ``others`` as of
    ``AttemptStatus``.
    """

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
    attempts: tuple[AttemptStatus, ...] = ()
    others: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "step": self.step, "index": self.index, "state": self.state.value,
            "parameters": dict(self.parameters), "attempt": self.attempt, "host": self.host,
            "others": list(self.others), "started": self.started, "ended": self.ended,
            "exit_code": self.exit_code, "progress": self.progress, "message": self.message,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
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
class NoticeStatus:
    """Word of an end of a job. ``state``: ``waiting`` (to be sent, again), ``sent``, ``failed``."""

    end: str
    channel: str
    state: str
    tries: int
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


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
    notices: tuple[NoticeStatus, ...] = ()

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
            "notices": [notice.to_dict() for notice in self.notices],
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a farm can do at once and what of it is busy; None where it does not say.

    ``runs``: it starts tasks. ``slots``: tasks, or CPUs, that it has room for together.
    """

    runs: bool
    slots: int | None = None
    busy: int | None = None
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Ended attempts at one step of one kind of job: how many ended so, and how long they ran.

    ``result``: ``succeeded``, ``failed`` (any other exit code), or another outcome.
    """

    kind: str
    step: str
    result: str
    number: int
    seconds: float


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

    def cpus_on(self, nodes: int) -> int:
        """CPUs that a task may use on each of several hosts that work at it together."""
        return self.cpus

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

    def submit_all(self, bundles: Sequence[Bundle]) -> tuple[Submitted, ...]:
        """Queue many jobs, in this order; as ``submit``, but faster where the farm allows it.

        Raises:
            LaikarotoError: as of ``submit``; jobs before the one at fault may have been queued.
                Submitting the same again queues the rest only.
        """
        return tuple(self.submit(bundle) for bundle in bundles)

    @abstractmethod
    def jobs(self) -> tuple[JobStatus, ...]:
        """All jobs, oldest first, with counts for each step but without their tasks."""

    def names(self) -> tuple[str, ...]:
        """Names of all jobs; quicker than ``jobs`` where the farm allows it."""
        return tuple(job.name for job in self.jobs())

    @abstractmethod
    def status(self, job: str) -> JobStatus:
        """One job with all its tasks."""

    def statuses(self, jobs: Sequence[str]) -> tuple[JobStatus, ...]:
        """Several jobs with all their tasks, in this order; one look where the farm allows it."""
        return tuple(self.status(job) for job in jobs)

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

    def purge(self, jobs: Sequence[str], *, before: float) -> Mapping[str, str]:
        """Take ended jobs out of the books; what is left of them is in ``places.purged_folder``.

        Args:
            jobs: names; one that needs another comes before it.
            before: only those that ended before this time, seconds since 1970.

        Returns:
            Jobs that were kept, and why: active, needed by one that was kept, or too young.

        Raises:
            FarmError: the books of this queue are not ours alone.
        """
        raise FarmError(
            f"queue {self.name!r}: only queues of the local engine can be purged. The farm keeps "
            f"its own books of this one; a job's folder in {self.state / 'jobs'}, if there is "
            "one, may be removed once 'jobs show' says that the job is over"
        )

    def log_file(self, status: JobStatus, task: TaskRef, *, attempt: int | None = None) -> Path:
        """File that what a task prints is written to, for those who follow it.

        Args:
            status: of the job, with its tasks.
            task: with its index.
            attempt: which one; None for the last.

        Raises:
            FarmError: there is no such task or attempt, or this farm keeps logs elsewhere.
        """
        raise FarmError(f"queue {self.name!r}: logs of this farm cannot be followed")

    def load(self) -> Load:
        """Whether the farm runs, and how busy it is."""
        obstacle = self.obstacle()
        return Load(runs=not obstacle, text=obstacle)

    def totals(self) -> tuple[Total, ...]:
        """How attempts have ended so far, and how long they took; empty where nobody counts."""
        return ()

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
        found: dict[str, JobStatus] = {}
        while True:
            left = [job for job in jobs if job not in found or not found[job].state.over]
            for status in self.statuses(left):
                found[status.name] = status
                watch(status)
            slow = [found[job] for job in left if not found[job].state.over]
            if not slow and len(left) < len(found):  # a blocked one may have been freed since
                found.update((status.name, status) for status in self.statuses(jobs))
                slow = [status for status in found.values() if not status.state.over]
            if not slow:
                return tuple(found[job] for job in jobs)
            if end is not None and time.monotonic() > end:
                listed = ", ".join(f"{status.name} ({status.state.value})" for status in slow[:10])
                many = f"{len(slow)} jobs, such as " if len(slow) > 10 else ""
                raise FarmError(f"not over after {timeout_s:g} s: {many}{listed}")
            time.sleep(poll_s)
