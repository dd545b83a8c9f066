"""One job as its records and its farm show it together, for engines that keep no database.

The records win: what a task wrote about its end is true whatever the farm says or has
forgotten. What only the farm knows (what waits, what runs, what it ended itself) is added by
each engine's own view, a subclass of this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from laikaroto.farm.engine import JobState, StepStatus, TaskState, TaskStatus
from laikaroto.farm.judging import step_progress
from laikaroto.farm.records import Attempt, Task, Verdict, judge, read_attempts
from laikaroto.farm.steering import Card, Steering

Key = tuple[str, int]  # step and index of a task
_UNTRIED = Verdict(state=TaskState.READY, tries=0, message="", last=None)
V = TypeVar("V", bound="JobView")
Attempts = Mapping[str, Mapping[int, tuple[Attempt, ...]]]


def attempts_of(state: Path, card: Card) -> Attempts:
    """All attempts at all tasks of a job: step -> index -> attempts, oldest first."""
    return {step.name: read_attempts(state, card.settings.name, step.name) for step in card.steps}


def related(views: Mapping[str, V], job: str) -> dict[str, V]:
    """Views of a job and, transitively, of those it needs."""
    found: dict[str, V] = {}
    todo = [job]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = views[name]
            todo += views[name].card.settings.needs
    return found


@dataclass(slots=True, kw_only=True)
class JobView(ABC):
    """What is known of a job at one moment."""

    state: Path
    card: Card
    steering: Steering
    attempts: Attempts

    @abstractmethod
    def state_of(self, key: Key) -> tuple[TaskState, str]:
        """State and message of a task; READY also stands for what waits for others."""

    @abstractmethod
    def missing(self, key: Key) -> bool:
        """True for a task that has to run and that the farm does not know (any more)."""

    @property
    def ended(self) -> bool:
        """True if somebody cancelled the job."""
        return self.steering.ended

    @property
    def paused(self) -> bool:
        """True if somebody paused the job."""
        return self.steering.paused

    @property
    def priority(self) -> int:
        """The priority of the job's tasks."""
        return self.steering.priority

    def note(self, state: JobState, reason: str, *, released: bool) -> str:
        """The reason of a job's state, with what only the farm can add to it.

        Args:
            state: as judged from the states of the tasks.
            reason: likewise.
            released: the jobs this one needs have succeeded.
        """
        return reason

    def keys(self) -> Iterator[Key]:
        """Every task, in the order of the steps."""
        for step in self.card.steps:
            for index in range(len(step.tasks)):
                yield step.name, index

    def unfinished(self) -> list[Key]:
        """The tasks that others still have to wait for."""
        return [key for key in self.keys() if not self.state_of(key)[0].done]

    def verdict(self, key: Key) -> Verdict:
        """What the records alone say of a task."""
        step, index = key
        if not (attempts := self.attempts[step].get(index)):
            return _UNTRIED  # so are most of a long queue
        return judge(
            attempts,
            since=self.steering.counted_since(step, index),
            allowed=self.card.settings.attempts,
        )

    def last_number(self, key: Key) -> int:
        """Number of the last attempt at a task; 0 if there was none."""
        attempts = self.attempts[key[0]].get(key[1], ())
        return attempts[-1].number if attempts else 0

    # ---- for people -----------------------------------------------------------------------

    def steps(self, *, released: bool, with_tasks: bool) -> tuple[StepStatus, ...]:
        """The steps with counts of their tasks, and with the tasks if they are wanted.

        Args:
            released: the jobs this one needs have succeeded.
            with_tasks: list the tasks.
        """
        found: list[StepStatus] = []
        done: set[str] = set()
        for step in self.card.steps:
            may_start = released and done.issuperset(step.needs)
            indices = range(len(step.tasks))
            tasks = [self._task(step.name, i, may_start) for i in indices] if with_tasks else []
            states = [t.state for t in tasks] or self._states(step.name, indices, may_start)
            counts = dict(Counter(states))
            partial = sum(t.progress or 0.0 for t in tasks if t.state is TaskState.RUNNING)
            if not with_tasks and TaskState.RUNNING in counts:
                running = [i for i in indices if states[i] is TaskState.RUNNING]
                partial = sum(self._progress(step.name, i)[0] or 0.0 for i in running)
            if all(state.done for state in counts):
                done.add(step.name)
            found.append(
                StepStatus(
                    name=step.name,
                    needs=step.needs,
                    counts=counts,
                    progress=step_progress(counts, partial),
                    tasks=tuple(tasks),
                )
            )
        return tuple(found)

    def _states(self, step: str, indices: range, may_start: bool) -> list[TaskState]:
        """States of the tasks of a step, without what else is told of them."""
        states = [self.state_of((step, index))[0] for index in indices]
        if may_start:
            return states
        return [TaskState.WAITING if s is TaskState.READY else s for s in states]

    def _progress(self, step: str, index: int) -> tuple[float | None, str]:
        """How far the last attempt at a running task says it is."""
        attempts = self.attempts[step].get(index, ())
        if not attempts or attempts[-1].ended is not None:
            return None, ""
        task = Task(state=self.state, job=self.card.settings.name, step=step, index=index)
        return task.read_progress(attempts[-1].number)

    def _task(self, step: str, index: int, may_start: bool) -> TaskStatus:
        state, message = self.state_of((step, index))
        if state is TaskState.READY and not may_start:
            state = TaskState.WAITING
        attempts = self.attempts[step].get(index, ())
        last = attempts[-1] if attempts else None
        if state is TaskState.SUCCEEDED:
            last = self.verdict((step, index)).last or last
        progress = 1.0 if state is TaskState.SUCCEEDED else None
        if state is TaskState.RUNNING and last is not None and last.ended is None:
            progress, message = self._progress(step, index)
        shown = last if state is not TaskState.READY else None
        return TaskStatus(
            step=step, index=index, state=state,
            parameters=dict(self.card.step(step).tasks[index]),
            attempt=last.number if last else 0, host=last.host if last else None,
            started=last.started if last else None, ended=last.ended if last else None,
            exit_code=shown.exit_code if shown else None, progress=progress, message=message,
            attempts=tuple(attempt.status() for attempt in attempts),
            others=last.others if last else (),
        )  # fmt: skip
