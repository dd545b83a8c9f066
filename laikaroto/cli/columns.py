"""Columns of text with colours, quick for thousands of rows, and the words in them.

Colours are click's: ``click.echo`` leaves them out where the output is no terminal.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

import click

from laikaroto.farm.engine import AttemptStatus, TaskStatus

COLOURS = {
    "running": "cyan", "ready": "blue", "waiting": "bright_black", "paused": "yellow",
    "blocked": "magenta", "succeeded": "green", "skipped": "green", "failed": "red",
    "cancelled": "bright_black", "lost": "red", "timeout": "red",
}  # fmt: skip
_BAR = 10
_GAP = "  "
_LAST = 24  # characters the last column should have


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, state: int, spare: Sequence[str] = ()
) -> list[str]:
    """Lines of a table, coloured by the state of each row.

    On a terminal the last column is cut to what is left of its width; elsewhere nothing is.

    Args:
        head: titles.
        rows: cells; control characters in them are shown as '?'.
        state: which column holds the state; before the spare ones.
        spare: titles of columns that a narrow terminal does without, the first one first.
    """
    clean = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *clean, strict=True)]
    room = None
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths[:-1]) - len(_GAP) * (len(head) - 1)
        if room < _LAST and spare:
            keep = [place for place, title in enumerate(head) if title != spare[0]]
            less = [[row[place] for place in keep] for row in rows]
            return columns([head[p] for p in keep], less, state=state, spare=spare[1:])
        room = max(8, room)
    lines = [click.style(_line(head, widths, room), bold=True)]
    for row in clean:
        line = _line(row, widths, room)
        start = sum(widths[:state]) + len(_GAP) * state
        end = start + len(row[state])
        colour = COLOURS.get(row[state])
        lines.append(line[:start] + click.style(line[start:end], fg=colour) + line[end:])
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], room: int | None) -> str:
    last = cells[-1]
    if room is not None and len(last) > room:
        last = last[: room - 1] + "…"
    padded = (cell.ljust(width) for cell, width in zip(cells[:-1], widths[:-1], strict=True))
    return _GAP.join([*padded, last]).rstrip()


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def bar(fraction: float) -> str:
    """A bar of ten characters and the percentage; 100 % only if nothing is left."""
    full = int(fraction * _BAR)
    return f"{'#' * full}{'-' * (_BAR - full)} {int(fraction * 100 + 1e-9):3d}%"


def clock(seconds: float) -> str:
    """A time of day, local, with its date."""
    return time.strftime("%m-%d %H:%M", time.localtime(seconds))


def span(seconds: float) -> str:
    """A duration: ``0:07``, ``12:30``, ``3:05:00``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rough(seconds: float) -> str:
    """A duration in one unit, as for ages: ``40s``, ``12m``, ``5h``, ``3d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (unit == "m" and seconds >= 100):
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def hosts(ran: TaskStatus | AttemptStatus) -> str:
    """Where something ran; several hosts of a training work at one task."""
    return ", ".join([ran.host or "", *ran.others])
