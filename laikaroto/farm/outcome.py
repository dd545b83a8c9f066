"""How an attempt at a task can end, and whether the task is worth another one."""

from __future__ import annotations

from enum import StrEnum

from laikaroto.errors import EXIT_TRY_AGAIN


class Outcome(StrEnum):
    """How an attempt ended."""

    EXITED = "exited"  # the exit code says how
    LOST = "lost"  # what ran it died
    TIMEOUT = "timeout"  # ran longer than the queue allows
    RETURNED = "returned"  # the farm took it back; does not count as an attempt
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


def result_of(outcome: Outcome, exit_code: int | None) -> str:
    """How an attempt is counted: ``succeeded``, ``failed``, or as its outcome says."""
    if outcome is not Outcome.EXITED:
        return outcome.value
    return "succeeded" if exit_code == 0 else "failed"


def may_succeed_later(outcome: Outcome, exit_code: int | None) -> bool:
    """Whether the same task may succeed when run again.

    Exit 75 says so itself; a signal (negative, or 128 and more from a shell) and a lost host
    are accidents. Any other exit code would come again, and so would a timeout.
    """
    if outcome is Outcome.LOST:
        return True
    if outcome is not Outcome.EXITED or exit_code is None:
        return False
    return exit_code == EXIT_TRY_AGAIN or exit_code < 0 or 128 < exit_code <= 192


def retry_delay_s(first_s: float, tries: int) -> float:
    """Time before a task that asked for it (exit 75) is tried again, in seconds.

    Args:
        first_s: before the second try; each later wait is 4 times as long.
        tries: how often it was tried.
    """
    return first_s * 4.0 ** (tries - 1)
