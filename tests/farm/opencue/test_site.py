"""The OpenCue engine among others: what wranglers do in OpenCue, what dies, what comes late.

Frames run on a real RQD; wranglers use real pycue, in a process of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from laikaroto.farm.engine import JobState, TaskRef, TaskState
from laikaroto.farm.opencue.engine import OpenCueEngine
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import job_folder
from laikaroto.farm.processes import start_time
from laikaroto.farm.records import read_attempts
from laikaroto.farm.steering import read_steering, write_steering
from tests.farm.opencue.site import DIRECT, PYTHON, Site, running_site
from tests.farm.tiny import POLITE, hold, job, lines, stamp, step, until

LONG_S = 180.0
CHECK = "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("opencue") / "site") as made:
        yield made


@pytest.fixture
def engine(site: Site, tmp_path: Path) -> Iterator[OpenCueEngine]:
    made = site.engine(tmp_path / "farm")
    yield made
    made.close()


@pytest.fixture
def wait(engine: OpenCueEngine) -> Callable[[str], Any]:
    return lambda name: engine.wait([name], timeout_s=LONG_S)[0]


def wrangle(site: Site, name: str, code: str) -> str:
    """What a wrangler does to a job in OpenCue, with pycue; what it printed."""
    ran = subprocess.run(
        [PYTHON, "-c", f"import opencue\njob = opencue.api.findJob({cue_name(name)!r})\n{code}"],
        env={**os.environ, **DIRECT, "CUEBOT_HOSTS": site.address}, capture_output=True,
        text=True, timeout=LONG_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def cue_name(name: str) -> str:
    return f"test-tiny-artist_{name.replace('-', '_')}"


def test_a_state_folder_with_a_nasty_name(site: Site, tmp_path: Path) -> None:
    engine = site.engine(tmp_path / "a b'\"$(touch x)`touch x`;&|<>é")
    out = tmp_path / "o u't"
    done = engine.wait([engine.submit(job(stamp(out, "a b;$x"))).job], timeout_s=LONG_S)[0]
    engine.close()
    assert done.state is JobState.SUCCEEDED and out.read_text() == "a b;$x\n"
    assert not list(site.root.rglob("x")) and not (tmp_path / "x").exists()


def test_the_log_in_opencue_says_where_ours_is(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    name = engine.submit(job(step("s", "print('hello there')"))).job
    wait(name)
    (log,) = (site.root / "rqlogs" / cue_name(name)).glob("*.rqlog")
    assert log.name == f"{cue_name(name)}.0000-01_s.rqlog"
    assert f"is in {engine.state / 'jobs' / name / 'logs' / 's'}" in log.read_text()
    assert "hello there" not in log.read_text()  # everybody may read that one


def test_what_pycue_sees(site: Site, engine: OpenCueEngine, tmp_path: Path) -> None:
    bundle = job(
        stamp(tmp_path / "o", tasks="1-3", name="many", needs=("first",)),
        stamp(tmp_path / "o", "x", name="first"),
        paused=True, priority=77,
    )  # fmt: skip
    name = engine.submit(bundle).job
    said = wrangle(
        site, name,
        "print(job.isPaused(), job.priority(), job.show(), job.shot(), job.user())\n"
        "print(*[(l.name(), l.totalFrames()) for l in job.getLayers()])\n"
        "print(*[(f.data.name, f.state()) for f in job.getFrames()])\n",
    )  # fmt: skip
    assert "True 77 test tiny artist" in said
    assert "0000-01_first" in said and "0002-02_many" in said
    engine.set_priority(name, 12)
    engine.resume(name)
    assert "12 False" in wrangle(site, name, "print(job.priority(), job.isPaused())")
    assert engine.wait([name], timeout_s=LONG_S)[0].state is JobState.SUCCEEDED


def test_paused_and_preferred_by_a_wrangler(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(job(hold(started, gate), stamp(tmp_path / "o", "x", needs=("hold",)))).job
    until(lambda: lines(started), "runs")
    wrangle(site, name, "job.pause(); job.setPriority(91)")
    gate.touch()
    until(lambda: engine.status(name).done == 1, "first step done")
    status = engine.status(name)
    assert (status.state, status.reason, status.priority) == (
        JobState.PAUSED, "paused in OpenCue", 91,
    )  # fmt: skip
    engine.resume(name)
    assert wait(name).state is JobState.SUCCEEDED


def test_a_frame_killed_by_a_wrangler_may_end_politely(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, gate, saved = tmp_path / "started", tmp_path / "gate", tmp_path / "saved"
    args = (str(started), str(gate), str(saved))
    name = engine.submit(job(step("polite", POLITE, *args, grace=30))).job
    until(lambda: lines(started), "runs")
    wrangle(site, name, "job.killFrames(reason='test')")
    failed = wait(name)
    assert lines(saved) == ["saved"]  # SIGTERM and time, although RQD knows SIGKILL only
    (attempt,) = read_attempts(engine.state, name, "polite")[0]
    assert (attempt.outcome, attempt.exit_code) == (Outcome.RETURNED, 75)
    (task,) = failed.tasks(TaskState.FAILED)
    assert "ended by OpenCue" in task.message and ".0000-01_polite.rqlog" in task.message
    gate.touch()
    assert engine.retry(name) == 1
    done = wait(name)
    assert done.state is JobState.SUCCEEDED and done.steps[0].tasks[0].attempt == 2


def test_retried_by_a_wrangler(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    cause, out = tmp_path / "mended", tmp_path / "out"
    name = engine.submit(
        job(step("bad", CHECK, str(cause)), stamp(out, "x", name="after", needs=("bad",)))
    ).job
    assert wait(name).state is JobState.FAILED
    cause.touch()
    wrangle(site, name, "job.retryFrames(layer=['01_bad'])")
    until(lambda: engine.status(name).state is JobState.SUCCEEDED, "done", LONG_S)
    assert lines(out) == ["x"] and engine.status(name).steps[0].tasks[0].attempt == 2


def test_eaten_by_a_wrangler(site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    name = engine.submit(
        job(
            step("bad", "import sys; sys.exit(1)"),
            stamp(out, "x", name="after", needs=("bad",)),
        )
    ).job
    assert wait(name).state is JobState.FAILED
    wrangle(site, name, "job.eatFrames(layer=['01_bad'])")
    until(lambda: engine.status(name).done == 1, "eaten")
    (task,) = engine.status(name).steps[0].tasks
    assert (task.state, task.message) == (
        TaskState.SKIPPED, "eaten in OpenCue, not by laikaroto"
    )  # fmt: skip
    engine.verify()  # eating alone does not free what waits for the layer
    assert wait(name).state is JobState.SUCCEEDED
    assert lines(out) == ["x"]


def test_killed_by_a_wrangler_and_launched_again(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    name = engine.submit(
        job(
            stamp(out, "first", name="first"), hold(started, gate, needs=("first",)),
            stamp(out, "last", name="last", needs=("hold",)),
        )
    ).job  # fmt: skip
    until(lambda: lines(started), "runs")
    wrangle(site, name, "job.kill(reason='test')")
    killed = wait(name)
    assert killed.state is JobState.CANCELLED and "killed in OpenCue" in killed.reason
    assert [s.tasks[0].state.value for s in killed.steps] == ["succeeded", "cancelled", "cancelled"]
    assert engine.verify() == 0  # what a person ended is not brought back by a cron job
    gate.touch()
    assert engine.retry(name) == 2
    assert wait(name).state is JobState.SUCCEEDED
    assert lines(out) == ["first", "last"]
    assert any(frame.startswith(f"{cue_name(name)}_2/") for frame in site.cue.launched)


def test_a_dependent_waits_for_the_job_that_is_launched_again(
    engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = engine.submit(job(stamp(out, "first"), paused=True)).job
    second = engine.submit(job(stamp(out, "second"), needs=(first,))).job
    engine.cancel(first)
    assert wait(second).state is JobState.BLOCKED
    third = engine.submit(job(stamp(out, "third"), needs=(second,))).job
    assert engine.retry(first) == 1
    assert engine.status(second).state is not JobState.BLOCKED
    engine.resume(first)
    assert wait(third).state is JobState.SUCCEEDED
    assert lines(out) == ["first", "second", "third"]


def test_cancel_reaches_a_task_that_rqd_cannot(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, saved = tmp_path / "started", tmp_path / "saved"
    args = (str(started), str(tmp_path / "never"), str(saved))
    name = engine.submit(job(step("polite", POLITE, *args, grace=30))).job
    until(lambda: lines(started), "runs")
    with monkeypatch.context() as patch:
        patch.setattr(site.cue, "kill", lambda frame: None)
        engine.cancel(name)
        assert wait(name).state is JobState.CANCELLED
    assert lines(saved) == ["saved"]


def test_a_killed_runner_is_started_again(engine: OpenCueEngine, wait: Any, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "runs")
    (attempt,) = read_attempts(engine.state, name, "hold")[0]
    os.kill(attempt.pid, signal.SIGKILL)
    until(lambda: len(lines(started)) == 2, "runs again", LONG_S)
    gate.touch()
    assert wait(name).state is JobState.SUCCEEDED
    first, _ = read_attempts(engine.state, name, "hold")[0]
    assert (first.outcome, first.message) == (Outcome.LOST, "its runner died")
    for pid in lines(started):
        until(lambda pid=pid: start_time(int(pid)) is None, f"{pid} dead")


def test_a_runner_and_its_watcher_are_killed(
    engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "runs")
    (attempt,) = read_attempts(engine.state, name, "hold")[0]
    runner = psutil.Process(attempt.pid)
    watcher = runner.parent()
    assert watcher is not None
    runner.suspend()  # so that it cannot write down how it ended
    watcher.kill()
    runner.kill()
    until(lambda: "runner was lost" in engine.status(name).steps[0].tasks[0].message, "seen")
    gate.touch()
    assert engine.verify() == 1
    assert wait(name).state is JobState.SUCCEEDED


def test_a_task_that_finds_its_job_paused_goes_on_when_it_is_resumed(
    engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    name = engine.submit(job(stamp(tmp_path / "out", "x"), paused=True)).job
    view = engine._views([name])[name]
    assert view.last is not None
    engine._cuebot.resume(view.last.id)  # OpenCue dispatches it before it hears of the pause
    until(lambda: engine._views([name])[name].stalled(), "held", LONG_S)
    assert engine.status(name).state is JobState.PAUSED and not (tmp_path / "out").exists()
    engine.resume(name)
    assert wait(name).state is JobState.SUCCEEDED and lines(tmp_path / "out") == ["x"]


def test_opencue_takes_its_time_to_retry(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    cause = tmp_path / "mended"
    name = engine.submit(job(step("bad", CHECK, str(cause)))).job
    assert wait(name).state is JobState.FAILED
    cause.touch()
    slow = threading.Event()
    site.cue.later(lambda: slow.wait(LONG_S) and None)  # what comes after it waits in the queue
    assert engine.retry(name) == 1
    assert engine.status(name).state is JobState.READY  # the dead frame is not a new failure
    slow.set()
    assert wait(name).state is JobState.SUCCEEDED


def test_skipping_what_runs_frees_what_waits_for_it(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, saved, out = tmp_path / "started", tmp_path / "saved", tmp_path / "out"
    args = (str(started), str(tmp_path / "never"), str(saved))
    name = engine.submit(
        job(step("polite", POLITE, *args, grace=30), stamp(out, "x", needs=("polite",)))
    ).job
    until(lambda: lines(started), "runs")
    assert engine.skip(name, [TaskRef(step="polite")]) == 1
    assert wait(name).state is JobState.SUCCEEDED and lines(out) == ["x"]
    until(lambda: lines(saved), "was asked to end")


def test_what_was_eaten_is_remembered(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    name = engine.submit(
        job(step("bad", "import sys; sys.exit(1)"), stamp(tmp_path / "o", "x"), paused=True)
    ).job
    wrangle(site, name, "job.eatFrames(layer=['01_bad'])")
    until(lambda: engine.status(name).done == 1, "eaten")
    engine.resume(name)  # every look that may change something notes it
    wait(name)
    site.cue.book.jobs = [j for j in site.cue.book.jobs if j.name != cue_name(name)]  # archived
    assert engine.status(name).state is JobState.SUCCEEDED


def test_a_success_that_opencue_was_not_told_of(
    site: Site, engine: OpenCueEngine, wait: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ended = site.cue.ended
    with monkeypatch.context() as patch:

        def lose(report: Any) -> None:  # the watcher was killed when the task had just ended
            report.exit_status = 1
            ended(report)

        patch.setattr(site.cue, "ended", lose)
        name = engine.submit(
            job(stamp(out, "once", name="first"), stamp(out, "then", needs=("first",)))
        ).job
        until(lambda: "dead in OpenCue only" in engine.status(name).reason, "stuck", LONG_S)
    assert engine.status(name).done == 1 and engine.verify() == 1
    assert wait(name).state is JobState.SUCCEEDED and lines(out) == ["once", "then"]


@pytest.mark.parametrize("code", [33, 75])
def test_exit_codes_with_a_meaning_in_opencue(
    site: Site, engine: OpenCueEngine, wait: Any, code: int
) -> None:
    name = engine.submit(job(step("s", f"import sys; sys.exit({code})"), attempts=2)).job
    done = wait(name)
    (task,) = done.tasks(TaskState.FAILED)
    assert task.exit_code == code
    job_found = site.cue.book.find(cue_name(name))
    assert job_found is not None
    until(lambda: [f.exit_status for f in job_found.frames()] == [1], "reported")


def test_a_job_cancelled_in_its_files_alone(
    engine: OpenCueEngine, wait: Any, tmp_path: Path
) -> None:
    started, saved = tmp_path / "started", tmp_path / "saved"
    args = (str(started), str(tmp_path / "never"), str(saved))
    name = engine.submit(job(step("polite", POLITE, *args, grace=30))).job
    until(lambda: lines(started), "runs")
    steering = read_steering(engine.state, name)  # a client that died before it told Cuebot
    write_steering(job_folder(engine.state, name), steering.with_cancelled([("polite", 0)]))
    assert wait(name).state is JobState.CANCELLED and lines(saved) == ["saved"]
