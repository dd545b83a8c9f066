"""One job as OpenCue and the records of its tasks show it together (``farm.view``).

A job is launched in OpenCue once, and again only after that launch was killed; a launch holds
every task that was not done then, so that what waits for what is known to OpenCue in full.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from laikaroto.errors import EXIT_TRY_AGAIN
from laikaroto.farm.engine import JobState, TaskState
from laikaroto.farm.opencue.cuebot import CueFrame, CueJob
from laikaroto.farm.opencue.spec import layer_names
from laikaroto.farm.places import job_folder
from laikaroto.farm.records import Verdict, read_json, replace_file
from laikaroto.farm.view import JobView, Key
from laikaroto.frames import format_frames, parse_frames

_LINGER_S = 300.0  # how long tasks of a killed launch may take to come to their end
_WAITS = ("WAITING", "DEPEND", "SETUP", "CHECKPOINT")
_KILLED = "killed in OpenCue, not by laikaroto, or lost with its database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch of a job in OpenCue.

    ``id`` is empty while Cuebot has not confirmed it; ``ready``: all it has to wait for is
    known to Cuebot, so that it may be resumed; ``stopped``: when it was killed from here,
    seconds since 1970. ``asked`` holds frames that Cuebot was asked to run again, with their
    stamps then: as long as a frame has that stamp, Cuebot has not got round to it.
    """

    number: int
    name: str
    id: str = ""
    tasks: Mapping[str, frozenset[int]]
    ready: bool = False
    stopped: float | None = None
    asked: Mapping[str, str] = field(default_factory=dict)


def read_launches(state: Path, job: str) -> list[Launch]:
    """The launches of a job, oldest first."""
    try:
        data = read_json(job_folder(state, job) / "opencue.json")
    except FileNotFoundError:
        return []
    return [
        Launch(
            number=item["number"], name=item["name"], id=item["id"],
            tasks={step: frozenset(parse_frames(r)) for step, r in item["tasks"].items()},
            ready=item["ready"], stopped=item["stopped"], asked=item["asked"],
        )
        for item in data["launches"]
    ]  # fmt: skip


def write_launches(state: Path, job: str, launches: Sequence[Launch]) -> None:
    """Write them down; the caller holds the job's lock."""
    replace_file(
        job_folder(state, job) / "opencue.json",
        {
            "launches": [
                {
                    "number": item.number, "name": item.name, "id": item.id,
                    "tasks": {s: format_frames(sorted(i)) for s, i in item.tasks.items() if i},
                    "ready": item.ready, "stopped": item.stopped, "asked": dict(item.asked),
                }
                for item in launches
            ]
        },
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class View(JobView):
    """What is known of a job at one moment.

    ``cue`` is the last launch in Cuebot, None if Cuebot has it not (any more); ``frames`` are
    those of it, empty where they were not asked for because nothing depends on them.
    """

    launches: list[Launch]
    cue: CueJob | None = None
    frames: dict[Key, CueFrame] = field(default_factory=dict)

    @property
    def last(self) -> Launch | None:
        """The last launch."""
        return self.launches[-1] if self.launches else None

    @property
    def live(self) -> bool:
        """True if OpenCue has the job and goes on with it."""
        last = self.last
        return last is not None and last.stopped is None and self._in_cue

    @property
    def _in_cue(self) -> bool:
        return self.cue is not None and not self.cue.finished

    @property
    def vanished(self) -> bool:
        """True if the last launch was ended by somebody else."""
        last = self.last
        return bool(last and last.id and last.stopped is None and not self._in_cue)

    @property
    def ended(self) -> bool:
        """See ``JobView.ended``."""
        return self.steering.ended or (self.vanished and bool(self.unfinished()))

    @property
    def paused(self) -> bool:
        """See ``JobView.paused``; a job can be paused in CueGUI too."""
        return self.steering.paused or (self.live and self.cue is not None and self.cue.paused)

    @property
    def priority(self) -> int:
        """See ``JobView.priority``; it can be changed in CueGUI too."""
        return self.cue.priority if self.live and self.cue is not None else self.steering.priority

    def named_frames(self, frames: Sequence[CueFrame]) -> dict[Key, CueFrame]:
        """Frames of the last launch by step and index of their tasks."""
        steps = {layer: step for step, layer in layer_names(self.card).items()}
        return {(steps[f.layer], f.number): f for f in frames if f.layer in steps}

    @property
    def disagrees(self) -> bool:
        """True if frames have to be looked at one by one to tell how the job stands."""
        if not self.live or self.cue is None:
            return False
        verdicts = [self.verdict(key).state for key in self.keys()]
        seen = (verdicts.count(TaskState.RUNNING), verdicts.count(TaskState.FAILED))
        return (self.cue.running, self.cue.dead) != seen or self.cue.eaten > 0

    # ---- tasks ----------------------------------------------------------------------------

    def state_of(self, key: Key) -> tuple[TaskState, str]:
        """See ``JobView.state_of``."""
        verdict = self.verdict(key)
        if verdict.state is TaskState.SUCCEEDED:
            return verdict.state, verdict.message
        if self.steering.is_skipped(*key):
            return TaskState.SKIPPED, "skipped by hand"
        if self.eaten(key):
            return TaskState.SKIPPED, "eaten in OpenCue, not by laikaroto"
        if verdict.state is TaskState.RUNNING:
            return self._begun(key)
        if verdict.state is TaskState.FAILED and self._again(key, verdict):
            return TaskState.READY, "retried in OpenCue"
        if verdict.state is not TaskState.READY:
            return verdict.state, verdict.message
        if self.steering.is_cancelled(*key):
            return TaskState.CANCELLED, "cancelled"
        return self._not_begun(key, verdict)

    def eaten(self, key: Key) -> bool:
        """True if OpenCue goes on without the task."""
        frame = self.frames.get(key)
        return frame is not None and frame.state == "EATEN"

    def _again(self, key: Key, verdict: Verdict) -> bool:
        """True if somebody retried in OpenCue the very frame that failed."""
        frame = self.frames.get(key)
        return (
            self.live and frame is not None and verdict.last is not None
            and frame.state in _WAITS and frame.id == verdict.last.farm_id
        )  # fmt: skip

    def _begun(self, key: Key) -> tuple[TaskState, str]:
        """A task whose last attempt has not ended by its own word."""
        frame = self.frames.get(key)
        if self.live:
            if frame is not None and frame.state in _WAITS:
                return TaskState.READY, "its host was lost; will be tried again"
            if frame is not None and frame.state == "DEAD":
                return TaskState.READY, "its runner was lost: laikaroto farm verify"
            return TaskState.RUNNING, ""
        stopped = self.last.stopped if self.last is not None else None
        if stopped is not None and time.time() - stopped < _LINGER_S:
            return TaskState.RUNNING, ""
        if self.vanished:
            return TaskState.CANCELLED, _KILLED
        if self.steering.is_cancelled(*key):
            return TaskState.CANCELLED, "cancelled"
        return TaskState.READY, "its host was lost"

    def _not_begun(self, key: Key, verdict: Verdict) -> tuple[TaskState, str]:
        """A task that has to run by its own records."""
        if self.vanished:
            return TaskState.CANCELLED, _KILLED
        frame = self.frames.get(key)
        if not self.live or frame is None or frame.state in _WAITS or self._was_asked(frame):
            return TaskState.READY, verdict.message
        if frame.state == "DEAD" and frame.exit_status != EXIT_TRY_AGAIN:
            return TaskState.FAILED, (
                f"ended by OpenCue (exit status {frame.exit_status}): killed there, or never "
                f"started; its log is {self.cue.name if self.cue else ''}.{frame.number:04}-"
                f"{frame.layer}.rqlog"
            )
        if frame.state == "DEAD":
            return TaskState.READY, verdict.message  # held: found the job paused
        return TaskState.RUNNING, verdict.message

    def _was_asked(self, frame: CueFrame) -> bool:
        return self.last is not None and self.last.asked.get(frame.id) == frame.stamp

    def missing(self, key: Key) -> bool:
        """See ``JobView.missing``."""
        return not self.live and self.state_of(key)[0] is TaskState.READY

    def stalled(self) -> list[Key]:
        """Tasks whose frames OpenCue has to start again.

        They have to run and are dead or not yet put away there; or they are done, but OpenCue
        was not told so (their runner then says it at once), and what waits for them is stuck.
        """
        return [
            key
            for key, frame in self.frames.items()
            if (frame.state not in _WAITS and self.state_of(key)[0] is TaskState.READY)
            or (frame.state == "DEAD" and self.state_of(key)[0] is TaskState.SUCCEEDED)
        ]

    def to_eat(self) -> list[Key]:
        """Tasks a person skipped, and OpenCue does not know it."""
        return [
            key
            for key, frame in self.frames.items()
            if self.steering.is_skipped(*key) and frame.state not in ("EATEN", "SUCCEEDED")
        ]

    def note(self, state: JobState, reason: str, *, released: bool) -> str:
        """See ``JobView.note``."""
        if state in (JobState.CANCELLED, JobState.FAILED) and self.vanished:
            return reason or f"{_KILLED}; 'laikaroto jobs retry' runs the rest"
        if state is JobState.PAUSED and not self.steering.paused and reason == "paused by hand":
            return "paused in OpenCue"
        waits = (JobState.READY, JobState.RUNNING)
        if state not in waits or not released:
            return reason
        if lost := sum(map(self.missing, self.keys())):
            return f"{lost} tasks are not in OpenCue: laikaroto farm verify"
        unasked = [key for key in self.stalled() if not self._was_asked(self.frames[key])]
        if unasked:
            return f"{len(unasked)} tasks are dead in OpenCue only: laikaroto farm verify"
        return reason
