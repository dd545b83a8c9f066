"""A stand-in for Cuebot: OpenCue's own gRPC services over ``book``, and a dispatcher for one RQD.

The services are those of opencue-proto as far as the engine and a few commands of pycue call
them; what is not here answers UNIMPLEMENTED, as gRPC itself does. Frames are launched on a real
RQD, which reports their ends. Retrying, eating and killing happen a moment after they were
answered, as in Cuebot, which queues them.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from opencue_proto import (
    cue_pb2,
    cue_pb2_grpc,
    depend_pb2,
    depend_pb2_grpc,
    facility_pb2,
    facility_pb2_grpc,
    host_pb2,
    host_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
    rqd_pb2,
    rqd_pb2_grpc,
    show_pb2,
    show_pb2_grpc,
)

from tests.farm.opencue import book as rules
from tests.farm.opencue.book import Book, Depend, Frame, Job, Layer, SpecError

_LOOK_S = 0.1


class StandIn:
    """The server; ``port`` is where it listens."""

    def __init__(self, logs: Path, *, shows: tuple[str, ...] = ("test",)) -> None:
        self.logs = logs
        self.book = Book(shows)
        self.lock = threading.RLock()
        self.host: report_pb2.RenderHost | None = None
        self.launched: list[str] = []  # names of frames, in the order in which they were launched
        self.errors: list[str] = []  # of this stand-in; a test that caused one has failed
        self.unknown: set[str] = set()  # methods to pretend an older Cuebot with
        self.busy_s = 0.0  # how long Cuebot lets what it queues wait
        self._cores = 0
        self._idle = 0
        self._rqd: Any = None
        self._ended = threading.Event()
        self._queue = ThreadPoolExecutor(max_workers=1)
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=8), interceptors=[_Older(self.unknown)]
        )
        for module, name, servant in _SERVANTS:
            add = getattr(module, f"add_{name}Servicer_to_server")
            add(servant(self), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._dispatcher = threading.Thread(target=self._dispatch, daemon=True)

    def start(self) -> StandIn:
        """Listen; hosts may report."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End everything of this object; RQD has been ended before."""
        self._ended.set()
        if self._dispatcher.is_alive():
            self._dispatcher.join()
        self._queue.shutdown()
        self._server.stop(grace=None).wait()

    def later(self, action: Callable[[], None]) -> None:
        """Do something after it was answered: Cuebot's manage queue."""

        def act() -> None:
            time.sleep(self.busy_s)
            try:
                action()
            except Exception:  # of a thread nobody waits for
                self.errors.append(traceback.format_exc())

        self._queue.submit(act)

    # ---- the host ---------------------------------------------------------------------------

    def connect(self, port: int) -> None:
        """Dispatch frames to the RQD of this port, which has reported."""
        assert self.host is not None
        channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]
        )
        self._rqd = rqd_pb2_grpc.RqdInterfaceStub(channel)
        self._dispatcher.start()

    def booted(self, report: report_pb2.BootReport) -> None:
        self.host = report.host
        self._cores = self._idle = report.core_info.total_cores

    @property
    def cores(self) -> int:
        """Cores of the host, in hundredths."""
        return self._cores

    def _dispatch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            while self._launch_next():
                pass

    def _launch_next(self) -> bool:
        with self.lock:
            frame = self.book.dispatchable(self._idle)
            if frame is None:
                return False
            proc = f"proc-{len(self.launched)}"
            self.book.started(frame, proc)
            self.launched.append(f"{frame.layer.job.name}/{frame.name}")
            self._idle -= frame.layer.cores
            run = self._run_frame(frame, proc)
        try:
            self._rqd.LaunchFrame(rqd_pb2.RqdStaticLaunchFrameRequest(run_frame=run), timeout=180)
        except grpc.RpcError as error:  # RQD has not yet put away a former run
            with self.lock:
                self.book.stopped(frame, rules.WAITING, frame.exit_status)
                self._idle += frame.layer.cores
            return error.code() is None
        return True

    def _run_frame(self, frame: Frame, proc: str) -> rqd_pb2.RunFrame:
        """``DispatchSupportService.prepareRqdRunFrame``."""
        layer, job = frame.layer, frame.layer.job
        command = layer.command
        for token, text in (
            ("#ZFRAME#", f"{frame.number:04}"), ("#IFRAME#", str(frame.number)),
            ("#LAYER#", layer.name), ("#JOB#", job.name), ("#FRAME#", frame.name),
        ):  # fmt: skip
            command = command.replace(token, text)
        run = rqd_pb2.RunFrame(
            resource_id=proc, job_id=job.id, job_name=job.name, frame_id=frame.id,
            frame_name=frame.name, layer_id=layer.id, command=command, user_name=job.user,
            log_dir=str(self.logs / job.name), show=job.show, shot=job.shot,
            num_cores=layer.cores, start_time=int(time.time() * 1000),
            environment={
                **job.env, "CUE_FRAME_ID": frame.id, "CUE_JOB": job.name, "CUE_THREADABLE": "0"
            },
        )  # fmt: skip
        if job.uid is not None:
            run.uid = job.uid
        return run

    def ended(self, report: report_pb2.FrameCompleteReport) -> None:
        with self.lock:
            frame = self.book.frame(report.frame.frame_id)
            self._idle += report.frame.num_cores
            assert frame is not None
            self.book.reported(
                frame, report.frame.resource_id, report.exit_status, report.exit_signal
            )

    def kill(self, frame: Frame) -> None:
        """SIGKILL by RQD; a frame that has just ended does not matter."""
        with suppress(grpc.RpcError):
            self._rqd.KillRunningFrame(
                rqd_pb2.RqdStaticKillRunningFrameRequest(frame_id=frame.id, message="test"),
                timeout=180,
            )

    def _runs(self, frame: Frame) -> bool:
        try:
            self._rqd.GetRunningFrameStatus(
                rqd_pb2.RqdStaticGetRunningFrameStatusRequest(frame_id=frame.id), timeout=30
            )
        except grpc.RpcError:
            return False
        return True

    # ---- what people do: JobManagerSupport ----------------------------------------------------

    def kill_job(self, job: Job) -> None:
        """``shutdownJob``: the job leaves the cue, then what runs of it is killed."""
        with self.lock:
            job.state = job_pb2.FINISHED
            running = [frame for frame in job.frames() if frame.state == rules.RUNNING]
            for frame in running:
                self.book.stopped(frame, rules.WAITING, rules.WAITING + 500)
        for frame in running:
            self.kill(frame)

    def retry(self, frame: Frame) -> None:
        """``retryFrame``: killed and confirmed dead before it may run again."""
        if frame.state == rules.RUNNING:
            self.kill(frame)
            end = time.monotonic() + 10
            while self._runs(frame):
                if time.monotonic() > end:
                    return  # deferred: left running
                time.sleep(0.05)
        with self.lock:
            self.book.retry(frame)

    def eat(self, frame: Frame) -> None:
        """``eatFrame``."""
        with self.lock:
            running = frame.state == rules.RUNNING
            self.book.eat(frame)
        if running:
            self.kill(frame)

    def each(self, job: Job, criteria: job_pb2.FrameSearchCriteria) -> list[Frame]:
        """``FrameSearch``."""
        states = set(criteria.states.frame_states)
        numbers = set(rules.parse_frames(criteria.frame_range)) if criteria.frame_range else None
        return [
            frame
            for frame in job.frames()
            if (not criteria.ids or frame.id in criteria.ids)
            and (not criteria.layers or frame.layer.name in criteria.layers)
            and (not states or frame.state in states)
            and (numbers is None or frame.number in numbers)
        ]


class _Older(grpc.ServerInterceptor):
    """Answers UNIMPLEMENTED to methods an older Cuebot has not."""

    def __init__(self, unknown: set[str]) -> None:
        self._unknown = unknown

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.rpartition("/")[2] in self._unknown:
            return None
        return continuation(details)


# ---- records as messages ----------------------------------------------------------------------


def job_message(job: Job) -> job_pb2.Job:
    states = [frame.state for frame in job.frames()]
    return job_pb2.Job(
        id=job.id, name=job.name, show=job.show, shot=job.shot, user=job.user, state=job.state,
        priority=job.priority, is_paused=job.paused, start_time=int(job.start),
        job_stats=job_pb2.JobStats(
            total_frames=len(states), running_frames=states.count(rules.RUNNING),
            dead_frames=states.count(rules.DEAD), eaten_frames=states.count(rules.EATEN),
            succeeded_frames=states.count(rules.SUCCEEDED),
            waiting_frames=states.count(rules.WAITING), depend_frames=states.count(rules.DEPEND),
        ),
    )  # fmt: skip


def layer_message(layer: Layer) -> job_pb2.Layer:
    return job_pb2.Layer(
        id=layer.id, name=layer.name, parent_id=layer.job.id, command=layer.command,
        min_cores=layer.cores / 100, min_memory=layer.memory, timeout=layer.timeouts[0],
        timeout_llu=layer.timeouts[1], tags=layer.tags, start_after=layer.start_after,
    )  # fmt: skip


def frame_message(frame: Frame) -> job_pb2.Frame:
    return job_pb2.Frame(
        id=frame.id, name=frame.name, layer_name=frame.layer.name, number=frame.number,
        state=frame.state, retry_count=frame.retries, exit_status=frame.exit_status,
        start_time=int(frame.start), stop_time=int(frame.stop),
    )  # fmt: skip


def depend_message(depend: Depend) -> depend_pb2.Depend:
    return depend_pb2.Depend(
        id=depend.id, type=depend_pb2.LAYER_ON_LAYER, active=depend.active,
        depend_er_job=depend.er.job.name, depend_er_layer=depend.er.name,
        depend_on_job=depend.on.job.name, depend_on_layer=depend.on.name,
    )  # fmt: skip


# ---- services -----------------------------------------------------------------------------------


class _Servant:
    def __init__(self, cue: StandIn) -> None:
        self.cue = cue
        self.book = cue.book

    def found(self, thing: Any, context: grpc.ServicerContext, what: str) -> Any:
        if thing is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no such {what}")
        return thing

    def job(self, request: Any, context: grpc.ServicerContext) -> Job:
        found = self.book.job(request.job.id)
        if found is None:
            context.abort(grpc.StatusCode.INTERNAL, "Failed to find job data")
        assert found is not None
        return found


class CueServant(_Servant, cue_pb2_grpc.CueInterfaceServicer):
    def GetSystemStats(self, request: Any, context: Any) -> Any:
        return cue_pb2.CueGetSystemStatsResponse()  # pycue asks when it connects


class ShowServant(_Servant, show_pb2_grpc.ShowInterfaceServicer):
    def FindShow(self, request: Any, context: Any) -> Any:
        name = request.name if request.name in self.book.shows else None
        return show_pb2.ShowFindShowResponse(
            show=show_pb2.Show(name=self.found(name, context, "show"), active=True)
        )

    def GetActiveShows(self, request: Any, context: Any) -> Any:
        shows = [show_pb2.Show(name=name, active=True) for name in self.book.shows]
        return show_pb2.ShowGetActiveShowsResponse(shows=show_pb2.ShowSeq(shows=shows))


class FacilityServant(_Servant, facility_pb2_grpc.FacilityInterfaceServicer):
    def Get(self, request: Any, context: Any) -> Any:
        name = self.found("local" if request.name == "local" else None, context, "facility")
        return facility_pb2.FacilityGetResponse(facility=facility_pb2.Facility(name=name))


class HostServant(_Servant, host_pb2_grpc.HostInterfaceServicer):
    def GetHosts(self, request: Any, context: Any) -> Any:
        host = self.cue.host
        hosts = [] if host is None else [
            host_pb2.Host(
                name=host.name, cores=self.cue.cores / 100, memory=host.total_mem,
                tags=[*host.tags, "general"], state=host_pb2.UP,
            )
        ]  # fmt: skip
        return host_pb2.HostGetHostsResponse(hosts=host_pb2.HostSeq(hosts=hosts))


class ReportServant(_Servant, report_pb2_grpc.RqdReportInterfaceServicer):
    def ReportRqdStartup(self, request: Any, context: Any) -> Any:
        self.cue.booted(request.boot_report)
        return report_pb2.RqdReportRqdStartupResponse()

    def ReportStatus(self, request: Any, context: Any) -> Any:
        return report_pb2.RqdReportStatusResponse()

    def ReportRunningFrameCompletion(self, request: Any, context: Any) -> Any:
        self.cue.ended(request.frame_complete_report)
        return report_pb2.RqdReportRunningFrameCompletionResponse()


class JobServant(_Servant, job_pb2_grpc.JobInterfaceServicer):
    def LaunchSpecAndWait(self, request: Any, context: Any) -> Any:
        try:
            with self.cue.lock:
                job = self.book.launch(request.spec)
        except (SpecError, ValueError) as error:
            context.abort(grpc.StatusCode.INTERNAL, f"Failed to launch and add job: {error}")
        jobs = job_pb2.JobSeq(jobs=[job_message(job)])
        return job_pb2.JobLaunchSpecAndWaitResponse(jobs=jobs)

    def FindJob(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            job = self.found(self.book.find(request.name), context, "job")
            return job_pb2.JobFindJobResponse(job=job_message(job))

    def GetJob(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            job = self.found(self.book.job(request.id), context, "job")
            return job_pb2.JobGetJobResponse(job=job_message(job))

    def GetJobs(self, request: Any, context: Any) -> Any:
        r = request.r
        with self.cue.lock:
            jobs = [
                job_message(job)
                for job in self.book.jobs
                if (not r.ids or job.id in r.ids) and (not r.jobs or job.name in r.jobs)
                and (r.include_finished or job.state != job_pb2.FINISHED)
            ]  # fmt: skip
        return job_pb2.JobGetJobsResponse(jobs=job_pb2.JobSeq(jobs=jobs))

    def GetLayers(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            layers = [layer_message(layer) for layer in self.job(request, context).layers]
        return job_pb2.JobGetLayersResponse(layers=job_pb2.LayerSeq(layers=layers))

    def GetFrames(self, request: Any, context: Any) -> Any:
        page, limit = max(1, request.req.page), min(request.req.limit or 1000, 1000)
        with self.cue.lock:
            found = self.cue.each(self.job(request, context), request.req)
            frames = [frame_message(f) for f in found[(page - 1) * limit : page * limit]]
        return job_pb2.JobGetFramesResponse(frames=job_pb2.FrameSeq(frames=frames))

    def Pause(self, request: Any, context: Any) -> Any:
        self.job(request, context).paused = True
        return job_pb2.JobPauseResponse()

    def Resume(self, request: Any, context: Any) -> Any:
        self.job(request, context).paused = False
        return job_pb2.JobResumeResponse()

    def SetPriority(self, request: Any, context: Any) -> Any:
        self.job(request, context).priority = request.val
        return job_pb2.JobSetPriorityResponse()

    def Kill(self, request: Any, context: Any) -> Any:
        job = self.job(request, context)
        if request.reason:  # "Invalid Job Kill Request" otherwise, and nothing happens
            self.cue.later(lambda: self.cue.kill_job(job))
        return job_pb2.JobKillResponse()

    def _each(self, request: Any, context: Any, action: Callable[[Frame], None]) -> None:
        for frame in self.cue.each(self.job(request, context), request.req):
            self.cue.later(lambda frame=frame: action(frame))

    def RetryFrames(self, request: Any, context: Any) -> Any:
        self._each(request, context, self.cue.retry)
        return job_pb2.JobRetryFramesResponse()

    def EatFrames(self, request: Any, context: Any) -> Any:
        self._each(request, context, self.cue.eat)
        return job_pb2.JobEatFramesResponse()

    def KillFrames(self, request: Any, context: Any) -> Any:
        self._each(request, context, self.cue.kill)
        return job_pb2.JobKillFramesResponse()


class LayerServant(_Servant, job_pb2_grpc.LayerInterfaceServicer):
    def _layer(self, request: Any, context: grpc.ServicerContext) -> Layer:
        found: Layer = self.found(self.book.layer(request.layer.id), context, "layer")
        return found

    def CreateDependencyOnLayer(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            on = self.found(self.book.layer(request.depend_on_layer.id), context, "layer")
            depend = self.book.create_depend(self._layer(request, context), on)
        return job_pb2.LayerCreateDependOnLayerResponse(depend=depend_message(depend))

    def GetWhatThisDependsOn(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            layer = self._layer(request, context)
            depends = [depend_message(d) for d in self.book.depends if d.er is layer]
        return job_pb2.LayerGetWhatThisDependsOnResponse(
            depends=depend_pb2.DependSeq(depends=depends)
        )

    def MarkdoneFrames(self, request: Any, context: Any) -> Any:
        layer = self._layer(request, context)

        def satisfy() -> None:
            with self.cue.lock:
                self.book.satisfy_layer(layer)

        self.cue.later(satisfy)
        return job_pb2.LayerMarkdoneFramesResponse()

    def SetStartAfter(self, request: Any, context: Any) -> Any:
        self._layer(request, context).start_after = request.start_after
        return job_pb2.LayerSetStartAfterResponse()


class DependServant(_Servant, depend_pb2_grpc.DependInterfaceServicer):
    def Satisfy(self, request: Any, context: Any) -> Any:
        with self.cue.lock:
            for depend in self.book.depends:
                if depend.id == request.depend.id:
                    self.book.satisfy(depend)
        return depend_pb2.DependSatisfyResponse()


def _servants() -> Iterator[tuple[Any, str, type[_Servant]]]:
    yield cue_pb2_grpc, "CueInterface", CueServant
    yield show_pb2_grpc, "ShowInterface", ShowServant
    yield facility_pb2_grpc, "FacilityInterface", FacilityServant
    yield host_pb2_grpc, "HostInterface", HostServant
    yield report_pb2_grpc, "RqdReportInterface", ReportServant
    yield job_pb2_grpc, "JobInterface", JobServant
    yield job_pb2_grpc, "LayerInterface", LayerServant
    yield depend_pb2_grpc, "DependInterface", DependServant


_SERVANTS = list(_servants())
