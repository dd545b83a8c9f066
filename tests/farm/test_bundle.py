"""Bundles and templates: what is written is what is read, and Open Job Description agrees."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from laikaroto.bundled import bundled
from laikaroto.cli.submit import Wishes, shot_bundle, training_bundle
from laikaroto.config import check_name
from laikaroto.errors import ConfigError, TryAgainError
from laikaroto.farm.bundle import Bundle, new_job_name, read_bundle, write_bundle
from laikaroto.farm.plan import plan_job
from laikaroto.frames import parse_frames
from laikaroto.show import Show
from tests.farm.tiny import job, stamp

TEMPLATES = sorted(path.stem for path in bundled("jobs").glob("*.yaml"))


@pytest.fixture(params=["shot", "train"])
def bundle(request: pytest.FixtureRequest, sample_configs: Path) -> Bundle:
    show = Show.open(sample_configs)
    if request.param == "shot":
        return shot_bundle(show, shot="ta01", character="hero", wishes=Wishes(after=("other",)))
    return training_bundle(show, character="hero", budget="2m")


def openjd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the openjd command line of this environment."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("openjd")), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_openjd_checks_every_template(name: str) -> None:
    done = openjd("check", str(bundled("jobs") / f"{name}.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_start_our_worker_with_a_list_of_arguments(name: str) -> None:
    """No shell, no script text, no environment with actions of its own."""
    template = yaml.safe_load((bundled("jobs") / f"{name}.yaml").read_text())
    assert not {"jobEnvironments"} & set(template)
    for made in template["steps"]:
        assert set(made) <= {
            "name", "dependencies", "parameterSpace", "script", "hostRequirements",
        }  # fmt: skip
        assert set(made["script"]) == {"actions"} and set(made["script"]["actions"]) == {"onRun"}
        action = made["script"]["actions"]["onRun"]
        assert action["command"] == "{{Param.Python}}"
        assert action["args"][:4] == ["-m", "laikaroto", "worker", made["name"]]
        assert all(isinstance(word, str) for word in action["args"])
        # a value is a word of its own, never a part of one
        assert all("{{" not in word or re.fullmatch(r"{{[\w.]+}}", word) for word in action["args"])


def test_bundle_round_trip_and_openjd_check(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_bundle(bundle, tmp_path / "bundles" / "one")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["one"]
    assert read_bundle(folder) == bundle
    done = openjd("check", str(folder / "template.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assets = yaml.safe_load((folder / "asset_references.yaml").read_text())["assetReferences"]
    assert assets["outputs"]["directories"] == [bundle.parameters["Run"]]


def test_openjd_runs_a_step_of_a_bundle(sample_configs: Path, tmp_path: Path) -> None:
    """The real command line of a task; the shot is unknown by then, so it fails as it should."""
    made = shot_bundle(Show.open(sample_configs), shot="ta01", character="hero")
    made = replace(made, parameters={**made.parameters, "Shot": "nowhere"})
    folder = write_bundle(made, tmp_path / "bundle")
    values = yaml.safe_load((folder / "parameter_values.yaml").read_text())["parameterValues"]
    done = openjd(
        "run", str(folder / "template.yaml"), "--step", "predict", "--maximum-tasks", "1",
        "--no-run-dependencies", "-p",
        json.dumps({entry["name"]: str(entry["value"]) for entry in values}),
        PYTHONPATH=str(Path(__file__).parents[2]),
    )  # fmt: skip
    assert done.returncode == 1
    (record,) = (Path(str(made.parameters["Run"])) / "results" / "predict").iterdir()
    assert record.name.startswith("1001-") and record.name.endswith(".1.json")
    assert json.loads(record.read_text())["exit_code"] in (1, 2), done.stdout
    assert "openjd_fail: " in done.stdout


def test_shot_plan(sample_configs: Path) -> None:
    made = shot_bundle(
        Show.open(sample_configs), shot="ta01", character="hero", frames=range(1001, 1017, 2)
    )
    made = replace(made, parameters={**made.parameters, "FramesPerTask": 3})
    plan = plan_job(made, where="test")
    assert [(step.name, step.needs) for step in plan.steps] == [
        ("check", ()), ("predict", ("check",)), ("solve", ("predict",)), ("matte", ("solve",)),
        ("publish", ("matte",)), ("review", ("publish",)),
    ]  # fmt: skip
    chunks = [task["Frame"] for task in plan.steps[1].tasks]
    frames = [parse_frames(chunk.replace(":", "x")) for chunk in chunks]
    assert frames == [(1001, 1003, 1005), (1007, 1009, 1011), (1013, 1015)]
    assert all(step.requirements.cpus == 1 for step in plan.steps)
    assert plan.steps[1].requirements.memory_mib > 0


def test_training_plan_asks_for_all_cpus_of_the_queue(sample_configs: Path) -> None:
    (sample_configs / "queues" / "local.yaml").write_text(
        "{name: local, slots: 3, threads_per_slot: 2}"
    )
    plan = plan_job(training_bundle(Show.open(sample_configs), character="hero"), where="test")
    assert [step.name for step in plan.steps] == [
        "prepare", "train", "evaluate", "package", "promote",
    ]  # fmt: skip
    assert [step.requirements.cpus for step in plan.steps] == [1, 6, 1, 1, 1]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("laikaroto.yaml", "{name: x}", "laikaroto.yaml: key: Field required"),
        ("laikaroto.yaml", "[]", "wanted a mapping, got list"),
        ("laikaroto.yaml", "{", "is not YAML"),
        ("parameter_values.yaml", "{parameterValues: [3]}", "wanted a list of name and value"),
        ("template.yaml", None, "cannot be read"),
    ],
)
def test_damaged_bundle_is_told(tmp_path: Path, file: str, text: str | None, message: str) -> None:
    folder = write_bundle(job(stamp(tmp_path / "out", "x")), tmp_path / "b")
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_bundle(folder)


def test_settings_tell_every_fault(tmp_path: Path) -> None:
    folder = write_bundle(job(stamp(tmp_path / "out", "x")), tmp_path / "b")
    data = yaml.safe_load((folder / "laikaroto.yaml").read_text())
    data.update(priority=101, name="../up", what=1)
    (folder / "laikaroto.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as error:
        read_bundle(folder)
    assert all(word in str(error.value) for word in ("priority", "name: ", "what: unknown setting"))


def test_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.write_text("a file where a folder is wanted")
    with pytest.raises(TryAgainError, match="cannot write"):
        write_bundle(job(stamp(tmp_path / "out", "x")), parent / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parent"]


def test_job_names_are_usable_and_unlike() -> None:
    long = new_job_name("ev", "a" * 64, "Ann O'Hara", "shot", "b" * 64)
    assert check_name(long, "job") == long and len(long) == 64
    assert len({new_job_name("x", "y", "me", "z") for _ in range(200)}) == 200


def test_setpriv_ties_payloads_to_their_slot() -> None:
    from laikaroto.farm.attempt import tethered

    made = job(stamp(Path("out"), "x"))
    action = yaml.safe_load(tethered(made).template)["steps"][0]["script"]["actions"]["onRun"]
    if shutil.which("setpriv") is None:
        assert action["command"] == sys.executable
    else:
        assert action["args"][:4] == ["--pdeathsig", "KILL", "--", sys.executable]
    plan_job(tethered(made), where="test")
