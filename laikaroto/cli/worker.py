"""``laikaroto worker``: what the tasks of farm jobs call; one command for each step.

The templates in ``jobs/`` call these. Exit codes: 0 done, 1 failed, 2 wrong call, 75 try
again, 78 wrong configuration. Empty option values mean "not given", because job templates
have no conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from laikaroto.config import parse_duration
from laikaroto.errors import LaikarotoError
from laikaroto.frames import parse_frames
from laikaroto.show import Show
from laikaroto.stopping import Stop, stoppable
from laikaroto.worker.progress import Report, fail_line, task_report
from laikaroto.worker.result import recorded

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group(hidden=True)
def worker() -> None:
    """What a farm task runs; not for people."""


def _options(*names: str) -> Callable[[_F], _F]:
    """The options of a step; all steps have ``--configs``, ``--run`` and ``--character``."""
    known: dict[str, Callable[[_F], _F]] = {
        "configs": click.option("--configs", required=True, type=click.Path(path_type=Path)),
        "run": click.option("--run", required=True, type=click.Path(path_type=Path)),
        "character": click.option("--character", required=True),
        "shot": click.option("--shot", required=True),
        "frames": click.option("--frames", default=""),
        "model": click.option("--model", default=""),
        "redo": click.option("--redo", default=""),
        "budget": click.option("--budget", default=""),
        "init_from": click.option("--init-from", "init_from", default=""),
        "processes": click.option("--processes", type=int, default=1),
        "nodes": click.option("--nodes", type=int, default=1, envvar="LAIKAROTO_NODES"),
        "rank": click.option("--rank", type=int, default=None, envvar="LAIKAROTO_RANK"),
        "rendezvous": click.option("--rendezvous", default="", envvar="LAIKAROTO_RENDEZVOUS"),
        "address": click.option("--address", default="", envvar="LAIKAROTO_ADDRESS"),
    }

    def add(command: _F) -> _F:
        for name in ("configs", "run", "character", *names):
            command = known[name](command)
        return command

    return add


def _frames(text: str) -> Sequence[int] | None:
    """Frames as Open Job Description writes them, where a step is ``:``; None if empty."""
    return parse_frames(text.replace(":", "x")) if text.strip() else None


@contextmanager
def _obeying(stop: Stop) -> Iterator[None]:
    """Undo what libraries make of being told to stop: torch's tracing calls it a failed check."""
    try:
        yield
    except LaikarotoError:
        raise
    except Exception:
        stop.check()
        raise


@contextmanager
def _task(
    run: Path, step: str, frames: Sequence[int] | None = None, *, task: str = "all",
    stop: Stop | None = None,
) -> Iterator[Report]:  # fmt: skip
    """Everything around a step: its progress lines, its failure line, its result record.

    SIGTERM ends it in order: temporary files go, exit 75 asks to be run again. So a farm that
    cancels, preempts or nears a time limit gets its host back; nothing that ``stop`` is careful
    with is lost.
    """
    task = f"{frames[0]}-{frames[-1]}" if frames else task
    try:
        stop = stop or Stop()
        with stoppable(stop), recorded(run, step=step, task=task), _obeying(stop):
            yield task_report()
    except LaikarotoError as error:
        click.echo(fail_line(str(error)))
        raise
    except Exception as error:  # a fault of ours: the traceback follows, exit code 1
        click.echo(fail_line(f"{type(error).__name__}: {error}"))
        raise


# ---- a shot --------------------------------------------------------------------------------


@worker.command()
@_options("shot", "frames", "model", "redo")
def check(
    configs: Path, run: Path, character: str, shot: str, frames: str, model: str, redo: str
) -> None:
    """Check that plates and model fit before hours are spent on them."""
    numbers = _frames(frames)
    with _task(run, "check") as report:
        from laikaroto.worker import shot as steps
        from laikaroto.worker.redo import parse_redo

        steps.check(
            Show.open(configs), shot=shot, character=character, frames=numbers,
            model=model or "current", run=run, report=report, redo=parse_redo(redo),
        )  # fmt: skip


@worker.command()
@_options("shot", "frames")
def predict(configs: Path, run: Path, character: str, shot: str, frames: str) -> None:
    """Run the network over some frames."""
    numbers = _frames(frames)
    with _task(run, "predict", numbers) as report:
        from laikaroto.worker import shot as steps

        steps.predict(
            Show.open(configs), shot=shot, character=character, frames=numbers, run=run,
            report=report,
        )  # fmt: skip


@worker.command()
@_options("shot")
def solve(configs: Path, run: Path, character: str, shot: str) -> None:
    """Settle the whole shot in time."""
    with _task(run, "solve") as report:
        from laikaroto.worker import shot as steps

        steps.solve(Show.open(configs), shot=shot, character=character, run=run, report=report)


@worker.command()
@_options("shot", "frames")
def matte(configs: Path, run: Path, character: str, shot: str, frames: str) -> None:
    """Rasterise the mattes of some frames."""
    numbers = _frames(frames)
    with _task(run, "matte", numbers) as report:
        from laikaroto.worker import shot as steps

        steps.mattes(
            Show.open(configs), shot=shot, character=character, frames=numbers, run=run,
            report=report,
        )  # fmt: skip


@worker.command()
@_options("shot")
def publish(configs: Path, run: Path, character: str, shot: str) -> None:
    """Put the result where others read it."""
    with _task(run, "publish") as report:
        from laikaroto.worker import shot as steps

        version = steps.publish(
            Show.open(configs), shot=shot, character=character, run=run, report=report
        )
        if version is not None:
            click.echo(f"openjd_status: published {version}")


@worker.command()
@_options("shot")
def review(configs: Path, run: Path, character: str, shot: str) -> None:
    """Make the review page of the published version."""
    with _task(run, "review") as report:
        from laikaroto.worker import shot as steps

        steps.review(Show.open(configs), shot=shot, character=character, run=run, report=report)


# ---- a character ---------------------------------------------------------------------------


@worker.command()
@_options()
def prepare(configs: Path, run: Path, character: str) -> None:
    """Check and gather the training set."""
    with _task(run, "prepare") as report:
        from laikaroto.worker import character as steps

        steps.prepare(Show.open(configs), character=character, run=run, report=report)


@worker.command()
@_options("budget", "init_from", "processes", "nodes", "rank", "rendezvous", "address")
def train(
    configs: Path, run: Path, character: str, budget: str, init_from: str, processes: int,
    nodes: int, rank: int | None, rendezvous: str, address: str,
) -> None:  # fmt: skip
    """Train the network; goes on where a former attempt left off.

    With --nodes, a farm starts this once on each of them, with --rank 0, 1 … and the same
    --rendezvous: HOST:PORT, the host of rank 0, or a file that all see, in which rank 0 says where
    it listens (under --address, or its host's name). Each runs --processes. Without rank and
    rendezvous there is no other host, and the nodes are processes of this one.
    """
    stop = Stop()
    with _task(run, "train", task=f"node-{rank}" if rank else "all", stop=stop) as report:
        from laikaroto.training.meeting import parse_meeting
        from laikaroto.worker import character as steps

        meeting = parse_meeting(
            rendezvous, nodes=nodes, rank=rank, processes=processes, address=address
        )
        if nodes > meeting.nodes:
            click.echo(f"nobody named other hosts: {nodes} nodes are processes of this one")
        steps.train(
            Show.open(configs), character=character,
            budget_s=parse_duration(budget) if budget.strip() else None,
            init_from=init_from or None, run=run, report=report, stop=stop, meeting=meeting,
        )  # fmt: skip


@worker.command("train-helper")
@_options("rendezvous", "rank")
@click.option("--count", type=int, required=True)
def train_helper(
    configs: Path, run: Path, character: str, rendezvous: str, rank: int | None, count: int
) -> None:
    """Be one of the other processes of a training; the first one starts it."""
    from laikaroto.training.meeting import parse_place
    from laikaroto.worker import character as steps

    steps.help_train(run=run, place=parse_place(rendezvous), rank=rank or 0, count=count)


@worker.command()
@_options()
def evaluate(configs: Path, run: Path, character: str) -> None:
    """Measure the network on the shots held out."""
    with _task(run, "evaluate") as report:
        from laikaroto.worker import character as steps

        steps.evaluate(Show.open(configs), character=character, run=run, report=report)


@worker.command()
@_options()
def package(configs: Path, run: Path, character: str) -> None:
    """Export and publish the model as a new version."""
    with _task(run, "package") as report:
        from laikaroto.worker import packaging

        version = packaging.package(Show.open(configs), character=character, run=run, report=report)
        click.echo(f"openjd_status: packaged {version}")


@worker.command()
@_options()
def promote(configs: Path, run: Path, character: str) -> None:
    """Make the new model the current one if it is no worse."""
    with _task(run, "promote") as report:
        from laikaroto.worker import packaging

        packaging.promote(Show.open(configs), character=character, run=run, report=report)
