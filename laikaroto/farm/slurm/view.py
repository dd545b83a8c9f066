"""One job as Slurm and the records of its tasks show it together.

The records win: what a task wrote about its end is true whatever Slurm says or has forgotten.
Slurm adds what only it knows: what waits, what runs, and what it ended itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from laikaroto.farm.engine import StepStatus, TaskState, TaskStatus
from laikaroto.farm.judging import step_progress
from laikaroto.farm.places import job_folder
from laikaroto.farm.records import Attempt, Task, Verdict, judge, read_attempts, read_json
from laikaroto.farm.records import replace_file as _replace_file
from laikaroto.farm.slurm.commands import Row
from laikaroto.farm.steering import Card, Steering
from laikaroto.frames import format_frames, parse_frames

_PREFIX = "laikaroto"
Key = tuple[str, int]  # step and index of a task


def comment_of(job: str, step: str, offset: int) -> str:
    """By which Slurm's jobs are known; job names are unique, Slurm's numbers are not."""
    return f"{_PREFIX}:{job}:{step}:{offset}"


def by_job(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of this package's jobs, by name of the job."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts = row.comment.split(":")
        if len(parts) == 4 and parts[0] == _PREFIX and parts[3].isdigit():
            found[parts[1]].append(row)
    return found


# ---- which arrays were submitted -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An array that was submitted. ``retired`` tasks were given to a later one."""

    array: int
    step: str
    offset: int
    tasks: frozenset[int]
    retired: frozenset[int] = frozenset()


def read_sent(state: Path, job: str) -> list[Sent]:
    """The arrays of a job, oldest first."""
    try:
        data = read_json(job_folder(state, job) / "slurm.json")
    except FileNotFoundError:
        return []
    return [
        Sent(
            array=item["array"], step=item["step"], offset=item["offset"],
            tasks=frozenset(parse_frames(item["tasks"])),
            retired=frozenset(parse_frames(item["retired"]) if item["retired"] else ()),
        )
        for item in data["arrays"]
    ]  # fmt: skip


def write_sent(state: Path, job: str, sent: Sequence[Sent]) -> None:
    """Write them down; the caller holds the job's lock."""
    _replace_file(
        job_folder(state, job) / "slurm.json",
        {
            "arrays": [
                {
                    "array": item.array, "step": item.step, "offset": item.offset,
                    "tasks": format_frames(list(item.tasks)),
                    "retired": format_frames(list(item.retired)) if item.retired else "",
                }
                for item in sent
            ]
        },
    )  # fmt: skip


# ---- the view ------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class View:
    """What is known of a job at one moment. ``ended`` holds what Slurm ended, by its state."""

    state: Path
    card: Card
    steering: Steering
    sent: list[Sent]
    attempts: Mapping[str, Mapping[int, tuple[Attempt, ...]]]
    live: dict[Key, Row] = field(default_factory=dict)
    ended: dict[Key, Row] = field(default_factory=dict)

    @classmethod
    def of(
        cls, state: Path, card: Card, steering: Steering, rows: Iterable[Row]
    ) -> View:
        """Put together what Slurm (``rows`` of this job) and the records say.

        Rows are to be asked for before this reads the records, never after: a task that ended
        in between is then seen as ended, not as vanished.
        """
        name = card.settings.name
        view = cls(
            state=state, card=card, steering=steering, sent=read_sent(state, name),
            attempts={step.name: read_attempts(state, name, step.name) for step in card.steps},
        )  # fmt: skip
        retired = {
            (item.array, item.step, index) for item in view.sent for index in item.retired
        }
        for row in sorted(rows, key=lambda row: row.array):
            _, _, step, offset = row.comment.split(":")
            for local in row.tasks:
                key = (step, local + int(offset))
                if (row.array, *key) not in retired:
                    (view.ended if row.over else view.live)[key] = row
        return view

    def keys(self) -> Iterator[Key]:
        """Every task, in the order of the steps."""
        for step in self.card.steps:
            for index in range(len(step.tasks)):
                yield step.name, index

    def verdict(self, key: Key) -> Verdict:
        """What the records alone say of a task."""
        step, index = key
        return judge(
            self.attempts[step].get(index, ()),
            since=self.steering.counted_since(step, index),
            allowed=self.card.settings.attempts,
        )

    def state_of(self, key: Key) -> tuple[TaskState, str]:
        """State and message of a task; READY also stands for what waits for others."""
        verdict = self.verdict(key)
        if verdict.state is TaskState.SUCCEEDED:
            return verdict.state, verdict.message
        if self.steering.is_skipped(*key):
            return TaskState.SKIPPED, "skipped by hand"
        row = self.live.get(key)
        if verdict.state is TaskState.RUNNING:
            if row is not None and not row.waits:
                return TaskState.RUNNING, ""
            if row is not None:
                return TaskState.READY, "its host was lost; will be tried again"
        elif verdict.state is not TaskState.READY:
            return verdict.state, verdict.message
        if self.steering.is_cancelled(*key):
            return TaskState.CANCELLED, "cancelled"
        if row is not None:
            return (TaskState.READY if row.waits else TaskState.RUNNING), verdict.message
        return self._not_in_slurm(key, verdict)

    def _not_in_slurm(self, key: Key, verdict: Verdict) -> tuple[TaskState, str]:
        """A task that has not ended by its own records and that Slurm runs no more."""
        row = self.ended.get(key)
        if row is None or row.reason == "DependencyNeverSatisfied":
            return TaskState.READY, verdict.message
        if row.state == "CANCELLED":
            return TaskState.CANCELLED, "cancelled in Slurm, not by laikaroto"
        if row.state == "TIMEOUT":
            return TaskState.FAILED, "ended by Slurm: it ran into its time limit"
        if row.state == "COMPLETED":
            return TaskState.READY, verdict.message
        return TaskState.FAILED, f"ended by Slurm: {row.state} ({row.reason})"

    def missing(self, key: Key) -> bool:
        """True for a task that has to run and that Slurm does not know (any more)."""
        return self.state_of(key)[0] is TaskState.READY and key not in self.live

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
            tasks = [self._task(step.name, i, may_start) for i in range(len(step.tasks))]
            counts: dict[TaskState, int] = defaultdict(int)
            for task in tasks:
                counts[task.state] += 1
            partial = sum(t.progress or 0.0 for t in tasks if t.state is TaskState.RUNNING)
            if all(state.done for state in counts):
                done.add(step.name)
            found.append(
                StepStatus(
                    name=step.name, needs=step.needs, counts=dict(counts),
                    progress=step_progress(counts, partial),
                    tasks=tuple(tasks) if with_tasks else (),
                )  # fmt: skip
            )
        return tuple(found)

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
            task = Task(state=self.state, job=self.card.settings.name, step=step, index=index)
            progress, message = task.read_progress(last.number)
        shown = last if state is not TaskState.READY else None
        return TaskStatus(
            step=step, index=index, state=state,
            parameters=dict(self.card.step(step).tasks[index]),
            attempt=last.number if last else 0, host=last.host if last else None,
            started=last.started if last else None, ended=last.ended if last else None,
            exit_code=shown.exit_code if shown else None, progress=progress, message=message,
        )  # fmt: skip
