"""``laikaroto infer``: the steps of a shot's job, here and now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json

if TYPE_CHECKING:
    from laikaroto.show import Show
    from laikaroto.worker.progress import Report

_SHOWN_FRAMES = 10
# How much of the time each step takes, about.
_SHARES = {"predict": 0.55, "solve": 0.05, "mattes": 0.2, "publish": 0.05, "review": 0.15}


@click.command()
@click.argument("shots", metavar="SHOT…", nargs=-1, required=True)
@click.option("--character", help="The puppet; may be left out when the show has just one.")
@click.option("--frames", metavar="R", help="For example 1001-1040; all by default.")
@click.option(
    "--model",
    metavar="V",
    default="current",
    show_default=True,
    help="Version of the character's model.",
)
@common_options
def infer(
    shots: tuple[str, ...],
    character: str | None,
    frames: str | None,
    model: str,
    configs: Path,
    as_json: bool,
) -> None:
    """Give shots a first pass: points, shapes, mattes, a review page.

    Does in the foreground what 'submit shot' does on the farm. All shots are checked before
    the work on the first begins; each becomes a new published version.
    """
    from laikaroto.cli.published import pick_character
    from laikaroto.frames import parse_frames
    from laikaroto.show import Show
    from laikaroto.worker import shot as steps
    from laikaroto.worker.progress import foreground_report

    show = Show.open(configs)
    character = pick_character(show, character)
    numbers = parse_frames(frames) if frames is not None else None
    results = []
    with _folders(show, character, tuple(dict.fromkeys(shots))) as runs:
        for shot, run in runs.items():
            with foreground_report(f"check {shot}", quiet=as_json) as report:
                steps.check(
                    show, shot=shot, character=character, frames=numbers, model=model, run=run,
                    report=report,
                )  # fmt: skip
        for shot, run in runs.items():
            with foreground_report(shot, quiet=as_json) as report:
                version = _roto_shot(show, shot=shot, character=character, run=run, report=report)
            results.append(_result(show, shot=shot, character=character, version=version))
    if as_json:
        print_json(results)
    else:
        for result in results:
            _print_result(result)


@contextmanager
def _folders(show: Show, character: str, shots: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    """An empty working folder for each shot, removed afterwards, also what a dead one left.

    Raises:
        TryAgainError: another process is at work on one of these shots.
    """
    import fcntl
    import os
    import shutil
    from contextlib import ExitStack

    from laikaroto.config import check_name
    from laikaroto.errors import TryAgainError, write_failure

    runs = {check_name(shot, "shot"): show.work_folder("infer", character, shot) for shot in shots}
    with ExitStack() as held:
        for shot, run in runs.items():
            try:
                run.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_failure(run, error) from error
            descriptor = os.open(run, os.O_RDONLY)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TryAgainError(
                    f"shot {shot}: another 'laikaroto infer' is at work on it; wait for its end"
                ) from error
            for path in run.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            held.callback(shutil.rmtree, run, ignore_errors=True)
        yield runs


def _roto_shot(show: Show, *, shot: str, character: str, run: Path, report: Report) -> str:
    from laikaroto.worker import shot as steps

    done = 0.0

    def part(step: str) -> Report:
        nonlocal done
        start, share = done, _SHARES[step]
        done += share
        return lambda fraction, text: report(start + share * fraction, text)

    names: dict[str, Any] = {"shot": shot, "character": character, "run": run}
    steps.predict(show, frames=None, report=part("predict"), **names)
    steps.solve(show, report=part("solve"), **names)
    steps.mattes(show, frames=None, report=part("mattes"), **names)
    version = steps.publish(show, report=part("publish"), **names)
    assert version is not None, "only a shot that is done again may be left as it is"
    steps.review(show, report=part("review"), **names)
    return version


def _result(show: Show, *, shot: str, character: str, version: str) -> dict[str, Any]:
    import json

    folder = show.sidecar_folder(shot, character, version)
    summary = json.loads((folder / "report.json").read_bytes())
    return {
        "shot": shot,
        "character": character,
        "version": version,
        "model": summary["model"],
        "frames": summary["frames"],
        "folder": str(folder),
        "review": str(show.review_folder(shot, character, version) / "index.html"),
        "flagged": summary["flagged"],
    }


def _print_result(result: Mapping[str, Any]) -> None:
    flagged = result["flagged"]
    click.echo(f"{result['shot']} {result['version']}: {result['folder']}")
    click.echo(f"  {result['frames']} frames, {len(flagged)} to look at")
    for frame, reasons in list(flagged.items())[:_SHOWN_FRAMES]:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        click.echo(f"    {frame}: {reasons[0]}{more}")
    if len(flagged) > _SHOWN_FRAMES:
        click.echo(f"    … and {len(flagged) - _SHOWN_FRAMES} frames more")
    click.echo(f"  review: {result['review']}")
