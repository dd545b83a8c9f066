"""The tasks of a shot's job: check, predict, solve, mattes, publish, review.

Each step reads what the ones before left in the job's working folder (``shot_job``), may run
on another host, and may be run again after a crash. ``predict`` and ``mattes`` are cut into
chunks of frames that run side by side; only ``publish`` and ``review`` write outside the
folder.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laikaroto import __version__
from laikaroto.ahead import usable_threads
from laikaroto.character.template import template_digest
from laikaroto.correction.apply import correct
from laikaroto.correction.likeness import likeness_of, read_likeness, write_likeness
from laikaroto.correction.log import read_log
from laikaroto.errors import LaikarotoError, ModelError, write_failure
from laikaroto.frames import format_frames
from laikaroto.matte.layers import matte_layers
from laikaroto.model.package import ModelPackage, load_package, resolve_version
from laikaroto.plate.scan import scan_digest, scan_plates
from laikaroto.plate.sequence import check_sequence, digest_sequence, find_sequence
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.files import sweep
from laikaroto.sidecar.publish import building, versions
from laikaroto.sidecar.publish import publish as publish_version
from laikaroto.sidecar.schema import read_roto, write_roto
from laikaroto.worker.corrected import (
    SOLVED,
    publishing,
    redraw_mattes,
    refuse_locked_shot,
    take_likeness,
    with_new_corrections,
    write_matte_layer,
)
from laikaroto.worker.lease import check_lease
from laikaroto.worker.redo import Redo, needless
from laikaroto.worker.shot_job import JobFolder, ShotJob
from laikaroto.worker.shot_report import write_report

if TYPE_CHECKING:
    from laikaroto.model.predictions import Predictions

Report = Callable[[float, str], None]

#: Memory that plates read ahead of their use may take, beside those being drawn.
_READ_BYTES = 256 * 2**20


def check(
    show: Show,
    *,
    shot: str,
    character: str,
    frames: Sequence[int] | None,
    model: str,
    run: Path,
    report: Report,
    redo: Redo | None = None,
) -> None:
    """Check plates and model, and write down what the later tasks work on.

    Args:
        show: the show.
        shot: its name.
        character: its name.
        frames: which; None for every one from the first to the last.
        model: version of the model, or ``current``: what that is now, it stays for this job.
        run: working folder of the job.
        report: told how far it is.
        redo: for a shot that is done again: when to leave it as it is after all. What is to be
            done again was decided when the job was submitted; meanwhile a training may have
            ended without a better model, or a person approved the shot.

    Raises:
        UsageError: there is no such shot or character.
        PlateError: a plate is missing, damaged or of another size; every fault is told.
        ModelError: there is no such model, or it is damaged.
        ConfigError: the mattes do not fit the character's shapes.
        CorrectionError: the shot is locked.
    """
    if redo is not None and (why := needless(show, shot=shot, character=character, redo=redo)):
        JobFolder(run).write_needless(why)
        report(1.0, f"{shot}: nothing to do: {why}")
        return
    if redo is None or not redo.force:
        refuse_locked_shot(show, shot=shot, character=character)
    job = _decide(show, shot, character, frames, model, report)
    JobFolder(run).begin(job)
    report(1.0, f"{shot}: {len(job.frames)} frames, model {job.model}")


def _decide(
    show: Show, shot: str, character: str, frames: Sequence[int] | None, model: str, report: Report
) -> ShotJob:
    """Check plates and model; what the job is about."""
    config, plates = show.character(character), show.configs.show.plates
    report(0.0, f"{shot}: checking plates")
    sequence = find_sequence(show.plate_template(shot), shot=shot)
    header = check_sequence(sequence, plates, frames)
    scan = scan_plates(show.plate_template(shot), shot=shot)  # before they are read
    wanted = sequence.frames if frames is None else tuple(sorted(set(frames)))
    report(0.3, f"{shot}: checking the model of {character}")
    models = show.models_folder(character)
    package = load_package(models / resolve_version(models, model))
    if package.template.character != character:
        raise ModelError(
            f"{package.folder}: is a model of {package.template.character!r}, wanted {character!r}"
        )
    matte_layers(config.mattes, package.template.closed_shapes())
    report(0.5, f"{shot}: reading {len(wanted)} plates for their checksum")
    return ShotJob(
        shot=shot,
        character=character,
        frames=wanted,
        width=header.width,
        height=header.height,
        pixel_aspect=header.pixel_aspect,
        fps=show.configs.show.fps,
        plates_digest=digest_sequence(sequence, wanted),
        plates_scan=scan_digest(scan, wanted),
        plates_whole=wanted == sequence.frames,
        model=package.version,
        model_digest=package.digest,
        template=template_digest(package.template),
        laikaroto=__version__,
        token=secrets.token_hex(16),
    )


def predict(
    show: Show,
    *,
    shot: str,
    character: str,
    frames: Sequence[int] | None,
    run: Path,
    report: Report,
) -> None:
    """Run the networks over some frames and keep what they say.

    Raises:
        UsageError: frames that were not checked. PlateError: a plate cannot be read.
        ModelError: the model is damaged or was changed since the check.
    """
    import cv2

    from laikaroto.model.engine import Engine
    from laikaroto.model.predictions import write_predictions
    from laikaroto.plate.reading import read_ahead

    folder = JobFolder(run)
    if _nothing_to_do(folder, report):
        return
    job = folder.read_job(shot=shot, character=character)
    chosen = job.pick(frames)
    path = folder.predictions / f"{chosen[0]}-{chosen[-1]}.npz"
    sweep(folder.predictions, names=[path.name])
    report(0.0, "loading the model")
    threads = usable_threads()
    cv2.setNumThreads(1)  # whole frames are worked on side by side, not rows of one
    engine = Engine(_package(show, job), threads=threads)
    sequence = find_sequence(show.plate_template(shot), shot=shot)
    config = show.configs.show.plates
    # a second one waits for a slow disk or server while the first decodes
    readers = max(threads, 2)
    depth = max(2, min(readers + 2, _READ_BYTES // (job.width * job.height * 3 * 4)))

    def read(numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        return read_ahead(sequence, numbers, config, threads=readers, depth=depth)

    earlier = [frame for frame in job.frames if frame < chosen[0]]
    predictions = engine.predict(
        chosen, read, before=earlier[-1] if earlier else None, report=report
    )
    write_predictions(path, predictions)
    report(1.0, f"frames {format_frames(chosen)} predicted")


def solve(show: Show, *, shot: str, character: str, run: Path, report: Report) -> None:
    """Settle the whole shot, apply what artists corrected, and write roto.json.

    Raises:
        LaikarotoError: predictions of some frames are missing.
        CorrectionError: the corrections file is damaged, or does not fit the model.
    """
    from laikaroto.tracking.solve import solve_shot

    folder = JobFolder(run)
    if _nothing_to_do(folder, report):
        return
    job = folder.read_job(shot=shot, character=character)
    sweep(run, names=[folder.roto.name, folder.solved.name, folder.likeness.name])
    package = _package(show, job)
    report(0.1, "reading predictions")
    predictions = _gather(folder, job)
    report(0.3, f"settling {len(job.frames)} frames")
    solved = solve_shot(
        predictions,
        package.template,
        shot=shot,
        plate=job.plate,
        review=show.character(character).review,
        provenance=_provenance(package, job),
        prior=package.prior,
        calibration=package.info.calibration,
    )
    write_roto(folder.solved, solved)
    write_likeness(folder.likeness, likeness_of(predictions, package.template))
    report(0.8, "applying corrections")
    log = read_log(show.corrections_file(shot, character))
    # from the files, as later versions will: they differ in the rounding
    review, likeness = show.character(character).review, read_likeness(folder.likeness)
    roto = correct(read_roto(folder.solved), log, review, likeness)
    report(0.9, "writing roto.json")
    write_roto(folder.roto, roto)
    flagged = sum(note.flagged for note in roto.frames.values())
    report(1.0, f"settled; {flagged} of {len(job.frames)} frames to look at")


def mattes(
    show: Show,
    *,
    shot: str,
    character: str,
    frames: Sequence[int] | None,
    run: Path,
    report: Report,
) -> None:
    """Rasterise the mattes of some frames: one file for each layer, empty where all is hidden.

    Raises:
        SidecarError: the shot is not settled yet.
    """
    folder = JobFolder(run)
    if _nothing_to_do(folder, report):
        return
    job = folder.read_job(shot=shot, character=character)
    roto = read_roto(folder.roto)
    config = show.character(character).mattes
    layers = _layers(show, character, roto)
    chosen = job.pick(frames)
    own = [folder.matte(layer, frame).name for layer in layers for frame in chosen]
    sweep(folder.mattes, names=frozenset(own))
    for count, frame in enumerate(chosen):
        for layer, names in layers.items():
            path = folder.matte(layer, frame)
            write_matte_layer(path, roto, names, frame, channels=config.channels)
        report((count + 1) / len(chosen), f"frame {frame}: {len(layers)} mattes")


def publish(show: Show, *, shot: str, character: str, run: Path, report: Report) -> str | None:
    """Make the job's result the next version of the shot; done twice, it is one version.

    Returns:
        The version; None where there was nothing to do.

    Raises:
        SidecarError: something is missing from the result.
        TryAgainError: the disk refuses; earlier versions are intact.
    """
    folder = JobFolder(run)
    if _nothing_to_do(folder, report):
        return None
    job = folder.read_job(shot=shot, character=character)
    parent = show.sidecar_folder(shot, character, "v001").parent
    sweep(run, names=[folder.published.name])
    if (version := folder.read_published() or _published_before(parent, job)) is not None:
        folder.write_published(version)
        report(1.0, f"{version} was published before")
        return version
    drawn = read_roto(folder.roto)
    layers = _layers(show, character, drawn)
    sweep(folder.predictions)
    sweep(folder.mattes)
    with publishing(parent), building(parent) as build:
        _copy_mattes(folder, build, job, list(layers), report)
        take_likeness(run, build)
        solved = read_roto(folder.solved)
        roto = with_new_corrections(show, solved, drawn, read_likeness(folder.likeness))
        redraw_mattes(show, build / "matte", drawn, roto)

        def stamp(version: str, target: Path) -> None:
            stamped = replace(roto, version=version)
            write_roto(target / "roto.json", stamped)
            if roto.provenance["corrections"]:
                write_roto(target / SOLVED, replace(solved, version=version))
            plates = {"scan": job.plates_scan, "whole": job.plates_whole}
            write_report(target, stamped, job=job.token, model=job.model, plates=plates)

        report(0.9, "writing manifest")
        version = publish_version(build, parent, stamp=stamp, permit=check_lease)
    folder.write_published(version)
    report(1.0, f"{version} published")
    return version


def review(show: Show, *, shot: str, character: str, run: Path, report: Report) -> None:
    """Write the review page of the version that this job has published.

    Raises:
        LaikarotoError: nothing is published yet.
    """
    from laikaroto.review.version import review_version

    folder = JobFolder(run)
    if _nothing_to_do(folder, report):
        return
    folder.read_job(shot=shot, character=character)
    version = folder.read_published()
    if version is None:
        raise LaikarotoError(f"shot {shot}: is not published yet; run the publish task first")
    report(0.1, "making the review page")
    page = review_version(show, shot=shot, folder=show.sidecar_folder(shot, character, version))
    report(1.0, f"review page {page}")


def _nothing_to_do(folder: JobFolder, report: Report) -> bool:
    """Whether the check found that the shot is to stay as it is."""
    why = folder.read_needless()
    if why is not None:
        report(1.0, f"nothing to do: {why}")
    return why is not None


def _package(show: Show, job: ShotJob) -> ModelPackage:
    """The model that the check has chosen."""
    package = load_package(show.models_folder(job.character) / job.model)
    if package.digest != job.model_digest:
        raise ModelError(
            f"{package.folder}: is not the model that this job was checked with; submit it again"
        )
    return package


def _gather(folder: JobFolder, job: ShotJob) -> Predictions:
    """Predictions of all frames, each once."""
    from laikaroto.model.predictions import join_predictions, read_predictions

    chunks = [read_predictions(path) for path in sorted(folder.predictions.glob("[!.]*.npz"))]
    there = {int(frame) for chunk in chunks for frame in chunk.frames}
    if missing := sorted(set(job.frames) - there):
        raise LaikarotoError(
            f"shot {job.shot}: frames {format_frames(missing)} are not predicted in "
            f"{folder.predictions}; run their predict tasks again"
        )
    return join_predictions(chunks).pick(job.frames)


def _provenance(package: ModelPackage, job: ShotJob) -> dict[str, Any]:
    return {
        "model": {"version": package.version, "sha256": package.digest},
        "template": {"sha256": job.template},
        "laikaroto": job.laikaroto,
        "plates": {"frames": format_frames(job.frames), "sha256": job.plates_digest},
        "corrections": [],
        "seed": package.info.seed,
    }


def _layers(show: Show, character: str, roto: Roto) -> dict[str, tuple[str, ...]]:
    closed = [name for name, shape in roto.shapes.items() if shape.closed]
    return matte_layers(show.character(character).mattes, closed)


def _published_before(parent: Path, job: ShotJob) -> str | None:
    """The version that an earlier attempt published but did not live to tell."""
    for version in reversed(versions(parent)):
        try:
            document = json.loads((parent / version / "report.json").read_bytes())
        except (OSError, ValueError):
            continue
        if document.get("job") == job.token:
            return version
    return None


def _copy_mattes(
    folder: JobFolder, build: Path, job: ShotJob, layers: Sequence[str], report: Report
) -> None:
    paths = [(folder.matte(layer, frame), frame) for frame in job.frames for layer in layers]
    if missing := sorted({frame for path, frame in paths if not path.is_file()}):
        raise LaikarotoError(
            f"shot {job.shot}: mattes of frames {format_frames(missing)} are missing in "
            f"{folder.mattes}; run their matte tasks again"
        )
    target = build / "matte"
    try:
        target.mkdir()
        for count, (path, frame) in enumerate(paths):
            shutil.copyfile(path, target / path.name)
            report(0.9 * (count + 1) / len(paths), f"frame {frame} copied")
    except OSError as error:
        raise write_failure(target, error) from error
