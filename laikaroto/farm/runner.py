"""Run one task of a job here and now, for farms that start processes themselves.

Whatever the farm, a task is: claim the next attempt, run the payload in an OpenJD session,
watch over it, write down how it ended. The farm is told by the answer whether to run the task
again. Slurm's side of it is ``farm.slurm.task``, OpenCue's ``farm.opencue.frame``.

A farm may believe a host dead and start the task elsewhere while the payload lives on. Then the
later attempt's claim is the fence: this runner sees it and kills its payload, and a payload
that is about to publish sees it itself (``worker.lease``).
"""

from __future__ import annotations

import logging
import platform
import queue
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from laikaroto.errors import EXIT_TRY_AGAIN, FarmError, LaikarotoError
from laikaroto.farm.attempt import (
    close_log,
    ending_text,
    environment_of,
    grace_s,
    open_log,
    open_session,
    say,
    start_task,
    tethered,
    told,
)
from laikaroto.farm.bundle import check_digest, read_bundle
from laikaroto.farm.ending import tell_own_end
from laikaroto.farm.engine import TaskState
from laikaroto.farm.nodes import (
    Call,
    Companions,
    first_failure,
    kill_companions,
    place_of,
    would_come_again,
)
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import bundle_folder, log_file, make_state_folder, sessions_folder
from laikaroto.farm.plan import JobPlan, plan_job
from laikaroto.farm.processes import STUCK_S, Hunt, kill_marked, mark
from laikaroto.farm.records import Attempt, Task, Verdict, judge
from laikaroto.farm.steering import Card, read_card, read_steering

LOOK_S = 2.0  # between looks for a later attempt
_PROGRESS_EVERY_S = 1.0
_KILL_LOOK_S = 0.2
_LAST_MOMENT_S = 5.0  # after the grace time, before everything is killed

_LOG = logging.getLogger("laikaroto.farm")


class Ending(Enum):
    """What the farm has to do with a task whose process ends."""

    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"
    HELD = "held"  # the job was paused meanwhile: not to be started before it is resumed


class _Why(Enum):
    """Why a payload was told to stop."""

    FARM = "farm"  # the farm says so: cancelled, skipped, preempted, requeued
    LIMIT = "limit"  # the farm's time limit is near
    TIMEOUT = "timeout"  # the queue's own
    FENCED = "fenced"  # a later attempt has begun
    NODE = "node"  # another host of this task failed


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSide:
    """What the runner has to know of the farm that started it.

    Args:
        farm_id: what the farm calls this attempt.
        host: what the farm calls this host.
        others: the same of further hosts that the task was given.
        ends_at: when the farm will kill it, seconds since 1970; None for never. Asked again
            when the time is near, because limits may be extended.
        stop_before_s: how long before that the payload is asked to save its work and end.
        told: asked every few seconds; True once the payload has to end, for farms that do not
            say so with a signal.
        adopts: this process runs nothing else and has called ``processes.adopt_orphans``.
        companions: the command that starts a companion on each other host of a task that has
            several (``farm.nodes``), given the attempt, the number of hosts and the CPUs of
            each; None if this farm gives a task one host.
        address: under which name or address those reach this host.
    """

    farm_id: str = ""
    host: str = field(default_factory=platform.node)
    others: Sequence[str] = ()
    ends_at: Callable[[], float | None] = lambda: None
    stop_before_s: float = 60.0
    told: Callable[[], bool] = lambda: False
    adopts: bool = False
    companions: Callable[[Call, int, int], Sequence[str]] | None = None
    address: Callable[[], str] = platform.node


def run_task(task: Task, farm: FarmSide) -> tuple[Ending, int]:
    """Run a task of a submitted job unless there is a reason not to.

    Args:
        task: which.
        farm: who starts it.

    Returns:
        What the farm has to do next, and an exit code: 0 done, 75 again, else failed.

    Raises:
        FarmError: there is no such job.
        TryAgainError: the records cannot be written.
    """
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    for number, why in _SIGNALS.items():
        signal.signal(number, lambda *_, why=why: events.put(("stop", why)))
    card, steering = read_card(task.state, task.job), read_steering(task.state, task.job)
    since = steering.counted_since(task.step, task.index)
    verdict = _settle(task, farm, since, card.settings.attempts)
    if verdict.state is TaskState.SUCCEEDED or steering.is_skipped(task.step, task.index):
        return Ending.DONE, 0
    if steering.is_cancelled(task.step, task.index) or verdict.state is not TaskState.READY:
        return Ending.FAILED, 1
    if steering.paused:
        return Ending.HELD, EXIT_TRY_AGAIN
    number = (verdict.last.number if verdict.last else 0) + 1
    token = secrets.token_hex(8)
    if not task.claim(
        number, token=token, host=farm.host, farm_id=farm.farm_id, others=farm.others
    ):
        return Ending.AGAIN, EXIT_TRY_AGAIN  # another copy was faster; let it come to an end
    answer = _answer(task, since, card, _Run(task, card, farm, number, token, events).run())
    _tell_end(task)
    return answer


def _tell_end(task: Task) -> None:
    """Tell the end of the job if this was its last task; the task has ended in any case."""
    try:
        tell_own_end(task.state, task.job)
    except LaikarotoError as error:
        _LOG.warning("the end of job %s may not have been told: %s", task.job, error)


_SIGNALS: dict[int, _Why] = {
    signal.SIGTERM: _Why.FARM,
    signal.SIGINT: _Why.FARM,
    signal.SIGUSR1: _Why.LIMIT,
}


def _settle(task: Task, farm: FarmSide, since: int, allowed: int) -> Verdict:
    """Close attempts that never ended: their host was lost, or their runner killed."""
    for attempt in task.attempts():
        if attempt.ended is not None:
            continue
        if attempt.host == farm.host:
            kill_companions(task.state, attempt.token)
            kill_marked(task.state, attempt.token)
            shutil.rmtree(sessions_folder(task.state, attempt.token), ignore_errors=True)
        task.end(attempt.number, Outcome.LOST, exit_code=None, message=_lost(attempt, farm))
    return judge(task.attempts(), since=since, allowed=allowed)


def _lost(attempt: Attempt, farm: FarmSide) -> str:
    if attempt.host == farm.host and attempt.farm_id == farm.farm_id:
        return "its runner died"
    return f"lost with its host {attempt.host}"


def _answer(task: Task, since: int, card: Card, exit_code: int | None) -> tuple[Ending, int]:
    verdict = judge(task.attempts(), since=since, allowed=card.settings.attempts)
    if verdict.state.done:
        return Ending.DONE, 0
    if verdict.state is TaskState.READY:
        return Ending.AGAIN, EXIT_TRY_AGAIN
    code = exit_code if exit_code is not None and 0 < exit_code < 126 else 1
    return Ending.FAILED, 1 if code == EXIT_TRY_AGAIN else code


class _Run:
    """One attempt that is claimed."""

    def __init__(
        self, task: Task, card: Card, farm: FarmSide, number: int, token: str,
        events: queue.SimpleQueue[tuple[str, Any]],
    ) -> None:  # fmt: skip
        self._task, self._card, self._farm = task, card, farm
        self._number, self._token, self._events = number, token, events
        self._why: _Why | None = None
        self._grace_s = 0.0
        self._mercy = 0.0  # monotonic time until which a payload told to stop may go on
        self._reported = 0.0
        self._session: Any = None
        self._known_end: float | None = 0.0  # 0: not asked yet
        self._hunt = Hunt(task.state, token, family=farm.adopts)
        self._companions: Companions | None = None

    def run(self) -> int | None:
        """Run the payload; write down how it ended; its exit code."""
        log = open_log(
            log_file(
                self._task.state, self._task.job, self._task.step, self._task.index, self._number
            ),
            self._title(),
        )
        folder = sessions_folder(self._task.state, self._token)
        try:
            outcome, code, text = self._attempt(folder)
        except LaikarotoError as error:  # the bundle was changed or damaged
            outcome, code, text = Outcome.EXITED, error.exit_code, str(error)
        except Exception as error:  # whatever it is, it has to be on record
            _LOG.exception("task could not be started")
            outcome, code, text = Outcome.LOST, None, f"could not be started: {error}"
        finally:
            self._clear()
            shutil.rmtree(folder, ignore_errors=True)
        if not self._task.end(self._number, outcome, exit_code=code, message=text):
            text = "ends without a say: a later attempt has begun, or this one was closed"
        close_log(log, f"task {text or ('done' if code == 0 else outcome.value)}")
        return code

    def _clear(self) -> None:
        """See that nothing of the attempt outlives it, before its end is on record."""
        while not self._hunt.finish(STUCK_S):
            _LOG.warning("%s", self._hunt.stuck())
            self._task.progress(self._number, None, f"has ended, but {self._hunt.stuck()}")

    def _title(self) -> str:
        task, values = self._task, self._parameters()
        listed = ", ".join(f"{key}={value}" for key, value in values.items()) or "no parameters"
        return (
            f"job {task.job}, step {task.step}, task {task.index}, attempt {self._number}, "
            f"host {self._farm.host}, {listed}"
        )

    def _parameters(self) -> dict[str, str]:
        return dict(self._card.step(self._task.step).tasks[self._task.index])

    def _attempt(self, folder: Path) -> tuple[Outcome, int | None, str]:
        task, card = self._task, self._card
        bundle = bundle_folder(task.state, task.job)
        check_digest(bundle, card.digest)
        plan = plan_job(tethered(read_bundle(bundle)), where=f"job {task.job}")
        self._grace_s = grace_s(plan, task.step)
        make_state_folder(folder.parent)
        make_state_folder(folder)
        try:
            self._start(plan, folder)
            status = self._watch()
        finally:
            if self._companions is not None:
                self._companions.end()
        return self._ended(status)

    def _start(self, plan: JobPlan, folder: Path) -> None:
        task = self._task
        threads = max(self._card.threads, self._card.step(task.step).requirements.cpus or 0)
        self._session = open_session(
            task.job, plan, folder=folder, callback=lambda _, status: self._hear(status)
        )
        start_task(
            self._session, plan, task.step, self._parameters(),
            environment_of(
                mark=mark(task.state, self._token), attempt=self._number, threads=threads,
                lease=task.file(self._number + 1, ".claim.json"),
            )
            | self._gather(threads),
        )  # fmt: skip

    def _gather(self, cpus: int) -> dict[str, str]:
        """Start companions where the task has several hosts; what its payload has to know."""
        nodes = self._card.step(self._task.step).requirements.nodes
        if nodes == 1:
            return {}
        if self._farm.companions is None:
            raise FarmError(
                f"step {self._task.step!r} asks for {nodes} hosts at once; this farm gives a task "
                "one. Submit the job with --nodes 1"
            )
        call = Call(task=self._task, number=self._number, token=self._token)
        self._companions = Companions(
            call, self._farm.companions(call, nodes, cpus), say=say,
            ended=lambda code: self._events.put(("companions", code)),
        )  # fmt: skip
        return place_of(call, 0, self._farm.address())

    def _hear(self, status: Any) -> None:
        self._events.put(("action", status))

    # ---- watching -------------------------------------------------------------------------

    def _watch(self) -> Any:
        """Wait for the end of the payload; returns OpenJD's last word on it."""
        from openjd.sessions import ActionState

        started = looked = time.monotonic()
        while True:
            try:
                kind, what = self._events.get(timeout=self._patience())
            except queue.Empty:
                kind, what = "tick", None
            if kind == "stop":
                self._stop(what)
            elif kind == "companions":
                if what:
                    self._stop(_Why.NODE)
            elif kind == "action" and what.state is ActionState.RUNNING:
                self._report(what)
            elif kind == "action":
                return what
            now = time.monotonic()
            if now - looked > LOOK_S:
                looked = now
                self._look(now - started)
            if self._why is not None and now > self._mercy:
                self._hunt.strike()

    def _patience(self) -> float:
        return LOOK_S if self._why is None else _KILL_LOOK_S

    def _look(self, ran_s: float) -> None:
        """See whether something asks for the end of the payload."""
        if self._task.superseded(self._number):
            self._stop(_Why.FENCED)
        elif self._farm.told():
            self._stop(_Why.FARM)
        elif ran_s > self._card.timeout_s:
            self._stop(_Why.TIMEOUT)
        elif self._ends_soon():
            self._stop(_Why.LIMIT)

    def _ends_soon(self) -> bool:
        if self._known_end is None or time.time() < self._known_end:
            return False
        self._known_end = self._stop_time()  # it may have been extended
        return self._known_end is not None and time.time() >= self._known_end

    def _stop_time(self) -> float | None:
        """When the payload has to be asked to end; None if there is no limit."""
        end = self._farm.ends_at()
        if end is None:
            return None
        started = self._task.attempts()[-1].started
        # a short limit leaves most of itself for work
        return end - min(self._farm.stop_before_s, max(0.0, end - started) / 2)

    def _stop(self, why: _Why) -> None:
        if self._why is None:
            self._why = why
            grace = 0.0 if why is _Why.FENCED else self._grace_s
            self._mercy = time.monotonic() + grace + (_LAST_MOMENT_S if grace else 0.0)
        elif why is _Why.FARM:
            self._why = why  # the farm's word is final, whatever began the end
        try:
            self._session.cancel_action()
        except (RuntimeError, AttributeError):
            pass  # it has just ended by itself, or not begun

    def _report(self, status: Any) -> None:
        if time.monotonic() - self._reported < _PROGRESS_EVERY_S:
            return
        self._reported = time.monotonic()
        fraction = None if status.progress is None else status.progress / 100
        self._task.progress(self._number, fraction, told(status.status_message))

    # ---- ending ---------------------------------------------------------------------------

    def _ended(self, status: Any) -> tuple[Outcome, int | None, str]:
        """Outcome, exit code and message of a payload that has ended."""
        from openjd.sessions import ActionState

        code = status.exit_code
        if status.state is ActionState.SUCCESS:
            return Outcome.EXITED, code or 0, ending_text(status)
        if (node := self._failed_node(code)) is not None:
            return Outcome.EXITED, *node
        if self._why is not None:
            return self._ended_early(self._why, code, status)
        if code is None:
            return Outcome.LOST, None, told(status.fail_message) or "could not be started"
        if status.state is ActionState.TIMEOUT:
            return Outcome.TIMEOUT, code, "ran longer than its template allows"
        return Outcome.EXITED, code, ending_text(status)

    def _failed_node(self, code: int | None) -> tuple[int, str] | None:
        """Exit code and message of a companion, if that is why the payload did not succeed."""
        if self._companions is None or self._why not in (None, _Why.NODE):
            return None
        if code is not None and would_come_again(code):
            return None  # it has a reason of its own
        nodes = self._card.step(self._task.step).requirements.nodes
        failure = first_failure(self._task, self._number, nodes)
        if self._why is _Why.NODE:
            return failure or (EXIT_TRY_AGAIN, "the other hosts of this task could not be started")
        # a payload that lost contact says so itself, unless trying again would not help
        return failure if failure is not None and would_come_again(failure[0]) else None

    def _ended_early(
        self, why: _Why, code: int | None, status: Any
    ) -> tuple[Outcome, int | None, str]:
        task = self._task
        if why is _Why.TIMEOUT:
            return Outcome.TIMEOUT, code, f"ran longer than {self._card.timeout_s:g} s"
        if why is _Why.FENCED:
            return Outcome.LOST, code, "a later attempt has begun"
        if why is _Why.LIMIT:
            if code == EXIT_TRY_AGAIN:
                return Outcome.RETURNED, code, "stopped before the farm's time limit; goes on"
            text = "reached the farm's time limit and does not stop in a way it can go on from"
            return Outcome.TIMEOUT, code, f"{text}: {ending_text(status)}"
        steering = read_steering(task.state, task.job)
        if steering.is_skipped(task.step, task.index):
            return Outcome.SKIPPED, code, "skipped by hand"
        if steering.is_cancelled(task.step, task.index):
            return Outcome.CANCELLED, code, "cancelled"
        return Outcome.RETURNED, code, "the farm took it back"
