"""What the stand-in for Cuebot knows: jobs, layers, frames, what waits for what, in memory.

The rules are those of Cuebot 1.37, each named where it is kept: which state a frame gets when
RQD reports its end (``FrameCompleteHandler``), what retrying, eating and killing do
(``JobManagerSupport``), what satisfies a dependency (``DependManagerService``), what a job
specification may hold (``JobSpec`` and its DTD). Only LAYER_ON_LAYER is known. No database, no
subscriptions, no limits, no memory management, one host.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from opencue_proto import job_pb2

from laikaroto.frames import parse_frames

NAME = re.compile(r"[\w.]{3,}", re.ASCII)
WAITING, RUNNING, SUCCEEDED = job_pb2.WAITING, job_pb2.RUNNING, job_pb2.SUCCEEDED
DEPEND, DEAD, EATEN = job_pb2.DEPEND, job_pb2.DEAD, job_pb2.EATEN
# cjsl-1.15.dtd: elements in the order in which they have to stand
_ORDER = {
    "spec": ("facility", "dept", "show", "shot", "user", "email", "uid", "job", "depends"),
    "job": (
        "paused", "priority", "maxretries", "maxcores", "maxgpus", "autoeat", "localbook", "os",
        "env", "layers",
    ),
    "layers": ("layer",),
    "layer": (
        "cmd", "range", "chunk", "cores", "threadable", "memory", "gpus", "gpu", "gpu_memory",
        "timeout", "timeout_llu", "tags", "limits", "env", "services", "outputs",
    ),
    "services": ("service",), "env": ("key",), "depends": ("depend",),
    "depend": ("depjob", "deplayer", "depframe", "onjob", "onlayer", "onframe"),
}  # fmt: skip


class SpecError(Exception):
    """Cuebot would not take this."""


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(eq=False, kw_only=True)
class Frame:
    """A frame; ``proc`` names the one run of it that is going on."""

    layer: Layer
    number: int
    id: str = field(default_factory=_new_id)
    state: int = WAITING
    depends: int = 0
    retries: int = 0
    exit_status: int = -1
    start: float = 0.0
    stop: float = 0.0
    proc: str = ""

    @property
    def name(self) -> str:
        return f"{self.number:04}-{self.layer.name}"

    def wait(self) -> None:
        """WAITING, or DEPEND as long as something is not there: a trigger of the database."""
        self.state = DEPEND if self.depends else WAITING


@dataclass(eq=False, kw_only=True)
class Layer:
    """A layer; ``cores`` in hundredths, ``memory`` in KiB."""

    job: Job
    name: str
    command: str
    cores: int
    memory: int
    timeouts: tuple[int, int]
    tags: tuple[str, ...]
    id: str = field(default_factory=_new_id)
    start_after: int = 0
    frames: list[Frame] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return all(frame.state in (SUCCEEDED, EATEN) for frame in self.frames)


@dataclass(eq=False, kw_only=True)
class Job:
    """A job; a finished one is not found by its name any more."""

    name: str
    show: str
    shot: str
    user: str
    uid: int | None
    priority: int
    paused: bool
    max_retries: int
    env: dict[str, str]
    id: str = field(default_factory=_new_id)
    state: int = job_pb2.PENDING
    start: float = field(default_factory=time.time)
    layers: list[Layer] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        for layer in self.layers:
            yield from layer.frames

    @property
    def complete(self) -> bool:
        return all(layer.complete for layer in self.layers)


@dataclass(eq=False, kw_only=True)
class Depend:
    """LAYER_ON_LAYER."""

    er: Layer
    on: Layer
    active: bool = True
    id: str = field(default_factory=_new_id)


class Book:
    """All of it. Whoever calls holds the stand-in's lock."""

    def __init__(self, shows: Sequence[str]) -> None:
        self.shows = list(shows)
        self.jobs: list[Job] = []
        self.depends: list[Depend] = []

    # ---- launching: JobSpec, JobManagerService ------------------------------------------------

    def launch(self, spec: str) -> Job:
        """Read a specification and make its job, as ``launchSpecAndWait`` does."""
        root = ElementTree.fromstring(spec)
        if not spec.startswith("<?xml") or "cjsl-1.15.dtd" not in spec.partition("<spec>")[0]:
            raise SpecError("Failed to parse job spec XML, no DTD")
        _validate(root)
        show, shot, user = (root.findtext(tag) or "" for tag in ("show", "shot", "user"))
        if user == "root" or root.findtext("uid") == "0":
            raise SpecError("Cannot launch jobs as root.")
        if show not in self.shows:
            raise SpecError(f"failed to find show {show}")
        (tag,) = root.findall("job")
        uid = root.findtext("uid")
        shot = _conform("Shot", shot)
        job = Job(
            name=_job_name(tag.get("name") or "", show, shot, user), show=show, shot=shot,
            user=user, uid=None if uid is None else int(uid),
            priority=int(tag.findtext("priority") or 1), paused=tag.findtext("paused") == "True",
            max_retries=min(1, int(tag.findtext("maxretries") or 1)),  # FRAME_RETRIES_MAX
            env={key.get("name") or "": key.text or "" for key in tag.findall("env/key")},
        )  # fmt: skip
        if self.find(job.name):
            raise SpecError(f"error launching job, active job already exists: {job.name}")
        for layer in tag.findall("layers/layer"):
            self._add_layer(job, layer)
        self.jobs.append(job)
        for depend in root.findall("depends/depend"):
            self._read_depend(job, depend, show, shot, user)
        return job

    def _add_layer(self, job: Job, tag: ElementTree.Element) -> None:
        name = _conform("Layer", tag.get("name") or "")
        if any(layer.name == name for layer in job.layers):
            raise SpecError(f"error, the layer {name} was already defined in job {job.name}")
        cores = tag.findtext("cores") or "1.0"
        memory = (tag.findtext("memory") or "").removesuffix("m")
        layer = Layer(
            job=job, name=name, command=(tag.findtext("cmd") or "").strip(),
            cores=int(float(cores) * 100) if "." in cores else int(cores),
            memory=int(memory or 0) * 1024,
            timeouts=(int(tag.findtext("timeout") or 60), int(tag.findtext("timeout_llu") or 30)),
            tags=tuple((tag.findtext("tags") or "general").replace(" ", "").split("|")),
        )  # fmt: skip
        assert tag.findtext("chunk") == "1"
        frames = parse_frames(tag.findtext("range") or "")
        layer.frames = [Frame(layer=layer, number=number) for number in frames]
        job.layers.append(layer)

    def _read_depend(
        self, job: Job, tag: ElementTree.Element, show: str, shot: str, user: str
    ) -> None:
        assert tag.get("type") == "LAYER_ON_LAYER" and tag.get("anyframe") == "False"
        for end in ("depjob", "onjob"):
            if _job_name(tag.findtext(end) or "", show, shot, user) != job.name:
                raise SpecError(f"failed to setup new dependency: no job {tag.findtext(end)}")
        layers = {layer.name: layer for layer in job.layers}
        self.create_depend(
            layers[_conform("Layer", tag.findtext("deplayer") or "")],
            layers[_conform("Layer", tag.findtext("onlayer") or "")],
        )

    # ---- finding --------------------------------------------------------------------------------

    def find(self, name: str) -> Job | None:
        """The job of a name that is not finished."""
        for job in self.jobs:
            if job.name == name and job.state != job_pb2.FINISHED:
                return job
        return None

    def job(self, job_id: str) -> Job | None:
        return next((job for job in self.jobs if job.id == job_id), None)

    def layer(self, layer_id: str) -> Layer | None:
        layers = (layer for job in self.jobs for layer in job.layers)
        return next((layer for layer in layers if layer.id == layer_id), None)

    def frame(self, frame_id: str) -> Frame | None:
        frames = (frame for job in self.jobs for frame in job.frames())
        return next((frame for frame in frames if frame.id == frame_id), None)

    def dispatchable(self, cores: int) -> Frame | None:
        """The next frame for a host with so many idle cores: priority, then age, then order."""
        for job in sorted(self.jobs, key=lambda job: -job.priority):
            if job.paused or job.state == job_pb2.FINISHED:
                continue
            for frame in job.frames():
                layer = frame.layer
                if frame.state == WAITING and layer.cores <= cores:
                    if layer.start_after <= time.time():
                        return frame
        return None

    # ---- dependencies: DependManagerService ----------------------------------------------------

    def create_depend(self, er: Layer, on: Layer) -> Depend:
        depend = Depend(er=er, on=on, active=not on.complete)
        self.depends.append(depend)
        if depend.active:
            self._count(er, 1)
        return depend

    def satisfy(self, depend: Depend) -> None:
        if depend.active:
            depend.active = False
            self._count(depend.er, -1)

    def satisfy_layer(self, layer: Layer) -> None:
        for depend in self.depends:
            if depend.on is layer:
                self.satisfy(depend)

    def _count(self, layer: Layer, change: int) -> None:
        for frame in layer.frames:
            frame.depends += change
            if frame.state in (WAITING, DEPEND):
                frame.wait()

    # ---- frames: FrameCompleteHandler, JobManagerSupport -----------------------------------------

    def started(self, frame: Frame, proc: str) -> None:
        frame.retries += frame.exit_status >= 0
        frame.state, frame.proc, frame.start = RUNNING, proc, time.time()

    def stopped(self, frame: Frame, state: int, exit_status: int) -> None:
        frame.exit_status, frame.stop, frame.proc = exit_status, time.time(), ""
        frame.state = state
        if state == WAITING:
            frame.wait()

    def reported(self, frame: Frame, proc: str, exit_status: int, exit_signal: int) -> None:
        """A frame ended on its host: ``determineFrameState`` and what follows."""
        if frame.proc != proc:
            return  # superseded: stopped by retry, eat or kill before
        job = frame.layer.job
        if exit_status == 0:
            state = SUCCEEDED
        elif exit_status == job_pb2.SKIP_RETRY or frame.retries < job.max_retries:
            state = WAITING
        else:
            state = DEAD
        self.stopped(frame, state, exit_status)
        if state == SUCCEEDED:  # depend.satisfy_only_on_frame_success
            if frame.layer.complete:
                self.satisfy_layer(frame.layer)
            if job.complete:
                job.state = job_pb2.FINISHED

    def retry(self, frame: Frame) -> None:
        """Make a frame that does not run wait again; what depends on its layer waits too."""
        self.stopped(frame, WAITING, frame.exit_status)
        for depend in self.depends:
            if depend.on is frame.layer and not depend.active:
                depend.active = True
                self._count(depend.er, 1)
        frame.layer.job.state = job_pb2.PENDING

    def eat(self, frame: Frame) -> None:
        """Go on without a frame. That alone satisfies nothing that waits for its layer."""
        self.stopped(frame, EATEN, EATEN + 500)
        if frame.layer.job.complete:
            frame.layer.job.state = job_pb2.FINISHED


def _validate(tag: ElementTree.Element) -> None:
    order = _ORDER.get(tag.tag, ())
    places = [order.index(child.tag) if child.tag in order else -1 for child in tag]
    if -1 in places or places != sorted(places):
        raise SpecError(f"Failed to parse job spec XML, {tag.tag}: {[c.tag for c in tag]}")
    for child in tag:
        _validate(child)


def _conform(kind: str, name: str) -> str:
    """``conformName``."""
    name = name.replace("-", "_").lower()
    if NAME.fullmatch(name) is None:
        raise SpecError(f"The {kind} name: {name} is not in the proper format.")
    return name


def _job_name(name: str, show: str, shot: str, user: str) -> str:
    """``conformJobName``."""
    prefix = f"{show}-{shot}-{user}_"
    suffix = name[len(prefix) - 1 :] if name.startswith(prefix) else name
    suffix = re.sub("_{2,}", "_", suffix.lower()).replace("-", "_")
    if NAME.fullmatch(suffix) is None:
        raise SpecError(f"The job name suffix: {suffix} must be composed of alpha numeric")
    return re.sub("_+$", "", prefix).lower() + "_" + re.sub("^_+", "", suffix)
