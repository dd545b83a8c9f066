"""A night laid out: windows over midnight, what fits, how long things take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from laikaroto.errors import UsageError
from laikaroto.farm.engine import JobState, JobStatus
from laikaroto.farm.night import (
    Slot,
    Wanted,
    Window,
    busy_slot,
    expected_training,
    hours,
    parse_window,
    spread,
)

H = 3600.0
SURE_S = 31680.0  # eight hours and a tenth


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "now", "start", "end", "opened"),
    [
        ("20:00-07:00", "2030-01-31T12:00", "2030-01-31T20:00", "2030-02-01T07:00", False),
        ("20:00-07:00", "2030-01-31T20:00", "2030-01-31T20:00", "2030-02-01T07:00", True),
        ("20:00-07:00", "2030-01-31T23:30", "2030-01-31T23:30", "2030-02-01T07:00", True),
        ("20:00-07:00", "2030-02-01T06:59", "2030-02-01T06:59", "2030-02-01T07:00", True),
        ("20:00-07:00", "2030-02-01T07:00", "2030-02-01T20:00", "2030-02-02T07:00", False),
        (" 9:30-17:00 ", "2030-01-31T08:00", "2030-01-31T09:30", "2030-01-31T17:00", False),
        ("09:30-17:00", "2030-01-31T18:00", "2030-02-01T09:30", "2030-02-01T17:00", False),
        ("00:00-23:59", "2030-01-31T23:59", "2030-02-01T00:00", "2030-02-01T23:59", False),
    ],
)
def test_the_window_that_is_open_or_the_next_one(
    text: str, now: str, start: str, end: str, opened: bool
) -> None:
    found = parse_window(text, at(now))
    assert (found.start, found.end) == (at(start).timestamp(), at(end).timestamp())
    assert found.opened is opened
    assert found.whole_s >= found.end - found.start


@pytest.fixture
def new_york() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


def test_a_night_in_which_the_clock_is_set(new_york: None) -> None:
    spring = parse_window("20:00-07:00", at("2030-03-09T12:00"))
    autumn = parse_window("20:00-07:00", at("2030-11-02T12:00"))
    assert (spring.whole_s, autumn.whole_s) == (10 * H, 12 * H)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20:00", "cannot be read"), ("", "cannot be read"), ("8pm-7am", "cannot be read"),
        ("20:00-07:00:00", "cannot be read"), ("24:00-07:00", "no such time of day"),
        ("20:60-07:00", "no such time of day"), ("20:00-20:00", "is empty"),
    ],
)  # fmt: skip
def test_windows_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as told:
        parse_window(text)
    assert "wanted FROM-TO" in str(told.value) and repr(text) in str(told.value)


NIGHT = Window(start=0.0, end=11 * H, whole_s=11 * H, opened=True)


def laid(*wanted: tuple[str, float], lanes: int = 1, busy: tuple[Slot, ...] = ()) -> dict[str, Any]:
    found = spread(
        [Wanted(name=n, seconds=h * H) for n, h in wanted], NIGHT, lanes=lanes, busy=busy
    )
    return {name: (slot.start / H, slot.end / H) for name, slot in found.items()}


def test_one_after_another_as_long_as_they_fit() -> None:
    assert laid(("a", 4), ("b", 4), ("c", 3)) == {"a": (0, 4), "b": (4, 8), "c": (8, 11)}


def test_what_does_not_fit_is_left_and_smaller_work_behind_it_is_not() -> None:
    assert laid(("a", 8), ("b", 8), ("c", 2), ("huge", 12)) == {"a": (0, 8), "c": (8, 10)}


def test_side_by_side_where_there_is_room() -> None:
    found = laid(("a", 6), ("b", 4), ("c", 5), ("d", 6), lanes=2)
    assert found == {"a": (0, 6), "b": (0, 4), "c": (4, 9)}


def test_what_is_queued_already_takes_its_room() -> None:
    running = Slot(start=-2 * H, end=3 * H)
    waiting = Slot(start=0.0, end=4 * H)  # behind the running one
    assert laid(("a", 5), busy=(running, waiting)) == {}
    assert laid(("a", 4), busy=(waiting, running)) == {"a": (7, 11)}
    over_by_then = Slot(start=-5 * H, end=-1 * H)
    assert laid(("a", 11), busy=(over_by_then,)) == {"a": (0, 11)}


def job(state: JobState, took_s: float | None, **other: Any) -> JobStatus:
    fields: dict[str, Any] = {
        "name": "train-hero-x", "queue": "q", "kind": "train", "state": state, "reason": "",
        "show": "s", "user": "me", "priority": 50, "attempts": 3, "not_before": None,
        "submitted": 0.0, "started": None if took_s is None else 100.0,
        "ended": None if took_s is None else 100.0 + took_s, "parameters": {"Character": "hero"},
    }  # fmt: skip
    return JobStatus(**{**fields, **other})


def expected(*jobs: JobStatus, budget_s: float = 8 * H) -> float:
    return expected_training(jobs, {"Character": "hero"}, budget_s)[0]


def test_a_training_takes_its_budget_and_a_bit_unless_it_is_known_better() -> None:
    assert expected() == SURE_S
    assert expected(budget_s=60.0) == 660.0
    assert expected(job(JobState.SUCCEEDED, 5 * H)) == 5 * H
    took = [job(JobState.SUCCEEDED, t * H) for t in (7, 4, 6, 5)]
    assert expected(*took) == 6 * H  # the longest of the last three
    assert expected(job(JobState.SUCCEEDED, 30 * H)) == SURE_S  # it was tried again by hand


def test_jobs_that_say_nothing_of_it() -> None:
    others = [
        job(JobState.FAILED, H),
        job(JobState.RUNNING, H, ended=None),
        job(JobState.SUCCEEDED, H, kind="shot"),
        job(JobState.SUCCEEDED, H, parameters={"Character": "villain"}),
        job(JobState.SUCCEEDED, None),
    ]
    assert expected(*others) == SURE_S


def test_the_time_a_job_still_takes() -> None:
    running = job(JobState.RUNNING, H, ended=None)
    assert busy_slot(running, 2 * H, now=100.0 + H) == Slot(start=100.0 + H, end=100.0 + 2 * H)
    late = busy_slot(running, 2 * H, now=100.0 + 3 * H)
    assert late.end - late.start == 60.0
    waiting = job(JobState.WAITING, None, not_before=50 * H)
    assert busy_slot(waiting, H, now=0.0) == Slot(start=50 * H, end=51 * H)
    assert busy_slot(job(JobState.READY, None), H, now=7.0) == Slot(start=7.0, end=7.0 + H)


def test_durations_are_rounded_up() -> None:
    assert [hours(s) for s in (1, 60, 61, 3599, 3600, 8.8 * H, 8.81 * H)] == [
        "1 min", "1 min", "2 min", "60 min", "1 h", "8.8 h", "8.9 h",
    ]  # fmt: skip
