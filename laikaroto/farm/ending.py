"""Notices of jobs whose books are files: sent by whoever sees that the job is over.

That is the runner of its last task, the command that cancelled or skipped it, and, for what a
runner could not do because it was killed or the other side was down, ``farm verify``. Beside
the job lies ``notices.json``: which end was told by which way. It is read and written under a
lock, which the kernel frees if its holder dies; so an end is told twice only if a process dies
after the other side has taken the notice and before it has written that down.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from laikaroto.farm.engine import JobState, JobStatus, NoticeStatus, StepStatus, TaskState
from laikaroto.farm.judging import judge_job
from laikaroto.farm.notices import NoticeError, channels, deliver, document, next_try
from laikaroto.farm.places import job_folder
from laikaroto.farm.records import read_json, replace_file
from laikaroto.farm.steering import Card, Steering, locked, read_card, read_steering
from laikaroto.farm.view import JobView, Key, attempts_of

_ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class _Records(JobView):
    """A job as its records alone show it: nobody is asked."""

    def state_of(self, key: Key) -> tuple[TaskState, str]:
        verdict = self.verdict(key)
        if verdict.state is TaskState.SUCCEEDED:
            return verdict.state, verdict.message
        if self.steering.is_skipped(*key):
            return TaskState.SKIPPED, "skipped by hand"
        if verdict.state is TaskState.READY and self.steering.is_cancelled(*key):
            return TaskState.CANCELLED, "cancelled"
        return verdict.state, verdict.message

    def missing(self, key: Key) -> bool:
        return False


def over_by_records(view: JobView) -> JobState | None:
    """State of a job that its records alone show to be over; None if they do not."""
    own = _Records(state=view.state, card=view.card, steering=view.steering, attempts=view.attempts)
    steps = own.steps(released=True, with_tasks=False)
    found, _ = judge_job(steps, ended=view.steering.ended)
    return found if found in _ENDS else None


def tell_own_end(state: Path, job: str) -> None:
    """Tell the end of a job if, by its records, it is over; for the runner of a task of it.

    Args:
        state: the queue's state folder.
        job: name of the job.
    """
    card = read_card(state, job)
    if card.settings.notify is None:
        return
    steering = read_steering(state, job)
    view = _Records(state=state, card=card, steering=steering, attempts=attempts_of(state, card))
    steps = view.steps(released=True, with_tasks=True)
    found, _ = judge_job(steps, ended=steering.ended)
    made = [a for tasks in view.attempts.values() for many in tasks.values() for a in many]
    _tell(
        state, card, steering, found, steps=steps,
        started=min((attempt.started for attempt in made), default=None),
        ended=max((attempt.ended for attempt in made if attempt.ended), default=None),
    )  # fmt: skip


def notices_due(state: Path, status: JobStatus) -> bool:
    """True for a job that is over, if somebody still has to be told of that.

    Args:
        state: the queue's state folder.
        status: of the job.
    """
    if status.state not in _ENDS:
        return False
    card = read_card(state, status.name)
    notify = card.settings.notify
    if notify is None or not channels(notify, status.state.value):
        return False
    end = _end_of(card, read_steering(state, status.name), status.state)
    told = _read(job_folder(state, status.name)).get(end)
    return told is None or any(note["state"] == "waiting" for note in told.values())


def tell_end(state: Path, status: JobStatus) -> None:
    """Tell the end of a job that the farm, too, sees ended.

    Args:
        state: the queue's state folder.
        status: of the job, with its tasks.
    """
    card = read_card(state, status.name)
    if card.settings.notify is not None:
        _tell(
            state, card, read_steering(state, status.name), status.state, steps=status.steps,
            started=status.started, ended=status.ended,
        )  # fmt: skip


def _end_of(card: Card, steering: Steering, found: JobState) -> str:
    """Identifies this end of a job; one that was retried has another."""
    again = json.dumps({s: dict(i) for s, i in steering.since.items()}, sort_keys=True)
    digest = hashlib.sha256(again.encode()).hexdigest()[:8]
    return f"{card.settings.name}:{found.value}:{digest}"


def _tell(
    state: Path, card: Card, steering: Steering, found: JobState, *,
    steps: Sequence[StepStatus], started: float | None, ended: float | None,
) -> None:  # fmt: skip
    settings = card.settings
    assert settings.notify is not None
    if found not in _ENDS or not (ways := channels(settings.notify, found.value)):
        return
    counts: Counter[str] = Counter()
    for step in steps:
        counts.update({kind.value: number for kind, number in step.counts.items()})
    end = _end_of(card, steering, found)
    body = document(
        end=end, job=settings.name, queue=settings.queue, kind=settings.kind, state=found.value,
        show=settings.show, user=settings.user, parameters=card.parameters,
        submitted=card.submitted, started=started, ended=ended or time.time(), tasks=counts,
        failed=[
            (f"{task.step}/{task.index}", task.message)
            for step in steps for task in step.tasks if task.state is TaskState.FAILED
        ],
    )  # fmt: skip
    folder = job_folder(state, settings.name)
    with locked(folder / "notices.lock"):
        told = _read(folder)
        for way in ways:
            note = told.setdefault(end, {}).setdefault(
                way, {"state": "waiting", "tries": 0, "due": 0.0, "message": ""}
            )
            if note["state"] == "waiting" and note["due"] <= time.time():
                _try(way, card, body, note)
                replace_file(folder / "notices.json", told)


def _try(way: str, card: Card, body: dict[str, Any], note: dict[str, Any]) -> None:
    assert card.settings.notify is not None
    note["tries"] += 1
    try:
        deliver(way, card.settings.notify, body)
        note.update(state="sent", message="")
    except NoticeError as error:
        due = next_try(note["tries"], time.time(), error)
        note.update(
            state="failed" if due is None else "waiting", due=due or 0.0, message=str(error)
        )


def _read(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "notices.json")
    except FileNotFoundError:
        return {}


def notices_of(state: Path, job: str) -> tuple[NoticeStatus, ...]:
    """What was told of the ends of a job, and how that went."""
    return tuple(
        NoticeStatus(
            end=end, channel=way, state=note["state"], tries=note["tries"],
            message=note["message"],
        )
        for end, ways in _read(job_folder(state, job)).items()
        for way, note in ways.items()
    )  # fmt: skip
