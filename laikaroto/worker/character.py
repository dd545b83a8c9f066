"""The tasks of a training job: prepare, train, evaluate, package, promote.

Each step reads what the one before left in the job's working folder and may be run again
after a crash. Only ``package`` and ``promote`` write outside it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from laikaroto import __version__
from laikaroto.character.flips import check_flips
from laikaroto.character.template import read_template, write_template
from laikaroto.character.truth import check_truth
from laikaroto.config import parse_duration
from laikaroto.errors import ConfigError, ModelError, TruthError
from laikaroto.model import package as models
from laikaroto.plate.exr import PlateHeader
from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import PlateSequence, check_sequence, find_sequence
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.files import sweep, write_file
from laikaroto.sidecar.publish import building, publish, versions
from laikaroto.sidecar.schema import read_roto
from laikaroto.worker.lease import check_lease

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
    """SHA-256 of the template and all ground truth, and of what they are prepared for."""
    settings = show.character(character).training
    total = hashlib.sha256(f"{settings.crop_px} {settings.mirror}\n".encode())
    shots = show.truth_shots(character)
    for path in (show.template_file(character), *(show.truth_file(character, s) for s in shots)):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def prepare(show: Show, *, character: str, run: Path, report: Report) -> None:
    """Check truth and plates; put small log-encoded pictures into the job's folder."""
    from laikaroto.training.dataset import finder_size, write_example
    from laikaroto.training.run import DatasetIndex, write_index

    settings = show.character(character).training
    sweep(run, run / "dataset")
    template = read_template(show.template_file(character))
    material = gather(show, character)
    finder = finder_size(material[0][2].width, material[0][2].height)
    total = sum(len(roto.frames) for roto, _, _ in material)
    done = 0
    for roto, sequence, _ in material:
        frames = sorted(roto.frames)
        for frame, rgb in read_ahead(sequence, frames, show.configs.show.plates):
            write_example(
                run / "dataset", roto, frame, rgb, template, crop_px=settings.crop_px, finder=finder
            )
            done += 1
            report(done / total, f"prepared {roto.shot} frame {frame}")
    write_template(run / "template.json", template)
    write_index(
        run,
        DatasetIndex(
            character=character,
            truth=truth_digest(show, character),
            crop_px=settings.crop_px,
            finder_size=finder,
            mirror=settings.mirror,
            frames={roto.shot: tuple(sorted(roto.frames)) for roto, _, _ in material},
            plates={roto.shot: asdict(roto.plate) for roto, _, _ in material},
        ),
    )


def train(
    show: Show,
    *,
    character: str,
    budget_s: float | None,
    init_from: str | None,
    run: Path,
    report: Report,
) -> None:
    """Train until the budget is used; goes on where a killed attempt left off."""
    from laikaroto.training.loop import Start
    from laikaroto.training.loop import train as train_networks
    from laikaroto.training.run import open_course

    settings = show.character(character).training
    sweep(run)
    course = open_course(
        run,
        report,
        choices={
            "budget_s": budget_s or parse_duration(settings.budget),
            "seed": settings.seed,
            "held_out": settings.validation_shots,
        },
    )
    weights = _initial_weights(show, character, init_from, run) if init_from else None

    def started(start: Start) -> None:
        text = "starting"
        if start.resumed:
            text = f"going on from the checkpoint at step {start.step}"
        elif weights is not None:
            text = f"starting from {init_from} ({start.taken} of {len(weights)} weights fit)"
        held = ", ".join(course.settings.held_out) or "none: there is only one shot"
        report(
            start.seconds / course.settings.budget_s,
            f"{text}, {start.seconds:.0f} s of {course.settings.budget_s:.0f} s used, "
            f"{start.threads} threads, held out: {held}",
        )

    train_networks(course, init_weights=weights, on_start=started)


def _initial_weights(show: Show, character: str, wanted: str, run: Path) -> dict[str, Any]:
    """Weights of an earlier package: ``v003`` or ``current``, of this character."""
    from laikaroto.training.run import read_weights

    folder = show.models_folder(character)
    package = models.load_package(folder / models.resolve_version(folder, wanted))
    write_file(run / "init_from.json", json.dumps({"version": package.version}).encode())
    return read_weights(package.folder)


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
        report(
            1.0,
            f"held out {', '.join(shots)}: {figures(metrics)}",
        )
    else:
        report(1.0, "nothing was held out, so there is no figure: import a second shot")


def figures(metrics: dict[str, Any]) -> str:
    """What was measured, for a person; a character may have no curves, or no points."""
    texts = [
        f"{name} {metrics[key]:.2f} px"
        for name, key in (("points", "tracks_mean_px"), ("curves", "curves_mean_px"))
        if metrics[key] is not None
    ]
    return ", ".join(texts) or "nothing visible to measure"


def _mean(shots: dict[str, Any], which: str) -> float | None:
    values = [s[which]["mean_px"] for s in shots.values() if s[which]["mean_px"] is not None]
    return sum(values) / len(values) if values else None


def package(show: Show, *, character: str, run: Path, report: Report) -> str:
    """Export the networks and publish them as the character's next model version."""
    from laikaroto.training.run import load_trained, open_course

    done = run / "package.json"
    if done.is_file():
        return str(json.loads(done.read_text(encoding="utf-8"))["version"])
    from laikaroto.training.export import export_networks

    course = open_course(run, report)
    state = load_trained(course)
    parent = show.models_folder(character)
    info = _model_info(character, run, course, state)

    def stamp(version: str, target: Path) -> None:
        # the page locks the folder it is built in, so it is not built in a build folder
        page = _write_report(show, course, state, version, run / "report")
        shutil.copytree(page.parent, target / "report", dirs_exist_ok=True)

    version = _published_before(parent, info)
    if version is None:
        with building(parent) as folder:
            report(0.1, "exporting")
            export_networks(
                folder,
                state.average_drawer,
                state.average_finder,
                finder_size=course.settings.finder_size,
                error_scale=info.error_scale,
            )
            write_template(folder / "template.json", course.template)
            write_file(folder / "metrics.json", (run / "metrics.json").read_bytes())
            write_file(folder / "model.json", info.model_dump_json(indent=1).encode())
            report(0.4, "writing the report")
            version = publish(folder, parent, stamp=stamp, permit=check_lease)
    write_file(done, json.dumps({"version": version}).encode())
    report(1.0, f"packaged {version} in {parent / version}")
    return version


def _published_before(parent: Path, info: models.ModelInfo) -> str | None:
    """The version that an earlier attempt published but did not live to tell.

    No two trainings take the same time to the last digit of a float.
    """
    own = info.model_dump(exclude={"created"})
    for version in reversed(versions(parent)):
        try:
            text = (parent / version / "model.json").read_text(encoding="utf-8")
            other = models.ModelInfo.model_validate_json(text)
        except (OSError, ValueError):
            continue  # damaged: not ours to judge here
        if other.model_dump(exclude={"created"}) == own:
            return version
    return None


def _model_info(character: str, run: Path, course: Any, state: Any) -> models.ModelInfo:
    init = run / "init_from.json"
    return models.ModelInfo(
        character=character,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        laikaroto=__version__,
        seed=course.settings.seed,
        steps=state.step,
        seconds=state.seconds,
        crop_px=course.settings.crop_px,
        finder_size=course.settings.finder_size,
        error_scale=state.error_scale or 1.0,
        training_shots=course.settings.training_shots,
        validation_shots=course.settings.held_out,
        init_from=json.loads(init.read_bytes())["version"] if init.is_file() else None,
    )


def _write_report(show: Show, course: Any, state: Any, version: str, folder: Path) -> Path:
    from laikaroto.review.training_page import (
        HistoryRow,
        Phase,
        TrainingReport,
        write_training_page,
    )

    metrics = json.loads((course.folder / "metrics.json").read_text(encoding="utf-8"))
    half = state.measured_at_s
    phases = [Phase(name="learning from all shots", start_s=half or 0.0, end_s=state.seconds)]
    if half is not None:
        phases.insert(0, Phase(name="held-out validation", start_s=0.0, end_s=half))
    return write_training_page(
        TrainingReport(
            character=course.template.character,
            model_version=version,
            settings={
                "budget": f"{course.settings.budget_s:.0f} s",
                "seed": course.settings.seed,
                "steps": state.step,
                "crop": f"{course.settings.crop_px} px",
                "training shots": ", ".join(course.settings.training_shots),
                "held out": ", ".join(course.settings.held_out) or "none",
            },
            history=[HistoryRow(**row) for row in state.history],
            phases=phases,
            held_out=course.settings.held_out,
            validation=metrics["shots"],
            pictures=_pictures(show, course),
        ),
        folder,
    )


def _pictures(show: Show, course: Any) -> Iterator[Any]:
    """Held-out frames with prediction and truth, one plate in memory at a time."""
    from laikaroto.review.training_page import ValidationPicture
    from laikaroto.training.run import read_held_out
    from laikaroto.training.validate import as_rotos

    held_out = read_held_out(course)
    if held_out is None:
        return
    plates = show.configs.show.plates
    for shot, (prediction, truth) in as_rotos(held_out, course.template, course.plates).items():
        sequence = find_sequence(show.plate_template(shot), shot=shot)
        for frame, rgb in read_ahead(sequence, sorted(truth.frames), plates):
            yield ValidationPicture(
                title=f"{shot} frame {frame}",
                frame=frame,
                truth=truth,
                prediction=prediction,
                rgb=rgb,
            )


def promote(show: Show, *, character: str, run: Path, report: Report) -> None:
    """Make the new model current if it is no worse than the current one on the same frames."""
    try:
        version = json.loads((run / "package.json").read_text(encoding="utf-8"))["version"]
    except OSError as error:
        raise ModelError(f"{run}: holds no packaged model; run the package step") from error
    folder = show.models_folder(character)
    current = models.current_version(folder)
    if current is not None and current != version:
        new, old = (models.load_package(folder / v).metrics for v in (version, current))
        if _is_worse(new, old):
            report(
                1.0,
                (
                    f"{current} stays current: {version} is worse on {', '.join(new['held_out'])} "
                    f"({figures(new)} against {figures(old)}); "
                    f"'laikaroto models promote {character} {version}' overrides"
                ),
            )
            return
    models.promote(folder, version)
    report(1.0, f"{version} is current")


def _is_worse(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Worse on the same held-out frames; models measured on other frames cannot be compared."""
    if new["held_out"] != old["held_out"] or new["frames"] != old["frames"]:
        return False
    for key in ("curves_mean_px", "tracks_mean_px"):  # the second where there are no curves
        if new[key] is not None and old[key] is not None:
            return bool(new[key] > old[key])
    return False
