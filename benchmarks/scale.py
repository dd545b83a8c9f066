"""How the farm side takes a whole film: ``python -m benchmarks.scale``.

Synthetic performances of 100 frames, every task of which is ``true``, so that nothing but the
farm is measured. ``--shape shot`` has the steps of a real shot job (24 tasks: check, 10 of
predict, solve, 10 of matte, publish, review), ``--shape array`` one step of 10 tasks. For each
size it prints how long it takes to queue them in one call, to queue them again (nothing
happens), to list them by the command, start of the interpreter included; then how many tasks a
second four slots run, and the memory of the supervisor while they do.

``--engine slurm`` brings up a real Slurm of three hosts on this machine (as the tests do) and
leaves out the running: Slurm's own dispatch is what it is.

``--plates N`` also makes a show of N shots with 100 plates each, and queues them by
``submit shot``, which looks at every plate first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import psutil
import yaml

from benchmarks.plates import find_source, repeat
from laikaroto.bundled import bundled
from laikaroto.config import current_user
from laikaroto.farm.bundle import Bundle, JobSettings, job_template, new_job_name
from laikaroto.farm.engine import Engine
from laikaroto.farm.engines import open_engine
from laikaroto.show import Show

QUEUE = "scale"
FRAMES, CHUNK = 100, 10
_SCHEDULER = (  # as docs/farm.md advises for many jobs
    "batch_sched_delay=3,sched_min_interval=2000000,default_queue_depth=1000,"
    "bf_max_job_array_resv=20,bf_continue"
)
_LISTINGS: dict[str, tuple[str, ...]] = {
    "jobs list": ("jobs", "list"),
    "jobs list --json": ("jobs", "list", "--json"),
    "farm status --metrics": ("farm", "status", "--metrics"),
}


# ---- what is measured ----------------------------------------------------------------------


def noop_template(shape: str) -> str:
    """Template of one performance; its commands do nothing."""
    true = {"command": shutil.which("true") or "/bin/true"}
    if shape == "array":
        space = {"name": "Chunk", "type": "INT", "range": f"0-{FRAMES // CHUNK - 1}"}
        step = {
            "name": "frames", "script": {"actions": {"onRun": true}},
            "parameterSpace": {"taskParameterDefinitions": [space]},
        }  # fmt: skip
        return yaml.safe_dump(
            {"specificationVersion": "jobtemplate-2023-09", "name": "scale", "steps": [step]}
        )
    template = yaml.safe_load(job_template("infer_shot"))
    for step in template["steps"]:
        step["script"] = {"actions": {"onRun": true}}
        step.pop("hostRequirements", None)
    return yaml.safe_dump(template, sort_keys=False)


def performances(count: int, shape: str, run: str) -> list[Bundle]:
    """So many jobs, each of its own shot."""
    template, made = noop_template(shape), []
    for number in range(count):
        shot = f"sc{number:05d}"
        name = new_job_name("film", shot, current_user(), "shot", "hero")
        parameters: Mapping[str, str | int] = {
            "JobName": name, "Python": sys.executable, "Configs": "/film/configs",
            "Run": f"/film/work/{name}", "Shot": shot, "Character": "hero",
            "Frames": f"1001-{1000 + FRAMES}", "FramesPerTask": CHUNK,
        }  # fmt: skip
        made.append(Bundle(
            template=template, parameters=parameters if shape == "shot" else {},
            settings=JobSettings(
                name=name, key=f"{run}-{shot}", kind="shot", show="film", user=current_user(),
                queue=QUEUE, priority=50, attempts=3,
            ),
        ))  # fmt: skip
    return made


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process, its children, and what those have run so far."""
    return sum(sum(member.cpu_times()[:4]) for member in (process, *process.children()))


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds an action takes, and CPU seconds of it, child processes (and Slurm) included.

    The second hardly depends on what else the machine does.
    """
    started, before = time.perf_counter(), cpu_seconds(psutil.Process())
    action()
    return time.perf_counter() - started, cpu_seconds(psutil.Process()) - before


def command(configs: Path, *arguments: str) -> str:
    """Output of ``laikaroto`` in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "laikaroto", *arguments, "--configs", str(configs)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return ran.stdout


def measure_queueing(engine: Engine, configs: Path, count: int, shape: str) -> dict[str, float]:
    """Queue performances, queue them again, and list them; seconds of each."""
    row: dict[str, float] = {}
    made = performances(count, shape, str(count))
    row["submit"], row["submit, CPU"] = timed(lambda: engine.submit_all(made))
    again = performances(count, shape, str(count))
    row["submit again"], _ = timed(lambda: engine.submit_all(again))
    for name, arguments in _LISTINGS.items():
        looks = [timed(partial(command, configs, *arguments, "--queue", QUEUE)) for _ in "123"]
        row[name] = min(seconds for seconds, _ in looks)
        row[f"{name}, CPU"] = min(cpu for _, cpu in looks)
    return row


def measure_running(engine: Engine, configs: Path, tasks: int) -> dict[str, float]:
    """Run no-op tasks on the local engine: tasks a second, memory of the supervisor, MiB."""
    jobs = max(1, tasks // (FRAMES // CHUNK))
    engine.submit_all(performances(jobs, "array", "run"))
    command(configs, "farm", "start", "--queue", QUEUE)
    card = json.loads(command(configs, "farm", "status", "--queue", QUEUE, "--json"))["supervisor"]
    supervisor = psutil.Process(card["pid"])
    total = jobs * (FRAMES // CHUNK)
    marks: list[tuple[float, int, float, float]] = []
    while not marks or marks[-1][1] < total:
        done = sum(job.done for job in engine.jobs())
        memory = supervisor.memory_info().rss / 2**20
        marks.append((time.perf_counter(), done, memory, cpu_seconds(supervisor)))
        time.sleep(1.0)
    command(configs, "farm", "stop", "--queue", QUEUE)
    first = next(mark for mark in marks if mark[1] > total * 0.05)  # slots have started by then
    half = next(mark for mark in marks if mark[1] > total * 0.5)
    last = marks[-1]
    seconds = max(1e-9, last[0] - first[0])
    return {
        "tasks": total, "tasks/s": (last[1] - first[1]) / seconds,
        "CPU ms a task": 1000 * (last[3] - first[3]) / max(1, last[1] - first[1]),
        "MiB at 5 %": first[2], "MiB at 50 %": half[2], "MiB at the end": last[2],
    }  # fmt: skip


def measure_plates(folder: Path, shots: int) -> dict[str, float]:
    """``submit shot`` of shots with plates of their own (links to the sample's)."""
    configs = make_configs(folder, {"engine": "local", "slots": 4})
    plates = repeat(find_source(bundled("sample"), "ta01").plates, FRAMES)
    names = [f"sc{number:05d}" for number in range(shots)]
    for shot in names:
        target = folder / "film" / "plates" / shot
        target.mkdir(parents=True)
        for number, plate in enumerate(plates, start=1001):
            (target / f"{shot}.{number}.exr").symlink_to(plate.resolve())
    ask = ("submit", "shot", *names, "--character", "hero", "--queue", QUEUE)
    row: dict[str, float] = {}
    row["submit shot"], row["submit shot, CPU"] = timed(lambda: command(configs, *ask))
    if has_command("status"):
        stale = ("status", "--stale")
        row["status --stale"], row["status --stale, CPU"] = timed(lambda: command(configs, *stale))
    return row


def has_command(name: str) -> bool:
    """Whether ``laikaroto`` has a command."""
    from laikaroto.cli.app import COMMANDS

    return name in COMMANDS


# ---- where -----------------------------------------------------------------------------------


def make_configs(folder: Path, queue: Mapping[str, Any]) -> Path:
    """Configuration folder of a show with one queue."""
    configs = folder / "configs"
    shutil.copytree(bundled("configs"), configs)
    shutil.rmtree(configs / "queues")
    (configs / "queues").mkdir()
    text = yaml.safe_load((configs / "show.yaml").read_text())
    (configs / "show.yaml").write_text(yaml.safe_dump({**text, "root": str(folder / "film")}))
    (folder / "film").mkdir()
    (configs / "queues" / f"{QUEUE}.yaml").write_text(
        yaml.safe_dump({"name": QUEUE, "threads_per_slot": 1, **queue})
    )
    return configs


@contextmanager
def queue_of(engine: str, folder: Path) -> Iterator[tuple[Engine, Path]]:
    """An engine with an empty queue, and the configuration folder that names it."""
    with ExitStack() as stack:
        settings: dict[str, Any] = {"engine": "local", "slots": 4}
        if engine == "slurm":
            from tests.farm.slurm.cluster import running_cluster

            more = "RequeueExit=75\nEnforcePartLimits=ALL\nMaxJobCount=1000000"
            cluster = stack.enter_context(
                running_cluster(folder / "cluster", more=more, scheduler=_SCHEDULER)
            )
            # nothing may start: what is measured is the queue
            cluster.run("scontrol", "update", "PartitionName=two", "State=DOWN")
            settings = {"engine": "slurm", "slurm": {"conf": str(cluster.conf)}}
        configs = make_configs(folder, settings)
        show = Show.open(configs)
        yield open_engine(show.queue(QUEUE), show.queue_state(QUEUE)), configs


def print_table(rows: list[dict[str, float]]) -> None:
    """Rows as Markdown."""
    if not rows:
        return
    click.echo("\n| " + " | ".join(rows[0]) + " |")
    click.echo("|---" * len(rows[0]) + "|")
    for row in rows:
        click.echo("| " + " | ".join(
            f"{value:.0f}" if name in ("performances", "tasks") or value >= 100 else f"{value:.2f}"
            for name, value in row.items()
        ) + " |")  # fmt: skip


@click.command()
@click.option("--engine", type=click.Choice(["local", "slurm"]), default="local")
@click.option("--shape", type=click.Choice(["shot", "array"]), default="shot", show_default=True)
@click.option("--sizes", default="200,2000,20000", show_default=True, metavar="N,N")
@click.option("--run", "tasks", default=2000, show_default=True, help="No-op tasks to run (local).")
@click.option("--plates", default=0, help="Also submit so many shots with plates.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Also write the figures.")
def main(engine: str, shape: str, sizes: str, tasks: int, plates: int, path: Path | None) -> None:
    """Measure one engine at several sizes."""
    found: dict[str, list[dict[str, float]]] = {"queueing": [], "running": [], "plates": []}
    for size in [int(text) for text in sizes.split(",") if text]:
        with tempfile.TemporaryDirectory() as name, queue_of(engine, Path(name)) as (at, configs):
            row = {"performances": float(size)}
            found["queueing"].append(row | measure_queueing(at, configs, size, shape))
        print_table(found["queueing"][-1:])
    if engine == "local" and tasks:
        with tempfile.TemporaryDirectory() as name, queue_of(engine, Path(name)) as (at, configs):
            found["running"].append(measure_running(at, configs, tasks))
    if plates:
        with tempfile.TemporaryDirectory() as name:
            row = {"performances": float(plates)}
            found["plates"].append(row | measure_plates(Path(name), plates))
    click.echo(f"\n{engine}, {shape}: seconds unless said otherwise; listings: best of 3")
    for rows in found.values():
        print_table(rows)
    if path is not None:
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
