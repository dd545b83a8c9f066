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
from pathlib import Path
from typing import Any

from laikaroto.farm.engine import JobState, JobStatus, NoticeStatus, TaskState
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
    own = _Records(
        state=view.state, card=view.card, steering=view.steering, attempts=view.attempts
    )
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
    ends = [a.ended for many in view.attempts.values() for one in many.values() for a in one]
    failed = [
        (f"{task.step}/{task.index}", task.message)
        for step in steps for task in step.tasks if task.state is TaskState.FAILED
    ]  # fmt: skip
    counts: Counter[str] = Counter()
    for step in steps:
        counts.update({kind.value: number for kind, number in step.counts.items()})
    started = min((a.started for m in view.attempts.values() for o in m.values() for a in o),
                  default=None)  # fmt: skip
    _tell(
        state, card, steering, found, counts=counts, failed=failed, started=started,
        ended=max((end for end in ends if end is not None), default=None),
    )  # fmt: skip


def tell_end(state: Path, status: JobStatus) -> bool:
    """Tell the end of a job that the farm, too, sees ended; True if there is nothing more to do.

    Args:
        state: the queue's state folder.
        status: of the job, with its tasks.
    """
    card = read_card(state, status.name)
    if card.settings.notify is None:
        return True
    counts: Counter[str] = Counter()
    for step in status.steps:
        counts.update({kind.value: number for kind, number in step.counts.items()})
    failed = [(f"{t.step}/{t.index}", t.message) for t in status.tasks(TaskState.FAILED)]
    return _tell(
        state, card, read_steering(state, status.name), status.state, counts=counts,
        failed=failed, started=status.started, ended=status.ended,
    )  # fmt: skip


def _tell(
    state: Path, card: Card, steering: Steering, found: JobState, *, counts: Counter[str],
    failed: list[tuple[str, str]], started: float | None, ended: float | None,
) -> bool:  # fmt: skip
    settings = card.settings
    assert settings.notify is not None
    if found not in _ENDS or not (ways := channels(settings.notify, found.value)):
        return True
    # a job that was retried has another end
    again = json.dumps({s: dict(i) for s, i in steering.since.items()}, sort_keys=True)
    end = f"{settings.name}:{found.value}:{hashlib.sha256(again.encode()).hexdigest()[:8]}"
    body = document(
        end=end, job=settings.name, queue=settings.queue, kind=settings.kind, state=found.value,
        show=settings.show, user=settings.user, parameters=card.parameters,
        submitted=card.submitted, started=started, ended=ended or time.time(),
        tasks=counts, failed=failed,
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
        return all(note["state"] != "waiting" for note in told[end].values())


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


def notices_due(state: Path, job: str) -> bool:
    """False if the end of a job that is over has been told, or nobody wants to know."""
    folder = job_folder(state, job)
    if read_card(state, job).settings.notify is None:
        return False
    ends = _read(folder)
    return not ends or any(n["state"] == "waiting" for ways in ends.values() for n in ways.values())
