"""From the states of tasks to the state of their job, in the words every engine uses."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from laikaroto.farm.engine import JobState, StepStatus, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A job that another one needs: its state, and why it is stuck itself if it is."""

    name: str
    state: JobState
    reason: str = ""

    @property
    def stuck(self) -> str:
        """Why the job that needs this one cannot go on by itself; empty if it may."""
        if self.state is JobState.CANCELLED:
            return f"job {self.name} was cancelled: retry it, or cancel this one"
        if self.state is JobState.FAILED:
            return f"job {self.name} failed: mend the cause and retry it, or cancel this one"
        return self.reason if self.state is JobState.BLOCKED else ""


def judge_job(
    steps: Sequence[StepStatus],
    *,
    upstream: Sequence[Upstream] = (),
    ended: bool = False,
    paused: bool = False,
    not_before: float | None = None,
) -> tuple[JobState, str]:
    """State of a job, and the reason in words.

    Args:
        steps: with the counts of their tasks.
        upstream: the jobs it needs.
        ended: a person cancelled it.
        paused: a person paused it.
        not_before: seconds since 1970.
    """
    total: Counter[TaskState] = Counter()
    for step in steps:
        total.update(dict(step.counts))
    problem = _problem(steps)
    running, ready = total[TaskState.RUNNING], total[TaskState.READY]
    if all(state.done for state, number in total.items() if number):
        return JobState.SUCCEEDED, ""
    if ended:
        if running:
            return JobState.RUNNING, f"being cancelled, {running} tasks still end"
        return JobState.CANCELLED, problem
    waits_for = [job for job in upstream if job.state is not JobState.SUCCEEDED]
    if not running and not ready and (total[TaskState.FAILED] or total[TaskState.CANCELLED]):
        return JobState.FAILED, problem
    if stuck := next((job.stuck for job in waits_for if job.stuck), ""):
        return JobState.BLOCKED, stuck
    if paused:
        return JobState.PAUSED, f"{running} tasks still run" if running else "paused by hand"
    if running:
        return JobState.RUNNING, problem
    if waits_for:
        return JobState.WAITING, f"for job {', '.join(job.name for job in waits_for)}"
    if not_before is not None and not_before > time.time():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(not_before))
        return JobState.WAITING, f"until {when}"
    return JobState.READY, problem or "for a free slot"


def _problem(steps: Sequence[StepStatus]) -> str:
    failed = [
        f"{step.name} ({step.counts[TaskState.FAILED]})"
        for step in steps
        if step.counts.get(TaskState.FAILED)
    ]
    return f"failed tasks: {', '.join(failed)}" if failed else ""


def step_progress(counts: Mapping[TaskState, int], partial: float) -> float:
    """Share of a step that is done, 0-1; ``partial`` adds up what running tasks say."""
    done = sum(number for state, number in counts.items() if state.done)
    return (done + partial) / max(1, sum(counts.values()))
