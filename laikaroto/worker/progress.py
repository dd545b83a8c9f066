"""How far long work is: the ``report(fraction, text)`` that every step calls.

In a farm task it becomes the lines that Open Job Description reads from standard output; in
the foreground a bar on a terminal, or plain lines elsewhere. A step may report as often as it
likes: what says nothing new is not printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[float, str], None]

_EVERY_S = 1.0
_LINE_EVERY_S = 10.0


def task_report() -> Report:
    """A report that prints ``openjd_progress`` and ``openjd_status`` lines."""
    last = {"percent": -1.0, "time": 0.0}
    said = [""]

    def report(fraction: float, text: str) -> None:
        percent = round(100 * min(1.0, max(0.0, fraction)), 1)
        now = time.monotonic()
        if text != said[0]:
            said[0] = text
            print(f"openjd_status: {_one_line(text)}", flush=True)
        if percent != last["percent"] and (now - last["time"] >= _EVERY_S or percent == 100):
            last.update(percent=percent, time=now)
            print(f"openjd_progress: {percent:g}", flush=True)

    return report


def fail_line(message: str) -> str:
    """The line that tells a farm why a task failed."""
    return f"openjd_fail: {_one_line(message)}"


@contextmanager
def foreground_report(title: str, *, quiet: bool = False) -> Iterator[Report]:
    """A report for a person: a bar on a terminal, a line now and then elsewhere.

    Both go to standard error, so that ``--json`` output stays clean.

    Args:
        title: what is going on.
        quiet: show nothing.
    """
    if quiet:
        yield lambda fraction, text: None
    elif sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(), TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
    ) as progress:  # fmt: skip
        task = progress.add_task(title, total=1.0, text="")

        def report(fraction: float, text: str) -> None:
            progress.update(task, completed=min(1.0, max(0.0, fraction)), text=text)

        yield report


def _lines(title: str) -> Report:
    """A line every ten seconds, every tenth of the way, and at the end."""
    last = {"tenth": -1.0, "time": 0.0}

    def report(fraction: float, text: str) -> None:
        tenth = float(int(10 * min(1.0, max(0.0, fraction))))
        now = time.monotonic()
        if tenth == last["tenth"] and now - last["time"] < _LINE_EVERY_S:
            return
        last.update(tenth=tenth, time=now)
        print(f"{title}: {fraction:4.0%} {text}", file=sys.stderr, flush=True)

    return report


def _one_line(text: str) -> str:
    return " ".join(text.split())
