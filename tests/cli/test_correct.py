"""``laikaroto correct``: the artist's way through it, and everything that may come in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from laikaroto.correction.log import read_log
from laikaroto.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from laikaroto.shapes.artist import ArtistFile, ArtistShape
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.formats import registry
from laikaroto.sidecar.publish import verify_manifest, versions
from laikaroto.sidecar.schema import read_roto, roto_bytes, write_roto
from tests.correction.shows import (
    drawn_roto,
    edited,
    moved,
    moved_track,
    publish_drawn,
    shown,
)

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def drawn() -> Roto:
    return drawn_roto()


@pytest.fixture
def show(sample_configs: Path, drawn: Roto) -> Show:
    """A show of which ta01 is published once, as a model would."""
    show = Show.open(sample_configs)
    publish_drawn(show, drawn)
    return show


@pytest.fixture
def correct(laikaroto: Run, show: Show) -> Run:
    """Run ``laikaroto correct ta01 …`` and make no review page."""

    def run(*arguments: object) -> Any:
        return laikaroto("correct", "ta01", "--no-review", *arguments,
                         "--configs", show.configs.folder)  # fmt: skip

    return run


#: points of a mouth in an order that no artist draws
TANGLED = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7]


def parent(show: Show) -> Path:
    return show.sidecar_folder("ta01", "hero", "v001").parent


def version(show: Show, number: int) -> Roto:
    return read_roto(parent(show) / f"v{number:03d}" / "roto.json")


def file(tmp_path: Path, roto: Roto, name: str = "fix.json") -> Path:
    write_roto(tmp_path / name, roto)
    return tmp_path / name


def points(roto: Roto, shape: str, frame: int) -> list[list[float]]:
    return roto.shapes[shape].frames[frame].points.tolist()


# ---- the way it should go ------------------------------------------------------------------


def test_a_fix_becomes_the_next_version(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    fix = edited(drawn, "mouth", {1004: moved((2.0, -1.5))})
    fix = moved_track(fix, "nose_tip", 1004, (1.0, 1.0))
    ran = correct(file(tmp_path, fix), "--who", "anna", "--note", "lip line")
    assert ran.code == EXIT_OK, ran.err
    assert "made from v001 (the file says so)" in ran.out
    assert "mouth: frames 1004, moved by up to 2.00 px" in ran.out
    assert "record 1: 2 drawings" in ran.out and "ta01 v002: " in ran.out
    new = version(show, 2)
    assert points(new, "mouth", 1004) == points(fix, "mouth", 1004)
    assert new.tracks["nose_tip"][1004].xy == fix.tracks["nose_tip"][1004].xy
    assert new.provenance["corrections"] == [1]
    verify_manifest(parent(show) / "v002")
    assert roto_bytes(version(show, 1)) == roto_bytes(drawn)
    solved = read_roto(parent(show) / "v002" / "solved.json")
    assert points(solved, "mouth", 1004) == points(drawn, "mouth", 1004)
    listed = correct("--list")
    assert "anna  edit, from v001: mouth, nose_tip: frames 1004  # lip line" in listed.out


def test_mattes_follow_and_untouched_ones_are_copied(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    second = publish_drawn(show, replace(drawn, version="v002"), mattes=True)
    assert second == "v002"
    fix = edited(version(show, 2), "mouth", {1004: moved((20.0, 0.0))})
    assert correct(file(tmp_path, fix), "--json").code == EXIT_OK
    before, after = (parent(show) / v / "matte" for v in ("v002", "v003"))
    new = version(show, 3)
    changed = {f for f, e in new.shapes["mouth"].frames.items() if e.source != "predicted"}
    assert 1004 in changed and len(changed) < len(new.frames)
    for frame in new.frames:
        same = (before / f"mouth.{frame}.exr").read_bytes() == (
            after / f"mouth.{frame}.exr"
        ).read_bytes()
        assert same == (frame not in changed), frame
        assert (before / f"brows.{frame}.exr").read_bytes() == (
            after / f"brows.{frame}.exr"
        ).read_bytes()


def test_the_same_file_again_is_nothing_new(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    fix = file(tmp_path, edited(drawn, "mouth", {1004: moved((2.0, 0.0))}))
    assert correct(fix).code == EXIT_OK
    before = show.corrections_file("ta01", "hero").read_bytes()
    ran = correct(fix)
    assert ran.code == EXIT_OK and "nothing new in this file" in ran.out
    assert "1 drawings are recorded already" in ran.err
    assert versions(parent(show)) == ["v001", "v002"]
    assert show.corrections_file("ta01", "hero").read_bytes() == before


def test_taking_back_gives_what_was_before(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    fix = edited(drawn, "mouth", {1004: moved((2.0, 0.0))})
    fix = edited(fix, "seam_L", {1009: shown(False)})
    assert correct(file(tmp_path, fix)).code == EXIT_OK
    assert not version(show, 2).shapes["seam_L"].frames[1009].visible
    ran = correct("--revert", 1)
    assert ran.code == EXIT_OK and "takes back 1" in ran.out
    assert roto_bytes(replace(version(show, 3), version="v001")) == roto_bytes(drawn)
    assert "anna  edit (taken back)" in correct("--list").out.replace("root", "anna")
    assert correct("--revert", 2).code == EXIT_OK
    assert points(version(show, 4), "mouth", 1004) == points(fix, "mouth", 1004)
    for number, words in ((9, "there is no record 9"), (2, "was taken back before")):
        ran = correct("--revert", number)
        assert ran.code == EXIT_USAGE and words in ran.err


def test_a_dry_run_and_record_only(correct: Run, show: Show, drawn: Roto, tmp_path: Path) -> None:
    fix = file(tmp_path, edited(drawn, "mouth", {1004: moved((2.0, 0.0))}))
    ran = correct(fix, "--dry-run", "--json")
    assert json.loads(ran.out)["changes"]["mouth"]["frames"] == "1004"
    assert not show.corrections_file("ta01", "hero").exists()
    ran = correct(fix, "--no-publish", "--json")
    assert json.loads(ran.out)["record"] == 1 and versions(parent(show)) == ["v001"]
    ran = correct(fix)  # as after a kill between the record and the version
    assert "nothing new in this file" in ran.out and "ta01 v002: " in ran.out


# ---- several artists -----------------------------------------------------------------------


def test_an_old_file_is_merged(correct: Run, show: Show, drawn: Roto, tmp_path: Path) -> None:
    one = edited(drawn, "mouth", {1004: moved((2.0, 0.0))})
    two = edited(drawn, "eye_L", {1010: moved((0.0, 1.0))})
    assert correct(file(tmp_path, one), "--who", "anna").code == EXIT_OK
    ran = correct(file(tmp_path, two), "--who", "ben")
    assert ran.code == EXIT_OK and "v002 is newer: what changed since is kept" in ran.err
    new = version(show, 3)
    assert points(new, "mouth", 1004) == points(one, "mouth", 1004)
    assert points(new, "eye_L", 1010) == points(two, "eye_L", 1010)


def test_two_artists_on_the_same_drawing_is_a_conflict(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    one = edited(drawn, "mouth", {1004: moved((2.0, 0.0))})
    two = edited(drawn, "mouth", {1004: moved((-2.0, 0.0)), 1012: moved((0.0, 1.0))})
    assert correct(file(tmp_path, one), "--who", "anna").code == EXIT_OK
    fix = file(tmp_path, two)
    ran = correct(fix, "--who", "ben")
    assert ran.code == EXIT_FAILED
    assert "mouth, frames 1004: anna changed it at" in ran.err and "--theirs" in ran.err
    records = read_log(show.corrections_file("ta01", "hero")).records
    assert [r.kind for r in records] == ["edit", "conflict"]
    assert records[1].conflicts[0].kept == "none" and records[1].who == "ben"
    assert versions(parent(show)) == ["v001", "v002"]
    ran = correct(fix, "--who", "ben", "--theirs", "--json")
    assert json.loads(ran.out)["conflicts"][0]["kept"] == "theirs"
    new = version(show, 3)
    assert points(new, "mouth", 1004) == points(one, "mouth", 1004)
    assert points(new, "mouth", 1012) == points(two, "mouth", 1012)
    assert correct(fix, "--who", "ben", "--mine").code == EXIT_OK
    assert points(version(show, 4), "mouth", 1004) == points(two, "mouth", 1004)


def test_an_artist_may_go_on_with_the_same_file(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    one = edited(drawn, "mouth", {1004: moved((2.0, 0.0))})
    more = edited(drawn, "mouth", {1004: moved((3.0, 0.0)), 1005: moved((1.0, 0.0))})
    assert correct(file(tmp_path, one), "--who", "anna").code == EXIT_OK
    ran = correct(file(tmp_path, more), "--who", "anna")
    assert ran.code == EXIT_OK and "your own earlier record 1" in ran.err
    assert points(version(show, 3), "mouth", 1004) == points(more, "mouth", 1004)


# ---- locks and approvals -------------------------------------------------------------------


def test_a_lock_refuses_edits_until_it_is_undone(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    assert correct("--lock", "1004-1005", "--shape", "mouth", "--who", "anna").code == EXIT_OK
    assert versions(parent(show)) == ["v001"]
    fix = file(tmp_path, edited(drawn, "mouth", {1004: moved((2.0, 0.0))}))
    ran = correct(fix)
    assert ran.code == EXIT_FAILED and "mouth, frames 1004: locked by anna" in ran.err
    neighbour = edited(drawn, "mouth", {1003: moved((2.0, 0.0))})
    assert correct(file(tmp_path, neighbour, "other.json")).code == EXIT_OK
    assert points(version(show, 2), "mouth", 1004) == points(drawn, "mouth", 1004)
    assert "locked: mouth: frames 1004-1005" in correct("--list").out
    assert correct("--unlock", "mouth").code == EXIT_OK
    assert correct(fix).code == EXIT_OK


def test_a_locked_shot_gets_no_new_version(
    correct: Run, show: Show, laikaroto: Run, drawn: Roto, tmp_path: Path
) -> None:
    assert correct("--lock", "all", "--who", "anna").code == EXIT_OK
    ran = laikaroto("infer", "ta01", "--configs", show.configs.folder)
    assert ran.code == EXIT_FAILED and "shot ta01, character hero: locked by anna" in ran.err
    ran = correct("--approve", "1003")
    assert ran.code == EXIT_FAILED and "--unlock all" in ran.err
    assert "locked: the whole shot (record 1)" in correct("--list").out
    assert correct("--unlock", "all").code == EXIT_OK
    assert correct("--approve", "1003").code == EXIT_OK
    assert versions(parent(show)) == ["v001", "v002"]


def test_an_approved_frame_stays_and_needs_no_look(correct: Run, show: Show, drawn: Roto) -> None:
    frame = next(f for f, note in drawn.frames.items() if note.flagged)
    assert correct("--approve", frame).code == EXIT_OK
    new = version(show, 2)
    assert not new.frames[frame].flagged
    for name in drawn.shapes:
        assert points(new, name, frame) == points(drawn, name, frame)


# ---- what may come in ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, shot="tr01"), "is of shot 'tr01'"),
        (lambda r: replace(r, version="v007"), "says it is version 'v007', which is not publ"),
        (lambda r: replace(r, plate=replace(r.plate, width=320, height=180)), "--rescale"),
        (lambda r: replace(r, shapes={**r.shapes, "scar": r.shapes["mouth"]}), "--ignore scar"),
        (
            lambda r: replace(
                r, shapes={("mouth_v2" if n == "mouth" else n): s for n, s in r.shapes.items()}
            ),
            "--map mouth_v2=mouth",
        ),
        (
            lambda r: edited(r, "mouth", {1004: lambda e: replace(
                e, points=e.points[TANGLED], point_visible=e.point_visible[:11])}),
            "shape 'mouth': a contour of 11 points cannot be carried onto 12",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_and_leaves_nothing(
    correct: Run,
    show: Show,
    drawn: Roto,
    tmp_path: Path,
    change: Callable[[Roto], Roto],
    words: str,
) -> None:
    ran = correct(file(tmp_path, change(edited(drawn, "eye_L", {1002: moved((1.0, 0.0))}))))
    assert ran.code == EXIT_FAILED and words in ran.err
    assert not read_log(show.corrections_file("ta01", "hero")).records
    assert versions(parent(show)) == ["v001"]


def test_the_names_table_of_the_character_holds_for_corrections_too(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    """What 'truth import' was told once need not be said with --map again."""
    fix = edited(drawn, "mouth", {1004: moved((2.0, 0.0))})
    theirs = {("lippen" if n == "mouth" else n): s for n, s in fix.shapes.items()}
    path = file(tmp_path, replace(fix, shapes={**theirs, "garbage": drawn.shapes["mouth"]}))
    ran = correct(path)
    assert ran.code == EXIT_FAILED and "shape 'lippen' is not one of this character" in ran.err
    config = show.configs.folder / "characters" / "hero.yaml"
    table = "names: {lippen: mouth, garbage: null}"
    config.write_text(config.read_text().replace("names: {}", table))
    ran = correct(path)
    assert ran.code == EXIT_OK, ran.err
    assert "mouth: frames 1004, moved by up to 2.00 px" in ran.out
    assert points(version(show, 2), "mouth", 1004) == points(fix, "mouth", 1004)


def test_a_deleted_shape_is_left_as_it_is_and_told(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    rest = edited(drawn, "eye_L", {1002: moved((1.0, 0.0))})
    rest = replace(rest, shapes={n: s for n, s in rest.shapes.items() if n != "mouth"})
    ran = correct(file(tmp_path, rest))
    assert ran.code == EXIT_OK and "not in the file, left as they are: mouth" in ran.err
    assert points(version(show, 2), "mouth", 1002) == points(drawn, "mouth", 1002)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say one of FILE"),
        (("--list", "--revert", "1"), "got list, revert"),
        (("--lock", "nose"), "is no frame range and no shape"),
        (("--approve", "1099"), "frames 1099 are not of this version"),
        (("--lock", "all", "--shape", "nose"), "no shape or tracking point nose"),
        (("--revert", "1"), "there is no record 1"),
    ],
)
def test_wrong_calls(correct: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = correct(*arguments)
    assert ran.code == EXIT_USAGE and words in ran.err


def test_nothing_published_is_told(
    laikaroto: Run, sample_configs: Path, drawn: Roto, tmp_path: Path
) -> None:
    ran = laikaroto("correct", "ta01", file(tmp_path, drawn), "--configs", sample_configs)
    assert ran.code == EXIT_USAGE and "run 'laikaroto infer ta01 --character hero' first" in ran.err


# ---- files that do not say their version ----------------------------------------------------


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format whose files hold shapes and nothing else: a roto.json read as a tool's file."""

    def read(path: Path, options: registry.ReadOptions) -> ArtistFile:
        roto = read_roto(path)
        shapes = {
            name: ArtistShape(
                name=name,
                closed=shape.closed,
                frames={f: e.points.astype(np.float32).astype(float)
                        for f, e in shape.frames.items()},
                keys=tuple(shape.frames),
                hidden=frozenset(f for f, e in shape.frames.items() if not e.visible),
            )
            for name, shape in roto.shapes.items()
        }  # fmt: skip
        return ArtistFile(path=path, tool="tool", size=(640, 360), shapes=shapes)

    module = ModuleType("laikaroto.sidecar.formats.tool")
    module.read = read  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "laikaroto.sidecar.formats.tool", module)
    one = registry.Format(name="tool", label="Tool", suffixes=(".tool",), reads=True, writes=False)
    monkeypatch.setitem(registry.FORMATS, "tool", one)


@pytest.mark.usefixtures("tool")
def test_the_version_is_found_by_comparing(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    first = edited(drawn, "mouth", {f: moved((2.0, 0.0)) for f in drawn.frames})
    assert correct(file(tmp_path, first)).code == EXIT_OK
    old = edited(drawn, "eye_L", {1010: moved((0.0, 1.0))})
    ran = correct(file(tmp_path, old, "old.tool"))
    assert ran.code == EXIT_OK and "made from v001 (" in ran.out, ran.err
    new = edited(version(show, 2), "eye_R", {1010: moved((0.0, 1.0))})
    assert "made from v002 (" in correct(file(tmp_path, new, "new.tool")).out
    titled = file(tmp_path, replace(old, provenance={"title": "ta01 hero v002"}), "titled.tool")
    ran = correct(titled, "--dry-run")
    assert "made from v002 (the file says so)" in ran.out
    everything = drawn
    for name in drawn.shapes:
        everything = edited(everything, name, {f: moved((9.0, 9.0)) for f in drawn.frames})
    ran = correct(file(tmp_path, everything, "all.tool"))
    assert ran.code == EXIT_FAILED and "say --from-version" in ran.err
    told = correct(file(tmp_path, everything, "all.tool"), "--from-version", "v001", "--mine")
    assert told.code == EXIT_OK


@pytest.mark.usefixtures("tool")
def test_versions_that_draw_the_same_need_no_telling_apart(
    correct: Run, show: Show, drawn: Roto, tmp_path: Path
) -> None:
    publish_drawn(show, replace(drawn, version="v002"))
    mended = edited(drawn, "eye_L", {1010: moved((0.0, 1.0))})
    ran = correct(file(tmp_path, mended, "fix.tool"))
    assert ran.code == EXIT_OK, ran.err
    assert "made from v001 (" in ran.out and "v001, v002, which all draw the same" in ran.out
    hidden = edited(version(show, 3), "mouth", {1005: shown(False)})
    publish_drawn(show, hidden)
    ran = correct(file(tmp_path, edited(hidden, "eye_R", {1010: moved((0.0, 1.0))}), "two.tool"))
    assert ran.code == EXIT_FAILED and "say --from-version" in ran.err, ran.out


def test_a_copied_roto_node_is_as_large_as_the_plate(
    correct: Run, drawn: Roto, tmp_path: Path
) -> None:
    """Pasted from Nuke into a text editor: no Root that says the project's size and range."""
    mended = edited(drawn, "eye_L", {1010: moved((0.0, 3.0))})
    keys = {name: tuple(sorted(shape.frames)) for name, shape in mended.shapes.items()}
    files = registry.FORMATS["nuke"].write(mended, registry.WriteOptions(keys=keys, name="node"))
    text = next(iter(files.values())).decode()
    alone = text[text.index("\nRoto {") + 1 :]
    alone = "\n".join(line for line in alone.splitlines() if not line.startswith(" format "))
    path = tmp_path / "node.nk"
    path.write_text(alone)
    ran = correct(path, "--from-version", "v001", "--no-publish")
    assert ran.code == EXIT_OK and "eye_L: frames 1010" in ran.out, ran.err
    assert "record 1: 1 drawings" in ran.out


@pytest.mark.parametrize("suffix", [".nk", ".fxs"])
def test_a_tools_file_of_another_size_and_start(
    correct: Run, drawn: Roto, tmp_path: Path, suffix: str
) -> None:
    """Drawn on a half-size copy, counted from 1: refused until the call says so."""
    mended = edited(drawn, "eye_L", {1010: moved((0.0, 3.0))})
    half = {
        name: replace(shape, frames={
            f - 1000: replace(e, points=e.points / 2) for f, e in shape.frames.items()
        })
        for name, shape in mended.shapes.items()
    }  # fmt: skip
    plate = replace(drawn.plate, width=320, height=180, first=1, last=16)
    frames = {f - 1000: replace(note, hold_of=None) for f, note in drawn.frames.items()}
    roto = replace(drawn, plate=plate, shapes=half, tracks={}, frames=frames)
    keys = {name: tuple(sorted(shape.frames)) for name, shape in half.items()}
    form = next(f for f in registry.FORMATS.values() if suffix in f.suffixes)
    files = form.write(roto, registry.WriteOptions(keys=keys, name="half"))
    path = tmp_path / f"half{suffix}"
    path.write_bytes(next(iter(files.values())))
    call = (path, "--from-version", "v001", "--no-publish")
    assert "drawn on 320x180" in (ran := correct(*call)).err and "--rescale" in ran.err
    ran = correct(*call, "--rescale")
    assert ran.code == EXIT_FAILED and "say --frame-offset 1000" in ran.err
    ran = correct(*call, "--rescale", "--frame-offset", "1000", "--tolerance", "0.02")
    assert ran.code == EXIT_OK and "eye_L: frames 1010" in ran.out, ran.err
    assert "record 1: 1 drawings" in ran.out


@pytest.mark.parametrize("name", ["points.json", "some.psd", "rest"])
def test_the_format_is_told_as_for_truth_import(correct: Run, tmp_path: Path, name: str) -> None:
    """Several tools write .json: keypoints are no Blender masks because their file ends so."""
    path = tmp_path / name
    keypoints = {
        "images": [{"id": 1, "file_name": "ta01.1010.png", "width": 640, "height": 360}],
        "categories": [{"id": 1, "name": "puppet", "keypoints": ["nose_tip"]}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [300.5, 150.25, 2]}],
    }
    path.write_text(json.dumps(keypoints))
    ran = correct(path, "--no-publish")
    if path.suffix == ".json":
        assert ran.code == EXIT_OK and "nose_tip: frames 1010" in ran.out, ran.err
    else:
        assert ran.code == EXIT_USAGE and "cannot tell its format by its name" in ran.err


@pytest.mark.usefixtures("tool")
def test_rounding_of_a_format_is_no_edit(correct: Run, drawn: Roto, tmp_path: Path) -> None:
    ran = correct(file(tmp_path, drawn, "same.tool"))
    assert ran.code == EXIT_OK and "nothing new in this file" in ran.out
