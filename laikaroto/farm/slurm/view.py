"""One job as Slurm and the records of its tasks show it together (``farm.view``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from laikaroto.errors import write_failure
from laikaroto.farm.engine import JobState, TaskState
from laikaroto.farm.places import OWNER_ONLY, job_folder
from laikaroto.farm.records import Verdict, read_json, replace_file
from laikaroto.farm.slurm.commands import Row, parse_indices
from laikaroto.farm.steering import Card, Steering
from laikaroto.farm.view import JobView, Key, attempts_of
from laikaroto.frames import format_frames, parse_frames

_PREFIX = "laikaroto"


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
    path = job_folder(state, job) / "slurm.json"
    try:
        if not path.stat().st_size:
            return []  # ``note_told``
        data = read_json(path)
    except FileNotFoundError:
        return []
    return [
        Sent(
            array=item["array"], step=item["step"], offset=item["offset"],
            tasks=frozenset(parse_indices(item["tasks"])),
            retired=frozenset(parse_frames(item["retired"]) if item["retired"] else ()),
        )
        for item in data["arrays"]
    ]  # fmt: skip


def note_told(state: Path, job: str) -> None:
    """Note that arrays of a job are about to be submitted; the caller holds the job's lock.

    Raises:
        TryAgainError: the disk refuses.
    """
    path = job_folder(state, job) / "slurm.json"
    try:
        path.touch(mode=OWNER_ONLY)
    except OSError as error:
        raise write_failure(path, error) from error


def was_told(state: Path, job: str) -> bool:
    """False if nothing of a job was ever submitted."""
    return (job_folder(state, job) / "slurm.json").exists()


def write_sent(state: Path, job: str, sent: Sequence[Sent]) -> None:
    """Write them down; the caller holds the job's lock."""
    replace_file(
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
class View(JobView):
    """What is known of a job at one moment. ``over`` holds what Slurm ended, by its state."""

    sent: list[Sent]
    live: dict[Key, Row] = field(default_factory=dict)
    over: dict[Key, Row] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Path, card: Card, steering: Steering, rows: Iterable[Row]) -> View:
        """Put together what Slurm (``rows`` of this job) and the records say.

        Rows are to be asked for before this reads the records, never after: a task that ended
        in between is then seen as ended, not as vanished.
        """
        name = card.settings.name
        view = cls(
            state=state, card=card, steering=steering, sent=read_sent(state, name),
            attempts=attempts_of(state, card),
        )  # fmt: skip
        retired = {(item.array, item.step, index) for item in view.sent for index in item.retired}
        for row in sorted(rows, key=lambda row: row.array):
            _, _, step, offset = row.comment.split(":")
            for local in row.tasks:
                key = (step, local + int(offset))
                if (row.array, *key) not in retired:
                    (view.over if row.over else view.live)[key] = row
        return view

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
        row = self.over.get(key)
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

    def note(self, state: JobState, reason: str, *, released: bool) -> str:
        """See ``JobView.note``: tasks that Slurm has lost."""
        waits = (JobState.READY, JobState.RUNNING, JobState.PAUSED)
        if not released or self.live or state not in waits:
            return reason
        lost = sum(self.missing(key) for key in self.keys())
        return f"{lost} tasks are not in Slurm any more: laikaroto farm verify" if lost else reason

    def rows(self) -> list[Row]:
        """The rows this view was made of."""
        found = {id(row): row for row in [*self.live.values(), *self.over.values()]}
        return list(found.values())
