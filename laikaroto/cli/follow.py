"""Waiting for jobs: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from laikaroto.errors import FarmError
from laikaroto.farm.engine import Engine, JobState, JobStatus, TaskRef, TaskState

TAIL_LINES = 15
_OWN_LINES = ("openjd_progress", "openjd_status")


def wait_for(
    engine: Engine, jobs: Sequence[str], *, quiet: bool = False, timeout_s: float | None = None
) -> tuple[JobStatus, ...]:
    """Wait until jobs are over, showing how far they are.

    Args:
        engine: their queue.
        jobs: their names.
        quiet: show nothing (for ``--json``).
        timeout_s: give up after so long.

    Returns:
        Their last statuses.
    """
    with _watcher(quiet) as watch:
        return engine.wait(jobs, watch=watch, timeout_s=timeout_s)


def check_success(engine: Engine, jobs: Sequence[JobStatus]) -> None:
    """Raise FarmError unless all succeeded; the message ends with the failing tasks' logs."""
    bad = [job for job in jobs if job.state is not JobState.SUCCEEDED]
    if not bad:
        return
    parts = []
    for job in bad:
        parts.append(
            f"job {job.name} {job.state.value}" + (f": {job.reason}" if job.reason else "")
        )
        for task in job.tasks(TaskState.FAILED)[:3]:
            parts.append(f"task {task.step}/{task.index}: {task.message}")
            parts += [f"    {line}" for line in log_tail(engine, job.name, task.step, task.index)]
    parts.append(f"'laikaroto jobs show {bad[0].name}' says more; 'jobs retry' runs it again")
    raise FarmError("\n".join(parts))


def log_tail(engine: Engine, job: str, step: str, index: int) -> list[str]:
    """Last lines that a task printed, without its progress reports."""
    try:
        text = engine.log(job, TaskRef(step=step, index=index))
    except FarmError:
        return []  # it never got as far as a log
    lines = [line for line in text.splitlines() if not any(own in line for own in _OWN_LINES)]
    return lines[-TAIL_LINES:]


@contextmanager
def _watcher(quiet: bool) -> Iterator[Callable[[JobStatus], None]]:
    if quiet:
        yield lambda status: None
    elif sys.stderr.isatty():
        with _bars() as watch:
            yield watch
    else:
        yield _Lines()


class _Lines:
    """One plain line whenever a job's state, a step or a tenth of its progress changes."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[object, ...]] = {}

    def __call__(self, status: JobStatus) -> None:
        now = (status.state, status.done, status.reason, int(status.progress * 10))
        if self._said.get(status.name) == now:
            return
        self._said[status.name] = now
        click.echo(f"{status.name}: {status.state.value} {_describe(status)}", err=True)


@contextmanager
def _bars() -> Iterator[Callable[[JobStatus], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    bars: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.fields[job]}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(), TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
    ) as progress:  # fmt: skip

        def watch(status: JobStatus) -> None:
            if status.name not in bars:
                bars[status.name] = progress.add_task("", total=1.0, job=status.name, text="")
            progress.update(
                bars[status.name], completed=status.progress,
                text=f"{status.state.value} {_describe(status)}",
            )  # fmt: skip

        yield watch


def _describe(status: JobStatus) -> str:
    """Tasks done, what runs, why it waits."""
    running = [
        f"{task.step}: {task.message}" if task.message else task.step
        for task in status.tasks(TaskState.RUNNING)
    ]
    parts = [f"{status.done}/{status.total} tasks", *dict.fromkeys(running[:2])]
    if status.reason and not running:
        parts.append(status.reason)
    return ", ".join(parts)
