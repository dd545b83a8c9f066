"""kill -9 of whatever a local farm consists of, at fifty random moments of forty-task jobs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from laikaroto.farm.bundle import Bundle
from laikaroto.farm.engine import JobState
from laikaroto.farm.processes import kill_marked, marked
from tests.farm.tiny import LocalFarm, is_free, job, step, until

MOMENTS = 50
TASKS = 40
TWICE = 9
"""Exit code of a payload that finds another copy of itself at work; never tried again."""


STRIKES_IN_A_ROW = 12
"""A task may be struck so often before it is left alone, below the attempts it has."""

STRAY = "setsid sleep 600 >/dev/null 2>&1 & exec sleep 0.3"
"""What a task does; it leaves a process in a session of its own, which holds its lock too."""


def forty_tasks(locks: Path) -> Bundle:
    """Each task holds a lock of its own while anything of it runs."""
    many = step("many", "", tasks=f"1-{TASKS}")
    many["script"]["actions"]["onRun"] = {
        "command": shutil.which("flock"),
        "args": [
            "--nonblock", "--conflict-exit-code", str(TWICE),
            f"{locks}/{{{{Task.Param.I}}}}", "sh", "-c", STRAY,
        ],
    }  # fmt: skip
    return job(many, attempts=20)


def payloads(farm: LocalFarm) -> list[int]:
    """Processes of tasks that are at work, and what they left."""
    found = []
    for pid in marked(farm.state):
        try:
            if psutil.Process(pid).name() in ("flock", "sh", "sleep"):
                found.append(pid)
        except psutil.Error:
            continue
    return found


def is_over(farm: LocalFarm, name: str) -> bool:
    return farm.engine.status(name).state.over


def tries(farm: LocalFarm) -> int:
    """Attempts of the unfinished task that has had the most."""
    with closing(sqlite3.connect(farm.state / "queue.sqlite", timeout=60)) as db:
        (most,) = db.execute(
            "SELECT max(tries) FROM tasks WHERE state IN ('waiting', 'ready', 'running')"
        ).fetchone()
    return most or 0


def strike(farm: LocalFarm, victim: str, dice: random.Random) -> None:
    """kill -9; whoever killed the supervisor starts it again."""
    assert farm.supervisor is not None
    working = payloads(farm)
    targets = {
        "payload": [dice.choice(working)] if working else [],
        "slot": [dice.choice(slots)] if (slots := farm.slots()) else [],
        "supervisor": [farm.supervisor.pid],
        "both": [farm.supervisor.pid, *farm.slots()],
    }[victim]
    for pid in targets:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # ended just now
    if victim in ("supervisor", "both"):
        farm.end(signal.SIGKILL)
        farm.start("ledger.RETRY_DELAY_S = 0.05")
        assert not [pid for pid in working if running(pid)], "orphans outlive a restart"


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock of util-linux")
def test_every_task_ends_exactly_once_whatever_is_killed_when(tmp_path: Path) -> None:
    dice = random.Random(5)
    locks = tmp_path / "locks"
    locks.mkdir()
    farm = LocalFarm(tmp_path).start("ledger.RETRY_DELAY_S = 0.05")
    names: list[str] = []
    try:
        struck: Counter[str] = Counter()
        while struck.total() < MOMENTS:
            if not names or is_over(farm, names[-1]):
                names.append(farm.engine.submit(forty_tasks(locks)).job)
            until(lambda: tries(farm) < STRIKES_IN_A_ROW, "a task struck too often ends", 300)
            until(lambda: payloads(farm) or is_over(farm, names[-1]), "something works", 300)
            if not payloads(farm):
                continue
            time.sleep(dice.uniform(0.0, 0.3))
            victim = dice.choice(["payload"] * 4 + ["slot"] * 3 + ["supervisor"] * 2 + ["both"])
            strike(farm, victim, dice)
            struck[victim] += 1
        done = farm.engine.wait(names, timeout_s=600)
        farm.end()
        left = marked(farm.state)
    finally:
        farm.end()
        kill_marked(farm.state)
    assert set(struck) == {"payload", "slot", "supervisor", "both"}
    assert not left, "something is left running"
    assert all(is_free(locks / str(number)) for number in range(1, TASKS + 1))
    with closing(sqlite3.connect(farm.state / "queue.sqlite")) as db:
        endings = db.execute("SELECT task, outcome, exit_code FROM attempts").fetchall()
        tasks = db.execute("SELECT id, state, token FROM tasks").fetchall()
    assert not [code for _, _, code in endings if code == TWICE], "two copies at the same time"
    assert {status.state for status in done} == {JobState.SUCCEEDED}
    assert len(tasks) == TASKS * len(names)
    assert {(state, token) for _, state, token in tasks} == {("succeeded", None)}
    ended = Counter(task for task, outcome, code in endings if (outcome, code) == ("exited", 0))
    assert ended == Counter(task for task, _, _ in tasks)  # each once
    # all others were accidents, and are on record as such
    accidents = [(o, c) for _, o, c in endings if (o, c) != ("exited", 0)]
    assert set(accidents) <= {("lost", None), ("exited", -9), ("exited", 137)}
    assert len(accidents) >= MOMENTS // 4
