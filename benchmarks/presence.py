"""Does the finder know when there is no puppet?  ``python -m benchmarks.presence --models DIR``.

Looks at frames with the puppet, and at four kinds of frames without: clean plates (rendered or
photographed without it), the plate beside the head at its own scale, plates whose head is
pasted over with what is beside it, and an even grey. Prints what ``found`` and the drawer's
expected error (median of the points, as a share of the head's side) say of each: the two
figures by which ``tracking.solve`` tells whether there is a puppet. Shots that the model was
not trained on say most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.plates import DEV, Source, find_source
from laikaroto.bundled import bundled
from laikaroto.config import PlateConfig
from laikaroto.coords import FloatArray
from laikaroto.model.crop import Box, box_around
from laikaroto.model.engine import Engine
from laikaroto.model.package import current_version, load_package
from laikaroto.plate.exr import read_rgb
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.schema import read_roto

Image = NDArray[np.float32]
CONFIG = PlateConfig(template="{shot}{frame}")
_SMALLEST = 0.08  # a piece beside the head is at least this share of the plate's width, both ways
_GREY = 0.18


def head_box(roto: Roto, frame: int) -> Box:
    """Where the truth has the head."""
    points = [track[frame].xy for track in roto.tracks.values() if frame in track]
    for shape in roto.shapes.values():
        if frame in shape.frames:
            points += [(x, y) for x, y in shape.frames[frame].points[:, :2]]
    return box_around(np.array(points))


def beside(plate: Image, head: Box) -> list[Image]:
    """What is left, right, above and below of the head's box, if it is not too little."""
    height, width = plate.shape[:2]
    x0, x1 = (int(np.clip(head.x + s * head.side / 2, 0, width)) for s in (-1, 1))
    y0, y1 = (int(np.clip(head.y + s * head.side / 2, 0, height)) for s in (-1, 1))
    parts = (plate[:, :x0], plate[:, x1:], plate[:y0], plate[y1:])
    return [part for part in parts if min(part.shape[:2]) >= _SMALLEST * width]


def pasted_over(plate: Image, head: Box) -> list[Image]:
    """The plate with its head covered by the largest part beside it, stretched."""
    parts = beside(plate, head)
    if not parts:
        return []
    height, width = plate.shape[:2]
    x0, x1 = (int(np.clip(head.x + s * head.side / 2, 0, width)) for s in (-1, 1))
    y0, y1 = (int(np.clip(head.y + s * head.side / 2, 0, height)) for s in (-1, 1))
    covered = plate.copy()
    largest = max(parts, key=lambda part: part.shape[0] * part.shape[1])
    covered[y0:y1, x0:x1] = cv2.resize(np.ascontiguousarray(largest), (x1 - x0, y1 - y0))
    return [covered]


def kinds(source: Source, every: int) -> Iterator[tuple[str, list[Image]]]:
    """Pictures of a shot by kind."""
    roto = read_roto(source.truth)
    found: dict[str, list[Image]] = {"puppet": [], "beside the head": [], "head pasted over": []}
    for path in source.plates[::every]:
        plate = read_rgb(path, CONFIG)
        head = head_box(roto, int(path.suffixes[-2].lstrip(".")))
        found["puppet"].append(plate)
        found["beside the head"] += beside(plate, head)
        found["head pasted over"] += pasted_over(plate, head)
    yield from found.items()


def _read_one(picture: Image, frames: Sequence[int]) -> Iterator[tuple[int, Image]]:
    return iter([(frame, picture) for frame in frames])


def judge(engine: Engine, pictures: Sequence[Image]) -> FloatArray:
    """(N, 2): found, and expected error as a share of the head."""
    rows = []
    for number, picture in enumerate(pictures):
        seen = engine.predict([number], partial(_read_one, picture))
        rows.append((seen.found[0], np.median(seen.error_px[0]) / seen.box[0, 2]))
    return np.array(rows)


@click.command()
@click.option(
    "--models",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Models folder of the puppet, such as demo/sample/models/hero.",
)
@click.option("--every", default=2, show_default=True, help="Look at every so many frames.")
def main(models: Path, every: int) -> None:
    """Print a Markdown table."""
    engine = Engine(load_package(models / str(current_version(models))))
    shots = [find_source(bundled("sample"), "ta01")]
    roots = [bundled("sample")]
    if DEV.is_dir():
        shots += [find_source(DEV, shot) for shot in ("ev100", "ev110")]
        roots.append(DEV)
    click.echo("| shot | what | n | found least | median | most | error share least | most |")
    click.echo("|---|---|---|---|---|---|---|---|")

    def row(shot: str, what: str, pictures: Sequence[Image]) -> None:
        if len(pictures):
            found, share = judge(engine, pictures).T
            click.echo(
                f"| {shot} | {what} | {len(pictures)} | {found.min():.3f} | "
                f"{np.median(found):.3f} | {found.max():.3f} | {share.min():.2%} | "
                f"{share.max():.2%} |"
            )

    for source in shots:
        for what, pictures in kinds(source, every):
            row(source.shot, what, pictures)
    for root in roots:
        for folder in sorted((root / "reference" / "clean_plate").iterdir()):
            row(folder.name, "clean plate", [read_rgb(p, CONFIG) for p in folder.glob("*.exr")])
    row("–", "even grey", [np.full((360, 640, 3), _GREY, np.float32)])


if __name__ == "__main__":
    main()
