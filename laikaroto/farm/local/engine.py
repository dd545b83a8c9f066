"""The client's side of the local engine: asks the owner of the queue, reads its database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from laikaroto.config import QueueConfig
from laikaroto.errors import FarmError
from laikaroto.farm.bundle import Bundle
from laikaroto.farm.engine import Engine, JobStatus, Load, Submitted, TaskRef, Total
from laikaroto.farm.local import inbox
from laikaroto.farm.local.capacity import Capacity
from laikaroto.farm.local.database import FILE, claim_host, open_database
from laikaroto.farm.local.owner import own, read_card
from laikaroto.farm.local.reading import (
    read_active,
    read_job,
    read_jobs,
    read_names,
    read_totals,
    running_tasks,
)
from laikaroto.farm.logs import find_log, read_log
from laikaroto.farm.plan import JobOutline, Planner

ANSWER_S = 60.0
_AT_ONCE = 500  # jobs in one transaction: the supervisor is not kept from its slots for long
_LOOK_S = 0.02
_PURGED_AT_ONCE = 200  # jobs: the supervisor is not kept from its slots for long
_T = TypeVar("_T")


class LocalEngine(Engine):
    """A queue of this machine."""

    def __init__(self, queue: QueueConfig, state: Path) -> None:
        """Nothing is opened before it is used.

        Args:
            queue: its configuration.
            state: its state folder, absolute; created at the first submission.
        """
        self.name = queue.name
        self._queue = queue
        self.state = state

    @property
    def cpus(self) -> int:
        """CPUs of all slots together: one task may use them all."""
        return Capacity.of(self._queue).cpus

    def submit(self, bundle: Bundle) -> Submitted:
        """See ``Engine.submit``."""
        return self.submit_all([bundle])[0]

    def submit_all(self, bundles: Sequence[Bundle]) -> tuple[Submitted, ...]:
        """See ``Engine.submit_all``. 500 jobs at a time are queued, all or none of them."""
        # the owner looks again; this saves it the work
        nobody: dict[str, str] = {}
        active = self._read(read_active, nobody)
        sent: dict[str, Submitted] = {}  # by name of the bundle
        planner, capacity = Planner(), Capacity.of(self._queue)
        planned = [
            (bundle, _plan(bundle, planner, capacity))
            for bundle in bundles
            if bundle.settings.key not in active
        ]
        claim_host(self.state)
        for start in range(0, len(planned), _AT_ONCE):
            part = planned[start : start + _AT_ONCE]
            answers = self._answer(inbox.post_jobs(self.state, part))["jobs"]
            for (bundle, _), answer in zip(part, answers, strict=True):
                sent[bundle.settings.name] = Submitted(**answer)
        return tuple(
            sent.get(bundle.settings.name)
            or Submitted(job=active[bundle.settings.key], existing=True)
            for bundle in bundles
        )

    def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Engine.jobs``."""
        return self._read(lambda db: read_jobs(db, self.name), ())

    def names(self) -> tuple[str, ...]:
        """See ``Engine.names``."""
        return self._read(read_names, ())

    def status(self, job: str) -> JobStatus:
        """See ``Engine.status``."""
        if not (self.state / FILE).exists():
            raise FarmError(f"job {job!r} is not in queue {self.name!r}, which has no jobs yet")
        claim_host(self.state)
        with closing(open_database(self.state, owner=False)) as connection:
            return read_job(connection, self.name, job)

    def log(self, job: str, task: TaskRef, *, attempt: int | None = None) -> str:
        """See ``Engine.log``."""
        return read_log(self.state, self.status(job), task, attempt)

    def log_file(self, status: JobStatus, task: TaskRef, *, attempt: int | None = None) -> Path:
        """See ``Engine.log_file``."""
        return find_log(self.state, status, task, attempt)

    def cancel(self, job: str) -> None:
        """See ``Engine.cancel``."""
        self._ask("cancel", job)

    def pause(self, job: str) -> None:
        """See ``Engine.pause``."""
        self._ask("pause", job)

    def resume(self, job: str) -> None:
        """See ``Engine.resume``."""
        self._ask("resume", job)

    def set_priority(self, job: str, priority: int) -> None:
        """See ``Engine.set_priority``."""
        self._ask("priority", job, priority=priority)

    def retry(self, job: str, tasks: Sequence[TaskRef] = ()) -> int:
        """See ``Engine.retry``."""
        return int(self._ask("retry", job, tasks=[(t.step, t.index) for t in tasks])["count"])

    def skip(self, job: str, tasks: Sequence[TaskRef]) -> int:
        """See ``Engine.skip``."""
        if not tasks:
            raise FarmError("name the tasks to skip, as STEP or STEP/INDEX")
        return int(self._ask("skip", job, tasks=[(t.step, t.index) for t in tasks])["count"])

    def purge(self, jobs: Sequence[str], *, before: float) -> Mapping[str, str]:
        """See ``Engine.purge``."""
        kept: dict[str, str] = {}
        for start in range(0, len(jobs), _PURGED_AT_ONCE):
            part = list(jobs[start : start + _PURGED_AT_ONCE])
            kept |= self._ask("purge", part[0], jobs=part, before=before)["kept"]
        return kept

    def load(self) -> Load:
        """See ``Engine.load``; ``details`` is the card of the supervisor."""
        card = read_card(self.state)
        busy = self._read(running_tasks, 0)
        if card is None:
            return Load(runs=False, busy=busy, text=self.obstacle(), details={"supervisor": None})
        return Load(
            runs=True, slots=card["slots"], busy=busy, details={"supervisor": card},
            text=f"process {card['pid']}, {card['slots']} slots of {card['threads']} threads, "
            f"{card['memory_mib']} MiB",
        )  # fmt: skip

    def totals(self) -> tuple[Total, ...]:
        """See ``Engine.totals``; what was counted stays when jobs are cleared away."""
        return self._read(read_totals, ())

    def _read(self, what: Callable[[sqlite3.Connection], _T], empty: _T) -> _T:
        """What a reader finds in the database; ``empty`` if there is none yet."""
        if not (self.state / FILE).exists():
            return empty
        claim_host(self.state)
        with closing(open_database(self.state, owner=False)) as connection:
            return what(connection)

    def obstacle(self) -> str:
        """See ``Engine.obstacle``."""
        if read_card(self.state) is not None:
            return ""
        return f"the farm is not running; start it with: laikaroto farm start --queue {self.name}"

    def _ask(self, command: str, job: str, **details: Any) -> Mapping[str, Any]:
        if not (self.state / FILE).exists():
            raise FarmError(f"job {job!r} is not in queue {self.name!r}, which has no jobs yet")
        claim_host(self.state)
        return self._answer(inbox.post_request(self.state, command, job, **details))

    def _answer(self, ticket: str) -> Mapping[str, Any]:
        """Wait for the owner's answer; if nobody owns the queue, be it for a moment."""
        end = time.monotonic() + ANSWER_S
        while (reply := inbox.take_reply(self.state, ticket)) is None:
            with own(self.state) as ledger:
                if ledger is not None:
                    inbox.take_requests(self.state, ledger, Capacity.of(self._queue))
                    continue
            if time.monotonic() > end:
                raise FarmError(
                    f"the supervisor of queue {self.name!r} has not answered for {ANSWER_S:g} s; "
                    f"the request stays in {self.state / 'inbox'} and is carried out when it "
                    f"does. See {self.state / 'supervisor.log'}"
                )
            time.sleep(_LOOK_S)
        return reply


def _plan(bundle: Bundle, planner: Planner, capacity: Capacity) -> JobOutline:
    where = f"job {bundle.settings.name}"
    plan = planner.outline(bundle, where=where)
    if refusal := capacity.refusal_of(plan.steps):
        raise FarmError(f"{where}: {refusal}")
    return plan
