"""A shot that is done again: whether that still has a point when the job's turn has come.

Between submission and start lie hours. A training that was to bring a better model may have
brought none, an artist may have locked or approved the shot, another job may have done it.
"""

from __future__ import annotations

from dataclasses import dataclass

from laikaroto.errors import UsageError
from laikaroto.freshness.stale import inspect_shot
from laikaroto.show import Show

_BOTH = (False, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redo:
    """When a shot is done again.

    Attributes:
        stale: only if its newest version is out of date.
        force: also if it is locked or approved as a whole. What is locked or approved in it
            comes out as it was all the same.
    """

    stale: bool = False
    force: bool = False

    def word(self) -> str:
        """As job parameters hold it."""
        return "-".join([*(["force"] if self.force else []), "stale" if self.stale else "all"])


def parse_redo(text: str) -> Redo | None:
    """The inverse of ``Redo.word``; None for an empty text: no redo, a plain submission.

    Raises:
        UsageError: not such a word.
    """
    known = {r.word(): r for r in (Redo(stale=s, force=f) for s in _BOTH for f in _BOTH)}
    if text and text not in known:
        raise UsageError(f"--redo {text!r}: wanted one of {', '.join(sorted(known))}")
    return known.get(text)


def needless(show: Show, *, shot: str, character: str, redo: Redo) -> str | None:
    """Why the shot is to stay as it is, or None if it is to be done again.

    Raises:
        UsageError: the character is unknown.
    """
    status = inspect_shot(show, shot=shot, character=character)
    if status is None:
        return None
    if status.held and not redo.force:
        return status.held
    if redo.stale and not status.reasons:
        return f"{status.version} is what would be made now"
    if redo.stale and not status.mendable:
        return "; ".join(f"{reason.what}: {reason.why}" for reason in status.reasons)
    return None
