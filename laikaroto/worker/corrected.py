"""A new version of a shot from what artists corrected: no network, seconds.

The start is always what the model drew (``solved.json`` of the newest version, or its
roto.json where nobody had corrected anything) and what it saw (``likeness.npz``); all corrections
that hold are applied to it. Mattes are drawn anew only where a shape changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from laikaroto.correction.apply import correct
from laikaroto.correction.likeness import LIKENESS, Likeness, read_likeness
from laikaroto.correction.log import read_log
from laikaroto.correction.standing import stand
from laikaroto.errors import CorrectionError, SidecarError, write_failure
from laikaroto.matte.layers import matte_layers
from laikaroto.shapes.records import Roto, ShapeFrame
from laikaroto.show import Show
from laikaroto.sidecar.publish import building, latest_version
from laikaroto.sidecar.publish import publish as publish_version
from laikaroto.sidecar.schema import read_roto, roto_bytes, write_roto
from laikaroto.worker.shot_report import write_report

Report = Callable[[float, str], None]

#: What the model drew, in a version that holds corrections.
SOLVED = "solved.json"


def read_solved(folder: Path) -> Roto:
    """What the model drew, of a published version.

    Raises:
        SidecarError: the version is damaged.
    """
    path = folder / SOLVED
    return read_roto(path if path.is_file() else folder / "roto.json")


def refuse_locked_shot(show: Show, *, shot: str, character: str) -> None:
    """Raise CorrectionError if a person has locked the whole shot: no job touches it."""
    lock = stand(read_log(show.corrections_file(shot, character)).records).shot_lock
    if lock is not None:
        raise CorrectionError(
            f"shot {shot}, character {character}: locked by {lock.who} at {lock.time} (record "
            f"{lock.number}); unlock it with 'laikaroto correct {shot} --character {character} "
            "--unlock all'"
        )


def with_new_corrections(show: Show, solved: Roto, drawn: Roto, likeness: Likeness) -> Roto:
    """``drawn``, or the same with the corrections that came in since it was made."""
    log = read_log(show.corrections_file(drawn.shot, drawn.character))
    seen = drawn.provenance.get("corrections_file", {})
    if log.digest == seen.get("sha256", ""):
        return drawn
    return correct(solved, log, show.character(drawn.character).review, likeness)


@contextmanager
def publishing(parent: Path) -> Iterator[None]:
    """Only one process at a time decides what the newest version of a shot holds.

    Else one that read the corrections before another one's came in could publish after it,
    and the newest version would lack them.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(parent, os.O_RDONLY)
    except OSError as error:
        raise write_failure(parent, error) from error
    try:
        with suppress(OSError):  # no locks on folders here (NFS): the next publish mends it
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def publish_corrections(show: Show, *, shot: str, character: str, report: Report) -> str | None:
    """Make the next version of a shot from its newest one and all corrections that hold.

    Returns:
        The version; None where it would be as the newest one is.

    Raises:
        CorrectionError: the shot is locked, the corrections file is damaged or does not fit.
        SidecarError: nothing is published yet, or the newest version is damaged.
        TryAgainError: the disk refuses; earlier versions are intact.
    """
    refuse_locked_shot(show, shot=shot, character=character)
    parent = show.sidecar_folder(shot, character, "v001").parent
    with publishing(parent):
        version = latest_version(parent)
        if version is None:
            raise SidecarError(f"shot {shot}, character {character}: nothing is published yet")
        newest = parent / version
        report(0.05, f"reading {version}")
        published, solved = read_roto(newest / "roto.json"), read_solved(newest)
        log = read_log(show.corrections_file(shot, character))
        likeness = read_likeness(newest / LIKENESS)
        by = "" if likeness.frames else f", by time alone: {version} has no {LIKENESS}"
        report(0.1, f"carrying corrections to other frames{by}")
        roto = correct(solved, log, show.character(character).review, likeness)
        if roto_bytes(replace(roto, version=version)) == roto_bytes(published):
            report(1.0, f"{version} holds all of it already")
            return None
        with building(parent) as build:
            report(0.2, "mattes")
            _take_mattes(newest, build)
            take_likeness(newest, build)
            redraw_mattes(show, build / "matte", published, roto)
            token, former = secrets.token_hex(16), _report(newest)

            def stamp(number: str, target: Path) -> None:
                stamped = replace(roto, version=number)
                write_roto(target / "roto.json", stamped)
                write_roto(target / SOLVED, replace(solved, version=number))
                write_report(target, stamped, job=token, **former)

            report(0.8, "writing manifest")
            made = publish_version(build, parent, stamp=stamp)
    report(1.0, f"{made} published")
    return made


def redraw_mattes(show: Show, folder: Path, before: Roto, after: Roto) -> int:
    """Draw the mattes in a folder anew where a shape of theirs changed.

    Args:
        show: the show.
        folder: mattes of ``before``, in a build folder.
        before: what they were drawn from.
        after: what they shall show; of the same shot.

    Returns:
        How many were drawn.
    """
    if before is after or not folder.is_dir():
        return 0
    config = show.character(after.character).mattes
    closed = [name for name, shape in after.shapes.items() if shape.closed]
    drawn = 0
    for layer, names in matte_layers(config, closed).items():
        for frame in after.frames:
            path = folder / f"{layer}.{frame:04d}.exr"
            if path.is_file() and all(
                _same(before.shapes[name].frames[frame], after.shapes[name].frames[frame])
                for name in names
            ):
                continue
            write_matte_layer(path, after, names, frame, channels=config.channels)
            drawn += 1
    return drawn


def write_matte_layer(
    path: Path,
    roto: Roto,
    names: Sequence[str],
    frame: int,
    *,
    channels: Literal["RGBA", "A"],
) -> None:
    """Rasterise some shapes of a frame as one matte."""
    from laikaroto.matte.exr import write_matte
    from laikaroto.matte.rasterize import rasterize

    shapes = [roto.shapes[name].frames[frame] for name in names]
    cover = rasterize(
        [shape.points for shape in shapes if shape.visible],
        width=roto.plate.width,
        height=roto.plate.height,
    )
    write_matte(
        path,
        cover,
        channels=channels,
        fps=roto.plate.fps,
        pixel_aspect=roto.plate.pixel_aspect,
        frame=frame,
    )


def take_likeness(source: Path, build: Path) -> None:
    """Copy what the model saw of a shot from one folder to another, if it is known."""
    if not (source / LIKENESS).is_file():
        return
    try:
        shutil.copyfile(source / LIKENESS, build / LIKENESS)
    except OSError as error:
        raise write_failure(build / LIKENESS, error) from error


def _take_mattes(newest: Path, build: Path) -> None:
    if not (newest / "matte").is_dir():
        return
    try:
        shutil.copytree(newest / "matte", build / "matte")
    except (OSError, shutil.Error) as error:
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise write_failure(build / "matte", cause) from error


def _same(one: ShapeFrame, other: ShapeFrame) -> bool:
    if not one.visible and not other.visible:
        return True
    return one.visible == other.visible and bool(np.array_equal(one.points, other.points))


def _report(folder: Path) -> dict[str, Any]:
    """What of a version's report holds for the next one, which is drawn from the same plates."""
    try:
        document: Mapping[str, Any] = json.loads((folder / "report.json").read_bytes())
        return {"model": str(document["model"]), "plates": document.get("plates")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SidecarError(f"{folder / 'report.json'}: is damaged: {error}") from error
