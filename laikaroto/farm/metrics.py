"""What a farm does, as Prometheus reads it (text exposition format 0.0.4).

Names follow Prometheus' conventions: base units, ``_total`` for what only grows. A metric that
an engine cannot tell is left out, not set to 0.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from laikaroto.errors import LaikarotoError
from laikaroto.farm.engine import Engine, JobState, JobStatus, TaskState, Total


@dataclass(slots=True)
class Family:
    """One metric: its name, type, help, and samples (suffix, labels, value)."""

    name: str
    kind: str
    about: str
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, suffix: str = "", **labels: str) -> None:
        """Add a sample."""
        self.samples.append((suffix, labels, value))

    def text(self) -> str:
        """Its lines; nothing if it has no sample."""
        if not self.samples:
            return ""
        lines = [f"# HELP {self.name} {self.about}", f"# TYPE {self.name} {self.kind}"]
        for suffix, labels, value in self.samples:
            listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"{self.name}{suffix}{{{listed}}} {value:.12g}")
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Metrics:
    """Gathers the state of queues."""

    def __init__(self) -> None:
        """Nothing is gathered yet."""
        self._up = Family("laikaroto_farm_up", "gauge", "1 if the farm of the queue starts tasks.")
        self._jobs = Family("laikaroto_jobs", "gauge", "Jobs by state.")
        self._tasks = Family("laikaroto_tasks", "gauge", "Tasks by state.")
        self._slots = Family(
            "laikaroto_slots", "gauge", "Tasks (Slurm: CPUs) that run at once at most."
        )
        self._busy = Family("laikaroto_slots_busy", "gauge", "Of these, how many are in use.")
        self._oldest = Family(
            "laikaroto_oldest_waiting_seconds", "gauge",
            "Age of the oldest job that could start and has not; 0 if there is none.",
        )  # fmt: skip
        self._attempts = Family(
            "laikaroto_attempts_total", "counter", "Ended attempts at tasks, by how they ended."
        )
        self._seconds = Family(
            "laikaroto_attempt_duration_seconds", "summary", "How long ended attempts ran."
        )

    def add(self, engine: Engine, *, engine_name: str) -> str:
        """Gather one queue; what went wrong, or ''. A farm that does not answer is down."""
        queue = engine.name
        try:
            load, jobs, totals = engine.load(), engine.jobs(), engine.totals()
        except LaikarotoError as error:
            self._up.add(0, queue=queue, engine=engine_name)
            return f"queue {queue}: {error}"
        self._up.add(int(load.runs), queue=queue, engine=engine_name)
        if load.slots is not None:
            self._slots.add(load.slots, queue=queue)
        if load.busy is not None:
            self._busy.add(load.busy, queue=queue)
        states = Counter(job.state for job in jobs)
        for state in JobState:
            self._jobs.add(states[state], queue=queue, state=state.value)
        tasks = task_counts(jobs)
        for kind in TaskState:
            self._tasks.add(tasks[kind], queue=queue, state=kind.value)
        self._oldest.add(_oldest_waiting(jobs), queue=queue)
        self._count(queue, totals)
        return ""

    def _count(self, queue: str, totals: Sequence[Total]) -> None:
        steps: dict[tuple[str, str], list[float]] = {}
        for total in totals:
            self._attempts.add(
                total.number, queue=queue, kind=total.kind, step=total.step, result=total.result
            )
            found = steps.setdefault((total.kind, total.step), [0.0, 0.0])
            found[0] += total.seconds
            found[1] += total.number
        for (kind, step), (seconds, number) in steps.items():
            self._seconds.add(seconds, "_sum", queue=queue, kind=kind, step=step)
            self._seconds.add(number, "_count", queue=queue, kind=kind, step=step)

    def text(self) -> str:
        """All of it."""
        families = (self._up, self._jobs, self._tasks, self._slots, self._busy, self._oldest,
                    self._attempts, self._seconds)  # fmt: skip
        return "".join(family.text() for family in families)


def task_counts(jobs: Iterable[JobStatus]) -> Counter[TaskState]:
    """Number of tasks of all jobs in each state."""
    found: Counter[TaskState] = Counter()
    for job in jobs:
        for step in job.steps:
            found.update(dict(step.counts))
    return found


def _oldest_waiting(jobs: Iterable[JobStatus]) -> float:
    """Age of the oldest job that could start, by when it could have started; seconds."""
    since = [
        max(job.submitted, job.not_before or 0.0) for job in jobs if job.state is JobState.READY
    ]
    return max(0.0, time.time() - min(since)) if since else 0.0
