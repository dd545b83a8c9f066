"""``jobs purge`` against a real queue: what goes, what stays, and a purge that dies half way."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from laikaroto.cli.purge import choose
from laikaroto.cli.queues import open_queue
from laikaroto.farm.engine import Engine, JobState, JobStatus
from laikaroto.farm.local.database import FILE
from laikaroto.farm.local.supervisor import Supervisor
from laikaroto.farm.places import job_folder, purged_folder
from laikaroto.show import Show
from tests.farm.tiny import job, stamp, step

OLD = ("--older-than", "0.001s")


@pytest.fixture
def show(sample_configs: Path) -> Show:
    return Show.open(sample_configs)


@pytest.fixture
def engine(show: Show) -> Engine:
    return open_queue(show, "local")


@pytest.fixture
def purge(laikaroto: Callable[..., Any], sample_configs: Path) -> Callable[..., Any]:
    def run(*arguments: object, code: int = 0) -> Any:
        ran = laikaroto("jobs", "purge", *arguments, "--configs", sample_configs)
        assert ran.code == code, ran.out + ran.err
        return ran

    return run


def run_job(show: Show, engine: Engine, tmp_path: Path, **settings: Any) -> str:
    """Run a job that leaves something in a working folder; its name."""
    name = settings.pop("name")
    work = show.work_folder(name)
    made = work / "part" / "made"
    work.joinpath("part").mkdir(parents=True)
    body = settings.pop("body", None) or stamp(made, "x" * 1000)
    bundle = job(body, name=name, show=show.configs.show.name, **settings)
    template = json.loads(bundle.template)
    template["parameterDefinitions"] = [{"name": "Run", "type": "PATH"}]
    bundle = bundle.__class__(
        template=json.dumps(template), parameters={"Run": str(work)}, settings=bundle.settings
    )
    engine.submit(bundle)
    return name


def serve(show: Show) -> None:
    Supervisor(queue=show.queue("local"), state=show.queue_state("local"), until_idle=True).run()


def rows(engine: Engine) -> dict[str, int]:
    with closing(sqlite3.connect(engine.state / FILE)) as db:
        tables = [name for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )]  # fmt: skip
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_ended_jobs_go_with_all_they_left_and_nothing_else_does(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path
) -> None:
    good = run_job(show, engine, tmp_path, name="good")
    bad = run_job(show, engine, tmp_path, name="bad", body=step("s", "import sys; sys.exit(1)"))
    serve(show)
    before = rows(engine)
    waiting = run_job(show, engine, tmp_path, name="waiting", paused=True)
    published = show.sidecar_folder("ta01", "hero", "v001")
    published.mkdir(parents=True)
    (published / "roto.json").write_text("{}")
    report = json.loads(purge(*OLD, "--dry-run", "--json").out)
    assert report == [{
        "queue": "local", "dry_run": True, "purged": [good, bad], "kept": {}, "folders_left": {},
        "bytes": report[0]["bytes"],
    }]  # fmt: skip
    assert report[0]["bytes"] > 1000
    assert show.work_folder(good).is_dir() and job_folder(engine.state, good).is_dir()
    assert "would remove 2 jobs" in purge(*OLD, "--dry-run").out
    # the default leaves what has just ended
    assert "removed 0 jobs" in purge().out
    assert "removed bad\n" in purge(*OLD, "--state", "failed,cancelled").out
    assert [status.name for status in engine.jobs()] == [good, waiting]
    assert not show.work_folder(bad).exists() and not job_folder(engine.state, bad).exists()
    out = purge(*OLD).out
    assert "removed good\n" in out and "queue local: removed 1 job, 0.0 MB" in out
    assert [status.name for status in engine.jobs()] == [waiting]
    assert not show.work_folder(good).exists() and not list(purged_folder(engine.state).iterdir())
    assert show.work_folder(waiting).is_dir() and job_folder(engine.state, waiting).is_dir()
    assert (published / "roto.json").read_text() == "{}"
    # one waiting job is all that is in the books: no table keeps anything of the others
    assert before["attempts"] == 2
    assert rows(engine) == {**before, "jobs": 1, "steps": 1, "tasks": 1, "attempts": 0}


def test_a_job_stays_as_long_as_one_that_needs_it(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path
) -> None:
    first = run_job(show, engine, tmp_path, name="first")
    second = run_job(show, engine, tmp_path, name="second", needs=[first], paused=True)
    serve(show)
    out = purge(*OLD).out
    assert "kept first: it is needed by second, which stays" in out and "removed 0 jobs" in out
    # the owner of the books looks for itself
    late = engine.jobs()[0].ended
    assert late is not None
    assert engine.purge([first], before=late) == {first: "is needed by second, which stays"}
    assert engine.purge([second, first], before=late)[second] == "is not over"
    engine.resume(second)
    serve(show)
    assert engine.purge([second], before=late) == {second: "has ended too recently"}
    assert json.loads(purge(*OLD, "--json").out)[0]["purged"] == [first, second]
    assert engine.jobs() == ()


def test_a_job_stays_until_word_of_its_end_is_sent_and_takes_it_along(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path
) -> None:
    run_job(show, engine, tmp_path, name="told")
    serve(show)
    with closing(sqlite3.connect(engine.state / FILE, isolation_level=None)) as db:
        db.execute("INSERT INTO notices (job, finish, channel, settings, body) "
                   "VALUES ('told', 'succeeded', 'webhook', '{}', '')")  # fmt: skip
        assert "kept told: it has word of its end that is not sent yet" in purge(*OLD).out
        db.execute("UPDATE notices SET state = 'sent'")
    assert "removed told\n" in purge(*OLD).out
    assert rows(engine)["notices"] == 0


def test_a_purge_that_died_is_brought_to_its_end(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path
) -> None:
    name = run_job(show, engine, tmp_path, name="dead")
    serve(show)
    late = engine.jobs()[0].ended
    assert late is not None and engine.purge([name], before=late) == {}
    assert show.work_folder(name).is_dir() and purged_folder(engine.state, name).is_dir()
    assert "removed 0 jobs" in purge().out
    assert not show.work_folder(name).exists() and not purged_folder(engine.state, name).exists()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("published", "holds something that was published"),
        ("link", "is a link"),
        ("moved", "is not the working folder that this show has for the job"),
        ("damaged", "the bundle of its job cannot be read"),
    ],
)
def test_a_folder_that_may_be_something_else_is_left(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path, spoil: str, why: str
) -> None:
    name = run_job(show, engine, tmp_path, name="odd")
    serve(show)
    work, bundle = show.work_folder(name), job_folder(engine.state, name) / "bundle"
    if spoil == "published":
        (work / "v001").mkdir()
        (work / "v001" / "MANIFEST.json").write_text("{}")
    elif spoil == "link":
        shutil.move(work, tmp_path / "elsewhere")
        work.symlink_to(tmp_path / "elsewhere")
    elif spoil == "moved":
        elsewhere = tmp_path / "elsewhere"
        shutil.move(work, elsewhere)
        values = bundle / "parameter_values.yaml"
        values.write_text(values.read_text().replace(str(work), str(elsewhere)))
    else:
        (bundle / "laikaroto.yaml").write_text("{")
    found = json.loads(purge(*OLD, "--json").out)[0]
    assert found["purged"] == [name]
    ((folder, reason),) = found["folders_left"].items()
    assert why in reason and (Path(folder) / "part" / "made").is_file()


def status(name: str, *needs: str, show: str = "s", ended: float | None = 1.0) -> JobStatus:
    return JobStatus(
        name=name, queue="q", kind="k", state=JobState.SUCCEEDED, reason="", show=show, user="u",
        priority=50, attempts=3, not_before=None, submitted=0.0, started=0.0, ended=ended,
        needs=needs,
    )  # fmt: skip


def test_choice_follows_what_needs_what() -> None:
    jobs = [status("a"), status("b", "a"), status("c", "b", ended=9.0), status("d"),
            status("e", "d", show="other")]  # fmt: skip
    wanted = frozenset({JobState.SUCCEEDED})
    choice = choose(jobs, show="s", states=wanted, before=5.0)
    assert choice.taken == () and dict(choice.kept) == {
        "e": "is of show other", "d": "is needed by e, which stays",
        "b": "is needed by c, which stays", "a": "is needed by b, which stays",
    }  # fmt: skip
    choice = choose(jobs, show="s", states=wanted, before=9.0)
    assert [job.name for job in choice.taken] == ["c", "b", "a"]


def test_what_cannot_be_purged_is_told(
    show: Show, purge: Callable[..., Any], sample_configs: Path
) -> None:
    assert "only jobs that are over can be purged" in purge("--state", "running", code=2).err
    assert "wanted something like 8h" in purge("--older-than", "soon", code=2).err
    (sample_configs / "queues" / "night.yaml").write_text(
        yaml.safe_dump({"name": "night", "engine": "slurm", "slurm": {}})
    )
    assert "queue night: the farm (slurm) keeps its books; left alone" in purge().err
    refused = purge("--queue", "night", code=1).err
    assert "only queues of the local engine can be purged" in refused


def test_how_long_jobs_are_kept_is_a_setting_of_the_queue(
    show: Show, engine: Engine, purge: Callable[..., Any], tmp_path: Path, sample_configs: Path
) -> None:
    run_job(show, engine, tmp_path, name="short")
    serve(show)
    assert "removed 0 jobs" in purge().out
    path = sample_configs / "queues" / "local.yaml"
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(data | {"keep_jobs": "0.001s"}))
    assert "removed 1 job," in purge().out
    path.write_text(yaml.safe_dump(data | {"keep_jobs": "for ever"}))
    assert "keep_jobs" in purge(code=78).err
