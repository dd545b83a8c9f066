"""``laikaroto evaluate`` and how a published version is found, on the sample show."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.shapes.records import Roto
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto, write_roto


def moved(roto: Roto, dx: float) -> Roto:
    """The same roto, everything to the right by ``dx`` px."""
    return dataclasses.replace(
        roto,
        tracks={
            name: {
                f: dataclasses.replace(at, xy=(at.xy[0] + dx, at.xy[1])) for f, at in track.items()
            }
            for name, track in roto.tracks.items()
        },
        shapes={
            name: dataclasses.replace(
                shape,
                frames={
                    f: dataclasses.replace(at, points=at.points + [dx, 0, 0, 0, 0, 0])
                    for f, at in shape.frames.items()
                },
            )
            for name, shape in roto.shapes.items()
        },
    )


@pytest.fixture
def published(sample_configs: Path) -> Path:
    """The sample show with two versions of ta01: the first 3 px off in x, the second exact."""
    root = sample_configs.parent / "sample"
    truth = read_roto(root / "truth" / "hero" / "ta01.roto.json")
    parent = root / "roto" / "ta01" / "hero"
    for dx in (3.0, 0.0):
        with building(parent) as build:

            def stamp(version: str, folder: Path, dx: float = dx) -> None:
                made = dataclasses.replace(moved(truth, dx), version=version)
                write_roto(folder / "roto.json", made)

            publish(build, parent, stamp=stamp)
    return sample_configs


@pytest.fixture
def evaluate(published: Path, laikaroto: Callable[..., Any]) -> Callable[..., Any]:
    truth = published.parent / "sample" / "truth" / "hero" / "ta01.roto.json"

    def run(*arguments: object) -> Any:
        known = () if "--truth" in arguments else ("--truth", truth)
        return laikaroto("evaluate", *arguments, *known, "--configs", published)

    return run


def test_measures_the_newest_version(evaluate: Callable[..., Any]) -> None:
    ran = evaluate("ta01", "--json")
    data = json.loads(ran.out)
    assert ran.code == 0
    assert data["version"] == "v002"
    assert data["clean_share"] == 1
    assert data["tracks_all"]["mean_px"] == 0
    assert len(data["frames"]) == 16


def test_table_of_a_named_version(
    evaluate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    ran = evaluate("ta01", "--character", "hero", "--version", "v001")
    assert ran.code == 0
    row = next(line for line in ran.out.splitlines() if "all shapes" in line)
    assert "3.00" in row  # control points are 3 px off
    assert "tracking points: mean 3.00, median 3.00, p95 3.00 px; chatter 0.00 px" in ran.out
    assert "clean frames: 0%" in ran.out and "at most 0.50" in ran.out
    assert "not clean: 1001-1016" in ran.out
    assert "flagged: 0% of the frames that are not clean, – of the clean ones" in ran.out


def test_what_is_missing_is_listed(evaluate: Callable[..., Any], published: Path) -> None:
    folder = published.parent / "sample" / "roto" / "ta01" / "hero" / "v002"
    roto = read_roto(folder / "roto.json")
    shapes = dict(roto.shapes)
    shapes["moustache"] = shapes.pop("mouth")
    tracks = {name: track for name, track in roto.tracks.items() if name != "chin"}
    write_roto(folder / "roto.json", dataclasses.replace(roto, shapes=shapes, tracks=tracks))
    ran = evaluate("ta01")
    assert "missing shape mouth: 1001-1016" in ran.out
    assert "missing point chin: 1001-1016" in ran.out
    assert "not in the truth, not measured: moustache" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ta01", "--version", "v009"], "version v009 is not published; there are v001, v002"),
        (["ta01", "--version", "newest"], "is not of the form v001"),
        (["ta99"], "nothing is published in .*run 'laikaroto infer ta99 --character hero' first"),
        (["../ta01"], "is not a usable name"),
        (["ta01", "--character", "villain"], "unknown character 'villain'; known: hero"),
        (["ta01", "--truth", "/nowhere.json"], "does not exist"),
    ],
)
def test_wrong_calls_are_refused(
    evaluate: Callable[..., Any], arguments: list[str], message: str
) -> None:
    ran = evaluate(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert re.search(message, ran.err)


def test_with_two_characters_one_must_be_named(
    evaluate: Callable[..., Any], published: Path
) -> None:
    (published / "characters" / "villain.yaml").write_text("name: villain\n")
    ran = evaluate("ta01")
    assert ran.code == 2
    assert "2 characters (hero, villain): name one with --character" in ran.err


def test_a_damaged_truth_names_its_faults(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    truth = tmp_path / "mine.json"
    good = (tmp_path / "sample" / "truth" / "hero" / "ta01.roto.json").read_text()
    truth.write_text(good.replace('"width":640', '"width":"wide"'))
    ran = evaluate("ta01", "--truth", truth)
    assert ran.code == 1
    assert "mine.json" in ran.err and "width" in ran.err
