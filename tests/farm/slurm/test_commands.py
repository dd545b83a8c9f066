"""What Slurm's programs print, read; no Slurm needed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from laikaroto.config import QueueConfig, SlurmSettings
from laikaroto.errors import FarmError, TryAgainError
from laikaroto.farm.plan import Requirements
from laikaroto.farm.slurm.capacity import refusal
from laikaroto.farm.slurm.commands import (
    Cluster,
    Slurm,
    format_instant,
    format_time,
    parse_instant,
    parse_time,
)
from laikaroto.farm.slurm.engine import SlurmEngine
from laikaroto.farm.slurm.reconcile import SCRIPT


def program(folder: Path, name: str, text: str, *, code: int = 0, error: str = "") -> None:
    """A program that prints something, in place of one of Slurm's."""
    (folder / "out").write_text(text)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat '{folder}/out'\necho '{error}' >&2\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("MY_PASSWORD", "hush")
    monkeypatch.setenv("MY_LICENSE", "here")
    return Slurm(SlurmSettings(conf="/etc/other.conf", environment=("MY_LICENSE",)))


def test_rows(slurm: Slurm, tmp_path: Path) -> None:
    program(
        tmp_path,
        "squeue",
        "12|1,7-9%5|PENDING|Resources,BeginTime||laikaroto:j:s:0\n"
        "12|0-4:2|PENDING|None||laikaroto:j:s:0\n"
        "13|3|RUNNING|None|n1|laikaroto:j:s:0\n"
        "14|N/A|RUNNING|None|n1|somebody's own | job\n"
        "15|2|OUT_OF_MEMORY|OutOfMemory|n1|\n"
        "nonsense\n",
    )
    rows = slurm.rows()
    assert [(row.array, row.tasks, row.waits, row.over) for row in rows] == [
        (12, (1, 7, 8, 9), True, False), (12, (0, 2, 4), True, False), (13, (3,), False, False),
        (15, (2,), False, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("squeue: error: slurm_load_jobs: Unable to contact slurm controller", TryAgainError),
        ("sbatch: error: Resource temporarily unavailable", TryAgainError),
        ("slurm_load_jobs error: Invalid user id", FarmError),
    ],
)
def test_errors(slurm: Slurm, tmp_path: Path, error: str, kind: type[Exception]) -> None:
    program(tmp_path, "squeue", "", code=1, error=error)
    with pytest.raises(kind, match=error.split(":")[-1].strip()):
        slurm.rows()


def test_only_named_variables_are_passed_on(slurm: Slurm) -> None:
    passed = slurm.environment()
    assert passed["MY_LICENSE"] == "here" and "MY_PASSWORD" not in passed
    assert passed["SLURM_CONF"] == "/etc/other.conf"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("UNLIMITED", None), ("INFINITE", None), ("30:00", 1800), ("12:00:00", 43200),
     ("1-00:00:10", 86410)],
)  # fmt: skip
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


def test_times_written() -> None:
    assert format_time(61) == "0-00:02:00" and format_time(36 * 3600) == "1-12:00:00"
    assert parse_instant(format_instant(1_900_000_000)) == 1_900_000_000
    assert parse_instant("Unknown") is None


def test_no_single_host_is_large_enough() -> None:
    cluster = Cluster(
        hosts=((64, 1000), (2, 9000)), time_limit_s=None, most_array_tasks=10, requeues_75=True
    )
    settings = SlurmSettings(time_limit="100h")
    wanted = Requirements(cpus=32, memory_mib=4000)
    found = refusal(cluster, settings, "s", wanted, threads=1)
    assert found is not None and "32 CPUs and 4000 MiB memory on one host" in found
    assert refusal(cluster, settings, "s", Requirements(cpus=32), threads=1) is None
    assert refusal(cluster, settings, "s", Requirements(), threads=65) is not None


def test_several_hosts_that_are_large_enough() -> None:
    hosts = ((8, 9000), (8, 9000), (4, 9000), (8, 100))
    cluster = Cluster(hosts=hosts, time_limit_s=None, most_array_tasks=10, requeues_75=True)
    settings = SlurmSettings()
    wanted = Requirements(cpus=8, memory_mib=4000, nodes=2)
    assert refusal(cluster, settings, "s", wanted, threads=1) is None
    found = refusal(cluster, settings, "s", replace(wanted, nodes=3), threads=1)
    assert found is not None and "3 hosts at once with 8 CPUs" in found
    assert "may have 2 such hosts" in found and "fewer --nodes" in found
    few = replace(cluster, most_nodes=1)
    found = refusal(few, settings, "s", wanted, threads=1)
    assert found is not None and "may have 1 such hosts" in found


def run_script(tmp_path: Path, python: str) -> tuple[int, list[str]]:
    """Exit code of the batch script, and the arguments of each start of its runner."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/starts'\n{python}\n")
    fake.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), str(fake), "exit", "/a b/$(touch x)", "job", "step", "0"],
        cwd=tmp_path, check=False, timeout=180,
    )  # fmt: skip
    return done.returncode, (tmp_path / "starts").read_text().splitlines()


def test_batch_script_passes_arguments_and_exit_code_on(tmp_path: Path) -> None:
    code, starts = run_script(tmp_path, "exit 75")
    assert (code, starts) == (
        75, ["-P -m laikaroto.farm.slurm.task exit /a b/$(touch x) job step 0"],
    )  # fmt: skip
    assert not (tmp_path / "x").exists()


def test_batch_script_starts_a_killed_runner_again(tmp_path: Path) -> None:
    code, starts = run_script(
        tmp_path, f"[ $(wc -l < '{tmp_path}/starts') -lt 3 ] && kill -9 $$; exit 0"
    )
    assert (code, len(starts)) == (0, 3)


def test_cpus_of_the_largest_host_and_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = ((8, 1000), (16, 1000))
    cluster = Cluster(hosts=hosts, time_limit_s=None, most_array_tasks=1000, requeues_75=True)
    monkeypatch.setattr(Slurm, "cluster", lambda self: cluster)
    engine = SlurmEngine(QueueConfig(name="q", engine="slurm"), tmp_path)
    assert (engine.cpus, engine.all_cpus) == (16, 24)
