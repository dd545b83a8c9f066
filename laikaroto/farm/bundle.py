"""Job bundles: one folder for each job, in the form every engine can read.

``template.yaml``
    the Open Job Description template, a copy of one of ``jobs/*.yaml``;
``parameter_values.yaml``
    values of its job parameters, and
``asset_references.yaml``
    files it reads and folders it writes, both laid out as AWS Deadline Cloud wants them;
``openjd_parameters.yaml``
    the same values once more, as ``openjd run -p file://openjd_parameters.yaml`` reads them;
``laikaroto.yaml``
    what Open Job Description cannot say (``JobSettings``).

Commands are lists of arguments; nothing in a bundle is ever read by a shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator

from laikaroto.bundled import bundled
from laikaroto.config import NotifySettings, Strict, check_name, describe_faults
from laikaroto.errors import ConfigError, UsageError, write_failure

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without letters that look like others
_LETTERS = 6
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml is eight times as fast
_LONGEST = 64


class JobSettings(Strict):
    """laikaroto.yaml of a bundle.

    nodes: steps whose task several hosts work at together -> the job parameter that says how
    many. ``farm.nodes`` says what such a task finds.
    """

    name: str
    key: Annotated[str, Field(min_length=1, max_length=400)]
    kind: str
    show: str
    user: str
    queue: str
    priority: Annotated[int, Field(ge=0, le=100)]
    attempts: Annotated[int, Field(ge=1, le=20)]
    not_before: float | None = None
    paused: bool = False
    needs: tuple[str, ...] = ()
    nodes: dict[str, str] = {}
    notify: NotifySettings | None = None

    @field_validator("name", "kind", "queue")
    @classmethod
    def _names(cls, value: str) -> str:
        try:
            return check_name(value, "name")
        except UsageError as error:
            raise ValueError(str(error)) from error

    @field_validator("needs")
    @classmethod
    def _needs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._names(name) for name in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A whole job. ``reads`` and ``writes`` are absolute paths, for farms that copy files."""

    template: str
    parameters: Mapping[str, str | int | float]
    settings: JobSettings
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def files(self) -> dict[str, str]:
        """The five files: name to text."""
        values = [{"name": name, "value": value} for name, value in self.parameters.items()]
        assets = {
            "assetReferences": {
                "inputs": {"filenames": [], "directories": list(self.reads)},
                "outputs": {"directories": list(self.writes)},
                "referencedPaths": [],
            }
        }
        return {
            "template.yaml": self.template,
            "parameter_values.yaml": _dump({"parameterValues": values}),
            "openjd_parameters.yaml": _dump({k: str(v) for k, v in self.parameters.items()}),
            "asset_references.yaml": _dump(assets),
            "laikaroto.yaml": _dump(self.settings.model_dump(mode="json")),
        }


def new_job_name(show: str, subject: str, user: str, kind: str, *more: str) -> str:
    """A name that no other job has, as wranglers read it: ``show-shot-user_type``.

    ``ev-ev100-anna_shot-hero-k3x9qa``: show, shot (or character, of a training), who, what, and
    six letters of its own. 64 characters at most: the longest parts are cut.
    """
    who = re.sub("[^A-Za-z0-9]", "", user) or "user"
    parts = [show, subject, who, *(part for part in (kind, *more) if part)]
    room = _LONGEST - _LETTERS - len(parts)  # each part is followed by '-' or '_'
    while sum(map(len, parts)) > room:
        longest = max(range(len(parts)), key=lambda i: len(parts[i]))
        parts[longest] = parts[longest][:-1]
    ending = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
    return check_name(f"{'-'.join(parts[:3])}_{'-'.join(parts[3:])}-{ending}", "job")


def job_template(name: str) -> str:
    """Text of one of the bundled templates, ``infer_shot`` or ``train_character``."""
    return (bundled("jobs") / f"{name}.yaml").read_text(encoding="utf-8")


def write_bundle(bundle: Bundle, folder: Path, *, flush: bool = True) -> Path:
    """Write a bundle as a new folder, all of it or nothing.

    Args:
        bundle: what to write.
        folder: must not exist; its parent is created.
        flush: wait until the disk has it. Who writes many calls ``os.sync`` once instead.

    Raises:
        UsageError: the folder exists.
        TryAgainError: the disk refuses; nothing is left behind.
    """
    hidden = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    if folder.exists():
        raise UsageError(f"{folder} exists already; name a folder that does not")
    try:
        hidden.mkdir(parents=True)
        for name, text in bundle.files().items():
            with (hidden / name).open("w", encoding="utf-8") as stream:
                stream.write(text)
                if flush:
                    stream.flush()
                    os.fsync(stream.fileno())
        hidden.rename(folder)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise write_failure(folder, error) from error
    return folder


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle folder back.

    Raises:
        ConfigError: lists every fault of its files.
    """
    settings_path = folder / "laikaroto.yaml"
    try:
        settings = JobSettings.model_validate(_load(settings_path))
    except ValidationError as error:
        faults = "\n".join(f"{settings_path}: {line}" for line in describe_faults(error))
        raise ConfigError(faults) from error
    assets = _load(folder / "asset_references.yaml").get("assetReferences", {})
    return Bundle(
        template=_text(folder / "template.yaml"),
        parameters=_values(folder / "parameter_values.yaml"),
        settings=settings,
        reads=tuple(assets.get("inputs", {}).get("directories", ())),
        writes=tuple(assets.get("outputs", {}).get("directories", ())),
    )


def bundle_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files of a bundle folder, as hex digits.

    An engine notes it when it takes a job over and compares before every task, so that what
    runs is what was submitted.

    Raises:
        ConfigError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(f"{path.name}\0{_text(path)}\0".encode())
    return total.hexdigest()


def check_digest(folder: Path, wanted: str) -> None:
    """Refuse a bundle that is not the one that was submitted.

    Args:
        folder: the engine's copy of the bundle.
        wanted: its ``bundle_digest`` at submission.

    Raises:
        ConfigError: a file was changed, added or removed since.
    """
    if (found := bundle_digest(folder)) != wanted:
        raise ConfigError(
            f"{folder}: was changed after submission (SHA-256 {found[:12]}…, submitted was "
            f"{wanted[:12]}…); nothing of it is run. Submit the job again"
        )


def _values(path: Path) -> dict[str, str | int | float]:
    entries = _load(path).get("parameterValues", [])
    try:
        return {entry["name"]: entry["value"] for entry in entries}
    except (TypeError, KeyError) as error:
        raise ConfigError(
            f"{path}: parameterValues: wanted a list of name and value, got {entries!r}"
        ) from error


def _dump(data: Any) -> str:
    return yaml.dump(data, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _load(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: wanted a mapping, got {type(data).__name__}")
    return data
