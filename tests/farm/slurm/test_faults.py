"""The Slurm engine under fire: a real Slurm, and what happens on real farms."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from laikaroto.errors import FarmError, TryAgainError
from laikaroto.farm.engine import JobState, Submitted, TaskRef, TaskState
from laikaroto.farm.places import job_folder, log_file
from laikaroto.farm.records import Attempt, read_attempts
from laikaroto.farm.slurm.commands import Row, Slurm
from laikaroto.farm.slurm.engine import SlurmEngine
from laikaroto.sidecar.publish import versions
from laikaroto.worker import character
from tests.farm.slurm.cluster import HOSTS, Cluster, running_cluster, slurm_engine
from tests.farm.tiny import hold, job, lines, stamp, step, until
from tests.training.synthetic import CHARACTER, write_show

LONG_S = 180.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("slurm") / "cluster") as made:
        yield made


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path) -> SlurmEngine:
    return slurm_engine(cluster, tmp_path / "farm", partition="three")


def attempts(engine: SlurmEngine, name: str, step_name: str) -> tuple[Attempt, ...]:
    """Attempts at the first task of a step."""
    return read_attempts(engine.state, name, step_name).get(0, ())


def listed(cluster: Cluster) -> Counter[str]:
    """How often each task waits or runs in Slurm, by the comment of its array and its index."""
    text = cluster.run("squeue", "-h", "-r", "-o", "%k %K")
    return Counter(text.splitlines())


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_jobs_that_slurmctld_forgets_are_submitted_again_and_none_twice(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def made(number: int) -> str:
        many = stamp(out, f"{number}:{{{{Task.Param.I}}}}", name="many", tasks="1-4")
        last = stamp(out, f"{number}:end", name="last", needs=("many",))
        key = f"{tmp_path}{number}"
        return engine.submit(job(many, last, key=key, paused=True)).job

    first = made(0)
    state = cluster.root / "state" / "job_state"
    last = f"{first}.last".encode()
    until(lambda: state.exists() and last in state.read_bytes(), "saved", LONG_S)
    saved = tmp_path / "saved"
    shutil.copytree(cluster.root / "state", saved)
    names = [first, *(made(number) for number in range(1, 5))]
    wanted = listed(cluster)
    assert len(wanted) == 25 and set(wanted.values()) == {1}
    # what it acknowledged was not on disk yet when it died
    cluster.kill("slurmctld")
    with pytest.raises(TryAgainError, match="cannot be reached"):
        engine.jobs()
    shutil.rmtree(cluster.root / "state")
    shutil.copytree(saved, cluster.root / "state")
    cluster.start_controller()
    # their numbers are given away again before anybody looks
    other = engine.submit(job(stamp(out, "other"), paused=True)).job
    assert "not in Slurm any more" in engine.status(names[-1]).reason
    again = engine.submit(
        job(stamp(out, "never"), key=f"{tmp_path}1")  # the same key: the lost job is mended
    )
    assert (again.job, again.existing) == (names[1], True)
    assert engine.verify() == 15 and engine.verify() == 0
    found = listed(cluster)
    assert set(found.values()) == {1} and set(wanted) < set(found) and len(found) == 26
    for name in [*names, other]:
        engine.resume(name)
    done = engine.wait([*names, other], timeout_s=LONG_S)
    assert {status.state for status in done} == {JobState.SUCCEEDED}
    expected = [f"{n}:{i}" for n in range(5) for i in (1, 2, 3, 4, "end")] + ["other"]
    assert sorted(lines(out)) == sorted(expected)


PUBLISH = """
import os, sys, time
from pathlib import Path
from laikaroto.sidecar.publish import building, publish
from laikaroto.worker.lease import check_lease
attempt = os.environ['LAIKAROTO_ATTEMPT']
open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')
while not os.path.exists(sys.argv[2] + attempt):
    time.sleep(0.05)
with building(Path(sys.argv[3])) as folder:
    (folder / 'by').write_text(attempt)
    publish(folder, Path(sys.argv[3]), permit=check_lease)
"""


def test_late_copy_of_a_task_whose_slurmd_died_cannot_publish(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    started, gate, shots = tmp_path / "started", tmp_path / "gate", tmp_path / "shots"
    name = engine.submit(job(step("s", PUBLISH, str(started), str(gate), str(shots)))).job
    until(lambda: lines(started), "runs", LONG_S)
    (late,) = attempts(engine, name, "s")
    os.kill(late.pid, signal.SIGSTOP)  # the host is cut off: nobody there looks at anything
    try:
        cluster.kill(late.host)
        until(lambda: len(lines(started)) == 2, "Slurm starts it elsewhere", LONG_S)
        second = attempts(engine, name, "s")[1]
        assert second.host != late.host
        late_payload = int(lines(started)[0])
        assert not gone(late_payload), "two copies run at once"
        Path(f"{gate}1").touch()
        until(lambda: gone(late_payload), "the late copy ends", LONG_S)
        assert versions(shots) == []
        Path(f"{gate}2").touch()
        (done,) = engine.wait([name], timeout_s=LONG_S)
    finally:
        os.kill(late.pid, signal.SIGCONT)
        cluster.start_host(late.host)
    assert done.state is JobState.SUCCEEDED and done.steps[0].tasks[0].attempt == 2
    assert versions(shots) == ["v001"] and (shots / "v001" / "by").read_text() == "2"
    until(lambda: gone(late.pid), "the late runner ends", LONG_S)
    first, second = attempts(engine, name, "s")
    assert (first.outcome, second.outcome) == ("lost", "exited")
    assert engine.status(name).state is JobState.SUCCEEDED
    until(lambda: cluster.hosts_in("idle") == len(HOSTS), "all hosts idle", LONG_S)


def test_late_copy_is_killed_by_its_own_runner(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    """As above, but the host only lost its slurmd: the runner there sees the later attempt."""
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "runs", LONG_S)
    (late,) = attempts(engine, name, "hold")
    try:
        cluster.kill(late.host)
        until(lambda: len(lines(started)) == 2, "Slurm starts it elsewhere", LONG_S)
        until(lambda: gone(int(lines(started)[0])), "the late copy is killed", LONG_S)
        gate.touch()
        (done,) = engine.wait([name], timeout_s=LONG_S)
    finally:
        cluster.start_host(late.host)
    assert done.state is JobState.SUCCEEDED and len(lines(started)) == 2
    until(lambda: cluster.hosts_in("idle") == len(HOSTS), "all hosts idle", LONG_S)


def test_node_that_drains_ends_its_task_and_gets_no_more(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    started, gate, out = tmp_path / "started", tmp_path / "gate", tmp_path / "out"
    name = engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "runs", LONG_S)
    (running,) = attempts(engine, name, "hold")
    node = f"NodeName={running.host}"
    cluster.run("scontrol", "update", node, "State=DRAIN", "Reason=disk")
    try:
        other = engine.submit(job(stamp(out, tasks="1-6"))).job
        (done,) = engine.wait([other], timeout_s=LONG_S)
        assert done.state is JobState.SUCCEEDED and sorted(lines(out)) == list("123456")
        assert running.host not in {task.host for task in done.steps[0].tasks}
        gate.touch()
        (done,) = engine.wait([name], timeout_s=LONG_S)
        assert done.state is JobState.SUCCEEDED and done.steps[0].tasks[0].host == running.host
    finally:
        cluster.run("scontrol", "update", node, "State=RESUME")


TRAINING = """
import os, signal, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
checkpoint = sys.argv[1]
step = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
open(sys.argv[2], 'a').write(f'{step}\\n')
if step:
    sys.exit(0)
while not stop:
    step += 1
    time.sleep(0.1)
open(checkpoint, 'w').write(str(step))
sys.exit(75)
"""


def test_job_over_its_time_limit_saves_its_work_and_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    engine = slurm_engine(
        cluster, tmp_path / "farm", partition="three", time_limit="1m", stop_before="50s"
    )
    checkpoint, begun, started = tmp_path / "checkpoint", tmp_path / "begun", tmp_path / "started"
    good = step("train", TRAINING, str(checkpoint), str(begun), grace=20)
    name = engine.submit(job(good, attempts=1)).job
    bad = engine.submit(job(hold(started, tmp_path / "never"), attempts=1)).job
    done, failed = engine.wait([name, bad], timeout_s=LONG_S)
    assert done.state is JobState.SUCCEEDED
    first, second = lines(begun)
    assert first == "0" and second == checkpoint.read_text()
    # being stopped by the limit does not count as one of its attempts
    assert [a.outcome for a in attempts(engine, name, "train")] == ["returned", "exited"]
    assert failed.state is JobState.FAILED and len(lines(started)) == 1
    (task,) = failed.tasks(TaskState.FAILED)
    assert "reached the farm's time limit" in task.message


def test_training_whose_host_is_taken_away_loses_nothing(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    """A real one, of two processes: its host drains and it is requeued, as by preemption."""
    show = write_show(tmp_path, shots={"a1": 2, "a2": 2})
    run = show.work_folder("train")
    character.prepare(show, character=CHARACTER, run=run, report=lambda share, text: None)
    train = step("train", "", grace=50)
    train["script"]["actions"]["onRun"]["args"] = [
        "-m", "laikaroto", "worker", "train", "--configs", str(show.configs.folder), "--run",
        str(run), "--character", CHARACTER, "--budget", "30s", "--processes", "2",
    ]  # fmt: skip
    name = engine.submit(job(train, attempts=1)).job
    ref, log = TaskRef(step="train", index=0), log_file(engine.state, name, "train", 0, 1)
    until(lambda: log.exists() and " loss " in log.read_text(), "it learns", LONG_S)
    (first,) = attempts(engine, name, "train")
    node = f"NodeName={first.host}"
    cluster.run("scontrol", "update", node, "State=DRAIN", "Reason=disk")
    try:
        cluster.run("scontrol", "requeue", first.farm_id)
        (done,) = engine.wait([name], timeout_s=2 * LONG_S)
    finally:
        cluster.run("scontrol", "update", node, "State=RESUME")
    assert done.state is JobState.SUCCEEDED, engine.log(name, ref)
    # to be stopped does not count as one of its attempts, of which there is but one
    assert [a.outcome for a in attempts(engine, name, "train")] == ["returned", "exited"]
    assert attempts(engine, name, "train")[1].host != first.host
    said = engine.log(name, ref, attempt=1)
    (written,) = set(re.findall(r"told to stop; a checkpoint at step (\d+),", said))
    assert f"going on from the checkpoint at step {written}, " in engine.log(name, ref)
    assert int(written) >= 1


def test_stuck_dependents_of_a_retried_step_run(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    cause, out = tmp_path / "mended", tmp_path / "out"
    check = "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))"
    first = step("first", check, str(cause), tasks="1-2")
    second = stamp(out, name="second", tasks="1-3", needs=("first",))
    third = stamp(out, "end", name="third", needs=("second",))
    name = engine.submit(job(first, second, third)).job
    assert engine.wait([name], timeout_s=LONG_S)[0].state is JobState.FAILED

    def stuck() -> bool:
        return "DependencyNeverSatisfied" in cluster.run("squeue", "-h", "-o", "%k %r")

    until(stuck, "Slurm gives the dependents up", LONG_S)
    cause.touch()
    assert engine.retry(name) == 2
    (done,) = engine.wait([name], timeout_s=LONG_S)
    assert done.state is JobState.SUCCEEDED
    assert sorted(lines(out)) == ["1", "2", "3", "end"] and lines(out)[-1] == "end"


def test_killed_runner_is_started_again_in_place(engine: SlurmEngine, tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(job(hold(started, gate))).job
    until(lambda: lines(started), "runs", LONG_S)
    os.kill(attempts(engine, name, "hold")[0].pid, signal.SIGKILL)
    until(lambda: len(lines(started)) == 2, "runs again", LONG_S)
    assert gone(int(lines(started)[0]))
    gate.touch()
    (done,) = engine.wait([name], timeout_s=LONG_S)
    assert done.state is JobState.SUCCEEDED
    assert [a.outcome for a in attempts(engine, name, "hold")] == ["lost", "exited"]
    assert not (engine.state / "sessions").exists() or not any(
        (engine.state / "sessions").iterdir()
    )


def test_what_is_cancelled_behind_our_back_is_told(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    name = engine.submit(
        job(hold(started, gate), stamp(tmp_path / "out", "x", name="after", needs=("hold",)))
    ).job
    until(lambda: lines(started), "runs", LONG_S)
    data = json.loads((job_folder(engine.state, name) / "slurm.json").read_text())
    cluster.run("scancel", *(str(item["array"]) for item in data["arrays"]))
    (status,) = engine.wait([name], timeout_s=LONG_S)
    assert status.state is JobState.FAILED
    assert "cancelled in Slurm" in status.tasks(TaskState.CANCELLED)[0].message
    gate.touch()
    assert engine.retry(name) == 2
    assert engine.wait([name], timeout_s=LONG_S)[0].state is JobState.SUCCEEDED


def test_refused_submission_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    engine = slurm_engine(cluster, tmp_path / "farm", options=("--reservation=nowhere",))
    bundle = job(stamp(tmp_path / "out", "x"))
    with pytest.raises(FarmError, match="Slurm refuses: sbatch"):
        engine.submit(bundle)
    assert engine.jobs() == () and not job_folder(engine.state, bundle.settings.name).exists()


def test_a_submission_asks_squeue_once_and_doubles_nothing(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows, bring_in = Slurm.rows, engine._bring_in

    def counted(self: Slurm) -> list[Row]:
        asked.append("squeue")
        return rows(self)

    def late(sent: Sequence[Submitted]) -> None:
        """Another client's 'farm verify' comes between the writing down and the submission."""
        assert slurm_engine(cluster, engine.state, partition="three").verify() == 2
        bring_in(sent)

    monkeypatch.setattr(Slurm, "rows", counted)
    out = tmp_path / "out"
    names = [item.job for item in engine.submit_all(
        [job(stamp(out, "x"), stamp(out, "y", name="then", needs=("stamp",)), paused=True)
         for _ in range(3)]
    )]  # fmt: skip
    assert len(asked) == 1
    monkeypatch.setattr(engine, "_bring_in", late)
    names.append(engine.submit(job(stamp(out, "z", tasks="1-2"), paused=True)).job)
    found = {task: n for task, n in listed(cluster).items() if task.split(":")[1] in names}
    assert len(found) == 8 and set(found.values()) == {1}
    for name in names:
        engine.cancel(name)
    assert {status.state for status in engine.wait(names, timeout_s=LONG_S)} == {JobState.CANCELLED}


def test_unknown_partition_and_missing_programs_are_told(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = slurm_engine(cluster, tmp_path / "farm", partition="moon")
    with pytest.raises(FarmError, match="no partition 'moon'; known: two, three"):
        engine.submit(job(stamp(tmp_path / "out", "x")))
    assert "no partition 'moon'" in engine.obstacle()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="scontrol is not installed here"):
        _ = slurm_engine(cluster, tmp_path / "farm").cpus


def test_cluster_with_slurms_own_defaults(tmp_path: Path) -> None:
    """No RequeueExit, no EnforcePartLimits, small arrays: we do not depend on an admin."""
    with running_cluster(tmp_path / "cluster", more="MaxArraySize=4") as cluster:
        engine = slurm_engine(cluster, tmp_path / "farm", partition="three")
        out = tmp_path / "out"
        code = "import os, sys; sys.exit(0 if os.environ['LAIKAROTO_ATTEMPT'] == '2' else 75)"
        again = engine.submit(job(step("s", code))).job
        many = engine.submit(
            job(
                stamp(out, name="many", tasks="1-10"),
                stamp(out, "end", name="last", needs=("many",)),
            )
        ).job
        data = json.loads((job_folder(engine.state, many) / "slurm.json").read_text())
        assert [(a["offset"], a["tasks"]) for a in data["arrays"][:3]] == [
            (0, "0-3"), (4, "4-7"), (8, "8-9"),
        ]  # fmt: skip
        first, second = engine.wait([again, many], timeout_s=LONG_S)
        assert first.state is JobState.SUCCEEDED and first.steps[0].tasks[0].attempt == 2
        assert second.state is JobState.SUCCEEDED
        assert lines(out)[-1] == "end" and sorted(lines(out)[:-1], key=int) == [
            str(i) for i in range(1, 11)
        ]
        endless = slurm_engine(cluster, tmp_path / "farm", partition="three", time_limit="50h")
        with pytest.raises(FarmError, match="a time limit of 50h .the partition's is 2 h"):
            endless.submit(job(stamp(out, "x")))
