"""Starting and stopping the supervisor of a local queue in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from laikaroto.errors import FarmError
from laikaroto.farm.local.owner import read_card
from laikaroto.farm.places import OWNER_ONLY, make_state_folder
from laikaroto.farm.processes import MARK, is_same_process

_START_S = 60.0  # a loaded machine takes its time to start Python
_LOG_MAX = 5_000_000


def start(state: Path, command: Sequence[str]) -> dict[str, Any]:
    """Start a supervisor that outlives this process.

    Args:
        state: the queue's state folder.
        command: arguments of ``laikaroto`` that run it in the foreground.

    Returns:
        Its card, see ``owner.read_card``; of the running one if there was one.

    Raises:
        FarmError: it did not come up; the message ends with what it said.
    """
    if card := read_card(state):
        return card
    make_state_folder(state)
    log = state / "supervisor.log"
    if log.exists() and log.stat().st_size > _LOG_MAX:
        os.replace(log, log.with_suffix(".log.1"))
    offset = log.stat().st_size if log.exists() else 0
    environment = {key: value for key, value in os.environ.items() if key != MARK}
    os.close(os.open(log, os.O_WRONLY | os.O_CREAT, OWNER_ONLY))
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "laikaroto", *command],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            env=environment, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + _START_S
    while (card := read_card(state)) is None:
        ended = process.poll() is not None
        if ended or time.monotonic() > end:
            process.kill()  # one that comes up later would belie what is said here
            process.wait()
            within = "" if ended else f" within {_START_S:g} s, and was ended"
            said = log.read_bytes()[offset:].decode(errors="replace").strip()
            raise FarmError(
                f"the supervisor did not start{within}; {log} ends with:\n{said[-2000:]}"
            )
        time.sleep(0.05)
    process.returncode = 0  # it is meant to live on: no warning about it
    return card


def stop(state: Path, *, drain: bool, timeout_s: float | None) -> bool:
    """Stop the supervisor and wait until it has gone.

    Args:
        state: the queue's state folder.
        drain: let running tasks end first; otherwise they go back into the queue.
        timeout_s: wait no longer; None for as long as it takes.

    Returns:
        False if none was running.

    Raises:
        FarmError: it is still there after that time.
    """
    card = read_card(state)
    if card is None:
        return False
    os.kill(card["pid"], signal.SIGUSR1 if drain else signal.SIGTERM)
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while is_same_process(card["pid"], card["started"]):
        if end is not None and time.monotonic() > end:
            raise FarmError(
                f"the supervisor (process {card['pid']}) has not stopped within {timeout_s:g} s; "
                f"see {state / 'supervisor.log'}"
            )
        time.sleep(0.05)
    return True
