"""The local engine under fire: whatever dies, every task ends exactly once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from laikaroto.errors import FarmError
from laikaroto.farm.engine import JobState, TaskRef, TaskState
from laikaroto.farm.local import control
from laikaroto.farm.local.owner import own, read_card
from laikaroto.farm.places import result_file
from laikaroto.farm.plan import plan_job
from laikaroto.farm.processes import MARK, kill_marked, mark, marked
from tests.farm.tiny import HOLD, LocalFarm, hold, job, lines, stamp, step, until

# says when it starts and, in another file, when it is through; holds on until the gate is there
WHOLE = HOLD + "open(sys.argv[3], 'a').write(sys.argv[4] + '\\n')\n"


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[LocalFarm]:
    made = LocalFarm(tmp_path)
    yield made
    made.end()
    kill_marked(made.state)


def attempts(farm: LocalFarm) -> list[tuple[int, str]]:
    """Number and outcome of every attempt ever made, in order."""
    with sqlite3.connect(farm.state / "queue.sqlite") as db:
        found = db.execute(
            "SELECT attempt, outcome FROM attempts ORDER BY task, attempt"
        ).fetchall()
    db.close()
    return found


def gone(pid: int) -> bool:
    """True if a process runs no more; nobody may have collected it yet."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("victim", ["payload", "slot", "supervisor", "all"])
def test_kill_9_ends_each_task_exactly_once(farm: LocalFarm, tmp_path: Path, victim: str) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    args = (str(started), str(gate), str(out), "{{Task.Param.I}}")
    farm.start()
    name = farm.engine.submit(job(step("s", WHOLE, *args, tasks="1-3"))).job
    until(lambda: len(lines(started)) == 2, "two run")
    payloads = [int(pid) for pid in lines(started)]
    assert farm.supervisor is not None
    victims = {
        "payload": payloads[:1],
        "slot": farm.slots()[:1],
        "supervisor": [farm.supervisor.pid],
        "all": [farm.supervisor.pid, *farm.slots(), *payloads],
    }[victim]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    if victim in ("supervisor", "all"):
        farm.end(signal.SIGKILL)
        farm.start()
    again = {"payload": 3, "slot": 3, "supervisor": 4, "all": 4}[victim]
    until(lambda: len(lines(started)) == again, "lost tasks run again")
    for pid in payloads if victim in ("supervisor", "all") else []:
        assert gone(pid)
    gate.touch()
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED
    assert sorted(lines(out)) == ["1", "2", "3"]
    outcomes = Counter(outcome for _, outcome in attempts(farm))
    assert outcomes["exited"] + outcomes["lost"] == len(attempts(farm)) == again + 1
    assert done.done == done.total == 3


def test_orphan_outside_the_process_group_is_killed_at_start(
    farm: LocalFarm, tmp_path: Path
) -> None:
    pids, never = tmp_path / "pids", tmp_path / "never"
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[3], *sys.argv[1:3]],"
        " start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n" + HOLD
    )
    farm.start()
    farm.engine.submit(job(step("tree", code, str(pids), str(never), HOLD), attempts=1))
    until(lambda: len(lines(pids)) == 2, "both run")
    assert farm.supervisor is not None
    slots = farm.slots()
    for pid in [farm.supervisor.pid, *slots]:
        os.kill(pid, signal.SIGKILL)  # no one is left to clean up
    farm.end(signal.SIGKILL)
    assert marked(farm.state), "the orphan lives until somebody owns the queue again"
    (status,) = farm.engine.jobs()
    farm.engine.pause(status.name)  # a client that owns the queue for a moment does it too
    assert not marked(farm.state)
    (status,) = farm.engine.jobs()
    assert status.state is JobState.FAILED  # its one attempt was lost


def test_result_that_a_dead_supervisor_did_not_hear_is_not_lost(
    farm: LocalFarm, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # the supervisor dies when it hears of the end, before it has written it down
    farm.start(
        "supervisor.Supervisor._close = lambda *_: supervisor.os.kill(supervisor.os.getpid(), 9)"
    )
    name = farm.engine.submit(job(stamp(out, "x"))).job
    assert farm.supervisor is not None
    farm.supervisor.wait(timeout=180)
    farm.end(0)
    farm.start()
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED
    assert lines(out) == ["x"] and attempts(farm) == [(1, "exited")]


def test_result_that_a_slot_wrote_before_it_died_is_not_lost(
    farm: LocalFarm, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    farm.start("supervisor.Supervisor._close = lambda *_: None")  # deaf to the end of tasks
    name = farm.engine.submit(job(stamp(out, "x"))).job
    record = result_file(farm.state, name, "stamp", 0, 1)
    until(record.exists, "the slot wrote it down")
    for pid in farm.slots():
        os.kill(pid, signal.SIGKILL)
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED
    assert lines(out) == ["x"] and attempts(farm) == [(1, "exited")]


def test_silent_slot_is_taken_for_dead(farm: LocalFarm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys, time\n"
        "open(sys.argv[1], 'a').write(str(os.getpid()) + '\\n')\n"
        "while os.environ['LAIKAROTO_ATTEMPT'] == '1':\n"
        "    print('openjd_progress: 1', flush=True); time.sleep(0.2)"
    )
    farm.start("supervisor.LEASE_S = 30.0")  # a busy slot is silent while it imports openjd
    name = farm.engine.submit(job(step("s", code, str(out)))).job
    until(lambda: lines(out), "running")
    for pid in farm.slots():
        os.kill(pid, signal.SIGSTOP)
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED
    assert [outcome for _, outcome in attempts(farm)] == ["lost", "exited"]
    assert gone(int(lines(out)[0]))


def test_timeout_kills_and_is_not_tried_again(tmp_path: Path) -> None:
    farm = LocalFarm(tmp_path, task_timeout="1s").start()
    try:
        (done,) = farm.run(job(hold(tmp_path / "started", tmp_path / "never")))
    finally:
        farm.end()
    assert done.state is JobState.FAILED
    (task,) = done.tasks(TaskState.FAILED)
    assert "ran longer than 1 s" in task.message and task.attempt == 1
    assert not marked(farm.state)


def test_stop_gives_running_tasks_back_without_counting_them(
    farm: LocalFarm, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    farm.start()
    name = farm.engine.submit(job(hold(started, gate), attempts=1)).job
    until(lambda: lines(started), "running")
    farm.end(signal.SIGTERM)
    assert read_card(farm.state) is None and not marked(farm.state)
    status = farm.engine.status(name)
    assert status.state is JobState.READY
    assert "the farm was stopped" in status.steps[0].tasks[0].message
    assert not (farm.state / "sessions").exists()
    farm.start()
    gate.touch()
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED
    assert attempts(farm) == [(1, "returned"), (2, "exited")]


def test_drain_lets_running_tasks_end(farm: LocalFarm, tmp_path: Path) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    farm.start()
    name = farm.engine.submit(
        job(hold(started, gate), stamp(out, "x", name="after", needs=("hold",)))
    ).job
    until(lambda: lines(started), "running")
    assert farm.supervisor is not None
    farm.supervisor.send_signal(signal.SIGUSR1)
    gate.touch()
    assert farm.supervisor.wait(timeout=180) == 0
    assert farm.engine.status(name).done == 1 and not out.exists()
    assert not control.stop(farm.state, drain=False, timeout_s=1)  # none runs


def test_a_start_that_takes_too_long_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_START_S", 0.0)
    before = {one.pid for one in psutil.Process().children()}  # of other tests
    with pytest.raises(FarmError, match="did not start within 0 s, and was ended"):
        control.start(tmp_path / "farm", ("farm", "run", "--configs", str(tmp_path)))
    assert {one.pid for one in psutil.Process().children()} <= before


def test_everything_but_running_works_without_a_supervisor(farm: LocalFarm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert farm.engine.jobs() == ()
    with pytest.raises(FarmError, match="has no jobs yet"):
        farm.engine.cancel("nobody")
    first = farm.engine.submit(job(stamp(out, "x"), key="k"))
    assert farm.engine.submit(job(stamp(out, "x"), key="k")).existing
    assert "laikaroto farm start --queue q" in farm.engine.obstacle()
    assert farm.engine.status(first.job).state is JobState.READY
    farm.engine.pause(first.job)
    assert farm.engine.status(first.job).state is JobState.PAUSED
    farm.engine.cancel(first.job)
    assert farm.engine.status(first.job).state is JobState.CANCELLED
    assert farm.engine.retry(first.job) == 1
    farm.engine.resume(first.job)
    farm.start()
    assert farm.engine.obstacle() == ""
    (done,) = farm.engine.wait([first.job], timeout_s=180)
    assert done.state is JobState.SUCCEEDED and lines(out) == ["x"]
    assert list((farm.state / "inbox").iterdir()) == list((farm.state / "replies").iterdir()) == []


def test_a_request_survives_its_client(farm: LocalFarm, tmp_path: Path) -> None:
    """A client killed right after handing in a bundle has submitted it all the same."""
    from laikaroto.farm.local.inbox import post_jobs

    out = tmp_path / "out"
    bundle = job(stamp(out, "x"))
    post_jobs(farm.state, [(bundle, plan_job(bundle, where="test"))])
    farm.start()
    until(lambda: lines(out) == ["x"], "the job ran")
    (done,) = farm.engine.wait([bundle.settings.name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED


@pytest.mark.parametrize("moment", ["ledger.add", "_write_whole", "_clear"])
def test_supervisor_killed_while_it_takes_a_job_in(
    farm: LocalFarm, tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "out"
    die = "lambda *_: supervisor.os.kill(supervisor.os.getpid(), 9)"
    owner = "ledger.Ledger.add" if moment == "ledger.add" else f"supervisor.inbox.{moment}"
    farm.start(f"{owner} = {die}")
    sent = farm.engine.submit(job(stamp(out, "x")))  # in the end the client does it itself
    assert not sent.existing
    farm.end(0)
    farm.start()
    (done,) = farm.engine.wait([sent.job], timeout_s=180)
    assert done.state is JobState.SUCCEEDED and lines(out) == ["x"]
    assert len(farm.engine.jobs()) == 1 and list((farm.state / "inbox").iterdir()) == []


def test_queue_that_has_shrunk_fails_what_no_longer_fits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    large = LocalFarm(tmp_path, slots=4)
    big = large.engine.submit(job(stamp(out, "big", amounts={"amount.worker.vcpu": 4}))).job
    small = large.engine.submit(job(stamp(out, "small"))).job
    farm = LocalFarm(tmp_path, slots=2).start()
    try:
        failed, done = farm.engine.wait([big, small], timeout_s=180)
    finally:
        farm.end()
    assert done.state is JobState.SUCCEEDED and lines(out) == ["small"]
    (task,) = failed.tasks(TaskState.FAILED)
    assert "4 CPUs (here: 2 in 2 slots)" in task.message and task.attempt == 0


def test_second_supervisor_is_refused(farm: LocalFarm, tmp_path: Path) -> None:
    farm.start()
    other = LocalFarm(tmp_path)
    with pytest.raises(AssertionError, match=f"already has a supervisor .process {farm_pid(farm)}"):
        other.start()
    assert other.supervisor is not None and other.supervisor.wait() == 1


def farm_pid(farm: LocalFarm) -> int:
    assert farm.supervisor is not None
    return farm.supervisor.pid


def test_queue_of_another_host_is_refused(farm: LocalFarm, tmp_path: Path) -> None:
    farm.engine.submit(job(stamp(tmp_path / "out", "x"), name="mine"))
    (farm.state / "host").write_text("elsewhere 123\n")
    for call in (
        farm.engine.jobs,
        lambda: farm.engine.status("mine"),
        lambda: farm.engine.cancel("mine"),
        lambda: farm.engine.submit(job(stamp(tmp_path / "out", "x"))),
    ):
        with pytest.raises(FarmError, match="belongs to host 'elsewhere'.*farm start --adopt"):
            call()
    with own(farm.state, adopt=True) as ledger:
        assert ledger is not None
    assert [status.name for status in farm.engine.jobs()] == ["mine"]


def test_damaged_database_is_told(farm: LocalFarm, tmp_path: Path) -> None:
    farm.engine.submit(job(stamp(tmp_path / "out", "x")))
    (farm.state / "queue.sqlite").write_bytes(b"not a database, whatever the name says" * 200)
    with pytest.raises(FarmError, match="cannot be opened.*move the folder away"):
        farm.engine.jobs()


def test_memory_and_cpus_are_kept_to(tmp_path: Path) -> None:
    farm = LocalFarm(tmp_path, slots=3, memory_gib=1.0).start()
    most, now = tmp_path / "most", tmp_path / "now"
    now.mkdir()
    code = (
        "import os, sys, time\n"
        "mine = os.path.join(sys.argv[1], str(os.getpid())); open(mine, 'w').close()\n"
        "seen = 0\n"
        "while seen < int(sys.argv[3]):  # as many as may\n"
        "    time.sleep(0.05); open(sys.argv[2], 'a').write(f'{len(os.listdir(sys.argv[1]))}\\n')\n"
        "    seen = max(map(int, open(sys.argv[2])))\n"
        "time.sleep(0.3)  # and none more\n"
        "open(sys.argv[2], 'a').write(f'{len(os.listdir(sys.argv[1]))}\\n'); os.remove(mine)"
    )
    try:
        # 3 slots, but memory for 2 tasks; 3 CPUs, but 2 for each task: 1
        for amount, value, fit in (("memory", 500, 2), ("vcpu", 1.5, 1)):
            most.unlink(missing_ok=True)
            args, amounts = (str(now), str(most), str(fit)), {f"amount.worker.{amount}": value}
            (done,) = farm.run(job(step("s", code, *args, tasks="1-5", amounts=amounts)))
            assert done.state is JobState.SUCCEEDED
            assert max(map(int, lines(most))) == fit
    finally:
        farm.end()


def test_task_with_more_cpus_gets_more_threads(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])"
    farm = LocalFarm(tmp_path, slots=3).start()
    try:
        farm.run(job(step("s", code, str(out), amounts={"amount.worker.vcpu": 3})))
    finally:
        farm.end()
    assert out.read_text() == "3"


def test_many_tasks_in_many_jobs(farm: LocalFarm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "/usr/bin/env"  # quicker to start than Python
    made = []
    for i in range(5):
        many = step("many", "", tasks="1-30")
        many["script"]["actions"]["onRun"] = {"command": code, "args": ["true"]}
        made.append(job(many, stamp(out, str(i), name="end", needs=("many",))))
    farm.start()
    done = farm.run(*made)
    assert all(status.state is JobState.SUCCEEDED for status in done)
    assert sorted(lines(out)) == list("01234")
    assert Counter(attempts(farm)) == {(1, "exited"): 5 * 31}


def test_session_folders_of_a_killed_slot_are_swept(farm: LocalFarm, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    farm.start()
    name = farm.engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "running")
    assert len(list((farm.state / "sessions").glob("slot*/*"))) == 1
    os.kill(farm.slots()[0], signal.SIGKILL)
    until(lambda: len(lines(started)) == 2, "runs again")
    assert len(list((farm.state / "sessions").glob("slot*/*"))) == 1
    gate.touch()
    farm.engine.wait([name], timeout_s=180)


def test_idle_supervisor_uses_next_to_no_cpu(farm: LocalFarm, tmp_path: Path) -> None:
    farm.start()
    farm.run(job(stamp(tmp_path / "out", "x")))
    processes = [psutil.Process(pid) for pid in (farm_pid(farm), *farm.slots())]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    time.sleep(2.0)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
    assert used < 0.2  # CPU seconds of two


def test_mark_finds_only_its_own(tmp_path: Path) -> None:
    def run(value: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"],
            env={**os.environ, MARK: value}, stdout=subprocess.PIPE,
        )  # fmt: skip

    mine, other, stranger = (
        run(mark(tmp_path, "a1")), run(mark(tmp_path, "a12")), run(mark(tmp_path / "x", "a1"))
    )  # fmt: skip
    try:
        for process in (mine, other, stranger):
            assert process.stdout is not None and process.stdout.read(1) == b"1"
        assert marked(tmp_path, "a1") == {mine.pid}
        assert marked(tmp_path) == {mine.pid, other.pid}
        assert kill_marked(tmp_path, "a1") == 1
        assert mine.wait(timeout=180) == -signal.SIGKILL
        assert other.poll() is None and stranger.poll() is None
    finally:
        for process in (mine, other, stranger):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_log_of_a_task_keeps_all_it_printed(farm: LocalFarm) -> None:
    text = "Python is fine\\n----\\nRunning command\\nopenjd_status: x"
    farm.start()
    (done,) = farm.run(job(step("s", f"print('{text}')")))
    said = farm.engine.log(done.name, TaskRef(step="s", index=0))
    assert [line[9:] for line in said.splitlines()[1:]] == [
        "Output:", "Python is fine", "----", "Running command", "openjd_status: x", "task x",
    ]  # fmt: skip


def test_books_of_the_version_before_are_brought_up_to_date(
    farm: LocalFarm, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    name = farm.engine.submit(job(stamp(out, "x"))).job
    with sqlite3.connect(farm.state / "queue.sqlite") as db:
        db.executescript(
            "DROP TABLE totals; DROP TABLE notices; ALTER TABLE jobs DROP COLUMN notify; "
            "PRAGMA user_version = 2;"
        )
    db.close()
    assert farm.engine.status(name).notices == () and farm.engine.totals() == ()  # a reader may
    farm.start()
    (done,) = farm.engine.wait([name], timeout_s=180)
    assert done.state is JobState.SUCCEEDED and lines(out) == ["x"]
    assert [(total.step, total.number) for total in farm.engine.totals()] == [("stamp", 1)]
