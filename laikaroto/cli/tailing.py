"""``laikaroto jobs logs --follow``: what tasks print, as they print it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

from laikaroto.cli.columns import hosts
from laikaroto.errors import FarmError
from laikaroto.farm.engine import Engine, JobStatus, TaskRef, TaskState, TaskStatus

_READ_S = 0.3  # between looks into the files
_ASK_S = 1.5  # between questions which tasks run: some farms answer slowly
_AT_ONCE = 1 << 20  # bytes of one file at a time


@dataclass(slots=True)
class Tail:
    """A log that is being read: where it is, how far, and what has no line end yet."""

    path: Path
    title: str
    place: int = 0
    rest: bytes = b""

    def lines(self) -> list[str]:
        """Whole lines that were added since the last look."""
        with self.path.open("rb") as stream:
            stream.seek(self.place)
            data = stream.read(_AT_ONCE)
        self.place += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in whole]


def follow(engine: Engine, job: str, wanted: TaskRef | None) -> None:
    """Print what the tasks of a job say until it is over.

    Tasks that are tried again go on with the log of the new attempt. Lines begin with the name
    of their task where several may speak.

    Args:
        engine: its queue.
        job: its name.
        wanted: only this task, until it has ended; None: those that run now or start later.

    Raises:
        FarmError: the farm keeps logs elsewhere, or has no such task.
    """
    started_at = time.time()
    tails: dict[tuple[str, int, int], Tail] = {}
    while True:
        status = engine.status(job)
        for task in _speakers(status, wanted, started_at):
            number = (task.step, task.index, task.attempt)
            if number not in tails and (tail := _open(engine, status, task)) is not None:
                tails[number] = tail
                click.echo(f"==== {tail.title}, attempt {task.attempt}, {hosts(task)}", err=True)
        over = _over(status, wanted)
        end = time.monotonic() + _ASK_S
        while True:
            spoke = [_say(tail, alone=wanted is not None) for tail in tails.values()]
            if over and not any(spoke):
                return
            if not over and time.monotonic() > end:
                break
            if not any(spoke):
                time.sleep(_READ_S)


def _speakers(status: JobStatus, wanted: TaskRef | None, since: float) -> list[TaskStatus]:
    tasks = [task for step in status.steps for task in step.tasks]
    if wanted is not None:
        found = [t for t in tasks if t.step == wanted.step and wanted.index in (None, t.index)]
        if not found:
            raise FarmError(
                f"job {status.name!r} has no task {str(wanted)!r}; "
                f"'laikaroto jobs show {status.name}' lists them"
            )
        return [task for task in found if task.attempt]
    return [
        task for task in tasks
        if task.attempt and (task.state is TaskState.RUNNING or (task.started or 0) >= since)
    ]  # fmt: skip


def _open(engine: Engine, status: JobStatus, task: TaskStatus) -> Tail | None:
    """The log of a task's last attempt; None while there is no file yet."""
    ref = TaskRef(step=task.step, index=task.index)
    try:
        return Tail(engine.log_file(status, ref), str(ref))
    except FarmError:
        if task.state is TaskState.RUNNING and (engine.state / "jobs" / status.name).is_dir():
            return None  # it is about to be opened
        raise


def _say(tail: Tail, *, alone: bool) -> bool:
    lines = tail.lines()
    for line in lines:
        click.echo(line if alone else f"{tail.title} | {line}")
    return bool(lines)


def _over(status: JobStatus, wanted: TaskRef | None) -> bool:
    if wanted is None:
        return status.state.over
    ended = (TaskState.SUCCEEDED, TaskState.SKIPPED, TaskState.FAILED, TaskState.CANCELLED)
    tasks = [
        task for step in status.steps for task in step.tasks
        if task.step == wanted.step and wanted.index in (None, task.index)
    ]  # fmt: skip
    return all(task.state in ended for task in tasks)
