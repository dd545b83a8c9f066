"""Jobs that are over, remembered: listing thousands of them must not read all their records.

``seen.json`` of a queue whose books are files holds, for each job that its own records show to
be over, its status and how its attempts ended. What can change such a job is a person only, and
that replaces its ``steering.json``: an entry is good as long as that file is the same. The file
is a cache; removing it costs a slow listing, and the counts of jobs that were cleared away.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from laikaroto.errors import LaikarotoError
from laikaroto.farm.engine import JobState, JobStatus, StepStatus, TaskState, Total
from laikaroto.farm.outcome import result_of
from laikaroto.farm.places import job_folder
from laikaroto.farm.records import read_json, replace_file
from laikaroto.farm.view import Attempts

_SCHEMA = "laikaroto.seen/1"
_WORTH_WRITING = 50  # the file is written anew once this share (1/50) of it is new


class Seen:
    """The jobs of a queue that are known to be over."""

    def __init__(self, state: Path) -> None:
        """Read what is remembered.

        Args:
            state: the queue's state folder.
        """
        self._state = state
        self._path = state / "seen.json"
        self._new = 0
        self._jobs: dict[str, dict[str, Any]] = {}
        self._gone: list[list[Any]] = []
        try:
            data = read_json(self._path)
        except (OSError, LaikarotoError):
            return  # a cache
        if data.get("schema") == _SCHEMA:
            self._jobs, self._gone = data["jobs"], data["gone"]

    def status(self, job: str) -> JobStatus | None:
        """Status of a job that is over and has not been touched since; None for any other."""
        entry = self._jobs.get(job)
        if entry is None or entry["stamp"] != stamp_of(self._state, job):
            return None
        return _status(entry["status"])

    def remember(self, status: JobStatus, attempts: Attempts, stamp: list[int]) -> None:
        """Keep a job that its records show to be over.

        Args:
            status: of the job.
            attempts: all of its tasks.
            stamp: ``stamp_of`` the job before its records were read.
        """
        found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        for step, tasks in attempts.items():
            for attempt in (one for many in tasks.values() for one in many):
                if attempt.outcome is None or attempt.ended is None:
                    continue
                counted = found[(step, result_of(attempt.outcome, attempt.exit_code))]
                counted[0] += 1
                counted[1] += max(0.0, attempt.ended - attempt.started)
        self._jobs[status.name] = {
            "stamp": stamp, "status": status.to_dict(),
            "totals": [
                [status.kind, step, result, number, seconds]
                for (step, result), (number, seconds) in found.items()
            ],
        }  # fmt: skip
        self._new += 1

    def forget_all_but(self, jobs: Iterable[str]) -> None:
        """Drop jobs that were cleared away; how their attempts ended stays counted."""
        for job in self._jobs.keys() - set(jobs):
            self._gone = _summed([*self._gone, *self._jobs.pop(job)["totals"]])
            self._new += 1

    def totals(self) -> tuple[Total, ...]:
        """How the attempts of jobs that are over ended."""
        rows = _summed([*self._gone, *(row for e in self._jobs.values() for row in e["totals"])])
        return tuple(
            Total(kind=kind, step=step, result=result, number=int(number), seconds=seconds)
            for kind, step, result, number, seconds in rows
        )

    def write(self) -> None:
        """Write down what is new, if that is worth it; a disk that refuses does not matter."""
        if self._new * _WORTH_WRITING < max(1, len(self._jobs)):
            return
        try:
            replace_file(
                self._path, {"schema": _SCHEMA, "jobs": self._jobs, "gone": self._gone},
                flush=False,
            )  # fmt: skip
        except LaikarotoError:
            pass


def stamp_of(state: Path, job: str) -> list[int]:
    """What changes when a person steers a job."""
    try:
        found = os.stat(job_folder(state, job) / "steering.json")
    except OSError:
        return []
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def _summed(rows: Iterable[list[Any]]) -> list[list[Any]]:
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for kind, step, result, number, seconds in rows:
        found = sums[(kind, step, result)]
        found[0] += number
        found[1] += seconds
    return [[*key, *numbers] for key, numbers in sums.items()]


def _status(data: Mapping[str, Any]) -> JobStatus:
    steps = tuple(
        StepStatus(
            name=step["name"], needs=tuple(step["needs"]), progress=step["progress"],
            counts={TaskState(state): number for state, number in step["counts"].items()},
        )
        for step in data["steps"]
    )  # fmt: skip
    plain = ("name", "queue", "kind", "reason", "show", "user", "priority", "attempts",
             "not_before", "submitted", "started", "ended", "parameters")  # fmt: skip
    return JobStatus(
        state=JobState(data["state"]), needs=tuple(data["needs"]), steps=steps,
        **{name: data[name] for name in plain},
    )  # fmt: skip
