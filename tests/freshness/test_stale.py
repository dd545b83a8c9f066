"""Every reason for which a published version is out of date, on versions made by the real steps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from laikaroto import __version__
from laikaroto.character.template import read_template, write_template
from laikaroto.correction.holding import revert
from laikaroto.errors import ModelError, UsageError
from laikaroto.freshness import stale
from laikaroto.freshness.stale import ShotStatus, inspect_shot, inspect_shots
from laikaroto.show import Show
from laikaroto.worker.corrected import publish_corrections
from tests.freshness.shows import (
    CHARACTER,
    FRAMES,
    draw,
    new_model,
    publish_shot,
    quiet,
    say,
)


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


def look(show: Show, shot: str = "ta01", **options: bool) -> ShotStatus:
    (found,) = inspect_shots(show, CHARACTER, [shot], **options)
    return found


def why(show: Show, shot: str = "ta01", **options: bool) -> dict[str, str]:
    return {reason.what: reason.why for reason in look(show, shot, **options).reasons}


def plate(show: Show, frame: int, shot: str = "ta01") -> Path:
    return Path(show.plate_template(shot).format(frame=frame))


# ---- fresh ---------------------------------------------------------------------------------


def test_what_was_just_made_is_not_stale(show: Show) -> None:
    for status in inspect_shots(show, CHARACTER):
        assert status.reasons == () and not status.fault and not status.held
        assert status.plates == FRAMES and status.made is not None
        assert (status.made.model, status.made.frames) == ("v001", 3)
        report = json.loads((status.folder / "report.json").read_text())
        assert status.made.flagged == len(report["flagged"])
        assert status.made.published == report["published"]
    assert [s.shot for s in inspect_shots(show, CHARACTER)] == ["ta01", "tr01"]


def test_nothing_published_is_no_status(show: Show) -> None:
    assert inspect_shots(show, CHARACTER, ["nowhere"]) == []
    assert inspect_shot(show, shot="nowhere", character=CHARACTER) is None
    with pytest.raises(UsageError, match="unknown character 'villain'"):
        inspect_shots(show, "villain")


def test_the_newest_whole_version_counts(show: Show) -> None:
    folder = show.sidecar_folder("ta01", CHARACTER, "v001")
    shutil.copytree(folder, folder.with_name("v010"))
    shutil.copytree(folder, folder.with_name("v011"))
    (folder.with_name("v011") / "MANIFEST.json").unlink()  # being taken away, or never whole
    assert look(show).version == "v010"


# ---- the model -----------------------------------------------------------------------------


def test_another_model_is_current(show: Show) -> None:
    new_model(show)
    assert why(show) == {"model": "drawn by v001, current is v002"}
    assert look(show).mendable


def test_the_model_was_made_anew_under_its_number(show: Show) -> None:
    manifest = show.models_folder(CHARACTER) / "v001" / "MANIFEST.json"
    text = manifest.read_text()
    manifest.unlink()  # a link to the shared one
    manifest.write_text(text + "\n")
    assert why(show) == {"model": "v001 is not the v001 it was drawn by: it was made anew"}


def test_no_model_is_current(show: Show) -> None:
    (show.models_folder(CHARACTER) / "current.json").unlink()
    assert why(show) == {"model": "drawn by v001, and none is current"}
    assert not look(show).mendable


def test_a_current_model_that_is_gone_is_told(show: Show) -> None:
    shutil.rmtree(show.models_folder(CHARACTER) / "v001")
    with pytest.raises(ModelError, match="v001: the current model of 'hero' cannot be read"):
        inspect_shots(show, CHARACTER)


# ---- plates --------------------------------------------------------------------------------


def test_a_plate_was_written_again(show: Show) -> None:
    path = plate(show, 1002)
    path.write_bytes(path.read_bytes())  # the same bytes, but that is only known by reading them
    later = path.stat().st_mtime_ns + 2 * 10**9
    os.utime(path, ns=(later, later))
    assert why(show) == {"plates": "frames 1002 written after v001"}
    assert why(show, checksum=True) == {}
    assert why(show) == {}  # that is remembered
    os.utime(path, ns=(later + 1, later + 1))
    assert "plates" in why(show)  # for that state of the plates alone


def test_a_plate_has_other_contents(show: Show) -> None:
    path = plate(show, 1002)
    shutil.copyfile(plate(show, 1003), path)
    os.utime(path, (1.0, 1.0))  # from an archive
    assert why(show) == {"plates": "frames of another size or time among 1001-1003"}
    assert why(show, checksum=True) == {"plates": "frames 1001-1003 of other contents"}


def test_plates_came_and_went(show: Show) -> None:
    plate(show, 1001).rename(plate(show, 1004))
    assert why(show) == {"plates": "frames 1001 taken away, 1004 added"}
    shutil.rmtree(plate(show, 1001).parent)
    assert why(show)["plates"].startswith("there are none now: ")
    assert look(show).plates == ()


def test_frames_that_were_never_asked_for_are_nobodys_business(show: Show) -> None:
    publish_shot(show, "ta01", frames=(1001, 1002))
    status = look(show)
    assert status.version == "v002" and status.reasons == ()
    assert status.made is not None and not status.made.plates_whole
    plate(show, 1003).unlink()
    assert why(show) == {}
    os.utime(plate(show, 1002))
    assert "1002" in why(show)["plates"]


def test_a_moved_show_is_not_stale(show: Show, tmp_path: Path) -> None:
    shutil.move(show.configs.folder.parent, tmp_path / "elsewhere")
    assert why(Show.open(tmp_path / "elsewhere" / "configs")) == {}


# ---- corrections ---------------------------------------------------------------------------


def test_corrections_came_after_it(show: Show) -> None:
    draw(show, 1001)
    assert why(show) == {"corrections": "record 1 came after v001"}
    draw(show, 1002)
    assert why(show) == {"corrections": "records 1-2 came after v001"}
    assert publish_corrections(show, shot="ta01", character=CHARACTER, report=quiet) == "v002"
    status = look(show)
    assert status.version == "v002" and status.reasons == ()


def test_a_correction_was_taken_back(show: Show) -> None:
    draw(show, 1001)
    path = show.corrections_file("ta01", CHARACTER)
    revert(path, 1, who="anna", note="")
    assert why(show) == {}  # nothing of the two has an effect
    revert(path, 2, who="anna", note="")
    assert why(show) == {"corrections": "records 1-3 came after v001"}
    publish_corrections(show, shot="ta01", character=CHARACTER, report=quiet)
    assert why(show) == {}
    revert(path, 1, who="anna", note="")
    assert why(show) == {"corrections": "record 4 came after v002"}


def test_the_corrections_file_is_another_one(show: Show) -> None:
    draw(show, 1001)
    publish_corrections(show, shot="ta01", character=CHARACTER, report=quiet)
    path = show.corrections_file("ta01", CHARACTER)
    path.unlink()
    gone = {"corrections": "the corrections file is not the one v002 was made with"}
    assert why(show) == gone
    draw(show, 1002)
    draw(show, 1003)
    assert why(show) == gone


def test_locks_keep_what_is_there(show: Show) -> None:
    say(show, "lock", "1001")
    status = look(show)
    assert (status.reasons, status.locked_frames, status.held) == ((), 1, "")
    draw(show, 1002)
    publish_corrections(show, shot="ta01", character=CHARACTER, report=quiet)
    assert why(show) == {}
    say(show, "lock", "1003")  # as v001 had it, which may be otherwise in v002
    assert why(show) == {"corrections": "record 3 came after v002"}
    say(show, "unlock", "1001")
    assert why(show)["corrections"] == "records 3-4 came after v002"


def test_locked_and_approved_shots(show: Show) -> None:
    number = say(show, "lock", "all")
    status = look(show)
    assert status.held.startswith("locked by bo at 20") and status.held.endswith("(record 1)")
    assert status.locked_frames == 3
    revert(show.corrections_file("ta01", CHARACTER), number, who="bo", note="")
    assert look(show).held == ""
    say(show, "approve", "1001")
    assert (look(show).held, look(show).approved_frames) == ("", 1)
    say(show, "approve", "1002-1003")
    assert look(show).held == "all 3 frames approved"
    say(show, "approve", "all")
    assert look(show).held.startswith("approved by bo at 20")


def test_a_damaged_corrections_file_is_told_and_judges_nothing(show: Show) -> None:
    draw(show, 1001)
    path = show.corrections_file("ta01", CHARACTER)
    path.write_bytes(b"{}\n" + path.read_bytes())
    new_model(show)
    status = look(show)
    assert "line 1" in status.fault and [r.what for r in status.reasons] == ["model"]


# ---- template and code ---------------------------------------------------------------------


def change_template(show: Show) -> None:
    path = show.template_file(CHARACTER)
    template = read_template(path)
    write_template(path, template.model_copy(update={"tracks": template.tracks[1:]}))


def test_the_template_was_changed(show: Show) -> None:
    path = show.template_file(CHARACTER)
    path.write_text(json.dumps(json.loads(path.read_text())))  # laid out otherwise: the same
    assert why(show) == {}
    change_template(show)
    untrained = "template.json was changed, and no model is trained for it yet"
    assert why(show) == {"template": untrained}
    assert not look(show).mendable
    models = show.models_folder(CHARACTER)
    new_model(show)
    (models / "v002" / "template.json").unlink()
    shutil.copyfile(path, models / "v002" / "template.json")
    assert why(show) == {
        "model": "drawn by v001, current is v002", "template": "template.json was changed",
    }  # fmt: skip
    assert look(show).mendable


def test_the_code_is_another(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "__version__", "9.9.9")
    assert why(show) == {"code": f"made by laikaroto {__version__}, this is 9.9.9"}


def test_all_reasons_are_told_together(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "__version__", "9.9.9")
    new_model(show)
    os.utime(plate(show, 1001))
    draw(show, 1001)
    change_template(show)
    assert list(why(show)) == ["model", "plates", "corrections", "template", "code"]
    assert why(show, "tr01").keys() == {"model", "template", "code"}


# ---- old and damaged versions --------------------------------------------------------------


def rewrite(show: Show, name: str, change: Callable[[dict], object]) -> Path:  # type: ignore[type-arg]
    path = show.sidecar_folder("ta01", CHARACTER, "v001") / name
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_a_version_from_before_reports_had_provenance(show: Show) -> None:
    for name in ("published", "plates", "provenance"):
        rewrite(show, "report.json", lambda report, name=name: report.pop(name))
    status = look(show)
    assert status.made is not None and status.made.model == "v001" and status.made.published
    said = {"plates": "frames 1001-1003 of unknown size and time (--checksum compares contents)"}
    assert {r.what: r.why for r in status.reasons} == said
    assert why(show, checksum=True) == {} == why(show)


def test_a_damaged_version_is_stale_and_says_where(show: Show) -> None:
    path = rewrite(show, "report.json", lambda report: report.pop("frames"))
    assert "KeyError('frames')" in why(show)["version"]
    path.write_text("{")
    assert str(path) in why(show)["version"] and look(show).mendable
    path.unlink()
    assert why(show)["version"].endswith("report.json: is missing")
    assert look(show).made is None


# ---- the memo ------------------------------------------------------------------------------


def memo(show: Show) -> Path:
    return show.work_folder("freshness") / "hero.json"


def test_what_was_read_once_is_not_read_again(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(show, 1001)
    before = inspect_shots(show, CHARACTER)
    text = memo(show).read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("it is known already")

    monkeypatch.setattr(stale, "read_made", refuse)
    monkeypatch.setattr("laikaroto.correction.log.parse_log", refuse)
    assert inspect_shots(show, CHARACTER) == before
    assert memo(show).read_bytes() == text


def test_several_processes_say_and_remember_the_same(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(show, 1001)
    new_model(show)
    alone = inspect_shots(show, CHARACTER)
    text = memo(show).read_bytes()
    memo(show).unlink()
    monkeypatch.setattr(stale, "_SHARE", 1)
    assert inspect_shots(show, CHARACTER, processes=2) == alone
    both = json.loads(memo(show).read_bytes())
    assert both == json.loads(text) and {"made ta01", "made tr01"} <= both["entries"].keys()
    assert inspect_shots(show, CHARACTER, processes=2) == alone


@pytest.mark.parametrize("text", ["", "{", "[]", '{"laikaroto": "0.0.1", "entries": {}}'])
def test_a_damaged_or_old_memo_counts_as_none(show: Show, text: str) -> None:
    memo(show).parent.mkdir(parents=True)
    memo(show).write_text(text)
    assert why(show) == {}
    assert "made ta01" in json.loads(memo(show).read_text())["entries"]


def test_a_version_number_used_again_is_another_version(show: Show) -> None:
    new_model(show)
    assert "model" in why(show)
    shutil.rmtree(show.sidecar_folder("ta01", CHARACTER, "v001"))
    assert publish_shot(show, "ta01") == "v001"
    assert why(show) == {}


def test_where_nothing_can_be_written_it_is_told_and_the_answer_is_the_same(
    show: Show, caplog: pytest.LogCaptureFixture
) -> None:
    show.work_folder().mkdir(exist_ok=True)
    show.work_folder("freshness").write_text("in the way")
    assert why(show) == {}
    assert "cannot write" in caplog.text and "as long as this one" in caplog.text
