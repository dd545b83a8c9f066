"""One piece of work done in shares by several processes: shots inspected on all cores.

Threads do not help where Python itself is what takes the time, and a fresh interpreter takes as
long to start as a thousand shots to look at. So the process is forked: a share sees all that was
read before, and only its answer travels back. Fork only where no threads run (not beside a gRPC
client, a server or a network).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from laikaroto.errors import TryAgainError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_T = TypeVar("_T")
_R = TypeVar("_R")


def usable_cores() -> int:
    """Cores this process may fork itself over; 1 where forking is not to be relied on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def work_in_shares(
    work: Callable[[Sequence[_T]], _R], items: Sequence[_T], processes: int
) -> list[_R]:
    """Do a piece of work on every n-th item in each of n processes, this one among them.

    Args:
        work: takes a share and answers what can be pickled.
        items: all of them, in an order that makes the shares alike.
        processes: how many; no more than there are items are used.

    Returns:
        The answer of each share.

    Raises:
        TryAgainError: a process died.
        Exception: whatever ``work`` raised, in whichever share.
    """
    count = max(1, min(processes, len(items)))
    shares = [items[first::count] for first in range(count)]
    if count == 1:
        return [work(shares[0])]
    import multiprocessing

    context = multiprocessing.get_context("fork")
    running = []
    for share in shares[1:]:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(work, share, there), daemon=True)
        process.start()
        there.close()
        running.append((process, here))
    try:
        answers = [work(shares[0])]
        for _, here in running:
            answers.append(_answer(here))
    finally:
        for process, here in running:
            process.kill()  # those that are still at it, where another share has failed
            process.join()
            process.close()
            here.close()
    return answers


def _work(work: Callable[[Sequence[_T]], _R], share: Sequence[_T], there: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is for the process that waits to tell
    try:
        answer: tuple[_R | None, Exception | None] = (work(share), None)
    except Exception as error:
        answer = (None, error)
    there.send(answer)


def _answer(here: Connection) -> Any:
    try:
        answer, error = here.recv()
    except EOFError as fault:
        raise TryAgainError(
            "a process that looked at a share of the shots was killed (no memory?); call again"
        ) from fault
    if error is not None:
        raise error
    return answer
