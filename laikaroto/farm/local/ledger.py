"""The books of a local queue: which job, step and task stands where.

Only the holder of the queue's lock makes a ``Ledger``. Every method is one step that may be
repeated; the caller wraps what belongs together in ``transaction``.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from laikaroto.errors import EXIT_TRY_AGAIN, FarmError
from laikaroto.farm.engine import TaskRef
from laikaroto.farm.local.database import host_id
from laikaroto.farm.local.notices import NoticeBook
from laikaroto.farm.outcome import Outcome, may_succeed_later, result_of, retry_delay_s
from laikaroto.farm.plan import Requirements
from laikaroto.farm.steering import Card

RETRY_DELAY_S = 2.0  # before the second try of a task that asked for another; then 4 times as long
_ENDED = ("succeeded", "failed", "cancelled")  # states of jobs that nothing happens to any more
_DONE = ("succeeded", "skipped")
_FORGET = (
    "DELETE FROM attempts WHERE task IN (SELECT id FROM tasks WHERE job = ?)",
    "DELETE FROM tasks WHERE job = ?",
    "DELETE FROM steps WHERE job = ?",
    "DELETE FROM job_needs WHERE job = ?",
    "DELETE FROM notices WHERE job = (SELECT name FROM jobs WHERE id = ?)",
    "DELETE FROM jobs WHERE id = ?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One task about to start: what a slot has to know."""

    task: int
    token: str
    job: str
    step: str
    index: int
    attempt: int
    parameters: str
    requirements: Requirements
    digest: str


class Ledger:
    """All changes to a queue's database."""

    def __init__(self, connection: sqlite3.Connection, *, queue: str = "") -> None:
        """Take over the books.

        Args:
            connection: opened as owner.
            queue: name of the queue, for notices.
        """
        self._db = connection
        self.notices = NoticeBook(connection, queue=queue)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested use is an error of the caller."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ---- jobs -----------------------------------------------------------------------------

    def active_with_key(self, key: str) -> str | None:
        """Name of a job with this idempotency key that is neither over nor cancelled."""
        row = self._db.execute(
            "SELECT name FROM jobs WHERE key = ? AND state IN ('waiting', 'open') "
            "AND cancelled = 0 ORDER BY id DESC LIMIT 1",
            (key,),
        ).fetchone()
        return str(row["name"]) if row else None

    def knows(self, job: str) -> bool:
        """True if there is a job of that name."""
        return self._db.execute("SELECT 1 FROM jobs WHERE name = ?", (job,)).fetchone() is not None

    def add(self, card: Card) -> None:
        """Enter a job with its steps and tasks.

        Raises:
            FarmError: a job it depends on is not in this queue.
        """
        settings = card.settings
        upstream = [self._job(name)["id"] for name in settings.needs]
        job = self._db.execute(
            "INSERT INTO jobs (name, key, kind, show, user, parameters, priority, attempts, "
            "not_before, paused, submitted, digest, notify) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (settings.name, settings.key, settings.kind, settings.show, settings.user,
             json.dumps(dict(card.parameters)), settings.priority, settings.attempts,
             settings.not_before, settings.paused, time.time(), card.digest,
             settings.notify.model_dump_json() if settings.notify else ""),
        ).lastrowid  # fmt: skip
        assert job is not None
        self._db.executemany(
            "INSERT INTO job_needs (job, needs) VALUES (?, ?)", [(job, other) for other in upstream]
        )
        for step in card.steps:
            row = self._db.execute(
                "INSERT INTO steps (job, name, needs, cpus, memory_mib) VALUES (?, ?, ?, ?, ?)",
                (job, step.name, json.dumps(step.needs), step.requirements.cpus,
                 step.requirements.memory_mib),
            ).lastrowid  # fmt: skip
            self._db.executemany(
                "INSERT INTO tasks (job, step, idx, parameters) VALUES (?, ?, ?, ?)",
                [(job, row, i, json.dumps(dict(task))) for i, task in enumerate(step.tasks)],
            )
        self._settle(job)

    def cancel(self, job: str) -> list[str]:
        """End a job; returns the tokens of its running attempts, which the caller has to kill."""
        row = self._job(job)
        if row["state"] in ("succeeded", "cancelled"):
            return []
        self._db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (row["id"],))
        self._settle(row["id"])
        return self._tokens("job = ?", (row["id"],))

    def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume."""
        self._db.execute("UPDATE jobs SET paused = ? WHERE id = ?", (paused, self._job(job)["id"]))

    def set_priority(self, job: str, priority: int) -> None:
        """Change the priority."""
        row = self._job(job)
        self._db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, row["id"]))

    def retry(self, job: str, tasks: Sequence[TaskRef]) -> int:
        """Let failed and cancelled tasks run again; returns how many."""
        row = self._job(job)
        where, values = self._where(row, tasks)
        count = self._db.execute(
            "UPDATE tasks SET state = 'waiting', tries = 0, due = 0, message = '', "
            "exit_code = NULL, progress = NULL, ended = NULL "
            f"WHERE state IN ('failed', 'cancelled') AND {where}",
            values,
        ).rowcount
        if count:
            self._db.execute(
                "UPDATE jobs SET cancelled = 0, ended = NULL WHERE id = ?", (row["id"],)
            )
            self._settle(row["id"])
        return count

    def skip(self, job: str, tasks: Sequence[TaskRef]) -> tuple[int, list[str]]:
        """Count tasks as done; returns how many, and the tokens of running ones to kill."""
        row = self._job(job)
        where, values = self._where(row, tasks)
        count = self._db.execute(
            "UPDATE tasks SET state = 'skipped', message = 'skipped by hand', ended = ? "
            f"WHERE state IN ('waiting', 'ready', 'failed', 'cancelled') AND {where}",
            (time.time(), *values),
        ).rowcount
        tokens = self._tokens(where, values)
        self._settle(row["id"])
        return count + len(tokens), tokens

    def why_stay(self, job: str, *, before: float) -> str:
        """Why a job has to stay in the books; '' if nothing speaks against its removal.

        Args:
            job: its name.
            before: seconds since 1970; a job that ended later stays.
        """
        row = self._job(job)
        if row["state"] not in _ENDED:
            return "is not over"
        if row["ended"] is None or row["ended"] > before:
            return "has ended too recently"
        unsent = self._db.execute(
            "SELECT 1 FROM notices WHERE job = ? AND state = 'waiting' LIMIT 1", (job,)
        ).fetchone()
        if unsent is not None:
            return "has word of its end that is not sent yet"
        needing = self._db.execute(
            "SELECT j.name FROM job_needs n JOIN jobs j ON j.id = n.job WHERE n.needs = ? LIMIT 1",
            (row["id"],),
        ).fetchone()
        if needing is not None:  # it would take a missing job for one that has succeeded
            return f"is needed by {needing['name']}, which stays"
        return ""

    def forget(self, job: str) -> None:
        """Take a job out of the books."""
        row = self._job(job)
        for statement in _FORGET:
            self._db.execute(statement, (row["id"],))

    # ---- attempts -------------------------------------------------------------------------

    def next_work(self) -> Work | None:
        """The task whose turn it is: by priority, then age of the job, then order of its steps.

        It is only named, not started.
        """
        now = time.time()
        job = self._db.execute(
            "SELECT id, name, digest FROM jobs WHERE state = 'open' AND paused = 0 "
            "AND cancelled = 0 AND (not_before IS NULL OR not_before <= :now) "
            "AND EXISTS (SELECT 1 FROM tasks WHERE job = jobs.id AND state = 'ready' "
            "AND due <= :now) "
            "ORDER BY priority DESC, id LIMIT 1",
            {"now": now},
        ).fetchone()
        if job is None:
            return None
        row = self._db.execute(
            "SELECT t.id, t.idx, t.attempt, t.parameters, s.name, s.cpus, s.memory_mib "
            "FROM tasks t JOIN steps s ON s.id = t.step WHERE t.job = ? AND t.state = 'ready' "
            "AND t.due <= ? ORDER BY t.step, t.idx LIMIT 1",
            (job["id"], now),
        ).fetchone()
        return Work(
            task=row["id"], token=secrets.token_hex(8), job=job["name"], step=row["name"],
            index=row["idx"], attempt=row["attempt"] + 1, parameters=row["parameters"],
            requirements=Requirements(cpus=row["cpus"], memory_mib=row["memory_mib"]),
            digest=job["digest"],
        )  # fmt: skip

    def start(self, work: Work) -> None:
        """Lease a task to a new attempt."""
        now, host = time.time(), host_id().split()[0]
        self._db.execute(
            "UPDATE tasks SET state = 'running', attempt = ?, tries = tries + 1, token = ?, "
            "host = ?, started = ?, ended = NULL, exit_code = NULL, progress = NULL, message = '' "
            "WHERE id = ?",
            (work.attempt, work.token, host, now, work.task),
        )
        self._db.execute(
            "INSERT INTO attempts (task, attempt, host, started) VALUES (?, ?, ?, ?)",
            (work.task, work.attempt, host, now),
        )
        self._db.execute(
            "UPDATE jobs SET started = coalesce(started, ?) WHERE name = ?", (now, work.job)
        )

    def refuse(self, work: Work, why: str) -> None:
        """Let a task fail without an attempt."""
        self._db.execute(
            "UPDATE tasks SET state = 'failed', ended = ?, message = ? WHERE id = ?",
            (time.time(), why, work.task),
        )
        self._settle(self._job(work.job)["id"])

    def progress(self, token: str, fraction: float | None, message: str) -> None:
        """Note how far a running attempt says it is; ignored if it is no longer current."""
        self._db.execute(
            "UPDATE tasks SET progress = ?, message = ? WHERE token = ?", (fraction, message, token)
        )

    def end(self, token: str, outcome: Outcome, *, exit_code: int | None, message: str) -> bool:
        """Close an attempt, once; what comes next follows from how it ended.

        Returns:
            False if the attempt is not the task's current one, so nothing was changed.
        """
        task = self._db.execute(
            "SELECT t.*, j.attempts AS allowed, j.cancelled, j.kind, s.name AS step_name "
            "FROM tasks t JOIN jobs j ON j.id = t.job JOIN steps s ON s.id = t.step "
            "WHERE t.token = ?",
            (token,),
        ).fetchone()
        if task is None:
            return False
        now = time.time()
        state, tries, due, text = _what_next(task, outcome, exit_code, message)
        self._db.execute(
            "UPDATE tasks SET state = ?, tries = ?, due = ?, token = NULL, ended = ?, "
            "exit_code = ?, message = ?, progress = CASE WHEN ? THEN 1.0 ELSE progress END "
            "WHERE id = ?",
            (state, tries, due, now, exit_code, text, state == "succeeded", task["id"]),
        )
        self._db.execute(
            "UPDATE attempts SET ended = ?, exit_code = ?, outcome = ?, message = ? "
            "WHERE task = ? AND attempt = ?",
            (now, exit_code, outcome.value, text, task["id"], task["attempt"]),
        )
        self._db.execute(
            "INSERT INTO totals (kind, step, result, number, seconds) VALUES (?, ?, ?, 1, ?) "
            "ON CONFLICT DO UPDATE SET number = number + 1, seconds = seconds + excluded.seconds",
            (task["kind"], task["step_name"], result_of(outcome, exit_code),
             max(0.0, now - task["started"])),
        )  # fmt: skip
        self._settle(task["job"])
        return True

    def running(self) -> list[tuple[str, str, str, int, int]]:
        """Token, job, step, index and attempt of every running task."""
        rows = self._db.execute(
            "SELECT t.token, j.name, s.name, t.idx, t.attempt FROM tasks t JOIN steps s ON "
            "s.id = t.step JOIN jobs j ON j.id = t.job WHERE t.state = 'running'"
        )
        return [tuple(row) for row in rows]

    def idle(self) -> bool:
        """True if nothing runs and nothing will start by itself."""
        row = self._db.execute(
            "SELECT 1 FROM jobs j JOIN tasks t ON t.job = j.id WHERE t.state = 'running' OR "
            "(t.state = 'ready' AND j.state = 'open' AND j.paused = 0) LIMIT 1"
        ).fetchone()
        return row is None

    # ---- inside ---------------------------------------------------------------------------

    def _job(self, name: str) -> sqlite3.Row:
        row = self._db.execute("SELECT * FROM jobs WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise FarmError(f"job {name!r} is not in this queue; 'laikaroto jobs list' shows all")
        found: sqlite3.Row = row
        return found

    def _where(self, job: sqlite3.Row, tasks: Sequence[TaskRef]) -> tuple[str, tuple[int, ...]]:
        """SQL condition that picks ``tasks`` (all if empty) of a job, with its values."""
        if not tasks:
            return "job = ?", (job["id"],)
        conditions: list[str] = []
        values: list[int] = []
        for ref in tasks:
            row = self._db.execute(
                "SELECT s.id FROM tasks t JOIN steps s ON s.id = t.step WHERE s.job = ? AND "
                "s.name = ? AND (? IS NULL OR t.idx = ?) LIMIT 1",
                (job["id"], ref.step, ref.index, ref.index),
            ).fetchone()
            if row is None:
                raise FarmError(
                    f"job {job['name']!r} has no task {str(ref)!r}; "
                    f"'laikaroto jobs show {job['name']}' lists them"
                )
            conditions.append("step = ?" if ref.index is None else "(step = ? AND idx = ?)")
            values += [row["id"]] if ref.index is None else [row["id"], ref.index]
        return f"({' OR '.join(conditions)})", tuple(values)

    def _tokens(self, where: str, values: Sequence[int]) -> list[str]:
        rows = self._db.execute(
            f"SELECT token FROM tasks WHERE state = 'running' AND {where}", tuple(values)
        )
        return [row["token"] for row in rows]

    def _settle(self, job: int) -> None:
        """Bring steps and state of a job, and of the jobs that wait for it, up to date."""
        row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
        if row["cancelled"]:
            self._db.execute(
                "UPDATE tasks SET state = 'cancelled' WHERE job = ? AND state IN "
                "('waiting', 'ready')",
                (job,),
            )
        released = self._released(job)
        if released and not row["cancelled"]:
            self._open_steps(job)
        counts = self._counts(job)
        if not (set(counts) - set(_DONE)):
            state = "succeeded"
        elif counts.get("running") or counts.get("ready"):
            state = "open"
        elif row["cancelled"]:
            state = "cancelled"
        elif counts.get("failed") or counts.get("cancelled"):
            state = "failed"
        else:
            state = "open" if released else "waiting"
        over = state not in ("open", "waiting")
        if state == row["state"] and bool(row["ended"]) == over:
            return
        ended = time.time() if over else None
        self._db.execute("UPDATE jobs SET state = ?, ended = ? WHERE id = ?", (state, ended, job))
        if ended is not None and row["notify"]:
            self.notices.announce(row, state, ended, counts)
        if state == "succeeded":
            for other in self._db.execute("SELECT job FROM job_needs WHERE needs = ?", (job,)):
                self._settle(other["job"])

    def _released(self, job: int) -> bool:
        """True if every job this one depends on has succeeded."""
        missing = self._db.execute(
            "SELECT 1 FROM job_needs n JOIN jobs j ON j.id = n.needs WHERE n.job = ? AND "
            "j.state <> 'succeeded' LIMIT 1",
            (job,),
        ).fetchone()
        return missing is None

    def _open_steps(self, job: int) -> None:
        """Make the waiting tasks of every step ready whose needed steps are done."""
        steps = self._db.execute(
            "SELECT id, name, needs FROM steps WHERE job = ?", (job,)
        ).fetchall()
        unfinished = {
            row["name"]
            for row in self._db.execute(
                "SELECT DISTINCT s.name FROM tasks t JOIN steps s ON s.id = t.step "
                "WHERE t.job = ? AND t.state NOT IN ('succeeded', 'skipped')",
                (job,),
            )
        }
        for step in steps:
            needs = json.loads(step["needs"])
            if step["name"] in unfinished and not unfinished.intersection(needs):
                self._db.execute(
                    "UPDATE tasks SET state = 'ready' WHERE job = ? AND state = 'waiting' "
                    "AND step = ?",
                    (job, step["id"]),
                )

    def _counts(self, job: int) -> dict[str, int]:
        return {
            row[0]: row[1]
            for row in self._db.execute(
                "SELECT state, count(*) FROM tasks WHERE job = ? GROUP BY state", (job,)
            )
        }


def _what_next(
    task: sqlite3.Row, outcome: Outcome, exit_code: int | None, message: str
) -> tuple[str, int, float, str]:
    """State, counted tries, time of the next try and message of a task whose attempt ended."""
    tries: int = task["tries"]
    if outcome is Outcome.EXITED and exit_code == 0:
        return "succeeded", tries, 0.0, message
    if outcome is Outcome.SKIPPED:
        return "skipped", tries, 0.0, message or "skipped by hand"
    if outcome is Outcome.CANCELLED or task["cancelled"]:
        return "cancelled", tries, 0.0, message or "cancelled"
    if outcome is Outcome.RETURNED:
        return "waiting", tries - 1, 0.0, message or "given back: the farm was stopped"
    if not may_succeed_later(outcome, exit_code):
        return "failed", tries, 0.0, message
    if tries >= task["allowed"]:
        return "failed", tries, 0.0, f"{message} (tried {tries} times)"
    asked = outcome is Outcome.EXITED and exit_code == EXIT_TRY_AGAIN
    due = time.time() + retry_delay_s(RETRY_DELAY_S, tries) if asked else 0.0
    return "waiting", tries, due, f"{message}; will be tried again"
