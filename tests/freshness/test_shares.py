"""Work in shares, in real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import psutil
import pytest

from laikaroto.errors import PlateError, TryAgainError
from laikaroto.freshness.shares import usable_cores, work_in_shares

ITEMS = list(range(100_000))  # their answers fill more than a pipe holds


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_item_is_worked_at_once(processes: int) -> None:
    answers = work_in_shares(lambda share: (os.getpid(), list(share)), ITEMS, processes)
    assert len({pid for pid, _ in answers}) == processes and answers[0][0] == os.getpid()
    assert sorted(item for _, share in answers for item in share) == ITEMS


def test_no_more_processes_than_items() -> None:
    assert work_in_shares(list, [1, 2], 8) == [[1], [2]]
    assert work_in_shares(list, [], 8) == [[]]
    assert work_in_shares(list, [1, 2], 0) == [[1, 2]]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_fault_of_any_share_is_raised(bad: int) -> None:
    def work(share: Sequence[int]) -> int:
        if bad in share:
            raise PlateError(f"item {bad} is bad")
        return os.getpid()

    with pytest.raises(PlateError, match=f"^item {bad} is bad$"):
        work_in_shares(work, [0, 1, 2], 3)


def test_a_killed_process_is_told_and_no_other_left() -> None:
    def work(share: Sequence[int]) -> None:
        if 1 in share:
            os.kill(os.getpid(), signal.SIGKILL)
        if 2 in share:
            signal.pause()

    before = {one.pid for one in psutil.Process().children()}  # of other tests
    with pytest.raises(TryAgainError, match="was killed"):
        work_in_shares(work, [0, 1, 2], 3)
    assert {one.pid for one in psutil.Process().children()} <= before


def test_cores() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
