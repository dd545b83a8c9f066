from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.errors import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TRY_AGAIN,
    EXIT_USAGE,
)
from laikaroto.show import Show
from laikaroto.sidecar.publish import verify_manifest, versions


def published(configs: Path, shot: str) -> Path:
    return Show.open(configs).sidecar_folder(shot, "hero", "v001").parent


def work(configs: Path) -> list[Path]:
    folder = Show.open(configs).work_folder("infer")
    return [path for path in folder.rglob("*") if path.is_file()]


def test_infer_publishes_and_says_where(laikaroto: Callable[..., Any], tiny_configs: Path) -> None:
    ran = laikaroto("infer", "ta01", "--frames", "1001-1002", "--configs", tiny_configs)
    assert ran.code == EXIT_OK
    folder = published(tiny_configs, "ta01") / "v001"
    verify_manifest(folder)
    assert f"ta01 v001: {folder}" in ran.out
    assert "2 frames, 2 to look at" in ran.out
    assert "    1001: " in ran.out
    page = ran.out.strip().splitlines()[-1].split("review: ")[1]
    assert Path(page).is_file()
    assert work(tiny_configs) == []
    assert "100%" in ran.err  # progress, in plain lines where there is no terminal


def test_several_shots_as_json(laikaroto: Callable[..., Any], tiny_configs: Path) -> None:
    arguments = ("--character", "hero", "--model", "v001", "--frames", "1003", "--json")
    ran = laikaroto("infer", "tr01", "ta01", *arguments, "--configs", tiny_configs)
    assert ran.code == EXIT_OK, ran.err
    assert ran.err == ""
    found = json.loads(ran.out)
    assert [(r["shot"], r["version"], r["model"], r["frames"]) for r in found] == [
        ("tr01", "v001", "v001", 1),
        ("ta01", "v001", "v001", 1),
    ]
    assert all(Path(r["folder"]).is_dir() and Path(r["review"]).is_file() for r in found)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ta01", "nope"), EXIT_USAGE, "unknown shot 'nope'"),
        (("ta01", "../ta01"), EXIT_USAGE, "shot '../ta01' is not a usable name"),
        (("ta01", "$(id)"), EXIT_USAGE, "shot '$(id)' is not a usable name"),
        (("ta01", "--character", "nobody"), EXIT_USAGE, "unknown character 'nobody'"),
        (("ta01", "--model", "v007"), EXIT_FAILED, "no model 'v007'; there are: v001"),
        (("ta01", "--frames", "1001:2"), EXIT_USAGE, "write a step as 'x'"),
        (("ta01", "--frames", "1001-1099"), EXIT_FAILED, "frames 1017-1099: missing"),
        ((), EXIT_USAGE, "SHOT"),
    ],
)
def test_everything_is_checked_before_any_work(
    laikaroto: Callable[..., Any],
    tiny_configs: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    ran = laikaroto("infer", *arguments, "--configs", tiny_configs)
    assert ran.code == code
    assert words in ran.err
    assert versions(published(tiny_configs, "ta01")) == []
    assert work(tiny_configs) == []


def test_no_model_yet(laikaroto: Callable[..., Any], sample_configs: Path) -> None:
    ran = laikaroto("infer", "ta01", "--configs", sample_configs)
    assert ran.code == EXIT_FAILED
    assert "laikaroto train" in ran.err


def test_wrong_configuration(laikaroto: Callable[..., Any], tiny_configs: Path) -> None:
    with (tiny_configs / "characters" / "hero.yaml").open("a") as file:
        file.write("\nno_such_setting: 1\n")
    ran = laikaroto("infer", "ta01", "--configs", tiny_configs)
    assert ran.code == EXIT_CONFIG
    assert "no_such_setting: unknown setting" in ran.err


def test_a_mattes_setting_that_does_not_fit_is_told_first(
    laikaroto: Callable[..., Any], tiny_configs: Path
) -> None:
    path = tiny_configs / "characters" / "hero.yaml"
    path.write_text(path.read_text().replace("mouth: [mouth]", "mouth: [seam_L]"))
    ran = laikaroto("infer", "ta01", "--configs", tiny_configs)
    assert ran.code == EXIT_CONFIG
    assert "mattes.layers.mouth: 'seam_L' is no closed shape" in ran.err


def test_a_read_only_sidecar_folder(
    laikaroto: Callable[..., Any], tiny_configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = published(tiny_configs, "ta01")
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be: not even root can write here")
    ran = laikaroto("infer", "ta01", "--frames", "1001", "--configs", tiny_configs)
    assert ran.code == EXIT_TRY_AGAIN
    assert f"cannot write {folder}" in ran.err
    assert work(tiny_configs) == []


def test_one_at_a_time(laikaroto: Callable[..., Any], tiny_configs: Path) -> None:
    folder = Show.open(tiny_configs).work_folder("infer", "hero", "ta01")
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        ran = laikaroto("infer", "ta01", "--configs", tiny_configs)
    finally:
        os.close(descriptor)
    assert ran.code == EXIT_TRY_AGAIN
    assert "another 'laikaroto infer' is at work" in ran.err


def test_what_a_killed_run_left_is_removed(
    laikaroto: Callable[..., Any], tiny_configs: Path
) -> None:
    folder = Show.open(tiny_configs).work_folder("infer", "hero", "ta01")
    (folder / "predict").mkdir(parents=True)
    (folder / "predict" / "1001-1016.npz").write_bytes(b"stale")
    (folder / "shot.json").write_text("{")
    ran = laikaroto("infer", "ta01", "--frames", "1001", "--configs", tiny_configs)
    assert ran.code == EXIT_OK, ran.err
    assert work(tiny_configs) == []
    shutil.rmtree(published(tiny_configs, "ta01"))
