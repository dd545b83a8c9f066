"""Finding and ending processes, so that nothing of a dead attempt goes on working.

A task's processes are known by a mark in their environment, which every descendant inherits,
also one that left the process group (setsid) or lost its parent. That holds over restarts of
the supervisor and cannot hit a stranger that was given a reused process number. A process
that wipes its environment is still found through its group while a marked one leads it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "LAIKAROTO_TASK"


def mark(state: Path, token: str) -> str:
    """Value of the mark for one attempt (or one slot) of the queue in ``state``."""
    return f"{os.path.realpath(state)}#{token}"


def marked(state: Path, token: str | None = None) -> set[int]:
    """Process numbers that carry the mark of a queue, or of one attempt of it."""
    wanted = f"{MARK}={mark(state, token or '')}".encode()
    return {pid for pid, entries in _environments() if _carries(entries, wanted, token is None)}


def _carries(entries: list[bytes], wanted: bytes, any_token: bool) -> bool:
    if any_token:
        return any(entry.startswith(wanted) for entry in entries)
    return wanted in entries


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    """Environment of every process of this user except our own."""
    proc = Path("/proc")
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        try:
            if (proc / "self").exists():
                yield pid, (proc / str(pid) / "environ").read_bytes().split(b"\0")
            else:
                environment = psutil.Process(pid).environ()
                yield pid, [f"{key}={value}".encode() for key, value in environment.items()]
        except (OSError, psutil.Error):
            continue  # ended meanwhile, or somebody else's


def kill_marked(state: Path, token: str | None = None, *, timeout_s: float = 5.0) -> int:
    """Kill every process that carries the mark, and the groups they lead.

    Looks again until none is left, since a process may fork between the look and the kill.

    Returns:
        How many processes were killed.
    """
    end = time.monotonic() + timeout_s
    killed: set[int] = set()
    while found := marked(state, token):
        for pid in found:
            _kill(pid, group=_leads_group(pid))
        killed |= found
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    return len(killed)


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except OSError:
        return False


def _kill(pid: int, *, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
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
