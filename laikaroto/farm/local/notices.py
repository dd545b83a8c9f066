"""Whom to tell of the end of jobs, in the books of a local queue (``farm.notices`` tells them)."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping

from laikaroto.config import NotifySettings
from laikaroto.farm.local.messenger import Answer, Notice
from laikaroto.farm.notices import channels, document, next_try


class NoticeBook:
    """Notices that wait, were sent or were given up; part of the ledger's transactions."""

    def __init__(self, connection: sqlite3.Connection, *, queue: str) -> None:
        """Keep the notices of a queue in its database."""
        self._db, self._queue = connection, queue

    def announce(
        self, job: sqlite3.Row, state: str, ended: float, counts: Mapping[str, int]
    ) -> None:
        """Note, together with the end of a job, whom to tell of it."""
        failed = self._db.execute(
            "SELECT s.name || '/' || t.idx, t.message FROM tasks t JOIN steps s ON s.id = t.step "
            "WHERE t.job = ? AND t.state = 'failed' ORDER BY t.step, t.idx LIMIT 10",
            (job["id"],),
        ).fetchall()
        finish = f"{job['name']}:{state}:{ended:.3f}"
        body = document(
            end=finish, job=job["name"], queue=self._queue, kind=job["kind"], state=state,
            show=job["show"], user=job["user"], parameters=json.loads(job["parameters"]),
            submitted=job["submitted"], started=job["started"], ended=ended, tasks=counts,
            failed=[tuple(row) for row in failed],
        )  # fmt: skip
        notify = NotifySettings.model_validate_json(job["notify"])
        self._db.executemany(
            "INSERT INTO notices (job, finish, channel, settings, body) VALUES (?, ?, ?, ?, ?)",
            [
                (job["name"], finish, channel, job["notify"], json.dumps(body))
                for channel in channels(notify, state)
            ],
        )

    def due(self, channel: str) -> Notice | None:
        """The next notice that is to be sent by one way now, if any."""
        row = self._db.execute(
            "SELECT * FROM notices WHERE state = 'waiting' AND channel = ? AND due <= ? "
            "ORDER BY due, id LIMIT 1",
            (channel, time.time()),
        ).fetchone()
        return row and Notice(
            number=row["id"], job=row["job"], channel=channel, settings=row["settings"],
            body=row["body"], tries=row["tries"],
        )  # fmt: skip

    def untold(self) -> bool:
        """True if some notice was not tried yet."""
        row = self._db.execute(
            "SELECT 1 FROM notices WHERE state = 'waiting' AND tries = 0 LIMIT 1"
        ).fetchone()
        return row is not None

    def note_answer(self, answer: Answer) -> str:
        """Write down what became of a notice; returns it in words."""
        notice, error = answer.notice, answer.error
        tries = notice.tries + 1
        due = None if error is None else next_try(tries, time.time(), error)
        state = "sent" if error is None else "failed" if due is None else "waiting"
        self._db.execute(
            "UPDATE notices SET state = ?, tries = ?, due = ?, message = ? WHERE id = ?",
            (state, tries, due or 0.0, str(error or ""), notice.number),
        )
        after = {"sent": "told", "failed": "given up", "waiting": "will be tried again"}[state]
        return f"notice of {notice.job} by {notice.channel}: {after}" + (
            f", try {tries}: {error}" if error else ""
        )
