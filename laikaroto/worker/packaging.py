"""The last tasks of a training job: package and promote.

What was learned becomes the character's next model version, and its current one unless the one
before was better on the same frames. Both may be run again after a crash.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from laikaroto import __version__
from laikaroto.character.template import write_template
from laikaroto.coords import FloatArray
from laikaroto.errors import ModelError
from laikaroto.model import package as models
from laikaroto.model.calibration import ErrorCalibration
from laikaroto.model.decisions import compare, record_decision
from laikaroto.model.mirror import write_mirror
from laikaroto.model.prior import write_prior
from laikaroto.show import Show
from laikaroto.sidecar.files import write_file
from laikaroto.sidecar.publish import building, publish, versions
from laikaroto.worker.lease import check_lease

if TYPE_CHECKING:
    from laikaroto.training.checkpoint import State
    from laikaroto.training.loop import Course

Report = Callable[[float, str], None]


def package(show: Show, *, character: str, run: Path, report: Report) -> str:
    """Export the networks and publish them as the character's next model version."""
    from laikaroto.training.run import load_trained, open_course

    done = run / "package.json"
    if done.is_file():
        return str(json.loads(done.read_text(encoding="utf-8"))["version"])
    from laikaroto.training.export import export_networks
    from laikaroto.training.loop import use_threads
    from laikaroto.worker.training_report import write_report

    use_threads()
    course = open_course(run, report)
    state = load_trained(course)
    parent = show.models_folder(character)
    scale, calibration = _calibration(course, report)
    info = _model_info(character, run, course, state, calibration)

    def stamp(version: str, target: Path) -> None:
        # the page locks the folder it is built in, so it is not built in a build folder
        page = write_report(show, course, state, version, run / "report")
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
                error_scale=scale,
            )
            if (prior := course.dataset.prior()) is not None:
                write_prior(folder, prior)
            if course.dataset.mirror is not None:
                write_mirror(folder, course.dataset.mirror)
            write_template(folder / "template.json", course.template)
            write_file(folder / "metrics.json", (run / "metrics.json").read_bytes())
            if (run / "unseen.npz").is_file():
                write_file(folder / "unseen.npz", (run / "unseen.npz").read_bytes())
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
    other_host = {"created", "calibration"}  # rounded differently on another one
    own = info.model_dump(exclude=other_host)
    for version in reversed(versions(parent)):
        try:
            other = models.read_info(parent / version)
        except ModelError:
            continue  # damaged: not ours to judge here
        if other.model_dump(exclude=other_host) == own:
            return version
    return None


def _model_info(
    character: str, run: Path, course: Course, state: State, calibration: ErrorCalibration
) -> models.ModelInfo:
    from laikaroto.training.run import read_index

    path = run / "init_from.json"
    init = json.loads(path.read_bytes()) if path.is_file() else {"version": None, "learned": []}
    return models.ModelInfo(
        character=character,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        laikaroto=__version__,
        seed=course.settings.seed,
        steps=state.step,
        seconds=state.seconds,
        crop_px=course.settings.crop_px,
        finder_size=course.settings.finder_size,
        calibration=calibration,
        training_shots=course.settings.training_shots,
        validation_shots=course.settings.held_out,
        init_from=init["version"],
        inherited_shots=tuple(init["learned"]),
        training_set=read_index(run).truth,
    )


def _calibration(course: Course, report: Report) -> tuple[FloatArray, ErrorCalibration]:
    """What held-out shots say of expected errors, of points (P,) before the prior and of shapes.

    As the drawer says where nothing was held out.
    """
    from laikaroto.training.hard_views import calibrate
    from laikaroto.training.run import read_held_out

    held_out = read_held_out(course)
    if held_out is None:
        return np.ones(course.template.point_count), ErrorCalibration()
    report(0.0, "calibrating expected errors on views of the held-out shots")
    scale = held_out.error_scale(len(course.template.tracks))
    return scale, calibrate(course, scale)


def promote(show: Show, *, character: str, run: Path, report: Report) -> None:
    """Make the new model current if it is no worse than the current one on the same frames."""
    try:
        version = json.loads((run / "package.json").read_text(encoding="utf-8"))["version"]
    except OSError as error:
        raise ModelError(f"{run}: holds no packaged model; run the package step") from error
    folder = show.models_folder(character)
    current = models.current_version(folder)
    reason = "the first model"
    if current == version:
        models.promote(folder, version)  # verifies it again; what was decided stays
        report(1.0, f"{version} is current")
        return
    if current is not None:
        new, old = (models.load_package(folder / v).metrics for v in (version, current))
        found = compare(new, old, new_name=version, old_name=current)
        reason = found.reason
        if found.worse:
            record_decision(folder, version, current=False, reason=reason)
            report(
                1.0,
                f"{current} stays current: {reason}; "
                f"'laikaroto models promote {character} {version}' overrides",
            )
            return
    models.promote(folder, version)
    record_decision(folder, version, current=True, reason=reason)
    report(1.0, f"{version} is current: {reason}")
