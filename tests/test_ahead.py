from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from laikaroto.ahead import ahead, usable_threads


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("test-ahead")]


def test_results_keep_the_order_of_the_items_whoever_ends_first() -> None:
    last = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert last.wait(300)  # the first ends after the fourth
        if item == 3:
            last.set()
        return item * 10

    found = list(ahead(work, range(8), threads=4, room=lambda _: 6, name="test-ahead"))
    assert found == [0, 10, 20, 30, 40, 50, 60, 70]
    assert workers() == []


@pytest.mark.parametrize("room", [1, 2, 5])
def test_no_more_items_are_taken_than_there_is_room_for(room: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(20):
            taken += 1
            yield item

    results = ahead(lambda item: item, items(), threads=3, room=lambda _: room, name="test-ahead")
    for used, _ in enumerate(results, start=1):
        assert taken <= used + room - 1
    assert taken == 20


def test_each_item_says_how_much_room_there_is() -> None:
    """Small items may be many under way, large ones few."""
    most: dict[int, int] = {}
    open_items = 0

    def items() -> Iterator[int]:
        nonlocal open_items
        for size in (1, 1, 1, 1, 9, 9, 9):
            open_items += 1
            yield size

    for size in ahead(
        lambda size: size, items(), threads=2, room=lambda size: 4 if size == 1 else 2
    ):
        most[size] = max(most.get(size, 0), open_items)
        open_items -= 1
    assert most == {1: 4, 9: 2}


def test_an_error_of_the_work_comes_at_its_turn_and_ends_the_threads() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise OSError("no such thing")
        return item

    results = ahead(work, range(9), threads=3, room=lambda _: 4, name="test-ahead")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="no such thing"):
        next(results)
    assert workers() == []


def test_an_error_of_the_items_ends_the_threads() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        list(ahead(lambda item: item, items(), threads=2, room=lambda _: 5, name="test-ahead"))
    assert workers() == []


def test_left_early_everything_is_closed() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    with (
        pytest.raises(KeyboardInterrupt),
        closing(
            ahead(lambda i: i, items(), threads=2, room=lambda _: 3, name="test-ahead")
        ) as results,
    ):
        for _ in results:
            assert workers()
            raise KeyboardInterrupt
    assert closed == [True] and workers() == []


def test_threads_come_from_the_farm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert usable_threads() == 3
    for unusable in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        assert usable_threads() >= 1
