"""The command as a user runs it: on the sample, with methods that need no learning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from benchmarks.accuracy.__main__ import run
from laikaroto.bundled import bundled
from tests.conftest import Ran

SHOTS = ("--training", "tr01,tr02", "--evaluation", "ta01", "--threads", "1")


@pytest.fixture
def accuracy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["accuracy", *map(str, arguments)])
        code = 0
        try:
            run()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


def test_a_table_is_written_kept_and_made_again(
    accuracy: Callable[..., Ran], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    data = ("--data", bundled("sample"), *SHOTS, "--out", out)
    first = accuracy(*data, "--methods", "keys-8,keys-4,sleap")
    assert first.code == 0, first.err
    text = (out / "table.md").read_text()
    assert text.strip() == first.out.strip()
    (row,) = (line for line in text.splitlines() if line.startswith("| keys-4 | 31 |"))
    document = json.loads((out / "table.json").read_bytes())
    results = {r["method"]: r for r in document["results"]}
    curves = results["keys-4"]["shots"]["ta01"]["evaluation"]["curves_all"]
    assert f"| {curves['mean_px']:.2f} | {curves['p95_px']:.2f} |" in row
    assert results["keys-4"]["shots"]["ta01"]["keyed"] == [1001, 1005, 1009, 1013, 1016]
    assert "--sleap-python" in results["sleap"]["failure"] and results["sleap"]["shots"] == {}
    assert any(line.startswith("| sleap | not installed") for line in text.splitlines())
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert [name.split(".")[1] for name in pictures] == ["median", "worst"]
    picture = cv2.imread(str(out / "pictures" / pictures[0]))
    assert picture.shape == (420, 4 * 420, 3)
    assert abs(picture[22:, :420].astype(int) - picture[22:, 420:840]).max() > 60, "shapes drawn"

    kept = (out / "runs" / "keys-4" / "ta01.roto.json").stat().st_mtime_ns
    second = accuracy(*data, "--methods", "keys-4,keys-4-flow")
    assert second.code == 0 and "keys-4: draws" not in second.err
    assert "keys-4-flow: draws ta01" in second.err
    assert (out / "runs" / "keys-4" / "ta01.roto.json").stat().st_mtime_ns == kept

    again = accuracy(*data, "--methods", "keys-4,keys-16", "--table-only")
    assert again.code == 0
    assert "| keys-16 | no result is kept" in again.out and row in again.out


def test_a_folder_of_another_request_is_not_mixed_with_it(
    accuracy: Callable[..., Ran], tmp_path: Path
) -> None:
    data = ("--data", bundled("sample"), *SHOTS, "--methods", "keys-16", "--out", tmp_path / "out")
    assert accuracy(*data, "--budget", "10m").code == 0
    other = accuracy(*data, "--budget", "30m")
    assert other.code == 2
    assert "budget_s: 600.0 there, 1800.0 asked" in other.err and "--out" in other.err


def test_a_method_that_fails_is_told_and_does_not_stop_the_others(
    accuracy: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.accuracy.methods.keys import Keys
    from laikaroto.errors import LaikarotoError

    def broken(self: Keys) -> dict[str, object]:
        if self.every == 4:
            raise LaikarotoError("the pencil broke|twice")
        return {}

    monkeypatch.setattr(Keys, "fit", broken)
    data = ("--data", bundled("sample"), *SHOTS, "--out", tmp_path / "out")
    ran = accuracy(*data, "--methods", "keys-4,keys-8")
    assert ran.code == 1 and "error: keys-4: failed" in ran.err
    assert "| keys-4 | failed: the pencil broke/twice |" in ran.out
    assert "| keys-8 | 19 |" in ran.out
    monkeypatch.undo()
    mended = accuracy(*data, "--methods", "keys-4,keys-8")
    assert mended.code == 0 and "| keys-4 | 31 |" in mended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--methods", "oracle"), "unknown method oracle; known: laikaroto, paper, dlib"),
        (("--methods", ","), "name a method"),
        (("--few-shots", "1,9"), "--few-shots 9: there are 2 training shots"),
        (("--few-shots", "some"), "wanted numbers"),
        (("--budget", "soon"), "duration 'soon'"),
        (("--configs", bundled("configs")), "one of the two"),
    ],
)
def test_a_wrong_call_is_refused(
    arguments: tuple[str, ...], says: str, accuracy: Callable[..., Ran], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = accuracy("--data", bundled("sample"), *SHOTS, "--out", out, *arguments)
    assert ran.code == 2 and says in ran.err
    assert not out.exists()


def test_few_shots_and_oracles_are_rows_and_a_curve(
    accuracy: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmarks.accuracy.methods.dlib_trees as trees

    monkeypatch.setattr(trees, "_PLANS", ((0, 1, 2),))
    monkeypatch.setattr(trees, "_TRIAL", (0, 1))
    out = tmp_path / "out"
    ran = accuracy(
        "--data", bundled("sample"), *SHOTS, "--out", out, "--methods", "dlib,keys-8",
        "--oracle", "crop", "--few-shots", "1,2",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    rows = [line for line in ran.out.splitlines() if line.startswith("| dlib, true crop | 0 |")]
    assert len(rows) == 1 and "| keys-8, true" not in ran.out
    curve = (out / "few_shots.md").read_text()
    assert curve.splitlines()[0] == "| curves mean, all shots | 1 shots | 2 shots |"
    assert curve.splitlines()[2].startswith("| dlib | ") and "keys" not in curve
    svg = (out / "few_shots.svg").read_text()
    assert svg.startswith("<svg") and svg.count("<path") == 1 and ">2</text>" in svg
    learned = json.loads((out / "few_shots" / "1" / "dlib" / "fit.json").read_bytes())
    assert learned["pictures"] == 8, "one shot of eight frames"
