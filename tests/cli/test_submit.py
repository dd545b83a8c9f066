from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from laikaroto.cli.submit import parse_not_before
from laikaroto.errors import UsageError
from laikaroto.farm.bundle import read_bundle, write_bundle
from laikaroto.model.package import current_version
from laikaroto.show import Show
from tests.training.synthetic import CHARACTER, write_show


def test_dry_run_shows_the_bundle_and_writes_nothing(
    laikaroto: Callable[..., Any], sample_configs: Path
) -> None:
    before = sorted(sample_configs.parent.rglob("*"))
    ran = laikaroto(
        "submit", "shot", "ta01", "--character", "hero", "--dry-run", "--json",
        "--configs", sample_configs, "--frames", "1001-1005", "--priority", "70",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (bundle,) = json.loads(ran.out)
    assert bundle["settings"]["priority"] == 70
    assert bundle["parameters"]["Frames"] == "1001-1005"
    assert [step["name"] for step in bundle["steps"]][:2] == ["check", "predict"]
    assert bundle["steps"][1]["tasks"] == [{"Frame": "1001-1005"}]
    text = laikaroto("submit", "train", "hero", "--dry-run", "--configs", sample_configs)
    assert text.code == 0 and "template.yaml" in text.out and "# train: 1 tasks" in text.out
    warm = laikaroto("submit", "train", "hero", "--init-from", "villain:current", "--dry-run",
                     "--json", "--configs", sample_configs)  # fmt: skip
    assert json.loads(warm.out)[0]["parameters"]["InitFrom"] == "villain:current"
    assert sorted(sample_configs.parent.rglob("*")) == before


def test_submit_queues_once_and_says_that_no_farm_runs(
    laikaroto: Callable[..., Any], sample_configs: Path
) -> None:
    ask = ("submit", "shot", "ta01", "tr01", "--character", "hero", "--configs", sample_configs)
    first = laikaroto(*ask)
    assert first.code == 0, first.err
    assert first.out.count(": queued") == 2 and "laikaroto farm start" in first.err
    again = laikaroto(*ask, "--json")
    found = json.loads(again.out)
    assert [item["existing"] for item in found["jobs"]] == [True, True]
    other = laikaroto(*ask, "--frames", "1001-1004")
    assert other.out.count(": queued") == 2
    keyed = [
        laikaroto("submit", "train", "hero", "--budget", b, "--key", "k", "--configs",
                  sample_configs, "--paused", "--after", found["jobs"][0]["job"])
        for b in ("1m", "2m")
    ]  # fmt: skip
    assert "queued" in keyed[0].out and "is already queued" in keyed[1].out
    listed = json.loads(laikaroto("jobs", "list", "--json", "--configs", sample_configs).out)
    assert [job["kind"] for job in listed] == ["shot"] * 4 + ["train"]
    assert listed[-1]["needs"] == [found["jobs"][0]["job"]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("shot", "nowhere", "--character", "hero"), 2, "nowhere"),
        (("shot", "ta01", "--character", "villain"), 2, "unknown character 'villain'"),
        (("shot", "../ta01", "--character", "hero"), 2, "not a usable name"),
        (("shot", "$(reboot)", "--character", "hero"), 2, "not a usable name"),
        (("shot", "ta 01", "--character", "hero"), 2, "not a usable name"),
        (("shot", "ta'01", "--character", "hero"), 2, "not a usable name"),
        (("shot", "ta01", "--character", "hero", "--frames", "1001-2000"), 1, "1017-2000: missing"),
        (("shot", "ta01", "--character", "hero", "--frames", "1:5"), 2, "':'"),
        (("shot", "ta01", "--character", "hero", "--model", "latest"), 2, "'latest'"),
        (("shot", "ta01", "--character", "hero", "--queue", "moon"), 2, "unknown queue 'moon'"),
        (("shot", "ta01", "--character", "hero", "--priority", "101"), 2, "0<=x<=100"),
        (("shot", "ta01", "--character", "hero", "--after", "x"), 2, "no job is called 'x'"),
        (("train", "villain"), 2, "unknown character 'villain'"),
        (("train", "hero", "--budget", "soon"), 2, "duration 'soon'"),
        (("train", "hero", "--init-from", "best"), 2, "'best'"),
        (("train", "hero", "--not-before", "tonight"), 2, "'tonight' cannot be read"),
    ],
)
def test_what_cannot_work_is_never_queued(
    laikaroto: Callable[..., Any],
    sample_configs: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    ran = laikaroto("submit", *arguments, "--configs", sample_configs)
    assert ran.code == code, ran.err
    assert message in ran.err
    assert not (sample_configs.parent / "sample" / "farm" / "local" / "inbox").exists()


def test_not_before() -> None:
    now = datetime(2030, 1, 31, 19, 30)
    assert parse_not_before("20:00", now) == datetime(2030, 1, 31, 20).timestamp()
    assert parse_not_before("19:30", now) == datetime(2030, 2, 1, 19, 30).timestamp()
    assert parse_not_before("2030-02-03T04:05") == datetime(2030, 2, 3, 4, 5).timestamp()
    with pytest.raises(UsageError, match="25:00"):
        parse_not_before("25:00", now)


def test_bundle_only_is_run_by_openjd_as_it_is(
    laikaroto: Callable[..., Any], tiny_configs: Path, tmp_path: Path
) -> None:
    """The whole job of a shot, without any farm of ours."""
    arguments = ("submit", "shot", "ta01", "--character", "hero", "--frames", "1001-1003")
    done = laikaroto(
        *arguments, "--bundle-only", tmp_path / "out", "--json", "--configs", tiny_configs
    )
    assert done.code == 0, done.err
    (made,) = json.loads(done.out)
    folder = Path(made["bundle"])
    assert folder == tmp_path / "out" / made["job"]
    assert not (tiny_configs.parent / "sample" / "farm").exists()  # nothing is queued
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("openjd")), "run", "template.yaml",
            "-p", "file://openjd_parameters.yaml",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
    published = tiny_configs.parent / "sample" / "roto" / "ta01" / "hero" / "v001"
    assert (published / "roto.json").is_file() and (published / "MANIFEST.json").is_file()


def test_bundle_of_a_training_is_run_by_openjd_as_it_is(
    laikaroto: Callable[..., Any], tmp_path: Path
) -> None:
    """With two nodes, which are processes of this host where no farm gives the task others."""
    show = write_show(tmp_path)
    done = laikaroto(
        "submit", "train", CHARACTER, "--nodes", "2", "--budget", "3s",
        "--bundle-only", tmp_path / "out", "--json", "--configs", local_queue(show),
    )  # fmt: skip
    assert done.code == 0, done.err
    (made,) = json.loads(done.out)
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("openjd")), "run", "template.yaml",
            "-p", "file://openjd_parameters.yaml",
        ],
        cwd=made["bundle"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "2 nodes are processes of this one" in ran.stdout
    assert "2 processes with 1 thread" in ran.stdout
    assert (show.models_folder(CHARACTER) / "v001" / "MANIFEST.json").is_file()
    assert current_version(show.models_folder(CHARACTER)) == "v001"


def local_queue(show: Show) -> Path:
    """The show's configuration folder, with a local queue."""
    queues = show.configs.folder / "queues"
    queues.mkdir()
    (queues / "local.yaml").write_text("{name: local, slots: 1}")
    return show.configs.folder


def test_nodes_of_a_training(laikaroto: Callable[..., Any], tmp_path: Path) -> None:
    configs = local_queue(write_show(tmp_path))
    ask = ("submit", "train", CHARACTER, "--configs", configs)
    path = configs / "characters" / f"{CHARACTER}.yaml"
    found = yaml.safe_load(path.read_text())
    found["training"]["nodes"] = 2
    path.write_text(yaml.safe_dump(found))
    (bundle,) = json.loads(laikaroto(*ask, "--dry-run", "--json").out)
    assert bundle["parameters"]["Nodes"] == 2 and bundle["settings"]["nodes"] == {"train": "Nodes"}
    (bundle,) = json.loads(laikaroto(*ask, "--nodes", "3", "--dry-run", "--json").out)
    assert bundle["parameters"]["Nodes"] == 3
    refused = laikaroto(*ask)
    assert refused.code == 1
    assert "step 'train' asks for 2 hosts at once; a local queue gives each task one" in refused.err
    assert "--nodes 1" in refused.err
    assert laikaroto(*ask, "--nodes", "1").code == 0
    assert laikaroto(*ask, "--nodes", "9").code == 2


def test_bundle_only_excludes_waiting_and_never_overwrites(
    laikaroto: Callable[..., Any], sample_configs: Path, tmp_path: Path
) -> None:
    arguments = ("submit", "train", "hero", "--configs", sample_configs)
    done = laikaroto(*arguments, "--bundle-only", tmp_path / "out", "--wait")
    assert done.code == 2 and "exclude each other" in done.err
    done = laikaroto(*arguments, "--bundle-only", tmp_path / "out")
    assert done.code == 0 and done.out.startswith(str(tmp_path / "out" / "sample-hero-"))
    assert "_train-" in done.out
    with pytest.raises(UsageError, match="exists already"):
        write_bundle(read_bundle(Path(done.out.strip())), Path(done.out.strip()))
