"""The tasks of a training job up to its figures: prepare, train, evaluate.

Each step reads what the one before left in the job's working folder and may be run again
after a crash. None writes outside it: ``worker.packaging`` does.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laikaroto.character.flips import check_flips
from laikaroto.character.template import read_template, write_template
from laikaroto.character.truth import check_truth
from laikaroto.config import parse_duration
from laikaroto.correction.training_set import corrected_shots, training_set_digest
from laikaroto.errors import ConfigError, TruthError
from laikaroto.model import package as models
from laikaroto.model.decisions import figures
from laikaroto.plate.exr import PlateHeader
from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import PlateSequence, check_sequence, find_sequence
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.files import sweep, write_file
from laikaroto.sidecar.schema import read_roto
from laikaroto.stopping import Stop
from laikaroto.training.meeting import ALONE, Meeting
from laikaroto.worker.green_card import card_behind, cards_digest, find_cards
from laikaroto.worker.lease import check_lease
from laikaroto.worker.warm_start import find_source, open_source, shots_to_hold_out

if TYPE_CHECKING:
    from laikaroto.training.loop import Course
    from laikaroto.training.processes import Peers

Report = Callable[[float, str], None]


def gather(show: Show, character: str) -> list[tuple[Roto, PlateSequence, PlateHeader]]:
    """Truth and plates of every training shot, all checked before any of them is used.

    Raises:
        TruthError: no truth, or faults in it: all of them.
        PlateError: plates missing, damaged or of another size.
        ConfigError: the held-out shots are no training shots, or all of them.
    """
    template = read_template(show.template_file(character))
    shots = show.truth_shots(character)
    if not shots:
        raise TruthError(
            f"character {character!r} has no ground truth to learn from; import some with "
            f"'laikaroto truth import {character} FILE…'"
        )
    _check_held_out(show, character, shots)
    found, faults = [], []
    for shot in shots:
        path = show.truth_file(character, shot)
        if not path.is_file():
            raise TruthError(
                f"shot {shot}: there is no ground truth {path}; import it with 'laikaroto truth "
                f"import {character} FILE…' or take it out of training_shots"
            )
        roto = read_roto(path)
        sequence = find_sequence(show.plate_template(shot), shot=shot)
        header = check_sequence(sequence, show.configs.show.plates, tuple(sorted(roto.frames)))
        faults += check_truth(
            roto, template, plate_frames=sequence.frames, plate_size=(header.width, header.height)
        )
        found.append((roto, sequence, header))
    faults += check_flips([roto for roto, _, _ in found])
    errors = [str(fault) for fault in faults if fault.severity == "error"]
    if errors:
        raise TruthError("\n".join(["ground truth cannot be learned from:", *errors]))
    return found


def _check_held_out(show: Show, character: str, shots: Sequence[str]) -> None:
    wanted = show.character(character).training.validation_shots
    where = f"characters/{character}.yaml: training.validation_shots"
    if unknown := set(wanted) - set(shots):
        raise ConfigError(
            f"{where}: {sorted(unknown)} are not training shots; those are: {', '.join(shots)}"
        )
    if wanted and not set(shots) - set(wanted):
        raise ConfigError(f"{where}: holds out every training shot; leave one to learn from")


def truth_digest(show: Show, character: str) -> str:
    """SHA-256 of the template, ground truth, corrections, renders and what they are made for.

    Pictures of renders and green cards count by size and time: there may be thousands.
    """
    settings = show.character(character).training
    total = hashlib.sha256(f"{settings.crop_px} {settings.mirror}\n".encode())
    if folders := show.renders_folders(character):
        total.update(f"{settings.renders.share}\n".encode())
        for path in (p for folder in folders for p in sorted(folder.glob("*"))):
            if path.suffix == ".json":
                total.update(path.read_bytes())
            else:
                found = path.stat()
                total.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    total.update(cards_digest(show, character).encode())
    total.update(training_set_digest(show, character).encode())
    return total.hexdigest()


def prepare(show: Show, *, character: str, run: Path, report: Report) -> None:
    """Check truth, plates and renders; put small log-encoded pictures into the job's folder."""
    from laikaroto.training.choices import check_choices
    from laikaroto.training.examples import finder_size, write_example
    from laikaroto.training.renders import find_renders, write_renders
    from laikaroto.training.run import DatasetIndex, write_index, write_mirrored

    settings = show.character(character).training
    check_choices(character, settings)
    sweep(run, run / "dataset", run / "renders")
    template = read_template(show.template_file(character))
    material = gather(show, character)
    renders = find_renders(show.renders_folders(character), template)
    finder = finder_size(material[0][2].width, material[0][2].height)
    corrected = {shot.roto.shot: shot for shot in corrected_shots(show, character, template)}
    for shot in corrected.values():
        material.append(_corrected_plates(show, shot.roto))
    cards = {roto.shot: find_cards(show, roto, header) for roto, _, header in material}
    total = sum(len(roto.frames) for roto, _, _ in material)
    done = 0
    for roto, sequence, _ in material:
        frames = sorted(roto.frames)
        artist = corrected[roto.shot].artist if roto.shot in corrected else {}
        for frame, rgb in read_ahead(sequence, frames, show.configs.show.plates):
            write_example(
                run / "dataset", roto, frame, rgb, template, crop_px=settings.crop_px,
                finder=finder, artist=artist.get(frame),
                behind=card_behind(show, cards[roto.shot], frame),
            )  # fmt: skip
            done += 1
            report(done / total, f"prepared {roto.shot} frame {frame}")
    rotos = [roto for roto, _, _ in material]
    write_renders(run / "renders", renders, template, rotos, crop_px=settings.crop_px)
    write_template(run / "template.json", template)
    index = DatasetIndex(
        character=character,
        truth=truth_digest(show, character),
        crop_px=settings.crop_px,
        finder_size=finder,
        mirror=settings.mirror,
        frames={roto.shot: tuple(sorted(roto.frames)) for roto, _, _ in material},
        plates={roto.shot: asdict(roto.plate) for roto, _, _ in material},
        renders=tuple(render.name for render in renders),
        renders_share=settings.renders.share if renders else 0.0,
        corrected=tuple(corrected),
    )
    if settings.mirror == "auto":
        write_mirrored(run, index, template, report)
    write_index(run, index)
    if show.configs.show.green_card is not None:
        seen = sum(len(found.frames) for found in cards.values() if found is not None)
        report(1.0, f"{seen} of {total} frames have a green-card exposure")
    if renders:
        report(1.0, f"prepared {len(renders)} renders")


def _corrected_plates(show: Show, roto: Roto) -> tuple[Roto, PlateSequence, PlateHeader]:
    """Plates of the frames that artists corrected in a published shot."""
    sequence = find_sequence(show.plate_template(roto.shot), shot=roto.shot)
    header = check_sequence(sequence, show.configs.show.plates, tuple(sorted(roto.frames)))
    return roto, sequence, header


def train(
    show: Show,
    *,
    character: str,
    budget_s: float | None,
    init_from: str | None,
    run: Path,
    report: Report,
    meeting: Meeting = ALONE,
    stop: Stop | None = None,
) -> None:
    """Train until the budget is used; goes on where a killed attempt left off.

    Args:
        show: the show.
        character: who is learned.
        budget_s: wall time; None for the character's own.
        init_from: model to begin with, as ``warm_start.find_source`` takes it.
        run: the job's working folder.
        report: told of progress.
        meeting: the processes that train together.
        stop: a wish to end, obeyed after the step at hand, with a checkpoint.

    Raises:
        TryAgainError: told to stop, another process was lost, or the disk refuses; start it again.
    """
    from laikaroto.training.loop import threads_for
    from laikaroto.training.processes import together

    def helper(filled: Meeting, number: int) -> Sequence[str]:
        host, port = filled.place or ("", 0)
        rank = filled.node * filled.processes + number
        return [
            "worker", "train-helper", "--configs", str(show.configs.folder), "--run", str(run),
            "--character", character, "--rendezvous", f"{host}:{port}", "--rank", str(rank),
            "--count", str(filled.count),
        ]  # fmt: skip

    if meeting.node == 0:
        sweep(run)
    with together(meeting, helper, threads_for(meeting.processes)) as peers:
        told = report if peers.leads else _no_report  # one line a step says enough
        course, package = _open_course(
            show, character, budget_s, init_from, run, told, peers, meeting.processes
        )
        course = replace(course, stop=stop or Stop(), permit=check_lease)
        _train(course, package, report)


def help_train(*, run: Path, place: tuple[str, int], rank: int, count: int) -> None:
    """Be one of several processes of a training; all it is to do comes from the first one.

    Its end as well: a signal to the whole group must not tear the training apart before the
    first one, which hears it too, has brought it to an end in order.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    from laikaroto.training.loop import train as train_networks
    from laikaroto.training.processes import joined, open_store
    from laikaroto.training.run import open_course

    with joined(open_store(place, hosts=False), rank, count) as peers:
        train_networks(open_course(run, _no_report, peers=peers))


def _no_report(share: float, text: str) -> None:
    """What process 0 says is said for all."""


def _open_course(
    show: Show, character: str, budget_s: float | None, init_from: str | None, run: Path,
    report: Report, peers: Peers, processes_here: int,
) -> tuple[Course, models.ModelPackage | None]:  # fmt: skip
    """The training, and the model it begins with; none if it goes on from a checkpoint."""
    from laikaroto.training.choices import check_choices
    from laikaroto.training.run import open_course

    settings = show.character(character).training
    check_choices(character, settings)
    begun = (run / "checkpoint.pt").is_file()
    package = find_source(show, character, init_from) if init_from and not begun else None
    held_out = settings.validation_shots
    if package is not None and not held_out:
        held_out = shots_to_hold_out(package, character, show.truth_shots(character))
    choices = {
        "budget_s": budget_s or parse_duration(settings.budget),
        "seed": settings.seed,
        "held_out": held_out,
        "patience": settings.patience,
        "augmentations": settings.augmentations,
        "losses": settings.losses,
    }
    course = open_course(run, report, choices=choices, peers=peers, processes_here=processes_here)
    return course, package


def _train(course: Course, package: models.ModelPackage | None, report: Report) -> None:
    from laikaroto.training.loop import Start
    from laikaroto.training.loop import train as train_networks

    settings, peers, source = course.settings, course.peers, None
    if package is not None and peers.leads:  # the others take what process 0 has
        source = open_source(package, course.template.character, settings.held_out, course.folder)

    def started(start: Start) -> None:
        text = "starting"
        if start.resumed:
            text = f"going on from the checkpoint at step {start.step}"
        elif source is not None:
            text = f"starting from {source.label} ({start.taken})"
        held = ", ".join(settings.held_out) or "none: there is only one shot"
        many = f"{peers.count} processes with " if peers.count > 1 else ""
        threads = f"{start.threads} threads" if start.threads > 1 else "1 thread"
        report(
            start.seconds / settings.budget_s,
            f"{text}, {start.seconds:.0f} s of {settings.budget_s:.0f} s used, "
            f"{many}{threads}, held out: {held}",
        )

    train_networks(course, source=source, on_start=started)


def evaluate(show: Show, *, character: str, run: Path, report: Report) -> None:
    """Measure the held-out predictions; writes metrics.json into the job's folder."""
    from laikaroto.training.evaluate import evaluate as measure
    from laikaroto.training.run import open_course, read_held_out
    from laikaroto.training.validate import as_rotos

    course = open_course(run, report)
    held_out = read_held_out(course)
    shots: dict[str, Any] = {}
    if held_out is not None:
        for shot, (prediction, truth) in as_rotos(held_out, course.template, course.plates).items():
            shots[shot] = measure(prediction, truth).to_dict()
    metrics = {
        "held_out": list(course.settings.held_out),
        "frames": sum(len(shot["frames"]) for shot in shots.values()),
        "curves_mean_px": _mean(shots, "curves_all"),
        "tracks_mean_px": _mean(shots, "tracks_all"),
        "shots": shots,
    }
    write_file(run / "metrics.json", (json.dumps(metrics, indent=1) + "\n").encode())
    if shots:
        report(1.0, f"held out {', '.join(shots)}: {figures(metrics)}")
    else:
        report(1.0, "nothing was held out, so there is no figure: import a second shot")


def _mean(shots: dict[str, Any], which: str) -> float | None:
    values = [s[which]["mean_px"] for s in shots.values() if s[which]["mean_px"] is not None]
    return sum(values) / len(values) if values else None
