"""Looking at jobs as a wrangler does: lists, one job, logs as they grow, metrics."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from laikaroto.cli.columns import bar, columns, rough, span
from laikaroto.cli.listing import (
    Filter,
    by_urgency,
    mean_durations,
    parse_since,
    parse_states,
    seconds_left,
)
from laikaroto.cli.queues import open_queue
from laikaroto.errors import UsageError
from laikaroto.farm.engine import Engine, JobState, JobStatus, StepStatus, TaskState, Total
from laikaroto.show import Show
from tests.farm.tiny import HOLD, hold, job, lines, stamp, step, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine(sample_configs: Path) -> Engine:
    return open_queue(Show.open(sample_configs), None)


@pytest.fixture
def call(laikaroto: Callable[..., Any], sample_configs: Path) -> Callable[..., Any]:
    def run(*arguments: object, code: int = 0) -> Any:
        ran = laikaroto(*arguments, "--configs", sample_configs)
        assert ran.code == code, ran.out + ran.err
        return ran

    return run


def status(**changes: Any) -> JobStatus:
    made = JobStatus(
        name="ev-ev100-anna_shot-hero-abcdef", queue="q", kind="shot", state=JobState.RUNNING,
        reason="", show="ev", user="anna", priority=50, attempts=3, not_before=None,
        submitted=1000.0, started=1100.0, ended=None,
        parameters={"Shot": "ev100", "Character": "hero"},
        steps=(
            StepStatus(name="check", needs=(), counts={TaskState.SUCCEEDED: 1}, progress=1.0),
            StepStatus(
                name="predict", needs=("check",), progress=0.25,
                counts={TaskState.SUCCEEDED: 2, TaskState.RUNNING: 2, TaskState.READY: 4},
            ),
            StepStatus(name="solve", needs=("predict",), counts={TaskState.WAITING: 1},
                       progress=0.0),
        ),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("wanted", "lets"),
    [
        (Filter(), True),
        (Filter(states=("failed", "running")), True),
        (Filter(states=("failed",)), False),
        (Filter(kind="train"), False),
        (Filter(character="hero", shot="ev1*", user="anna"), True),
        (Filter(shot="ev2*"), False),
        (Filter(user="bo"), False),
        (Filter(since=2000.0), True),  # it runs
    ],
)
def test_filter(wanted: Filter, lets: bool) -> None:
    assert wanted.lets(status()) is lets


def test_filter_by_time_looks_at_the_last_change() -> None:
    over = status(state=JobState.FAILED, ended=1500.0)
    assert Filter(since=1400.0).lets(over) and not Filter(since=1600.0).lets(over)
    assert Filter(kind="shot").lets(over) and not Filter(character="villain").lets(over)


def test_times_and_states_as_typed() -> None:
    now = datetime(2030, 1, 31, 19, 30)
    assert parse_since("2h", now) == datetime(2030, 1, 31, 17, 30).timestamp()
    assert parse_since("18:00", now) == datetime(2030, 1, 31, 18).timestamp()
    assert parse_since("20:00", now) == datetime(2030, 1, 30, 20).timestamp()
    assert parse_since("2030-01-02", now) == datetime(2030, 1, 2).timestamp()
    with pytest.raises(UsageError, match="'yesterday' cannot be read"):
        parse_since("yesterday", now)
    assert parse_states(("running,failed", "ready")) == ("running", "failed", "ready")
    with pytest.raises(UsageError, match="'dead' is not known; wanted waiting"):
        parse_states(("dead",))


def test_what_is_left_is_told_only_where_it_is_known() -> None:
    totals = [
        Total(kind="shot", step="predict", result="succeeded", number=4, seconds=80.0),
        Total(kind="shot", step="predict", result="failed", number=9, seconds=1.0),
    ]
    assert seconds_left(status(), mean_durations(totals)) is None  # solve was never seen to end
    totals.append(Total(kind="shot", step="solve", result="succeeded", number=2, seconds=60.0))
    means = mean_durations(totals)
    # 6 of 8 predictions of 20 s on two slots, then one solve of 30 s, which has but one task
    assert seconds_left(status(), means) == pytest.approx(6 * 20 / 2 + 30)
    assert seconds_left(status(state=JobState.READY), means) is None


def test_words_for_numbers() -> None:
    assert [rough(s) for s in (0, 59, 130, 7300, 200000)] == ["0s", "59s", "2m", "2h", "2d"]
    assert [span(s) for s in (7, 750, 11100)] == ["0:07", "12:30", "3:05:00"]
    assert bar(0.999) == "#########-  99%" and bar(1.0) == "########## 100%"
    table = columns(("a", "state"), [("x\x1b[2J", "failed")], state=1)
    assert "\x1b[2J" not in table[1] and "\x1b[31m" in table[1]
    order = by_urgency([status(state=state) for state in JobState])
    assert [job.state for job in order][:2] == [JobState.RUNNING, JobState.FAILED]


def test_a_narrow_terminal_does_without_some_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    row = ("x" * 30, "failed", "anna", "failed tasks: predict (3), because of plates")
    for width, head in ((120, ["job", "state", "user", "why"]), (60, ["job", "state", "why"])):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = columns(("job", "state", "user", "why"), [row], state=1, spare=("user",))
        plain = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
        assert plain[0].split() == head
        assert max(map(len, plain)) <= width and ("…" in plain[1]) == (width == 60)


def test_list_filters_and_shows_progress(
    call: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    engine.submit_all([
        job(stamp(out, "a"), name="film-sc010-me_shot-abcdef", kind="shot"),
        job(stamp(out, "b"), name="film-hero-me_train-abcdef", kind="train", paused=True),
    ])  # fmt: skip
    call("farm", "run", "--until-idle")
    listed = call("jobs", "list").out
    assert "########## 100%" in listed and "---------- " in listed
    assert "\x1b" not in listed  # no terminal, no colours
    only = call("jobs", "list", "--state", "paused", "--json").out
    assert [found["kind"] for found in json.loads(only)] == ["train"]
    assert "film-hero" not in call("jobs", "list", "--kind", "shot", "--since", "1h").out
    assert "'dead' is not known" in call("jobs", "list", "--state", "dead", code=2).err
    assert "wants a terminal" in call("jobs", "list", "--watch", code=2).err


def test_all_failed_jobs_are_retried_by_one_command(
    call: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    cause, out = tmp_path / "mended", tmp_path / "out"
    code = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 1)"
    engine.submit_all([
        *(job(step("s", code, str(cause)), name=f"dead-{n}", kind="shot") for n in "12"),
        job(step("s", code, str(cause)), name="dead-3", kind="train"),
        job(stamp(out, "x"), name="fine-1"),
    ])  # fmt: skip
    call("farm", "run", "--until-idle")
    cause.touch()
    told = call("jobs", "retry", "--failed", "--kind", "shot").out
    assert "dead-1: 1 tasks to run again" in told and "2 failed jobs" in told
    assert json.loads(call("jobs", "retry", "--failed", "--json").out) == [
        {"job": "dead-3", "count": 1}
    ]
    call("farm", "run", "--until-idle")
    assert {found.state for found in engine.jobs()} == {JobState.SUCCEEDED}
    assert call("jobs", "retry", "--failed").out == "0 failed jobs\n"
    for wrong in ((), ("dead-1", "--failed"), ("dead-1", "--kind", "shot")):
        assert "name a JOB" in call("jobs", "retry", *wrong, code=2).err


def test_show_has_attempts_hosts_and_the_end_of_the_log(
    call: Callable[..., Any], engine: Engine
) -> None:
    code = (
        "import os, sys; n = os.environ['LAIKAROTO_ATTEMPT']; print('plate 1007 is torn');"
        "sys.exit(75 if n == '1' else 1)"
    )
    name = engine.submit(job(step("s", code))).job
    call("farm", "start")
    try:
        engine.wait([name], timeout_s=180)
        shown = call("jobs", "show", name).out
    finally:
        call("farm", "stop")
    assert re.search(r"s +failed", shown) and "plate 1007 is torn" in shown
    attempts = [line for line in shown.splitlines() if re.match(r"s/0 +[12] +exited", line)]
    assert len(attempts) == 2 and os.uname().nodename in attempts[0]
    found = json.loads(call("jobs", "show", name, "--json").out)
    (task,) = found["steps"][0]["tasks"]
    assert [attempt["exit_code"] for attempt in task["attempts"]] == [75, 1]
    assert task["attempts"][0]["outcome"] == "exited" and task["attempt"] == 2


def test_follow_prints_lines_as_they_come_and_ends_with_the_job(
    call: Callable[..., Any], engine: Engine, sample_configs: Path, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    code = "print('before', flush=True)\n" + HOLD + "print('after', flush=True)\n"
    name = engine.submit(
        job(
            step("one", code, str(started), str(gate)),
            step("two", "print('at last')", needs=("one",)),
        )
    ).job
    call("farm", "start")
    command = ["-m", "laikaroto", "jobs", "logs", "-f", name, "--configs", str(sample_configs)]
    until(lambda: lines(started), "running")
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "before" in line:
                break
        assert process.poll() is None  # it goes on
        gate.touch()
        rest, said = process.communicate(timeout=180)
    call("farm", "stop")
    assert process.returncode == 0
    assert "one/0 | " in rest and "after" in rest and "two/0 | " in rest and "at last" in rest
    assert "==== one/0, attempt 1" in said
    alone = call("jobs", "logs", "-f", name, "two/0").out
    assert "at last" in alone and "after" not in alone and "|" not in alone
    assert "no task 'three'" in call("jobs", "logs", "-f", name, "three", code=1).err
    assert "--follow excludes" in call("jobs", "logs", "-f", name, "--json", code=2).err


def test_watch_redraws_a_terminal_until_interrupted(
    engine: Engine, sample_configs: Path, tmp_path: Path
) -> None:
    engine.submit(job(stamp(tmp_path / "out", "x"), name="film-sc010-me_shot-abcdef"))
    main, other = pty.openpty()
    command = ["jobs", "list", "--watch", "--every", "0.1s", "--configs", str(sample_configs)]
    # what a background shell started ignores Ctrl-C, and so would what we start
    obeys = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    run = f"{obeys}; from laikaroto.cli.app import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", run, *command], stdout=other, stderr=other, stdin=other,
        cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(other)
        seen, end = b"", time.monotonic() + 180
        while seen.count(b"Ctrl-C ends") < 3 and time.monotonic() < end:
            if select.select([main], [], [], 1.0)[0]:
                seen += os.read(main, 65536)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=180) == 0
        finally:
            process.kill()
    os.close(main)
    assert seen.count(b"film-sc010-me_shot-abcdef") >= 3
    assert b"\x1b[34m" in seen  # ready is blue


def test_metrics_are_what_prometheus_reads(
    call: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    bad = "import sys; sys.exit(1)"
    engine.submit(job(stamp(tmp_path / "out", tasks="1-3"), kind="shot"))
    engine.submit(job(step("bad", bad), kind="train"))
    call("farm", "run", "--until-idle")
    engine.submit(job(hold(started, gate), stamp(tmp_path / "out", "x", name="b", needs=("hold",))))
    call("farm", "start")
    until(lambda: lines(started), "running")
    text = call("farm", "status", "--metrics", "--queue", "local").out
    gate.touch()
    call("farm", "stop", "--drain")
    found = {family.name: family for family in text_string_to_metric_families(text)}

    def value(name: str, family: str | None = None, **labels: str) -> float:
        samples = found[family or name.removesuffix("_total")].samples
        return next(
            s.value for s in samples
            if s.name == name and {**labels, "queue": "local"}.items() <= s.labels.items()
        )  # fmt: skip

    assert value("laikaroto_farm_up") == 1
    assert value("laikaroto_jobs", state="succeeded") == 1
    assert value("laikaroto_jobs", state="failed") == 1
    assert value("laikaroto_jobs", state="paused") == 0
    assert value("laikaroto_tasks", state="running") == value("laikaroto_slots_busy") == 1
    assert value("laikaroto_slots") >= 1
    done = {"kind": "shot", "step": "stamp"}
    assert value("laikaroto_attempts_total", result="succeeded", **done) == 3
    assert value("laikaroto_attempts_total", result="failed", kind="train") == 1
    seconds = "laikaroto_attempt_duration_seconds"
    assert value(f"{seconds}_count", seconds, **done) == 3
    assert value(f"{seconds}_sum", seconds, **done) > 0
    assert found["laikaroto_attempts"].type == "counter" and found[seconds].type == "summary"
    assert all(family.documentation for family in found.values())


def test_metrics_of_a_farm_that_does_not_answer(
    call: Callable[..., Any], sample_configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no Slurm programs
    ran = call("farm", "status", "--metrics", "--queue", "slurm")
    up = next(iter(text_string_to_metric_families(ran.out))).samples[0]
    assert (up.name, up.value, up.labels["engine"]) == ("laikaroto_farm_up", 0.0, "slurm")
    told = call("farm", "status", "--queue", "slurm").out
    assert "slurm: does not run, sinfo is not installed here" in told
