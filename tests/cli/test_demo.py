"""``laikaroto demo``, short of running it: what it copies, what it refuses, how it fails.

The run itself is in tests/end_to_end.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laikaroto.bundled import bundled
from laikaroto.cli.demo import SHOT, copy_sample
from laikaroto.errors import UsageError
from laikaroto.show import Show


def test_the_sample_is_copied_whole_and_can_be_opened(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    copy_sample(out)
    show = Show.open(out / "configs")
    assert Path(show.plate_template(SHOT).format(frame=1016)).is_file()
    for name in ("plates", "green_card", "truth", "artist", "reference"):
        there = sorted(p.relative_to(out / "sample") for p in (out / "sample" / name).rglob("*"))
        source = bundled("sample")
        assert there == sorted(p.relative_to(source) for p in (source / name).rglob("*"))


def test_copying_again_keeps_what_is_there_and_mends_what_is_not(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    copy_sample(out)
    (out / "configs/show.yaml").write_text("# mine\n")
    (out / "sample/plates").rename(out / "sample/.plates.copy")  # as if killed while copying
    (out / "sample/.plates.copy/half").write_text("")
    copy_sample(out)
    assert (out / "configs/show.yaml").read_text() == "# mine\n"
    assert sorted(p.name for p in (out / "sample/plates").iterdir()) == [
        "ta01", "tr01", "tr02", "tr03"
    ]  # fmt: skip
    assert not (out / "sample/.plates.copy").exists()


def test_results_made_in_the_source_tree_are_not_copied(tmp_path: Path) -> None:
    copy_sample(tmp_path / "demo")
    assert sorted(p.name for p in (tmp_path / "demo/sample").iterdir()) == [
        "artist", "green_card", "plates", "reference", "truth"
    ]  # fmt: skip


def test_a_folder_with_other_things_is_left_alone(laikaroto, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="--out"):
        copy_sample(tmp_path)
    ran = laikaroto("demo", "--out", tmp_path)
    assert ran.code == 2 and "holds no earlier demo" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_a_bad_budget_is_refused_first(laikaroto, tmp_path: Path) -> None:
    ran = laikaroto("demo", "--out", tmp_path / "demo", "--budget", "soon")
    assert ran.code == 2 and "duration 'soon'" in ran.err
    assert not (tmp_path / "demo").exists()


def test_a_failing_job_is_shown_with_its_log_and_the_farm_is_stopped(
    laikaroto, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    copy_sample(out)
    # The plates of the target are looked at when its job is submitted, these by the first task.
    cut = out / "sample/plates/tr02/tr02.1004.exr"
    cut.write_bytes(cut.read_bytes()[:4000])
    ran = laikaroto("demo", "--out", out, "--budget", "20s")
    assert ran.code == 1
    assert "_train-" in ran.err and "prepare/0" in ran.err
    assert "1004" in ran.err and "cut off" in ran.err
    status = laikaroto("farm", "status", "--configs", out / "configs", "--json")
    assert json.loads(status.out)["supervisor"] is None


def test_a_demo_that_is_ended_stops_its_farm_and_goes_on_later(laikaroto, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    child = subprocess.Popen(
        [sys.executable, "-m", "laikaroto", "demo", "--out", str(out), "--budget", "10m"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    try:
        assert any("running" in line for line in child.stderr)
        child.terminate()
        child.communicate(timeout=180)
    finally:
        child.kill()
    assert child.returncode == 128 + signal.SIGTERM
    status = laikaroto("farm", "status", "--configs", out / "configs", "--json")
    assert json.loads(status.out)["supervisor"] is None
    jobs = json.loads(laikaroto("jobs", "list", "--configs", out / "configs", "--json").out)
    assert sorted(job["kind"] for job in jobs) == ["shot", "train"]
    assert all(job["state"] in ("ready", "running", "waiting") for job in jobs)
