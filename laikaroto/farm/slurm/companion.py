"""What ``srun`` runs on the further hosts of a task that has several.

``python -m laikaroto.farm.slurm.companion STATE JOB STEP INDEX ATTEMPT TOKEN``; Slurm says which
of the hosts this is.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from pathlib import Path

from laikaroto.errors import LaikarotoError
from laikaroto.farm.nodes import Call, run_companion
from laikaroto.farm.records import Task


def companions(call: Call, nodes: int, cpus: int) -> list[str]:
    """The command by which the first host of a job starts a companion on each of the others.

    Args:
        call: the attempt.
        nodes: hosts of the job, this one included.
        cpus: of each; srun does not take that over from sbatch.
    """
    others = str(nodes - 1)
    return [
        "srun", "--relative=1", f"--nodes={others}", f"--ntasks={others}", "--ntasks-per-node=1",
        f"--cpus-per-task={cpus}", "--overlap", "--mpi=none", "--input=none", "--unbuffered",
        "--kill-on-bad-exit=1", "--export=ALL",
        sys.executable, "-P", "-m", "laikaroto.farm.slurm.companion",
        str(call.task.state), call.task.job, call.task.step, str(call.task.index),
        str(call.number), call.token,
    ]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Be the companion that the environment and the arguments name; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    state, job, step, index, number, token = arguments
    task = Task(state=Path(state), job=job, step=step, index=int(index))
    return run_companion(
        Call(task=task, number=int(number), token=token),
        rank=1 + int(os.environ["SLURM_PROCID"]),
        host=os.environ.get("SLURMD_NODENAME") or platform.node(),
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LaikarotoError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
