"""The Deadline Cloud engine.

A job is created with a client token made from its name, so that the service itself makes one
job of however many attempts to submit it. What Deadline Cloud has not, jobs that wait for other
jobs or for a time, is refused, not imitated.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from laikaroto.config import DeadlineSettings, QueueConfig, parse_duration
from laikaroto.errors import ConfigError, FarmError, LaikarotoError, TryAgainError
from laikaroto.farm.bundle import Bundle, bundle_digest, check_digest, write_bundle
from laikaroto.farm.engine import (
    Engine,
    JobStatus,
    Load,
    StepStatus,
    Submitted,
    TaskRef,
    TaskState,
    TaskStatus,
)
from laikaroto.farm.judging import judge_job, step_progress
from laikaroto.farm.keys import jobs_of_keys, remember_key
from laikaroto.farm.places import bundle_folder, job_folder, make_state_folder
from laikaroto.farm.plan import StepPlan, plan_job, refuse_several_hosts
from laikaroto.farm.records import read_json, replace_file
from laikaroto.farm.steering import Card, locked, new_card, pick_tasks, read_card, write_card

_STATES = {
    "PENDING": TaskState.WAITING, "SUSPENDED": TaskState.WAITING, "READY": TaskState.READY,
    "ASSIGNED": TaskState.RUNNING, "STARTING": TaskState.RUNNING, "SCHEDULED": TaskState.RUNNING,
    "RUNNING": TaskState.RUNNING, "INTERRUPTING": TaskState.RUNNING,
    "SUCCEEDED": TaskState.SUCCEEDED, "FAILED": TaskState.FAILED,
    "NOT_COMPATIBLE": TaskState.FAILED, "CANCELED": TaskState.CANCELLED,
}  # fmt: skip
Client = Any  # of boto3, which is made of AWS's service model and has no types


def make_client(settings: DeadlineSettings) -> Client:
    """The service, with the credentials of this user.

    Raises:
        ConfigError: the extra is not installed, or there is no such profile or region.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise ConfigError(
            "the engine 'deadline' needs its libraries: pip install 'laikaroto[deadline]'"
        ) from error
    try:
        session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        return session.client("deadline")
    except BotoCoreError as error:
        raise ConfigError(f"AWS: {error}; see the deadline block of the queue") from error


class DeadlineEngine(Engine):
    """A queue of Deadline Cloud."""

    def __init__(
        self, queue: QueueConfig, state: Path,
        client: Callable[[DeadlineSettings], Client] = make_client,
    ) -> None:  # fmt: skip
        """Nothing is asked before it is used.

        Args:
            queue: its configuration.
            state: folder for what was submitted, absolute.
            client: makes the client of the service.
        """
        if queue.deadline is None:
            raise ConfigError(f"queue {queue.name!r}: deadline: wanted farm_id and queue_id")
        self.name = queue.name
        self.state = state
        self._queue = queue
        self._settings = queue.deadline
        self._make_client = client
        self._client: Client = None

    @property
    def cpus(self) -> int:
        """As the queue's file says: fleets may be empty until a job comes."""
        return self._settings.max_cpus

    # ---- submitting -----------------------------------------------------------------------

    def submit(self, bundle: Bundle) -> Submitted:
        """See ``Engine.submit``.

        Raises:
            FarmError: it asks for what Deadline Cloud has not, or AWS refuses it.
        """
        settings = bundle.settings
        plan = plan_job(bundle, where=f"job {settings.name}")
        _refuse_unknown_wishes(bundle)
        refuse_several_hosts(plan.steps, where=f"job {settings.name}", farm="Deadline Cloud")
        make_state_folder(self.state)
        with locked(self.state / "lock"):
            if (active := self._active_with_key(settings.key)) is not None:
                return Submitted(job=active, existing=True)
            folder = write_bundle(bundle, bundle_folder(self.state, settings.name))
            card = new_card(
                bundle, plan, digest=bundle_digest(folder),
                threads=self._queue.threads_per_slot or 1,
                timeout_s=parse_duration(self._queue.task_timeout),
            )  # fmt: skip
            write_card(job_folder(self.state, settings.name), card)
            remember_key(self.state, settings.key, settings.name)
            try:
                self._create(folder, card)
            except (FarmError, ConfigError):
                shutil.rmtree(job_folder(self.state, settings.name), ignore_errors=True)
                raise
        return Submitted(job=settings.name, existing=False)

    def _create(self, folder: Path, card: Card) -> str:
        """Create the job; done twice it is one job. Returns its identifier."""
        settings = card.settings
        answer = self._call(
            "create_job",
            clientToken=hashlib.sha256(settings.name.encode()).hexdigest(),
            template=(folder / "template.yaml").read_text(encoding="utf-8"),
            templateType="YAML",
            parameters=read_parameters(folder),
            priority=settings.priority,
            maxRetriesPerTask=settings.attempts - 1,
            targetTaskRunStatus="SUSPENDED" if settings.paused else "READY",
            nameOverride=settings.name,
        )
        number = str(answer["jobId"])
        replace_file(job_folder(self.state, settings.name) / "deadline.json", {"jobId": number})
        return number

    def _active_with_key(self, key: str) -> str | None:
        name = jobs_of_keys(self.state, [key]).get(key)
        with suppress(FarmError):
            return name if name and not self.status(name).state.over else None
        return None

    def _id(self, job: str) -> str:
        """What Deadline Cloud calls a job; one whose submission was cut off is created now."""
        card = read_card(self.state, job, queue=self.name)
        try:
            return str(read_json(job_folder(self.state, job) / "deadline.json")["jobId"])
        except FileNotFoundError:
            folder = bundle_folder(self.state, job)
            check_digest(folder, card.digest)
            return self._create(folder, card)

    # ---- looking --------------------------------------------------------------------------

    def load(self) -> Load:
        """See ``Engine.load``; how many workers there are only the fleets know."""
        try:
            found = self._call("get_queue")
        except LaikarotoError as error:
            return Load(runs=False, text=str(error))
        blocked = found["status"] == "SCHEDULING_BLOCKED"
        why = f", {found['blockedReason']}" if found.get("blockedReason") else ""
        return Load(runs=not blocked, text=f"{found['displayName']}: {found['status']}{why}")

    def jobs(self) -> tuple[JobStatus, ...]:
        """See ``Engine.jobs``; those submitted from this state folder."""
        folder = self.state / "jobs"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        found = [self._status(name, with_tasks=False) for name in names]
        return tuple(sorted(found, key=lambda status: status.submitted))

    def status(self, job: str) -> JobStatus:
        """See ``Engine.status``."""
        return self._status(job, with_tasks=True)

    def _status(self, job: str, *, with_tasks: bool) -> JobStatus:
        card = read_card(self.state, job, queue=self.name)
        number = self._id(job)
        found = self._call("get_job", jobId=number)
        steps = self._steps(card, number, with_tasks=with_tasks)
        target = found.get("targetTaskRunStatus")
        state, reason = judge_job(steps, paused=target == "SUSPENDED", ended=target == "CANCELED")
        if found["lifecycleStatus"].endswith("FAILED"):
            reason = found["lifecycleStatusMessage"]
        return JobStatus(
            name=job, queue=self.name, kind=card.settings.kind, state=state, reason=reason,
            show=card.settings.show, user=card.settings.user, priority=found["priority"],
            attempts=card.settings.attempts, not_before=None, submitted=card.submitted,
            started=_seconds(found.get("startedAt")), ended=_seconds(found.get("endedAt")),
            steps=steps, parameters=card.parameters,
        )  # fmt: skip

    def _steps(self, card: Card, number: str, *, with_tasks: bool) -> tuple[StepStatus, ...]:
        known = {step["name"]: step for step in self._pages("list_steps", "steps", jobId=number)}
        found: list[StepStatus] = []
        for plan in card.steps:
            step = known.get(plan.name)
            counts: dict[TaskState, int] = {}
            for name, count in (step["taskRunStatusCounts"] if step else {}).items():
                if count:
                    counts[_STATES[name]] = counts.get(_STATES[name], 0) + count
            if step is None:  # the service has not made it yet
                counts = {TaskState.WAITING: len(plan.tasks)}
            listed = with_tasks and step is not None
            tasks = self._tasks(plan, number, step["stepId"]) if listed and step else ()
            found.append(
                StepStatus(
                    name=plan.name,
                    needs=plan.needs,
                    counts=counts,
                    progress=step_progress(counts, 0.0),
                    tasks=tuple(t for _, t in tasks),
                )
            )
        return tuple(found)

    def _tasks(self, plan: StepPlan, number: str, step_id: str) -> list[tuple[str, TaskStatus]]:
        """Identifier and status of every task of a step, in the order of the plan."""
        order = {tuple(sorted(values.items())): i for i, values in enumerate(plan.tasks)}
        found: list[tuple[str, TaskStatus]] = []
        for task in self._pages("list_tasks", "tasks", jobId=number, stepId=step_id):
            values = {k: str(next(iter(v.values()))) for k, v in task.get("parameters", {}).items()}
            index = order.get(tuple(sorted(values.items())), len(found))
            state = _STATES[task["runStatus"]]
            by_hand = task.get("targetRunStatus") == "SUCCEEDED" and "startedAt" not in task
            found.append((task["taskId"], TaskStatus(
                step=plan.name, index=index,
                state=TaskState.SKIPPED if by_hand and state.done else state,
                parameters=values,
                attempt=task.get("failureRetryCount", 0) + ("startedAt" in task), host=None,
                started=_seconds(task.get("startedAt")), ended=_seconds(task.get("endedAt")),
                exit_code=None, progress=1.0 if state.done else None, message="",
            )))  # fmt: skip
        return sorted(found, key=lambda item: item[1].index)

    def log(self, job: str, task: TaskRef, *, attempt: int | None = None) -> str:
        """Not here: logs of Deadline Cloud lie in CloudWatch.

        Raises:
            FarmError: says how to read them.
        """
        raise FarmError(
            f"logs of this queue lie in CloudWatch: deadline job logs --farm-id "
            f"{self._settings.farm_id} --queue-id {self._settings.queue_id} --job-id "
            f"{self._id(job)}"
        )

    # ---- steering -------------------------------------------------------------------------

    def cancel(self, job: str) -> None:
        """See ``Engine.cancel``."""
        self._call("update_job", jobId=self._id(job), targetTaskRunStatus="CANCELED")

    def pause(self, job: str) -> None:
        """See ``Engine.pause``."""
        self._call("update_job", jobId=self._id(job), targetTaskRunStatus="SUSPENDED")

    def resume(self, job: str) -> None:
        """See ``Engine.resume``."""
        self._call("update_job", jobId=self._id(job), targetTaskRunStatus="READY")

    def set_priority(self, job: str, priority: int) -> None:
        """See ``Engine.set_priority``."""
        self._call("update_job", jobId=self._id(job), priority=priority)

    def retry(self, job: str, tasks: Sequence[TaskRef] = ()) -> int:
        """See ``Engine.retry``."""
        return self._set_tasks(
            job, tasks, "PENDING", lambda s: s in (TaskState.FAILED, TaskState.CANCELLED)
        )

    def skip(self, job: str, tasks: Sequence[TaskRef]) -> int:
        """See ``Engine.skip``."""
        if not tasks:
            raise FarmError("name the tasks to skip, as STEP or STEP/INDEX")
        return self._set_tasks(job, tasks, "SUCCEEDED", lambda state: not state.done)

    def _set_tasks(
        self, job: str, refs: Sequence[TaskRef], target: str, wanted: Callable[[TaskState], bool]
    ) -> int:
        card = read_card(self.state, job, queue=self.name)
        picked = set(pick_tasks(card, refs))
        number = self._id(job)
        known = {s["name"]: s["stepId"] for s in self._pages("list_steps", "steps", jobId=number)}
        count = 0
        for plan in card.steps:
            if plan.name not in known:
                continue
            for task_id, status in self._tasks(plan, number, known[plan.name]):
                if (plan.name, status.index) in picked and wanted(status.state):
                    self._call(
                        "update_task", jobId=number, stepId=known[plan.name], taskId=task_id,
                        targetRunStatus=target,
                    )  # fmt: skip
                    count += 1
        return count

    # ---- the service ----------------------------------------------------------------------

    def _service(self) -> Client:
        if self._client is None:
            self._client = self._make_client(self._settings)
        return self._client

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """One request, for this farm and queue."""
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError

        where = {"farmId": self._settings.farm_id, "queueId": self._settings.queue_id}
        try:
            answer: Mapping[str, Any] = getattr(self._service(), operation)(**where, **arguments)
            return answer
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("ThrottlingException", "InternalServerErrorException"):
                raise TryAgainError(f"Deadline Cloud is busy: {operation}: {error}") from error
            raise FarmError(f"Deadline Cloud refuses: {operation}: {error}") from error
        except ConnectionError as error:
            raise TryAgainError(f"Deadline Cloud cannot be reached: {error}") from error
        except BotoCoreError as error:
            raise FarmError(
                f"Deadline Cloud: {operation}: {error}; 'deadline auth login' or the AWS profile "
                "of the queue gives credentials"
            ) from error

    def _pages(self, operation: str, key: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        while True:
            answer = self._call(operation, **arguments, **token)
            yield from answer[key]
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}


def read_parameters(folder: Path) -> dict[str, dict[str, str]]:
    """Job parameters of a bundle as Deadline Cloud's own library reads and checks them.

    Raises:
        ConfigError: the library finds a fault, or is not installed.
    """
    try:
        from deadline.client.exceptions import DeadlineOperationError
        from deadline.client.job_bundle.loader import validate_directory_symlink_containment
        from deadline.client.job_bundle.parameters import (
            read_job_bundle_parameters,
            validate_job_parameter_value,
        )
    except ImportError as error:
        raise ConfigError(
            "the engine 'deadline' needs its libraries: pip install 'laikaroto[deadline]'"
        ) from error
    found: dict[str, dict[str, str]] = {}
    try:
        validate_directory_symlink_containment(str(folder))
        for parameter in read_job_bundle_parameters(str(folder)):
            if "value" not in parameter:
                continue
            validate_job_parameter_value(parameter, parameter["value"])
            found[parameter["name"]] = {parameter["type"].lower(): str(parameter["value"])}
    except (DeadlineOperationError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder}: Deadline Cloud's library refuses it: {error}") from error
    return found


def _refuse_unknown_wishes(bundle: Bundle) -> None:
    settings = bundle.settings
    if settings.needs:
        raise FarmError(
            f"job {settings.name}: Deadline Cloud has no jobs that wait for other jobs; submit it "
            "when the other has ended (--wait), or use another queue"
        )
    if settings.not_before is not None:
        raise FarmError(
            f"job {settings.name}: Deadline Cloud starts jobs at once; submit it later (cron), or "
            "use another queue"
        )


def _seconds(when: datetime | None) -> float | None:
    return None if when is None else when.timestamp()
