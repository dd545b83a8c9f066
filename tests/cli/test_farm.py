"""Farm and jobs commands against a real farm in the background."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from laikaroto.cli.queues import open_queue
from laikaroto.farm.engine import Engine, JobState
from laikaroto.show import Show
from tests.farm.tiny import hold, job, lines, stamp, step, until


@pytest.fixture
def call(laikaroto: Callable[..., Any], sample_configs: Path) -> Iterator[Callable[..., Any]]:
    def run(*arguments: object, code: int = 0) -> Any:
        ran = laikaroto(*arguments, "--configs", sample_configs)
        assert ran.code == code, ran.out + ran.err
        return ran

    yield run
    run("farm", "stop")


@pytest.fixture
def engine(sample_configs: Path) -> Engine:
    return open_queue(Show.open(sample_configs), None)


def test_farm_start_status_stop(call: Callable[..., Any], engine: Engine, tmp_path: Path) -> None:
    assert "does not run" in call("farm", "status").out
    assert "was not running" in call("farm", "stop").out
    started = json.loads(call("farm", "start", "--json").out)
    assert started["started"] and started["slots"] >= 1
    assert "runs already" in call("farm", "start").out
    engine.wait([engine.submit(job(stamp(tmp_path / "out", "x"))).job], timeout_s=180)
    found = json.loads(call("farm", "status", "--json").out)
    assert found["supervisor"]["pid"] == started["pid"]
    assert found["jobs"] == {"succeeded": 1} and found["tasks"] == {"succeeded": 1}
    assert f"process {started['pid']}" in call("farm", "status").out
    assert json.loads(call("farm", "stop", "--drain", "--json").out)["stopped"]
    assert "does not run" in call("farm", "status").out
    log = Path(found["state"]) / "supervisor.log"
    assert "stamp/0: starts, attempt 1" in log.read_text()


def test_farm_that_cannot_start_says_why(call: Callable[..., Any], engine: Engine) -> None:
    state = Path(json.loads(call("farm", "status", "--json").out)["state"])
    state.mkdir(parents=True)
    (state / "host").write_text("elsewhere 1\n")
    ran = call("farm", "start", code=1)
    assert "did not start" in ran.err and "belongs to host 'elsewhere'" in ran.err
    assert "started" in call("farm", "start", "--adopt").out


def test_steering_a_job_by_commands(
    call: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    out, started = tmp_path / "out", tmp_path / "started"
    bad = "import sys; print('frame 1003 is torn'); sys.exit(1)"
    name = engine.submit(
        job(
            step("bad", bad),
            stamp(out, "x", name="after", needs=("bad",)),
            name="tiny-job-abc",
            paused=True,
        )
    ).job
    assert "paused" in call("jobs", "list").out
    assert json.loads(call("jobs", "priority", "tiny", 77, "--json").out)["state"] == "paused"
    call("farm", "start")
    assert call("jobs", "resume", "abc").out.startswith(name)
    failed = call("jobs", "wait", name, code=1)
    assert "frame 1003 is torn" in failed.err and "bad/0: exit code 1" in failed.err
    assert f"{name}: failed" in failed.err
    assert json.loads(call("jobs", "wait", name, "--json", code=1).out)[0]["state"] == "failed"
    shown = call("jobs", "show", name)
    assert (
        "bad/0" in shown.out and "failed tasks: bad (1)" in shown.out and "priority 77" in shown.out
    )
    assert "frame 1003 is torn" in call("jobs", "logs", name).out
    assert "1 tasks to run again" in call("jobs", "retry", name).out
    engine.wait([name], timeout_s=180)
    assert "attempt 2" in call("jobs", "logs", name, "bad/0").out
    first = json.loads(call("jobs", "logs", name, "bad/0", "--attempt", 1, "--json").out)
    assert "attempt 1" in first[0]["log"]
    assert json.loads(call("jobs", "skip", name, "bad/0", "--json").out)["count"] == 1
    call("jobs", "wait", name)
    assert lines(out) == ["x"]
    running = engine.submit(job(hold(started, tmp_path / "never"))).job
    until(lambda: lines(started), "running")
    assert call("jobs", "pause", running).out.startswith(running)
    call("jobs", "cancel", running)
    assert engine.wait([running], timeout_s=180)[0].state is JobState.CANCELLED
    call("farm", "stop")


def test_job_names_that_do_not_fit(
    call: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    for end in ("one", "two"):
        engine.submit(job(stamp(tmp_path / "out", "x"), name=f"tiny-{end}"))
    assert "no job is called 'other'" in call("jobs", "show", "other", code=2).err
    assert "2 jobs are called 'tiny'" in call("jobs", "show", "tiny", code=2).err
    assert "wanted STEP/INDEX" in call("jobs", "skip", "one", "stamp/x", code=2).err
    assert "has not started" in call("jobs", "logs", "one", code=2).err
    assert "no task 'stamp/7'" in call("jobs", "logs", "one", "stamp/7", code=1).err


def test_farm_run_until_idle(call: Callable[..., Any], engine: Engine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    engine.submit(job(stamp(out, "x"), stamp(out, "y", name="b", needs=("stamp",))))
    call("farm", "run", "--until-idle")
    assert lines(out) == ["x", "y"]


def test_submitted_job_runs_its_real_steps(
    call: Callable[..., Any], sample_configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model the first step says so, and nothing behind it runs."""
    # tasks run in folders of their own, so an uninstalled source tree has to be named
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    call("farm", "start")
    ran = call("submit", "shot", "ta01", "--character", "hero", "--wait", code=1)
    assert "check/0" in ran.err
    status = json.loads(call("jobs", "list", "--json").out)[0]
    assert status["state"] == "failed" and status["done"] == 0
    work = sample_configs.parent / "sample" / "work" / status["name"]
    assert json.loads((work / "results" / "check" / "all.1.json").read_text())["exit_code"] != 0
