"""Told to stop: a farm wants its host back, or a person has had enough.

SIGTERM ends work at once, with exit code 75, unless the work is careful at that moment: then it
goes on to its next safe moment, writes down where it is, and ends there.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from laikaroto.errors import TryAgainError


class ToldToStopError(TryAgainError):
    """Somebody wants this process to end; the same call goes on from where it was."""


class Stop:
    """A wish to end, and what the work at hand lets become of it."""

    def __init__(self) -> None:
        """Nobody wishes anything, and nothing would have to be saved first."""
        self.asked = False
        self._careful = False

    def ask(self) -> None:
        """End at once, or where ``careful`` holds: note the wish. Once is enough.

        Raises:
            ToldToStopError: now, out of whatever runs.
        """
        if self.asked:
            return
        self.asked = True
        if not self._careful:
            self.check()

    def check(self) -> None:
        """End if that was asked for.

        Raises:
            ToldToStopError: it was.
        """
        if self.asked:
            raise ToldToStopError("told to stop; goes on from here when it is run again")

    @contextmanager
    def careful(self) -> Iterator[None]:
        """Nothing inside is interrupted: it has to look at ``asked`` itself, often enough."""
        with self._as(careful=True):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A part of careful work that may be interrupted: it takes long and changes nothing.

        Raises:
            ToldToStopError: asked to end inside, or before.
        """
        with self._as(careful=False):
            self.check()
            yield

    @contextmanager
    def _as(self, *, careful: bool) -> Iterator[None]:
        before, self._careful = self._careful, careful
        try:
            yield
        finally:
            self._careful = before


@contextmanager
def stoppable(stop: Stop, signals: Sequence[int] = (signal.SIGTERM,)) -> Iterator[None]:
    """Let signals ask for the end of what runs inside; for the main thread.

    Args:
        stop: what they ask.
        signals: which; the second SIGINT ends everything at once.

    Raises:
        ToldToStopError: one came.
    """

    def heard(number: int, frame: object) -> None:
        if number == signal.SIGINT and stop.asked:
            raise KeyboardInterrupt
        stop.ask()

    former = {number: signal.signal(number, heard) for number in signals}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
