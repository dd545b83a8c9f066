"""Which queue a command means, and which job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from laikaroto.errors import UsageError
from laikaroto.farm.engine import Engine
from laikaroto.farm.engines import open_engine
from laikaroto.show import Show

queue_option = click.option(
    "--queue", "queue", metavar="Q", help="Queue; may be left out where there is only one."
)

not_before_option = click.option(
    "--not-before",
    "not_before",
    metavar="TIME",
    help="Start no earlier: 20:00 or 2030-01-31T20:00, local time.",
)

priority_option = click.option(
    "--priority",
    type=click.IntRange(0, 100),
    metavar="0-100",
    help="Higher goes first. Default: the queue's own.",
)


def pick_queue(show: Show, name: str | None) -> str:
    """Name of the queue to use: the named one, the only one, or ``local``.

    Raises:
        UsageError: unknown, or it has to be named.
    """
    if name is not None:
        return show.queue(name).name
    known = sorted(show.configs.queues)
    if len(known) == 1:
        return known[0]
    if "local" in known:
        return "local"
    there = ", ".join(known) or "none"
    raise UsageError(
        f"name a queue with --queue; known: {there}. A queue is a file "
        f"{show.configs.folder / 'queues' / 'NAME.yaml'}"
    )


def open_queue(show: Show, name: str | None) -> Engine:
    """Engine of a queue; see ``pick_queue``."""
    chosen = pick_queue(show, name)
    return open_engine(show.queue(chosen), show.queue_state(chosen))


def all_queues(show: Show, name: str | None) -> Iterator[Engine]:
    """The named queue, or every queue of the show."""
    for queue in [name] if name is not None else sorted(show.configs.queues):
        yield open_queue(show, queue)


@dataclass(frozen=True, slots=True)
class Found:
    """A job and the engine that has it."""

    engine: Engine
    job: str


def find_job(show: Show, text: str, queue: str | None) -> Found:
    """The job whose name is ``text``, or the only one whose name begins or ends with it.

    Raises:
        UsageError: none or several.
    """
    matches: list[Found] = []
    for engine in all_queues(show, queue):
        for name in engine.names():
            if name == text:
                return Found(engine, name)
            if name.startswith(text) or name.endswith(text):
                matches.append(Found(engine, name))
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UsageError(f"no job is called {text!r}; 'laikaroto jobs list --all' shows all")
    names = ", ".join(found.job for found in matches[-5:])
    raise UsageError(f"{len(matches)} jobs are called {text!r}…: {names}; write more of the name")
