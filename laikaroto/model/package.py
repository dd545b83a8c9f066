"""Model packages: ``models/<character>/v003/``, and which of them is current.

A package is a folder published like any version (``sidecar.publish``)::

    finder.xml finder.bin    OpenVINO IR: where the head is in the whole plate
    drawer.xml drawer.bin    OpenVINO IR: points and shapes on the crop of the head
    model.json               sizes, calibration, how it was made (``ModelInfo``)
    template.json            the character's points and shapes
    metrics.json             honest validation, as ``training.evaluate`` gives it
    weights.npz              float weights for a warm start; plain arrays, never pickled
    unseen.npz               the same before the held-out shots were learned; only if some were
    report/                  training report with pictures
    prior.npz                what the shapes can look like (``model.prior``); only if truth tells it
    mirror.npz               which point becomes which in a mirror (``model.mirror``); only if any
    MANIFEST.json

``current.json`` beside the versions names the current one and those before it; it is swapped
atomically.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.character.template import CharacterTemplate, read_template
from laikaroto.config import check_name, describe_faults
from laikaroto.errors import ModelError, SidecarError, TruthError
from laikaroto.model.calibration import ErrorCalibration
from laikaroto.model.mirror import Mirror, read_mirror
from laikaroto.model.prior import ShapePrior, read_prior
from laikaroto.show import check_version
from laikaroto.sidecar.files import write_file
from laikaroto.sidecar.publish import verify_manifest, versions

#: 2: looks may be mirrored, and expected errors are calibrated with them.
SCHEMA = "laikaroto.model/2"
#: Read as well: what 1 lacks has defaults by which it is used as it always was.
_OLDER = ("laikaroto.model/1",)


class ModelInfo(BaseModel):
    """model.json.

    crop_px: side of the drawer's input; finder_size: width and height of the finder's input;
    calibration: how far expected errors of shapes are to be trusted;
    validation_shots: held out while the metrics were measured; init_from: the model it
    began with; inherited_shots: those of this character that model's weights had learned;
    training_set: digest of all it was learned from, empty in packages older than that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_name: str = SCHEMA
    character: str
    created: str
    laikaroto: str
    seed: int
    steps: int
    seconds: float
    crop_px: int
    finder_size: tuple[int, int]
    calibration: ErrorCalibration = ErrorCalibration()
    training_shots: tuple[str, ...]
    validation_shots: tuple[str, ...]
    init_from: str | None = None
    inherited_shots: tuple[str, ...] = ()
    training_set: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModelPackage:
    """A verified package on disk."""

    folder: Path
    info: ModelInfo
    template: CharacterTemplate
    metrics: dict[str, Any]
    prior: ShapePrior | None = None
    mirror: Mirror | None = None

    @property
    def version(self) -> str:
        """The package's version, for example ``v003``."""
        return self.folder.name

    @property
    def created(self) -> str:
        """When it was made, ISO 8601."""
        return self.info.created

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: stands for every byte of the package."""
        import hashlib

        return hashlib.sha256((self.folder / "MANIFEST.json").read_bytes()).hexdigest()


def load_package(folder: Path) -> ModelPackage:
    """Load a package and verify every checksum.

    Raises:
        ModelError: not there, damaged, or of an unknown schema.
    """
    if not folder.is_dir():
        there = ", ".join(versions(folder.parent)) or "none"
        raise ModelError(
            f"{folder}: there is no such model; there are: {there}. Train one with "
            "'laikaroto train' or 'laikaroto submit train'"
        )
    try:
        verify_manifest(folder)
        info = read_info(folder)
        template = read_template(folder / "template.json")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        prior, mirror = read_prior(folder, template), read_mirror(folder, template)
    except (SidecarError, TruthError) as error:
        raise ModelError(f"model package is damaged; train again or roll back:\n{error}") from error
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{folder}: model package is damaged: {error}") from error
    return ModelPackage(folder, info, template, metrics, prior, mirror)


def read_info(folder: Path) -> ModelInfo:
    """How a package was made, out of its model.json alone: no checksum is verified.

    Its schema is looked at first, since another one has other fields.

    Raises:
        ModelError: the file is missing, damaged, or of an unknown schema.
    """
    path = folder / "model.json"
    try:
        data = json.loads(path.read_bytes())
        found = data.get("schema_name") if isinstance(data, dict) else None
        if found not in (SCHEMA, *_OLDER):
            raise ModelError(
                f"{path}: wanted schema {SCHEMA}, got {found}: made by another release of "
                "laikaroto; train again"
            )
        # Packages made until November 2026 tell it; their networks multiply by it themselves.
        data.pop("error_scale", None)
        return ModelInfo.model_validate(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        faults = "\n".join(f"{path}: {line}" for line in describe_faults(error))
        raise ModelError(faults) from error
    except ValueError as error:
        raise ModelError(f"{path}: is damaged: {error}; train again or roll back") from error


def _read_history(models: Path) -> list[str]:
    path = models / "current.json"
    try:
        history = json.loads(path.read_text(encoding="utf-8"))["history"]
        return [str(version) for version in history]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: is damaged: {error}; name a version with 'laikaroto models promote'"
        ) from error


def current_version(models: Path) -> str | None:
    """The current version of a character's models, or None before the first."""
    history = _read_history(models)
    return history[-1] if history else None


def resolve_version(models: Path, wanted: str) -> str:
    """Turn ``"current"`` into a version; other texts are returned if they are there.

    Raises:
        ModelError: no model yet, or no such version.
    """
    known = versions(models)
    version = current_version(models) if wanted == "current" else wanted
    if version is None or version not in known:
        there = ", ".join(known) or "none"
        raise ModelError(
            f"{models}: no model {wanted!r}; there are: {there}. Train one with 'laikaroto train' "
            "or 'laikaroto submit train', or make one current with 'laikaroto models promote'"
        )
    return version


def parse_source(text: str, character: str) -> tuple[str, str]:
    """Character and version that ``v003``, ``current`` or ``villain:current`` stand for.

    Args:
        text: as ``--init-from`` takes it.
        character: whose it is where none is named.

    Raises:
        UsageError: not of that form.
    """
    other, colon, version = text.strip().rpartition(":")
    if version != "current":
        check_version(version)
    return (check_name(other, "character") if colon else character), version


def promote(models: Path, version: str) -> None:
    """Make a version current, after verifying it."""
    load_package(models / version)
    history = [known for known in _history_or_empty(models) if known != version]
    _write_history(models, [*history, version])


def rollback(models: Path) -> str:
    """Make the version before the current one current again, and return it.

    Raises:
        ModelError: there is none before it.
    """
    history = _read_history(models)
    if len(history) < 2:
        raise ModelError(f"{models}: there is no earlier current model to go back to")
    load_package(models / history[-2])
    _write_history(models, history[:-1])
    return history[-2]


def _history_or_empty(models: Path) -> list[str]:
    # a damaged pointer must not keep a user from mending it by promoting
    try:
        return _read_history(models)
    except ModelError:
        return []


def _write_history(models: Path, history: list[str]) -> None:
    data = json.dumps({"current": history[-1], "history": history}, indent=1) + "\n"
    write_file(models / "current.json", data.encode())
