"""What becomes of a task, in its own words: a result record for each attempt.

A farm engine may forget a task or run it twice; the record in the job's working folder says
what really happened, whatever the engine. ``{run}/results/<step>/<task>.<attempt>.json``.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from laikaroto.errors import (
    EXIT_FAILED,
    EXIT_OK,
    LaikarotoError,
    SidecarError,
    TryAgainError,
    write_failure,
)
from laikaroto.sidecar.files import write_file

# what a machine does to a task that another run, here or elsewhere, may not meet
_PASSING = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOMEM,
        errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One attempt at a task. Times are seconds since 1970."""

    step: str
    task: str
    attempt: int
    host: str
    pid: int
    exit_code: int
    message: str
    started: float
    ended: float


def attempt_number() -> int:
    """Which attempt this process is, as the farm says; 1 outside a farm."""
    text = os.environ.get("LAIKAROTO_ATTEMPT", "1")
    return int(text) if text.isdigit() else 1


def result_path(run: Path, step: str, task: str, attempt: int) -> Path:
    """Where the record of an attempt lies."""
    return run / "results" / step / f"{task}.{attempt}.json"


def write_result(run: Path, result: TaskResult) -> Path:
    """Write a record, whole or not at all.

    Raises:
        TryAgainError: the disk refuses.
    """
    path = result_path(run, result.step, result.task, result.attempt)
    write_file(path, (json.dumps(asdict(result), indent=1) + "\n").encode())
    return path


def read_results(run: Path, step: str) -> tuple[TaskResult, ...]:
    """All records of a step, by task and attempt.

    Raises:
        SidecarError: a record is damaged.
    """
    found = []
    for path in sorted((run / "results" / step).glob("*.json")):
        try:
            found.append(TaskResult(**json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise SidecarError(f"{path}: is not a result record: {error}") from error
    return tuple(sorted(found, key=lambda result: (result.task, result.attempt)))


@contextmanager
def recorded(run: Path, *, step: str, task: str) -> Iterator[None]:
    """Run a task's body; whatever comes of it is recorded, errors go on to the caller.

    Args:
        run: the job's working folder.
        step: name of the step.
        task: what tells the task from others of its step: its frames, or ``all``.

    Raises:
        TryAgainError: in place of an OSError or MemoryError that is the machine's fault.
    """
    started = time.time()
    failure: BaseException | None = None
    try:
        try:
            yield
        except (OSError, MemoryError) as error:
            raise _passing(error) from error
    except BaseException as error:
        failure = error
        raise
    finally:
        result = TaskResult(
            step=step, task=task, attempt=attempt_number(), host=platform.node(),
            pid=os.getpid(), exit_code=_exit_code(failure), message=_message(failure),
            started=started, ended=time.time(),
        )  # fmt: skip
        try:
            write_result(run, result)
        except TryAgainError:
            if failure is None:  # else the first error matters more than its missing record
                raise


def _passing(error: OSError | MemoryError) -> BaseException:
    """The error to raise instead: TryAgainError if the machine is to blame."""
    if isinstance(error, MemoryError):
        return TryAgainError("not enough memory: free some, or give the task a larger machine")
    if error.errno in _PASSING:
        return write_failure(Path(error.filename or "a file"), error)
    return error


def _exit_code(failure: BaseException | None) -> int:
    if failure is None:
        return EXIT_OK
    return failure.exit_code if isinstance(failure, LaikarotoError) else EXIT_FAILED


def _message(failure: BaseException | None) -> str:
    if failure is None:
        return ""
    if isinstance(failure, LaikarotoError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"
