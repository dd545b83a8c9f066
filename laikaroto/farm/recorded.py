"""How engines without a database of their own take jobs and steer them.

What people want of a job is written down first (``farm.steering``), then the farm is brought
in line with it, as often as one likes. A subclass adds how its farm is asked and told.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TypeVar

from laikaroto.config import parse_duration
from laikaroto.errors import FarmError, LaikarotoError, TryAgainError, write_failure
from laikaroto.farm.bundle import Bundle, bundle_digest, write_bundle
from laikaroto.farm.ending import notices_due, tell_end, tell_own_end
from laikaroto.farm.engine import JobState, JobStatus, Submitted, TaskRef, TaskState
from laikaroto.farm.keys import jobs_of_keys, remember_key
from laikaroto.farm.looking import RecordedJobs
from laikaroto.farm.places import job_folder, make_state_folder
from laikaroto.farm.plan import JobOutline, Planner, Requirements
from laikaroto.farm.steering import (
    Steering,
    locked,
    new_card,
    pick_tasks,
    read_card,
    write_card,
    write_steering,
)
from laikaroto.farm.view import JobView, Key, related

_VERIFY_ROUNDS = 3
_MEND_EVERY_S = 60.0
_AT_ONCE = 200  # jobs whose locks are held together; a process may have 1,024 files open
V = TypeVar("V", bound=JobView)


class RecordedEngine(RecordedJobs[V]):
    """A queue whose tasks are run by our own runner, started by somebody else's farm."""

    hands: int = 1
    """Jobs that may be given to the farm at the same time, by threads."""

    poll_s: float
    """Least time between looks while waiting, in seconds: every look asks the farm."""

    # ---- what a farm adds -----------------------------------------------------------------

    @abstractmethod
    def _refusal(self, step: str, wanted: Requirements) -> str | None:
        """Why the farm can never run a step, or None if it can."""

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

    def _was_told(self, job: str) -> bool:
        """False if certainly nothing of a job was ever given to the farm.

        Asked with the job's lock held: then that stays so until ``_reconcile_view``.
        """
        return True

    def _in_order(self, jobs: Sequence[str]) -> set[str]:
        """Those of many jobs that one look, without their locks, shows to need nothing done."""
        return set()

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
        return self.submit_all([bundle])[0]

    def submit_all(self, bundles: Sequence[Bundle]) -> tuple[Submitted, ...]:
        """See ``Engine.submit_all``. If one job is refused, no new one of the call stays.

        Raises:
            TryAgainError: as of ``submit``.
        """
        planner = Planner()
        planned = [(bundle, self._plan(bundle, planner)) for bundle in bundles]
        make_state_folder(self.state)
        sent: list[Submitted] = []
        with locked(self.state / "lock"):
            active = self._active_with_keys([bundle.settings.key for bundle in bundles])
            try:
                for bundle, plan in planned:
                    sent.append(self._write_down(bundle, plan, active, flush=len(planned) == 1))
            except LaikarotoError:
                self._withdraw([item.job for item in sent if not item.existing])
                raise
            if len(planned) > 1:
                os.sync()  # once for all files
        self._bring_in(sent)
        return tuple(sent)

    def _write_down(
        self, bundle: Bundle, plan: JobOutline, active: dict[str, str], *, flush: bool
    ) -> Submitted:
        """Make a job unless one with its key is ``active``; then it is."""
        name, key = bundle.settings.name, bundle.settings.key
        if key in active:
            return Submitted(job=active[key], existing=True)
        self._make_job(bundle, plan, flush=flush)
        remember_key(self.state, key, name, flush=flush)
        active[key] = name
        return Submitted(job=name, existing=False)

    def _plan(self, bundle: Bundle, planner: Planner) -> JobOutline:
        name = bundle.settings.name
        plan = planner.outline(bundle, where=f"job {name}")
        for other in bundle.settings.needs:
            read_card(self.state, other, queue=self.name)
        for step in plan.steps:
            if why := self._refusal(step.name, step.requirements):
                raise FarmError(f"job {name}: {why}")
        return plan

    def _make_job(self, bundle: Bundle, plan: JobOutline, *, flush: bool) -> None:
        """Write the job's folder, whole or not at all."""
        name = bundle.settings.name
        hidden = self.state / "jobs" / f".{name}.{secrets.token_hex(4)}"
        try:
            write_bundle(bundle, hidden / "bundle", flush=flush)
            card = new_card(
                bundle, plan, digest=bundle_digest(hidden / "bundle"), threads=self.threads,
                timeout_s=parse_duration(self._queue.task_timeout),
                stop_before_s=self._stop_before_s(),
            )  # fmt: skip
            write_card(hidden, card, flush=flush)
            write_steering(
                hidden, Steering(priority=bundle.settings.priority, paused=bundle.settings.paused),
                flush=flush,
            )  # fmt: skip
            hidden.rename(job_folder(self.state, name))
            for other in bundle.settings.needs:
                marker = job_folder(self.state, other) / "dependents" / name
                marker.parent.mkdir(exist_ok=True)
                marker.touch()
        except OSError as error:
            raise write_failure(job_folder(self.state, name), error) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _bring_in(self, sent: Sequence[Submitted]) -> None:
        """Submit jobs, and look whether the farm really has them."""
        left = list(dict.fromkeys(item.job for item in sent))
        new = {item.job for item in sent if not item.existing}
        listed = left[0] + (f" and {len(left) - 1} more" if len(left) > 1 else "")
        try:
            for _ in range(_VERIFY_ROUNDS):
                if not (left := list(self._reconcile_all(left, new=new))):
                    return
                new = set()
        except TryAgainError as error:
            raise TryAgainError(
                f"{error}. Job {listed} is written down; submit the same again, or run 'laikaroto "
                f"farm verify --queue {self.name}', to go on with it"
            ) from error
        except LaikarotoError:
            self._withdraw([item.job for item in sent if not item.existing])
            raise
        raise TryAgainError(
            f"{self.farm} acknowledges {len(left)} jobs, such as {left[0]}, and forgets them "
            f"again; see its log, then run 'laikaroto farm verify --queue {self.name}'"
        )

    def _reconcile_all(self, names: Sequence[str], *, new: Collection[str] = ()) -> dict[str, int]:
        """Bring the farm in line with jobs, several at once, those that others need first.

        The farm is asked as seldom as can be, because it answers for all its thousands of jobs:
        not about jobs that are new, and only once about all that turn out to be as they should.

        Args:
            names: of the jobs.
            new: those that this call has made.

        Returns:
            How many tasks of which jobs were given to the farm; no others.
        """
        known = [name for name in names if name not in new]
        in_order = self._in_order(known) if len(known) > 1 else set()
        names = [name for name in names if name not in in_order]
        given: dict[str, int] = {}
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            with ExitStack() as held:
                for name in sorted(part):  # two clients take them in the same order
                    held.enter_context(locked(job_folder(self.state, name) / "lock"))
                pool = held.enter_context(ThreadPoolExecutor(self.hands))
                untold = {name for name in part if name in new and not self._was_told(name)}
                views = self._views(part, untold=untold)

                def bring(name: str, views: Mapping[str, V] = views) -> int:
                    return self._reconcile_view(related(views, name), name, rewire=False)

                needs = {name: views[name].card.settings.needs for name in part}
                free = [name for name in part if not needs.keys() & set(needs[name])]
                given.update(zip(free, pool.map(bring, free), strict=True))
                given.update((name, bring(name)) for name in part if name not in given)
        return {name: number for name, number in given.items() if number}

    def _withdraw(self, names: Sequence[str]) -> None:
        """The farm refused a part of new jobs: nothing of them stays."""
        try:
            views = self._views(names)
            for name in names:
                self._end(views[name])
        except LaikarotoError:
            pass  # the reason for this is being raised
        for name in names:
            shutil.rmtree(job_folder(self.state, name), ignore_errors=True)

    def _active_with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        """Names of the active jobs among those that were submitted with these keys."""
        known = jobs_of_keys(self.state, keys)
        found = {status.name: status.state for status in self.statuses(list(known.values()))}
        return {
            key: name
            for key, name in known.items()
            if not found[name].over or found[name] is JobState.BLOCKED
        }

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
        found = self.jobs()
        for status in self.statuses([s.name for s in found if notices_due(self.state, s)]):
            tell_end(self.state, status)
        active = [status.name for status in found if not status.state.over]
        return sum(self._reconcile_all(active).values())

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
        tell_own_end(self.state, job)  # nobody else does if nothing of it runs

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
        tell_own_end(self.state, job)
        return len(skipped)
