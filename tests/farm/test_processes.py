"""A process is gone when its files are closed, not when it was killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from laikaroto.errors import TryAgainError
from laikaroto.farm import processes
from laikaroto.farm.engine import JobState
from laikaroto.farm.processes import MARK, Hunt, kill_marked, mark, marked
from tests.farm.tiny import LocalFarm, is_free, job, lines, step, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="is so on Linux")
LOCKS = "import fcntl, os, sys, time\nlock = open(sys.argv[1], 'a')\nfcntl.flock(lock, 2)\n"
BIG = LOCKS + "memory = bytearray(b'x') * 200_000_000\nprint(1, flush=True)\ntime.sleep(600)"


@contextmanager
def process(
    value: str, code: str, *args: str, own_session: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A marked process that has printed one line."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *args], env={**os.environ, MARK: value},
        stdout=subprocess.PIPE, start_new_session=own_session,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        assert child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_what_is_killed_holds_its_locks_no_more(tmp_path: Path) -> None:
    # it gives its memory back before its files, and has no environment in that time
    lock = tmp_path / "lock"
    with process(mark(tmp_path, "a"), BIG, str(lock)):
        assert not is_free(lock)
        assert kill_marked(tmp_path, "a") == 1
        assert is_free(lock)


def test_group_of_a_marked_leader_goes_with_it(tmp_path: Path) -> None:
    wipe = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]], env={}).wait()"
    )
    lock = tmp_path / "lock"
    code = LOCKS + "print(1, flush=True)\ntime.sleep(600)"
    with process(mark(tmp_path, "a"), wipe, str(lock), code, own_session=True) as leader:
        assert marked(tmp_path) == {leader.pid}
        (child,) = psutil.Process(leader.pid).children()
        hunt = Hunt(tmp_path)
        assert hunt.finish(60) and hunt.killed == {leader.pid, child.pid} and hunt.left == ()
        assert is_free(lock)


@linux
def test_one_that_does_not_go_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with process(mark(tmp_path, "a"), "import time; print(1, flush=True); time.sleep(600)") as it:
        monkeypatch.setattr(psutil.Process, "kill", lambda self: None)  # as if it hung in a disk
        with pytest.raises(TryAgainError, match=rf"do not end: {it.pid};"):
            kill_marked(tmp_path, "a", timeout_s=0.1)


@linux
def test_a_process_without_environment_is_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = processes._environments
    with process("x", "import time; print(1, flush=True); time.sleep(600)") as stranger:
        unclear = {stranger.pid}
        monkeypatch.setattr(
            processes, "_environments",
            lambda: ((pid, [b""] if pid in unclear else entries) for pid, entries in real()),
        )  # fmt: skip
        monkeypatch.setattr(processes, "_between", lambda pid: "7" if pid in unclear else None)
        hunt = Hunt(tmp_path)
        assert not hunt.finish(0.05)
        monkeypatch.setattr(processes, "_UNCLEAR_S", 0.0)
        assert hunt.finish(60)  # a stranger
        monkeypatch.undo()
        assert hunt.finish(60) and not hunt.killed
        assert stranger.poll() is None


@linux
def test_state_of_processes_that_are_between_two_programs_or_end() -> None:
    own, kernel = processes._between(os.getpid()), processes._between(2)
    assert own is None  # it has an environment
    assert kernel is None  # never has one
    with process("x", "print(1, flush=True)") as child:
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "it ended")
        assert processes._between(child.pid) is None
        assert not processes._is_there(psutil.Process(child.pid))
    assert processes._between(child.pid) is None


@linux
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_nothing_a_task_starts_outlives_it_however_it_hides(tmp_path: Path) -> None:
    # each leaves a child in a session of its own, without environment, that holds the lock
    code = (
        "import fcntl, subprocess, sys\n"
        "lock = open(sys.argv[1], 'a')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "child = subprocess.Popen(['sleep', '600'], env={}, start_new_session=True,"
        " pass_fds=[lock.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "open(sys.argv[2], 'a').write(f'{child.pid}\\n')\n"
    )
    pids = tmp_path / "pids"
    farm = LocalFarm(tmp_path).start()
    try:
        (done,) = farm.run(job(step("a", code, str(tmp_path / "lock"), str(pids))))
        (again,) = farm.run(job(step("b", code, str(tmp_path / "lock"), str(pids))))
    finally:
        farm.end()
    assert (done.state, again.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert len(lines(pids)) == 2
    assert not [pid for pid in map(int, lines(pids)) if psutil.pid_exists(pid)]
