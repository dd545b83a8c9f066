"""How many frames an artist has to touch: ``python -m benchmarks.effort PREDICTION TRUTH …``.

A simulated artist corrects all of the worst frame of a shot to the truth, lets the corrections
travel, and repeats until every frame is clean. Counted are the frames that were touched, per
100 frames of the shot:

- **laikaroto**: corrections travel as ``laikaroto correct`` makes them travel, by the roto.json
  PREDICTION and the ``likeness.npz`` beside it, if there is one;
- **without**: the same predictions, corrected frame by frame;
- **keyframes**: no predictions; the truth keyed at the first and the last frame, then at the
  worst frame, linear in between: an artist's usual way.

Two rules say what is clean. ``--clean shapes`` (the strict one, and the aim's): each visible
shape by itself has a curve mean of at most 1 px and a p95 of at most 2 px at 1280 wide
(``docs/evaluate.md``). ``--clean frame`` (milder: a frame is judged as a whole): the curves of all
visible shapes of the frame together have that mean and that p95, and none is missing. Counted
as well are the drawings that were not clean by themselves on the touched frames, per 100
drawings of the shot: what an artist's hand had to move.

``--worst true`` takes the frame with the largest true error: an artist who sees everything.
``--worst tool`` takes the frame the tool itself is least sure of; a look at a clean frame costs
a look, not a touch. ``--error-scale 0.5`` halves the errors of the prediction: what a model
twice as good would need. ``--every 6`` is quicker: it corrects every sixth frame once and measures
what became of all others. Prints a Markdown table; ``--json`` all of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from laikaroto.config import ReviewConfig
from laikaroto.coords import FloatArray
from laikaroto.correction.apply import correct
from laikaroto.correction.likeness import LIKENESS, UNKNOWN, Likeness, read_likeness
from laikaroto.correction.log import Log
from laikaroto.correction.records import Record, ShapeEntry, TrackEntry, by_frame, rounded
from laikaroto.shapes.records import Roto, ShapeFrame
from laikaroto.sidecar.schema import read_roto
from laikaroto.tracking.flags import REFERENCE_WIDTH_PX
from laikaroto.training.curve_distance import symmetric_distances
from laikaroto.training.evaluate import (
    CLEAN_MEAN_PX,
    CLEAN_P95_PX,
    STEP_PX,
)

_MISSING_PX = 1000.0


@dataclass(frozen=True, slots=True)
class Error:
    """A shape on a frame; ``mean_px`` None: the truth shows it and it is not there.

    ``away_px``: distances along the curve, each standing for the same length of it.
    """

    mean_px: float | None
    clean: bool
    away_px: FloatArray = field(default_factory=lambda: np.zeros(0))


@dataclass(slots=True)
class Judge:
    """Measures drawings against the truth, each once; as ``laikaroto evaluate`` does."""

    truth: Roto
    rule: str = "shapes"
    known: dict[tuple[str, int, bytes, bool], Error | None] = field(default_factory=dict)

    def errors(self, roto: Roto, frame: int) -> dict[str, Error]:
        """Errors of all shapes of which the truth shows something on a frame."""
        found = {}
        for name in self.truth.shapes:
            drawn = roto.shapes[name].frames[frame]
            key = (name, frame, drawn.points.tobytes(), drawn.visible)
            if key not in self.known:
                self.known[key] = self._measure(drawn, name, frame)
            if (error := self.known[key]) is not None:
                found[name] = error
        return found

    def _measure(self, drawn: ShapeFrame, name: str, frame: int) -> Error | None:
        shape = self.truth.shapes[name]
        true = shape.frames[frame]
        if not true.visible:
            return None
        if not drawn.visible:
            return Error(None, False)
        scale = self.truth.plate.width / REFERENCE_WIDTH_PX
        away = symmetric_distances(
            drawn.points, true.points, true.point_visible,
            closed=shape.closed, step_px=max(STEP_PX, STEP_PX * scale),
        )  # fmt: skip
        if not len(away):
            return None
        return Error(float(away.mean()), self._clean(away), away)

    def _clean(self, away: FloatArray) -> bool:
        scale = self.truth.plate.width / REFERENCE_WIDTH_PX
        p95 = float(np.percentile(away, 95))
        return float(away.mean()) <= CLEAN_MEAN_PX * scale and p95 <= CLEAN_P95_PX * scale

    def worst(self, roto: Roto) -> dict[int, float]:
        """Frames that are not clean by the rule, with the largest mean error of a shape, px."""
        found = {}
        for frame in self.truth.frames:
            errors = list(self.errors(roto, frame).values())
            bad = [e for e in errors if not e.clean]
            if self.rule == "frame" and bad and all(e.mean_px is not None for e in errors):
                if self._clean(np.concatenate([e.away_px for e in errors])):
                    continue
            if bad:
                found[frame] = max(_MISSING_PX if e.mean_px is None else e.mean_px for e in bad)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What it took.

    Frames touched and looked at, drawings on the touched ones that were not clean, and CPU
    seconds of all propagations together.
    """

    touched: tuple[int, ...]
    looks: int
    drawings: int
    seconds: float
    clean_after: tuple[int, ...]


Order = Callable[[Roto, Mapping[int, float], set[int]], int]


def worst_by_truth(roto: Roto, bad: Mapping[int, float], done: set[int]) -> int:
    """The frame with the largest true error."""
    return max(bad, key=lambda frame: (bad[frame], -frame))


def worst_by_tool(roto: Roto, bad: Mapping[int, float], done: set[int]) -> int:
    """The frame the tool is least sure of: flagged ones first, then by expected error."""

    def unsure(frame: int) -> tuple[bool, float, int]:
        errors = [
            shape.frames[frame].expected_error_px or 0.0
            for shape in roto.shapes.values()
            if shape.frames[frame].visible
        ]
        note = roto.frames[frame]
        return note.flagged, max(errors, default=0.0), -frame

    return max(set(roto.frames) - done, key=unsure)


@dataclass(frozen=True, slots=True)
class FirstPass:
    """What a shot's model drew, what it saw, and the truth."""

    roto: Roto
    truth: Roto
    likeness: Likeness = UNKNOWN

    def corrected(self, records: Sequence[Record]) -> Roto:
        """The next version, as ``laikaroto correct`` makes it."""
        log = Log(path=Path("corrections.jsonl"), records=tuple(records))
        return correct(self.roto, log, ReviewConfig(), self.likeness)


def touch(first: FirstPass, *, order: Order, travel: bool, rule: str = "shapes") -> Outcome:
    """Correct a first pass until it is clean."""
    prediction, truth = first.roto, first.truth
    judge = Judge(truth, rule)
    roto = prediction
    records: list[Record] = []
    touched: list[int] = []
    done: set[int] = set()
    clean_after, looks, drawings, seconds = [], 0, 0, 0.0
    while bad := judge.worst(roto):
        clean_after.append(len(truth.frames) - len(bad))
        frame = order(roto, bad, done)
        done.add(frame)
        looks += 1
        if frame not in bad:
            continue
        touched.append(frame)
        drawings += sum(not e.clean for e in judge.errors(roto, frame).values())
        records.append(_record(len(records) + 1, truth, frame))
        if travel:
            started = time.process_time()
            roto = first.corrected(records)
            seconds += time.process_time() - started
        else:
            roto = _put(roto, truth, frame)
    clean_after.append(len(truth.frames))
    return Outcome(
        touched=tuple(touched), looks=looks, drawings=drawings, seconds=seconds,
        clean_after=tuple(clean_after),
    )  # fmt: skip


def keyframes(truth: Roto, *, rule: str = "shapes") -> Outcome:
    """Key the truth and interpolate until it is clean: every drawing of a key is the artist's."""
    judge = Judge(truth, rule)
    keys = {min(truth.frames), max(truth.frames)}
    clean_after = []
    while bad := judge.worst(roto := _interpolated(truth, sorted(keys))):
        clean_after.append(len(truth.frames) - len(bad))
        keys.add(worst_by_truth(roto, bad, keys))
    clean_after.append(len(truth.frames))
    return Outcome(
        touched=tuple(sorted(keys)), looks=len(keys), seconds=0.0, clean_after=tuple(clean_after),
        drawings=sum(len(judge.errors(truth, frame)) for frame in keys),
    )  # fmt: skip


def scaled(prediction: Roto, truth: Roto, share: float) -> Roto:
    """The prediction with its errors, and what it expects of them, multiplied."""
    shapes = {}
    for name, shape in prediction.shapes.items():
        frames = {}
        for frame, entry in shape.frames.items():
            true = truth.shapes[name].frames[frame].points
            error = entry.expected_error_px
            frames[frame] = replace(
                entry,
                points=true + share * (entry.points - true),
                expected_error_px=None if error is None else share * error,
            )
        shapes[name] = replace(shape, frames=frames)
    tracks = {
        name: {
            frame: replace(point, xy=_between(truth.tracks[name][frame].xy, point.xy, share))
            for frame, point in track.items()
        }
        for name, track in prediction.tracks.items()
    }
    return replace(prediction, shapes=shapes, tracks=tracks)


def _between(
    true: tuple[float, float], drawn: tuple[float, float], share: float
) -> tuple[float, float]:
    return (true[0] + share * (drawn[0] - true[0]), true[1] + share * (drawn[1] - true[1]))


def _record(number: int, truth: Roto, frame: int) -> Record:
    """What the artist hands in: every shape and tracking point of a frame, as it truly is."""
    shapes = {}
    for name, shape in truth.shapes.items():
        entry = shape.frames[frame]
        points = [[rounded(value) for value in point] for point in entry.points.tolist()]
        drawn = ShapeEntry(
            points=points if entry.visible else None,
            visible=entry.visible,
            point_visible=entry.point_visible.tolist(),
        )
        shapes[name] = by_frame({frame: drawn})
    tracks = {
        name: {str(frame): TrackEntry(xy=[rounded(v) for v in track[frame].xy], visible=True)}
        for name, track in truth.tracks.items()
        if track[frame].visible
    }
    return Record(number=number, kind="edit", time="", who="artist", shapes=shapes, tracks=tracks)


def _put(roto: Roto, truth: Roto, frame: int) -> Roto:
    """One frame replaced by the truth, nothing else."""
    return replace(
        roto,
        shapes={
            name: replace(shape, frames={**shape.frames, frame: truth.shapes[name].frames[frame]})
            for name, shape in roto.shapes.items()
        },
    )


def _interpolated(truth: Roto, keys: list[int]) -> Roto:
    shapes = {}
    for name, shape in truth.shapes.items():
        frames: dict[int, ShapeFrame] = {}
        for frame in truth.frames:
            before = max(key for key in keys if key <= frame)
            after = min(key for key in keys if key >= frame)
            share = 0.0 if before == after else (frame - before) / (after - before)
            one, other = shape.frames[before], shape.frames[after]
            frames[frame] = replace(one, points=one.points + share * (other.points - one.points))
        shapes[name] = replace(shape, frames=frames)
    return replace(truth, shapes=shapes)


def calibration(first: FirstPass, touched: tuple[int, ...]) -> dict[str, float]:
    """After half of the touches: what the tool expects of drawings that follow, and what is so."""
    truth = first.truth
    half = touched[: max(1, len(touched) // 2)]
    roto = first.corrected([_record(i + 1, truth, frame) for i, frame in enumerate(half)])
    judge = Judge(truth)
    expected, actual = [], []
    for frame in truth.frames:
        for name, error in judge.errors(roto, frame).items():
            drawn = roto.shapes[name].frames[frame]
            if drawn.source == "propagated" and error.mean_px is not None:
                expected.append(drawn.expected_error_px or 0.0)
                actual.append(error.mean_px)
    return {
        "drawings": len(actual),
        "expected_px": float(np.mean(expected)) if expected else 0.0,
        "actual_px": float(np.mean(actual)) if actual else 0.0,
    }


def spread(first: FirstPass, every: int) -> dict[str, Any]:
    """Correct every nth frame; what becomes of the drawings on all other frames."""
    truth = first.truth
    corrected = sorted(truth.frames)[::every]
    after = first.corrected([_record(i + 1, truth, frame) for i, frame in enumerate(corrected)])
    judge = Judge(truth)
    others = [frame for frame in truth.frames if frame not in corrected]
    found: dict[str, Any] = {"shot": truth.shot, "every": every}
    for name, roto in (("before", first.roto), ("after", after)):
        errors = [e for frame in others for e in judge.errors(roto, frame).values()]
        found[name] = {
            "mean_px": float(np.mean([e.mean_px for e in errors if e.mean_px is not None])),
            "not_clean": float(np.mean([not e.clean for e in errors])),
        }
    return found


def measure(first: FirstPass, *, worst: str, rule: str) -> dict[str, Any]:
    """All ways of one shot."""
    truth = first.truth
    order: Order = worst_by_truth if worst == "true" else worst_by_tool
    ways: dict[str, Outcome] = {
        "laikaroto": touch(first, order=order, travel=True, rule=rule),
        "without": touch(first, order=order, travel=False, rule=rule),
        "keyframes": keyframes(truth, rule=rule),
    }
    frames = len(truth.frames)
    judge = Judge(truth)
    drawings = sum(len(judge.errors(truth, frame)) for frame in truth.frames)
    touched = ways["laikaroto"].touched
    return {
        "shot": truth.shot,
        "frames": frames,
        "clean_at_first": ways["laikaroto"].clean_after[0],
        "per_100": {name: 100 * len(way.touched) / frames for name, way in ways.items()},
        "drawings_per_100": {n: 100 * way.drawings / drawings for n, way in ways.items()},
        "looks_per_100": {name: 100 * way.looks / frames for name, way in ways.items()},
        "clean_after": {name: list(way.clean_after) for name, way in ways.items()},
        "seconds_per_propagation": ways["laikaroto"].seconds / max(1, len(touched)),
        "calibration": calibration(first, touched or (min(truth.frames),)),
    }


@click.command()
@click.argument("files", nargs=-1, required=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path))  # fmt: skip
@click.option("--worst", type=click.Choice(["true", "tool"]), default="true", show_default=True)
@click.option("--error-scale", "scales", type=float, multiple=True, default=(1.0,))
@click.option("--every", type=click.IntRange(min=2), default=None,
              help="Only: correct every nth frame once, and measure all others.")  # fmt: skip
@click.option("--clean", "rule", type=click.Choice(["shapes", "frame"]), default="shapes",
              show_default=True, help="Each shape by itself, or the frame as a whole.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True)
def main(
    files: tuple[Path, ...],
    worst: str,
    rule: str,
    scales: tuple[float, ...],
    every: int | None,
    as_json: bool,
) -> None:
    """Touched frames per 100 of pairs of PREDICTION and TRUTH (roto.json)."""
    if len(files) % 2:
        raise click.UsageError("files come in pairs: PREDICTION TRUTH PREDICTION TRUTH …")
    results: list[dict[str, Any]] = []
    for prediction, truth in zip(files[::2], files[1::2], strict=True):
        true, drawn = read_roto(truth), read_roto(prediction)
        likeness = read_likeness(prediction.with_name(LIKENESS))
        for scale in scales:
            first = FirstPass(scaled(drawn, true, scale), true, likeness)
            if every is not None:
                results.append({"error_scale": scale} | spread(first, every))
                continue
            found = measure(first, worst=worst, rule=rule)
            results.append({"error_scale": scale, "worst": worst, "rule": rule} | found)
    if as_json:
        click.echo(json.dumps(results, indent=1))
        return
    if every is not None:
        click.echo("| shot | errors | mean px before | after | not clean before | after |")
        click.echo("|---|---|---|---|---|---|")
        for result in results:
            before, after = result["before"], result["after"]
            click.echo(
                f"| {result['shot']} | x {result['error_scale']:g} | {before['mean_px']:.2f} | "
                f"{after['mean_px']:.2f} | {before['not_clean']:.0%} | {after['not_clean']:.0%} |"
            )
        return
    click.echo(
        "| shot | errors | clean at first | laikaroto | without | keyframes | CPU s | "
        "drawings: laikaroto | without | keyframes |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|")
    for result in results:
        per, hand = result["per_100"], result["drawings_per_100"]
        click.echo(
            f"| {result['shot']} | x {result['error_scale']:g} | {result['clean_at_first']} of "
            f"{result['frames']} | {per['laikaroto']:.0f} | {per['without']:.0f} | "
            f"{per['keyframes']:.0f} | {result['seconds_per_propagation']:.2f} | "
            f"{hand['laikaroto']:.0f} | {hand['without']:.0f} | {hand['keyframes']:.0f} |"
        )


if __name__ == "__main__":
    main()
