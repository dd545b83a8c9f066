"""Cuebot, asked and told over gRPC with OpenCue's own message definitions (opencue-proto).

Messages name things by their id alone, which is all that Cuebot looks at. Every call has a
time limit; of several Cuebots the first that answers is used.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from laikaroto.config import OpenCueSettings, current_user
from laikaroto.errors import ConfigError, FarmError, TryAgainError

_PORT = 8443
_TIMEOUT_S = 30.0
_CONNECT_S = 5.0
_LAUNCH_S = 180.0  # Cuebot answers when the whole job is in its database
_PAGE = 1000  # frames Cuebot gives at once, at most
_MANY = 500  # ids named in one request
_MESSAGE_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CueJob:
    """A job in Cuebot. ``finished``: nothing of it runs any more, also if it was killed."""

    id: str
    name: str
    finished: bool
    paused: bool
    priority: int
    running: int
    dead: int
    eaten: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CueFrame:
    """A frame in Cuebot; ``stamp`` differs between two runs of it."""

    id: str
    layer: str
    number: int
    state: str
    exit_status: int
    stamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CueDepend:
    """What a layer waits for, by names of job and layer."""

    id: str
    active: bool
    job: str
    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CueHost:
    """A host; memory in MiB."""

    name: str
    cpus: int
    memory_mib: int
    tags: frozenset[str]


class Cuebot:
    """One Cuebot, or several that share a database."""

    def __init__(self, settings: OpenCueSettings, *, queue: str) -> None:
        """Nothing is asked before it is needed.

        Args:
            settings: of the queue.
            queue: its name, for messages.
        """
        self._settings = settings
        self._queue = queue
        self._channel: Any = None
        self._address = ""

    # ---- connection -----------------------------------------------------------------------

    @cached_property
    def _grpc(self) -> Any:
        try:
            import grpc
            import opencue_proto.job_pb2  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"queue {self._queue!r}: the engine 'opencue' needs its libraries: "
                "pip install 'laikaroto[opencue]'"
            ) from error
        return grpc

    def _addresses(self) -> list[str]:
        named = self._settings.cuebot or tuple(
            host.strip() for host in os.environ.get("CUEBOT_HOSTS", "").split(",") if host.strip()
        )
        if not named:
            raise ConfigError(
                f"queue {self._queue!r}: no Cuebot named; write its host as opencue.cuebot into "
                "the queue's file, or set CUEBOT_HOSTS"
            )
        return [host if _has_port(host) else f"{host}:{_PORT}" for host in named]

    def _connected(self) -> Any:
        """The channel to the first Cuebot that answers."""
        if self._channel is not None:
            return self._channel
        grpc, tried = self._grpc, []
        for address in self._addresses():
            channel = grpc.insecure_channel(
                address,
                options=[
                    ("grpc.enable_http_proxy", 0),  # a Cuebot is of the house
                    ("grpc.max_send_message_length", _MESSAGE_BYTES),
                    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
                ],
            )
            try:
                grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
            except grpc.FutureTimeoutError:
                channel.close()
                tried.append(address)
                continue
            self._channel, self._address = channel, address
            return channel
        raise TryAgainError(
            f"queue {self._queue!r}: Cuebot cannot be reached at {', '.join(tried)} (waited "
            f"{_CONNECT_S:g} s each); is it running, and are opencue.cuebot or CUEBOT_HOSTS right?"
        )

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call(
        self, module: str, interface: str, method: str, request: Any, *,
        timeout_s: float = _TIMEOUT_S, may_miss: bool = False,
    ) -> Any:  # fmt: skip
        """One call, its errors in our words.

        Args:
            module: of opencue-proto, ``job`` for job.proto.
            interface: the service.
            method: its method.
            request: the message.
            timeout_s: how long to wait for the answer.
            may_miss: the answer is None if what the request names does not exist.
        """
        channel = self._connected()
        stubs = importlib.import_module(f"opencue_proto.{module}_pb2_grpc")
        stub = getattr(stubs, f"{interface}Stub")(channel)
        code = self._grpc.StatusCode
        try:
            return getattr(stub, method)(request, timeout=timeout_s)
        except self._grpc.RpcError as error:
            said = " ".join((error.details() or "no details").split())
            what = f"{interface}.{method}"
            if error.code() is code.NOT_FOUND and may_miss:
                return None
            if error.code() in (code.UNAVAILABLE, code.DEADLINE_EXCEEDED, code.CANCELLED):
                self.close()
                raise TryAgainError(
                    f"Cuebot at {self._address} does not answer {what}: {said}"
                ) from error
            if error.code() is code.UNIMPLEMENTED:
                raise FarmError(
                    f"Cuebot at {self._address} does not know {what}: it is older than the "
                    "1.37 this is made for"
                ) from error
            raise FarmError(f"Cuebot at {self._address} refuses {what}: {said}") from error

    def _job_call(self, method: str, request: Any, **how: Any) -> Any:
        return self._call("job", "JobInterface", method, request, **how)

    def _layer_call(self, method: str, request: Any) -> Any:
        return self._call("job", "LayerInterface", method, request)

    def _messages(self, module: str) -> Any:
        """A module of opencue-proto, ``job`` for job.proto."""
        assert self._grpc  # it says what to do if the libraries are missing
        return importlib.import_module(f"opencue_proto.{module}_pb2")

    @cached_property
    def _job(self) -> Any:
        return self._messages("job")

    # ---- asking ---------------------------------------------------------------------------

    def check_place(self, show: str) -> None:
        """See that show and facility exist.

        Raises:
            FarmError: they do not; the active shows are listed.
        """
        shows, facilities = self._messages("show"), self._messages("facility")
        if self._call(
            "show", "ShowInterface", "FindShow", shows.ShowFindShowRequest(name=show),
            may_miss=True,
        ) is None:  # fmt: skip
            found = self._call(
                "show", "ShowInterface", "GetActiveShows", shows.ShowGetActiveShowsRequest()
            )
            names = sorted(one.name for one in found.shows.shows)
            raise FarmError(
                f"OpenCue has no show {show!r}; active shows: {', '.join(names) or 'none'}. Make "
                f"it (cueadmin -create-show {show}), or name another as opencue.show in queue "
                f"{self._queue!r}"
            )
        facility = self._settings.facility
        if facility is not None and self._call(
            "facility", "FacilityInterface", "Get",
            facilities.FacilityGetRequest(name=facility), may_miss=True,
        ) is None:  # fmt: skip
            raise FarmError(
                f"OpenCue has no facility {facility!r}; see opencue.facility in queue "
                f"{self._queue!r}, or leave it out for the default one"
            )

    def hosts(self) -> tuple[CueHost, ...]:
        """Every host Cuebot knows, up or not."""
        hosts = self._messages("host")
        found = self._call(
            "host", "HostInterface", "GetHosts",
            hosts.HostGetHostsRequest(r=hosts.HostSearchCriteria()),
        )  # fmt: skip
        return tuple(
            CueHost(
                name=host.name, cpus=int(host.cores), memory_mib=host.memory // 1024,
                tags=frozenset(host.tags),
            )
            for host in found.hosts.hosts
        )  # fmt: skip

    def jobs(self, ids: Sequence[str]) -> dict[str, CueJob]:
        """Jobs by id, finished ones too; those Cuebot has forgotten are left out."""
        found: dict[str, CueJob] = {}
        for some in _parts(ids):
            answer = self._job_call(
                "GetJobs",
                self._job.JobGetJobsRequest(
                    r=self._job.JobSearchCriteria(ids=some, include_finished=True)
                ),
            )
            found.update((job.id, self._cue_job(job)) for job in answer.jobs.jobs)
        return found

    def find(self, name: str) -> CueJob | None:
        """The active job of a name."""
        answer = self._job_call("FindJob", self._job.JobFindJobRequest(name=name), may_miss=True)
        return None if answer is None else self._cue_job(answer.job)

    def _cue_job(self, job: Any) -> CueJob:
        stats = job.job_stats
        return CueJob(
            id=job.id, name=job.name, finished=job.state == self._job.FINISHED,
            paused=job.is_paused, priority=job.priority, running=stats.running_frames,
            dead=stats.dead_frames, eaten=stats.eaten_frames,
        )  # fmt: skip

    def frames(self, job: str) -> list[CueFrame]:
        """All frames of a job, by its id."""
        found: list[CueFrame] = []
        page = 1
        while True:
            answer = self._job_call(
                "GetFrames",
                self._job.JobGetFramesRequest(
                    job=self._job.Job(id=job),
                    req=self._job.FrameSearchCriteria(
                        page=page, limit=_PAGE, include_finished=True
                    ),
                ),
            )
            some = list(answer.frames.frames)
            found += [self._cue_frame(frame) for frame in some]
            if len(some) < _PAGE:
                return found
            page += 1

    def _cue_frame(self, frame: Any) -> CueFrame:
        return CueFrame(
            id=frame.id, layer=frame.layer_name, number=frame.number,
            state=self._job.FrameState.Name(frame.state), exit_status=frame.exit_status,
            stamp=f"{frame.retry_count}:{frame.start_time}:{frame.stop_time}",
        )  # fmt: skip

    def layers(self, job: str) -> dict[str, str]:
        """Layers of a job, by its id: name -> id."""
        answer = self._job_call(
            "GetLayers", self._job.JobGetLayersRequest(job=self._job.Job(id=job))
        )
        return {layer.name: layer.id for layer in answer.layers.layers}

    def depends(self, layer: str) -> list[CueDepend]:
        """What a layer waits or waited for."""
        answer = self._layer_call(
            "GetWhatThisDependsOn",
            self._job.LayerGetWhatThisDependsOnRequest(layer=self._job.Layer(id=layer)),
        )
        return [
            CueDepend(
                id=depend.id, active=depend.active, job=depend.depend_on_job,
                layer=depend.depend_on_layer,
            )
            for depend in answer.depends.depends
        ]  # fmt: skip

    # ---- telling --------------------------------------------------------------------------

    def launch(self, spec: str) -> CueJob:
        """Launch a job; all of it is in Cuebot's database on return."""
        answer = self._job_call(
            "LaunchSpecAndWait", self._job.JobLaunchSpecAndWaitRequest(spec=spec),
            timeout_s=_LAUNCH_S,
        )  # fmt: skip
        (job,) = answer.jobs.jobs
        return self._cue_job(job)

    def pause(self, job: str) -> None:
        """Start no more frames of a job."""
        self._job_call("Pause", self._job.JobPauseRequest(job=self._job.Job(id=job)))

    def resume(self, job: str) -> None:
        """Undo ``pause``."""
        self._job_call("Resume", self._job.JobResumeRequest(job=self._job.Job(id=job)))

    def set_priority(self, job: str, priority: int) -> None:
        """Higher first."""
        self._job_call(
            "SetPriority", self._job.JobSetPriorityRequest(job=self._job.Job(id=job), val=priority)
        )

    def kill(self, job: str, reason: str) -> None:
        """End a job; it leaves the cue."""
        self._job_call(
            "Kill",
            self._job.JobKillRequest(
                job=self._job.Job(id=job), username=current_user(), pid=str(os.getpid()),
                host_kill=socket.gethostname(), reason=reason,
            ),
        )  # fmt: skip

    def retry(self, job: str, frames: Sequence[str]) -> None:
        """Run frames again, by their ids; what depends on them waits again."""
        for some in _parts(frames):
            self._job_call(
                "RetryFrames",
                self._job.JobRetryFramesRequest(job=self._job.Job(id=job), req=self._named(some)),
            )

    def eat(self, job: str, frames: Sequence[str]) -> None:
        """Go on without frames, by their ids; running ones are killed."""
        for some in _parts(frames):
            self._job_call(
                "EatFrames",
                self._job.JobEatFramesRequest(job=self._job.Job(id=job), req=self._named(some)),
            )

    def _named(self, ids: Sequence[str]) -> Any:
        return self._job.FrameSearchCriteria(ids=ids, page=1, limit=_PAGE)

    def mark_done(self, layer: str) -> None:
        """Satisfy all that waits for a layer."""
        self._layer_call(
            "MarkdoneFrames", self._job.LayerMarkdoneFramesRequest(layer=self._job.Layer(id=layer))
        )

    def depend_on(self, layer: str, on_layer: str) -> None:
        """Let every frame of a layer wait for every frame of another."""
        self._layer_call(
            "CreateDependencyOnLayer",
            self._job.LayerCreateDependOnLayerRequest(
                layer=self._job.Layer(id=layer), depend_on_layer=self._job.Layer(id=on_layer)
            ),
        )

    def satisfy(self, depend: str) -> None:
        """Wait no more for something."""
        depends = self._messages("depend")
        self._call(
            "depend", "DependInterface", "Satisfy",
            depends.DependSatisfyRequest(depend=depends.Depend(id=depend)),
        )  # fmt: skip

    def start_after(self, layer: str, when: float) -> None:
        """Start no frame of a layer before a time, seconds since 1970."""
        self._layer_call(
            "SetStartAfter",
            self._job.LayerSetStartAfterRequest(
                layer=self._job.Layer(id=layer), start_after=int(-(-when // 1)),
                username=current_user(),
            ),
        )  # fmt: skip


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(ids), _MANY):
        yield list(ids[first : first + _MANY])
