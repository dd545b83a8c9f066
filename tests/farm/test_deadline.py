"""The Deadline Cloud engine against AWS's own model of the service.

botocore's Stubber checks every request against that model and gives back answers that must fit
it too; the bundle is read by Deadline Cloud's own library. No credentials, no network: how the
service schedules is not tested here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from laikaroto.cli.submit import shot_bundle, training_bundle
from laikaroto.config import DeadlineSettings, QueueConfig
from laikaroto.errors import ConfigError, FarmError, TryAgainError
from laikaroto.farm.bundle import Bundle, write_bundle
from laikaroto.farm.deadline.engine import DeadlineEngine, read_parameters
from laikaroto.farm.engine import JobState, TaskRef, TaskState
from laikaroto.show import Show
from tests.farm.tiny import job, on_hosts, stamp

boto3 = pytest.importorskip("boto3", reason="needs the extra 'deadline'")
Stubber = pytest.importorskip("botocore.stub").Stubber

WHERE = {"farmId": f"farm-{0:032x}", "queueId": f"queue-{1:032x}"}
JOB, STEP = f"job-{2:032x}", f"step-{3:032x}"
NOW = datetime(2030, 1, 31, 20, tzinfo=UTC)
MADE = {"createdAt": NOW, "createdBy": "me"}


@pytest.fixture
def service() -> Iterator[Any]:
    client = boto3.client(
        "deadline", region_name="us-west-2", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def engine(service: Any, tmp_path: Path) -> DeadlineEngine:
    settings = DeadlineSettings(farm_id=WHERE["farmId"], queue_id=WHERE["queueId"])
    queue = QueueConfig(name="q", engine="deadline", deadline=settings)
    return DeadlineEngine(queue, tmp_path / "farm", client=lambda _: service.client)


def expect_creation(service: Any, bundle: Bundle, **more: Any) -> None:
    wanted = {
        **WHERE,
        "clientToken": hashlib.sha256(bundle.settings.name.encode()).hexdigest(),
        "template": bundle.template, "templateType": "YAML", "parameters": {}, "priority": 50,
        "maxRetriesPerTask": 2, "targetTaskRunStatus": "READY",
        "nameOverride": bundle.settings.name, **more,
    }  # fmt: skip
    service.add_response("create_job", {"jobId": JOB}, wanted)


def expect_status(service: Any, counts: dict[str, int], **more: Any) -> None:
    service.add_response(
        "get_job",
        {
            "jobId": JOB, "name": "n", "lifecycleStatus": "CREATE_COMPLETE",
            "lifecycleStatusMessage": "", "priority": 50, **MADE, **more,
        },
        {**WHERE, "jobId": JOB},
    )  # fmt: skip
    expect_steps(service, counts)


def expect_steps(service: Any, counts: dict[str, int]) -> None:
    step = {
        "stepId": STEP, "name": "stamp", "lifecycleStatus": "CREATE_COMPLETE",
        "taskRunStatus": "RUNNING", "taskRunStatusCounts": counts, **MADE,
    }  # fmt: skip
    service.add_response("list_steps", {"steps": [step]}, {**WHERE, "jobId": JOB})


def task_id(number: int) -> str:
    return f"task-{4:032x}-{number}"


def expect_tasks(service: Any, *states: str) -> None:
    """Tasks in two pages and in reverse order, as a service may give them."""
    tasks = [
        {
            "taskId": task_id(i), "runStatus": state, "parameters": {"I": {"int": str(i + 1)}},
            "failureRetryCount": 1, "startedAt": NOW, **MADE,
        }
        for i, state in enumerate(states)
    ][::-1]  # fmt: skip
    where = {**WHERE, "jobId": JOB, "stepId": STEP}
    service.add_response("list_tasks", {"tasks": tasks[:1], "nextToken": "more"}, where)
    service.add_response("list_tasks", {"tasks": tasks[1:]}, {**where, "nextToken": "more"})


@pytest.mark.parametrize("kind", ["shot", "train"])
def test_our_jobs_are_read_by_deadlines_own_library(
    sample_configs: Path, tmp_path: Path, kind: str
) -> None:
    from deadline.client.job_bundle.loader import read_yaml_or_json_object

    show = Show.open(sample_configs)
    made = (
        shot_bundle(show, shot="ta01", character="hero")
        if kind == "shot"
        else training_bundle(show, character="hero")
    )
    folder = write_bundle(made, tmp_path / "bundle")
    found = read_parameters(folder)
    assert found["Run"] == {"path": made.parameters["Run"]}
    assert found["Character"] == {"string": "hero"}
    assert {name: next(iter(value.values())) for name, value in found.items()} == {
        name: str(value) for name, value in made.parameters.items()
    }
    assets = read_yaml_or_json_object(str(folder), "asset_references", True)
    assert assets is not None
    assert assets["assetReferences"]["outputs"]["directories"] == [made.parameters["Run"]]


def test_its_library_refuses_a_wrong_value(sample_configs: Path, tmp_path: Path) -> None:
    made = shot_bundle(Show.open(sample_configs), shot="ta01", character="hero")
    folder = write_bundle(made, tmp_path / "bundle")
    path = folder / "parameter_values.yaml"
    path.write_text(path.read_text().replace("value: 10\n", "value: 5000\n"))
    with pytest.raises(ConfigError, match="Deadline Cloud's library refuses it.*FramesPerTask"):
        read_parameters(folder)


def test_submission_and_the_same_again(service: Any, engine: DeadlineEngine) -> None:
    bundle = job(stamp(Path("out"), tasks="1-3"), key="k", paused=True)
    expect_creation(service, bundle, targetTaskRunStatus="SUSPENDED")
    assert engine.submit(bundle).job == bundle.settings.name
    expect_status(service, {"SUSPENDED": 3}, targetTaskRunStatus="SUSPENDED")
    expect_tasks(service, "SUSPENDED", "SUSPENDED", "SUSPENDED")
    again = engine.submit(job(stamp(Path("out"), tasks="1-3"), key="k"))
    assert (again.job, again.existing) == (bundle.settings.name, True)


def test_submission_that_was_cut_off_is_one_job(service: Any, engine: DeadlineEngine) -> None:
    bundle = job(stamp(Path("out"), tasks="1-3"))
    service.add_client_error("create_job", "InternalServerErrorException", http_status_code=500)
    with pytest.raises(TryAgainError, match="busy"):
        engine.submit(bundle)
    expect_creation(service, bundle)  # the same client token: the service makes no second job
    expect_status(service, {"READY": 3})
    (status,) = engine.jobs()
    assert status.state is JobState.READY and status.total == 3


def test_bundle_changed_before_it_was_sent_is_not_sent(
    service: Any, engine: DeadlineEngine
) -> None:
    """Once sent, the job lies with the service: what is here is read no more."""
    bundle = job(stamp(Path("out"), "x"))
    service.add_client_error("create_job", "InternalServerErrorException", http_status_code=500)
    with pytest.raises(TryAgainError, match="busy"):
        engine.submit(bundle)
    template = engine.state / "jobs" / bundle.settings.name / "bundle" / "template.yaml"
    template.write_text(template.read_text().replace('"x"', '"y"'))
    with pytest.raises(ConfigError, match="was changed after submission"):
        engine.status(bundle.settings.name)


def test_status_of_tasks(service: Any, engine: DeadlineEngine) -> None:
    bundle = job(stamp(Path("out"), tasks="1-3"))
    expect_creation(service, bundle)
    name = engine.submit(bundle).job
    expect_status(service, {"SUCCEEDED": 1, "RUNNING": 1, "FAILED": 1, "READY": 0})
    expect_tasks(service, "SUCCEEDED", "RUNNING", "FAILED")
    status = engine.status(name)
    assert status.state is JobState.RUNNING and "stamp (1)" in status.reason
    assert [(t.index, t.state, t.parameters) for t in status.steps[0].tasks] == [
        (0, TaskState.SUCCEEDED, {"I": "1"}), (1, TaskState.RUNNING, {"I": "2"}),
        (2, TaskState.FAILED, {"I": "3"}),
    ]  # fmt: skip
    assert status.steps[0].tasks[2].attempt == 2 and status.submitted > 0


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda e, j: e.cancel(j), {"targetTaskRunStatus": "CANCELED"}),
        (lambda e, j: e.pause(j), {"targetTaskRunStatus": "SUSPENDED"}),
        (lambda e, j: e.resume(j), {"targetTaskRunStatus": "READY"}),
        (lambda e, j: e.set_priority(j, 90), {"priority": 90}),
    ],
)
def test_steering(service: Any, engine: DeadlineEngine, call: Any, wanted: Any) -> None:
    bundle = job(stamp(Path("out"), "x"))
    expect_creation(service, bundle)
    name = engine.submit(bundle).job
    service.add_response("update_job", {}, {**WHERE, "jobId": JOB, **wanted})
    call(engine, name)


def test_retry_and_skip(service: Any, engine: DeadlineEngine) -> None:
    bundle = job(stamp(Path("out"), tasks="1-3"))
    expect_creation(service, bundle)
    name = engine.submit(bundle).job
    for target, number in (("PENDING", 2), ("SUCCEEDED", 1)):
        expect_steps(service, {"FAILED": 1})
        expect_tasks(service, "SUCCEEDED", "RUNNING", "FAILED")
        service.add_response(
            "update_task", {},
            {**WHERE, "jobId": JOB, "stepId": STEP, "taskId": task_id(number),
             "targetRunStatus": target},
        )  # fmt: skip
    assert engine.retry(name) == 1
    assert engine.skip(name, [TaskRef(step="stamp", index=1)]) == 1
    with pytest.raises(FarmError, match="no task 'stamp/7'"):
        engine.skip(name, [TaskRef(step="stamp", index=7)])
    with pytest.raises(FarmError, match="deadline job logs --farm-id farm-0.*--job-id job-0"):
        engine.log(name, TaskRef(step="stamp", index=0))


def test_what_it_has_not_is_refused(service: Any, engine: DeadlineEngine) -> None:
    wishes = (({"needs": ("other",)}, "wait for other jobs"), ({"not_before": 9e9}, "cron"))
    for wish, said in wishes:
        with pytest.raises(FarmError, match=said):
            engine.submit(job(stamp(Path("out"), "x"), **wish))
    with pytest.raises(FarmError, match="2 hosts at once; Deadline Cloud gives each task one"):
        engine.submit(on_hosts(2, job(stamp(Path("out"), "x"))))
    service.add_client_error("create_job", "AccessDeniedException", "not yours")
    with pytest.raises(FarmError, match="refuses: create_job.*not yours"):
        engine.submit(job(stamp(Path("out"), "x")))
    assert engine.jobs() == ()


def test_credentials_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    settings = DeadlineSettings(
        farm_id=WHERE["farmId"], queue_id=WHERE["queueId"], region="us-west-2"
    )
    queue = QueueConfig(name="q", engine="deadline", deadline=settings)
    with pytest.raises(FarmError, match="deadline auth login"):
        DeadlineEngine(queue, tmp_path / "farm").submit(job(stamp(Path("out"), "x")))


@pytest.mark.parametrize(
    ("status", "runs"), [({"status": "IDLE"}, True), ({"status": "SCHEDULING_BLOCKED"}, False)]
)
def test_whether_the_queue_is_served(
    service: Any, engine: DeadlineEngine, status: dict[str, str], runs: bool
) -> None:
    service.add_response(
        "get_queue", {**WHERE, "displayName": "night", "defaultBudgetAction": "NONE", **MADE,
                      **status}, WHERE,
    )  # fmt: skip
    load = engine.load()
    assert load.runs is runs and load.text == f"night: {status['status']}"
    service.add_client_error("get_queue", "AccessDeniedException")
    refused = engine.load()
    assert not refused.runs and "AccessDenied" in refused.text
