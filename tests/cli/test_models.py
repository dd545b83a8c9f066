"""``laikaroto models``: list, show, promote, rollback; damaged packages are told, not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import template_from, write_template
from laikaroto.model.package import ModelInfo, promote
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto

TRUTH = bundled("sample") / "truth" / "hero" / "tr01.roto.json"


def make_package(models: Path, *, created: str) -> str:
    """A package with true metadata; its networks are only named, nothing here runs them."""
    info = ModelInfo(
        character="hero", created=created, laikaroto="0.1.0", seed=1, steps=100, seconds=1.0,
        crop_px=256, finder_size=(320, 192), error_scale=1.0, training_shots=("tr01", "tr02"),
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
