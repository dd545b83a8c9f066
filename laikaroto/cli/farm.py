"""``laikaroto farm``: the local farm's supervisor, in the foreground or the background."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.queues import all_queues, open_queue, pick_queue, queue_option
from laikaroto.config import QueueConfig, parse_duration
from laikaroto.errors import UsageError
from laikaroto.show import Show

_adopt = click.option(
    "--adopt", is_flag=True, help="Take over the queue of this machine's former name."
)


@click.group()
def farm() -> None:
    """Run, start and stop the local farm; look after others.

    Jobs wait in their queue while the farm does not run.
    """


def _local(configs: Path, queue: str | None) -> tuple[Show, QueueConfig, Path]:
    """The queue, which must be one of the local engine, and its state folder."""
    show = Show.open(configs)
    config = show.queue(pick_queue(show, queue))
    if config.engine != "local":
        raise UsageError(f"queue {config.name!r} is run by {config.engine}, not by this command")
    return show, config, show.queue_state(config.name)


@farm.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is left to do.")
@_adopt
@queue_option
@common_options
def run(until_idle: bool, adopt: bool, queue: str | None, configs: Path, as_json: bool) -> None:
    """Run the farm here until Ctrl-C; what it was running goes back into the queue."""
    from laikaroto.farm.local.supervisor import Supervisor

    _, config, state = _local(configs, queue)
    logger = logging.getLogger("laikaroto.farm")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        Supervisor(queue=config, state=state, until_idle=until_idle, adopt=adopt).run()
    finally:
        logger.removeHandler(handler)
    if as_json:
        print_json({"queue": config.name, "state": str(state)})


@farm.command()
@_adopt
@queue_option
@common_options
def start(adopt: bool, queue: str | None, configs: Path, as_json: bool) -> None:
    """Start the farm in the background; nothing happens if it runs already."""
    from laikaroto.farm.local import control
    from laikaroto.farm.local.owner import read_card

    _, config, state = _local(configs, queue)
    running = read_card(state) is not None
    command = ["farm", "run", "--queue", config.name, "--configs", str(configs.absolute())]
    card = control.start(state, [*command, *(["--adopt"] if adopt else [])])
    if as_json:
        print_json({"queue": config.name, "started": not running, **card})
    else:
        word = "runs already" if running else "started"
        click.echo(f"queue {config.name}: {word}, process {card['pid']}, {card['slots']} slots")


@farm.command()
@click.option("--drain", is_flag=True, help="Let running tasks end; start no new ones.")
@click.option("--timeout", metavar="TIME", help="Wait no longer for the end: 30s, 8h.")
@queue_option
@common_options
def stop(drain: bool, timeout: str | None, queue: str | None, configs: Path, as_json: bool) -> None:
    """Stop the farm; running tasks go back into the queue and start anew next time."""
    from laikaroto.farm.local import control

    _, config, state = _local(configs, queue)
    seconds = parse_duration(timeout) if timeout else None if drain else 30.0
    stopped = control.stop(state, drain=drain, timeout_s=seconds)
    if as_json:
        print_json({"queue": config.name, "stopped": stopped})
    else:
        click.echo(f"queue {config.name}: {'stopped' if stopped else 'was not running'}")


@farm.command()
@click.option(
    "--metrics", is_flag=True, help="Print metrics for Prometheus, of the named queue or of all."
)
@queue_option
@common_options
def status(metrics: bool, queue: str | None, configs: Path, as_json: bool) -> None:
    """Say whether the farm of a queue runs, and how much there is to do."""
    from collections import Counter

    from laikaroto.farm.metrics import task_counts

    show = Show.open(configs)
    if metrics:
        if as_json:
            raise UsageError("--metrics and --json exclude each other")
        _print_metrics(show, queue)
        return
    config = show.queue(pick_queue(show, queue))
    engine = open_queue(show, config.name)
    load, jobs = engine.load(), engine.jobs()
    states = Counter(job.state.value for job in jobs)
    tasks = {kind.value: number for kind, number in task_counts(jobs).items()}
    if as_json:
        print_json({
            "queue": config.name, "engine": config.engine, "state": str(engine.state),
            "runs": load.runs, "slots": load.slots, "busy": load.busy, **load.details,
            "jobs": dict(states), "tasks": tasks,
        })  # fmt: skip
        return
    word = "runs" if load.runs else "does not run"
    click.echo(f"queue {config.name}, {config.engine}: {word}{load.text and ', ' + load.text}")
    click.echo(f"jobs:  {_listed(states)}")
    click.echo(f"tasks: {_listed(tasks)}")
    if config.engine == "local":
        click.echo(f"log:   {engine.state / 'supervisor.log'}")


def _print_metrics(show: Show, queue: str | None) -> None:
    """Metrics of one queue or of all; a farm that does not answer is said to be down."""
    from laikaroto.farm.metrics import Metrics

    found = Metrics()
    for engine in all_queues(show, queue):
        if fault := found.add(engine, engine_name=show.queue(engine.name).engine):
            click.echo(fault, err=True)
    click.echo(found.text(), nl=False)


@farm.command()
@queue_option
@common_options
def verify(queue: str | None, configs: Path, as_json: bool) -> None:
    """Submit again what the farm has lost of active jobs; does no harm if it has lost nothing.

    For engines that may forget what they acknowledged, as Slurm when its controller dies.
    """
    show = Show.open(configs)
    engine = open_queue(show, queue)
    number = engine.verify()
    if as_json:
        print_json({"queue": engine.name, "submitted_again": number})
    else:
        click.echo(f"queue {engine.name}: {number} tasks submitted again")


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in numbers.items()) or "none"
