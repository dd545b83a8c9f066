"""Work on items ahead of their use, in threads; results come out in the order of the items.

For work that leaves the interpreter lock (decoding, resampling, inference): while one result
is being used, the next ones are made. A bound on what is under way keeps memory from growing
with the number of items.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_threads() -> int:
    """Processor threads this task may use: OMP_NUM_THREADS if a farm set it, else all."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else len(os.sched_getaffinity(0))


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    room: Callable[[Item], int],
    name: str = "ahead",
) -> Generator[Result, None, None]:
    """Give ``work(item)`` for each item, in order, while the next ones are worked on.

    Close the generator (``contextlib.closing``) when it may be left early: the threads have
    ended when ``close`` returns, whatever was under way, and ``items`` is closed as well.

    Args:
        work: called in one of the threads.
        items: taken in the caller's thread, one by one, only when there is room.
        threads: how many items are worked on at once.
        room: told an item, how many results there may be at most, that item's included: under
            way, waiting for their turn or with the caller. At least 1.
        name: what the threads are called.

    Yields:
        Results.

    Raises:
        Exception: what ``work`` raised, when that item's turn comes; what ``items`` raises, at
            once.
    """
    waiting: deque[Future[Result]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in source:
            limit = room(item)
            waiting.append(pool.submit(work, item))
            del item  # the pool holds it while it is worked on, nobody longer
            while len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(source, Generator):
            source.close()
