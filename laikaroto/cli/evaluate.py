"""``laikaroto evaluate``: a published result measured against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.frames import format_frames

if TYPE_CHECKING:
    from laikaroto.training.evaluate import ErrorStats, Evaluation


@click.command()
@click.argument("shot")
@click.option("--character", help="The puppet; may be left out when the show has just one.")
@click.option(
    "--truth",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="roto.json to measure against.",
)
@click.option("--version", help="Published version, such as v002; the newest by default.")
@common_options
def evaluate(
    shot: str, character: str | None, truth: Path, version: str | None, configs: Path, as_json: bool
) -> None:
    """Measure a published version of SHOT against ground truth.

    Prints curve error, point error, overlap, chatter and the share of clean frames for every
    shape. Lengths are pixels of the full-size plate; docs/evaluate.md defines all figures.
    """
    from laikaroto.cli.published import find_version, pick_character
    from laikaroto.show import Show
    from laikaroto.sidecar.schema import read_roto
    from laikaroto.training.evaluate import evaluate as measure

    show = Show.open(configs)
    character = pick_character(show, character)
    version, folder = find_version(show, shot=shot, character=character, version=version)
    result = measure(read_roto(folder / "roto.json"), read_roto(truth))
    if as_json:
        print_json(result.to_dict())
    else:
        print_evaluation(result)


def print_evaluation(result: Evaluation) -> None:
    """Print an evaluation as a table for people, then what stands out."""
    from rich.console import Console
    from rich.table import Table

    name = f"{result.shot} {result.character} {result.version}"
    table = Table(title=f"{name}, px at {result.width} wide")
    table.add_column("shape")
    for name in ("curve mean", "curve p95", "points mean", "IoU", "chatter", "missing"):
        table.add_column(name, justify="right")
    for name, curve in result.curves.items():
        table.add_row(
            name,
            *_row(curve, result.points[name], result.iou.get(name), result.shape_chatter_px[name]),
            str(len(result.missing_shapes.get(name, ()))),
        )
    table.add_section()
    table.add_row(
        "all shapes",
        *_row(result.curves_all, result.points_all, result.iou_all, result.shape_chatter_all_px),
        str(sum(len(frames) for frames in result.missing_shapes.values())),
        style="bold",
    )
    console = Console()
    console.print(table)
    for line in _lines(result):
        console.print(line, highlight=False, markup=False)


def _row(
    curve: ErrorStats, points: ErrorStats, iou: float | None, chatter: float | None
) -> list[str]:
    lengths = [_number(length) for length in (curve.mean_px, curve.p95_px, points.mean_px)]
    return [*lengths, _number(iou, 3), _number(chatter)]


def _number(value: float | None, decimals: int = 2) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _lines(result: Evaluation) -> list[str]:
    tracks = result.tracks_all
    bad = [frame for frame, error in result.frames.items() if not error.clean]
    lines = [
        f"tracking points: mean {_number(tracks.mean_px)}, median {_number(tracks.median_px)}, "
        f"p95 {_number(tracks.p95_px)} px; chatter {_number(result.track_chatter_all_px)} px",
        f"clean frames: {_share(result.clean_share)} (every shape: mean at most "
        f"{result.clean_mean_limit_px:.2f}, p95 at most {result.clean_p95_limit_px:.2f} px)",
        f"flagged: {_share(result.flag_recall)} of the frames that are not clean, "
        f"{_share(result.clean_flagged_share)} of the clean ones",
        "visibility right: "
        + ", ".join(
            f"{name} {_share(agreement.accuracy)}"
            for name, agreement in (
                ("tracking points", result.track_visibility),
                ("control points", result.point_visibility),
                ("shapes", result.shape_visibility),
            )
        ),
    ]
    if bad:
        lines.append(f"not clean: {format_frames(bad)}")
    for kind, missing in (("shape", result.missing_shapes), ("point", result.missing_tracks)):
        lines += [f"missing {kind} {n}: {format_frames(frames)}" for n, frames in missing.items()]
    if result.unknown_shapes:
        lines.append(f"not in the truth, not measured: {', '.join(result.unknown_shapes)}")
    return lines
