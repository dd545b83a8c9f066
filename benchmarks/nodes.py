"""Training steps a second on one host of a farm and on several: ``python -m benchmarks.nodes``.

Submits the training of a character to a Slurm queue once for each number of hosts, one after
another, and reads off what each did in its budget. Nothing is packaged and no model published; the
working folders stay. Every run takes the same steps on the same samples, as far as it comes.
Prints a Markdown table.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import click
import yaml

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


@click.command()
@click.option("--configs", type=click.Path(path_type=Path), required=True)
@click.option("--queue", required=True, help="A Slurm queue.")
@click.option("--character", required=True)
@click.option("--nodes", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--budget", default="10m", show_default=True, help="Of each training.")
def main(configs: Path, queue: str, character: str, nodes: tuple[int, ...], budget: str) -> None:
    """Train CHARACTER on each number of hosts and print the steps a second."""
    show = Show.open(configs)
    click.echo("| hosts | steps | steps/s | against the first |\n|---|---|---|---|")
    first = 0.0
    for count in nodes:
        steps, rate = train(show, queue, character, count, budget)
        first = first or rate
        click.echo(f"| {count} | {steps} | {rate:.3f} | {rate / first:.2f} |")


if __name__ == "__main__":
    main()
