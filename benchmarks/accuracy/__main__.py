"""``python -m benchmarks.accuracy``: the command; see the package."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.config import parse_duration
from laikaroto.errors import LaikarotoError, UsageError

if TYPE_CHECKING:
    from benchmarks.accuracy.footage import Footage
    from benchmarks.accuracy.method import Oracle
    from benchmarks.accuracy.run import Request, Result

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command(context_settings={"max_content_width": 100, "show_default": True})
@click.option("--data", type=_FOLDER, help="Data folder: plates/, truth/CHARACTER/ (or --configs).")
@click.option("--configs", type=_FOLDER, help="Configuration folder of a show (or --data).")
@click.option("--truth", type=_FOLDER, help="Folder of SHOT.roto.json, where the show has others.")
@click.option("--character", default="hero", help="The puppet.")
@click.option("--training", required=True, metavar="SHOTS", help="To learn from: tr010,tr020,…")
@click.option("--evaluation", required=True, metavar="SHOTS", help="To draw and measure.")
@click.option("--methods", default="all", metavar="NAMES", help="laikaroto,paper,… or all.")
@click.option("--budget", default="30m", metavar="TIME", help="Wall time each method learns in.")
@click.option(
    "--threads", type=click.IntRange(1), help="Of every method.  [default: all there are]"
)
@click.option("--seed", default=1, type=click.IntRange(0), help="Of everything random.")
@click.option(
    "--oracle",
    "oracles",
    multiple=True,
    type=click.Choice(["crop", "points", "pose"]),
    help="Further rows with the truth in place of this stage; may be repeated.",
)
@click.option(
    "--few-shots", default="", metavar="COUNTS", help="Also with the first 1,2,3,… shots."
)
@click.option(
    "--sleap-python",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Python that has sleap-nn installed.",
)
@click.option("--table-only", is_flag=True, help="Run nothing; make the table from kept results.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Results; a run that was stopped goes on there.")  # fmt: skip
def main(
    data: Path | None, configs: Path | None, truth: Path | None, character: str, training: str,
    evaluation: str, methods: str, budget: str, threads: int | None, seed: int,
    oracles: tuple[Oracle, ...], few_shots: str, sleap_python: Path | None, table_only: bool,
    out: Path,
) -> None:  # fmt: skip
    """Compare methods on the same frames; writes OUT/table.md, table.json and pictures/.

    Every method learns from the same training shots in the same wall time on the same number
    of threads. Exits with 1 if a method failed; one that is not installed is only told.
    """
    names = _methods(methods)
    footage = _footage(data, configs, truth, character, training, evaluation)
    counts = _counts(few_shots, len(footage.training))
    count = threads or len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(count)  # before torch is loaded
    from benchmarks.accuracy.run import Request, open_output, run_methods

    request = Request(
        character=character, training=_names(training), evaluation=_names(evaluation),
        budget_s=parse_duration(budget), threads=count, seed=seed,
    )  # fmt: skip
    open_output(out, request, footage)
    options = {"sleap_python": sleap_python}
    shared: dict[str, Any] = {"options": options, "only_kept": table_only, "say": _say}
    results = run_methods(names, footage, request, out / "runs", oracles=oracles, **shared)
    _write(out, results, footage, request)
    runs: dict[int, list[Result]] = {}
    for shots in counts:
        learned = [r.method for r in results if r.learns and r.oracle == "none"]
        folder = out / "runs" if shots == len(footage.training) else out / f"few_shots/{shots}"
        runs[shots] = run_methods(learned, footage.first(shots), request, folder, **shared)
    if runs:
        _write_few_shots(out, runs)
    every = [*results, *(result for run in runs.values() for result in run)]
    if bad := sorted({r.title for r in every if (r.failure or "").startswith("failed")}):
        raise LaikarotoError(f"{', '.join(bad)}: failed, see above; run again to try again")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _methods(text: str) -> tuple[str, ...]:
    from benchmarks.accuracy.methods import METHODS

    names = tuple(METHODS) if text == "all" else _names(text)
    if unknown := [name for name in names if name not in METHODS]:
        raise UsageError(f"unknown method {', '.join(unknown)}; known: {', '.join(METHODS)}")
    if not names:
        raise UsageError(f"name a method; known: {', '.join(METHODS)}")
    return tuple(dict.fromkeys(names))


def _counts(text: str, most: int) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(part) for part in _names(text)}))
    except ValueError as error:
        raise UsageError(f"--few-shots {text!r}: wanted numbers such as 1,2,3") from error
    if bad := [n for n in counts if not 1 <= n <= most]:
        raise UsageError(f"--few-shots {bad[0]}: there are {most} training shots")
    return counts


def _footage(
    data: Path | None, configs: Path | None, truth: Path | None, character: str, training: str,
    evaluation: str,
) -> Footage:  # fmt: skip
    from benchmarks.accuracy.footage import open_footage, show_of_data
    from laikaroto.show import Show

    if (data is None) == (configs is None):
        raise UsageError("name the shots' place with --data or with --configs, one of the two")
    show = Show.open(configs) if configs else show_of_data(data or Path(), character)
    return open_footage(
        show, character=character, training=_names(training), evaluation=_names(evaluation),
        truth=truth,
    )  # fmt: skip


def _write(out: Path, results: list[Result], footage: Footage, request: Request) -> None:
    from benchmarks.accuracy.pictures import write_pictures
    from benchmarks.accuracy.table import document, markdown
    from laikaroto.sidecar.files import write_file

    text = markdown(results, footage, request)
    write_file(out / "table.md", text.encode())
    data = json.dumps(document(results, footage, request), indent=1, allow_nan=False) + "\n"
    write_file(out / "table.json", data.encode())
    pictures = write_pictures(out / "pictures", results, footage)
    click.echo(text)
    _say(f"table: {out / 'table.md'}, {out / 'table.json'}; {len(pictures)} pictures")


def _write_few_shots(out: Path, runs: dict[int, list[Result]]) -> None:
    from benchmarks.accuracy.few_shots import few_shots_markdown, few_shots_svg
    from laikaroto.sidecar.files import write_file

    text = few_shots_markdown(runs)
    write_file(out / "few_shots.md", text.encode())
    if (chart := few_shots_svg(runs)) is not None:
        write_file(out / "few_shots.svg", chart.encode())
    click.echo(text)


def run() -> None:
    """The command; errors as one line, exit codes as ``laikaroto`` has them."""
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except LaikarotoError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
