"""What engines without a database of their own show: files are their books.

What people want of a job (``farm.steering``) and what became of its tasks (``farm.records``) is
read from its folder, and put together with what the farm says of it by a view (``farm.view``).
``farm.recorded`` adds how jobs get there and are steered.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from laikaroto.config import QueueConfig
from laikaroto.farm.ending import notices_of, over_by_records
from laikaroto.farm.engine import Engine, JobState, JobStatus, TaskRef, Total
from laikaroto.farm.judging import Upstream, judge_job
from laikaroto.farm.logs import find_log, read_log
from laikaroto.farm.seen import Seen, stamp_of
from laikaroto.farm.steering import read_card
from laikaroto.farm.view import JobView

V = TypeVar("V", bound=JobView)


class RecordedJobs(Engine, Generic[V]):
    """A queue's jobs, looked at."""

    farm: str
    """What the farm is called in messages."""

    def __init__(self, queue: QueueConfig, state: Path) -> None:
        """Nothing is asked or opened before it is used.

        Args:
            queue: its configuration.
            state: its state folder, absolute, on a file system that all hosts share; created
                at the first submission.
        """
        self.name = queue.name
        self.state = state
        self._queue = queue

    @abstractmethod
    def _views(self, names: Sequence[str], *, untold: Collection[str] = ()) -> dict[str, V]:
        """Views of jobs and, transitively, of all they need; the farm is asked once at most.

        Args:
            names: of the jobs.
            untold: those among them that the farm was never told of: it need not be asked.
        """

    def _look(self, job: str) -> dict[str, V]:
        read_card(self.state, job, queue=self.name)  # before the farm is asked: there may be none
        return self._views([job])

    def names(self) -> tuple[str, ...]:
        """See ``Engine.names``."""
        try:
            found = sorted(os.listdir(self.state / "jobs"))
        except FileNotFoundError:
            return ()
        return tuple(name for name in found if not name.startswith("."))

    def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Engine.jobs``."""
        if not (names := self.names()):
            return ()
        seen = Seen(self.state)
        seen.forget_all_but(names)
        found = [status for name in names if (status := seen.status(name)) is not None]
        known = {status.name for status in found}
        rest = {name: stamp_of(self.state, name) for name in names if name not in known}
        views = self._views(list(rest))
        done: dict[str, JobStatus] = {}
        for name, stamp in rest.items():
            status = self._status(views, name, done, with_tasks=False)
            found.append(status)
            if status.state.over and status.state is over_by_records(views[name]):
                seen.remember(status, views[name].attempts, stamp)
        seen.write()
        return tuple(sorted(found, key=lambda status: status.submitted))

    def totals(self) -> tuple[Total, ...]:
        """See ``Engine.totals``; attempts of jobs that are over."""
        return Seen(self.state).totals()

    def status(self, job: str) -> JobStatus:
        """See ``Engine.status``."""
        return self.statuses([job])[0]

    def statuses(self, jobs: Sequence[str]) -> tuple[JobStatus, ...]:
        """See ``Engine.statuses``."""
        if not jobs:
            return ()
        for job in jobs:
            read_card(self.state, job, queue=self.name)  # before the farm is asked
        views = self._views(jobs)
        found = (self._status(views, job, {}, with_tasks=True) for job in jobs)
        return tuple(replace(s, notices=notices_of(self.state, s.name)) for s in found)

    def _status(
        self, views: Mapping[str, V], name: str, known: dict[str, JobStatus], *,
        with_tasks: bool,
    ) -> JobStatus:  # fmt: skip
        if name in known:
            return known[name]
        view = views[name]
        card = view.card
        needs = sorted(card.settings.needs, key=lambda other: views[other].card.submitted)
        needed = [self._status(views, other, known, with_tasks=False) for other in needs]
        released = all(other.state is JobState.SUCCEEDED for other in needed)
        may_start = released and (card.settings.not_before or 0) <= time.time()
        steps = view.steps(released=may_start, with_tasks=with_tasks)
        state, reason = judge_job(
            steps,
            upstream=[Upstream(name=o.name, state=o.state, reason=o.reason) for o in needed],
            ended=view.ended, paused=view.paused, not_before=card.settings.not_before,
        )  # fmt: skip
        times = [a for found in view.attempts.values() for many in found.values() for a in many]
        over = state.over and state is not JobState.BLOCKED
        known[name] = JobStatus(
            name=name, queue=self.name, kind=card.settings.kind, state=state,
            reason=view.note(state, reason, released=released),
            show=card.settings.show, user=card.settings.user, priority=view.priority,
            attempts=card.settings.attempts, not_before=card.settings.not_before,
            submitted=card.submitted, started=min((a.started for a in times), default=None),
            ended=max((a.ended or a.started for a in times), default=None) if over else None,
            needs=tuple(needs), steps=steps, parameters=card.parameters,
        )  # fmt: skip
        return known[name]

    def log(self, job: str, task: TaskRef, *, attempt: int | None = None) -> str:
        """See ``Engine.log``."""
        return read_log(self.state, self.status(job), task, attempt)

    def log_file(self, status: JobStatus, task: TaskRef, *, attempt: int | None = None) -> Path:
        """See ``Engine.log_file``."""
        return find_log(self.state, status, task, attempt)
