"""``laikaroto demo``: the whole way of a show, on the bundled sample."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import print_json
from laikaroto.errors import FarmError, UsageError, write_failure

if TYPE_CHECKING:
    from laikaroto.farm.engine import Engine
    from laikaroto.show import Show
    from laikaroto.training.evaluate import Evaluation

CHARACTER = "hero"
SHOT = "ta01"
_TRAINING_SHOTS = ("tr01", "tr02", "tr03")
# Results of a run made in the source tree lie beside these and are not taken along.
_SAMPLE_PARTS = ("plates", "green_card", "truth", "artist", "reference")


@click.command()
@click.option(
    "--out",
    default="laikaroto-demo",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to; used again if it holds an earlier demo.",
)
@click.option(
    "--budget",
    default="6m20s",
    show_default=True,
    metavar="TIME",
    help="Wall time of the training.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for scripts.")
def demo(out: Path, budget: str, as_json: bool) -> int:
    """Train the sample show's puppet and roto a new shot with it, through the local farm.

    Copies the sample show to DIR, imports three rotoscoped shots, starts the local farm,
    submits the training and, to follow it, the shot; then measures the result against the
    truth. Every step is an ordinary laikaroto command that works on DIR/configs.
    """
    from laikaroto.cli.truth import import_truth
    from laikaroto.config import parse_duration
    from laikaroto.show import Show

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    parse_duration(budget)
    started = time.monotonic()
    say(f"sample show: {out}")
    copy_sample(out)
    show = Show.open(out / "configs")
    truth = show.root / "truth" / CHARACTER
    files = [truth / f"{shot}.roto.json" for shot in _TRAINING_SHOTS]
    import_truth(show, character=CHARACTER, files=files)
    say(f"ground truth of {', '.join(_TRAINING_SHOTS)} imported")
    _run_jobs(show, budget=budget, quiet=as_json, configs=out / "configs")
    result = _measure(show, truth / f"{SHOT}.roto.json")
    result["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json({**result, "evaluation": result["evaluation"].to_dict()})
    else:
        _print_result(result)
    if result["missing"]:
        raise FarmError(f"shot {SHOT}: no trace of {', '.join(result['missing'])}")
    return 0


def copy_sample(out: Path) -> None:
    """Copy the sample show and its configuration; parts that are there already stay.

    Raises:
        UsageError: the folder holds something else. TryAgainError: the disk refuses.
    """
    from laikaroto.bundled import bundled

    parts = {Path("configs"): bundled("configs")}
    parts |= {Path("sample") / name: bundled("sample") / name for name in _SAMPLE_PARTS}
    if out.exists() and any(out.iterdir()) and not (out / "configs" / "show.yaml").exists():
        raise UsageError(
            f"{out} is not empty and holds no earlier demo; name another folder with --out"
        )
    try:
        for part, source in parts.items():
            target = out / part
            if target.exists():
                continue
            # through a hidden sibling, so that a demo that was killed here is made whole
            hidden = target.with_name(f".{target.name}.copy")
            shutil.rmtree(hidden, ignore_errors=True)
            shutil.copytree(source, hidden)
            hidden.rename(target)
    except OSError as error:
        raise write_failure(out, error) from error


def _run_jobs(show: Show, *, budget: str, quiet: bool, configs: Path) -> None:
    """Training, then the shot, through the queue; raises FarmError with the failing task's log."""
    from laikaroto.cli.follow import check_success, wait_for
    from laikaroto.cli.queues import open_queue
    from laikaroto.cli.submit import Wishes, shot_bundle, training_bundle

    engine = open_queue(show, None)
    with _farm(show, engine, configs):
        training = engine.submit(training_bundle(show, character=CHARACTER, budget=budget))
        # The key ties the two: an interrupted demo goes on with both, a failed one leaves both.
        wishes = Wishes(after=(training.job,), key=f"demo-{training.job}")
        shot = engine.submit(shot_bundle(show, shot=SHOT, character=CHARACTER, wishes=wishes))
        click.echo(f"jobs: {training.job}, then {shot.job}", err=True)
        check_success(engine, wait_for(engine, [training.job, shot.job], quiet=quiet))


@contextmanager
def _farm(show: Show, engine: Engine, configs: Path) -> Iterator[None]:
    """The local farm, running; stopped at the end only if it was started here.

    Also when the demo itself is asked to end; what was running starts anew next time.
    """
    from laikaroto.farm.local import control
    from laikaroto.farm.local.owner import read_card

    state = show.queue_state(engine.name)
    running = read_card(state) is not None
    command = ["farm", "run", "--queue", engine.name, "--configs", str(configs.absolute())]
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        control.start(state, command)
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if not running:
            control.stop(state, drain=False, timeout_s=30.0)


def _measure(show: Show, truth: Path) -> dict[str, Any]:
    from laikaroto.cli.published import find_version
    from laikaroto.model.package import current_version
    from laikaroto.sidecar.schema import read_roto
    from laikaroto.training.evaluate import evaluate

    version, folder = find_version(show, shot=SHOT, character=CHARACTER, version=None)
    roto = read_roto(folder / "roto.json")
    result = evaluate(roto, read_roto(truth))
    shown = {
        name: sum(name in frame.shapes for frame in result.frames.values())
        for name in result.curves
    }
    return {
        "shot": SHOT,
        "character": CHARACTER,
        "version": version,
        "model": current_version(show.models_folder(CHARACTER)),
        "sidecar": str(folder),
        "review": str(show.review_folder(SHOT, CHARACTER, version) / "index.html"),
        "flagged": sorted(frame for frame, note in roto.frames.items() if note.flagged),
        "missing": [n for n, lost in result.missing_shapes.items() if len(lost) == shown[n]],
        "evaluation": result,
    }


def _print_result(result: dict[str, Any]) -> None:
    from laikaroto.cli.evaluate import print_evaluation
    from laikaroto.frames import format_frames

    evaluation: Evaluation = result["evaluation"]
    print_evaluation(evaluation)
    flagged = result["flagged"]
    click.echo(
        f"frames flagged for a person: {len(flagged)} of {len(evaluation.frames)}"
        + (f" ({format_frames(flagged)})" if flagged else "")
    )
    click.echo(f"model:  {result['model']}")
    click.echo(f"result: {result['sidecar']}")
    click.echo(f"review: {result['review']}")
    click.echo(f"{result['seconds']:.0f} s in all")
