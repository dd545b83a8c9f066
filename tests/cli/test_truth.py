"""``laikaroto truth``: all files or none, the template, every fault with a way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import read_template

TRUTH = bundled("sample") / "truth" / "hero"
FILES = [TRUTH / f"tr0{i}.roto.json" for i in (1, 2, 3)]


def imported(configs: Path) -> list[str]:
    folder = configs.parent / "sample" / "training_set" / "hero"
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def template(configs: Path) -> Path:
    return configs.parent / "sample" / "models" / "hero" / "template.json"


def changed(tmp_path: Path, edit: Callable[[dict[str, Any]], None], name: str = "tr02") -> Path:
    data = json.loads((TRUTH / f"{name}.roto.json").read_text())
    edit(data)
    path = tmp_path / "changed.roto.json"
    path.write_text(json.dumps(data))
    return path


def test_the_first_import_writes_the_template(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("truth", "import", "hero", *FILES, "--configs", sample_configs)
    assert (ran.code, ran.err) == (0, "")
    assert imported(sample_configs) == [f"tr0{i}.roto.json" for i in (1, 2, 3)]
    made = read_template(template(sample_configs))
    assert len(made.tracks) == 20
    assert {s.name: s.count for s in made.shapes}["upper_face"] == 18
    assert {s.name for s in made.shapes if not s.closed} == {"seam_L", "seam_R", "seam_bridge"}


def test_frames_are_those_that_are_drawn(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    def forget(data: dict[str, Any]) -> None:
        data["frames"] = {"1002": {"hold_of": 1001}, "2000": {}}

    file = changed(tmp_path, forget)
    assert laikaroto("truth", "import", "hero", file, "--configs", sample_configs).code == 0
    (path,) = (sample_configs.parent / "sample/training_set/hero").iterdir()
    frames = json.loads(path.read_text())["frames"]
    assert list(frames) == [str(frame) for frame in range(1001, 1009)]
    assert frames["1002"]["hold_of"] == 1001


def test_importing_the_same_again_changes_nothing(laikaroto, sample_configs: Path) -> None:
    for _ in range(2):
        ran = laikaroto("truth", "import", "hero", *FILES, "--configs", sample_configs, "--json")
        assert ran.code == 0
    assert sorted(json.loads(ran.out)["imported"]) == ["tr01", "tr02", "tr03"]


def test_other_truth_for_a_shot_needs_replace(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    def move(data: dict[str, Any]) -> None:
        data["tracks"]["chin"]["1001"]["xy"][0] += 1

    common = ("truth", "import", "hero", "--configs", sample_configs)
    assert laikaroto(*common, *FILES).code == 0
    before = (sample_configs.parent / "sample/training_set/hero/tr02.roto.json").read_bytes()
    ran = laikaroto(*common, changed(tmp_path, move))
    assert ran.code == 2
    assert "other truth for this shot already" in ran.err and "--replace" in ran.err
    target = sample_configs.parent / "sample/training_set/hero/tr02.roto.json"
    assert target.read_bytes() == before
    assert laikaroto(*common, changed(tmp_path, move), "--replace").code == 0
    assert target.read_bytes() != before


def test_one_bad_file_and_nothing_is_imported(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    def break_it(data: dict[str, Any]) -> None:
        data["tracks"]["chin"]["1001"]["xy"][0] = float("nan")
        data["surprise"] = 1

    bad = changed(tmp_path, break_it)
    missing = tmp_path / "missing.json"
    ran = laikaroto("truth", "import", "hero", FILES[0], bad, missing, "--configs", sample_configs)
    assert ran.code == 1
    assert "tracks.chin.1001.xy.0: Input should be a finite number" in ran.err
    assert "surprise: unknown setting" in ran.err
    assert "missing.json: cannot be read" in ran.err
    assert "nothing was imported" in ran.err
    assert imported(sample_configs) == []
    assert not template(sample_configs).exists()


def test_truth_unlike_the_template_is_refused_with_every_difference(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    def differ(data: dict[str, Any]) -> None:
        data["shapes"]["tail"] = data["shapes"].pop("mouth")
        data["shapes"]["eye_L"]["closed"] = False
        data["shapes"]["eye_R"]["corners"] = []
        for entry in data["shapes"]["seam_L"]["frames"].values():
            entry["points"].pop()
            entry["point_visible"].pop()

    bad = changed(tmp_path, differ)
    ran = laikaroto("truth", "import", "hero", FILES[0], bad, "--configs", sample_configs)
    assert ran.code == 1
    for text in (
        "'mouth': shape is missing",
        "'tail': shape is not in the template",
        "'eye_L': wanted it closed, got it open",
        "'eye_R': wanted corners [0, 4], got []",
        "'seam_L': wanted 5 points, got 4",
        "redraw it like the template",
    ):
        assert text in ran.err
    assert imported(sample_configs) == []


def test_the_shot_can_be_named(laikaroto, sample_configs: Path) -> None:
    common = ("truth", "import", "hero", "--configs", sample_configs, "--shot", "ta01")
    ran = laikaroto(*common, FILES[0], FILES[1])
    assert ran.code == 2 and "one file" in ran.err
    assert laikaroto(*common, FILES[0]).code == 0
    (path,) = (sample_configs.parent / "sample/training_set/hero").iterdir()
    assert path.name == "ta01.roto.json"
    assert json.loads(path.read_text())["shot"] == "ta01"


@pytest.mark.parametrize("shot", ["../x", "a b", "it's", '"', "$(touch x)", "a/b", ".."])
def test_a_shot_name_cannot_leave_its_folder(laikaroto, sample_configs: Path, shot: str) -> None:
    ran = laikaroto(
        "truth", "import", "hero", "--configs", sample_configs, f"--shot={shot}", FILES[0]
    )
    assert ran.code == 2 and "not a usable name" in ran.err
    assert imported(sample_configs) == []


def test_wrong_character(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("truth", "import", "nobody", FILES[0], "--configs", sample_configs)
    assert ran.code == 2 and "unknown character 'nobody'; known: hero" in ran.err
    text = (sample_configs / "characters/hero.yaml").read_text().replace("hero", "imp")
    (sample_configs / "characters/imp.yaml").write_text(text)
    ran = laikaroto("truth", "import", "imp", FILES[0], "--configs", sample_configs)
    assert ran.code == 1 and "character: wanted 'imp', got 'hero'" in ran.err


def test_one_shot_twice(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    again = shutil.copy(FILES[0], tmp_path / "again.json")
    ran = laikaroto("truth", "import", "hero", FILES[0], again, "--configs", sample_configs)
    assert ran.code == 1 and "is of shot 'tr01', and so is" in ran.err


_FULL = """
import resource, signal, sys
from laikaroto.cli.app import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (51_700, 51_700))  # room for tr01 and tr02, not tr03
main(sys.argv[1:])
"""


def test_a_full_disk_leaves_the_training_set_as_it_was(sample_configs: Path) -> None:
    arguments = ["truth", "import", "hero", *map(str, FILES), "--configs", str(sample_configs)]
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, *arguments], capture_output=True, text=True, timeout=180,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert ran.returncode == 75, ran.stderr
    assert "cannot write" in ran.stderr and "tr03" in ran.stderr
    assert imported(sample_configs) == []
    assert not template(sample_configs).exists()


def test_check_finds_nothing_in_the_sample(laikaroto, sample_configs: Path) -> None:
    laikaroto("truth", "import", "hero", *FILES, "--configs", sample_configs)
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert (ran.code, ran.out) == (0, "hero: 3 shots, 0 errors, 0 warnings\n")


def test_check_before_any_import(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert ran.code == 1 and "laikaroto truth import hero FILE" in ran.err


def test_check_finds_faults_of_truth_and_plates(laikaroto, sample_configs: Path) -> None:
    laikaroto("truth", "import", "hero", *FILES, "--configs", sample_configs)
    root = sample_configs.parent / "sample"
    (root / "plates").unlink()
    shutil.copytree(bundled("sample") / "plates", root / "plates")
    (root / "plates/tr01/tr01.1003.exr").unlink()
    cut = root / "plates/tr02/tr02.1004.exr"
    cut.write_bytes(cut.read_bytes()[:2000])
    path = root / "training_set/hero/tr03.roto.json"
    data = json.loads(path.read_text())
    left, right = data["shapes"]["eye_L"]["frames"], data["shapes"]["eye_R"]["frames"]
    left["1002"], right["1002"] = right["1002"], left["1002"]
    data["shapes"]["mouth"]["frames"]["1005"]["points"][0][:2] = [-5, 20]
    path.write_text(json.dumps(data))
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs, "--json")
    assert ran.code == 1
    found = json.loads(ran.out)
    lines = {(f["severity"], f["shot"], f["what"], tuple(f["frames"])) for f in found["faults"]}
    assert ("error", "tr01", "", (1003,)) in lines
    assert ("error", "tr03", "eye_L/eye_R", (1002,)) in lines
    assert ("warning", "tr03", "mouth", (1005,)) in lines
    assert any(f["shot"] == "tr02" and "1004" in f["text"] for f in found["faults"])
    plain = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert plain.code == 1
    assert f"3 shots, {found['errors']} errors, {found['warnings']} warnings" in plain.out


def test_check_names_a_damaged_truth_file(laikaroto, sample_configs: Path) -> None:
    laikaroto("truth", "import", "hero", *FILES, "--configs", sample_configs)
    (sample_configs.parent / "sample/training_set/hero/tr02.roto.json").write_text("{")
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert ran.code == 1 and "tr02.roto.json: is not JSON" in ran.out


def test_a_warning_alone_is_no_failure(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    def leave(data: dict[str, Any]) -> None:
        data["shapes"]["mouth"]["frames"]["1005"]["points"][0][:2] = [-5, 230]

    laikaroto("truth", "import", "hero", changed(tmp_path, leave), "--configs", sample_configs)
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert ran.code == 0 and "1 shots, 0 errors, 1 warnings" in ran.out


def _artist_nk(folder: Path, shot: str, edit: Callable[[Any], Any] | None = None) -> Path:
    """The sample's own truth as a Nuke script, named after its shot."""
    from laikaroto.sidecar.formats.registry import FORMATS, WriteOptions
    from laikaroto.sidecar.schema import read_roto

    roto = read_roto(TRUTH / f"{shot}.roto.json")
    roto = roto if edit is None else edit(roto)
    keys = {name: tuple(sorted(shape.frames)) for name, shape in roto.shapes.items()}
    files = FORMATS["nuke"].write(roto, WriteOptions(keys=keys, name=shot))
    data = next(data for name, data in files.items() if name.endswith(".nk"))
    folder.mkdir(exist_ok=True)
    path = folder / f"{shot}.nk"
    path.write_bytes(data)
    return path


def _shapes(edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Any], Any]:
    import dataclasses

    return lambda roto: dataclasses.replace(roto, shapes=edit(dict(roto.shapes)), tracks={})


def test_an_artists_file_joins_the_truth_that_is_there(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    laikaroto("truth", "import", "hero", FILES[0], "--configs", sample_configs)
    file = _artist_nk(tmp_path, "tr02", _shapes(lambda shapes: shapes))
    common = ("truth", "import", "hero", file, "--configs", sample_configs, "--json")
    ran = laikaroto(*common, "--dry-run")
    assert ran.code == 0, ran.err
    assert imported(sample_configs) == ["tr01.roto.json"]
    ran = laikaroto(*common, "--pictures", tmp_path / "look")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["left_out"] == []
    assert max(row["mean_px"] for row in said["reports"]) < 0.1
    written = json.loads(
        (sample_configs.parent / "sample/training_set/hero/tr02.roto.json").read_text()
    )
    source = written["provenance"]["imported"]
    assert (source["file"], source["tool"]) == ("tr02.nk", "nuke")
    assert len(source["sha256"]) == 64
    assert written["shapes"]["eye_L"]["frames"]["1001"]["source"] == "artist"
    assert len(written["shapes"]["eye_L"]["frames"]["1001"]["points"]) == 8
    assert len(list((tmp_path / "look").glob("tr02.*.jpg"))) == 8
    ran = laikaroto("truth", "check", "hero", "--configs", sample_configs)
    assert ran.code == 0, ran.out  # no tracking points in tr02: no error


def test_faults_of_an_artists_file_come_all_at_once(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    import dataclasses

    laikaroto("truth", "import", "hero", FILES[0], "--configs", sample_configs)

    def spoil(roto: Any) -> Any:
        shapes = dict(roto.shapes)
        shapes["eye_Left"] = shapes.pop("eye_L")  # renamed
        shapes.pop("mouth")  # missing
        shapes["whiskers"] = shapes["brow_R"]  # added
        plate = dataclasses.replace(roto.plate, width=1280, height=720)  # another size
        return dataclasses.replace(roto, shapes=shapes, tracks={}, plate=plate)

    file = _artist_nk(tmp_path, "tr02", spoil)
    ran = laikaroto("truth", "import", "hero", file, "--configs", sample_configs)
    assert ran.code == 1
    for text in (
        "shape 'eye_Left' is not in the template; if it is 'eye_L', write "
        "'names: {eye_Left: eye_L}' into",
        "shape 'mouth' of the template is missing",
        "shape 'whiskers' is not in the template",
        "is drawn on 1280x720, the plate is 640x360",
        "nothing was imported",
    ):
        assert text in ran.err, ran.err
    assert imported(sample_configs) == ["tr01.roto.json"]


def test_names_of_the_characters_table(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    laikaroto("truth", "import", "hero", FILES[0], "--configs", sample_configs)
    config = sample_configs / "characters/hero.yaml"
    text = config.read_text().replace("names: {}  ", "names: {leftEye: eye_L, garbage: null}  ")
    config.write_text(text)

    def rename(shapes: dict[str, Any]) -> dict[str, Any]:
        shapes["garbage"] = shapes["mouth"]
        shapes["leftEye"] = shapes.pop("eye_L")
        return shapes

    file = _artist_nk(tmp_path, "tr02", _shapes(rename))
    ran = laikaroto("truth", "import", "hero", file, "--configs", sample_configs, "--json")
    assert ran.code == 0, ran.err
    names = {row["shape"] for row in json.loads(ran.out)["reports"]}
    assert "eye_L" in names and "garbage" not in names


def test_frames_without_a_plate_are_refused_unless_limited(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    import dataclasses

    laikaroto("truth", "import", "hero", FILES[0], "--configs", sample_configs)

    def with_tail(shapes: dict[str, Any]) -> dict[str, Any]:
        return {
            name: dataclasses.replace(shape, frames={**shape.frames, 1050: shape.frames[1008]})
            for name, shape in shapes.items()
        }

    file = _artist_nk(tmp_path, "tr02", _shapes(with_tail))
    common = ("truth", "import", "hero", file, "--configs", sample_configs)
    ran = laikaroto(*common)
    assert ran.code == 1
    assert "1050" in ran.err and "the plate has 1001-1008" in ran.err and "--frames" in ran.err
    assert laikaroto(*common, "--frames", "1001-1004", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--points", "eye_L"), "wanted SHAPE=N"),
        (("--points", "eye_L=1"), "N of 2 or more"),
        (("--mark", "here"), "wanted [FILE:]FRAME"),
        (("--tolerance", "0"), "above 0"),
        (("--format", "scribble"), "unknown format 'scribble'; known: auto, roto.json, nuke"),
    ],
)
def test_options_that_cannot_be(
    laikaroto, sample_configs: Path, tmp_path: Path, arguments: tuple[str, str], text: str
) -> None:
    file = tmp_path / "tr02.nk"
    file.write_text("")
    ran = laikaroto("truth", "import", "hero", file, "--configs", sample_configs, *arguments)
    assert ran.code == 2 and text in ran.err, ran.err


def test_a_file_of_no_known_shot_or_format(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    file = _artist_nk(tmp_path, "tr02").rename(tmp_path / "final_v3.nk")
    ran = laikaroto("truth", "import", "hero", file, "--configs", sample_configs)
    assert ran.code == 1 and "unknown shot 'final_v3'" in ran.err and "--shot" in ran.err
    strange = tmp_path / "tr02.psd"
    strange.write_text("")
    ran = laikaroto("truth", "import", "hero", strange, "--configs", sample_configs)
    assert ran.code == 2 and "cannot tell its format by its name" in ran.err


def test_a_marked_frame_makes_the_template(laikaroto, sample_configs: Path, tmp_path: Path) -> None:
    file = _artist_nk(tmp_path, "tr02", _shapes(lambda shapes: shapes))
    common = ("truth", "import", "hero", file, "--configs", sample_configs)
    ran = laikaroto(*common, "--mark", "1099")
    assert ran.code == 1 and "frame 1099: marked frame lacks brow_L" in ran.err
    assert not template(sample_configs).exists()
    ran = laikaroto(*common, "--mark", "1001")
    assert ran.code == 0, ran.err
    made = {shape.name: shape for shape in read_template(template(sample_configs)).shapes}
    assert made["eye_L"].count == 8 and made["mouth"].count == 12
    assert made["eye_R"].corners == (0, 4)
    ran = laikaroto(*common, "--mark", "1001", "--replace")
    assert ran.code == 2 and "says its points already" in ran.err


_SEGMENT = [[1, 1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("tr02.json", {"schema": "laikaroto.roto/1"}, "json"),
        ("tr02.json", {"schema": "laikaroto.blender/1", "masks": []}, "blender"),
        ("tr02.json", {"images": [], "annotations": [], "categories": []}, "coco"),
        ("tr02.json", {"brow": [_SEGMENT], "points": [[0, 0]]}, "wacv2021"),
        ("points-CG-frame100.json", {"points": [[0, 0]]}, "wacv2021"),
        ("tr02.json", {"schema": "laikaroto.model/1"}, None),
        ("tr02.json", {"v": "5.7", "layers": []}, None),
        ("tr02.json", [1, 2], None),
    ],
)
def test_the_content_of_json_tells_its_format(
    tmp_path: Path, name: str, content: Any, told: str | None
) -> None:
    from laikaroto.sidecar.formats.sniff import json_format

    path = tmp_path / name
    path.write_text(json.dumps(content))
    assert json_format(path) == told


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"v": "5.7", "layers": []}, "it holds 'v', 'layers'; say --format, one of nuke"),
        ({"schema": "laikaroto.model/1"}, "it says it is of schema 'laikaroto.model/1'"),
        ([], "it holds a list"),
    ],
)
def test_json_of_no_known_kind_is_refused(
    laikaroto, sample_configs: Path, tmp_path: Path, content: Any, text: str
) -> None:
    path = tmp_path / "tr02.json"
    path.write_text(json.dumps(content))
    ran = laikaroto("truth", "import", "hero", path, "--configs", sample_configs)
    assert ran.code == 2
    assert "cannot tell which format this JSON is of" in ran.err and text in ran.err
    assert imported(sample_configs) == []
