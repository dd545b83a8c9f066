"""Records of attempts: written once, and what they mean."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from laikaroto.errors import FarmError, SidecarError
from laikaroto.farm.engine import TaskRef, TaskState
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.plan import plan_job
from laikaroto.farm.records import Attempt, Task, judge, read_attempts
from laikaroto.farm.steering import (
    Steering,
    new_card,
    pick_tasks,
    read_card,
    read_steering,
    write_card,
    write_steering,
)
from tests.farm.tiny import job, stamp

Ending = tuple[str, int | None]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(state=tmp_path, job="j", step="s", index=3)


def claim(task: Task, number: int) -> bool:
    return task.claim(number, token="t", host="n1", farm_id="7")


def test_only_one_of_many_claims_an_attempt(task: Task) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: claim(task, 1), range(40))) == [False] * 39 + [True]
    (attempt,) = task.attempts()
    assert (attempt.number, attempt.host, attempt.farm_id, attempt.ended) == (1, "n1", "7", None)
    path = task.file(1, ".claim.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["00003.1.claim.json"]  # nothing hidden


def test_first_ending_counts(task: Task) -> None:
    claim(task, 1)
    assert not task.superseded(1)
    assert task.end(1, Outcome.LOST, exit_code=None, message="lost with its host n1")
    assert not task.end(1, Outcome.EXITED, exit_code=0, message="")
    assert task.superseded(1)
    claim(task, 2)
    assert [a.outcome for a in task.attempts()] == [Outcome.LOST, None]
    assert list(read_attempts(task.state, "j", "s")) == [3]
    assert read_attempts(task.state, "j", "other") == {}


def test_later_claim_supersedes(task: Task) -> None:
    claim(task, 1)
    claim(task, 2)
    assert task.superseded(1) and not task.superseded(2)


def test_progress_goes_with_the_ending(task: Task) -> None:
    claim(task, 1)
    assert task.read_progress(1) == (None, "")
    task.progress(1, 0.25, "epoch 3")
    assert task.read_progress(1) == (0.25, "epoch 3")
    task.end(1, Outcome.EXITED, exit_code=0, message="")
    assert task.read_progress(1) == (None, "")


def test_damaged_record_is_told(task: Task) -> None:
    claim(task, 1)
    task.file(1, ".claim.json").write_text("{")
    with pytest.raises(SidecarError, match="00003.1.claim.json: is damaged"):
        task.attempts()


@pytest.mark.parametrize(
    ("endings", "since", "state", "tries", "said"),
    [
        ((), 0, "ready", 0, ""),
        ((("exited", 0),), 0, "succeeded", 1, ""),
        ((("running", None),), 0, "running", 0, ""),
        ((("exited", 1),), 0, "failed", 1, ""),
        ((("exited", 78),), 0, "failed", 1, ""),
        ((("exited", 75),), 0, "ready", 1, "will be tried again"),
        ((("lost", None), ("exited", -9)), 0, "failed", 2, "tried 2 times"),
        ((("returned", 75), ("returned", None), ("lost", None)), 0, "ready", 1, "again"),
        ((("timeout", -9),), 0, "failed", 1, ""),
        ((("cancelled", -15),), 0, "cancelled", 1, "cancelled"),
        ((("skipped", None),), 0, "skipped", 1, "skipped by hand"),
        ((("exited", 1),), 1, "ready", 0, ""),  # retried by hand
        ((("exited", 1), ("exited", 75)), 1, "ready", 1, "again"),
        ((("exited", 0), ("running", None)), 0, "succeeded", 1, ""),  # a copy changes nothing
    ],
)
def test_what_attempts_mean(
    endings: tuple[Ending, ...], since: int, state: str, tries: int, said: str
) -> None:
    attempts = [
        Attempt(
            number=i + 1, token="t", host="n1", pid=1, farm_id="", started=1.0,
            **({} if how == "running" else {"ended": 2.0, "outcome": Outcome(how)}),  # type: ignore[arg-type]
            exit_code=code,
        )
        for i, (how, code) in enumerate(endings)
    ]  # fmt: skip
    verdict = judge(attempts, since=since, allowed=2)
    assert (verdict.state, verdict.tries) == (TaskState(state), tries)
    assert said in verdict.message


def test_card_and_steering_round_trip(tmp_path: Path) -> None:
    bundle = job(stamp(tmp_path, name="a", tasks="1-5"), stamp(tmp_path, "x", name="b"), name="j")
    card = new_card(bundle, plan_job(bundle, where="test"), digest="d", threads=2, timeout_s=9.0)
    folder = tmp_path / "jobs" / "j"
    write_card(folder, card)
    read = read_card(tmp_path, "j")
    # what no host can give was refused at submission and is not kept
    assert read == replace(card, steps=read.steps)
    assert [(s.name, s.tasks) for s in read.steps] == [(s.name, s.tasks) for s in card.steps]
    steering = (
        Steering(priority=7)
        .with_cancelled([("a", 0), ("a", 4), ("b", 0)])
        .with_skipped([("a", 4)])
        .with_retried({("b", 0): 3})
    )
    write_steering(folder, steering)
    found = read_steering(tmp_path, "j")
    assert found.is_cancelled("a", 0) and not found.is_cancelled("a", 4)
    assert found.is_skipped("a", 4) and not found.is_cancelled("b", 0)
    assert found.counted_since("b", 0) == 3 and found.counted_since("a", 0) == 0
    assert (found.priority, found.ended, found.paused) == (7, False, False)
    assert pick_tasks(card, [TaskRef(step="b"), TaskRef(step="a", index=1)]) == [
        ("b", 0), ("a", 1),
    ]  # fmt: skip
    with pytest.raises(FarmError, match="no task 'a/9'"):
        pick_tasks(card, [TaskRef(step="a", index=9)])
    with pytest.raises(FarmError, match="'k' is not in queue 'q'"):
        read_card(tmp_path, "k", queue="q")
    (folder / "steering.json").write_text("{}")
    with pytest.raises(SidecarError, match="damaged or missing"):
        read_steering(tmp_path, "j")
