"""The database file of a local queue: schema, opening, and the refusal of foreign hosts."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path

from laikaroto.errors import FarmError, write_failure
from laikaroto.farm.places import OWNER_ONLY, make_state_folder

FILE = "queue.sqlite"
_SCHEMA_VERSION = 3
_SINCE_3 = """
CREATE TABLE totals (      -- of ended attempts; kept when jobs are cleared away
    kind TEXT NOT NULL, step TEXT NOT NULL, result TEXT NOT NULL, number INTEGER NOT NULL,
    seconds REAL NOT NULL, PRIMARY KEY (kind, step, result)
) WITHOUT ROWID;
CREATE TABLE notices (     -- written together with the end of a job that they tell of
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, finish TEXT NOT NULL, channel TEXT NOT NULL,
    settings TEXT NOT NULL, body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting',   -- waiting, sent, failed
    message TEXT NOT NULL DEFAULT ''
);
CREATE INDEX notices_by_state ON notices (state, channel, due);
CREATE INDEX notices_by_job ON notices (job);
"""
_SCHEMA = f"""
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, key TEXT NOT NULL, kind TEXT NOT NULL,
    show TEXT NOT NULL, user TEXT NOT NULL, parameters TEXT NOT NULL,
    digest TEXT NOT NULL DEFAULT '',       -- of the bundle; empty: from before there was one
    notify TEXT NOT NULL DEFAULT '',       -- whom to tell of its end, JSON; empty: nobody
    priority INTEGER NOT NULL, attempts INTEGER NOT NULL, not_before REAL,
    paused INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting', -- waiting (for jobs), open, succeeded, failed, cancelled
    submitted REAL NOT NULL, started REAL, ended REAL
);
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, id);
CREATE INDEX jobs_by_key ON jobs (key);
CREATE TABLE job_needs (
    job INTEGER NOT NULL REFERENCES jobs, needs INTEGER NOT NULL REFERENCES jobs,
    PRIMARY KEY (job, needs)
) WITHOUT ROWID;
CREATE INDEX job_needs_back ON job_needs (needs);
CREATE TABLE steps (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs, name TEXT NOT NULL,
    needs TEXT NOT NULL, cpus INTEGER, memory_mib INTEGER NOT NULL, UNIQUE (job, name)
);
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs,
    step INTEGER NOT NULL REFERENCES steps, idx INTEGER NOT NULL, parameters TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',  -- as farm.engine.TaskState
    attempt INTEGER NOT NULL DEFAULT 0,     -- number of the last attempt, never reset
    tries INTEGER NOT NULL DEFAULT 0,       -- attempts that count, since submission or retry
    due REAL NOT NULL DEFAULT 0,            -- not again before
    token TEXT,                             -- of the running attempt: its lease
    host TEXT, started REAL, ended REAL, exit_code INTEGER, progress REAL,
    message TEXT NOT NULL DEFAULT '',
    UNIQUE (step, idx)
);
CREATE INDEX tasks_by_state ON tasks (job, state, step, idx);
CREATE INDEX tasks_by_token ON tasks (token) WHERE token IS NOT NULL;
CREATE TABLE attempts (
    task INTEGER NOT NULL REFERENCES tasks, attempt INTEGER NOT NULL, host TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, exit_code INTEGER, outcome TEXT,
    message TEXT NOT NULL DEFAULT '', PRIMARY KEY (task, attempt)
) WITHOUT ROWID;
{_SINCE_3}
"""
_UPGRADES = {  # from a version to the next
    1: "ALTER TABLE jobs ADD COLUMN digest TEXT NOT NULL DEFAULT '';",
    2: f"ALTER TABLE jobs ADD COLUMN notify TEXT NOT NULL DEFAULT ''; {_SINCE_3}",
}


def host_id() -> str:
    """Name of this machine, with what tells it from another of the same name."""
    machine = Path("/etc/machine-id")
    number = machine.read_text(encoding="ascii").strip() if machine.is_file() else ""
    return f"{platform.node()} {number}".strip()


def claim_host(state: Path, *, adopt: bool = False) -> None:
    """Make sure a state folder belongs to this machine; a new one is claimed.

    SQLite and file locks do not hold over network file systems, so a queue that another host
    made is not even opened.

    Args:
        state: the queue's state folder; created if missing.
        adopt: take it over, for a machine that was given a new name.

    Raises:
        FarmError: another host made it.
    """
    path = state / "host"
    try:
        make_state_folder(state)
        if adopt or not path.exists():
            path.write_text(host_id() + "\n", encoding="utf-8")
    except OSError as error:
        raise write_failure(path, error) from error
    owner = path.read_text(encoding="utf-8").strip()
    if owner != host_id():
        raise FarmError(
            f"the queue in {state} belongs to host {owner.split()[0]!r}, this is "
            f"{platform.node()!r}: a local queue serves one machine. Work there, give this "
            "machine a queue with a state folder of its own (queues/*.yaml), or use a farm "
            "engine. If it is the same machine under a new name: laikaroto farm start --adopt"
        )


def open_database(state: Path, *, owner: bool) -> sqlite3.Connection:
    """Open the database of a claimed state folder.

    Args:
        state: the queue's state folder.
        owner: true only for the holder of the queue's lock, who makes the tables and alone
            writes; others get a connection that refuses to, and see a consistent state at any
            time (WAL).

    Raises:
        FarmError: the file is damaged or was made by another version.
    """
    path = state / FILE
    try:
        if owner and not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, OWNER_ONLY))
        connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and owner:
            connection.executescript(
                f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
            )
            version = _SCHEMA_VERSION
        while version in _UPGRADES and owner:
            connection.executescript(
                f"BEGIN EXCLUSIVE; {_UPGRADES[version]} "
                f"PRAGMA user_version = {version + 1}; COMMIT;"
            )
            version += 1
        if not owner:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise FarmError(
            f"{path}: cannot be opened: {error}. If it is damaged, stop the farm, move the "
            "folder away and submit again: results that were published are not touched"
        ) from error
    if version not in (0, *_UPGRADES, _SCHEMA_VERSION):
        connection.close()
        raise FarmError(
            f"{path}: made by another version of laikaroto (schema {version}, wanted "
            f"{_SCHEMA_VERSION}); let its jobs end there, then move the folder away"
        )
    return connection
