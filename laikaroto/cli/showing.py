"""``laikaroto jobs show``: one job with its steps, tasks, attempts and what failed."""

from __future__ import annotations

import time
from collections.abc import Iterable

import click

from laikaroto.cli.columns import COLOURS, bar, clock, columns, hosts, span
from laikaroto.cli.follow import log_tail
from laikaroto.farm.engine import Engine, JobStatus, StepStatus, TaskState, TaskStatus

_ALL = 60  # tasks that are listed without being asked for
_LOGS = 3


def show_job(engine: Engine, status: JobStatus, *, everything: bool) -> list[str]:
    """Lines about a job.

    Args:
        engine: its queue.
        status: with its tasks.
        everything: list all tasks, however many there are.
    """
    lines = [*_head(status), *_steps(status.steps), *_tasks(status, everything=everything)]
    lines += _attempts(task for step in status.steps for task in step.tasks)
    for task in status.tasks(TaskState.FAILED)[:_LOGS]:
        lines += ["", click.style(f"{task.step}/{task.index}: {task.message}", fg="red")]
        lines += [f"    {line}" for line in log_tail(engine, status.name, task.step, task.index)]
    for notice in status.notices:
        tries = f", {notice.tries} tries: {notice.message}" if notice.message else ""
        lines.append(f"{notice.channel} about {notice.end}: {notice.state}{tries}")
    return lines


def _head(status: JobStatus) -> list[str]:
    state = click.style(status.state.value, fg=COLOURS.get(status.state.value))
    lines = [
        f"{status.name}: {state}" + (f", {status.reason}" if status.reason else ""),
        f"queue {status.queue}, priority {status.priority}, {status.attempts} attempts, "
        f"user {status.user}, submitted {clock(status.submitted)}",
    ]
    if status.started is not None:
        end = "" if status.ended is None else f", ended {clock(status.ended)}"
        took = span((status.ended or time.time()) - status.started)
        lines.append(f"started {clock(status.started)}{end}, {took} in all")
    lines += [f"after {upstream}" for upstream in status.needs]
    values = ", ".join(
        f"{name} {value}"
        for name, value in status.parameters.items()
        if value and name not in ("JobName", "Python", "Configs", "Run")
    )
    return [*lines, values] if values else lines


def _steps(steps: Iterable[StepStatus]) -> list[str]:
    rows = []
    for step in steps:
        counts = ", ".join(f"{number} {state.value}" for state, number in step.counts.items())
        ran = [t.ended - t.started for t in step.tasks if t.started and t.ended and t.state.done]
        mean = span(sum(ran) / len(ran)) if ran else ""
        rows.append((step.name, _state(step), bar(step.progress), mean, counts))
    return ["", *columns(("step", "state", "done", "mean", "tasks"), rows, state=1)]


def _state(step: StepStatus) -> str:
    """The state that says most about a step."""
    order = (TaskState.FAILED, TaskState.RUNNING, TaskState.CANCELLED, TaskState.READY,
             TaskState.WAITING, TaskState.SUCCEEDED, TaskState.SKIPPED)  # fmt: skip
    return next((state.value for state in order if step.counts.get(state)), "")


def _tasks(status: JobStatus, *, everything: bool) -> list[str]:
    tasks = [task for step in status.steps for task in step.tasks]
    shown = tasks
    if len(tasks) > _ALL and not everything:
        quiet = (TaskState.SUCCEEDED, TaskState.WAITING, TaskState.READY)
        shown = [task for task in tasks if task.state not in quiet]
    rows = [
        (
            f"{task.step}/{task.index}", task.state.value,
            " ".join(f"{key}={value}" for key, value in task.parameters.items()),
            str(task.attempt or ""), hosts(task), _time(task.started, task.ended),
            "" if task.exit_code is None else str(task.exit_code), task.message,
        )
        for task in shown
    ]  # fmt: skip
    head = ("task", "state", "what", "attempt", "host", "time", "exit", "message")
    lines = ["", *columns(head, rows, state=1)] if rows else []
    if len(shown) < len(tasks):
        lines.append(f"{len(tasks) - len(shown)} tasks that wait or are done: --all lists them")
    return lines


def _attempts(tasks: Iterable[TaskStatus]) -> list[str]:
    """Every attempt at the tasks that needed more than one."""
    rows = [
        (
            f"{task.step}/{task.index}", str(attempt.number), attempt.outcome or "running",
            hosts(attempt), clock(attempt.started), _time(attempt.started, attempt.ended),
            "" if attempt.exit_code is None else str(attempt.exit_code), attempt.message,
        )
        for task in tasks
        if len(task.attempts) > 1
        for attempt in task.attempts
    ]  # fmt: skip
    head = ("attempts at", "no", "ended", "host", "started", "time", "exit", "message")
    return ["", *columns(head, rows, state=2)] if rows else []


def _time(started: float | None, ended: float | None) -> str:
    return "" if started is None else span((ended or time.time()) - started)
