"""Requests of clients to the holder of a queue's lock: small files, taken in order.

A submission is a folder with the bundles of its jobs and their cards, every other request a
JSON file; both appear in ``inbox/`` whole, by a rename. The answer is a file in ``replies/``. So
a request survives the death of either side, needs no open port, and works while no supervisor
runs: then the client takes the lock itself for a moment (``farm.local.engine``).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laikaroto.errors import ConfigError, FarmError, LaikarotoError, UsageError, write_failure
from laikaroto.farm.bundle import Bundle, bundle_digest, write_bundle
from laikaroto.farm.engine import TaskRef
from laikaroto.farm.local.capacity import Capacity
from laikaroto.farm.local.ledger import Ledger
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import bundle_folder, job_folder, make_state_folder, purged_folder
from laikaroto.farm.plan import JobOutline, refuse_several_hosts
from laikaroto.farm.steering import Card, card_from_dict, card_to_dict, new_card

_JOBS = ".jobs"
_CARDS = "cards.json"
_OLD_REPLY_S = 3600.0
_ERRORS: dict[str, type[LaikarotoError]] = {
    kind.__name__: kind for kind in (FarmError, ConfigError, UsageError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The owner has to kill a running attempt; it ends with this outcome."""

    token: str
    outcome: Outcome


# ---- the client's side ---------------------------------------------------------------------


def _ticket() -> str:
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}"  # sorts by time


def post_jobs(state: Path, jobs: Sequence[tuple[Bundle, JobOutline]]) -> str:
    """Hand in a submission of jobs that are all queued or none; returns its ticket.

    Raises:
        TryAgainError: the disk refuses; nothing is left behind.
    """
    ticket = _ticket()
    target = state / "inbox" / f"{ticket}{_JOBS}"
    hidden = target.with_name(f".{target.name}")
    one = len(jobs) == 1
    try:
        cards = []
        for bundle, plan in jobs:
            folder = write_bundle(bundle, hidden / bundle.settings.name, flush=one)
            cards.append(new_card(
                bundle, plan, digest=bundle_digest(folder), threads=0, timeout_s=0.0
            ))  # fmt: skip
        _write_whole(hidden / _CARDS, json.dumps([card_to_dict(card) for card in cards]))
        if not one:
            os.sync()  # once for all of them: a flush of each file is 6 ms on a disk
        hidden.rename(target)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise write_failure(target, error) from error
    return ticket


def post_request(state: Path, command: str, job: str, **details: Any) -> str:
    """Hand in a command; returns its ticket.

    Raises:
        TryAgainError: the disk refuses.
    """
    ticket = _ticket()
    text = json.dumps({"command": command, "job": job, **details})
    _write_whole(state / "inbox" / f"{ticket}.json", text)
    return ticket


def take_reply(state: Path, ticket: str) -> Mapping[str, Any] | None:
    """The answer to a ticket, once; None while there is none.

    Raises:
        LaikarotoError: the answer is a refusal.
    """
    path = state / "replies" / f"{ticket}.json"
    try:
        reply: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    if "error" in reply:
        raise _ERRORS.get(reply["error"], FarmError)(reply["message"])
    return reply


def _write_whole(path: Path, text: str) -> None:
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(text, encoding="utf-8")
        os.replace(hidden, path)
    except OSError as error:
        with suppress(OSError):
            hidden.unlink()
        raise write_failure(path, error) from error


# ---- the owner's side ----------------------------------------------------------------------


def take_requests(state: Path, ledger: Ledger, capacity: Capacity) -> list[Kill]:
    """Carry out everything in the inbox, oldest first, and answer it.

    Args:
        state: the queue's state folder, whose lock the caller holds.
        ledger: the queue's books; each request is one transaction.
        capacity: what the queue can give; a job that asks for more is refused.

    Returns:
        Running attempts that have to be killed.
    """
    kills: list[Kill] = []
    for path in pending(state):
        ticket = path.name.partition(".")[0]
        try:
            if path.suffix == _JOBS:
                reply = _accept(path, ledger, capacity)
            else:
                reply = _carry_out(_read(path), state, ledger, kills)
        except LaikarotoError as error:
            reply = {"error": type(error).__name__, "message": str(error)}
        # answer first: a request that is gone without an answer would leave its client waiting
        _write_whole(state / "replies" / f"{ticket}.json", json.dumps(reply))
        _clear(state, path, reply)
    return kills


def _clear(state: Path, path: Path, reply: Mapping[str, Any]) -> None:
    """Take an answered request out of the inbox; bundles of new jobs move to their jobs."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for job in reply.get("jobs", ()):
        if job["existing"]:
            continue
        target = bundle_folder(state, job["job"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            (path / job["job"]).rename(target)
    shutil.rmtree(path, ignore_errors=True)


def pending(state: Path) -> list[Path]:
    """Requests in the inbox, oldest first."""
    try:
        names = sorted(entry.name for entry in os.scandir(state / "inbox"))
    except FileNotFoundError:
        return []
    return [state / "inbox" / name for name in names if not name.startswith(".")]


def sweep(state: Path) -> None:
    """Remove what dead clients left: half-written requests, replies nobody took."""
    old = time.time() - _OLD_REPLY_S
    for path in [*(state / "inbox").glob(".*"), *(state / "replies").glob("*")]:
        try:
            if path.stat().st_mtime < old:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue


def _read(path: Path) -> dict[str, Any]:
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: is not a request: {error}") from error
    if not isinstance(request, dict) or not {"command", "job"} <= request.keys():
        raise UsageError(f"{path}: is not a request: {request!r}")
    return request


def _accept(path: Path, ledger: Ledger, capacity: Capacity) -> dict[str, Any]:
    """Enter submitted jobs, all or none. Repeating it after a crash in between does no harm.

    The client has planned them, so that thousands of jobs do not keep the owner from its slots.
    """
    try:
        data = json.loads((path / _CARDS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: is not a submission: {error}") from error
    cards = [card_from_dict(item, where=str(path / _CARDS)) for item in data]
    with ledger.transaction():
        return {"jobs": [_enter(card, ledger, capacity) for card in cards]}


def _enter(card: Card, ledger: Ledger, capacity: Capacity) -> dict[str, Any]:
    name = card.settings.name
    if not ledger.knows(name):
        if active := ledger.active_with_key(card.settings.key):
            return {"job": active, "existing": True}
        refuse_several_hosts(card.steps, where=f"job {name}", farm="a local queue")
        if refusal := capacity.refusal_of(card.steps):
            raise FarmError(f"job {name}: {refusal}")
        ledger.add(card)
    return {"job": name, "existing": False}


def _carry_out(
    request: dict[str, Any], state: Path, ledger: Ledger, kills: list[Kill]
) -> dict[str, Any]:
    command, job = request["command"], str(request["job"])
    refs: Sequence[TaskRef] = [TaskRef(step=s, index=i) for s, i in request.get("tasks", ())]
    with ledger.transaction():
        if command == "cancel":
            tokens = ledger.cancel(job)
            kills += [Kill(token=token, outcome=Outcome.CANCELLED) for token in tokens]
        elif command in ("pause", "resume"):
            ledger.set_paused(job, command == "pause")
        elif command == "priority":
            ledger.set_priority(job, int(request["priority"]))
        elif command == "retry":
            return {"count": ledger.retry(job, refs)}
        elif command == "skip":
            count, tokens = ledger.skip(job, refs)
            kills += [Kill(token=token, outcome=Outcome.SKIPPED) for token in tokens]
            return {"count": count}
        elif command == "purge":
            return {"kept": _purge(request["jobs"], float(request["before"]), state, ledger)}
        else:
            raise UsageError(f"unknown request {command!r}")
    return {}


def _purge(jobs: Sequence[str], before: float, state: Path, ledger: Ledger) -> dict[str, str]:
    """Take jobs out of the books, and their folders out of the way; why which were kept.

    A folder is moved before the books are closed: after a crash in between the job is still in
    them, and the same request repeated comes to the end.
    """
    kept: dict[str, str] = {}
    for job in jobs:
        try:
            if why := ledger.why_stay(job, before=before):
                kept[job] = why
                continue
            with suppress(FileNotFoundError):
                job_folder(state, job).rename(make_state_folder(purged_folder(state)) / job)
        except (OSError, FarmError) as error:
            kept[job] = str(error)
            continue
        ledger.forget(job)
    return kept
