"""Muon against AdamW on the sample show: ``python -m benchmarks.optimizers``.

Both train the same networks from the same seed on the same batches for the same number of
steps, two shots of three; the third is measured. Prints a Markdown table.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import torch

from laikaroto.bundled import bundled
from laikaroto.cli.truth import import_truth
from laikaroto.show import Show
from laikaroto.training import loop
from laikaroto.training.checkpoint import has_fast_bfloat16, new_state
from laikaroto.training.evaluate import evaluate
from laikaroto.training.losses import CurveIndex
from laikaroto.training.run import open_course
from laikaroto.training.schedule import learning_rate
from laikaroto.training.validate import as_rotos
from laikaroto.worker.character import prepare


def make_show(folder: Path) -> Show:
    """A copy of the sample show with the truth of ``hero`` imported."""
    shutil.copytree(bundled("configs"), folder / "configs")
    shutil.copytree(bundled("sample"), folder / "sample")
    show = Show.open(folder / "configs")
    truth = folder / "sample" / "truth" / "hero"
    files = [truth / f"{shot}.roto.json" for shot in ("tr01", "tr02", "tr03")]
    import_truth(show, character="hero", files=files)
    return show


def make_course(folder: Path) -> loop.Course:
    """The sample show's training, prepared; the shot held out is chosen as in any training."""
    show, run = make_show(folder), folder / "run"
    prepare(show, character="hero", run=run, report=lambda share, text: None)
    choices = {"budget_s": 600.0, "seed": 1, "held_out": ()}
    return open_course(run, lambda share, text: None, choices=choices)


def train(course: loop.Course, name: str, steps: int, rate: float) -> tuple[float, float]:
    """Mean error of curves and tracking points on the held-out shot after ``steps``, px."""
    settings = course.settings
    state = new_state(settings, course.dataset)
    if name == "AdamW":
        parameters = [*state.drawer.parameters(), *state.finder.parameters()]
        state.optimizers = (torch.optim.AdamW(parameters, rate, weight_decay=1e-2),)
    index = CurveIndex.of(course.template)
    kept = [shot for shot in settings.training_shots if shot not in settings.held_out]
    dataset = course.dataset.of_shots(kept)
    learning = loop.Learning(index=index, bfloat16=has_fast_bfloat16())
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for step in range(steps):
            batch = dataset.batch((settings.seed, step), settings.batch, pool)
            loop.train_step(state, batch, learning, rate=learning_rate(step / steps, step))
    held_out = course.measure(state, index)
    pairs = as_rotos(held_out, course.template, course.plates).values()
    results = [evaluate(prediction, truth) for prediction, truth in pairs]
    curves, tracks = results[0].curves_all.mean_px, results[0].tracks_all.mean_px
    return curves or math.nan, tracks or math.nan


@click.command()
@click.option("--steps", multiple=True, type=int, default=(150, 300), show_default=True)
@click.option("--rate", multiple=True, type=float, default=(1e-3, 2e-3), help="Of AdamW.")
def main(steps: tuple[int, ...], rate: tuple[float, ...]) -> None:
    """Train with each optimiser and print the errors."""
    loop.use_threads()
    click.echo("| optimiser | steps | curves px | tracking points px |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        course = make_course(Path(folder))
        for count in steps:
            rows = [("Muon", 0.0), *(("AdamW", value) for value in rate)]
            for name, value in rows:
                curves, tracks = train(course, name, count, value)
                label = f"{name} {value:g}" if value else name
                click.echo(f"| {label} | {count} | {curves:.2f} | {tracks:.2f} |")


if __name__ == "__main__":
    main()
