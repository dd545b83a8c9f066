"""``laikaroto export`` on the sample show: files, what is said, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.shapes.keys import filled_in, largest_deviation_px
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats.registry import FORMATS
from laikaroto.sidecar.publish import building, publish, verify_manifest
from laikaroto.sidecar.schema import read_roto, write_roto

WRITTEN = [name for name, entry in FORMATS.items() if entry.writes]


@pytest.fixture
def published(sample_configs: Path) -> Path:
    """The sample show; the truth of ta01 is published as v001 and, without its points, v002."""
    root = sample_configs.parent / "sample"
    truth = read_roto(root / "truth" / "hero" / "ta01.roto.json")
    parent = root / "roto" / "ta01" / "hero"
    for made in (truth, dataclasses.replace(truth, tracks={})):
        with building(parent) as build:

            def stamp(version: str, folder: Path, made: Roto = made) -> None:
                write_roto(folder / "roto.json", dataclasses.replace(made, version=version))

            publish(build, parent, stamp=stamp)
    return sample_configs


@pytest.fixture
def export(
    published: Path,
    laikaroto: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """Run ``laikaroto export ta01`` in an empty folder ``out``."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return lambda *arguments: laikaroto("export", "ta01", "--configs", published, *arguments)


def here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_is_written_under_a_name_that_says_what_it_is(export: Any, name: str) -> None:
    ran = export("--to", name, "--character", "hero", "--version", "v001")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("wrote ta01.hero.v001")
    (made,) = here()
    assert made.startswith("ta01.hero.v001")
    assert ("unverified" in ran.out) == (FORMATS[name].confirmed_by is None)


def test_the_newest_version_is_taken_unless_one_is_named(export: Any) -> None:
    ran = export("--to", "json", "--json")
    said = json.loads(ran.out)
    assert (said["version"], said["file"]) == ("v002", "ta01.hero.v002.json")
    assert read_roto(Path(said["file"])).tracks == {}


def test_json_tells_a_script_everything(export: Any) -> None:
    said = json.loads(export("--to", "mlt", "--version", "v001", "--json", "-o", "a.mlt").out)
    assert said["file"] == "a.mlt" and said["bytes"] == Path("a.mlt").stat().st_size
    assert said["frames"] == [1001, 1016]
    assert said["confirmed_by"] == "melt 7"
    assert set(said["keys"]) == {"eye_L", "eye_R", "upper_face", "lower_face", "mouth", "brow_L",
                                 "brow_R"}  # fmt: skip
    for name, keys in said["keys"].items():
        assert keys[0] == 1001 and keys[-1] == 1016
        assert said["keys_per_100_frames"][name] == round(100 * len(keys) / 16, 1)
    gone = [entry for entry in said["left_out"] if entry["kind"] == "open"]
    assert [entry["name"] for entry in gone] == ["seam_L", "seam_R", "seam_bridge"]
    assert sum(entry["kind"] == "tracks" for entry in said["left_out"]) == 20


def test_people_are_told_what_is_left_out(export: Any) -> None:
    ran = export("--to", "mlt", "--version", "v001")
    assert "no open shapes): seam_L, seam_R, seam_bridge" in ran.out
    assert "no tracking points): " in ran.out
    assert "keys per 100 frames on average" in ran.out
    ran = export("--to", "3de", "--version", "v001")
    assert "no closed shapes): eye_L" in ran.out
    assert "keys per 100" not in ran.out


@pytest.mark.parametrize("tolerance", ["0.25", "3"])
def test_reduced_keys_hold_the_shapes(export: Any, published: Path, tolerance: str) -> None:
    said = json.loads(
        export("--to", "blender", "--tolerance", tolerance, "--dry-run", "--json").out
    )
    root = published.parent / "sample" / "roto" / "ta01" / "hero" / "v002"
    roto = read_roto(root / "roto.json")
    for name, keys in said["keys"].items():
        assert largest_deviation_px(roto.shapes[name], keys) <= float(tolerance) + 1e-6
        assert set(filled_in(roto.shapes[name], keys)) == set(range(1001, 1017))
    if tolerance == "3":
        assert any(len(keys) < 16 for keys in said["keys"].values())


def test_every_key_is_every_frame(export: Any) -> None:
    said = json.loads(export("--to", "usd", "--keys", "every", "--dry-run", "--json").out)
    assert all(keys == list(range(1001, 1017)) for keys in said["keys"].values())


def test_formats_without_time_get_every_frame(export: Any) -> None:
    ran = export("--to", "svg", "--tolerance", "9", "--version", "v001")
    assert "10 shapes, every frame written" in ran.out
    assert len(list(Path("ta01.hero.v001").glob("ta01.hero.v001.*.svg"))) == 16


def test_frames_cut_a_range_out(export: Any) -> None:
    said = json.loads(export("--to", "json", "--frames", "1003-1006", "--json").out)
    assert said["frames"] == [1003, 1006]
    roto = read_roto(Path(said["file"]))
    assert (roto.plate.first, roto.plate.last) == (1003, 1006)
    assert all(list(shape.frames) == [1003, 1004, 1005, 1006] for shape in roto.shapes.values())
    assert all(list(shape.keys) == [1003, 1004, 1005, 1006] for shape in roto.shapes.values())
    assert list(roto.frames) in ([], [1003, 1004, 1005, 1006])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frames", "1001-1009x2"], "wanted one unbroken range"),
        (["--frames", "1001-1900"], "has frames 1001-1016"),
        (["--frames", "1001:1009"], "frame range"),
        (["--tolerance", "-1"], "wanted 0 px or more"),
        (["--tolerance", "nan"], "wanted 0 px or more"),
        (["--version", "v009"], "version v009 is not published"),
        (["--character", "nobody"], "nobody"),
    ],
)
def test_wrong_calls_write_nothing(export: Any, arguments: list[str], said: str) -> None:
    ran = export("--to", "json", *arguments)
    assert ran.code == 2 and said in ran.err
    assert here() == []


def test_an_unknown_format_lists_those_there_are(export: Any) -> None:
    ran = export("--to", "mocha")
    assert ran.code == 2
    assert all(name in ran.err for name in WRITTEN)


def test_dry_run_writes_nothing(export: Any) -> None:
    ran = export("--to", "usd", "--dry-run")
    assert ran.code == 0 and "would write ta01.hero.v002.usda" in ran.out
    assert here() == []


def test_what_is_there_is_replaced_only_when_asked(export: Any) -> None:
    Path("a.usda").write_text("mine")
    ran = export("--to", "usd", "-o", "a.usda")
    assert ran.code == 2 and "a.usda is there already; add --replace" in ran.err
    assert Path("a.usda").read_text() == "mine"
    assert export("--to", "usd", "-o", "a.usda", "--dry-run").code == 2
    assert export("--to", "usd", "-o", "a.usda", "--replace").code == 0
    assert Path("a.usda").read_text().startswith("#usda")
    assert here() == ["a.usda"]


def test_files_of_another_kind_are_never_replaced(export: Any) -> None:
    Path("plate.1001.exr").write_bytes(b"pixels")
    ran = export("--to", "usd", "-o", "plate.1001.exr", "--replace")
    assert ran.code == 2 and "wanted to replace a .usda file" in ran.err
    assert Path("plate.1001.exr").read_bytes() == b"pixels"


def test_a_folder_of_files_is_replaced_whole_and_only_if_it_is_an_export(export: Any) -> None:
    assert export("--to", "svg", "-o", "frames").code == 0
    assert export("--to", "svg", "-o", "frames", "--frames", "1003-1004", "--replace").code == 0
    assert len(list(Path("frames").iterdir())) == 2
    Path("frames/notes.txt").write_text("mine")
    ran = export("--to", "svg", "-o", "frames", "--replace")
    assert ran.code == 2 and "holds 'notes.txt'" in ran.err
    assert Path("frames/notes.txt").read_text() == "mine"
    assert here() == ["frames"]


def test_a_folder_to_write_into_can_be_named(export: Any) -> None:
    Path("hand_over").mkdir()
    assert export("--to", "usd", "-o", "hand_over").code == 0
    assert here() == ["hand_over"]
    assert [path.name for path in Path("hand_over").iterdir()] == ["ta01.hero.v002.usda"]


def test_nothing_is_written_into_a_published_version(export: Any, published: Path) -> None:
    version = published.parent / "sample" / "roto" / "ta01" / "hero" / "v001"
    ran = export("--to", "usd", "-o", version / "x.usda")
    assert ran.code == 2 and "lies in the published version" in ran.err
    verify_manifest(version)


def test_a_folder_that_cannot_be_written_is_told(export: Any) -> None:
    Path("file").write_text("")
    ran = export("--to", "usd", "-o", "file/x.usda")
    assert ran.code == 75 and "cannot write file/x.usda" in ran.err
    ran = export("--to", "svg", "-o", "file/x")
    assert ran.code == 75
    assert here() == ["file"]


def test_an_unpublished_shot_is_told(laikaroto: Any, sample_configs: Path) -> None:
    ran = laikaroto("export", "ta01", "--configs", sample_configs, "--to", "json")
    assert ran.code == 2 and "laikaroto infer ta01" in ran.err
