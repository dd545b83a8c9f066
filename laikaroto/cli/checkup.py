"""What ``laikaroto doctor`` looks at: each check finds, and says what to do; none repairs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from laikaroto.config import NotifySettings
from laikaroto.errors import LaikarotoError
from laikaroto.show import Show

State = Literal["ok", "to do", "problem"]

_NEEDED = (
    "numpy", "scipy", "cv2", "OpenEXR", "PyOpenColorIO", "openvino",
    "openjd.cli", "openjd.model", "openjd.sessions",
)  # fmt: skip
_LEAST_FREE_GB = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row: what was looked at, how it is, what was found, what to do about it."""

    what: str
    state: State
    found: str
    do: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FoundShots:
    """Shots on disk with their number of frames, and folders that cannot be used, and why."""

    shots: dict[str, int] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)


def examine(configs: Path) -> list[Finding]:
    """Run all checks; one that fails in a way nobody thought of is itself a finding."""
    findings = list(_check_packages())
    try:
        show = Show.open(configs)
    except LaikarotoError as error:
        do = "mend the configuration; the bundled configs/ explain every setting"
        return findings + [
            Finding(what="configuration", state="problem", found=line, do=do)
            for line in str(error).splitlines()
        ]
    findings.append(
        Finding(
            what="configuration",
            state="ok",
            found=f"show {show.configs.show.name}, {len(show.configs.characters)} characters, "
            f"{len(show.configs.queues)} queues",
        )
    )
    checks: tuple[Callable[[Show], Iterator[Finding]], ...] = (
        _check_plates, _check_characters, _check_queues, _check_disk,
    )  # fmt: skip
    for check in checks:
        findings += check(show)
    return findings


def find_shots(show: Show) -> FoundShots:
    """Every shot that has plates, found by the first folder of the template that names it."""
    from laikaroto.plate.sequence import find_sequence

    found = FoundShots()
    for name in _candidates(show):
        try:
            plates = find_sequence(show.plate_template(name), shot=name)
        except LaikarotoError as error:
            found.unusable.append(str(error))
        else:
            found.shots[name] = len(plates.frames)
    return found


def _candidates(show: Show) -> list[str]:
    parts = Path(show.configs.show.plates.template).parts
    depth = next(i for i, part in enumerate(parts) if "{shot" in part)
    folder = Path(*(part.replace("{root}", str(show.root)) for part in parts[:depth]))
    if not folder.is_dir():
        return []
    expression = ""
    for piece in re.split(r"(\{\w+[^}]*\})", parts[depth]):
        if piece.startswith("{shot"):
            expression += "(?P=shot)" if "(?P<shot>" in expression else "(?P<shot>.+)"
        else:
            expression += ".+" if piece.startswith("{") else re.escape(piece)
    matches = (re.fullmatch(expression, entry.name) for entry in os.scandir(folder))
    return sorted({match["shot"] for match in matches if match})


def _check_packages() -> Iterator[Finding]:
    missing = [name for name in _NEEDED if not _importable(name)]
    if missing:
        yield Finding(
            what="packages", state="problem", found=f"cannot be imported: {', '.join(missing)}",
            do="install laikaroto again: pip install --force-reinstall laikaroto",
        )  # fmt: skip
    else:
        yield Finding(what="packages", state="ok", found="all that inference needs")
    if _importable("torch"):
        yield Finding(what="training", state="ok", found=f"torch {version('torch')}")
    else:
        yield Finding(
            what="training", state="to do",
            found="torch is not installed: this host cannot train",
            do="pip install 'laikaroto[train]' on hosts that train",
        )  # fmt: skip


def _importable(name: str) -> bool:
    # Broken shared libraries raise OSError, missing packages ImportError.
    try:
        importlib.import_module(name)
    except (ImportError, OSError):
        return False
    return True


def _check_plates(show: Show) -> Iterator[Finding]:
    found = find_shots(show)
    template = show.configs.show.plates.template
    if found.shots:
        yield Finding(
            what="plates", state="ok",
            found=f"{len(found.shots)} shots, {sum(found.shots.values())} frames",
        )  # fmt: skip
    else:
        yield Finding(
            what="plates", state="problem", found=f"none (looked for {template})",
            do="put plates there or mend plates.template in show.yaml",
        )  # fmt: skip
    for line in found.unusable:
        yield Finding(
            what="plates", state="to do", found=line, do="rename the folder or leave it out"
        )


def _check_characters(show: Show) -> Iterator[Finding]:
    if not show.configs.characters:
        yield Finding(
            what="characters", state="to do", found="none",
            do=f"describe one in {show.configs.folder / 'characters'}/NAME.yaml",
        )  # fmt: skip
    for name in sorted(show.configs.characters):
        yield _check_training_set(show, name)
        yield from _check_training_choices(show, name)
        yield from _check_models(show, name)


def _check_training_set(show: Show, name: str) -> Finding:
    from laikaroto.cli.truth import check_training_set

    what = f"{name}: truth"
    if not any(show.truth_file(name, shot).exists() for shot in show.truth_shots(name)):
        do = f"laikaroto truth import {name} FILE..."
        return Finding(what=what, state="to do", found="none imported", do=do)
    try:
        faults = check_training_set(show, name)
    except LaikarotoError as error:
        return Finding(what=what, state="problem", found=str(error), do="mend or import it again")
    errors = [fault for fault in faults if fault.severity == "error"]
    found = f"{len(show.truth_shots(name))} shots, {len(faults) - len(errors)} warnings"
    if errors:
        found += f", {len(errors)} errors, the first: {errors[0]}"
    do = f"laikaroto truth check {name}" if faults else ""
    return Finding(what=what, state="problem" if errors else "ok", found=found, do=do)


def _check_training_choices(show: Show, name: str) -> Iterator[Finding]:
    """Names of augmentations and losses, and renders; only where something is configured."""
    training = show.character(name).training
    what, do = f"{name}: training", f"mend {show.configs.folder / 'characters' / name}.yaml"
    if training.augmentations or training.losses:
        if not _importable("torch"):
            found = "augmentations and losses are not checked: torch is not installed here"
            yield Finding(what=what, state="to do", found=found, do="run doctor on a training host")
        else:
            from laikaroto.training.choices import check_choices

            try:
                check_choices(name, training)
            except LaikarotoError as error:
                yield Finding(what=what, state="problem", found=str(error), do=do)
    if training.renders.folders and show.template_file(name).is_file():
        yield _check_renders(show, name)


def _check_renders(show: Show, name: str) -> Finding:
    from laikaroto.character.template import read_template
    from laikaroto.training.renders import find_renders

    what = f"{name}: renders"
    try:
        template = read_template(show.template_file(name))
        found = find_renders(show.renders_folders(name), template)
    except LaikarotoError as error:
        do = "mend the files, or training.renders"
        return Finding(what=what, state="problem", found=str(error), do=do)
    return Finding(what=what, state="ok", found=f"{len(found)} pictures with points")


def _check_models(show: Show, name: str) -> Iterator[Finding]:
    from laikaroto.model.package import current_version, load_package
    from laikaroto.sidecar.publish import versions

    what, models = f"{name}: model", show.models_folder(name)
    known = versions(models)
    if not known:
        do = f"laikaroto submit train {name}"
        yield Finding(what=what, state="to do", found="none trained yet", do=do)
        return
    for one in known:
        try:
            load_package(models / one)
        except LaikarotoError as error:
            do = f"remove {models / one} or restore it"
            yield Finding(what=what, state="problem", found=str(error), do=do)
    try:
        current = current_version(models)
    except LaikarotoError as error:
        yield Finding(what=what, state="problem", found=str(error), do="name the current one again")
        return
    there = f"{len(known)} versions, current {current or 'none'}"
    if current in known:
        yield Finding(what=what, state="ok", found=there)
    else:
        yield Finding(
            what=what, state="to do" if current is None else "problem", found=there,
            do=f"laikaroto models promote {name} {known[-1]}",
        )  # fmt: skip


def _check_queues(show: Show) -> Iterator[Finding]:
    from laikaroto.farm.engines import open_engine
    from laikaroto.farm.local.owner import read_card

    for name in sorted(show.configs.queues):
        what, state = f"queue {name}", show.queue_state(name)
        try:
            jobs = open_engine(show.queue(name), state).jobs()
        except LaikarotoError as error:
            yield Finding(what=what, state="problem", found=str(error), do="mend the queue")
            continue
        yield from _check_notify(name, show.queue(name).notify)
        active = sum(not job.state.over for job in jobs)
        found = f"{len(jobs)} jobs, {active} of them active"
        if (engine := show.queue(name).engine) != "local":
            yield Finding(what=what, state="ok", found=f"{engine}: {found}")
            continue
        if (card := read_card(state)) is not None:
            yield Finding(what=what, state="ok", found=f"{found}; running as process {card['pid']}")
        else:
            do = f"laikaroto farm start --queue {name}" if active else ""
            yield Finding(
                what=what, state="to do" if active else "ok", found=f"{found}; not running", do=do
            )


def _check_notify(queue: str, notify: NotifySettings | None) -> Iterator[Finding]:
    """Whether the secrets that notices need are where the configuration says."""
    from laikaroto.farm.notices import NoticeError, look_up

    webhook, mail = (notify.webhook, notify.email) if notify else (None, None)
    wanted = [webhook.url, webhook.token] if webhook else []
    wanted += [mail.password] if mail else []
    for reference in wanted:
        try:
            look_up(reference or "")
        except NoticeError as error:
            yield Finding(
                what=f"queue {queue}, notify", state="problem", found=str(error),
                do="put it there, readable for who runs the farm (and its tasks, on Slurm)",
            )  # fmt: skip


def _check_disk(show: Show) -> Iterator[Finding]:
    root = show.root
    if not root.is_dir():
        yield Finding(
            what="disk", state="problem", found=f"{root} does not exist",
            do="make it, or mend root in show.yaml",
        )  # fmt: skip
        return
    free = shutil.disk_usage(root).free / 1e9
    found = f"{free:.1f} GB free in {root}"
    if not os.access(root, os.W_OK):
        yield Finding(
            what="disk", state="problem", found=f"{root} is not writable", do="make it writable"
        )
    elif free < _LEAST_FREE_GB:
        yield Finding(
            what="disk", state="problem", found=found,
            do=f"free space: mattes and training want at least {_LEAST_FREE_GB:g} GB",
        )  # fmt: skip
    else:
        yield Finding(what="disk", state="ok", found=found)
