"""The runner of tasks, as a process of its own, without any farm."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from laikaroto.farm.bundle import Bundle, bundle_digest, write_bundle
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.plan import plan_job
from laikaroto.farm.records import Task
from laikaroto.farm.secrecy import MASK, masked, secret_values
from laikaroto.farm.steering import Steering, new_card, write_card, write_steering
from tests.farm.tiny import hold, is_free, job, lines, on_hosts, stamp, step, until

CODE = """
import sys, time
from pathlib import Path
from laikaroto.farm import runner
from laikaroto.farm.processes import adopt_orphans
runner.LOOK_S = 0.1
state, job, step, limit = sys.argv[1:]
ends = []
def ends_at():
    ends.append(time.time())
    return ends[0] + float(limit) if limit else None
side = runner.FarmSide(
    host="here", farm_id="1", ends_at=ends_at, stop_before_s=1.0, adopts=adopt_orphans()
)
ending, code = runner.run_task(
    runner.Task(state=Path(state), job=job, step=step, index=0), side
)
print(ending.value, code, flush=True)
"""


class Runner:
    """Submits jobs to nowhere, and runs their first task."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.children: list[subprocess.Popen[str]] = []

    def submit(self, bundle: Bundle, steering: Steering | None = None) -> Task:
        name = bundle.settings.name
        folder = self.state / "jobs" / name
        write_bundle(bundle, folder / "bundle")
        plan = plan_job(bundle, where="test")
        digest = bundle_digest(folder / "bundle")
        write_card(folder, new_card(bundle, plan, digest=digest, threads=1, timeout_s=600.0))
        write_steering(folder, steering or Steering(priority=50))
        return Task(state=self.state, job=name, step=plan.steps[0].name, index=0)

    def start(self, task: Task, limit_s: float | None = None) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", CODE, str(self.state), task.job, task.step,
             "" if limit_s is None else str(limit_s)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.children.append(child)
        return child

    def run(self, task: Task, limit_s: float | None = None) -> str:
        return answer(self.start(task, limit_s))


def answer(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate(timeout=120)
    return out.strip()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path / "farm")
    yield made
    for child in made.children:
        child.kill()
        child.communicate()


def outcomes(task: Task) -> list[tuple[str | None, int | None]]:
    return [(a.outcome and a.outcome.value, a.exit_code) for a in task.attempts()]


def test_a_task_is_run_once(runner: Runner, tmp_path: Path) -> None:
    task = runner.submit(job(stamp(tmp_path / "out", "x")))
    assert runner.run(task) == "done 0"
    assert runner.run(task) == "done 0"  # done before: a second copy does nothing
    assert lines(tmp_path / "out") == ["x"] and outcomes(task) == [("exited", 0)]
    assert not list((runner.state / "sessions").iterdir())


@pytest.mark.parametrize(
    ("code", "allowed", "answers"),
    [(75, 2, ["again 75", "failed 1", "failed 1"]), (3, 2, ["failed 3"]), (78, 2, ["failed 78"])],
)
def test_answers_to_the_farm(runner: Runner, code: int, allowed: int, answers: list[str]) -> None:
    task = runner.submit(job(step("s", f"raise SystemExit({code})"), attempts=allowed))
    assert [runner.run(task) for _ in answers] == answers
    assert len(task.attempts()) == min(len(answers), allowed)


def test_what_people_want_is_looked_at_first(runner: Runner, tmp_path: Path) -> None:
    base = Steering(priority=50)
    for steering, wanted in (
        (Steering(priority=50, paused=True), "held 75"),
        (base.with_cancelled([("stamp", 0)]), "failed 1"),
        (base.with_skipped([("stamp", 0)]), "done 0"),
    ):
        task = runner.submit(job(stamp(tmp_path / "out", "x")), steering)
        assert runner.run(task) == wanted and task.attempts() == ()
    assert not (tmp_path / "out").exists()


def test_later_attempt_fences_the_earlier(runner: Runner, tmp_path: Path) -> None:
    started = tmp_path / "started"
    task = runner.submit(job(hold(started, tmp_path / "never")))
    first = runner.start(task)
    until(lambda: lines(started), "runs")
    task.claim(2, token="other", host="elsewhere", farm_id="2")
    answer(first)
    assert [a.number for a in task.attempts()] == [1, 2]
    assert "later attempt has begun" in task.file(1, ".log").read_text()
    assert task.attempts()[1].outcome is None  # and has its own end before it


def test_attempt_that_never_ended_is_closed_and_counts(runner: Runner, tmp_path: Path) -> None:
    task = runner.submit(job(stamp(tmp_path / "out", "x"), attempts=2))
    task.claim(1, token="gone", host="n7", farm_id="1")
    assert runner.run(task) == "done 0"
    assert outcomes(task) == [("lost", None), ("exited", 0)]
    assert task.attempts()[0].message == "lost with its host n7"


@pytest.mark.skipif(sys.platform != "linux", reason="is so on Linux")
def test_nothing_a_task_starts_outlives_its_runner(runner: Runner, tmp_path: Path) -> None:
    pid, lock = tmp_path / "pid", tmp_path / "lock"
    code = (
        "import fcntl, subprocess, sys\n"
        "lock = open(sys.argv[1], 'a')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "child = subprocess.Popen(['sleep', '600'], env={}, start_new_session=True,"
        " pass_fds=[lock.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "open(sys.argv[2], 'a').write(f'{child.pid}\\n')\n"
    )
    task = runner.submit(job(step("s", code, str(lock), str(pid))))
    assert runner.run(task) == "done 0"
    assert len(lines(pid)) == 1 and is_free(lock)


SHELL = 'trap "echo saved >> $2; exit 75" TERM; echo $$ >> $1; while :; do sleep 0.1; done'


@pytest.mark.parametrize("why", ["limit", "farm"])
def test_asked_to_end_it_may_save_its_work(runner: Runner, tmp_path: Path, why: str) -> None:
    started, saved = tmp_path / "started", tmp_path / "saved"
    polite = step("s", "", grace=30)
    polite["script"]["actions"]["onRun"] |= {
        "command": "/bin/sh", "args": ["-c", SHELL, "sh", str(started), str(saved)]
    }  # fmt: skip
    task = runner.submit(job(polite, attempts=1))
    # from the first look on, which is after its start: it is asked 14 s later
    child = runner.start(task, 15.0 if why == "limit" else None)
    until(lambda: lines(started), "runs")
    if why == "farm":
        child.send_signal(signal.SIGTERM)
    assert answer(child) == "again 75"
    assert lines(saved) == ["saved"] and outcomes(task) == [(Outcome.RETURNED.value, 75)]


def test_time_limit_without_a_way_to_go_on_is_a_failure(runner: Runner, tmp_path: Path) -> None:
    task = runner.submit(job(hold(tmp_path / "started", tmp_path / "never")))
    assert runner.run(task, 1.0) == "failed 1"
    assert "reached the farm's time limit" in task.attempts()[0].message


def test_changed_bundle_is_not_run(runner: Runner, tmp_path: Path) -> None:
    task = runner.submit(job(stamp(tmp_path / "out", "x")))
    template = runner.state / "jobs" / task.job / "bundle" / "laikaroto.yaml"
    template.write_text(template.read_text() + "\n")
    assert runner.run(task) == "failed 78"
    assert not (tmp_path / "out").exists()


def test_farm_that_cannot_give_a_task_several_hosts(runner: Runner, tmp_path: Path) -> None:
    task = runner.submit(on_hosts(2, job(stamp(tmp_path / "out", "x"))))
    assert runner.run(task) == "failed 1"
    (attempt,) = task.attempts()
    assert "2 hosts at once; this farm gives a task one" in attempt.message
    assert not (tmp_path / "out").exists()


def test_secrets_by_the_names_of_their_variables() -> None:
    values = secret_values(
        {
            "AWS_SECRET_ACCESS_KEY": "abcdef123", "MY_TOKEN": "abcdef123-longer", "PASSWORD": "ab",
            "SSL_AUTH_FILE": "/etc/a/file", "AUTHOR": "somebody", "HOME": "/home/me",
            "KEY": "plain", "PWD": "/home/me/work", "MYSQL_PWD": "/slashed",
            "https_proxy": "http://me:by-the-wall@proxy:80", "DATABASE_URL": "pg://host:5432/x@y",
        }
    )  # fmt: skip
    assert values == ("abcdef123-longer", "by-the-wall", "abcdef123", "/slashed")
    assert masked("x abcdef123-longer abcdef123", values) == f"x {MASK} {MASK}"
