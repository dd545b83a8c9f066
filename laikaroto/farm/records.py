"""What became of each attempt at each task, as files: for engines that keep no database.

Beside the log of an attempt, ``logs/<step>/<task>.<attempt>.log``, lie

``<task>.<attempt>.claim.json``
    written when it starts: its token, host and process;
``<task>.<attempt>.progress.json``
    how far it says it is, replaced as it goes;
``<task>.<attempt>.json``
    how it ended.

Claims and endings appear whole and only once: the first to write one wins, whatever host it
runs on (a hard link is atomic, on NFS too). So a task has one current attempt, the one with the
highest number, and an attempt has one ending; a copy that lives on somewhere cannot change it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laikaroto.errors import SidecarError, write_failure
from laikaroto.farm.engine import AttemptStatus, TaskState
from laikaroto.farm.outcome import Outcome, may_succeed_later
from laikaroto.farm.places import OWNER_ONLY, job_folder, log_file

_CLAIM = re.compile(r"(\d+)\.(\d+)\.claim\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt. ``farm_id`` is what the farm calls it; times are seconds since 1970.

    ``others`` are the further hosts of a task that several work at together (``farm.nodes``).
    """

    number: int
    token: str
    host: str
    pid: int
    farm_id: str
    started: float
    ended: float | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    message: str = ""
    others: tuple[str, ...] = ()

    def status(self) -> AttemptStatus:
        """The same for people."""
        return AttemptStatus(
            number=self.number, host=self.host, started=self.started, ended=self.ended,
            outcome=self.outcome.value if self.outcome else "", exit_code=self.exit_code,
            message=self.message, others=self.others,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which task of which job of which queue."""

    state: Path
    job: str
    step: str
    index: int

    def file(self, attempt: int, ending: str) -> Path:
        """A file of one attempt: ``.claim.json``, ``.progress.json``, ``.json``, ``.log``."""
        return log_file(self.state, self.job, self.step, self.index, attempt).with_suffix(ending)

    def claim(
        self, number: int, *, token: str, host: str, farm_id: str, others: Sequence[str] = ()
    ) -> bool:
        """Begin attempt ``number``; False if somebody else has."""
        claim = {
            "token": token, "host": host, "others": list(others), "pid": os.getpid(),
            "farm_id": farm_id, "started": time.time(),
        }  # fmt: skip
        return write_once(self.file(number, ".claim.json"), claim)

    def end(self, number: int, outcome: Outcome, *, exit_code: int | None, message: str) -> bool:
        """Say how attempt ``number`` ended; False if that is said already."""
        ending = {
            "outcome": outcome.value, "exit_code": exit_code, "message": message,
            "ended": time.time(),
        }  # fmt: skip
        done = write_once(self.file(number, ".json"), ending)
        with suppress(OSError):
            self.file(number, ".progress.json").unlink(missing_ok=True)
        return done

    def superseded(self, number: int) -> bool:
        """True once a later attempt has begun, or this one was closed by somebody else."""
        folder = self.file(number, ".json").parent
        # listed, not looked up: NFS may remember for a minute that a file was not there
        names = set(os.listdir(folder))
        return not names.isdisjoint(
            {self.file(number + 1, ".claim.json").name, self.file(number, ".json").name}
        )

    def progress(self, number: int, fraction: float | None, message: str) -> None:
        """Note how far attempt ``number`` says it is; a disk that refuses does not matter."""
        with suppress(OSError):
            replace_file(
                self.file(number, ".progress.json"), {"progress": fraction, "message": message}
            )

    def read_progress(self, number: int) -> tuple[float | None, str]:
        """How far attempt ``number`` said it is."""
        try:
            found = json.loads(self.file(number, ".progress.json").read_text(encoding="utf-8"))
            return found["progress"], found["message"]
        except (OSError, ValueError, KeyError):
            return None, ""

    def attempts(self) -> tuple[Attempt, ...]:
        """All attempts at this task, oldest first."""
        return read_attempts(self.state, self.job, self.step, only=self.index).get(self.index, ())


def read_attempts(
    state: Path, job: str, step: str, *, only: int | None = None
) -> dict[int, tuple[Attempt, ...]]:
    """All attempts of a step: index of the task -> its attempts, oldest first."""
    folder = job_folder(state, job) / "logs" / step
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    found: dict[int, list[Attempt]] = defaultdict(list)
    for name in names:
        match = _CLAIM.fullmatch(name)
        if match is None or only not in (None, int(match[1])):
            continue
        claim = read_json(folder / name)
        claim["others"] = tuple(claim.get("others", ()))  # not in claims of older versions
        ending: dict[str, Any] = {}
        result = f"{match[1]}.{match[2]}.json"
        with suppress(FileNotFoundError):
            ending = read_json(folder / result)
            ending["outcome"] = Outcome(ending["outcome"])
        found[int(match[1])].append(Attempt(number=int(match[2]), **claim, **ending))
    return {
        index: tuple(sorted(attempts, key=lambda attempt: attempt.number))
        for index, attempts in found.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where the records alone see a task: READY means that it has to be run (again)."""

    state: TaskState
    tries: int
    message: str
    last: Attempt | None


def judge(attempts: Sequence[Attempt], *, since: int, allowed: int) -> Verdict:
    """What the attempts made so far mean for their task.

    Args:
        attempts: all of them, oldest first.
        since: attempts up to this number do not count any more (a person retried the task).
        allowed: how often it may be tried.
    """
    last = attempts[-1] if attempts else None
    if any(a.outcome is Outcome.EXITED and a.exit_code == 0 for a in attempts):
        done = next(a for a in attempts if a.outcome is Outcome.EXITED and a.exit_code == 0)
        return Verdict(state=TaskState.SUCCEEDED, tries=1, message=done.message, last=done)
    counted = [
        a for a in attempts if a.number > since and a.outcome not in (None, Outcome.RETURNED)
    ]
    tries = len(counted)
    if last is None or last.number <= since:
        return Verdict(state=TaskState.READY, tries=0, message="", last=last)
    state, message = _after(last, tries, allowed)
    return Verdict(state=state, tries=tries, message=message, last=last)


def _after(last: Attempt, tries: int, allowed: int) -> tuple[TaskState, str]:
    """State and message of a task whose last attempt is this one."""
    if last.outcome is None:
        return TaskState.RUNNING, ""
    if last.outcome is Outcome.CANCELLED:
        return TaskState.CANCELLED, last.message or "cancelled"
    if last.outcome is Outcome.SKIPPED:
        return TaskState.SKIPPED, last.message or "skipped by hand"
    if last.outcome is Outcome.RETURNED:
        return TaskState.READY, last.message
    if not may_succeed_later(last.outcome, last.exit_code):
        return TaskState.FAILED, last.message
    if tries >= allowed:
        return TaskState.FAILED, f"{last.message} (tried {tries} times)"
    return TaskState.READY, f"{last.message}; will be tried again"


# ---- files ---------------------------------------------------------------------------------


def write_once(path: Path, data: Mapping[str, Any], *, flush: bool = True) -> bool:
    """Write a file whole unless it is there; True if it was not.

    Args:
        path: the file.
        data: what it holds.
        flush: wait until the disk has it; who writes many calls ``os.sync`` once instead.

    Raises:
        TryAgainError: the disk refuses.
    """
    hidden = _write_hidden(path, data, flush)
    try:
        os.link(hidden, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        with suppress(OSError):
            hidden.unlink()


def replace_file(path: Path, data: Mapping[str, Any], *, flush: bool = True) -> None:
    """Write a file whole in place of what was there; ``flush`` as of ``write_once``.

    Raises:
        TryAgainError: the disk refuses.
    """
    hidden = _write_hidden(path, data, flush)
    try:
        os.replace(hidden, path)
    except OSError as error:
        raise write_failure(path, error) from error


def _write_hidden(path: Path, data: Mapping[str, Any], flush: bool) -> Path:
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(data))  # dump() would encode in Python
            if flush:
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            hidden.unlink()
        raise write_failure(path, error) from error
    return hidden


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of this module back; FileNotFoundError if there is none.

    Raises:
        SidecarError: it is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SidecarError(f"{path}: is damaged: {error}") from error
    if not isinstance(data, dict):
        raise SidecarError(f"{path}: is damaged: wanted a mapping, got {type(data).__name__}")
    return data
