"""Training steps a second with one process and with several: ``python -m benchmarks.scaling``.

Trains the sample show's puppet for some steps with each number of processes, one thread each, and
once with one process and as many threads, all in one run and one after another. Every run takes
the same steps on the same samples; the first steps do not count. Prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.optimizers import make_course

_WARM_UP = 3


def measure(run: Path, processes: int, threads: int, steps: int) -> float:
    """Steps a second of ``processes`` with ``threads`` each on a prepared training."""
    (run / "checkpoint.pt").unlink(missing_ok=True)
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--member", str(run),
         "--processes", str(processes), "--steps", str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": str(processes * threads)},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(ran.stdout.splitlines()[-1])["steps_per_s"])


def be_member(run: Path, processes: int, steps: int) -> None:
    """Train with helpers until enough steps are timed; say how many there were a second."""
    from laikaroto.training import loop
    from laikaroto.training.checkpoint import State
    from laikaroto.training.meeting import Meeting
    from laikaroto.training.processes import together
    from laikaroto.training.run import open_course

    class EnoughError(Exception):
        pass

    began: list[float] = []
    take = loop.train_step

    def timed(state: State, *arguments: object, **options: object) -> float:
        value = take(state, *arguments, **options)  # type: ignore[arg-type]
        if state.step == _WARM_UP:
            began.append(time.monotonic())
        if state.step == _WARM_UP + steps:
            spent = time.monotonic() - began[0]
            click.echo(json.dumps({"steps_per_s": steps / spent}))
            raise EnoughError
        return value

    loop.train_step = timed

    def helper(meeting: Meeting, number: int) -> list[str]:
        host, port = meeting.place or ("", 0)
        return ["worker", "train-helper", "--configs", str(run), "--run", str(run),
                "--character", "hero", "--rendezvous", f"{host}:{port}",
                "--rank", str(number), "--count", str(processes)]  # fmt: skip

    threads = loop.threads_for(processes)
    with together(Meeting(processes=processes), helper, threads) as peers:
        course = open_course(run, lambda share, text: None, peers=peers, processes_here=processes)
        try:
            loop.train(course)
        except EnoughError:
            return


@click.command()
@click.option("--steps", default=20, show_default=True, help="Timed steps of each run.")
@click.option("--processes", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--member", type=click.Path(path_type=Path), hidden=True)
def main(steps: int, processes: tuple[int, ...], member: Path | None) -> None:
    """Train with each number of processes and print the steps a second."""
    if member is not None:
        be_member(member, processes[0], steps)
        return
    rows = [(count, 1) for count in processes]
    rows.append((1, max(processes)))
    click.echo("| processes | threads each | steps/s | against the first |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        run = make_course(Path(folder)).folder
        first = 0.0
        for count, threads in rows:
            found = measure(run, count, threads, steps)
            first = first or found
            click.echo(f"| {count} | {threads} | {found:.3f} | {found / first:.2f} |")


if __name__ == "__main__":
    main()
