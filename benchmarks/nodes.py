"""Training steps a second on one host of a farm and on several: ``python -m benchmarks.nodes``.

Submits the training of a character to a Slurm queue once for each number of hosts, one after
another, and reads off what each did in its budget. Nothing is packaged and no model published; the
working folders stay. Every run takes the same steps on the same samples, as far as it comes.
Prints a Markdown table.

Without ``--queue`` it brings up a Slurm of three hosts with one CPU each on this machine, as the
tests do, and trains the sample show's puppet: two hosts then need two cores that nobody else uses.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import click
import yaml

from benchmarks.optimizers import make_show
from laikaroto.cli.queues import open_queue
from laikaroto.cli.submit import Wishes, training_bundle
from laikaroto.errors import FarmError
from laikaroto.farm.bundle import Bundle
from laikaroto.farm.engine import JobState
from laikaroto.show import Show
from laikaroto.training.checkpoint import new_state, read_checkpoint
from laikaroto.training.run import open_course


def unpublished(bundle: Bundle) -> Bundle:
    """The same training without the steps that make a model of it."""
    template = yaml.safe_load(bundle.template)
    template["steps"] = [s for s in template["steps"] if s["name"] in ("prepare", "train")]
    return replace(bundle, template=yaml.safe_dump(template, sort_keys=False))


def train(show: Show, queue: str, character: str, nodes: int, budget: str) -> tuple[int, float]:
    """Steps of a training on so many hosts, and how many it took a second while it learned."""
    wishes = Wishes(queue=queue, key=f"benchmark-{secrets.token_hex(4)}")
    engine = open_queue(show, queue)
    job = engine.submit(
        unpublished(
            training_bundle(show, character=character, budget=budget, nodes=nodes, wishes=wishes)
        )
    ).job
    (status,) = engine.wait([job])
    if status.state is not JobState.SUCCEEDED:
        raise FarmError(f"job {job} {status.state}: {status.reason}; see 'laikaroto jobs logs'")
    course = open_course(show.work_folder(job), lambda share, text: None)
    state = new_state(course.settings, course.dataset)
    read_checkpoint(course.checkpoint, state)
    first, last = state.history[0], state.history[-1]
    return state.step, (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])


@contextmanager
def small_farm() -> Iterator[Show]:
    """The sample show with a queue ``here`` of a Slurm that runs as long as the block."""
    from tests.farm.slurm.cluster import running_cluster

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        show = make_show(Path(name))
        cluster = stack.enter_context(running_cluster(Path(name) / "cluster", memory=4000))
        queue = {"name": "here", "engine": "slurm",
                 "slurm": {"conf": str(cluster.conf), "partition": "three"}}  # fmt: skip
        (show.configs.folder / "queues" / "here.yaml").write_text(yaml.safe_dump(queue))
        yield Show.open(show.configs.folder)


@click.command()
@click.option("--configs", type=click.Path(path_type=Path), help="Of the show; with --queue.")
@click.option("--queue", help="A Slurm queue. Default: a small one made for this.")
@click.option("--character", default="hero", show_default=True)
@click.option("--nodes", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--budget", default="10m", show_default=True, help="Of each training.")
def main(
    configs: Path | None, queue: str | None, character: str, nodes: tuple[int, ...], budget: str
) -> None:
    """Train CHARACTER on each number of hosts and print the steps a second."""
    if (configs is None) != (queue is None):
        raise click.UsageError("--configs and --queue go together")
    with ExitStack() as stack:
        show = stack.enter_context(small_farm()) if configs is None else Show.open(configs)
        click.echo("| hosts | steps | steps/s | against the first |\n|---|---|---|---|")
        first = 0.0
        for count in nodes:
            steps, rate = train(show, queue or "here", character, count, budget)
            first = first or rate
            click.echo(f"| {count} | {steps} | {rate:.3f} | {rate / first:.2f} |")


if __name__ == "__main__":
    main()
