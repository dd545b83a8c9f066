"""``laikaroto jobs list``: which jobs, how far, how old, how long still."""

from __future__ import annotations

import fnmatch
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from laikaroto.cli.columns import bar, clock, columns, rough
from laikaroto.config import parse_duration
from laikaroto.errors import UsageError
from laikaroto.farm.engine import JobState, JobStatus, TaskState, Total

HEAD = ("job", "state", "prio", "tasks", "done", "age", "left", "submitted", "user", "why")
_RECENT = 30
_URGENCY = ("running", "failed", "blocked", "ready", "paused", "waiting", "cancelled", "succeeded")
Means = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs; empty fields let all through. ``shot`` is a pattern as ``ev1*``."""

    states: tuple[str, ...] = ()
    kind: str | None = None
    character: str | None = None
    shot: str | None = None
    user: str | None = None
    since: float | None = None

    @property
    def empty(self) -> bool:
        """True if it lets everything through."""
        return self == Filter()

    def lets(self, job: JobStatus) -> bool:
        """Whether a job is wanted."""
        touched = max(job.submitted, job.started or 0.0, job.ended or 0.0)
        return (
            (not self.states or job.state.value in self.states)
            and self.kind in (None, job.kind)
            and self.character in (None, job.parameters.get("Character"))
            and (
                self.shot is None or fnmatch.fnmatchcase(job.parameters.get("Shot", ""), self.shot)
            )
            and self.user in (None, job.user)
            and (self.since is None or job.state is JobState.RUNNING or touched >= self.since)
        )


def parse_states(texts: Iterable[str]) -> tuple[str, ...]:
    """States named one by one or with commas.

    Raises:
        UsageError: there is no such state.
    """
    found = [part.strip() for text in texts for part in text.split(",")]
    known = [state.value for state in JobState]
    for state in found:
        if state not in known:
            raise UsageError(f"--state {state!r} is not known; wanted {', '.join(known)}")
    return tuple(found)


def parse_since(text: str, now: datetime | None = None) -> float:
    """Seconds since 1970 of ``12h`` (ago), ``20:00`` (the last one) or an ISO date and time.

    Raises:
        UsageError: none of them.
    """
    now = now or datetime.now()
    try:
        return now.timestamp() - parse_duration(text)
    except UsageError:
        pass
    try:
        hour = datetime.strptime(text.strip(), "%H:%M")
        then = now.replace(hour=hour.hour, minute=hour.minute, second=0, microsecond=0)
        return then.timestamp() - (86400 if then > now else 0)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError as error:
        raise UsageError(
            f"--since {text!r} cannot be read; wanted 12h, 20:00 or 2030-01-31T20:00"
        ) from error


def recent(jobs: Sequence[JobStatus]) -> list[JobStatus]:
    """Every job that is not over, and the last of those that are."""
    last = {job.name for job in jobs[-_RECENT:]}
    return [job for job in jobs if not job.state.over or job.name in last]


def mean_durations(totals: Iterable[Total]) -> Means:
    """Mean seconds of an attempt that succeeded, by kind of job and step."""
    return {
        (total.kind, total.step): total.seconds / total.number
        for total in totals
        if total.result == "succeeded" and total.number
    }


def seconds_left(job: JobStatus, means: Means) -> float | None:
    """How long a running job has still to run if it keeps the slots it has now.

    What is left of each step, times what a task of that step took on average in this queue.
    None, rather than a guess, unless the job runs and every step left was seen to end before.
    """
    running = sum(step.counts.get(TaskState.RUNNING, 0) for step in job.steps)
    if job.state is not JobState.RUNNING or not running:
        return None
    work = 0.0
    for step in job.steps:
        left = step.total * (1.0 - step.progress)
        if left <= 0:
            continue
        if (job.kind, step.name) not in means:
            return None
        mean = means[(job.kind, step.name)]
        # tasks of a step share the slots; a step with fewer tasks than slots cannot
        work += left * mean / min(running, max(1, step.total))
    return work


def listing(jobs: Sequence[JobStatus], means: Means) -> list[str]:
    """Lines of the table."""
    now = time.time()
    rows = []
    for job in jobs:
        left = seconds_left(job, means)
        rows.append((
            job.name, job.state.value, str(job.priority), f"{job.done}/{job.total}",
            bar(job.progress), rough(now - job.submitted),
            "" if left is None else f"~{rough(left)}", clock(job.submitted), job.user, job.reason,
        ))  # fmt: skip
    return columns(HEAD, rows, state=1, spare=("user", "submitted", "prio", "left", "tasks"))


def watch(look: Callable[[], list[str]], every_s: float) -> None:
    """Show lines anew until Ctrl-C, on a terminal.

    Raises:
        UsageError: there is no terminal.
    """
    if not sys.stdout.isatty():
        raise UsageError("--watch wants a terminal; scripts use 'jobs wait' or --json")
    click.clear()
    try:
        while True:
            lines = look()
            room = max(3, shutil.get_terminal_size().lines - 2)
            if len(lines) > room:
                lines = [*lines[: room - 1], f"… {len(lines) - room + 1} more"]
            stamp = time.strftime("%H:%M:%S")
            # home, each line to its end, and what is below it: no flicker
            text = "".join(f"{line}\x1b[K\n" for line in [*lines, f"{stamp}, Ctrl-C ends"])
            click.echo(f"\x1b[H{text}\x1b[J", nl=False)
            time.sleep(every_s)
    except KeyboardInterrupt:
        click.echo()


def by_urgency(jobs: Iterable[JobStatus]) -> list[JobStatus]:
    """What runs or needs a person first: of a long list a terminal shows only the top."""
    return sorted(jobs, key=lambda job: (_URGENCY.index(job.state.value), -job.submitted))
