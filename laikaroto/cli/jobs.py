"""``laikaroto jobs``: look at submitted jobs and steer them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from laikaroto.cli.follow import check_success, wait_for
from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.purge import purge
from laikaroto.cli.queues import Found, all_queues, find_job, queue_option
from laikaroto.config import parse_duration
from laikaroto.errors import UsageError
from laikaroto.farm.engine import JobStatus, TaskRef, TaskState
from laikaroto.show import Show

_F = TypeVar("_F", bound=Callable[..., Any])
_LISTED = 30


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


@jobs.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those over for long.")
@queue_option
@common_options
def list_jobs(everything: bool, queue: str | None, configs: Path, as_json: bool) -> None:
    """List jobs, newest last."""
    found = [job for engine in all_queues(Show.open(configs), queue) for job in engine.jobs()]
    found.sort(key=lambda job: job.submitted)
    if as_json:
        print_json([job.to_dict() for job in found])
        return
    shown = found if everything else _recent(found)
    _table(
        ("job", "state", "prio", "tasks", "done", "submitted", "user", "why"),
        [
            (
                job.name, job.state.value, str(job.priority), f"{job.done}/{job.total}",
                f"{job.progress:.0%}", _when(job.submitted), job.user, job.reason,
            )
            for job in shown
        ],
    )  # fmt: skip
    if len(shown) < len(found):
        click.echo(f"{len(found) - len(shown)} older jobs that are over: --all shows them")


def _recent(found: Sequence[JobStatus]) -> list[JobStatus]:
    """Every job that is not over, and the last of those that are."""
    last = {job.name for job in found[-_LISTED:]}
    return [job for job in found if not job.state.over or job.name in last]


@jobs.command()
@_of_one_job
def show(job: str, queue: str | None, configs: Path, as_json: bool) -> None:
    """Show one job with its steps and tasks."""
    found = _find(configs, job, queue)
    status = found.engine.status(found.job)
    if as_json:
        print_json(status.to_dict())
        return
    click.echo(
        f"{status.name}: {status.state.value}" + (f", {status.reason}" if status.reason else "")
    )
    click.echo(
        f"queue {status.queue}, priority {status.priority}, {status.attempts} attempts, "
        f"user {status.user}, submitted {_when(status.submitted)}"
    )
    for upstream in status.needs:
        click.echo(f"after {upstream}")
    _table(
        ("task", "state", "what", "attempt", "time", "exit", "message"),
        [
            (
                f"{task.step}/{task.index}", task.state.value,
                " ".join(f"{key}={value}" for key, value in task.parameters.items()),
                str(task.attempt or ""), _duration(task.started, task.ended),
                "" if task.exit_code is None else str(task.exit_code), task.message,
            )
            for step in status.steps
            for task in step.tasks
        ],
    )  # fmt: skip


@jobs.command()
@click.argument("job")
@click.argument("task", required=False)
@click.option("--attempt", type=click.IntRange(1), help="Which attempt. Default: the last.")
@queue_option
@common_options
def logs(
    job: str, task: str | None, attempt: int | None, queue: str | None, configs: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Print what TASK said; without TASK, what failed or runs, else the last one."""
    found = _find(configs, job, queue)
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
@click.argument("job")
@click.argument("tasks", nargs=-1, metavar="[TASK...]")
@queue_option
@common_options
def retry(
    job: str, tasks: tuple[str, ...], queue: str | None, configs: Path, as_json: bool
) -> None:
    """Run failed and cancelled tasks again: all of them, or each TASK."""
    found = _find(configs, job, queue)
    count = found.engine.retry(found.job, [_parse_task(task) for task in tasks])
    _tell(found, as_json, count=count, what="to run again")


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


def _when(seconds: float) -> str:
    return time.strftime("%m-%d %H:%M", time.localtime(seconds))


def _duration(started: float | None, ended: float | None) -> str:
    if started is None:
        return ""
    seconds = int((ended or time.time()) - started)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console = Console()
    console.print(table) if console.is_terminal else Console(width=200).print(table)
