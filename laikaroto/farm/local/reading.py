"""Statuses out of a queue's database, for clients: nothing here writes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from laikaroto.errors import FarmError
from laikaroto.farm.engine import (
    AttemptStatus,
    JobState,
    JobStatus,
    NoticeStatus,
    StepStatus,
    TaskState,
    TaskStatus,
    Total,
)

_TASK = "t.*, s.name AS step_name FROM tasks t JOIN steps s ON s.id = t.step"


def read_jobs(db: sqlite3.Connection, queue: str) -> tuple[JobStatus, ...]:
    """All jobs, oldest first, without their tasks."""
    with _snapshot(db):
        return _statuses(db, queue, db.execute("SELECT * FROM jobs ORDER BY id").fetchall())


def read_names(db: sqlite3.Connection) -> tuple[str, ...]:
    """Names of all jobs, oldest first."""
    return tuple(row["name"] for row in db.execute("SELECT name FROM jobs ORDER BY id"))


def running_tasks(db: sqlite3.Connection) -> int:
    """How many tasks run."""
    return int(db.execute("SELECT count(*) FROM tasks WHERE token IS NOT NULL").fetchone()[0])


def read_active(db: sqlite3.Connection) -> dict[str, str]:
    """Idempotency key and name of every job that is neither over nor cancelled."""
    rows = db.execute(
        "SELECT key, name FROM jobs WHERE state IN ('waiting', 'open') AND cancelled = 0 "
        "ORDER BY id"
    )
    return {row["key"]: row["name"] for row in rows}


def read_job(db: sqlite3.Connection, queue: str, job: str) -> JobStatus:
    """One job with its tasks.

    Raises:
        FarmError: there is none of that name.
    """
    with _snapshot(db):
        rows = db.execute("SELECT * FROM jobs WHERE name = ?", (job,)).fetchall()
        if not rows:
            raise FarmError(
                f"job {job!r} is not in queue {queue!r}; 'laikaroto jobs list' shows all"
            )
        number = (rows[0]["id"],)
        attempts: dict[int, list[AttemptStatus]] = defaultdict(list)
        for row in db.execute(
            "SELECT a.* FROM attempts a JOIN tasks t ON t.id = a.task WHERE t.job = ? "
            "ORDER BY a.task, a.attempt",
            number,
        ):
            attempts[row["task"]].append(_attempt(row))
        tasks: dict[int, list[TaskStatus]] = defaultdict(list)
        for row in db.execute(f"SELECT {_TASK} WHERE t.job = ? ORDER BY t.step, t.idx", number):
            tasks[row["step"]].append(_task(row, attempts[row["id"]]))
        (status,) = _statuses(db, queue, rows, tasks)
        return replace(status, notices=_notices(db, job))


class _snapshot:
    """One consistent view over several queries."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._db.execute("COMMIT")


def _notices(db: sqlite3.Connection, job: str) -> tuple[NoticeStatus, ...]:
    if db.execute("PRAGMA user_version").fetchone()[0] < 3:
        return ()
    rows = db.execute("SELECT * FROM notices WHERE job = ? ORDER BY id", (job,))
    return tuple(
        NoticeStatus(
            end=row["finish"], channel=row["channel"], state=row["state"], tries=row["tries"],
            message=row["message"],
        )
        for row in rows
    )  # fmt: skip


def read_totals(db: sqlite3.Connection) -> tuple[Total, ...]:
    """How attempts have ended so far."""
    if db.execute("PRAGMA user_version").fetchone()[0] < 3:
        return ()  # nobody has counted yet; the owner brings the file up to date
    return tuple(Total(**row) for row in db.execute("SELECT * FROM totals"))


def _attempt(row: sqlite3.Row) -> AttemptStatus:
    return AttemptStatus(
        number=row["attempt"], host=row["host"], started=row["started"], ended=row["ended"],
        outcome=row["outcome"] or "", exit_code=row["exit_code"], message=row["message"],
    )  # fmt: skip


def _task(row: sqlite3.Row, attempts: Iterable[AttemptStatus]) -> TaskStatus:
    return TaskStatus(
        step=row["step_name"], index=row["idx"], state=TaskState(row["state"]),
        parameters=json.loads(row["parameters"]), attempt=row["attempt"], host=row["host"],
        started=row["started"], ended=row["ended"], exit_code=row["exit_code"],
        progress=row["progress"], message=row["message"], attempts=tuple(attempts),
    )  # fmt: skip


def _statuses(
    db: sqlite3.Connection,
    queue: str,
    rows: list[sqlite3.Row],
    tasks: Mapping[int, list[TaskStatus]] | None = None,
) -> tuple[JobStatus, ...]:
    ids = tuple(row["id"] for row in rows)
    one = f" WHERE job = {ids[0]}" if len(ids) == 1 else ""
    counts: dict[int, dict[TaskState, int]] = defaultdict(dict)
    partial: dict[int, float] = defaultdict(float)
    for row in db.execute(
        "SELECT step, state, count(*) AS number, total(progress) AS progress FROM tasks"
        f"{one} GROUP BY step, state"
    ):
        counts[row["step"]][TaskState(row["state"])] = row["number"]
        if row["state"] == "running":
            partial[row["step"]] = row["progress"]
    steps: dict[int, list[StepStatus]] = defaultdict(list)
    for row in db.execute(f"SELECT * FROM steps{one} ORDER BY id"):
        found = counts[row["id"]]
        done = sum(number for state, number in found.items() if state.done)
        steps[row["job"]].append(
            StepStatus(
                name=row["name"],
                needs=tuple(json.loads(row["needs"])),
                counts=found,
                progress=(done + partial[row["id"]]) / max(1, sum(found.values())),
                tasks=tuple(tasks[row["id"]]) if tasks else (),
            )
        )
    upstream = _Upstream(db)
    return tuple(_job(row, queue, steps[row["id"]], upstream) for row in rows)


def _job(row: sqlite3.Row, queue: str, steps: list[StepStatus], upstream: _Upstream) -> JobStatus:
    state, reason = _judge(row, steps, upstream)
    return JobStatus(
        name=row["name"], queue=queue, kind=row["kind"], state=state, reason=reason,
        show=row["show"], user=row["user"], priority=row["priority"], attempts=row["attempts"],
        not_before=row["not_before"], submitted=row["submitted"], started=row["started"],
        ended=row["ended"], needs=upstream.names(row["id"]), steps=tuple(steps),
        parameters={key: str(value) for key, value in json.loads(row["parameters"]).items()},
    )  # fmt: skip


def _judge(
    row: sqlite3.Row, steps: Iterable[StepStatus], upstream: _Upstream
) -> tuple[JobState, str]:
    """State and reason as a person should read them."""
    total: dict[TaskState, int] = defaultdict(int)
    failed = []
    for step in steps:
        for state, number in step.counts.items():
            total[state] += number
        if step.counts.get(TaskState.FAILED):
            failed.append(f"{step.name} ({step.counts[TaskState.FAILED]})")
    running = total[TaskState.RUNNING]
    problem = f"failed tasks: {', '.join(failed)}" if failed else ""
    if row["state"] in ("succeeded", "failed", "cancelled"):
        return JobState(row["state"]), problem
    if row["cancelled"]:
        return JobState.RUNNING, f"being cancelled, {running} tasks still end"
    if row["state"] == "waiting" and (stuck := upstream.stuck(row["id"])):
        return JobState.BLOCKED, stuck
    if row["paused"]:
        return JobState.PAUSED, f"{running} tasks still run" if running else "paused by hand"
    if running:
        return JobState.RUNNING, problem
    if row["state"] == "waiting":
        return JobState.WAITING, f"for job {', '.join(upstream.unfinished(row['id']))}"
    if row["not_before"] and row["not_before"] > time.time():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["not_before"]))
        return JobState.WAITING, f"until {when}"
    return JobState.READY, problem or "for a free slot"


class _Upstream:
    """The jobs that jobs wait for."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._needs: dict[int, list[int]] = defaultdict(list)
        for row in db.execute("SELECT job, needs FROM job_needs ORDER BY job, needs"):
            self._needs[row["job"]].append(row["needs"])
        self._jobs: dict[int, sqlite3.Row] = {}
        if self._needs:
            for row in db.execute("SELECT id, name, state, cancelled FROM jobs"):
                self._jobs[row["id"]] = row

    def names(self, job: int) -> tuple[str, ...]:
        return tuple(self._jobs[other]["name"] for other in self._needs.get(job, ()))

    def unfinished(self, job: int) -> list[str]:
        rows = (self._jobs[other] for other in self._needs.get(job, ()))
        return [row["name"] for row in rows if row["state"] != "succeeded"]

    def stuck(self, job: int) -> str:
        """Why the jobs this one waits for will not succeed by themselves; '' if they may."""
        for other in self._needs.get(job, ()):
            row = self._jobs[other]
            if row["state"] == "cancelled" or row["cancelled"]:
                return f"job {row['name']} was cancelled: retry it, or cancel this one"
            if row["state"] == "failed":
                return f"job {row['name']} failed: mend the cause and retry it, or cancel this one"
            if row["state"] == "waiting" and (why := self.stuck(other)):
                return why
        return ""
