"""The configuration files: show.yaml, characters/*.yaml and queues/*.yaml, as strict records.

``read_configs`` reads a whole folder and reports every fault of every file at once, each as
``file: path.to.field: what is wrong``. Unknown keys are faults. The files in the top-level
``configs/`` folder explain every setting.
"""

from __future__ import annotations

import getpass
import os
import re
import string
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from laikaroto.errors import ConfigError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_name(name: str, kind: str) -> str:
    """Return ``name`` if it is safe as a folder name and on every farm.

    Names become folders, job names and arguments; anything that could climb out of a folder
    or mean something to a shell is refused here, once, for the whole project.

    Raises:
        UsageError: letters, digits, ``_``, ``-`` and ``.`` only, 64 at most, no ``..``.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(
            f"{kind} {name!r} is not a usable name: wanted letters, digits, '_', '-' or '.', "
            "starting with a letter or digit, 64 at most"
        )
    return name


def current_user() -> str:
    """Login name of whoever runs this, or the user number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _name(value: str) -> str:
    try:
        return check_name(value, "name")
    except UsageError as error:  # pydantic gathers ValueErrors only
        raise ValueError(str(error)) from error


def _duration(value: str) -> str:
    try:
        parse_duration(value)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return value


class Strict(BaseModel):
    """Base of all configuration records: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _check_template(text: str, allowed: set[str], required: set[str]) -> str:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"template {text!r} is malformed: {error}") from error
    if unknown := fields - allowed:
        raise ValueError(f"unknown field {sorted(unknown)}; known: {sorted(allowed)}")
    if missing := required - fields:
        raise ValueError(f"template {text!r} lacks {sorted(missing)}")
    return text


class PlateConfig(Strict):
    """Where plates lie and how to read them."""

    template: str
    layer: str = ""
    part: str | None = None
    channels: tuple[str, str, str] = ("R", "G", "B")
    nonfinite: Literal["replace", "refuse"] = "replace"

    @field_validator("template")
    @classmethod
    def _template(cls, value: str) -> str:
        return _check_template(value, {"root", "shot", "frame"}, {"shot", "frame"})


class ShowConfig(Strict):
    """show.yaml: names and places. ``root`` may be relative to the configuration folder."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    root: str = ".."
    fps: Annotated[float, Field(gt=0)] = 24.0
    plates: PlateConfig
    green_card: PlateConfig | None = None
    sidecars: str = "{root}/roto/{shot}/{character}/{version}"
    truth: str = "{root}/training_set/{character}/{shot}.roto.json"
    models: str = "{root}/models/{character}"
    reviews: str = "{root}/review/{shot}/{character}/{version}"
    work: str = "{root}/work"

    _check = field_validator("name")(_name)

    @field_validator("sidecars", "reviews")
    @classmethod
    def _versioned(cls, value: str) -> str:
        wanted = {"shot", "character", "version"}
        if not value.endswith("{version}"):
            raise ValueError("must end with the {version} folder")
        return _check_template(value, wanted | {"root"}, wanted)

    @field_validator("truth")
    @classmethod
    def _truth(cls, value: str) -> str:
        return _check_template(value, {"root", "shot", "character"}, {"shot", "character"})

    @field_validator("models")
    @classmethod
    def _models(cls, value: str) -> str:
        return _check_template(value, {"root", "character"}, {"character"})

    @field_validator("work")
    @classmethod
    def _work(cls, value: str) -> str:
        return _check_template(value, {"root"}, set())


class MatteConfig(Strict):
    """Which matte layers are made of which closed shapes (their union)."""

    layers: dict[str, tuple[str, ...]] | None = None
    combined: str | None = None
    channels: Literal["RGBA", "A"] = "RGBA"

    @field_validator("layers")
    @classmethod
    def _layers(cls, value: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        for layer in value or {}:
            _name(layer)
        return value


class RendersConfig(Strict):
    """Rendered heads as further training pictures: where they lie, and how often they are shown."""

    folders: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, le=0.9)] = 0.25

    @field_validator("folders")
    @classmethod
    def _folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_check_template(folder, {"root"}, set()) for folder in value)


class TrainingConfig(Strict):
    """How a character is learned.

    Names of augmentations and losses are checked where they are known: ``training.choices``.
    """

    budget: str = "8h"
    nodes: Annotated[int, Field(ge=1, le=8)] = 1
    validation_shots: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 1
    crop_px: Annotated[int, Field(ge=128, le=1024, multiple_of=128)] = 512
    mirror: Literal["auto", "never"] = "auto"
    patience: Annotated[int, Field(ge=2)] | None = 5
    augmentations: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    losses: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    renders: RendersConfig = RendersConfig()

    _check = field_validator("budget")(_duration)


class ReviewConfig(Strict):
    """When a frame is flagged for a person to look at; px at full plate size."""

    max_expected_error_px: Annotated[float, Field(gt=0)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None


class CharacterConfig(Strict):
    """characters/<name>.yaml: one puppet."""

    name: str
    training_shots: tuple[str, ...] = ()
    names: dict[str, str | None] = {}
    training: TrainingConfig = TrainingConfig()
    mattes: MatteConfig = MatteConfig()
    review: ReviewConfig = ReviewConfig()

    _check = field_validator("name")(_name)

    @field_validator("names")
    @classmethod
    def _names(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for name in value.values():
            if name is not None:
                _name(name)
        return value

    @field_validator("training_shots")
    @classmethod
    def _shots(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_name(shot) for shot in value)


_SLURM_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.,:@=&|\[\]+*-]{0,199}"
_SlurmWord = Annotated[str, Field(pattern=f"^{_SLURM_WORD}$")]
_SlurmOption = Annotated[str, Field(pattern=f"^--[a-z][a-z-]*(={_SLURM_WORD})?$")]


class SlurmSettings(Strict):
    """``slurm:`` of a queue whose engine is Slurm."""

    partition: _SlurmWord | None = None
    account: _SlurmWord | None = None
    qos: _SlurmWord | None = None
    constraint: _SlurmWord | None = None
    time_limit: str | None = None
    stop_before: str = "2m"
    nice_per_priority: Annotated[int, Field(ge=0, le=10_000_000)] = 10_000
    max_cpus: Annotated[int, Field(ge=1)] | None = None
    environment: tuple[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    options: tuple[_SlurmOption, ...] = ()
    conf: str | None = None

    _check_stop = field_validator("stop_before")(_duration)

    @field_validator("time_limit")
    @classmethod
    def _limit(cls, value: str | None) -> str | None:
        return None if value is None else _duration(value)


class DeadlineSettings(Strict):
    """``deadline:`` of a queue whose engine is AWS Deadline Cloud."""

    farm_id: Annotated[str, Field(pattern="^farm-[0-9a-f]{32}$")]
    queue_id: Annotated[str, Field(pattern="^queue-[0-9a-f]{32}$")]
    profile: str | None = None
    region: Annotated[str, Field(pattern="^[a-z0-9-]+$")] | None = None
    max_cpus: Annotated[int, Field(ge=1)] = 8


_CueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{3,64}$")]  # of services, tags and shots
_CueShow = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,64}$")]


class OpenCueSettings(Strict):
    """``opencue:`` of a queue whose engine is OpenCue."""

    cuebot: tuple[
        Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$")], ...
    ] = ()
    show: _CueShow | None = None
    facility: _CueShow | None = None
    user: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$")] | None = None
    service: _CueName | None = None
    tags: tuple[_CueName, ...] = ()
    max_cpus: Annotated[int, Field(ge=1)] | None = None
    retry_delay: str = "2s"
    environment: tuple[Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()

    _check_delay = field_validator("retry_delay")(_duration)


_Reference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
"""Where a secret lies; the secret itself is in no configuration file."""


class WebhookSettings(Strict):
    """Where the end of a job is posted to."""

    url: Annotated[str, Field(pattern=r"^(https?://[^\s]+|env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
    token: _Reference | None = None
    timeout: str = "10s"

    _check_timeout = field_validator("timeout")(_duration)


class MailSettings(Strict):
    """Whom the end of a job is mailed to, and by which server."""

    to: Annotated[tuple[Annotated[str, Field(pattern=r"^[^\s,]+@[^\s,]+$")], ...],
                  Field(min_length=1)]  # fmt: skip
    sender: Annotated[str, Field(pattern=r"^[^\r\n]*[^\s]+@[^\r\n]+$")]
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    security: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password: _Reference | None = None
    timeout: str = "10s"

    _check_timeout = field_validator("timeout")(_duration)

    @field_validator("to")
    @classmethod
    def _to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_check_template(address, {"user"}, set()) for address in value)

    @model_validator(mode="after")
    def _login(self) -> MailSettings:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        return self


class NotifySettings(Strict):
    """``notify:`` of a queue: who is told when a job ends, and of which ends."""

    when: tuple[Literal["succeeded", "failed", "cancelled"], ...] = (
        "succeeded", "failed", "cancelled",
    )  # fmt: skip
    webhook: WebhookSettings | None = None
    email: MailSettings | None = None

    @model_validator(mode="after")
    def _someone(self) -> NotifySettings:
        if self.webhook is None and self.email is None:
            raise ValueError("wanted webhook, email or both")
        return self


class QueueConfig(Strict):
    """queues/<name>.yaml: a farm queue and how work is cut for it.

    ``slots``, ``memory_gib`` and ``keep_jobs`` are settings of the local engine; every other
    engine has a block of its own name.
    """

    name: str
    engine: Literal["local", "slurm", "opencue", "deadline"] = "local"
    state: str = "{root}/farm"
    slots: Annotated[int, Field(ge=1, le=256)] | None = None
    threads_per_slot: Annotated[int, Field(ge=1)] | None = None
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    keep_jobs: str | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    frames_per_task: Annotated[int, Field(ge=1, le=1000)] = 10
    task_timeout: str = "12h"
    slurm: SlurmSettings | None = None
    opencue: OpenCueSettings | None = None
    deadline: DeadlineSettings | None = None
    notify: NotifySettings | None = None

    _check = field_validator("name")(_name)
    _check_timeout = field_validator("task_timeout")(_duration)

    @field_validator("keep_jobs")
    @classmethod
    def _keep(cls, value: str | None) -> str | None:
        return None if value is None else _duration(value)

    @field_validator("state")
    @classmethod
    def _state(cls, value: str) -> str:
        return _check_template(value, {"root", "user"}, set())

    @model_validator(mode="after")
    def _of_one_engine(self) -> QueueConfig:
        local = ("slots", "memory_gib", "keep_jobs") if self.engine != "local" else ()
        others = [name for name in ENGINE_BLOCKS if name != self.engine]
        strange = [name for name in (*local, *others) if getattr(self, name) is not None]
        if strange:
            raise ValueError(
                f"{', '.join(strange)}: not a setting of the engine {self.engine!r}; remove it"
            )
        if self.engine == "deadline" and self.deadline is None:
            raise ValueError("deadline: wanted a block with farm_id and queue_id")
        if self.engine == "deadline" and self.notify is not None:
            raise ValueError(
                "notify: no process of ours sees the end of a job of Deadline Cloud; remove it, "
                "and use the events that AWS sends (EventBridge)"
            )
        return self


ENGINE_BLOCKS = ("slurm", "opencue", "deadline")
"""Engines with a block of settings of their own in a queue's file."""


class Configs(Strict):
    """A whole configuration folder, read and checked."""

    folder: Path
    show: ShowConfig
    characters: dict[str, CharacterConfig]
    queues: dict[str, QueueConfig]


_T = TypeVar("_T", bound=Strict)
_N = TypeVar("_N", CharacterConfig, QueueConfig)
_DURATION = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "dhms"))


def parse_duration(text: str) -> float:
    """Seconds of ``8h``, ``30m``, ``1h30m``, ``90s``, ``30d``.

    Raises:
        UsageError: not of that form, or not above zero.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = [float(part) if part else 0.0 for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=False))
    if seconds <= 0:
        raise UsageError(
            f"duration {text!r} cannot be read; wanted something like 8h, 30m, 90s or 30d"
        )
    return seconds


class _OnceLoader(yaml.SafeLoader):
    """Refuses a setting that stands twice in a file: YAML would take the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"setting {key.value!r} stands here a second time; keep one",
                    key.start_mark,
                )  # fmt: skip
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read_mapping(path: Path, faults: list[str]) -> dict[str, Any] | None:
    try:
        with path.open(encoding="utf-8") as stream:
            data = yaml.load(stream, Loader=_OnceLoader)
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror or error}")
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        faults.append(f"{path}: is not YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(data, dict):
        faults.append(f"{path}: wanted a mapping of settings, got {type(data).__name__}")
        return None
    return data


def describe_faults(error: ValidationError) -> list[str]:
    """Every fault of a pydantic error as ``path.to.field: what is wrong (got …)``."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "(file)"
        text = fault["msg"].removeprefix("Value error, ")
        got = fault.get("input")
        if fault["type"] == "extra_forbidden":
            text = "unknown setting; remove it or mend its spelling"
        elif not isinstance(got, dict | list):
            text += f" (got {got!r})"
        lines.append(f"{path}: {text}")
    return lines


def _parse(kind: type[_T], path: Path, faults: list[str]) -> _T | None:
    data = _read_mapping(path, faults)
    if data is None:
        return None
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults.extend(f"{path}: {line}" for line in describe_faults(error))
        return None


def _read_folder(
    kind: type[_N], folder: Path, faults: list[str]
) -> dict[str, _N]:
    found: dict[str, _N] = {}
    for path in sorted(folder.glob("*.yaml")):
        item = _parse(kind, path, faults)
        if item is None:
            continue
        if item.name != path.stem:
            faults.append(
                f"{path}: name: wanted the file's own name {path.stem!r}, got {item.name!r}"
            )
        found[item.name] = item
    return found


def read_configs(folder: Path) -> Configs:
    """Read and check every file of a configuration folder.

    Raises:
        ConfigError: lists all faults of all files.
    """
    folder = folder.absolute()
    if not (folder / "show.yaml").is_file():
        raise ConfigError(
            f"{folder / 'show.yaml'}: not found; name the configuration folder with --configs or "
            "LAIKAROTO_CONFIGS, or make a new show with 'laikaroto init DIR'"
        )
    faults: list[str] = []
    show = _parse(ShowConfig, folder / "show.yaml", faults)
    characters = _read_folder(CharacterConfig, folder / "characters", faults)
    queues = _read_folder(QueueConfig, folder / "queues", faults)
    if faults or show is None:
        raise ConfigError("\n".join(faults))
    return Configs(folder=folder, show=show, characters=characters, queues=queues)
