"""Tasks that several hosts of a real Slurm work at together, trainings among them."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from laikaroto.cli.showing import show_job
from laikaroto.cli.submit import training_bundle
from laikaroto.errors import FarmError
from laikaroto.farm.bundle import Bundle
from laikaroto.farm.engine import JobState, JobStatus, TaskRef, TaskState
from laikaroto.farm.records import Attempt, read_attempts
from laikaroto.farm.slurm.engine import SlurmEngine
from laikaroto.show import Show
from laikaroto.training.checkpoint import new_state, read_checkpoint
from laikaroto.training.run import open_course
from tests.farm.slurm.cluster import HOSTS, Cluster, running_cluster, slurm_engine
from tests.farm.tiny import job, lines, on_hosts, step, until
from tests.training.synthetic import CHARACTER, write_show

LONG_S = 180.0
TRAINING_S = 900.0
TICKING = Path(__file__).parents[1] / "ticking.py"

TOGETHER = """
import os, sys, time
rank, meeting = int(os.environ['LAIKAROTO_RANK']), os.environ['LAIKAROTO_RENDEZVOUS']
host, attempt = os.environ['SLURMD_NODENAME'], os.environ['LAIKAROTO_ATTEMPT']
if rank == 0:
    open(meeting, 'w').write(os.environ['LAIKAROTO_ADDRESS'])
while not os.path.exists(meeting):
    time.sleep(0.02)
print('rank', rank, 'is here', flush=True)
with open(sys.argv[1], 'a') as out:
    out.write(f'{attempt}:{rank}:{host}:{open(meeting).read()}:{os.getpid()}\\n')
"""
"""All ranks meet by the file they are told; each leaves a line."""

FAILS = (
    TOGETHER
    + """
if rank == 1 and attempt == '1':
    code = int(sys.argv[2])
    os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
while attempt == '1':
    time.sleep(0.05)
"""
)
"""Rank 1 ends its first attempt so; the others would wait for ever."""

POLITE = (
    TOGETHER
    + """
import signal
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
open(sys.argv[3], 'a').write(f'{rank}\\n')
while not ended and not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
if ended:
    open(sys.argv[4], 'a').write(f'{rank}\\n')
    sys.exit(75)
"""
)
"""Each runs until the gate is there; asked to end, it notes that, and exits 75."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("nodes") / "cluster", memory=4000) as made:
        yield made


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path) -> SlurmEngine:
    return slurm_engine(cluster, tmp_path / "farm", partition="three")


def attempts(engine: SlurmEngine, name: str, step_name: str) -> tuple[Attempt, ...]:
    """Attempts at the first task of a step."""
    return read_attempts(engine.state, name, step_name).get(0, ())


def there(out: Path) -> list[dict[str, str]]:
    """Who left a line in a file."""
    names = ("attempt", "rank", "host", "address", "pid")
    return [dict(zip(names, line.split(":"), strict=True)) for line in lines(out)]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def finish(engine: SlurmEngine, name: str, timeout_s: float = LONG_S) -> JobStatus:
    return engine.wait([name], timeout_s=timeout_s)[0]


def test_hosts_meet_and_are_one_task(cluster: Cluster, engine: SlurmEngine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    name = engine.submit(on_hosts(3, job(step("s", TOGETHER, str(out))))).job
    done = finish(engine, name)
    assert done.state is JobState.SUCCEEDED
    assert done.total == 1 and len(attempts(engine, name, "s")) == 1
    (task,) = done.tasks(TaskState.SUCCEEDED)
    assert sorted([task.host or "", *task.others]) == list(HOSTS)
    assert task.attempts[0].others == task.others == tuple(task.to_dict()["others"])
    (shown,) = (line for line in show_job(engine, done, everything=False) if "s/0" in line)
    assert ", ".join((str(task.host), *task.others)) in shown
    found = there(out)
    assert sorted(one["rank"] for one in found) == ["0", "1", "2"]
    assert sorted(one["host"] for one in found) == list(HOSTS)
    assert {one["address"] for one in found} == {"127.0.0.1"}  # NodeAddr, not the host's name
    log = engine.log(name, TaskRef(step="s", index=0))
    by_rank = {one["rank"]: one["host"] for one in found}
    assert "rank 0 is here" in log
    for rank in "12":
        assert f"node {rank} ({by_rank[rank]}): rank {rank} is here" in log
    assert not any((engine.state / "sessions").iterdir())


@pytest.mark.parametrize(
    ("code", "tries", "message"),
    [(-9, 2, ""), (78, 1, "exit code 78")],
)
def test_host_that_fails_ends_the_attempt(
    engine: SlurmEngine, tmp_path: Path, code: int, tries: int, message: str
) -> None:
    out = tmp_path / "out"
    name = engine.submit(on_hosts(2, job(step("s", FAILS, str(out), str(code))))).job
    done = finish(engine, name)
    assert (done.state is JobState.SUCCEEDED) == (tries == 2)
    made = attempts(engine, name, "s")
    assert len(made) == tries and made[0].exit_code == (128 - code if code < 0 else code)
    assert made[0].message.startswith("node 1 (n")
    if tries == 1:
        (task,) = done.tasks(TaskState.FAILED)
        assert task.exit_code == code and message in task.message
    until(lambda: all(gone(int(one["pid"])) for one in there(out)), "all payloads end", LONG_S)


def test_lost_host_ends_all_and_the_task_runs_again_elsewhere(
    cluster: Cluster, engine: SlurmEngine, tmp_path: Path
) -> None:
    out, gate, started, saved = (tmp_path / name for name in ("out", "gate", "on", "saved"))
    bundle = on_hosts(2, job(step("s", POLITE, str(out), str(gate), str(started), str(saved))))
    name = engine.submit(bundle).job
    until(lambda: len(lines(started)) == 2, "both run", LONG_S)
    first = {one["rank"]: one for one in there(out)}
    lost = first["1"]["host"]
    try:
        cluster.kill(lost)  # its slurmd only: what it had started lives on
        until(lambda: len(lines(started)) == 4, "Slurm starts both elsewhere", LONG_S)
        second = there(out)[2:]
        assert {one["attempt"] for one in second} == {"2"}
        assert lost not in {one["host"] for one in second}
        for one in first.values():
            until(lambda one=one: gone(int(one["pid"])), "the late copies end", LONG_S)
        gate.touch()
        assert finish(engine, name).state is JobState.SUCCEEDED
    finally:
        cluster.start_host(lost)
    assert [a.exit_code for a in attempts(engine, name, "s")][-1] == 0
    until(lambda: cluster.hosts_in("idle") == len(HOSTS), "all hosts idle", LONG_S)


def test_killed_runner_takes_its_companions_along(engine: SlurmEngine, tmp_path: Path) -> None:
    out, gate, started, saved = (tmp_path / name for name in ("out", "gate", "on", "saved"))
    bundle = on_hosts(2, job(step("s", POLITE, str(out), str(gate), str(started), str(saved))))
    name = engine.submit(bundle).job
    until(lambda: len(lines(started)) == 2, "both run", LONG_S)
    os.kill(attempts(engine, name, "s")[0].pid, signal.SIGKILL)
    until(lambda: len(lines(started)) == 4, "both run again", LONG_S)
    until(lambda: all(gone(int(one["pid"])) for one in there(out)[:2]), "the former end", LONG_S)
    assert [one["attempt"] for one in there(out)] == ["1", "1", "2", "2"]
    gate.touch()
    assert finish(engine, name).state is JobState.SUCCEEDED
    assert [a.outcome for a in attempts(engine, name, "s")] == ["lost", "exited"]


def test_cancel_gives_every_host_time_to_end(engine: SlurmEngine, tmp_path: Path) -> None:
    out, gate, started, saved = (tmp_path / name for name in ("out", "gate", "on", "saved"))
    made = step("s", POLITE, str(out), str(gate), str(started), str(saved), grace=15)
    name = engine.submit(on_hosts(2, job(made))).job
    until(lambda: len(lines(started)) == 2, "both run", LONG_S)
    engine.cancel(name)
    assert finish(engine, name).state is JobState.CANCELLED
    until(lambda: all(gone(int(one["pid"])) for one in there(out)), "both end", LONG_S)
    assert "0" in lines(saved) and len(lines(started)) == 2


def test_more_hosts_than_have_room_are_refused(engine: SlurmEngine, tmp_path: Path) -> None:
    assert engine.cpus_on(3) == 1
    bundle = on_hosts(4, job(step("s", TOGETHER, str(tmp_path / "out"))))
    with pytest.raises(FarmError, match=r"4 hosts at once with 1 CPUs .*may have 3 such hosts"):
        engine.submit(bundle)


# ---- trainings -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Show:
    folder = tmp_path_factory.mktemp("regatta")
    made = write_show(folder)
    queue = {"name": "q", "engine": "slurm", "slurm": {"conf": str(cluster.conf)}}
    (made.configs.folder / "queues").mkdir()
    (made.configs.folder / "queues" / "q.yaml").write_text(yaml.safe_dump(queue))
    return Show.open(made.configs.folder)


@pytest.fixture(scope="module")
def ticking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter under which a training's clock ticks once for each look at it."""
    path = tmp_path_factory.mktemp("bin") / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {TICKING} "$@"\n')
    path.chmod(0o755)
    return path


def training(show: Show, nodes: int, *, budget: str, python: Path) -> Bundle:
    """The job as submitted, up to the measurement of the model."""
    made = training_bundle(show, character=CHARACTER, budget=budget, nodes=nodes)
    template = yaml.safe_load(made.template)
    template["steps"] = [s for s in template["steps"] if s["name"] not in ("package", "promote")]
    return replace(
        made,
        template=yaml.safe_dump(template),
        parameters={**made.parameters, "Python": str(python)},
    )


def test_two_hosts_learn_as_one_does_from_the_same_samples(
    engine: SlurmEngine, show: Show, ticking: Path
) -> None:
    """Only the clock of the training counts looks at it, not seconds."""
    found = {}
    for nodes in (1, 2):
        name = engine.submit(training(show, nodes, budget="24s", python=ticking)).job
        done = finish(engine, name, TRAINING_S)
        log = engine.log(name, TaskRef(step="train", index=0))
        assert done.state is JobState.SUCCEEDED, log
        assert ("2 processes with" in log) == ("node 1 (n" in log) == (nodes == 2)
        run = show.work_folder(name)
        state = new_state((course := open_course(run, lambda s, t: None)).settings, course.dataset)
        assert read_checkpoint(run / "checkpoint.pt", state)
        found[nodes] = (state.step, json.loads((run / "metrics.json").read_text()))
    (steps, one), (also, two) = found[1], found[2]
    assert steps == also >= 16
    assert one["held_out"] == two["held_out"] == ["a1"]
    # the same samples, but batches are normalised in halves
    for which in ("curves_mean_px", "tracks_mean_px"):
        assert two[which] == pytest.approx(one[which], rel=0.1)


def test_training_that_loses_a_host_goes_on_from_its_checkpoint(
    cluster: Cluster, engine: SlurmEngine, show: Show, ticking: Path
) -> None:
    name = engine.submit(training(show, 2, budget="9000s", python=ticking)).job
    run, log = show.work_folder(name), TaskRef(step="train", index=0)
    until((run / "checkpoint.pt").exists, "a checkpoint", TRAINING_S)
    (first,) = attempts(engine, name, "train")
    both = cluster.run("squeue", "-h", "-t", "running", "-o", "%N").strip()
    hosts = cluster.run("scontrol", "show", "hostnames", both).split()
    (lost,) = set(hosts) - {first.host}
    try:
        cluster.kill(lost)
        until(lambda: len(attempts(engine, name, "train")) == 2, "it starts again", TRAINING_S)
        until(lambda: "going on from" in engine.log(name, log), "it goes on", TRAINING_S)
        found = re.search(r"going on from the checkpoint at step (\d+)", engine.log(name, log))
        assert found is not None and int(found[1]) > 0
        assert f"({lost})" not in engine.log(name, log)
        until(lambda: "status: step " in engine.log(name, log), "it learns", TRAINING_S)
    finally:
        engine.cancel(name)
        cluster.start_host(lost)
    assert finish(engine, name).state is JobState.CANCELLED
    until(lambda: not training_processes(run), "nothing of it is left", LONG_S)


def training_processes(run: Path) -> list[int]:
    """Processes that train in this folder."""
    found = psutil.process_iter(["cmdline"])
    return [one.pid for one in found if str(run) in (one.info["cmdline"] or ())]
