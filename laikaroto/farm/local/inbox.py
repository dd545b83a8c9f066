"""Requests of clients to the holder of a queue's lock: small files, taken in order.

A submission is a bundle folder, every other request a JSON file; both appear in ``inbox/``
whole, by a rename. The answer is a file in ``replies/``. So a request survives the death of
either side, needs no open port, and works while no supervisor runs: then the client takes the
lock itself for a moment (``farm.local.engine``).
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
from laikaroto.farm.bundle import Bundle, bundle_digest, read_bundle, write_bundle
from laikaroto.farm.engine import TaskRef
from laikaroto.farm.local.capacity import Capacity
from laikaroto.farm.local.ledger import Ledger
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import write_closed
from laikaroto.farm.plan import plan_job, refuse_environments, refuse_several_hosts

_BUNDLE = ".bundle"
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


def post_bundle(state: Path, bundle: Bundle) -> str:
    """Hand in a submission; returns its ticket."""
    ticket = _ticket()
    write_bundle(bundle, state / "inbox" / f"{ticket}{_BUNDLE}")
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
        write_closed(hidden, text)
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
            if path.suffix == _BUNDLE:
                reply = _accept(path, ledger, capacity)
            else:
                reply = _carry_out(_read(path), ledger, kills)
        except LaikarotoError as error:
            reply = {"error": type(error).__name__, "message": str(error)}
        # answer first: a request that is gone without an answer would leave its client waiting
        _write_whole(state / "replies" / f"{ticket}.json", json.dumps(reply))
        _clear(state, path, reply)
    return kills


def _clear(state: Path, path: Path, reply: Mapping[str, Any]) -> None:
    """Take an answered request out of the inbox; the bundle of a new job moves to the job."""
    if path.suffix != _BUNDLE:
        path.unlink(missing_ok=True)
        return
    if "job" in reply and not reply["existing"]:
        target = state / "jobs" / reply["job"] / "bundle"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            path.rename(target)
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
    except ValueError as error:
        raise UsageError(f"{path}: is not a request: {error}") from error
    if not isinstance(request, dict) or not {"command", "job"} <= request.keys():
        raise UsageError(f"{path}: is not a request: {request!r}")
    return request


def _accept(path: Path, ledger: Ledger, capacity: Capacity) -> dict[str, Any]:
    """Enter a submitted bundle. Repeating it after a crash in between does no harm."""
    bundle = read_bundle(path)
    name = bundle.settings.name
    with ledger.transaction():
        if not ledger.knows(name):
            if active := ledger.active_with_key(bundle.settings.key):
                return {"job": active, "existing": True}
            plan = plan_job(bundle, where=f"job {name}")
            refuse_environments(plan, where=f"job {name}")
            refuse_several_hosts(plan, where=f"job {name}", farm="a local queue")
            for step in plan.steps:
                if refusal := capacity.refusal(step.name, step.requirements):
                    raise FarmError(f"job {name}: {refusal}")
            ledger.add(bundle, plan, bundle_digest(path))
    return {"job": name, "existing": False}


def _carry_out(request: dict[str, Any], ledger: Ledger, kills: list[Kill]) -> dict[str, Any]:
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
        else:
            raise UsageError(f"unknown request {command!r}")
    return {}
