"""The supervisor: gives work to slots, keeps the books, notices who has died.

One loop, woken by what slots report and otherwise ten times a second to look into the inbox.
It alone writes the database. Priority is strict: while the task whose turn it is does not fit
into what is free, nothing behind it starts, so that a big task is not starved by small ones.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from laikaroto.config import QueueConfig, parse_duration
from laikaroto.errors import FarmError
from laikaroto.farm.local import inbox
from laikaroto.farm.local.capacity import Capacity
from laikaroto.farm.local.ledger import Ledger, Work
from laikaroto.farm.local.messenger import Messenger
from laikaroto.farm.local.owner import own, read_card, remove_card, settle, write_card
from laikaroto.farm.notices import CHANNELS
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import sessions_folder
from laikaroto.farm.processes import MARK, STUCK_S, Hunt, mark

_LOG = logging.getLogger("laikaroto.farm")
POLL_S = 0.1
HASTE_S = 0.005  # between looks into the inbox for a moment after a request: more may follow
LOOK_S = 0.5  # how often tasks are looked for that only waited for a time
LEASE_S = 60.0  # a slot that is silent for so long is taken for dead
_LEAVE_S = 5.0  # time slots get to kill their payloads when the farm stops


@dataclass(slots=True, kw_only=True, eq=False)
class SlotProcess:
    """One slot as its supervisor sees it."""

    name: str
    process: subprocess.Popen[bytes]
    heard: float
    work: Work | None = None
    ending: Outcome | None = None
    unread: bytes = b""
    hunt: Hunt | None = None  # the slot is dead; what it ran is being killed
    why: str = ""  # it is dead
    word_due: float = 0.0  # monotonic time after which a process that will not die is told of

    @property
    def orders(self) -> IO[bytes]:
        """Pipe to the slot."""
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def reports(self) -> IO[bytes]:
        """Pipe from the slot."""
        assert self.process.stdout is not None
        return self.process.stdout


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Runs one queue on this machine until it is told to stop."""

    queue: QueueConfig
    state: Path
    until_idle: bool = False
    adopt: bool = False
    _slots: list[SlotProcess] = field(default_factory=list)
    _made: int = 0
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stop: bool = False
    _drain: bool = False
    _looked: float = 0.0
    _asked: float = 0.0
    _messenger: Messenger = field(default_factory=Messenger)

    def run(self) -> None:
        """Own the queue and serve it.

        Ends on SIGTERM or SIGINT (running tasks are given back), on SIGUSR1 once running tasks
        have ended, or with ``until_idle`` when there is nothing left to do.

        Raises:
            FarmError: another supervisor runs, or the queue belongs to another host.
        """
        capacity = Capacity.of(self.queue)
        # a client holds the lock for a moment only, another supervisor for good
        patience_s = 0.0 if read_card(self.state) else 3.0
        with own(self.state, patience_s=patience_s, adopt=self.adopt) as ledger:
            if ledger is None:
                pid = (read_card(self.state) or {}).get("pid", "unknown")
                raise FarmError(
                    f"queue {self.queue.name!r} already has a supervisor (process {pid}); "
                    "'laikaroto farm status' shows it"
                )
            former = self._listen_to_signals()
            write_card(
                self.state, queue=self.queue.name, slots=capacity.slots,
                threads=capacity.threads, memory_mib=capacity.memory_mib,
            )  # fmt: skip
            _LOG.info(
                "queue %s: %d slots of %d threads, %d MiB", self.queue.name, capacity.slots,
                capacity.threads, capacity.memory_mib,
            )  # fmt: skip
            try:
                self._serve(ledger, capacity)
            finally:
                self._leave(ledger)
                remove_card(self.state)
                for number, handler in former.items():
                    signal.signal(number, handler)

    def _listen_to_signals(self) -> dict[int, Any]:
        """Let signals end the loop; returns the handlers that were there."""

        def stop(number: int, frame: object) -> None:
            self._stop = True

        def drain(number: int, frame: object) -> None:
            self._drain = True

        wanted = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGUSR1: drain}
        return {number: signal.signal(number, handler) for number, handler in wanted.items()}

    def _serve(self, ledger: Ledger, capacity: Capacity) -> None:
        self._new_slot()  # a slot takes a moment to start: have one at hand
        while not self._stop:
            changed = self._hear(ledger)
            if inbox.pending(self.state):
                self._kill(inbox.take_requests(self.state, ledger, capacity))
                changed = True
                self._asked = time.monotonic()
            self._bury(ledger)
            now = time.monotonic()
            if (changed or now - self._looked > LOOK_S) and not self._drain:
                self._looked = now
                self._give(ledger, capacity)
            self._tell(ledger)
            busy = any(slot.work for slot in self._slots)
            if self._drain and not busy:
                return
            if self.until_idle and not busy and self._idle(ledger):
                return

    def _idle(self, ledger: Ledger) -> bool:
        """True if nothing is left to do: no task, no request, no end that was not told yet."""
        told = not self._messenger.busy and not ledger.notices.untold()
        return told and ledger.idle() and not inbox.pending(self.state)

    def _tell(self, ledger: Ledger) -> None:
        """Hand over notices that are due, and write down what became of those before."""
        self._note_answers(ledger)
        for channel in CHANNELS:
            if channel not in self._messenger.busy and (notice := ledger.notices.due(channel)):
                self._messenger.send(notice)

    def _note_answers(self, ledger: Ledger) -> None:
        for answer in self._messenger.answers():
            with ledger.transaction():
                _LOG.info("%s", ledger.notices.note_answer(answer))

    # ---- hearing slots --------------------------------------------------------------------

    def _hear(self, ledger: Ledger) -> bool:
        """Read what slots report, waiting a moment for it; True if a task ended."""
        asked = time.monotonic() - self._asked < POLL_S
        ready = self._selector.select(timeout=HASTE_S if asked else POLL_S)
        messages: list[tuple[SlotProcess, dict[str, Any]]] = []
        for key, _ in ready:
            slot: SlotProcess = key.data
            data = os.read(slot.reports.fileno(), 65536)
            slot.heard = time.monotonic()
            if not data:
                self._selector.unregister(slot.reports)
                slot.process.kill()  # its voice is gone: take it for dead, and make sure
            *lines, slot.unread = (slot.unread + data).split(b"\n")
            messages += [(slot, json.loads(line)) for line in lines]
        ended = False
        for slot, message in messages:
            if message["kind"] == "ended":
                self._close(ledger, slot, message)
                ended = True
            elif message["kind"] == "progress":
                with ledger.transaction():
                    ledger.progress(message["token"], message["progress"], message["message"])
        return ended

    def _close(self, ledger: Ledger, slot: SlotProcess, message: dict[str, Any]) -> None:
        with ledger.transaction():
            ledger.end(
                message["token"], Outcome(message["outcome"]), exit_code=message["exit_code"],
                message=message["message"],
            )  # fmt: skip
        if slot.work is not None and slot.work.token == message["token"]:
            _LOG.info("%s: %s %s", _title(slot.work), message["outcome"], message["message"])
            slot.work = slot.ending = None

    def _bury(self, ledger: Ledger) -> None:
        """Close the books of slots that died or fell silent, once nothing they ran is left."""
        for slot in list(self._slots):
            if slot.hunt is None:
                silent = time.monotonic() - slot.heard > LEASE_S
                if slot.process.poll() is None and not silent:
                    continue
                self._declare_dead(slot, silent=silent)
            if slot.process.poll() is None:
                continue  # killed, not dead yet
            if slot.work is None or self._cleared(slot, ledger, Outcome.LOST):
                self._slots.remove(slot)
                self._drop(slot)
                self._looked = 0.0

    def _declare_dead(self, slot: SlotProcess, *, silent: bool) -> None:
        slot.why = f"its slot was silent for {LEASE_S:g} s" if silent else "its slot died"
        slot.hunt = Hunt(self.state, slot.work.token if slot.work else slot.name)
        slot.word_due = time.monotonic() + STUCK_S
        slot.process.kill()
        if slot.reports in self._selector.get_map():
            self._selector.unregister(slot.reports)

    def _cleared(self, slot: SlotProcess, ledger: Ledger, otherwise: Outcome) -> bool:
        """Close the books of a dead slot's attempt if nothing of it runs any more."""
        assert slot.work is not None and slot.hunt is not None
        if not slot.hunt.over():
            if time.monotonic() > slot.word_due:
                slot.word_due = time.monotonic() + STUCK_S
                text = f"{slot.why}; {slot.hunt.stuck()}"
                _LOG.warning("%s: %s", _title(slot.work), text)
                with ledger.transaction():
                    ledger.progress(slot.work.token, None, text)
            return False
        work = slot.work
        settle(
            self.state, ledger, (work.token, work.job, work.step, work.index, work.attempt),
            otherwise=slot.ending or otherwise, why=slot.why,
        )  # fmt: skip
        _LOG.warning("%s: %s", _title(work), slot.why or otherwise.value)
        return True

    def _drop(self, slot: SlotProcess) -> None:
        """Close pipes and sweep the session folders of a slot that has ended."""
        slot.reports.close()
        try:
            slot.orders.close()
        except BrokenPipeError:
            pass
        shutil.rmtree(sessions_folder(self.state, slot.name), ignore_errors=True)

    # ---- giving work ----------------------------------------------------------------------

    def _give(self, ledger: Ledger, capacity: Capacity) -> None:
        while (work := self._fitting(ledger, capacity)) is not None:
            idle = (slot for slot in self._slots if slot.work is None and slot.hunt is None)
            slot = next(idle, None)
            slot = slot or self._new_slot()
            with ledger.transaction():
                ledger.start(work)
            slot.work, slot.ending = work, None
            _LOG.info("%s: starts, attempt %d", _title(work), work.attempt)
            self._order(
                slot, kind="run", token=work.token, job=work.job, step=work.step,
                index=work.index, attempt=work.attempt, parameters=json.loads(work.parameters),
                threads=capacity.threads_for(work.requirements.cpus),
                timeout_s=parse_duration(self.queue.task_timeout), digest=work.digest,
            )  # fmt: skip

    def _fitting(self, ledger: Ledger, capacity: Capacity) -> Work | None:
        """The next task, if it fits into what the running ones leave."""
        busy = [slot.work for slot in self._slots if slot.work is not None]
        if len(busy) >= capacity.slots:
            return None
        while (work := ledger.next_work()) is not None:
            why = capacity.refusal(work.step, work.requirements)
            if why is None:
                break
            with ledger.transaction():  # the queue has shrunk since; it must not block others
                ledger.refuse(work, why)
        if work is None:
            return None
        cpus = sum(capacity.threads_for(other.requirements.cpus) for other in [*busy, work])
        memory = sum(other.requirements.memory_mib for other in [*busy, work])
        fits = cpus <= capacity.cpus and memory <= capacity.memory_mib
        return work if fits else None

    def _new_slot(self) -> SlotProcess:
        self._made += 1
        name = f"slot{self._made}"
        process = subprocess.Popen(
            [sys.executable, "-m", "laikaroto.farm.local.slot", str(self.state), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, MARK: mark(self.state, name)},
            start_new_session=True,  # Ctrl-C is for the supervisor, which tells its slots
        )
        slot = SlotProcess(name=name, process=process, heard=time.monotonic())
        os.set_blocking(slot.reports.fileno(), False)
        self._selector.register(slot.reports, selectors.EVENT_READ, slot)
        self._slots.append(slot)
        return slot

    def _order(self, slot: SlotProcess, **order: Any) -> None:
        try:
            slot.orders.write(json.dumps(order).encode() + b"\n")
            slot.orders.flush()
        except OSError:
            _LOG.warning("%s does not listen any more", slot.name)  # _bury closes its books

    def _kill(self, kills: list[inbox.Kill]) -> None:
        for kill in kills:
            for slot in self._slots:
                if slot.work is not None and slot.work.token == kill.token:
                    slot.ending = kill.outcome
                    if slot.hunt is None:
                        self._order(slot, kind="kill", token=kill.token, outcome=kill.outcome.value)

    # ---- leaving --------------------------------------------------------------------------

    def _leave(self, ledger: Ledger) -> None:
        """End all slots; what they were running goes back into the queue."""
        self._messenger.close(_LEAVE_S)
        self._note_answers(ledger)
        for slot in self._slots:
            try:
                slot.orders.close()  # a slot whose orders end kills its payload and leaves
            except BrokenPipeError:
                pass
        end = time.monotonic() + _LEAVE_S
        for slot in self._slots:
            try:
                slot.process.wait(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()
            self._drop(slot)
            if slot.work is None:
                continue
            slot.hunt = slot.hunt or Hunt(self.state, slot.work.token)
            slot.hunt.finish(STUCK_S)
            if not self._cleared(slot, ledger, Outcome.RETURNED):
                # its books stay open: whoever owns the queue next tries again to end it
                _LOG.warning("%s: %s", _title(slot.work), slot.hunt.stuck())
        self._slots.clear()
        shutil.rmtree(sessions_folder(self.state), ignore_errors=True)


def _title(work: Work) -> str:
    return f"{work.job} {work.step}/{work.index}"
