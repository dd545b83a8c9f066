"""The job specification Cuebot reads (CJSL, an XML dialect), and the names it makes of ours.

Cuebot lower-cases names, turns dashes into underscores, wants three characters at least, and
puts ``show-shot-user_`` before the name of a job. Names are made so here, to know what a job
will be called before it is launched: that is how a launch whose answer was lost is found again.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from laikaroto.config import OpenCueSettings, current_user
from laikaroto.errors import ConfigError, FarmError
from laikaroto.farm.bundle import JobSettings
from laikaroto.farm.handing import handed_on
from laikaroto.farm.plan import StepPlan
from laikaroto.farm.secrecy import is_secret
from laikaroto.farm.steering import Card
from laikaroto.frames import format_frames

_HEAD = (
    '<?xml version="1.0"?>\n<!DOCTYPE spec PUBLIC "SPI Cue Specification Language" '
    '"http://localhost:8080/spcue/dtd/cjsl-1.15.dtd">\n'
)
_TOKEN = re.compile("#[A-Z_]+#")  # what Cuebot replaces in a command
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in OpenCue a job belongs."""

    show: str
    shot: str
    user: str

    @classmethod
    def of(
        cls, job: JobSettings, parameters: Mapping[str, object], settings: OpenCueSettings
    ) -> Place:
        """Place of a job.

        Args:
            job: its settings.
            parameters: its job parameters; ``Shot`` or ``Character`` is its shot in OpenCue.
            settings: of the queue.

        Raises:
            ConfigError: a part of it is no name OpenCue takes.
            FarmError: the user is root, whose jobs OpenCue does not run.
        """
        user = settings.user or current_user()
        if user == "root":
            raise FarmError(
                "OpenCue does not run jobs of root; submit as another user, or name one as "
                "opencue.user in the queue's file"
            )
        # a new show is conformed by OpenCue in the same way
        show = settings.show or job.show.lower().replace("-", "_")
        if re.fullmatch(r"[A-Za-z0-9_.-]{3,64}", show) is None:
            raise ConfigError(
                f"show {job.show!r} is no name OpenCue takes (three or more of letters, digits, "
                "'_', '.'); name OpenCue's own as opencue.show in the queue's file"
            )
        shot = parameters.get("Shot") or parameters.get("Character") or job.kind
        return cls(show=show, shot=_conform(str(shot)).ljust(3, "_"), user=user)

    def job_name(self, name: str) -> str:
        """What Cuebot calls a job that is launched here by a name."""
        prefix = f"{self.show}-{self.shot}-{self.user}"
        suffix = name.removeprefix(f"{prefix}_").lower()
        suffix = re.sub("_{2,}", "_", suffix).replace("-", "_").lstrip("_")
        return f"{prefix.rstrip('_').lower()}_{suffix}"


def _conform(name: str) -> str:
    return name.lower().replace("-", "_")


def launch_name(card: Card, number: int) -> str:
    """Name under which a job is launched for the ``number``-th time.

    Show, shot and user of our own name are left out: OpenCue puts its own before it.
    """
    job, subject = card.settings, card.parameters.get("Shot") or card.parameters.get("Character")
    name = job.name.removeprefix(f"{job.show}-{subject}-{re.sub('[^A-Za-z0-9]', '', job.user)}_")
    return name if number == 1 else f"{name}_{number}"


def layer_names(card: Card) -> dict[str, str]:
    """Layer name of each step; the number keeps those apart that differ in case or dashes."""
    return {
        step.name: f"{place:02}_{_conform(step.name).replace('.', '_')}"
        for place, step in enumerate(card.steps, 1)
    }


def frame_command(state: Path, job: str, step: str, *, retry_delay_s: float) -> str:
    """The command of every frame of a layer, for the shell that RQD starts it with.

    Args:
        state: the queue's state folder.
        job: name of the job.
        step: name of the step.
        retry_delay_s: see ``outcome.retry_delay_s``.

    Raises:
        ConfigError: a path holds what Cuebot would replace.
    """
    words = [
        sys.executable, "-P", "-m", "laikaroto.farm.opencue.frame", str(state), job, step,
        f"{retry_delay_s:g}",
    ]  # fmt: skip
    for word in words:
        if _TOKEN.search(word) or _NOT_XML.search(word):
            raise ConfigError(
                f"{word!r}: OpenCue would change this path in a command; use one without "
                "'#NAME#' and control characters"
            )
    return shlex.join([*words, "#IFRAME#"])


def environment(settings: OpenCueSettings) -> dict[str, str]:
    """Variables the frames get; RQD starts them with next to none.

    Raises:
        ConfigError: a secret is among them. Cuebot shows environments to everybody.
    """
    secret = [name for name in settings.environment if is_secret(name)]
    if secret:
        raise ConfigError(
            f"opencue.environment: {', '.join(secret)}: looks secret by its name, and OpenCue "
            "shows the environment of a job to everybody; give it to tasks by a file"
        )
    # RQD sets the time zone of its makers; logs are read in the host's own
    return {"TZ": ":/etc/localtime", **handed_on(settings.environment)}


def write_spec(
    card: Card, settings: OpenCueSettings, place: Place, *, number: int,
    tasks: Mapping[str, frozenset[int]], commands: Mapping[str, str], priority: int,
) -> str:  # fmt: skip
    """The specification of a job; it is launched paused.

    Args:
        card: the job.
        settings: of the queue.
        place: where in OpenCue it belongs.
        number: how often it was launched, this time included.
        tasks: step -> tasks of it to run; steps without tasks are left out.
        commands: step -> command of its frames.
        priority: 0-100.
    """
    root = ElementTree.Element("spec")
    if settings.facility is not None:
        _add(root, "facility", settings.facility)
    for name in ("show", "shot", "user"):
        _add(root, name, getattr(place, name))
    if settings.user in (None, current_user()):  # a strange user's number is not ours
        _add(root, "uid", str(os.getuid()))
    job = ElementTree.SubElement(root, "job", name=launch_name(card, number))
    _add(job, "paused", "True")
    _add(job, "priority", str(priority))
    _add(job, "maxretries", "0")  # tries are counted by the runner
    _add(job, "autoeat", "False")
    variables = ElementTree.SubElement(job, "env")
    for name, value in environment(settings).items():
        if not _NOT_XML.search(value):
            _add(variables, "key", value, name=name)
    layers = ElementTree.SubElement(job, "layers")
    for step in card.steps:
        if tasks.get(step.name):
            _add_layer(layers, card, settings, step, tasks[step.name], commands[step.name])
    _add_depends(root, card, tasks, launch_name(card, number))
    return _HEAD + ElementTree.tostring(root, encoding="unicode")


def _add(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, tag, attributes).text = text


def _add_layer(
    layers: ElementTree.Element, card: Card, settings: OpenCueSettings, step: StepPlan,
    tasks: frozenset[int], command: str,
) -> None:  # fmt: skip
    """A layer; its elements have to be in this order."""
    layer = ElementTree.SubElement(
        layers, "layer", name=layer_names(card)[step.name], type="Render"
    )
    _add(layer, "cmd", command)
    _add(layer, "range", format_frames(sorted(tasks)))
    _add(layer, "chunk", "1")
    _add(layer, "cores", f"{max(card.threads, step.requirements.cpus or 1)}.0")
    _add(layer, "threadable", "False")  # no more CPUs than asked for
    if step.requirements.memory_mib:
        _add(layer, "memory", f"{step.requirements.memory_mib}m")
    # time limits are the runner's; the log RQD watches stays silent while a payload works
    _add(layer, "timeout", "0")
    _add(layer, "timeout_llu", "0")
    if settings.tags:
        _add(layer, "tags", " | ".join(settings.tags))
    services = ElementTree.SubElement(layer, "services")
    _add(services, "service", settings.service or "default")


def _add_depends(
    root: ElementTree.Element, card: Card, tasks: Mapping[str, frozenset[int]], job: str
) -> None:
    """Steps wait for whole steps: LAYER_ON_LAYER."""
    depends = ElementTree.SubElement(root, "depends")
    names = layer_names(card)
    for step in card.steps:
        for need in step.needs:
            if tasks.get(step.name) and tasks.get(need):
                depend = ElementTree.SubElement(
                    depends, "depend", type="LAYER_ON_LAYER", anyframe="False"
                )
                _add(depend, "depjob", job)
                _add(depend, "deplayer", names[step.name])
                _add(depend, "onjob", job)
                _add(depend, "onlayer", names[need])
