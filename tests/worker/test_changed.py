"""Whether a character has anything new to learn."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from laikaroto.bundled import bundled
from laikaroto.errors import CorrectionError, TruthError
from laikaroto.model.decisions import record_decision
from laikaroto.model.package import ModelInfo
from laikaroto.show import Show
from laikaroto.worker.changed import Learning, judge_learning
from laikaroto.worker.character import truth_digest
from tests.freshness.shows import CHARACTER, draw, say

MADE = "2030-01-01T00:00:00+00:00"


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


def has_learned(show: Show, version: str = "v001", **fields: Any) -> None:
    """Let a model have learned the training set as it is now, or as said."""
    path = show.models_folder(CHARACTER) / version / "model.json"
    info = ModelInfo.model_validate_json(path.read_text())
    fields = {"training_set": truth_digest(show, CHARACTER), "created": MADE, **fields}
    path.unlink()  # a link to the shared one
    path.write_text(info.model_copy(update=fields).model_dump_json())


def judge(show: Show) -> Learning:
    return judge_learning(show, CHARACTER)


def test_what_a_model_has_learned_is_not_learned_again(show: Show) -> None:
    has_learned(show)
    assert (judge(show).state, judge(show).why) == ("unchanged", "v001 has learned it all")


def test_more_truth(show: Show) -> None:
    has_learned(show, created="2020-01-01T00:00:00+00:00")
    new = show.truth_file(CHARACTER, "ta01")
    shutil.copyfile(bundled("sample") / "truth" / CHARACTER / "tr02.roto.json", new)
    old = show.truth_file(CHARACTER, "tr01")
    os.utime(old, (1.0, 1.0))
    found = judge(show)
    assert (found.state, found.changes) == ("changed", 1)
    assert found.why == "since v001 of 2020-01-01: 1 shots of truth"


def test_corrections_join_the_training_set_and_locks_do_not(show: Show) -> None:
    has_learned(show, created="2020-01-01T00:00:00+00:00")
    os.utime(show.truth_file(CHARACTER, "tr01"), (1.0, 1.0))
    say(show, "lock", "1001")
    assert judge(show).state == "unchanged"
    draw(show, 1001)
    draw(show, 1002)
    found = judge(show)
    assert (found.state, found.changes) == ("changed", 2)
    assert found.why == "since v001 of 2020-01-01: 2 corrections"


def test_settings_are_a_change_too(show: Show) -> None:
    has_learned(show)
    path = show.configs.folder / "characters" / "hero.yaml"
    path.write_text(path.read_text().replace("crop_px: 256", "crop_px: 384"))
    found = judge(Show.open(show.configs.folder))
    assert found.state == "changed" and found.why.endswith("settings, or what was taken away")


def test_no_model_and_a_model_from_before_it_was_noted(show: Show) -> None:
    has_learned(show, training_set="")
    assert judge(show).why.endswith("it was not noted what that has learned")
    pointer = show.models_folder(CHARACTER) / "current.json"
    pointer.unlink()
    found = judge(show)
    assert (found.state, found.why) == ("changed", "has no model yet")
    assert found.order < (Learning(character="x", state="changed", why="", changes=0)).order


def test_who_waits_longest_goes_first_then_who_has_most_to_learn(show: Show) -> None:
    os.utime(show.truth_file(CHARACTER, "tr01"), (1.0, 1.0))
    has_learned(show, training_set="another", created="2020-06-01T00:00:00+00:00")
    recent = judge(show)
    has_learned(show, training_set="another", created="2020-01-01T00:00:00+00:00")
    longer = judge(show)
    draw(show, 1001)
    more = judge(show)
    (show.models_folder(CHARACTER) / "current.json").unlink()
    first = judge(show)
    found = sorted([recent, longer, first, more], key=lambda learning: learning.order)
    assert found == [first, more, longer, recent]


def test_a_set_that_made_no_better_model_is_not_learned_every_night(show: Show) -> None:
    has_learned(show, training_set="another")
    models = show.models_folder(CHARACTER)
    shutil.copytree(models / "v001", models / "v002")
    has_learned(show, "v002")
    assert judge(show).state == "refused" and "nobody knows why" in judge(show).why
    record_decision(models, "v002", current=False, reason="v002 is worse than v001 on tr01")
    assert judge(show).why == (
        "v002 has learned it all, and v001 stays current: v002 is worse than v001 on tr01"
    )
    draw(show, 1001)
    assert judge(show).state == "changed"


def test_back_to_what_an_older_model_had_learned_is_a_change(show: Show) -> None:
    models = show.models_folder(CHARACTER)
    has_learned(show)
    shutil.copytree(models / "v001", models / "v002")
    has_learned(show, "v002", training_set="more")
    (models / "current.json").write_text('{"current": "v002", "history": ["v001", "v002"]}')
    assert judge(show).state == "changed"


def test_what_cannot_be_judged(show: Show) -> None:
    path = show.corrections_file("ta01", CHARACTER)
    path.write_text("half a record\n")
    with pytest.raises(CorrectionError, match="line 1"):
        judge(show)
    path.unlink()
    template = show.template_file(CHARACTER)
    template.unlink()
    with pytest.raises(TruthError, match=r"'hero' cannot be trained: .*template\.json missing"):
        judge(show)
    for truth in show.truth_shots(CHARACTER):
        show.truth_file(CHARACTER, truth).unlink()
    assert judge(show).state == "untaught"
