"""Finding the log of a task, the same for every engine that keeps them in its state folder."""

from __future__ import annotations

from pathlib import Path

from laikaroto.errors import FarmError
from laikaroto.farm.engine import JobStatus, TaskRef
from laikaroto.farm.places import log_file


def read_log(state: Path, status: JobStatus, task: TaskRef, attempt: int | None) -> str:
    """What a task printed; arguments and errors as of ``find_log``."""
    path = find_log(state, status, task, attempt)
    return path.read_text(encoding="utf-8", errors="replace")


def find_log(state: Path, status: JobStatus, task: TaskRef, attempt: int | None) -> Path:
    """The file with what a task printed.

    Args:
        state: the queue's state folder.
        status: of the job, with its tasks.
        task: which; without an index the first of its step.
        attempt: which one; None for the last.

    Raises:
        FarmError: there is no such task, or that attempt never started.
    """
    job = status.name
    found = [
        known
        for step in status.steps
        for known in step.tasks
        if step.name == task.step and known.index == (task.index or 0)
    ]
    if not found:
        raise FarmError(
            f"job {job!r} has no task {str(task)!r}; 'laikaroto jobs show {job}' lists them"
        )
    number = found[0].attempt if attempt is None else attempt
    path = log_file(state, job, task.step, found[0].index, number)
    if not path.is_file():
        raise FarmError(
            f"job {job!r}: task {task} has no log of attempt {number}; "
            f"it was started {found[0].attempt} times"
        )
    return path
