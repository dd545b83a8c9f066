"""``laikaroto train``: the steps of a training job, here and now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from laikaroto.cli.options import common_options, print_json

if TYPE_CHECKING:
    from laikaroto.show import Show
    from laikaroto.stopping import Stop
    from laikaroto.training.meeting import Meeting


@click.command()
@click.argument("character")
@click.option("--budget", help="Wall time, for example 8h or 30m; default: the character's.")
@click.option(
    "--init-from",
    metavar="V",
    help="Start from the weights of a model: v003, current, or of another character: "
    "OTHER:current.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Train with several processes, which share the CPUs.",
)
@common_options
def train(
    character: str,
    budget: str | None,
    init_from: str | None,
    processes: int,
    configs: Path,
    as_json: bool,
) -> None:
    """Learn CHARACTER from its ground truth, and package the model.

    Does in the foreground what 'submit train' does on the farm. Stopped (Ctrl-C, SIGTERM), it
    writes a checkpoint and ends with exit code 75; started again, it goes on from there, or
    after a kill from its last checkpoint, unless the ground truth has changed.
    """
    import signal

    from laikaroto.config import parse_duration
    from laikaroto.show import Show
    from laikaroto.stopping import Stop, stoppable
    from laikaroto.training.meeting import Meeting
    from laikaroto.worker import character as steps
    from laikaroto.worker.warm_start import find_source

    show = Show.open(configs)
    show.character(character)
    budget_s = parse_duration(budget) if budget else None
    if init_from:
        find_source(show, character, init_from)
    steps.gather(show, character)
    run = _open_run(show, character)
    stop = Stop()
    with stoppable(stop, (signal.SIGTERM, signal.SIGINT)):
        version = _learn(
            show, character, run, budget_s, init_from, Meeting(processes=processes), stop,
            quiet=as_json,
        )  # fmt: skip
    _print_model(show, character, version, as_json=as_json)


def _learn(
    show: Show, character: str, run: Path, budget_s: float | None, init_from: str | None,
    meeting: Meeting, stop: Stop, *, quiet: bool,
) -> str:  # fmt: skip
    """All steps of the job; the version of the model that was made."""
    from laikaroto.worker import character as steps
    from laikaroto.worker.packaging import package, promote
    from laikaroto.worker.progress import foreground_report

    with foreground_report(f"prepare {character}", quiet=quiet) as report:
        if not (run / "dataset.json").is_file():
            steps.prepare(show, character=character, run=run, report=report)
    with foreground_report(f"train {character}", quiet=quiet) as report:
        steps.train(
            show,
            character=character,
            budget_s=budget_s,
            init_from=init_from,
            run=run,
            report=report,
            meeting=meeting,
            stop=stop,
        )
    stop.check()
    with foreground_report(f"package {character}", quiet=quiet) as report:
        steps.evaluate(show, character=character, run=run, report=report)
        version = package(show, character=character, run=run, report=report)
        promote(show, character=character, run=run, report=report)
    return version


def _open_run(show: Show, character: str) -> Path:
    """The training's working folder; what is finished or out of date in it is dropped."""
    import shutil

    from laikaroto.training.run import read_index
    from laikaroto.worker.character import truth_digest

    run = show.work_folder(f"train-{character}")
    if (run / "package.json").is_file():
        shutil.rmtree(run)  # finished: its model is published
    elif (run / "dataset.json").is_file() and read_index(run).truth != truth_digest(
        show, character
    ):
        click.echo(
            "the ground truth has changed since this training was begun: starting anew", err=True
        )
        shutil.rmtree(run)
    return run


def _print_model(show: Show, character: str, version: str, *, as_json: bool) -> None:
    from laikaroto.model.decisions import figures, read_decision
    from laikaroto.model.package import current_version, load_package

    package = load_package(show.models_folder(character) / version)
    current = current_version(show.models_folder(character))
    decision = read_decision(show.models_folder(character), version)
    if as_json:
        measured = ("held_out", "curves_mean_px", "tracks_mean_px")
        print_json(
            {"version": version, "current": current, "folder": str(package.folder)}
            | {"decision": decision.model_dump() if decision else None}
            | {name: package.metrics[name] for name in measured}
        )
        return
    click.echo(f"model {version} in {package.folder}")
    if held_out := package.metrics["held_out"]:
        click.echo(f"held out {', '.join(held_out)}: {figures(package.metrics)}")
    click.echo(f"report: {package.folder / 'report' / 'index.html'}")
    if current != version:
        click.echo(f"{current} stays current: {decision.reason if decision else 'unknown why'}")
        click.echo(f"'laikaroto models promote {character} {version}' overrides")
