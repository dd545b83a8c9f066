"""What RQD runs for each frame: a watcher, and the runner of the task it watches over.

``python -m laikaroto.farm.opencue.frame STATE JOB STEP RETRY_DELAY_S INDEX``

RQD kills the process group of a frame with SIGKILL. The watcher is in that group, the runner
is not: it holds the other end of a pipe, sees that the watcher is gone, and ends its payload
with the grace the step asks for. RQD (the one in Python) counts the frame as running until the
runner has closed its output. A runner that is itself killed is started again by the watcher; it
closes its former attempt, which counts as one, so that this comes to an end.

Cuebot would try a frame twice at most, so the runner tries again itself, in the same frame.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

_RUN = "--run"
_STARTS = 20


def watch(arguments: list[str]) -> int:
    """Start the runner, again if it is killed; its exit code."""
    told = 0
    writing = -1

    def tell(number: int, _: Any) -> None:
        nonlocal told, writing
        told = number
        if writing >= 0:
            os.close(writing)  # the runner sees the end of its input
            writing = -1

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    for _ in range(_STARTS):
        reading, writing = os.pipe()
        runner = subprocess.Popen(
            [sys.executable, "-P", "-m", "laikaroto.farm.opencue.frame", _RUN, *arguments],
            stdin=reading, start_new_session=True,
        )  # fmt: skip
        os.close(reading)
        code = runner.wait()
        if told:
            return 128 + told
        os.close(writing)
        if code >= 0:
            return code
    return 1


def run(state: Path, job: str, step: str, retry_delay_s: float, index: int) -> int:
    """Run a task until it is done, has failed, or has to give its frame back; the exit code.

    0 done, 75 held (the job is paused), else 1: some codes have a meaning of their own in
    OpenCue (33 asks for more memory); the payload's code is on record.
    """
    from laikaroto.errors import EXIT_TRY_AGAIN, LaikarotoError
    from laikaroto.farm.processes import adopt_orphans
    from laikaroto.farm.records import Task
    from laikaroto.farm.runner import LOOK_S, Ending, FarmSide, run_task
    from laikaroto.farm.steering import read_steering

    gone = _watcher_gone()
    task = Task(state=state, job=job, step=step, index=index)
    frame = os.environ.get("CUE_FRAME_ID", "")

    def told() -> bool:
        try:
            steering = read_steering(state, job)
        except (LaikarotoError, OSError):
            return gone.is_set()  # a file system that stumbles ends no payload
        wanted = steering.is_cancelled(step, index) or steering.is_skipped(step, index)
        return wanted or gone.is_set()

    _take_retry(task, frame)
    side = FarmSide(farm_id=frame, told=told, adopts=adopt_orphans())
    while not gone.is_set():
        ending, _ = run_task(task, side)
        if ending is not Ending.AGAIN:
            return {Ending.DONE: 0, Ending.HELD: EXIT_TRY_AGAIN}.get(ending, 1)
        since = read_steering(state, job).counted_since(step, index)
        gone.wait(_pause_s(task, since, retry_delay_s, LOOK_S))
    return 1


def _watcher_gone() -> threading.Event:
    """Set once the watcher is gone, which is also told to this process as SIGTERM."""
    gone = threading.Event()

    def listen() -> None:
        os.read(0, 1)
        gone.set()
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, lambda *_: None)  # until the runner listens to it
    threading.Thread(target=listen, daemon=True).start()
    return gone


def _take_retry(task: Any, frame: str) -> None:
    """If this very frame has failed before, somebody retried it in OpenCue: note that."""
    from laikaroto.farm.engine import TaskState
    from laikaroto.farm.places import job_folder
    from laikaroto.farm.records import judge
    from laikaroto.farm.steering import locked, read_card, read_steering, write_steering

    folder = job_folder(task.state, task.job)
    key = (task.step, task.index)
    allowed = read_card(task.state, task.job).settings.attempts
    with locked(folder / "lock"):
        steering = read_steering(task.state, task.job)
        verdict = judge(task.attempts(), since=steering.counted_since(*key), allowed=allowed)
        last = verdict.last
        failed_here = last is not None and last.farm_id == frame != ""
        if verdict.state is TaskState.FAILED and last is not None and failed_here:
            write_steering(folder, steering.with_retried({key: last.number}))


def _pause_s(task: Any, since: int, first_s: float, look_s: float) -> float:
    """How long to wait before the next try; attempts up to ``since`` do not count."""
    from laikaroto.errors import EXIT_TRY_AGAIN
    from laikaroto.farm.outcome import Outcome, retry_delay_s

    attempts = task.attempts()
    if attempts[-1].ended is None:
        return look_s  # another copy of the task was faster
    asked = [
        a.exit_code == EXIT_TRY_AGAIN and a.outcome is Outcome.EXITED
        for a in attempts
        if a.number > since
    ]
    return retry_delay_s(first_s, sum(asked)) if asked and asked[-1] else 0.0


def main(arguments: list[str]) -> int:
    """Watch or run the task that the arguments name; the exit code."""
    if arguments[:1] != [_RUN]:
        return watch(arguments)
    from laikaroto.errors import LaikarotoError
    from laikaroto.farm.places import log_file

    state, job, step, delay_s, index = arguments[1:]
    log = log_file(Path(state), job, step, int(index), 0).parent
    print(f"{job}: what the task prints is in {log}, {int(index):05}.<attempt>.log", flush=True)
    try:
        return run(Path(state), job, step, float(delay_s), int(index))
    except LaikarotoError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
