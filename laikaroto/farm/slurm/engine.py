"""The Slurm engine: what people want is written down, then Slurm is brought in line with it."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from laikaroto.config import QueueConfig, SlurmSettings, parse_duration
from laikaroto.errors import FarmError, LaikarotoError, TryAgainError, write_failure
from laikaroto.farm.bundle import Bundle, bundle_digest, write_bundle
from laikaroto.farm.engine import Engine, JobState, JobStatus, Submitted, TaskRef, TaskState
from laikaroto.farm.judging import Upstream, judge_job
from laikaroto.farm.logs import read_log
from laikaroto.farm.places import job_folder, make_state_folder
from laikaroto.farm.plan import JobPlan, plan_job, refuse_environments
from laikaroto.farm.records import read_json, replace_file
from laikaroto.farm.slurm.capacity import refusal
from laikaroto.farm.slurm.commands import Row, Slurm
from laikaroto.farm.slurm.reconcile import reconcile
from laikaroto.farm.slurm.view import Key, View, by_job, write_sent
from laikaroto.farm.steering import (
    Steering,
    locked,
    new_card,
    pick_tasks,
    read_card,
    read_steering,
    write_card,
    write_steering,
)

POLL_S = 2.0  # between looks while waiting: every look asks slurmctld
_VERIFY_ROUNDS = 3
_MEND_EVERY_S = 60.0


class SlurmEngine(Engine):
    """A queue whose tasks are run by Slurm."""

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
        self._settings = queue.slurm or SlurmSettings()
        self._slurm = Slurm(self._settings)

    @property
    def cpus(self) -> int:
        """CPUs of the largest host, unless the queue says fewer."""
        return self._settings.max_cpus or self._slurm.cluster().cpus

    @property
    def all_cpus(self) -> int:
        """CPUs of all hosts of the partition."""
        return max(self.cpus, sum(cpus for cpus, _ in self._slurm.cluster().hosts))

    # ---- submitting -----------------------------------------------------------------------

    def submit(self, bundle: Bundle) -> Submitted:
        """See ``Engine.submit``. An active job that Slurm has lost is submitted again.

        Raises:
            TryAgainError: Slurm cannot be reached. What was submitted stays; submitting the
                same again goes on with it.
        """
        name, key = bundle.settings.name, bundle.settings.key
        plan = plan_job(bundle, where=f"job {name}")
        refuse_environments(plan, where=f"job {name}")
        for other in bundle.settings.needs:
            read_card(self.state, other, queue=self.name)
        self._check_capacity(name, plan)
        make_state_folder(self.state)
        with locked(self.state / "lock"):
            if active := self._active_with_key(key):
                existing = True
                name = active
            else:
                existing = False
                self._make_job(bundle, plan)
                self._remember_key(key, name)
        self._bring_in(name, undo=not existing)
        return Submitted(job=name, existing=existing)

    def _check_capacity(self, name: str, plan: JobPlan) -> None:
        threads = self._queue.threads_per_slot or 1
        for step in plan.steps:
            why = refusal(
                self._slurm.cluster(), self._settings, step.name, step.requirements,
                threads=threads,
            )  # fmt: skip
            if why:
                raise FarmError(f"job {name}: {why}")

    def _make_job(self, bundle: Bundle, plan: JobPlan) -> None:
        """Write the job's folder, whole or not at all."""
        name = bundle.settings.name
        hidden = self.state / "jobs" / f".{name}.{secrets.token_hex(4)}"
        try:
            write_bundle(bundle, hidden / "bundle")
            card = new_card(
                bundle, plan, digest=bundle_digest(hidden / "bundle"),
                threads=self._queue.threads_per_slot or 1,
                timeout_s=parse_duration(self._queue.task_timeout),
                stop_before_s=parse_duration(self._settings.stop_before),
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
        """Submit a job, and look whether Slurm really has it."""
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
            f"Slurm acknowledges job {name} and forgets it again; see slurmctld's log, then run "
            f"'laikaroto farm verify --queue {self.name}'"
        )

    def _withdraw(self, name: str) -> None:
        """Slurm refused a part of a new job: nothing of it stays."""
        with suppress(LaikarotoError):
            rows = by_job(self._slurm.rows()).get(name, ())
            self._slurm.cancel(sorted({str(row.array) for row in rows}))
        shutil.rmtree(job_folder(self.state, name), ignore_errors=True)

    def _key_file(self, key: str) -> Path:
        return self.state / "keys" / hashlib.sha256(key.encode()).hexdigest()

    def _remember_key(self, key: str, name: str) -> None:
        replace_file(self._key_file(key), {"job": name})

    def _active_with_key(self, key: str) -> str | None:
        try:
            name = str(read_json(self._key_file(key))["job"])
            status = self.status(name)
        except (FileNotFoundError, FarmError):
            return None
        return name if not status.state.over or status.state is JobState.BLOCKED else None

    # ---- looking --------------------------------------------------------------------------

    def _views(self, names: Sequence[str], rows: Mapping[str, list[Row]]) -> dict[str, View]:
        """Views of jobs and, transitively, of all they need."""
        views: dict[str, View] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in views:
                continue
            card = read_card(self.state, name, queue=self.name)
            steering = read_steering(self.state, name)
            views[name] = View.of(self.state, card, steering, rows.get(name, ()))
            todo += card.settings.needs
        return views

    def _look(self, *names: str) -> dict[str, View]:
        for name in names:  # before Slurm is asked: there may be no such job
            read_card(self.state, name, queue=self.name)
        return self._views(names, by_job(self._slurm.rows()))

    def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Engine.jobs``."""
        names = self._names()
        if not names:
            return ()
        views = self._views(names, by_job(self._slurm.rows()))
        known: dict[str, JobStatus] = {}
        found = [self._status(views, name, known, with_tasks=False) for name in names]
        return tuple(sorted(found, key=lambda status: status.submitted))

    def _names(self) -> list[str]:
        try:
            entries = sorted((self.state / "jobs").iterdir())
        except FileNotFoundError:
            return []
        return [path.name for path in entries if not path.name.startswith(".")]

    def status(self, job: str) -> JobStatus:
        """See ``Engine.status``."""
        return self._status(self._look(job), job, {}, with_tasks=True)

    def _status(
        self, views: Mapping[str, View], name: str, known: dict[str, JobStatus], *,
        with_tasks: bool,
    ) -> JobStatus:  # fmt: skip
        if name in known:
            return known[name]
        view = views[name]
        card, steering = view.card, view.steering
        needs = sorted(card.settings.needs, key=lambda other: views[other].card.submitted)
        needed = [self._status(views, other, known, with_tasks=False) for other in needs]
        released = all(other.state is JobState.SUCCEEDED for other in needed)
        may_start = released and (card.settings.not_before or 0) <= time.time()
        steps = view.steps(released=may_start, with_tasks=with_tasks)
        state, reason = judge_job(
            steps,
            upstream=[Upstream(name=o.name, state=o.state, reason=o.reason) for o in needed],
            ended=steering.ended, paused=steering.paused, not_before=card.settings.not_before,
        )  # fmt: skip
        lost = sum(view.missing(key) for key in view.keys()) if released else 0
        waits = (JobState.READY, JobState.RUNNING, JobState.PAUSED)
        if lost and state in waits and not view.live:
            reason = f"{lost} tasks are not in Slurm any more: laikaroto farm verify"
        times = [a for found in view.attempts.values() for many in found.values() for a in many]
        over = state.over and state is not JobState.BLOCKED
        known[name] = JobStatus(
            name=name, queue=self.name, kind=card.settings.kind, state=state, reason=reason,
            show=card.settings.show, user=card.settings.user, priority=steering.priority,
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
        """See ``Engine.wait``. What Slurm loses meanwhile is submitted again."""
        looked = time.monotonic()

        def watch_and_mend(status: JobStatus) -> None:
            nonlocal looked
            watch(status)
            if time.monotonic() - looked > _MEND_EVERY_S and not status.state.over:
                looked = time.monotonic()
                self._reconcile(status.name)

        return super().wait(
            jobs, watch=watch_and_mend, poll_s=max(poll_s, POLL_S), timeout_s=timeout_s
        )

    def obstacle(self) -> str:
        """See ``Engine.obstacle``."""
        try:
            self._slurm.cluster()
        except LaikarotoError as error:
            return str(error)
        return ""

    # ---- steering -------------------------------------------------------------------------

    @contextmanager
    def _steered(self, job: str) -> Iterator[dict[str, View]]:
        """The job, its lock held, and the jobs it needs."""
        read_card(self.state, job, queue=self.name)
        with locked(job_folder(self.state, job) / "lock"):
            yield self._look(job)

    def _write(self, view: View, steering: Steering) -> None:
        """Note what is wanted, before Slurm is told: tasks look at it."""
        write_steering(job_folder(self.state, view.card.settings.name), steering)
        view.steering = steering

    def _reconcile(self, job: str, *, rewire: bool = False) -> int:
        with self._steered(job) as views:
            return self._reconcile_view(views, job, rewire=rewire)

    def _reconcile_view(self, views: Mapping[str, View], job: str, *, rewire: bool) -> int:
        upstream = [view for name, view in views.items() if name != job]
        return reconcile(self._slurm, self._settings, views[job], upstream, rewire=rewire)

    def _reconcile_dependents(self, job: str, seen: set[str] | None = None) -> None:
        """Jobs that need this one may go on, or have to wait for other arrays of it."""
        seen = {job} if seen is None else seen
        folder = job_folder(self.state, job) / "dependents"
        for marker in sorted(folder.iterdir()) if folder.is_dir() else ():
            if marker.name not in seen:
                seen.add(marker.name)
                self._reconcile(marker.name, rewire=True)
                self._reconcile_dependents(marker.name, seen)

    def verify(self) -> int:
        """See ``Engine.verify``."""
        known: dict[str, JobStatus] = {}
        names = self._names()
        views = self._views(names, by_job(self._slurm.rows()))
        active = [
            status
            for name in names
            if not (status := self._status(views, name, known, with_tasks=False)).state.over
        ]
        return sum(self._reconcile(s.name) for s in sorted(active, key=lambda s: s.submitted))

    def cancel(self, job: str) -> None:
        """See ``Engine.cancel``. Slurm's KillWait is the longest time a task gets to end."""
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
            self._slurm.cancel(sorted({str(row.array) for row in view.live.values()}))

    def pause(self, job: str) -> None:
        """See ``Engine.pause``."""
        with self._steered(job) as views:
            view = views[job]
            self._write(view, replace(view.steering, paused=True))
            self._slurm.hold(_waiting(view))

    def resume(self, job: str) -> None:
        """See ``Engine.resume``."""
        with self._steered(job) as views:
            view = views[job]
            self._write(view, replace(view.steering, paused=False))
            self._slurm.release(_waiting(view))
            self._reconcile_view(views, job, rewire=False)

    def set_priority(self, job: str, priority: int) -> None:
        """See ``Engine.set_priority``."""
        with self._steered(job) as views:
            view = views[job]
            self._write(view, replace(view.steering, priority=priority))
            nice = (100 - priority) * self._settings.nice_per_priority
            for array in _waiting(view):
                self._slurm.update(array, f"Nice={nice}")

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
            self._retire(view, again)
            numbers = {key: _last_number(view, key) for key in again}
            self._write(view, view.steering.with_retried(numbers))
            fresh = View.of(self.state, view.card, view.steering, _rows(view))
            self._reconcile_view({**views, job: fresh}, job, rewire=True)
        self._reconcile_dependents(job)
        return len(again)

    def _retire(self, view: View, keys: Sequence[Key]) -> None:
        """What Slurm still says of former runs of these tasks counts no more."""
        for place, item in enumerate(view.sent):
            gone = frozenset(i for step, i in keys if step == item.step) & item.tasks
            view.sent[place] = replace(item, retired=item.retired | gone)
        write_sent(self.state, view.card.settings.name, view.sent)

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
            self._slurm.cancel(
                [
                    f"{row.array}_{key[1] - int(row.comment.rpartition(':')[2])}"
                    for key in skipped
                    if (row := view.live.get(key)) is not None
                ]
            )
        self._reconcile_dependents(job)
        return len(skipped)


def _waiting(view: View) -> list[int]:
    return sorted({row.array for row in view.live.values() if row.waits})


def _rows(view: View) -> list[Row]:
    found = {id(row): row for row in [*view.live.values(), *view.ended.values()]}
    return list(found.values())


def _last_number(view: View, key: Key) -> int:
    attempts = view.attempts[key[0]].get(key[1], ())
    return attempts[-1].number if attempts else 0
