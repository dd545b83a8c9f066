"""``laikaroto jobs``: look at submitted jobs and steer them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from laikaroto.cli.follow import check_success, wait_for
from laikaroto.cli.listing import (
    Filter,
    by_urgency,
    listing,
    mean_durations,
    parse_since,
    parse_states,
    recent,
    watch,
)
from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.purge import purge
from laikaroto.cli.queues import Found, all_queues, find_job, queue_option
from laikaroto.cli.showing import show_job
from laikaroto.cli.tailing import follow
from laikaroto.config import parse_duration
from laikaroto.errors import UsageError
from laikaroto.farm.engine import Engine, JobState, JobStatus, TaskRef, TaskState
from laikaroto.show import Show

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group()
def jobs() -> None:
    """Look at and steer submitted jobs.

    A JOB is its name, or as much of its beginning or end as is needed to tell it from others.
    A TASK is STEP/INDEX as 'jobs show' lists it, or STEP for all tasks of a step.
    """


jobs.add_command(purge)


def _of_one_job(command: _F) -> _F:
    return click.argument("job")(queue_option(common_options(command)))


def _find(configs: Path, job: str, queue: str | None) -> Found:
    return find_job(Show.open(configs), job, queue)


def _parse_task(text: str) -> TaskRef:
    step, slash, index = text.partition("/")
    if not step or (slash and not index.isdigit()):
        raise UsageError(f"task {text!r} cannot be read; wanted STEP/INDEX as predict/3, or STEP")
    return TaskRef(step=step, index=int(index) if slash else None)


def _filter_options(command: _F) -> _F:
    """Options that choose jobs: ``_filter`` makes a ``Filter`` of them."""
    for option in (
        click.option("--since", metavar="TIME",
                     help="Only jobs that run, or were submitted, started or ended since: 12h "
                          "(ago), 20:00 (the last one) or 2030-01-31T20:00."),
        click.option("--user", metavar="U", help="Only jobs of this user."),
        click.option("--shot", metavar="GLOB", help="Only jobs of these shots, as 'ev1*'."),
        click.option("--character", metavar="C", help="Only jobs of this character."),
        click.option("--kind", metavar="KIND", help="Only these: shot, train …"),
    ):  # fmt: skip
        command = option(command)
    return command


def _filter(states: tuple[str, ...], choice: dict[str, str | None]) -> Filter:
    since = choice["since"]
    return Filter(
        states=states, kind=choice["kind"], character=choice["character"], shot=choice["shot"],
        user=choice["user"], since=None if since is None else parse_since(since),
    )  # fmt: skip


@jobs.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    help="Only these, as running,failed: waiting, ready, running, paused, blocked, "
    "succeeded, failed, cancelled.",
)
@_filter_options
@click.option("--all", "everything", is_flag=True, help="Also those over for long.")
@click.option(
    "--watch",
    "watching",
    is_flag=True,
    help="Show it anew until Ctrl-C, what runs or failed first.",
)
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="How often then.")
@queue_option
@common_options
def list_jobs(
    states: tuple[str, ...], everything: bool, watching: bool, every: str, queue: str | None,
    configs: Path, as_json: bool, **choice: str | None,
) -> None:  # fmt: skip
    """List jobs, newest last.

    "left" is what is left of each step times what it took on average in this queue so far, on the
    slots the job has now; empty where a step was never seen to end.
    """
    engines = list(all_queues(Show.open(configs), queue))
    wanted = _filter(parse_states(states), choice)
    if watching and as_json:
        raise UsageError("--watch and --json exclude each other")
    if watching:
        watch(
            lambda: _listing(by_urgency(_jobs_of(engines, wanted)), engines), parse_duration(every)
        )
        return
    found = sorted(_jobs_of(engines, wanted), key=lambda job: job.submitted)
    if as_json:
        print_json([job.to_dict() for job in found])
        return
    shown = found if everything or not wanted.empty else recent(found)
    for line in _listing(shown, engines):
        click.echo(line)
    if len(shown) < len(found):
        click.echo(f"{len(found) - len(shown)} older jobs that are over: --all shows them")


def _jobs_of(engines: Sequence[Engine], wanted: Filter) -> list[JobStatus]:
    return [job for engine in engines for job in engine.jobs() if wanted.lets(job)]


def _listing(found: Sequence[JobStatus], engines: Sequence[Engine]) -> list[str]:
    if any(job.state is JobState.RUNNING for job in found):
        return listing(found, mean_durations(t for engine in engines for t in engine.totals()))
    return listing(found, {})


@jobs.command()
@click.argument("job")
@click.option("--all", "everything", is_flag=True, help="Every task, however many there are.")
@queue_option
@common_options
def show(job: str, everything: bool, queue: str | None, configs: Path, as_json: bool) -> None:
    """Show one job: steps, tasks, attempts, and the last lines of what failed."""
    found = _find(configs, job, queue)
    status = found.engine.status(found.job)
    if as_json:
        print_json(status.to_dict())
        return
    for line in show_job(found.engine, status, everything=everything):
        click.echo(line)


@jobs.command()
@click.argument("job")
@click.argument("task", required=False)
@click.option("--attempt", type=click.IntRange(1), help="Which attempt. Default: the last.")
@click.option(
    "-f",
    "--follow",
    "following",
    is_flag=True,
    help="Go on until TASK, or the job, is over; further attempts too.",
)
@queue_option
@common_options
def logs(
    job: str, task: str | None, attempt: int | None, following: bool, queue: str | None,
    configs: Path, as_json: bool,
) -> None:  # fmt: skip
    """Print what TASK said; without TASK, what failed or runs, else the last one."""
    found = _find(configs, job, queue)
    if following:
        if as_json or attempt is not None:
            raise UsageError("--follow excludes --json and --attempt")
        follow(found.engine, found.job, _parse_task(task) if task else None)
        return
    refs = [_parse_task(task)] if task else _interesting(found.engine.status(found.job))
    texts = [(str(ref), found.engine.log(found.job, ref, attempt=attempt)) for ref in refs]
    if as_json:
        print_json([{"task": name, "log": text} for name, text in texts])
        return
    for name, text in texts:
        if len(texts) > 1:
            click.echo(f"==== {name}")
        click.echo(text, nl=False)


def _interesting(status: JobStatus) -> list[TaskRef]:
    started = [task for step in status.steps for task in step.tasks if task.attempt]
    if not started:
        raise UsageError(
            f"job {status.name} has not started: {status.reason or status.state.value}"
        )
    wanted = [task for task in started if task.state in (TaskState.FAILED, TaskState.RUNNING)]
    return [TaskRef(step=task.step, index=task.index) for task in wanted or started[-1:]]


@jobs.command()
@_of_one_job
def cancel(job: str, queue: str | None, configs: Path, as_json: bool) -> None:
    """End a job for good; running tasks are killed."""
    found = _find(configs, job, queue)
    found.engine.cancel(found.job)
    _tell(found, as_json)


@jobs.command()
@_of_one_job
def pause(job: str, queue: str | None, configs: Path, as_json: bool) -> None:
    """Start no more tasks of a job; running ones go on."""
    found = _find(configs, job, queue)
    found.engine.pause(found.job)
    _tell(found, as_json)


@jobs.command()
@_of_one_job
def resume(job: str, queue: str | None, configs: Path, as_json: bool) -> None:
    """Let a paused job go on."""
    found = _find(configs, job, queue)
    found.engine.resume(found.job)
    _tell(found, as_json)


@jobs.command()
@click.argument("job")
@click.argument("priority", type=click.IntRange(0, 100))
@queue_option
@common_options
def priority(job: str, priority: int, queue: str | None, configs: Path, as_json: bool) -> None:
    """Change a job's priority, 0-100; higher goes first."""
    found = _find(configs, job, queue)
    found.engine.set_priority(found.job, priority)
    _tell(found, as_json)


@jobs.command()
@click.argument("job", required=False)
@click.argument("tasks", nargs=-1, metavar="[TASK...]")
@click.option(
    "--failed",
    is_flag=True,
    help="In place of JOB: every failed job, or those that the options below leave.",
)
@_filter_options
@queue_option
@common_options
def retry(
    job: str | None, tasks: tuple[str, ...], failed: bool, queue: str | None, configs: Path,
    as_json: bool, **choice: str | None,
) -> None:  # fmt: skip
    """Run failed and cancelled tasks again: all of JOB, or each TASK, or of all failed jobs."""
    if failed == (job is not None) or (not failed and any(choice.values())):
        raise UsageError("name a JOB, or say --failed, perhaps with --kind, --shot … to choose")
    if job is not None:
        found = _find(configs, job, queue)
        count = found.engine.retry(found.job, [_parse_task(task) for task in tasks])
        _tell(found, as_json, count=count, what="to run again")
        return
    wanted, again = _filter(("failed",), choice), {}
    for engine in all_queues(Show.open(configs), queue):
        for status in engine.jobs():
            if wanted.lets(status):
                again[status.name] = engine.retry(status.name)
    if as_json:
        print_json([{"job": name, "count": count} for name, count in again.items()])
        return
    for name, count in again.items():
        click.echo(f"{name}: {count} tasks to run again")
    click.echo(f"{len(again)} failed jobs")


@jobs.command()
@click.argument("job")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@queue_option
@common_options
def skip(job: str, tasks: tuple[str, ...], queue: str | None, configs: Path, as_json: bool) -> None:
    """Go on as if each TASK had succeeded ("eat")."""
    found = _find(configs, job, queue)
    count = found.engine.skip(found.job, [_parse_task(task) for task in tasks])
    _tell(found, as_json, count=count, what="skipped")


@jobs.command()
@click.argument("names", nargs=-1, required=True, metavar="JOB...")
@click.option("--timeout", metavar="TIME", help="Give up after so long: 30m, 8h.")
@queue_option
@common_options
def wait(
    names: tuple[str, ...], timeout: str | None, queue: str | None, configs: Path, as_json: bool
) -> None:
    """Wait until each JOB is over; fail, with the last lines of its log, if one failed."""
    show_ = Show.open(configs)
    found = [find_job(show_, name, queue) for name in names]
    engine = found[0].engine
    if any(other.engine.name != engine.name for other in found):
        raise UsageError("these jobs are in different queues; wait for each queue by itself")
    done = wait_for(
        engine, [item.job for item in found], quiet=as_json,
        timeout_s=None if timeout is None else parse_duration(timeout),
    )  # fmt: skip
    if as_json:
        print_json([status.to_dict() for status in done])
    check_success(engine, done)


def _tell(found: Found, as_json: bool, *, count: int | None = None, what: str = "") -> None:
    """Print the job's state after a command."""
    status = found.engine.status(found.job)
    if as_json:
        extra = {} if count is None else {"count": count}
        print_json({"job": status.name, "state": status.state.value, **extra})
        return
    changed = "" if count is None else f", {count} tasks {what}"
    reason = f", {status.reason}" if status.reason else ""
    click.echo(f"{status.name}: {status.state.value}{changed}{reason}")
