"""queues/*.yaml as strict records: what all engines have in common, and a block for each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from laikaroto.config.values import Strict, as_duration, as_name, check_template

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

    _check_stop = field_validator("stop_before")(as_duration)

    @field_validator("time_limit")
    @classmethod
    def _limit(cls, value: str | None) -> str | None:
        return None if value is None else as_duration(value)


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

    _check_delay = field_validator("retry_delay")(as_duration)


_Reference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
"""Where a secret lies; the secret itself is in no configuration file."""


class WebhookSettings(Strict):
    """Where the end of a job is posted to."""

    url: Annotated[str, Field(pattern=r"^(https?://[^\s]+|env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")]
    token: _Reference | None = None
    timeout: str = "10s"

    _check_timeout = field_validator("timeout")(as_duration)


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

    _check_timeout = field_validator("timeout")(as_duration)

    @field_validator("to")
    @classmethod
    def _to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_template(address, {"user"}, set()) for address in value)

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


ENGINE_BLOCKS = ("slurm", "opencue", "deadline")
"""Engines with a block of settings of their own in a queue's file."""


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

    _check = field_validator("name")(as_name)
    _check_timeout = field_validator("task_timeout")(as_duration)

    @field_validator("keep_jobs")
    @classmethod
    def _keep(cls, value: str | None) -> str | None:
        return None if value is None else as_duration(value)

    @field_validator("state")
    @classmethod
    def _state(cls, value: str) -> str:
        return check_template(value, {"root", "user"}, set())

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
