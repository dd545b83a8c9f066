"""``laikaroto models``: list, show, promote, rollback; damaged packages are told, not used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import template_from, write_template
from laikaroto.cli.truth import import_truth
from laikaroto.model.decisions import record_decision
from laikaroto.model.package import ModelInfo, promote
from laikaroto.show import Show
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto, write_roto

TRUTH = bundled("sample") / "truth" / "hero" / "tr01.roto.json"


def make_package(models: Path, *, created: str) -> str:
    """A package with true metadata; its networks are only named, nothing here runs them."""
    info = ModelInfo(
        character="hero", created=created, laikaroto="0.1.0", seed=1, steps=100, seconds=1.0,
        crop_px=256, finder_size=(320, 192), training_shots=("tr01", "tr02"),
        validation_shots=("tr03",),
    )  # fmt: skip
    with building(models) as folder:
        (folder / "model.json").write_text(info.model_dump_json())
        write_template(folder / "template.json", template_from(read_roto(TRUTH)))
        (folder / "metrics.json").write_text(
            '{"curves_mean_px": 0.754, "tracks_mean_px": 1.2, "shots": {"tr03": {"width": 640}}}'
        )
        (folder / "drawer.xml").write_text("<net/>")
        return publish(folder, models)


@pytest.fixture
def models(sample_configs: Path) -> Path:
    folder = sample_configs.parent / "sample" / "models" / "hero"
    for day in (1, 2, 3):
        version = make_package(folder, created=f"2026-01-0{day}T00:00:00+00:00")
        promote(folder, version)
    return folder


def current(laikaroto, configs: Path) -> str:
    ran = laikaroto("models", "list", "hero", "--configs", configs, "--json")
    assert ran.code == 0
    return json.loads(ran.out)["current"]


def test_list_before_the_first(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("models", "list", "hero", "--configs", sample_configs)
    assert ran.code == 0 and "no model yet" in ran.out and "laikaroto train hero" in ran.out


def test_list_marks_the_current_one(laikaroto, sample_configs: Path, models: Path) -> None:
    lines = laikaroto("models", "list", "hero", "--configs", sample_configs).out.splitlines()
    assert [line[:6] for line in lines] == ["  v001", "  v002", "* v003"]
    assert "2026-01-02" in lines[1] and "trained on tr01, tr02" in lines[1]
    assert "curves 0.75 px" in lines[1]


def test_list_tells_damaged_ones(laikaroto, sample_configs: Path, models: Path) -> None:
    (models / "v002" / "drawer.xml").write_text("<NET/>")
    ran = laikaroto("models", "list", "hero", "--configs", sample_configs)
    assert ran.code == 0
    line = next(line for line in ran.out.splitlines() if "v002" in line)
    assert "damaged" in line


def test_show(laikaroto, sample_configs: Path, models: Path) -> None:
    ran = laikaroto("models", "show", "hero", "--configs", sample_configs)
    assert "version: v003" in ran.out and "metrics.shots.tr03.width: 640" in ran.out
    ran = laikaroto("models", "show", "hero", "v001", "--configs", sample_configs, "--json")
    data = json.loads(ran.out)
    assert (data["version"], data["training_shots"]) == ("v001", ["tr01", "tr02"])
    assert len(data["digest"]) == 64


def test_promote_and_rollback(laikaroto, sample_configs: Path, models: Path) -> None:
    common = ("hero", "--configs", sample_configs)
    assert laikaroto("models", "promote", "hero", "v001", "--configs", sample_configs).code == 0
    assert current(laikaroto, sample_configs) == "v001"
    assert laikaroto("models", "rollback", *common).out == "hero: v003 is current\n"
    assert laikaroto("models", "rollback", *common).out == "hero: v002 is current\n"
    ran = laikaroto("models", "rollback", *common)
    assert ran.code == 1 and "no earlier current model" in ran.err
    assert current(laikaroto, sample_configs) == "v002"


def test_a_damaged_model_cannot_become_current(
    laikaroto, sample_configs: Path, models: Path
) -> None:
    (models / "v001" / "drawer.xml").write_text("<net>")
    ran = laikaroto("models", "promote", "hero", "v001", "--configs", sample_configs)
    assert ran.code == 1 and "drawer.xml" in ran.err and "damaged" in ran.err
    assert current(laikaroto, sample_configs) == "v003"


@pytest.mark.parametrize("version", ["v009", "../v001", "latest", "v1"])
def test_an_unknown_version(laikaroto, sample_configs: Path, models: Path, version: str) -> None:
    for command in ("show", "promote"):
        ran = laikaroto("models", command, "hero", version, "--configs", sample_configs)
        assert ran.code in (1, 2) and "there are: v001, v002, v003" in ran.err
    assert current(laikaroto, sample_configs) == "v003"


def test_an_unknown_character(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("models", "list", "villain", "--configs", sample_configs)
    assert ran.code == 2 and "unknown character" in ran.err


def test_why_a_model_is_not_current_is_shown(laikaroto, sample_configs: Path, models: Path) -> None:
    record_decision(models, "v002", current=False, reason="v002 is worse than v001 on tr03")
    ran = laikaroto("models", "list", "hero", "--configs", sample_configs)
    lines = ran.out.splitlines()
    assert lines[2].strip() == "not made current: v002 is worse than v001 on tr03"
    ran = laikaroto("models", "show", "hero", "v002", "--configs", sample_configs)
    assert "decision.reason: v002 is worse than v001 on tr03" in ran.out
    assert "decision.current: False" in ran.out
    # what a person decides is noted as well
    laikaroto("models", "promote", "hero", "v002", "--configs", sample_configs)
    laikaroto("models", "rollback", "hero", "--configs", sample_configs)
    ran = laikaroto("models", "list", "hero", "--configs", sample_configs, "--json")
    decisions = [row["decision"] for row in json.loads(ran.out)["models"]]
    assert decisions[0] is None
    assert decisions[1]["reason"] == "rolled back to v003 with 'models rollback'"
    assert decisions[1]["current"] is False


@pytest.fixture
def taught(sample_configs: Path) -> Show:
    """Two shots learned; a third one published as a model would, unsure of two frames."""
    show = Show.open(sample_configs)
    files = [TRUTH.with_name(f"{shot}.roto.json") for shot in ("tr01", "tr02")]
    import_truth(show, character="hero", files=files)
    roto = read_roto(TRUTH.with_name("tr03.roto.json"))
    unsure = sorted(roto.frames)[:2]
    shapes = {
        name: replace(shape, frames={
            frame: replace(at, expected_error_px=4.0 if frame in unsure else 0.2)
            for frame, at in shape.frames.items()
        })
        for name, shape in roto.shapes.items()
    }  # fmt: skip
    parent = show.sidecar_folder("tr03", "hero", "v001").parent
    with building(parent) as folder:
        write_roto(folder / "roto.json", replace(roto, shapes=shapes, version="v001"))
        publish(folder, parent)
    return show


def test_suggest_names_the_frames_that_would_teach_most(laikaroto, taught: Show) -> None:
    configs = taught.configs.folder
    ran = laikaroto("models", "suggest", "hero", "--count", "3", "--configs", configs, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    frames = sorted(read_roto(TRUTH.with_name("tr03.roto.json")).frames)
    assert found["frames"] == len(frames) and found["notes"] == []
    rows = found["suggestions"]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert rows[0]["shot"] == "tr03" and rows[0]["frame"] in frames[:2]
    assert rows[0]["expected_px"] == pytest.approx(4.0) and rows[0]["novelty"] > 0.001
    assert rows[0]["nearest"][0] in ("tr01", "tr02")
    assert 1 >= rows[0]["share"] > rows[1]["share"] > 0
    text = laikaroto("models", "suggest", "hero", "tr03", "--configs", configs).out
    assert f"looked at {len(frames)} frames of 1 shots" in text
    assert f"  1. tr03 frame {rows[0]['frame']} (v001)" in text
    assert "expected error 4.00 px, most on" in text


def test_suggest_leaves_out_what_is_learned_or_does_not_fit(laikaroto, taught: Show) -> None:
    configs = taught.configs.folder
    parent = taught.sidecar_folder("ta01", "hero", "v001").parent
    with building(parent) as folder:
        (folder / "roto.json").write_text('{"schema": "something else"}')
        publish(folder, parent)
    import_truth(taught, character="hero", files=[TRUTH.with_name("tr03.roto.json")])
    ran = laikaroto("models", "suggest", "hero", "--configs", configs)
    assert ran.code == 0 and "looked at 0 frames" in ran.out
    assert "nothing there is unlike what was learned" in ran.out
    assert "left out: " in ran.err and "ta01" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["hero", "tr09"], 2, "shot 'tr09', character 'hero': nothing is published"),
        (["villain"], 2, "unknown character"),
        (["hero", "../x"], 2, "not a usable name"),
    ],
)
def test_suggest_says_what_is_missing(
    laikaroto, taught: Show, arguments: list[str], code: int, text: str
) -> None:
    ran = laikaroto("models", "suggest", *arguments, "--configs", taught.configs.folder)
    assert ran.code == code and text in ran.err


def test_suggest_before_any_truth(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("models", "suggest", "hero", "--configs", sample_configs)
    assert ran.code == 1 and "truth import" in ran.err
