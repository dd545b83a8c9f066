"""Finding and ending processes, so that nothing of a dead attempt goes on working.

A task's processes are known by a mark in their environment, which every descendant inherits,
also one that left the process group (setsid) or lost its parent. That holds over restarts of
the supervisor and cannot hit a stranger that was given a reused process number. A process
that wipes its environment is still found through its group while a marked one leads it, and
through its ancestry while the slot or runner lives that adopts its orphans.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from laikaroto.errors import TryAgainError

MARK = "LAIKAROTO_TASK"
STUCK_S = 60.0  # a killed process that is not gone by then is worth a word
_LOOK_S = (0.005, 0.1)  # between looks for what was killed: at first, and at most
_UNCLEAR_S = 10.0  # after which one without an environment is taken for a stranger
_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PF_KTHREAD = 0x00200000  # linux/sched.h
_STATE, _FLAGS, _STARTED, _ENV_END = 0, 6, 19, 48  # in proc(5) stat, after the name


def mark(state: Path, token: str) -> str:
    """Value of the mark for one attempt (or one slot) of the queue in ``state``."""
    return f"{os.path.realpath(state)}#{token}"


def marked(state: Path, token: str | None = None) -> set[int]:
    """Process numbers that carry the mark of a queue, or of one attempt of it."""
    return _look(state, token)[0]


def _look(state: Path, token: str | None) -> tuple[set[int], set[tuple[int, str]]]:
    """Processes that carry a mark, and those of which nobody can say just now.

    The latter with the time they started, which tells them from later ones of their number.
    """
    wanted = f"{MARK}={mark(state, token or '')}".encode()
    found: set[int] = set()
    unclear: set[tuple[int, str]] = set()
    for pid, entries in _environments():
        if _carries(entries, wanted, token is None):
            found.add(pid)
        elif entries == [b""] and (started := _between(pid)):
            unclear.add((pid, started))
    return found, unclear


def _carries(entries: list[bytes], wanted: bytes, any_token: bool) -> bool:
    if any_token:
        return any(entry.startswith(wanted) for entry in entries)
    return wanted in entries


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    """Environment of every process of this user except our own."""
    has_proc = (_PROC / "self").exists()
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        try:
            if has_proc:
                yield pid, (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            else:
                environment = psutil.Process(pid).environ()
                yield pid, [f"{key}={value}".encode() for key, value in environment.items()]
        except (OSError, psutil.Error):
            continue  # ended meanwhile, or somebody else's


def _between(pid: int) -> str | None:
    """When a process started that has no environment at the moment; None if it never has one.

    In the middle of exec the environment of the new program is not there yet; one that ends
    has given its memory back, but may still have files open and hold their locks.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[_STATE] in "ZX" or int(fields[_FLAGS]) & _PF_KTHREAD:
        return None
    return fields[_STARTED] if fields[_ENV_END] == "0" else None


def adopt_orphans() -> bool:
    """Let every orphan below this process become its child (Linux); false if that cannot be.

    For processes that run nothing but one task at a time: ``Hunt`` then knows for certain what
    the task left, also what wiped its environment and left its group.
    """
    if sys.platform != "linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return bool(prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class Hunt:
    """Ends every process of an attempt, or of a whole queue, and knows when none is left.

    A killed process is not gone at once: it first gives its memory back, which takes a while
    for some gigabytes, and only then closes its files and with them its locks. Whoever runs
    its task again before that has two copies at the same time.
    """

    def __init__(self, state: Path, token: str | None = None, *, family: bool = False) -> None:
        """Begin; nothing is killed yet.

        Args:
            state: state folder of the queue.
            token: of the attempt; None for all of the queue, its slots included.
            family: all descendants of this process belong to the attempt, and it has called
                ``adopt_orphans``.
        """
        self._state, self._token, self._family = state, token, family
        self._dying: dict[int, psutil.Process] = {}
        self._unclear: dict[tuple[int, str], float] = {}
        self.killed: set[int] = set()
        """Numbers of the processes that were killed."""

    @property
    def left(self) -> tuple[int, ...]:
        """Processes that were killed and have not gone yet."""
        return tuple(sorted(pid for pid, process in self._dying.items() if _is_there(process)))

    def strike(self) -> bool:
        """Kill what is there at the moment, without waiting; true if nothing was found."""
        if self._family:
            found = psutil.Process().children(recursive=True)
            for process in found:
                self._kill(process)
            return not found
        pids, unclear = _look(self._state, self._token)
        leaders = {pid for pid in pids if _group(pid) == pid}
        if leaders:
            pids |= {pid for pid in psutil.pids() if _group(pid) in leaders}
        for pid in pids - {os.getpid()}:
            try:
                self._kill(psutil.Process(pid))
            except psutil.NoSuchProcess:
                continue
        for leader in leaders - {os.getpgrp()}:
            _kill_group(leader)  # at once with whatever it forks
        now = time.monotonic()
        self._unclear = {key: self._unclear.get(key, now) for key in unclear}
        return not pids and all(now - since > _UNCLEAR_S for since in self._unclear.values())

    def _kill(self, process: psutil.Process) -> None:
        self._dying.setdefault(process.pid, process)
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                process.kill()  # refuses a process that was given a reused number
                self.killed.add(process.pid)
        except psutil.Error:
            pass  # ended meanwhile

    def over(self) -> bool:
        """Kill what is there; true once nothing is left, not even a dying process.

        With ``family`` children that have ended are collected, so the payload itself must have
        been collected before by whoever wants to know its exit code.
        """
        if self._family:
            if _childless():
                return True
            self.strike()
            return False
        nothing = self.strike()
        self._dying = {pid: it for pid, it in self._dying.items() if _is_there(it)}
        if not nothing or self._dying:
            return False
        return self.strike()  # one that was forked, and its parent ended, during the first look

    def finish(self, timeout_s: float) -> bool:
        """Wait until nothing is left; false if that takes longer."""
        end = time.monotonic() + timeout_s
        pause_s, longest_s = _LOOK_S
        while not self.over():
            if time.monotonic() > end:
                return False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
        return True

    def stuck(self) -> str:
        """What to say of processes that do not go."""
        numbers = ", ".join(map(str, self.left)) or "unknown"
        return (
            f"waits for processes that were killed and do not end: {numbers}; they hang in the "
            "kernel (a disk or a file server that does not answer?), see 'ps -o pid,stat,wchan'"
        )


def _is_there(process: psutil.Process) -> bool:
    """False once a process has closed its files; that nobody has collected it does not matter."""
    try:
        if not process.is_running():
            return False
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        # its first thread may have ended before the others
        return len(os.listdir(_PROC / str(process.pid) / "task")) > 1
    except (OSError, psutil.Error):
        return False


def _childless() -> bool:
    """Collect children that have ended; true if there are no others."""
    while True:
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is None:
                return False
        except ChildProcessError:
            return True


def kill_marked(state: Path, token: str | None = None, *, timeout_s: float = STUCK_S) -> int:
    """Kill every process that carries the mark, and the groups they lead, and see them gone.

    Returns:
        How many processes were killed.

    Raises:
        TryAgainError: some are not gone after ``timeout_s``.
    """
    hunt = Hunt(state, token)
    if not hunt.finish(timeout_s):
        raise TryAgainError(f"queue in {state}: {hunt.stuck()}")
    return len(hunt.killed)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass  # ended meanwhile


def start_time(pid: int) -> float | None:
    """When a process started, seconds since 1970; None if there is none (or a zombie)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_same_process(pid: int, started: float) -> bool:
    """True if process ``pid`` runs and is the one that started then, not a later one."""
    found = start_time(pid)
    return found is not None and abs(found - started) < 2.0  # the clock may be set
