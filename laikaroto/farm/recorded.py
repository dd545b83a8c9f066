"""What engines without a database of their own have in common: files are their books.

What people want of a job is written down first (``farm.steering``), then the farm is brought
in line with it, as often as one likes; what tasks did is read from their records
(``farm.records``). A subclass adds how its farm is asked and told.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from laikaroto.config import QueueConfig, parse_duration
from laikaroto.errors import FarmError, LaikarotoError, TryAgainError, write_failure
from laikaroto.farm.bundle import Bundle, bundle_digest, write_bundle
from laikaroto.farm.engine import Engine, JobState, JobStatus, Submitted, TaskRef, TaskState
from laikaroto.farm.judging import Upstream, judge_job
from laikaroto.farm.logs import read_log
from laikaroto.farm.places import job_folder, make_state_folder
from laikaroto.farm.plan import JobPlan, Requirements, plan_job, refuse_environments
from laikaroto.farm.records import read_json, replace_file
from laikaroto.farm.steering import (
    Steering,
    locked,
    new_card,
    pick_tasks,
    read_card,
    write_card,
    write_steering,
)
from laikaroto.farm.view import JobView, Key

_VERIFY_ROUNDS = 3
_MEND_EVERY_S = 60.0
V = TypeVar("V", bound=JobView)


class RecordedEngine(Engine, Generic[V]):
    """A queue whose tasks are run by our own runner, started by somebody else's farm."""

    farm: str
    """What the farm is called in messages."""

    poll_s: float
    """Least time between looks while waiting, in seconds: every look asks the farm."""

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

    # ---- what a farm adds -----------------------------------------------------------------

    @abstractmethod
    def _refusal(self, step: str, wanted: Requirements) -> str | None:
        """Why the farm can never run a step, or None if it can."""

    @abstractmethod
    def _views(self, names: Sequence[str]) -> dict[str, V]:
        """Views of jobs and, transitively, of all they need; the farm is asked once."""

    @abstractmethod
    def _reconcile_view(self, views: Mapping[str, V], job: str, *, rewire: bool) -> int:
        """Bring the farm in line with a job whose lock is held.

        Args:
            views: the job and those it needs.
            job: which.
            rewire: set anew what waits for what, after something was retried or skipped.

        Returns:
            How many tasks were given to the farm.
        """

    @abstractmethod
    def _end(self, view: V) -> None:
        """Tell the farm to run nothing more of a job, and to end what runs."""

    @abstractmethod
    def _hold(self, view: V) -> None:
        """Tell the farm to start nothing more of a job."""

    @abstractmethod
    def _release(self, view: V) -> None:
        """Undo ``_hold``."""

    @abstractmethod
    def _prefer(self, view: V, priority: int) -> None:
        """Tell the farm a new priority."""

    @abstractmethod
    def _forget(self, view: V, tasks: Sequence[Key]) -> V:
        """The view without what the farm still says of former runs of these tasks."""

    @abstractmethod
    def _drop(self, view: V, tasks: Sequence[Key]) -> None:
        """Tell the farm that these tasks need not run; end those that do."""

    def _check_place(self, bundle: Bundle) -> None:  # noqa: B027 - few farms have such places
        """Raise FarmError or ConfigError if the farm has no place for a job."""

    def _stop_before_s(self) -> float:
        """How long before a time limit of the farm a task is asked to end."""
        return 60.0

    # ---- submitting -----------------------------------------------------------------------

    @property
    def threads(self) -> int:
        """CPUs every task of this queue gets at least."""
        return self._queue.threads_per_slot or 1

    def submit(self, bundle: Bundle) -> Submitted:
        """See ``Engine.submit``. An active job that the farm has lost is submitted again.

        Raises:
            TryAgainError: the farm cannot be reached. What was submitted stays; submitting
                the same again goes on with it.
        """
        name, key = bundle.settings.name, bundle.settings.key
        plan = plan_job(bundle, where=f"job {name}")
        refuse_environments(plan, where=f"job {name}")
        for other in bundle.settings.needs:
            read_card(self.state, other, queue=self.name)
        self._check_place(bundle)
        for step in plan.steps:
            if why := self._refusal(step.name, step.requirements):
                raise FarmError(f"job {name}: {why}")
        make_state_folder(self.state)
        with locked(self.state / "lock"):
            if active := self._active_with_key(key):
                existing = True
                name = active
            else:
                existing = False
                self._make_job(bundle, plan)
                replace_file(self._key_file(key), {"job": name})
        self._bring_in(name, undo=not existing)
        return Submitted(job=name, existing=existing)

    def _make_job(self, bundle: Bundle, plan: JobPlan) -> None:
        """Write the job's folder, whole or not at all."""
        name = bundle.settings.name
        hidden = self.state / "jobs" / f".{name}.{secrets.token_hex(4)}"
        try:
            write_bundle(bundle, hidden / "bundle")
            card = new_card(
                bundle, plan, digest=bundle_digest(hidden / "bundle"), threads=self.threads,
                timeout_s=parse_duration(self._queue.task_timeout),
                stop_before_s=self._stop_before_s(),
            )  # fmt: skip
            write_card(hidden, card)
            write_steering(
                hidden, Steering(priority=bundle.settings.priority, paused=bundle.settings.paused)
            )
            hidden.rename(job_folder(self.state, name))
            for other in bundle.settings.needs:
                marker = job_folder(self.state, other) / "dependents" / name
                marker.parent.mkdir(exist_ok=True)
                marker.touch()
        except OSError as error:
            raise write_failure(job_folder(self.state, name), error) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _bring_in(self, name: str, *, undo: bool) -> None:
        """Submit a job, and look whether the farm really has it."""
        try:
            for _ in range(_VERIFY_ROUNDS):
                if not self._reconcile(name):
                    return
        except TryAgainError as error:
            raise TryAgainError(
                f"{error}. Job {name} is written down; submit the same again, or run 'laikaroto "
                f"farm verify --queue {self.name}', to go on with it"
            ) from error
        except LaikarotoError:
            if undo:
                self._withdraw(name)
            raise
        raise TryAgainError(
            f"{self.farm} acknowledges job {name} and forgets it again; see its log, then run "
            f"'laikaroto farm verify --queue {self.name}'"
        )

    def _withdraw(self, name: str) -> None:
        """The farm refused a part of a new job: nothing of it stays."""
        try:
            self._end(self._views([name])[name])
        except LaikarotoError:
            pass  # the reason for this is being raised
        shutil.rmtree(job_folder(self.state, name), ignore_errors=True)

    def _key_file(self, key: str) -> Path:
        return self.state / "keys" / hashlib.sha256(key.encode()).hexdigest()

    def _active_with_key(self, key: str) -> str | None:
        try:
            name = str(read_json(self._key_file(key))["job"])
            status = self.status(name)
        except (FileNotFoundError, FarmError):
            return None
        return name if not status.state.over or status.state is JobState.BLOCKED else None

    # ---- looking --------------------------------------------------------------------------

    def _look(self, job: str) -> dict[str, V]:
        read_card(self.state, job, queue=self.name)  # before the farm is asked: there may be none
        return self._views([job])

    def _names(self) -> list[str]:
        try:
            entries = sorted((self.state / "jobs").iterdir())
        except FileNotFoundError:
            return []
        return [path.name for path in entries if not path.name.startswith(".")]

    def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Engine.jobs``."""
        names = self._names()
        if not names:
            return ()
        views = self._views(names)
        known: dict[str, JobStatus] = {}
        found = [self._status(views, name, known, with_tasks=False) for name in names]
        return tuple(sorted(found, key=lambda status: status.submitted))

    def status(self, job: str) -> JobStatus:
        """See ``Engine.status``."""
        return self._status(self._look(job), job, {}, with_tasks=True)

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

    def wait(
        self,
        jobs: Sequence[str],
        *,
        watch: Callable[[JobStatus], None] = lambda status: None,
        poll_s: float = 0.3,
        timeout_s: float | None = None,
    ) -> tuple[JobStatus, ...]:
        """See ``Engine.wait``. What the farm loses meanwhile is submitted again."""
        looked = time.monotonic()

        def watch_and_mend(status: JobStatus) -> None:
            nonlocal looked
            watch(status)
            if time.monotonic() - looked > _MEND_EVERY_S and not status.state.over:
                looked = time.monotonic()
                self._reconcile(status.name)

        return super().wait(
            jobs, watch=watch_and_mend, poll_s=max(poll_s, self.poll_s), timeout_s=timeout_s
        )

    # ---- steering -------------------------------------------------------------------------

    @contextmanager
    def _steered(self, job: str) -> Iterator[dict[str, V]]:
        """The job, its lock held, and the jobs it needs."""
        read_card(self.state, job, queue=self.name)
        with locked(job_folder(self.state, job) / "lock"):
            yield self._look(job)

    def _write(self, view: V, steering: Steering) -> None:
        """Note what is wanted, before the farm is told: tasks look at it."""
        write_steering(job_folder(self.state, view.card.settings.name), steering)
        view.steering = steering

    def _reconcile(self, job: str, *, rewire: bool = False) -> int:
        with self._steered(job) as views:
            return self._reconcile_view(views, job, rewire=rewire)

    def _reconcile_dependents(self, job: str, seen: set[str] | None = None) -> None:
        """Jobs that need this one may go on, or have to wait for other tasks of it."""
        seen = {job} if seen is None else seen
        folder = job_folder(self.state, job) / "dependents"
        for marker in sorted(folder.iterdir()) if folder.is_dir() else ():
            if marker.name not in seen:
                seen.add(marker.name)
                self._reconcile(marker.name, rewire=True)
                self._reconcile_dependents(marker.name, seen)

    def verify(self) -> int:
        """See ``Engine.verify``."""
        active = [status for status in self.jobs() if not status.state.over]
        return sum(self._reconcile(status.name) for status in active)

    def cancel(self, job: str) -> None:
        """See ``Engine.cancel``."""
        with self._steered(job) as views:
            view = views[job]
            states = {key: view.state_of(key)[0] for key in view.keys()}
            if all(state.done for state in states.values()):
                return
            left = [
                key for key, state in states.items()
                if not state.done and state is not TaskState.FAILED
            ]  # fmt: skip
            self._write(view, view.steering.with_cancelled(left))
            self._end(view)

    def pause(self, job: str) -> None:
        """See ``Engine.pause``."""
        with self._steered(job) as views:
            self._write(views[job], replace(views[job].steering, paused=True))
            self._hold(views[job])

    def resume(self, job: str) -> None:
        """See ``Engine.resume``."""
        with self._steered(job) as views:
            self._write(views[job], replace(views[job].steering, paused=False))
            self._release(views[job])
            self._reconcile_view(views, job, rewire=False)

    def set_priority(self, job: str, priority: int) -> None:
        """See ``Engine.set_priority``."""
        with self._steered(job) as views:
            self._write(views[job], replace(views[job].steering, priority=priority))
            self._prefer(views[job], priority)

    def retry(self, job: str, tasks: Sequence[TaskRef] = ()) -> int:
        """See ``Engine.retry``."""
        with self._steered(job) as views:
            view = views[job]
            again = [
                key
                for key in pick_tasks(view.card, tasks)
                if view.state_of(key)[0] in (TaskState.FAILED, TaskState.CANCELLED)
            ]
            if not again:
                return 0
            numbers = {key: view.last_number(key) for key in again}
            self._write(view, view.steering.with_retried(numbers))
            self._reconcile_view({**views, job: self._forget(view, again)}, job, rewire=True)
        self._reconcile_dependents(job)
        return len(again)

    def skip(self, job: str, tasks: Sequence[TaskRef]) -> int:
        """See ``Engine.skip``."""
        if not tasks:
            raise FarmError("name the tasks to skip, as STEP or STEP/INDEX")
        with self._steered(job) as views:
            view = views[job]
            skipped = [
                key for key in pick_tasks(view.card, tasks) if not view.state_of(key)[0].done
            ]
            if not skipped:
                return 0
            self._write(view, view.steering.with_skipped(skipped))
            self._reconcile_view(views, job, rewire=True)
            self._drop(view, skipped)
        self._reconcile_dependents(job)
        return len(skipped)
