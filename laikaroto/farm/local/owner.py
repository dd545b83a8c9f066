"""Owning a queue: the lock, the books put in order after whatever happened before.

The supervisor owns its queue as long as it runs. While there is none, a client owns it for the
moment it takes to file a request, so that submitting and steering work at any time.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laikaroto.errors import write_failure
from laikaroto.farm.local import inbox
from laikaroto.farm.local.database import claim_host, open_database
from laikaroto.farm.local.ledger import Ledger
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import OWNER_ONLY, result_file, sessions_folder
from laikaroto.farm.processes import is_same_process, kill_marked, start_time

_LOG = logging.getLogger(__name__)
_CARD = "supervisor.json"


@contextmanager
def own(state: Path, *, patience_s: float = 0.0, adopt: bool = False) -> Iterator[Ledger | None]:
    """Hold a queue's lock; None if somebody else does.

    Args:
        state: the queue's state folder; created if missing.
        patience_s: how long to wait for the lock, in seconds.
        adopt: take over the queue of a machine that was renamed.

    Yields:
        The queue's books: orphans killed, attempts of a dead supervisor closed.

    Raises:
        FarmError: the queue belongs to another host, or its database cannot be read.
    """
    claim_host(state, adopt=adopt)
    path = state / "lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    except OSError as error:
        raise write_failure(path, error) from error
    try:
        if not _lock(lock, patience_s):
            yield None
            return
        connection = open_database(state, owner=True)
        try:
            ledger = Ledger(connection, queue=state.name)
            _recover(state, ledger)
            yield ledger
        finally:
            _close(connection)
    finally:
        os.close(lock)


def _lock(lock: int, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)


def _close(connection: sqlite3.Connection) -> None:
    try:
        connection.close()
    except sqlite3.Error as error:
        _LOG.warning("closing the queue's database: %s", error)


def _recover(state: Path, ledger: Ledger) -> None:
    """Close the attempts that the last owner left running, once nothing of them runs."""
    left = ledger.running()
    if left or sessions_folder(state).exists():
        if number := kill_marked(state):
            _LOG.warning("killed %d processes a dead supervisor left behind", number)
        shutil.rmtree(sessions_folder(state), ignore_errors=True)
    for attempt in left:
        settle(state, ledger, attempt, otherwise=Outcome.LOST, why="the supervisor died")
    inbox.sweep(state)


def settle(
    state: Path, ledger: Ledger, attempt: tuple[str, str, str, int, int], *,
    otherwise: Outcome, why: str,
) -> None:  # fmt: skip
    """Close an attempt whose slot can no longer tell how it ended; nothing of it may run.

    Args:
        state: the queue's state folder.
        ledger: its books.
        attempt: its token, job, step, index and number.
        otherwise: how it ended, if the slot had not written that down before it died.
        why: in words.
    """
    token, job, step, index, number = attempt
    record = _result(result_file(state, job, step, index, number), token)
    with ledger.transaction():
        if record is None:
            ledger.end(token, otherwise, exit_code=None, message=why)
        else:
            ledger.end(
                token, Outcome(record["outcome"]), exit_code=record["exit_code"],
                message=record["message"],
            )  # fmt: skip


def _result(path: Path, token: str) -> dict[str, Any] | None:
    """The record a slot wrote before it could tell the supervisor."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return record if record.get("token") == token else None


def write_card(state: Path, **details: Any) -> None:
    """Leave word that this process supervises the queue, and with what."""
    card = {"pid": os.getpid(), "started": start_time(os.getpid()), **details}
    hidden = state / f".{_CARD}"
    try:
        hidden.write_text(json.dumps(card), encoding="utf-8")
        os.replace(hidden, state / _CARD)
    except OSError as error:
        raise write_failure(state / _CARD, error) from error


def remove_card(state: Path) -> None:
    """The supervisor leaves."""
    (state / _CARD).unlink(missing_ok=True)


def read_card(state: Path) -> dict[str, Any] | None:
    """What the running supervisor of a queue left word of; None if none runs."""
    try:
        card: dict[str, Any] = json.loads((state / _CARD).read_text(encoding="utf-8"))
        return card if is_same_process(card["pid"], card["started"]) else None
    except (FileNotFoundError, ValueError, KeyError):
        return None
