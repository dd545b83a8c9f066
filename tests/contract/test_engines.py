"""What every farm engine has to do. To add an engine: give it a line in ``ENGINES``."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from laikaroto.errors import ConfigError, FarmError
from laikaroto.farm.engine import Engine, JobState, TaskRef, TaskState
from tests.farm.endpoints import hook
from tests.farm.opencue.site import running_site
from tests.farm.slurm.cluster import running_cluster, slurm_engine
from tests.farm.tiny import (
    HOLD,
    POLITE,
    LocalFarm,
    hold,
    job,
    lines,
    on_hosts,
    stamp,
    step,
    until,
)

SECRET = "hush-hush-hush"


def _local(folder: Path) -> Iterator[Engine]:
    farm = LocalFarm(folder)
    os.environ["FARM_TEST_PASSWORD"] = SECRET  # what starts a farm may hold secrets
    farm.start("ledger.RETRY_DELAY_S = 0.05")
    del os.environ["FARM_TEST_PASSWORD"]
    yield farm.engine
    farm.end()


def _slurm(folder: Path) -> Iterator[Engine]:
    os.environ["FARM_TEST_PASSWORD"] = SECRET
    with running_cluster(folder / "cluster") as cluster:
        yield slurm_engine(cluster, folder / "farm")
    del os.environ["FARM_TEST_PASSWORD"]


def _opencue(folder: Path) -> Iterator[Engine]:
    os.environ["FARM_TEST_PASSWORD"] = SECRET
    with running_site(folder / "site") as site:
        engine = site.engine(folder / "farm")
        yield engine
        engine.close()
    del os.environ["FARM_TEST_PASSWORD"]


ENGINES: dict[str, Callable[[Path], Iterator[Engine]]] = {
    "local": _local, "slurm": _slurm, "opencue": _opencue,
}  # fmt: skip
"""Engine name -> how to bring one up with two slots and short retry delays, and down again."""


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    yield from ENGINES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def wait(engine: Engine) -> Callable[..., Any]:
    def wait_for(name: str) -> Any:
        return engine.wait([name], timeout_s=180, poll_s=0.05)[0]

    return wait_for


def test_steps_run_in_order_and_each_task_once(engine: Engine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sent = engine.submit(
        job(
            stamp(out, "end", name="last", needs=("many",)),
            stamp(out, name="many", tasks="1-6", needs=("first",)),
            stamp(out, "start", name="first"),
        )
    )
    assert not sent.existing
    done = wait(sent.job)
    assert done.state is JobState.SUCCEEDED and done.reason == ""
    assert lines(out)[0] == "start" and lines(out)[-1] == "end"
    assert sorted(lines(out)[1:-1]) == list("123456")
    assert (done.done, done.total, done.progress) == (8, 8, 1.0)
    assert [s.name for s in done.steps] == ["first", "many", "last"]
    assert done.steps[2].needs == ("many",)
    task = done.steps[1].tasks[3]
    assert (task.state, task.parameters, task.attempt) == (TaskState.SUCCEEDED, {"I": "4"}, 1)
    assert task.exit_code == 0 and task.host and task.started <= task.ended


def test_failure_ends_the_job_and_retry_mends_it(engine: Engine, wait: Any, tmp_path: Path) -> None:
    cause, out = tmp_path / "mended", tmp_path / "out"
    code = (
        "import os, sys; print('hello from', os.environ['LAIKAROTO_ATTEMPT'], flush=True);"
        "ok = os.path.exists(sys.argv[1]); ok or print('openjd_fail: no plate 1007');"
        "sys.exit(0 if ok else 1)"
    )
    name = engine.submit(
        job(step("bad", code, str(cause)), stamp(out, "x", name="after", needs=("bad",)))
    ).job
    failed = wait(name)
    assert failed.state is JobState.FAILED and "bad (1)" in failed.reason
    (task,) = failed.tasks(TaskState.FAILED)
    assert task.attempt == 1  # exit code 1 would come again: not tried again
    assert task.exit_code == 1 and "no plate 1007" in task.message
    assert not out.exists()
    cause.touch()
    assert engine.retry(name) == 1
    done = wait(name)
    assert done.state is JobState.SUCCEEDED and lines(out) == ["x"]
    bad = TaskRef(step="bad", index=0)
    assert "hello from 2" in engine.log(name, bad)
    assert "hello from 1" in engine.log(name, bad, attempt=1)
    with pytest.raises(FarmError, match="attempt 3"):
        engine.log(name, bad, attempt=3)


@pytest.mark.parametrize(("code", "tries"), [(75, 3), (-9, 3), (2, 1), (78, 1), (7, 1)])
def test_only_what_may_succeed_later_is_tried_again(
    engine: Engine, wait: Any, tmp_path: Path, code: int, tries: int
) -> None:
    out = tmp_path / "out"
    text = (
        "import os, sys; c = int(sys.argv[2]);"
        "open(sys.argv[1], 'a').write(os.environ['LAIKAROTO_ATTEMPT'] + '\\n');"
        "os.kill(os.getpid(), -c) if c < 0 else sys.exit(c)"
    )
    done = wait(engine.submit(job(step("s", text, str(out), str(code)))).job)
    assert done.state is JobState.FAILED
    assert lines(out) == [str(i + 1) for i in range(tries)]
    (task,) = done.tasks(TaskState.FAILED)
    assert task.exit_code == code
    assert ("tried 3 times" in task.message) == (tries == 3)


def test_task_that_fails_twice_then_works(engine: Engine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys; number = os.environ['LAIKAROTO_ATTEMPT'];"
        "open(sys.argv[1], 'a').write(number + '\\n');"
        "number == '2' and os.kill(os.getpid(), 9); sys.exit(0 if number == '3' else 75)"
    )
    done = wait(
        engine.submit(job(step("s", code, str(out)), stamp(out, "x", name="t", needs=("s",)))).job
    )
    assert done.state is JobState.SUCCEEDED and done.steps[0].tasks[0].attempt == 3
    assert lines(out) == ["1", "2", "3", "x"]


def test_cancel_kills_the_payload_and_all_it_started(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    pids, gate, out = tmp_path / "pids", tmp_path / "gate", tmp_path / "out"
    code = (  # a child that leaves the process group and keeps standard output open
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[3], *sys.argv[1:3]],"
        " start_new_session=True)\n" + HOLD
    )
    name = engine.submit(
        job(
            step("tree", code, str(pids), str(gate), HOLD),
            stamp(out, "x", name="after", needs=("tree",)),
        )
    ).job
    until(lambda: len(lines(pids)) == 2, "both run")
    engine.cancel(name)
    done = wait(name)
    assert done.state is JobState.CANCELLED
    assert [s.tasks[0].state for s in done.steps] == [TaskState.CANCELLED] * 2
    for pid in lines(pids):
        until(lambda pid=pid: not _alive(int(pid)), f"{pid} dead")
    assert not out.exists()
    assert engine.retry(name) == 2
    gate.touch()
    assert wait(name).state is JobState.SUCCEEDED and lines(out) == ["x"]


def test_cancel_gives_the_time_to_end_that_the_step_asks_for(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    started, saved = tmp_path / "started", tmp_path / "saved"
    args = (str(started), str(tmp_path / "never"), str(saved))
    name = engine.submit(job(step("polite", POLITE, *args, grace=20))).job
    until(lambda: lines(started), "runs")
    engine.cancel(name)
    assert wait(name).state is JobState.CANCELLED
    assert lines(saved) == ["saved"] and len(lines(started)) == 1


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_pause_starts_nothing_new_and_resume_goes_on(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    name = engine.submit(
        job(hold(started, gate), stamp(out, "x", name="after", needs=("hold",)))
    ).job
    until(lambda: lines(started), "running")
    engine.pause(name)
    gate.touch()
    until(lambda: engine.status(name).done == 1, "first step done")
    other = engine.submit(job(stamp(tmp_path / "other", "x"))).job
    wait(other)  # the farm is not idle for want of time
    assert engine.status(name).state is JobState.PAUSED and not out.exists()
    engine.resume(name)
    assert wait(name).state is JobState.SUCCEEDED and lines(out) == ["x"]


def test_submitted_paused(engine: Engine, wait: Any, tmp_path: Path) -> None:
    name = engine.submit(job(stamp(tmp_path / "out", "x"), paused=True)).job
    assert engine.status(name).state is JobState.PAUSED
    engine.resume(name)
    assert wait(name).state is JobState.SUCCEEDED


def test_higher_priority_first_then_older(engine: Engine, wait: Any, tmp_path: Path) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    blockers = [engine.submit(job(hold(started, gate), priority=90)).job for _ in range(2)]
    until(lambda: len(lines(started)) == 2, "both slots busy")
    low = engine.submit(job(stamp(out, "low"), priority=10)).job
    raised = engine.submit(job(stamp(out, "raised"), priority=5)).job
    high = engine.submit(job(stamp(out, "high"), priority=80)).job
    assert engine.status(low).state is JobState.READY
    engine.set_priority(raised, 20)
    assert engine.status(raised).priority == 20
    engine.cancel(blockers[0])  # one slot goes through the queue in order
    for name in (low, raised, high):
        wait(name)
    assert lines(out) == ["high", "raised", "low"]
    gate.touch()
    wait(blockers[1])


def test_not_before(engine: Engine, wait: Any, tmp_path: Path) -> None:
    later = engine.submit(job(stamp(tmp_path / "l", "x"), not_before=time.time() + 3600)).job
    now = engine.submit(job(stamp(tmp_path / "n", "x"), not_before=time.time() - 1)).job
    soon = engine.submit(job(stamp(tmp_path / "s", "x"), not_before=time.time() + 1)).job
    assert wait(now).state is JobState.SUCCEEDED
    assert wait(soon).state is JobState.SUCCEEDED
    status = engine.status(later)
    assert status.state is JobState.WAITING and "until" in status.reason
    engine.cancel(later)
    assert wait(later).state is JobState.CANCELLED


def test_skip_goes_on_without_a_failed_and_a_running_task(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    started, out = tmp_path / "started", tmp_path / "out"
    name = engine.submit(
        job(
            step("bad", "import sys; sys.exit(1)"),
            hold(started, tmp_path / "never", name="slow"),
            stamp(out, "x", name="after", needs=("bad", "slow")),
        )
    ).job
    until(lambda: engine.status(name).tasks(TaskState.FAILED) and lines(started), "stuck")
    assert engine.skip(name, [TaskRef(step="bad", index=0)]) == 1
    assert engine.skip(name, [TaskRef(step="slow")]) == 1
    done = wait(name)
    assert done.state is JobState.SUCCEEDED and lines(out) == ["x"]
    assert [s.tasks[0].state.value for s in done.steps] == ["skipped", "skipped", "succeeded"]
    with pytest.raises(FarmError, match="no task 'bad/1'"):
        engine.skip(name, [TaskRef(step="bad", index=1)])


def test_dependent_of_a_failed_job_waits_says_why_and_is_freed_by_retry(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    cause, out = tmp_path / "mended", tmp_path / "out"
    check = "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))"
    first = engine.submit(job(step("s", check, str(cause)), paused=True)).job
    second = engine.submit(job(stamp(out, "second"), needs=(first,))).job
    third = engine.submit(job(stamp(out, "third"), needs=(second, first))).job
    assert engine.status(second).state is JobState.WAITING
    assert engine.status(third).needs == (first, second)
    engine.resume(first)
    assert wait(first).state is JobState.FAILED
    blocked = wait(third)
    assert blocked.state is JobState.BLOCKED and f"{first} failed" in blocked.reason
    cause.touch()
    engine.retry(first)
    assert wait(third).state is JobState.SUCCEEDED and lines(out) == ["second", "third"]


def test_dependent_of_a_cancelled_job_does_not_run(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    first = engine.submit(job(stamp(tmp_path / "a", "x"), paused=True)).job
    second = engine.submit(job(stamp(tmp_path / "b", "x"), needs=(first,))).job
    engine.cancel(first)
    done = wait(second)
    assert done.state is JobState.BLOCKED and "was cancelled" in done.reason
    engine.cancel(second)
    assert wait(second).state is JobState.CANCELLED


def test_same_key_is_one_job_while_it_is_active(engine: Engine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    key = f"key-{tmp_path}"
    first = engine.submit(job(stamp(out, "x"), key=key, paused=True))
    again = engine.submit(job(stamp(out, "x"), key=key))
    assert (again.job, again.existing) == (first.job, True)
    engine.resume(first.job)
    wait(first.job)
    later = engine.submit(job(stamp(out, "x"), key=key))
    assert not later.existing and later.job != first.job
    wait(later.job)
    assert lines(out) == ["x", "x"]


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"amounts": {"amount.worker.vcpu": 1000}}, "1000 CPUs"),
        ({"amounts": {"amount.worker.memory": 1e9}}, "1000000000 MiB memory"),
        ({"amounts": {"amount.worker.gpu": 99}}, "amount.worker.gpu of at least 99"),
        ({"attributes": {"attr.worker.os.family": "windows"}}, "attr.worker.os.family windows"),
    ],
)
def test_a_job_that_asks_for_too_much_is_refused(
    engine: Engine, tmp_path: Path, wanted: dict[str, Any], named: str
) -> None:
    bundle = job(stamp(tmp_path / "out", "x", **wanted))
    with pytest.raises(FarmError, match=named):
        engine.submit(bundle)
    with pytest.raises(FarmError, match=bundle.settings.name):
        engine.status(bundle.settings.name)


def test_more_hosts_at_once_than_there_are_are_refused(engine: Engine, tmp_path: Path) -> None:
    bundle = on_hosts(7, job(stamp(tmp_path / "out", "x")))
    with pytest.raises(FarmError, match=r"step 'stamp' asks for .*7 hosts at once.*--nodes"):
        engine.submit(bundle)
    with pytest.raises(FarmError, match=bundle.settings.name):
        engine.status(bundle.settings.name)


def test_malformed_bundle_is_refused(engine: Engine, tmp_path: Path) -> None:
    bundle = job(stamp(tmp_path / "out", "x", needs=("nothing",)))
    with pytest.raises(ConfigError, match="nothing"):
        engine.submit(bundle)
    with pytest.raises(ConfigError, match="Nowhere"):
        engine.submit(replace(job(stamp(tmp_path / "out", "x")), parameters={"Nowhere": "1"}))
    with pytest.raises(ConfigError, match="nodes: stamp: Nodes: wanted .* got '0'"):
        engine.submit(on_hosts(0, job(stamp(tmp_path / "out", "x"))))


def test_progress_and_status_lines_arrive(engine: Engine, wait: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = (
        "import os, sys, time\n"
        "while not os.path.exists(sys.argv[1]):\n"
        "    print('openjd_progress: 25', flush=True)\n"
        "    print('openjd_status: epoch 3', flush=True)\n"
        "    time.sleep(0.1)"
    )
    name = engine.submit(job(step("s", code, str(gate)))).job

    def shown() -> bool:
        task = engine.status(name).steps[0].tasks[0]
        return (task.progress, task.message) == (0.25, "epoch 3")

    until(shown, "progress")
    assert engine.status(name).progress == 0.25
    gate.touch()
    assert wait(name).progress == 1.0


def test_environment_of_a_task(engine: Engine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    wait(engine.submit(job(step("s", code, str(out)))).job)
    found = json.loads(out.read_text())
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "1"
    assert found["LAIKAROTO_ATTEMPT"] == "1" and found["PYTHONUNBUFFERED"] == "1"


def test_arguments_arrive_as_they_are_and_no_shell_reads_them(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    out, touched = tmp_path / "out", tmp_path / "touched"
    words = [
        f"$(touch {touched})", f"`touch {touched}`", f"; touch {touched} #", f"|| touch {touched}",
        "a  b", "*", "'\"", "$HOME", "~", "\\n", "%j", "", "-x",
    ]  # fmt: skip
    code = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    done = wait(engine.submit(job(step("s", code, str(out), *words))).job)
    assert done.state is JobState.SUCCEEDED
    assert json.loads(out.read_text()) == words and not touched.exists()


def test_secrets_of_the_environment_do_not_reach_logs(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    code = (
        "import os; found = [k + '=' + v for k, v in os.environ.items()]\n"
        "for line in found: print(line)\n"
        "print('openjd_status: have', *found); print('openjd_fail: had', *found); exit(1)"
    )
    done = wait(engine.submit(job(step("s", code))).job)
    said = engine.log(done.name, TaskRef(step="s", index=0))
    (task,) = done.tasks(TaskState.FAILED)
    assert "LAIKAROTO_ATTEMPT=1" in said and "LAIKAROTO_ATTEMPT=1" in task.message
    assert SECRET not in said and SECRET not in task.message
    for path in engine.state.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_files_of_a_queue_are_closed_to_others(engine: Engine, wait: Any, tmp_path: Path) -> None:
    wait(engine.submit(job(stamp(tmp_path / "out", "x"))).job)
    assert stat.S_IMODE(engine.state.stat().st_mode) == 0o700
    logs = list(engine.state.rglob("*.log"))
    records = [*engine.state.rglob("logs/**/*.json"), *engine.state.glob("*.sqlite")]
    assert logs and records
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*logs, *records]} == {0o600}
    assert {path.stat().st_uid for path in engine.state.rglob("*")} == {os.getuid()}


def test_bundle_changed_after_submission_is_not_run(
    engine: Engine, wait: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    name = engine.submit(job(stamp(out, "x"), paused=True)).job
    (template,) = engine.state.glob(f"jobs/{name}/bundle/template.yaml")
    template.write_text(template.read_text().replace('"x"', '"y"'))
    engine.resume(name)
    done = wait(name)
    assert done.state is JobState.FAILED and not out.exists()
    (task,) = done.tasks(TaskState.FAILED)
    assert task.exit_code == 78 and "was changed after submission" in task.message


@pytest.mark.parametrize("step_name", ["a/b", "..", "x;y", "%j"])
def test_names_are_checked_at_the_border(engine: Engine, tmp_path: Path, step_name: str) -> None:
    with pytest.raises(ConfigError, match="is not a usable name"):
        engine.submit(job(stamp(tmp_path / "out", "x", name=step_name)))


def test_command_that_does_not_exist_fails_at_once(engine: Engine, wait: Any) -> None:
    made = step("s", "")
    made["script"]["actions"]["onRun"]["command"] = "/nowhere/at/all"
    done = wait(engine.submit(job(made)).job)
    assert done.state is JobState.FAILED and done.steps[0].tasks[0].attempt == 1


def test_list_has_counts_and_no_tasks(engine: Engine, wait: Any, tmp_path: Path) -> None:
    name = engine.submit(job(stamp(tmp_path / "out", tasks="1-3"))).job
    wait(name)
    (found,) = [status for status in engine.jobs() if status.name == name]
    assert found.steps[0].counts == {TaskState.SUCCEEDED: 3} and found.steps[0].tasks == ()
    assert json.loads(json.dumps(found.to_dict()))["steps"][0]["counts"] == {"succeeded": 3}


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.status("nobody"),
        lambda engine: engine.cancel("nobody"),
        lambda engine: engine.retry("nobody"),
        lambda engine: engine.submit(job(stamp(Path("x"), "x"), needs=("nobody",))),
        lambda engine: engine.log("nobody", TaskRef(step="s", index=0)),
    ],
)
def test_unknown_job(engine: Engine, call: Callable[[Engine], object]) -> None:
    with pytest.raises(FarmError, match="'nobody' is not in"):
        call(engine)


def test_wait_gives_up(engine: Engine, tmp_path: Path) -> None:
    name = engine.submit(job(stamp(tmp_path / "out", "x"), paused=True)).job
    with pytest.raises(FarmError, match=f"not over after 0.1 s: {name} \\(paused\\)"):
        engine.wait([name], timeout_s=0.1, poll_s=0.02)
    engine.cancel(name)


def test_the_end_of_a_job_is_told_once(engine: Engine, wait: Any, tmp_path: Path) -> None:
    """By whoever is last: of two tasks that end at the same moment only one may tell."""
    out = tmp_path / "out"
    with hook() as server:
        notify = {"webhook": {"url": server.url, "timeout": "60s"}}
        name = engine.submit(job(stamp(out, tasks="1-2"), notify=notify)).job
        assert wait(name).state is JobState.SUCCEEDED
        until(lambda: server.posted, "told")
        held = engine.submit(job(stamp(out, "x"), paused=True, notify=notify)).job
        engine.cancel(held)
        assert wait(held).state is JobState.CANCELLED
        until(lambda: len(server.posted) == 2, "the cancelled one is told")
        until(lambda: engine.status(held).notices[0].state == "sent", "noted")
        assert engine.verify() == 0  # tells nothing twice
        assert [(body["job"], body["state"]) for body in server.posted] == [
            (name, "succeeded"), (held, "cancelled"),
        ]  # fmt: skip


def test_many_jobs_in_one_call(engine: Engine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bundles = [job(stamp(out, str(number)), key=f"{tmp_path}{number}") for number in range(5)]
    again = job(stamp(out, "again"), key=f"{tmp_path}3")
    sent = engine.submit_all([*bundles, again])
    assert [item.job for item in sent[:5]] == [bundle.settings.name for bundle in bundles]
    assert [item.existing for item in sent[:5]] == [False] * 5
    assert sent[5].job == sent[3].job and sent[5].existing
    assert {wait(item.job).state for item in sent} == {JobState.SUCCEEDED}
    assert sorted(lines(out)) == list("01234")
    big = job(step("s", "pass", amounts={"amount.worker.vcpu": 1000}))
    fine = job(stamp(out, "fine"))
    with pytest.raises(FarmError, match="CPUs"):
        engine.submit_all([fine, big])
    assert fine.settings.name not in engine.names()  # all or nothing


def test_lists_follow_a_job_that_is_retried(engine: Engine, wait: Any, tmp_path: Path) -> None:
    cause = tmp_path / "mended"
    code = (
        "import os, sys, time; os.environ['LAIKAROTO_ATTEMPT'] == '1' and sys.exit(1)\n"
        "while not os.path.exists(sys.argv[1]):\n"
        "    time.sleep(0.05)"
    )
    name = engine.submit(job(step("s", code, str(cause)), kind="mendable")).job
    assert wait(name).state is JobState.FAILED
    for _ in "12":  # asked, then remembered
        (found,) = [status for status in engine.jobs() if status.name == name]
        assert found.state is JobState.FAILED and found.steps[0].counts == {TaskState.FAILED: 1}
    engine.retry(name)
    (found,) = [status for status in engine.jobs() if status.name == name]
    assert not found.state.over
    cause.touch()
    assert wait(name).state is JobState.SUCCEEDED
    (found,) = [status for status in engine.jobs() if status.name == name]
    assert found.state is JobState.SUCCEEDED and name in engine.names()
    results = {total.result for total in engine.totals() if total.kind == "mendable"}
    assert {"failed", "succeeded"} <= results
    assert engine.load().runs
