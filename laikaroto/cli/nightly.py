"""``laikaroto submit nightly``: the night's trainings, and the shots that new models affect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.queues import open_queue, pick_queue, queue_option
from laikaroto.cli.reprocess import (
    Choice,
    LeftAlone,
    Sent,
    choose,
    left_json,
    send,
    sent_json,
)
from laikaroto.cli.submit import Wishes, training_bundle
from laikaroto.config import parse_duration
from laikaroto.errors import FarmError, LaikarotoError, UsageError
from laikaroto.farm.engine import Engine, JobState, JobStatus
from laikaroto.farm.night import (
    Slot,
    Wanted,
    Window,
    busy_slot,
    clock,
    expected_training,
    hours,
    parse_window,
    spread,
)
from laikaroto.show import Show

if TYPE_CHECKING:
    from laikaroto.worker.changed import Learning

#: Parameters of a training job that tell how long it takes; those of its size are numbers.
_TELLING = ("Character", "Budget", "InitFrom", "Cpus", "Nodes")
_SIZE = ("Cpus", "Nodes")
_SHOTS_BEHIND = 10  # of priority: artists' own submissions of the day go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a call works on.

    Attributes:
        trainings: parameters of each character's training job, as it would be submitted.
        at_once: how many may run side by side; None: as the queue's CPUs allow.
        jobs: all that the queue knew of when the call began.
    """

    show: Show
    engine: Engine
    window: Window
    at_once: int | None
    priority: int
    trainings: Mapping[str, Mapping[str, str]]
    jobs: tuple[JobStatus, ...]

    def active(self, character: str) -> JobStatus | None:
        """A training of the character that is queued or runs, whoever submitted it."""
        for job in reversed(self.jobs):
            if (
                job.kind == "train"
                and job.show == self.show.configs.show.name
                and job.parameters.get("Character") == character
                and (not job.state.over or job.state is JobState.BLOCKED)
            ):
                return job
        return None

    def expected(self, character: str) -> tuple[float, str]:
        """How long a training of the character takes, in seconds, and how that is known."""
        budget_s = parse_duration(self.show.character(character).training.budget)
        telling = {k: v for k, v in self.trainings[character].items() if k in _TELLING}
        return expected_training(self.jobs, telling, budget_s)

    @property
    def cpus(self) -> int:
        """CPUs of the largest training."""
        return max(
            math.prod(int(found.get(name, "1")) for name in _SIZE)
            for found in self.trainings.values()
        )

    @property
    def lanes(self) -> int:
        """How many trainings may run side by side."""
        return self.at_once or max(1, self.engine.all_cpus // self.cpus)


def _parameters(show: Show, queue: str) -> dict[str, dict[str, str]]:
    """Parameters of the training jobs of all characters."""
    return {
        name: {
            key: str(value)
            for key, value in training_bundle(
                show, character=name, wishes=Wishes(queue=queue)
            ).parameters.items()
        }
        for name in show.configs.characters
    }


@dataclass(slots=True, kw_only=True)
class Planned:
    """A character tonight.

    Attributes:
        what: ``train``; ``queued``: it is being trained already; ``next-night``: it does not fit
            any more; ``too-long``: it fits into no such window; ``unchanged``, ``refused``,
            ``untaught``: nothing to train (``worker.changed``); ``fault``: cannot be judged.
        why: in words.
        job: of the training; empty in a dry run.
    """

    character: str
    what: str
    why: str
    expected_s: float | None = None
    known_by: str = ""
    slot: Slot | None = None
    job: str = ""
    sent: list[Sent] = field(default_factory=list)
    left: list[LeftAlone] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "character": self.character, "what": self.what, "why": self.why,
            "expected_s": self.expected_s, "known_by": self.known_by or None,
            "start": self.slot.start if self.slot else None,
            "end": self.slot.end if self.slot else None,
            "job": self.job or None,
            "shots": [sent_json(item) for item in self.sent],
            "left_alone": [left_json(item) for item in self.left],
        }  # fmt: skip


@click.command()
@click.option(
    "--window",
    default="20:00-07:00",
    show_default=True,
    metavar="FROM-TO",
    help="When trainings may run, local time; the one that is open now, or the next.",
)
@click.option(
    "--character",
    "characters",
    multiple=True,
    metavar="C",
    help="Only this puppet; may be repeated. Default: every one.",
)
@click.option(
    "--reprocess",
    is_flag=True,
    help="Then roto the published shots again that the new models affect.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1),
    metavar="N",
    help="Trainings side by side. Default: as many as the queue's CPUs allow.",
)
@click.option(
    "--priority",
    type=click.IntRange(0, 100),
    metavar="0-100",
    help="Of trainings; shots get 10 less. Default: the queue's own.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan; queue nothing.")
@queue_option
@common_options
def nightly(
    window: str, characters: tuple[str, ...], reprocess: bool, at_once: int | None,
    priority: int | None, dry_run: bool, queue: str | None, configs: Path, as_json: bool,
) -> None:  # fmt: skip
    """Train every character whose training set changed since its current model.

    Trainings are spread over the window by how long they are expected to take; who waits longest
    goes first, and what does not fit is left for the next night. Safe to call twice: what is
    queued already is found. For cron and systemd timers see docs/nightly.md.
    """
    open_window = parse_window(window)
    show = Show.open(configs)
    for character in characters:
        show.character(character)
    if not show.configs.characters:
        raise UsageError(
            "the show has no character; one is a file "
            f"{show.configs.folder / 'characters' / 'NAME.yaml'}"
        )
    chosen = pick_queue(show, queue)
    engine = open_queue(show, chosen)
    night = Night(
        show=show, engine=engine, window=open_window, jobs=engine.jobs(), at_once=at_once,
        trainings=_parameters(show, chosen),
        priority=show.queue(chosen).priority if priority is None else priority,
    )  # fmt: skip
    plan = plan_night(night, characters or sorted(show.configs.characters))
    for one in plan:
        if one.what == "train" and not dry_run:
            _submit(night, one)
    if reprocess:
        for one in plan:
            _reprocess(night, one, dry_run=dry_run)
    queued = any(one.job or any(item.job for item in one.sent) for one in plan)
    note = engine.obstacle() if queued else ""
    _print(night, plan, as_json=as_json, dry_run=dry_run, note=note)
    if faults := [one.character for one in plan if one.what == "fault"]:
        raise LaikarotoError(f"{', '.join(faults)}: could not be planned or queued, see above")


# ---- planning ------------------------------------------------------------------------------


def plan_night(night: Night, characters: Sequence[str]) -> list[Planned]:
    """Decide for each character what becomes of it tonight, in the order of their starts."""
    plan, waiting = [], []
    for character in dict.fromkeys(characters):
        if (job := night.active(character)) is not None:
            plan.append(_queued(night, character, job))
            continue
        judged = _judge(night, character)
        if isinstance(judged, Planned):
            plan.append(judged)
        else:
            waiting.append(judged)
    waiting.sort(key=lambda learning: (learning.order, learning.character))
    busy = [
        busy_slot(job, night.expected(name)[0])
        for name in night.show.configs.characters
        if (job := night.active(name)) is not None
    ]
    expected = {learning.character: night.expected(learning.character) for learning in waiting}
    wanted = [Wanted(name=name, seconds=seconds) for name, (seconds, _) in expected.items()]
    slots = spread(wanted, night.window, lanes=night.lanes, busy=busy)
    plan += [_place(night, learning, expected, slots) for learning in waiting]
    return sorted(plan, key=lambda one: (one.slot is None, one.slot.start if one.slot else 0.0))


def _judge(night: Night, character: str) -> Learning | Planned:
    """A character that has something to learn, or why it is not trained."""
    from laikaroto.worker.changed import judge_learning

    try:
        learning = judge_learning(night.show, character)
    except LaikarotoError as error:
        return Planned(character=character, what="fault", why=str(error))
    if learning.state == "changed":
        return learning
    return Planned(character=character, what=learning.state, why=learning.why)


def _queued(night: Night, character: str, job: JobStatus) -> Planned:
    seconds, known_by = night.expected(character)
    why = f"{job.name} is {job.state.value}" + (f", {job.reason}" if job.reason else "")
    return Planned(
        character=character, what="queued", why=why, expected_s=seconds, known_by=known_by,
        slot=busy_slot(job, seconds), job=job.name,
    )  # fmt: skip


def _place(
    night: Night, learning: Learning, expected: Mapping[str, tuple[float, str]],
    slots: Mapping[str, Slot],
) -> Planned:  # fmt: skip
    seconds, known_by = expected[learning.character]
    slot = slots.get(learning.character)
    what, why = "train", learning.why
    if slot is None and seconds > night.window.whole_s:
        what = "too-long"
        why = (
            f"takes {hours(seconds)}, the whole window has {hours(night.window.whole_s)}: widen "
            "the window, or shorten its budget"
        )
    elif slot is None:
        what = "next-night"
        why = f"takes {hours(seconds)}, and there is no room left for that; {learning.why}"
    return Planned(
        character=learning.character, what=what, why=why, expected_s=seconds, known_by=known_by,
        slot=slot,
    )  # fmt: skip


# ---- queueing ------------------------------------------------------------------------------


def _submit(night: Night, one: Planned) -> None:
    assert one.slot is not None
    # an engine that cannot wait may still be given what is to start at once
    at_once = night.window.opened and one.slot.start <= night.window.start
    wishes = Wishes(
        queue=night.engine.name, priority=night.priority,
        not_before=None if at_once else one.slot.start,
        key=f"nightly-{night.show.configs.show.name}-{one.character}",
    )  # fmt: skip
    try:
        made = night.engine.submit(
            training_bundle(night.show, character=one.character, wishes=wishes)
        )
    except LaikarotoError as error:
        if error.retryable:
            raise
        one.what, one.why = "fault", str(error)
        return
    one.job = made.job
    if made.existing:
        one.what = "queued"


def _reprocess(night: Night, one: Planned, *, dry_run: bool) -> None:
    """Queue the shots that a new model affects: behind its training, or at once if it is there.

    Each is done only if it is stale when its turn comes. So where the training brings no model
    that is better, nothing is done again; and what last night left is done tonight.
    """
    from laikaroto.freshness.stale import inspect_shots
    from laikaroto.worker.redo import Redo

    coming = one.what in ("train", "queued")
    if one.what == "untaught" or (one.what == "fault"):
        return
    try:
        found = inspect_shots(night.show, one.character)
        # the model that comes makes every shot stale; else those that lag behind the current one
        choice = Choice() if coming else Choice(stale=("model",))
        chosen, one.left = choose(found, choice)
        if dry_run:
            one.sent = [Sent(status=status) for status in chosen]
            return
        if one.what == "train":
            _clear_blocked(night, one.character)
        wishes = Wishes(
            queue=night.engine.name, priority=max(0, night.priority - _SHOTS_BEHIND),
            not_before=None if night.window.opened else night.window.start,
            after=(one.job,) if coming else (),
        )  # fmt: skip
        one.sent, refused = send(
            night.show, night.engine, chosen, redo=Redo(stale=True), wishes=wishes
        )
        one.left += refused
    except FarmError as error:
        one.what, one.why = "fault", str(error)


def _clear_blocked(night: Night, character: str) -> None:
    """Cancel shots of earlier nights that wait behind a training that failed: tonight's do both."""
    for job in night.jobs:
        if (
            job.state is JobState.BLOCKED
            and job.kind == "shot"
            and job.show == night.show.configs.show.name
            and job.parameters.get("Character") == character
            and job.parameters.get("Redo")
        ):
            night.engine.cancel(job.name)


# ---- telling -------------------------------------------------------------------------------

_WORDS = {
    "next-night": "next night", "too-long": "never fits", "unchanged": "unchanged",
    "refused": "no better", "untaught": "no truth", "fault": "fault",
}  # fmt: skip


def _print(
    night: Night, plan: Sequence[Planned], *, as_json: bool, dry_run: bool, note: str
) -> None:
    if as_json:
        print_json({
            "window": {"start": night.window.start, "end": night.window.end},
            "at_once": night.lanes, "dry_run": dry_run, "queue": night.engine.name,
            "characters": [one.to_json() for one in plan], "note": note or None,
        })  # fmt: skip
        return
    click.echo(
        f"{clock(night.window.start)} to {clock(night.window.end)}, {night.lanes} at a time, "
        f"{night.cpus} CPUs each"
    )
    width = max((len(one.character) for one in plan), default=0)
    for one in plan:
        when = _WORDS.get(one.what, "")
        if one.slot is not None:
            when = f"{clock(one.slot.start)}-{clock(one.slot.end)[-5:]}"
        click.echo(f"{when:<15}  {one.character:<{width}}  {_say(one, dry_run=dry_run)}")
        for line in _say_shots(one, dry_run=dry_run):
            click.echo(f"{'':<17}{line}")
    if note:
        click.echo(f"note: {note}", err=True)


def _say(one: Planned, *, dry_run: bool) -> str:
    if one.what == "queued":
        return f"already queued: {one.why}"
    if one.what != "train":
        return one.why
    state = "would be queued" if dry_run else f"queued as {one.job}"
    assert one.expected_s is not None
    return f"{state} ({one.why}; takes {hours(one.expected_s)}, {one.known_by})"


def _say_shots(one: Planned, *, dry_run: bool) -> list[str]:
    lines = []
    if one.sent:
        known = sum(item.existing for item in one.sent)
        verb = "would be queued" if dry_run else "queued"
        behind = "behind its training" if one.what in ("train", "queued") else "at once"
        more = f", {known} of them already" if known else ""
        lines.append(f"{len(one.sent)} shots {verb} {behind}{more}")
    for item in one.left:
        lines.append(f"{item.status.shot} left alone: {item.why.split(';')[0]}")
    return lines
