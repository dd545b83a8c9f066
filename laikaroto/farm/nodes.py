"""Tasks that several hosts work at together, as ``JobSettings.nodes`` asks for.

Such a task stays one task with one record, whatever the number of hosts: the runner of the first
host (``farm.runner``) claims the attempt, runs the payload as it always does, and decides how the
attempt ended. On each of the others a companion (``run_companion``) runs the same command. All
find in their environment

``LAIKAROTO_RANK``
    which of the hosts this is, from 0;
``LAIKAROTO_RENDEZVOUS``
    a file of this attempt, on the shared file system, in which the payload of rank 0 says where
    it listens;
``LAIKAROTO_ADDRESS``
    on rank 0: the name or address under which the others reach this host.

Companions only follow. What the first host ends with is what counts, and one that has gone or was
overtaken by a later attempt takes them with it: they look for that themselves. A companion that
fails ends the attempt: its payload is asked to stop, and tried again as a whole if that may help.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laikaroto.errors import EXIT_TRY_AGAIN, LaikarotoError
from laikaroto.farm.attempt import (
    close_log,
    ending_text,
    environment_of,
    grace_s,
    open_session,
    send_log,
    start_task,
    tethered,
    told,
)
from laikaroto.farm.bundle import check_digest, read_bundle
from laikaroto.farm.outcome import Outcome, may_succeed_later
from laikaroto.farm.places import bundle_folder, make_state_folder, sessions_folder
from laikaroto.farm.plan import JobPlan, plan_job
from laikaroto.farm.processes import MARK, kill_marked, mark
from laikaroto.farm.records import Task, read_json, write_once
from laikaroto.farm.steering import read_card

_LOOK_S = 2.0  # between looks whether the attempt still counts
_END_S = 15.0  # for companions to end by themselves once the first host is done
_LAST_MOMENT_S = 5.0  # after the grace time, before everything is killed

_LOG = logging.getLogger("laikaroto.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a companion is started for: which attempt at which task."""

    task: Task
    number: int
    token: str


def place_of(call: Call, rank: int, address: str = "") -> dict[str, str]:
    """The part of a payload's environment that says which host of several it is on."""
    found = {
        "LAIKAROTO_RANK": str(rank),
        "LAIKAROTO_RENDEZVOUS": str(call.task.file(call.number, ".meeting")),
    }
    return {**found, "LAIKAROTO_ADDRESS": address} if rank == 0 else found


# ---- the first host's side -----------------------------------------------------------------


class Companions:
    """The other hosts of an attempt, as the runner of the first one sees them."""

    def __init__(
        self, call: Call, command: Sequence[str], *, say: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Start them.

        Args:
            call: the attempt.
            command: the farm's: runs one companion on each other host and ends when all have
                ended, with 0 if all went well, or as soon as one has failed.
            say: told every line they print.
            ended: told the exit code of the command; both on a thread of their own.
        """
        self._call = call
        setpriv = shutil.which("setpriv")
        tether = [] if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--"]
        self._process = subprocess.Popen(
            [*tether, *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env={**os.environ, MARK: mark(call.task.state, _mark(call))},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(say, ended), daemon=True)
        self._reader.start()

    def _read(self, say: Callable[[str], None], ended: Callable[[int], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            say(line.rstrip())
        ended(self._process.wait())

    def end(self, *, patience_s: float = _END_S) -> None:
        """Wait until they have ended by themselves, then end them."""
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
                break
        kill_marked(self._call.task.state, _mark(self._call))
        self._reader.join(_LAST_MOMENT_S)


def _mark(call: Call) -> str:
    """Mark of the command that runs the companions; theirs differ, as other hosts' do."""
    return f"{call.token}.companions"


def kill_companions(state: Path, token: str) -> None:
    """End what started the companions of an attempt whose runner is dead."""
    kill_marked(state, f"{token}.companions")


def first_failure(task: Task, number: int, nodes: int) -> tuple[int, str] | None:
    """Exit code and message of the companion that failed first; None if none has.

    The others fail because of it: they lose contact, or are ended.
    """
    found = []
    for rank in range(1, nodes):
        with suppress(FileNotFoundError):
            said = read_json(task.file(number, f".node-{rank}.json"))
            if said["exit_code"]:
                text = f"node {rank} ({said['host']}): {said['message']}"
                found.append((said["ended"], said["exit_code"], text))
    return min(found)[1:] if found else None


def would_come_again(exit_code: int) -> bool:
    """Whether a companion's exit code says that trying again does not help."""
    return not may_succeed_later(Outcome.EXITED, exit_code)


# ---- the other hosts' side -----------------------------------------------------------------


def run_companion(call: Call, *, rank: int, host: str) -> int:
    """Run the payload of one further host until it ends, or the attempt counts no more.

    Args:
        call: the attempt, claimed by the first host.
        rank: which host this is, from 1.
        host: what the farm calls it.

    Returns:
        Exit code of the payload; above 128 if a signal killed it.
    """
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: events.put(("stop", None)))
    handler = logging.StreamHandler(sys.stdout)
    send_log(handler, f"node {rank} ({host}): ".replace("%", "%%") + "%(message)s")
    text = ""
    mine = f"{call.token}.node-{rank}"
    folder = sessions_folder(call.task.state, mine)
    try:
        code, text = _Companion(call, rank, events).run(folder, mine)
    except LaikarotoError as error:  # the bundle was changed or damaged
        code, text = error.exit_code, str(error)
    except Exception as error:  # whatever it is, it has to be on record
        _LOG.exception("companion could not be started")
        code, text = EXIT_TRY_AGAIN, f"could not be started: {error}"
    finally:
        kill_marked(call.task.state, mine)  # nothing of it may outlive it
        shutil.rmtree(folder, ignore_errors=True)
        close_log(handler, text or "done")
    write_once(
        call.task.file(call.number, f".node-{rank}.json"),
        {"exit_code": code, "message": text, "host": host, "ended": time.time()},
    )
    return code


class _Companion:
    def __init__(self, call: Call, rank: int, events: queue.SimpleQueue[tuple[str, Any]]) -> None:
        self._call, self._rank, self._events = call, rank, events
        self._mercy: float | None = None  # monotonic time until which a stopped payload may go on

    def run(self, folder: Path, mine: str) -> tuple[int, str]:
        """Exit code and how it ended, in words."""
        call = self._call
        task, card = call.task, read_card(call.task.state, call.task.job)
        bundle = bundle_folder(task.state, task.job)
        check_digest(bundle, card.digest)
        plan: JobPlan = plan_job(tethered(read_bundle(bundle)), where=f"job {task.job}")
        make_state_folder(folder.parent)
        make_state_folder(folder)
        session = open_session(
            task.job, plan, folder=folder, callback=lambda _, s: self._events.put(("action", s))
        )
        step = card.step(task.step)
        environment = environment_of(
            mark=mark(task.state, mine), attempt=call.number,
            threads=max(card.threads, step.requirements.cpus or 0),
            lease=task.file(call.number + 1, ".claim.json"),
        ) | place_of(call, self._rank)  # fmt: skip
        start_task(session, plan, task.step, dict(step.tasks[task.index]), environment)
        status = self._watch(session, grace_s(plan, task.step), mine)
        code = status.exit_code
        if code is None:
            return EXIT_TRY_AGAIN, told(status.fail_message) or "could not be started"
        return (code if code >= 0 else 128 - code), ending_text(status)

    def _watch(self, session: Any, grace: float, mine: str) -> Any:
        """Wait for the end of the payload; OpenJD's last word on it."""
        from openjd.sessions import ActionState

        while True:
            try:
                kind, what = self._events.get(timeout=_LOOK_S if self._mercy is None else 0.2)
            except queue.Empty:
                kind, what = "tick", None
            if kind == "action" and what.state is not ActionState.RUNNING:
                return what
            if kind == "stop":
                self._stop(session, grace + _LAST_MOMENT_S)
            elif self._mercy is None and self._call.task.superseded(self._call.number):
                self._stop(session, 0.0)
            if self._mercy is not None and time.monotonic() > self._mercy:
                kill_marked(self._call.task.state, mine)

    def _stop(self, session: Any, mercy_s: float) -> None:
        if self._mercy is None:
            self._mercy = time.monotonic() + mercy_s
            with suppress(RuntimeError, AttributeError):  # it has just ended, or not begun
                session.cancel_action()
