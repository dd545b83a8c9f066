"""``laikaroto submit``: training and shot jobs into a farm queue.

Names, configuration and plates are checked here, so that a job that cannot work is never
queued. The bundle functions are also what ``laikaroto demo`` uses.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from laikaroto.cli.follow import check_success, wait_for
from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.queues import (
    find_job,
    not_before_option,
    open_queue,
    pick_queue,
    priority_option,
    queue_option,
)
from laikaroto.config import check_name, current_user, parse_duration
from laikaroto.errors import UsageError
from laikaroto.farm.bundle import Bundle, JobSettings, job_template, new_job_name
from laikaroto.farm.engine import Engine
from laikaroto.frames import format_frames, parse_frames
from laikaroto.model.package import parse_source
from laikaroto.show import Show, check_version

_F = TypeVar("_F", bound=Callable[..., Any])
_MANY = 20  # shots whose plates take a moment to look at
_MOST_TRAINING_CPUS = 16  # more do not make a training of this size faster


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a job is to be queued; None means as the queue's configuration says."""

    queue: str | None = None
    priority: int | None = None
    not_before: float | None = None
    paused: bool = False
    after: Sequence[str] = ()
    key: str | None = None


def training_bundle(
    show: Show,
    *,
    character: str,
    budget: str | None = None,
    init_from: str | None = None,
    nodes: int | None = None,
    wishes: Wishes = Wishes(),
) -> Bundle:
    """The job that learns a character.

    Args:
        show: the show.
        character: its name.
        budget: wall time of the training, as ``8h``; None for the character's own.
        init_from: version of the model to start from, ``current``, or either of another
            character: ``villain:current``.
        nodes: hosts that train together; None for as many as the character's file says.
        wishes: how to queue it.

    Raises:
        UsageError: a name, time or version cannot be.
    """
    nodes = nodes or show.character(character).training.nodes
    if budget is not None:
        parse_duration(budget)
    if init_from is not None:
        parse_source(init_from, character)
    cpus = min(open_queue(show, wishes.queue).cpus_on(nodes), _MOST_TRAINING_CPUS)
    return _bundle(
        show,
        template="train_character",
        names=("train", character),
        parameters={
            "Character": character, "Budget": budget or "", "InitFrom": init_from or "",
            "Cpus": cpus, "Nodes": nodes,
        },
        key=("train", character, budget or "", init_from or "", str(nodes)),
        wishes=wishes,
        nodes={"train": "Nodes"},
    )  # fmt: skip


def shot_bundle(
    show: Show,
    *,
    shot: str,
    character: str,
    frames: Sequence[int] | None = None,
    model: str = "current",
    redo: str = "",
    wishes: Wishes = Wishes(),
) -> Bundle:
    """The job that rotos one shot; its plates are checked first.

    Those of a shot that is done again are left to the job's own check: there may be thousands
    of such shots, and their plates were good before.

    Args:
        show: the show.
        shot: its name.
        character: its name.
        frames: which; None for all there are.
        model: version, or ``current``: the one that is current when the job starts.
        redo: for a shot that is done again: ``worker.redo.Redo.word``.
        wishes: how to queue it.

    Raises:
        UsageError: a name or version cannot be.
        PlateError: a plate is missing, broken or of another size.
    """
    from laikaroto.plate.sequence import check_sequence, find_sequence

    show.character(character)
    if model != "current":
        check_version(model)
    sequence = find_sequence(show.plate_template(shot), shot=shot)
    if not redo:
        check_sequence(sequence, show.configs.show.plates, frames)
    numbers = format_frames(frames if frames is not None else sequence.frames)
    queue = show.queue(pick_queue(show, wishes.queue))
    return _bundle(
        show,
        template="infer_shot",
        names=("shot", shot, character),
        parameters={
            "Shot": shot, "Character": character, "Frames": numbers,
            "FramesPerTask": queue.frames_per_task, "Model": model, "Redo": redo,
        },
        key=("shot", shot, character, numbers, model, *((redo, *wishes.after) if redo else ())),
        wishes=wishes,
        reads=(str(sequence.path(sequence.frames[0]).parent),),
    )  # fmt: skip


def _bundle(
    show: Show,
    *,
    template: str,
    names: tuple[str, ...],
    parameters: Mapping[str, str | int],
    key: tuple[str, ...],
    wishes: Wishes,
    reads: tuple[str, ...] = (),
    nodes: Mapping[str, str] | None = None,
) -> Bundle:
    queue = show.queue(pick_queue(show, wishes.queue))
    kind, subject, *more = names
    name = new_job_name(show.configs.show.name, subject, current_user(), kind, *more)
    run = str(show.work_folder(name))
    configs = str(show.configs.folder)
    derived = hashlib.sha256("\0".join((show.configs.show.name, *key)).encode()).hexdigest()
    return Bundle(
        template=job_template(template),
        parameters={
            "JobName": name, "Python": sys.executable, "Configs": configs, "Run": run,
            **parameters,
        },
        settings=JobSettings(
            name=name, key=wishes.key or f"{'-'.join(names)}-{derived[:16]}", kind=names[0],
            show=show.configs.show.name, user=current_user(), queue=queue.name,
            priority=queue.priority if wishes.priority is None else wishes.priority,
            attempts=queue.attempts, not_before=wishes.not_before, paused=wishes.paused,
            needs=tuple(wishes.after), nodes=dict(nodes or {}), notify=queue.notify,
        ),
        reads=(configs, *reads),
        writes=(run,),
    )  # fmt: skip


def parse_not_before(text: str, now: datetime | None = None) -> float:
    """Seconds since 1970 of ``20:00`` (the next one) or an ISO date and time, in local time.

    Raises:
        UsageError: neither of them.
    """
    now = now or datetime.now()
    try:
        clock = datetime.strptime(text.strip(), "%H:%M")
    except ValueError:
        try:
            return datetime.fromisoformat(text.strip()).timestamp()
        except ValueError as error:
            raise UsageError(
                f"--not-before {text!r} cannot be read; wanted 20:00 or 2030-01-31T20:00"
            ) from error
    then = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).timestamp()


# ---- commands ------------------------------------------------------------------------------


class _Submit(click.Group):
    """Also has the commands of modules that build on this one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Those of this module, then the others."""
        return [*super().list_commands(ctx), "nightly", "reprocess"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command that is elsewhere."""
        if cmd_name == "nightly":
            from laikaroto.cli.nightly import nightly

            return nightly
        if cmd_name == "reprocess":
            from laikaroto.cli.reprocess import reprocess

            return reprocess
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Submit)
def submit() -> None:
    """Send training and shot jobs to a farm queue."""


def _queueing_options(command: _F) -> _F:
    for option in (
        click.option("--wait", is_flag=True, help="Wait for the end; fail if the job fails."),
        click.option("--bundle-only", type=click.Path(path_type=Path), metavar="DIR",
                     help="Write the bundle as DIR/JOB, for 'openjd run' or another farm; queue "
                          "nothing."),
        click.option("--dry-run", is_flag=True, help="Show the bundle; queue and write nothing."),
        click.option("--key", metavar="KEY",
                     help="Do nothing if a job with this key is still active. Default: made from "
                          "what the job is to do."),
        click.option("--after", multiple=True, metavar="JOB",
                     help="Start once this job has succeeded; may be repeated."),
        click.option("--paused", is_flag=True, help="Queue it, but start nothing yet."),
        not_before_option,
        priority_option,
        queue_option,
    ):  # fmt: skip
        command = option(command)
    return command


def make_wishes(
    show: Show, queue: str | None, priority: int | None, not_before: str | None, paused: bool,
    after: Sequence[str], key: str | None,
) -> Wishes:  # fmt: skip
    """Wishes as options of the command line say them.

    Raises:
        UsageError: a queue, job or time that cannot be.
    """
    chosen = pick_queue(show, queue)
    return Wishes(
        queue=chosen,
        priority=priority,
        not_before=None if not_before is None else parse_not_before(not_before),
        paused=paused,
        after=tuple(find_job(show, job, chosen).job for job in after),
        key=key,
    )


@submit.command("train")
@click.argument("character")
@click.option("--budget", metavar="TIME", help="Wall time of the training: 8h, 30m.")
@click.option(
    "--init-from",
    "init_from",
    metavar="V",
    help="Start from a model: v003, current, or OTHER:current of another character.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 8),
    metavar="N",
    help="Hosts that train together (Slurm). Default: the character's own, 1.",
)
@_queueing_options
@common_options
def train(
    character: str, budget: str | None, init_from: str | None, nodes: int | None, dry_run: bool,
    bundle_only: Path | None, wait: bool, configs: Path, as_json: bool, **wishes: Any,
) -> None:  # fmt: skip
    """Learn CHARACTER from its training shots; the new model is used if it is no worse."""
    show = Show.open(configs)
    chosen = make_wishes(show, **wishes)
    bundle = training_bundle(
        show, character=character, budget=budget, init_from=init_from, nodes=nodes, wishes=chosen
    )
    where = _Where(dry_run=dry_run, bundle_only=bundle_only, wait=wait, as_json=as_json)
    _send(open_queue(show, chosen.queue), [bundle], where)


@submit.command("shot")
@click.argument("shots", nargs=-1, required=True, metavar="SHOT...")
@click.option("--character", required=True, metavar="C", help="The puppet to roto.")
@click.option("--frames", metavar="R", help="Only these: 1001-1100, 1001-1100x2. Default: all.")
@click.option("--model", default="current", show_default=True, metavar="V", help="Model version.")
@_queueing_options
@common_options
def shot(
    shots: tuple[str, ...], character: str, frames: str | None, model: str, dry_run: bool,
    bundle_only: Path | None, wait: bool, configs: Path, as_json: bool, **wishes: Any,
) -> None:  # fmt: skip
    """Roto each SHOT: tracking points, shapes and mattes as a new version beside the last."""
    show = Show.open(configs)
    for name in shots:
        check_name(name, "shot")
    chosen = make_wishes(show, **wishes)
    if chosen.key is not None and len(shots) > 1:
        raise UsageError("--key names one job; submit the shots one by one")
    numbers = None if frames is None else parse_frames(frames)
    with _progress(list(dict.fromkeys(shots)), "plates") as names:
        bundles = [
            shot_bundle(
                show, shot=name, character=character, frames=numbers, model=model, wishes=chosen
            )
            for name in names
        ]
    where = _Where(dry_run=dry_run, bundle_only=bundle_only, wait=wait, as_json=as_json)
    _send(open_queue(show, chosen.queue), bundles, where)


def _progress(items: list[str], label: str) -> AbstractContextManager[Iterable[str]]:
    """The same items; on a terminal, and if there are many, with a bar."""
    if len(items) < _MANY or not sys.stderr.isatty():
        return nullcontext(items)
    return click.progressbar(items, label=label, file=sys.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """What to do with bundles: show them, write them, or queue them and perhaps wait."""

    dry_run: bool
    bundle_only: Path | None
    wait: bool
    as_json: bool

    def __post_init__(self) -> None:
        if sum((self.dry_run, self.bundle_only is not None, self.wait)) > 1:
            raise UsageError("--dry-run, --bundle-only and --wait exclude each other")


def _send(engine: Engine, bundles: Sequence[Bundle], where: _Where) -> None:
    wait, as_json = where.wait, where.as_json
    if where.dry_run:
        _show_bundles(bundles, as_json=as_json)
        return
    if where.bundle_only is not None:
        _write_bundles(bundles, where.bundle_only.absolute(), as_json=as_json)
        return
    sent = engine.submit_all(bundles)
    hint = engine.obstacle()
    if not as_json:
        for item in sent:
            state = "is already queued" if item.existing else "queued"
            click.echo(f"{item.job}: {state}")
        if hint:
            click.echo(f"note: {hint}", err=True)
    done = wait_for(engine, [item.job for item in sent], quiet=as_json) if wait else ()
    if as_json:
        print_json({
            "queue": engine.name, "note": hint or None,
            "jobs": [{"job": item.job, "existing": item.existing} for item in sent],
            "statuses": [status.to_dict() for status in done],
        })  # fmt: skip
    check_success(engine, done)


def _write_bundles(bundles: Sequence[Bundle], folder: Path, *, as_json: bool) -> None:
    """Write what would be queued, checked as the farm would, one folder for each job."""
    from laikaroto.farm.bundle import write_bundle
    from laikaroto.farm.plan import plan_job

    for bundle in bundles:
        plan_job(bundle, where=f"job {bundle.settings.name}")
    made = [write_bundle(bundle, folder / bundle.settings.name) for bundle in bundles]
    if as_json:
        print_json([{"job": path.name, "bundle": str(path)} for path in made])
        return
    for path in made:
        click.echo(f"{path}")


def _show_bundles(bundles: Sequence[Bundle], *, as_json: bool) -> None:
    """Print what would be queued, checked as the farm would."""
    from laikaroto.farm.plan import plan_job

    plans = [plan_job(bundle, where=f"job {bundle.settings.name}") for bundle in bundles]
    if as_json:
        print_json([
            {
                "settings": bundle.settings.model_dump(mode="json"),
                "parameters": dict(bundle.parameters),
                "steps": [
                    {"name": step.name, "needs": list(step.needs), "tasks": list(step.tasks)}
                    for step in plan.steps
                ],
                "files": bundle.files(),
            }
            for bundle, plan in zip(bundles, plans, strict=True)
        ])  # fmt: skip
        return
    for bundle, plan in zip(bundles, plans, strict=True):
        for name, text in bundle.files().items():
            click.echo(f"# ---- {bundle.settings.name}/{name}\n{text.rstrip()}\n")
        for step in plan.steps:
            click.echo(f"# {step.name}: {len(step.tasks)} tasks")
