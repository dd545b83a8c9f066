"""``laikaroto evaluate`` and how a published version is found, on a small published show."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from laikaroto.cli.app import main
from laikaroto.shapes.records import FrameNote, PlateInfo, Roto, Shape, ShapeFrame, TrackFrame
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import write_roto

FRAMES = range(1001, 1005)
CIRCLE = np.array(
    [
        [40, 0, 0, -22, 0, 22],
        [0, 40, 22, 0, -22, 0],
        [-40, 0, 0, 22, 0, -22],
        [0, -40, -22, 0, 22, 0],
    ],
    dtype=float,
)


def make_roto(*, dx: float = 0.0, version: str = "v001") -> Roto:
    points = CIRCLE + [320 + dx, 180, 0, 0, 0, 0]
    frame = ShapeFrame(points=points, point_visible=np.ones(4, dtype=bool), confidence=0.9)
    return Roto(
        shot="ev01",
        character="hero",
        version=version,
        plate=PlateInfo(width=640, height=360, first=1001, last=1004),
        tracks={"tip": {f: TrackFrame(xy=(320 + dx, 180)) for f in FRAMES}},
        shapes={"eye": Shape(closed=True, frames={f: frame for f in FRAMES}, keys=tuple(FRAMES))},
        frames={f: FrameNote() for f in FRAMES},
    )


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A show with one character and two published versions: the first off by 3 px in x."""
    folder = tmp_path / "configs"
    (folder / "characters").mkdir(parents=True)
    (folder / "show.yaml").write_text(
        "name: small\nplates: {template: '{root}/plates/{shot}/{shot}.{frame:04d}.exr'}\n"
    )
    (folder / "characters" / "hero.yaml").write_text("name: hero\n")
    parent = tmp_path / "roto" / "ev01" / "hero"
    for dx in (3.0, 0.0):
        with building(parent) as build:
            write_roto(build / "roto.json", make_roto(dx=dx))
            publish(build, parent, stamp=stamp)
    write_roto(tmp_path / "truth.json", make_roto(version="truth"))
    return folder


def stamp(version: str, folder: Path) -> None:
    from laikaroto.sidecar.schema import read_roto

    roto = read_roto(folder / "roto.json")
    write_roto(folder / "roto.json", dataclasses.replace(roto, version=version))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_info:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(exit_info.value.code or 0), out, err


def test_measures_the_newest_version(configs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = configs.parent / "truth.json"
    code, out, _ = run(
        capsys, "evaluate", "ev01", "--truth", truth, "--configs", configs, "--json"
    )
    data = json.loads(out)
    assert code == 0
    assert data["version"] == "v002"
    assert data["clean_share"] == 1
    assert data["tracks_all"]["mean_px"] == 0


def test_table_of_a_named_version(
    configs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    truth = configs.parent / "truth.json"
    code, out, _ = run(
        capsys, "evaluate", "ev01", "--character", "hero", "--version", "v001",
        "--truth", truth, "--configs", configs,
    )  # fmt: skip
    assert code == 0
    row = next(line for line in out.splitlines() if "all shapes" in line)
    assert "3.00" in row  # control points are 3 px off
    assert "tracking points: mean 3.00, median 3.00, p95 3.00 px; chatter 0.00 px" in out
    assert "clean frames: 0%" in out and "at most 0.50" in out
    assert "not clean: 1001-1004" in out
    assert "flagged: 0% of the frames that are not clean, – of the clean ones" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ev01", "--version", "v009"], "version v009 is not published; there are v001, v002"),
        (["ev01", "--version", "newest"], "is not of the form v001"),
        (["ev99"], "nothing is published in .*run 'laikaroto infer ev99 --character hero' first"),
        (["../ev01"], "is not a usable name"),
        (["ev01", "--character", "villain"], "unknown character 'villain'; known: hero"),
        (["ev01", "--truth", "/nowhere.json"], "does not exist"),
    ],
)
def test_wrong_calls_are_refused(
    configs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    import re

    truth = [] if "--truth" in arguments else ["--truth", str(configs.parent / "truth.json")]
    code, out, err = run(capsys, "evaluate", *arguments, *truth, "--configs", configs)
    assert code == 2
    assert out == ""
    assert re.search(message, err)


def test_with_two_characters_one_must_be_named(
    configs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (configs / "characters" / "villain.yaml").write_text("name: villain\n")
    truth = configs.parent / "truth.json"
    code, _, err = run(capsys, "evaluate", "ev01", "--truth", truth, "--configs", configs)
    assert code == 2
    assert "2 characters (hero, villain): name one with --character" in err


def test_a_damaged_truth_names_its_faults(
    configs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = configs.parent / "truth.json"
    truth.write_text(truth.read_text().replace('"width":640', '"width":"wide"'))
    code, _, err = run(capsys, "evaluate", "ev01", "--truth", truth, "--configs", configs)
    assert code == 1
    assert "truth.json" in err and "width" in err
