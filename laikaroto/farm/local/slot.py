"""A slot: one process that runs one task at a time in an OpenJD session.

Started by the supervisor as ``python -m laikaroto.farm.local.slot``; talks with it in JSON
lines, orders on standard input, reports on standard output. When its input ends the
supervisor is gone: the slot kills what it runs and leaves, so that nothing is running twice
when the next supervisor starts.

A session is kept for the next task of the same job. After anything but success OpenJD allows
only its end, so the next task gets a new one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laikaroto.errors import LaikarotoError
from laikaroto.farm.attempt import (
    close_log,
    ending_text,
    environment_of,
    grace_s,
    open_log,
    open_session,
    start_task,
    tethered,
    told,
)
from laikaroto.farm.bundle import check_digest, read_bundle
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import (
    bundle_folder,
    log_file,
    result_file,
    sessions_folder,
    write_closed,
)
from laikaroto.farm.plan import JobPlan, plan_job
from laikaroto.farm.processes import STUCK_S, Hunt, adopt_orphans, mark

HEARTBEAT_S = 5.0
_PROGRESS_EVERY_S = 0.5
_KILL_LOOK_S = 0.2
_CLEAR_S = 0.5  # what is left of an attempt is mostly gone so soon
_LEAVE_S = 4.0  # below the time the supervisor allows


@dataclass(slots=True, kw_only=True)
class Running:
    """The attempt at hand."""

    order: dict[str, Any]
    deadline: float
    ending: Outcome | None = None  # why it was told to stop
    mercy: float = 0.0  # monotonic time until which it may end by itself then
    reported: float = 0.0
    ended: tuple[Outcome, int | None, str] | None = None  # nothing but its leftovers run
    cleared_by: float = 0.0  # monotonic time after which leftovers are worth a word

    @property
    def token(self) -> str:
        """The lease of the attempt."""
        return str(self.order["token"])


class Slot:
    """Takes orders, runs them, reports."""

    def __init__(self, state: Path, name: str, reports: Any, *, adopts: bool = False) -> None:
        """Make a slot.

        Args:
            state: the queue's state folder.
            name: of the slot, unique in the queue.
            reports: text stream to the supervisor.
            adopts: this process has called ``processes.adopt_orphans``.
        """
        self._state, self._adopts = state, adopts
        self._folder = sessions_folder(state, name)
        self._reports = reports
        self._writing = threading.Lock()
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._plan: tuple[str, JobPlan] | None = None
        self._session: Any = None
        self._session_job = ""
        self._running: Running | None = None
        self._hunt: Hunt | None = None
        self._log: logging.Handler | None = None

    # ---- talking --------------------------------------------------------------------------

    def _report(self, **message: Any) -> None:
        try:
            with self._writing:
                self._reports.write(json.dumps(message) + "\n")
                self._reports.flush()
        except OSError:
            self._events.put(("gone", None))

    def _listen(self, orders: Any) -> None:
        """Thread: pass on the supervisor's orders, and its end."""
        for line in orders:
            self._events.put(("order", json.loads(line)))
        self._events.put(("gone", None))

    def _on_action(self, session_id: str, status: Any) -> None:
        """OpenJD's callback, on a thread of its own."""
        self._events.put(("action", status))

    # ---- the loop -------------------------------------------------------------------------

    def serve(self, orders: Any) -> None:
        """Run until the supervisor is gone."""
        threading.Thread(target=self._listen, args=(orders,), daemon=True).start()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._report(kind="ready")
        beat = time.monotonic()
        while True:
            try:
                kind, what = self._events.get(timeout=self._patience())
            except queue.Empty:
                kind, what = "tick", None
            if kind == "gone":
                break
            if kind == "order":
                self._obey(what)
            elif kind == "action":
                self._follow(what)
            self._check()
            if time.monotonic() - beat > HEARTBEAT_S:
                beat = time.monotonic()
                self._report(kind="alive")
        self._leave()

    def _patience(self) -> float:
        if self._running is None:
            return HEARTBEAT_S
        if self._running.ending is not None or self._running.ended is not None:
            return _KILL_LOOK_S
        return max(0.01, min(HEARTBEAT_S, self._running.deadline - time.monotonic()))

    def _obey(self, order: dict[str, Any]) -> None:
        if order["kind"] == "run":
            self._start(order)
        elif self._running is not None and order["token"] == self._running.token:
            if self._running.ended is not None:
                return  # by itself, just now
            self._stop(Outcome(order["outcome"]))

    def _check(self) -> None:
        """End what runs too long; see that what was told to stop does, with all it started."""
        if self._running is None:
            return
        if self._running.ended is not None:
            self._clear(self._running)
        elif self._running.ending is not None:
            if time.monotonic() >= self._running.mercy:
                self._hunt_of(self._running).strike()
        elif time.monotonic() > self._running.deadline:
            self._stop(Outcome.TIMEOUT)

    def _stop(self, why: Outcome) -> None:
        assert self._running is not None
        if self._running.ending is None:
            self._running.ending = why
            assert self._plan is not None
            grace = grace_s(self._plan[1], str(self._running.order["step"]))
            self._running.mercy = time.monotonic() + grace
        try:
            self._session.cancel_action()
        except RuntimeError:
            pass  # it has just ended by itself

    # ---- one attempt ----------------------------------------------------------------------

    def _start(self, order: dict[str, Any]) -> None:
        self._running = Running(order=order, deadline=time.monotonic() + order["timeout_s"])
        self._hunt = None
        try:
            self._open_log(order)
            plan = self._plan_of(order["job"], order["digest"])
            self._open_session(order["job"], plan)
            start_task(
                self._session, plan, order["step"], order["parameters"],
                environment_of(
                    mark=mark(self._state, order["token"]), attempt=order["attempt"],
                    threads=order["threads"],
                ),
            )  # fmt: skip
        except LaikarotoError as error:  # the bundle was changed or damaged
            self._end(Outcome.EXITED, error.exit_code, str(error))
        except Exception as error:  # whatever it is, the task ends and the slot lives
            logging.getLogger(__name__).exception("task could not be started")
            self._end(Outcome.LOST, None, f"could not be started: {error}")

    def _plan_of(self, job: str, digest: str) -> JobPlan:
        if self._plan is None or self._plan[0] != job:
            folder = bundle_folder(self._state, job)
            if digest:
                check_digest(folder, digest)
            self._plan = (job, plan_job(tethered(read_bundle(folder)), where=f"job {job}"))
        return self._plan[1]

    def _open_session(self, job: str, plan: JobPlan) -> None:
        from openjd.sessions import SessionState

        if self._session is not None:
            if self._session.state is SessionState.READY and self._session_job == job:
                return
            self._session.cleanup()
        self._session_job = job
        self._session = open_session(job, plan, folder=self._folder, callback=self._on_action)

    def _open_log(self, order: dict[str, Any]) -> None:
        job, step, index, attempt = (order[key] for key in ("job", "step", "index", "attempt"))
        values = ", ".join(f"{key}={value}" for key, value in order["parameters"].items())
        self._log = open_log(
            log_file(self._state, job, step, index, attempt),
            f"job {job}, step {step}, task {index}, attempt {attempt}, {values or 'no parameters'}",
        )

    def _follow(self, status: Any) -> None:
        """React to what OpenJD says of the running action."""
        from openjd.sessions import ActionState

        run = self._running
        if run is None or run.ended is not None:
            return
        if status.state is ActionState.RUNNING:
            if time.monotonic() - run.reported > _PROGRESS_EVERY_S:
                run.reported = time.monotonic()
                progress = None if status.progress is None else status.progress / 100
                self._report(
                    kind="progress", token=run.token, progress=progress,
                    message=told(status.status_message),
                )  # fmt: skip
            return
        code = status.exit_code
        if run.ending is not None and status.state is not ActionState.SUCCESS:
            text = {Outcome.TIMEOUT: f"ran longer than {run.order['timeout_s']:g} s"}
            self._end(run.ending, code, text.get(run.ending, ""))
        elif code is None and status.state is not ActionState.SUCCESS:
            self._end(Outcome.LOST, None, told(status.fail_message) or "could not be started")
        elif status.state is ActionState.TIMEOUT:
            self._end(Outcome.TIMEOUT, code, "ran longer than its template allows")
        else:
            self._end(Outcome.EXITED, code or 0, ending_text(status))

    def _end(self, outcome: Outcome, exit_code: int | None, message: str) -> None:
        """The payload has ended: nothing of the attempt may outlive it."""
        assert self._running is not None
        self._running.ended = (outcome, exit_code, message)
        self._running.cleared_by = time.monotonic() + STUCK_S
        self._hunt_of(self._running).finish(_CLEAR_S)
        self._clear(self._running)

    def _clear(self, run: Running) -> None:
        """Report the end of the attempt once all it left is gone."""
        assert run.ended is not None
        hunt = self._hunt_of(run)
        if hunt.over():
            self._finish(*run.ended)
        elif time.monotonic() > run.cleared_by:
            run.cleared_by = time.monotonic() + STUCK_S
            text = f"has ended, but {hunt.stuck()}"
            logging.getLogger(__name__).warning("%s: %s", run.order["job"], text)
            self._report(kind="progress", token=run.token, progress=None, message=text)

    def _hunt_of(self, run: Running) -> Hunt:
        if self._hunt is None:
            self._hunt = Hunt(self._state, run.token, family=self._adopts)
        return self._hunt

    def _finish(self, outcome: Outcome, exit_code: int | None, message: str) -> None:
        """Write the result record, then tell the supervisor."""
        assert self._running is not None
        order, self._running = self._running.order, None
        if self._log is not None:
            close_log(self._log, f"task {message or ('done' if exit_code == 0 else outcome.value)}")
            self._log = None
        record = {"outcome": outcome.value, "exit_code": exit_code, "message": message}
        path = result_file(
            self._state, order["job"], order["step"], order["index"], order["attempt"]
        )
        hidden = path.with_name(f".{path.name}")
        try:
            write_closed(hidden, json.dumps({**record, "token": order["token"]}))
            os.replace(hidden, path)
        except OSError as error:  # the report below still reaches a living supervisor
            logging.getLogger(__name__).error("cannot write %s: %s", path, error)
        self._report(kind="ended", token=order["token"], **record)

    def _leave(self) -> None:
        if self._running is not None and not self._hunt_of(self._running).finish(_LEAVE_S):
            logging.getLogger(__name__).warning("%s", self._hunt_of(self._running).stuck())
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)  # OpenJD's threads must not keep a slot alive whose supervisor is gone


def main() -> None:
    """Entry point of the slot process: ``slot STATE NAME``."""
    state, name = Path(sys.argv[1]), sys.argv[2]
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a stray print goes to the supervisor's log, not between the reports
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    Slot(state, name, reports, adopts=adopt_orphans()).serve(sys.stdin)


if __name__ == "__main__":
    main()
