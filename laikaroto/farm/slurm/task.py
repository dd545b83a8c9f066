"""What Slurm runs for each task, from ``task.sh``: our runner, and the way back into the queue.

``python -m laikaroto.farm.slurm.task REQUEUE STATE JOB STEP OFFSET``, where the array index of
the task, given by Slurm, counts from OFFSET. A task that is to be run again exits 75, for
clusters whose slurm.conf says ``RequeueExit=75``; on others (REQUEUE is ``scontrol``) it asks
for that itself first.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
from pathlib import Path

from laikaroto.config import SlurmSettings
from laikaroto.errors import LaikarotoError
from laikaroto.farm.processes import adopt_orphans
from laikaroto.farm.records import Task
from laikaroto.farm.runner import Ending, FarmSide, run_task
from laikaroto.farm.slurm.commands import Slurm
from laikaroto.farm.slurm.companion import companions
from laikaroto.farm.steering import read_card

_PATIENCE_S = 60.0  # for Slurm to end a task that asked to be put back


def main(arguments: list[str]) -> int:
    """Run the task that the environment and the arguments name; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    requeue, state, job, step, offset = arguments
    slurm = Slurm(SlurmSettings())
    farm_id = os.environ["SLURM_JOB_ID"]
    task = Task(
        state=Path(state), job=job, step=step,
        index=int(offset) + int(os.environ["SLURM_ARRAY_TASK_ID"]),
    )  # fmt: skip
    host = os.environ.get("SLURMD_NODENAME") or platform.node()
    side = FarmSide(
        farm_id=farm_id,
        host=host,
        others=[name for name in slurm.hosts_of(os.environ) if name != host],
        ends_at=lambda: slurm.ends_at(farm_id),
        stop_before_s=read_card(task.state, job).stop_before_s,
        adopts=adopt_orphans(),
        companions=companions,
        address=lambda: slurm.address(host),
    )
    ending, code = run_task(task, side)
    held = ending is Ending.HELD
    if held or (ending is Ending.AGAIN and requeue == "scontrol"):
        _put_back(slurm, farm_id, hold=held)
    return code


def _put_back(slurm: Slurm, farm_id: str, *, hold: bool) -> None:
    """Ask Slurm to requeue this task, and wait to be ended by it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    slurm.requeue(farm_id, hold=hold)
    time.sleep(_PATIENCE_S)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LaikarotoError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
