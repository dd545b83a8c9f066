"""``laikaroto status`` as a supervisor and as a script read it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laikaroto.show import Show
from tests.freshness.shows import draw, new_model, say


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


@pytest.fixture
def call(laikaroto: Callable[..., Any], published_configs: Path) -> Callable[..., Any]:
    return lambda *arguments: laikaroto("status", *arguments, "--configs", published_configs)


def test_a_table_of_what_is_published(call: Callable[..., Any], show: Show) -> None:
    ran = call()
    head, first, second, last = ran.out.splitlines()
    assert head.split() == [
        "shot", "character", "version", "model", "published", "frames", "flagged", "state",
        "stale", "because",
    ]  # fmt: skip
    assert first.split()[:4] == ["ta01", "hero", "v001", "v001"] and first.endswith("-")
    assert second.startswith("tr01") and last == "0 of 2 stale" and ran.code == 0
    assert call("--stale").out == "0 of 2 stale\n"


def test_every_reason_has_its_line(call: Callable[..., Any], show: Show) -> None:
    new_model(show)
    draw(show, 1001)
    os.utime(show.plate_template("ta01").format(frame=1002))
    say(show, "lock", "1001", shot="tr01")
    say(show, "approve", "all", shot="tr01")
    lines = call("--stale").out.splitlines()
    assert lines[1].endswith("model: drawn by v001, current is v002")
    assert lines[2].strip() == "plates: frames 1002 written after v001"
    assert lines[3].strip() == "corrections: record 1 came after v001"
    assert lines[2].index("plates:") == lines[1].index("model:")
    assert "approved by bo  " in lines[4]
    assert lines[-1] == "2 of 2 stale (model 2, corrections 2, plates 1)"


def test_scripts_get_it_as_json(call: Callable[..., Any], show: Show) -> None:
    draw(show, 1001)
    say(show, "lock", "1002")
    first, second = json.loads(call("--json").out)
    assert first["shot"] == "ta01" and first["locked_frames"] == 1 and first["held"] is None
    assert first["stale"] == [{"what": "corrections", "why": "records 1-2 came after v001"}]
    assert Path(first["folder"]) == show.sidecar_folder("ta01", "hero", "v001")
    assert second["stale"] == [] and second["frames"] == 3 and second["fault"] is None
    (only,) = json.loads(call("--json", "--stale").out)
    assert only == first


def test_what_cannot_be_judged_is_shown_and_does_not_hide_the_rest(
    call: Callable[..., Any], show: Show
) -> None:
    show.corrections_file("ta01", "hero").write_text("nonsense\n")
    ran = call("--stale")
    assert ran.code == 0
    assert "ta01" in ran.out and "cannot be judged: " in ran.out and "line 1" in ran.out
    assert ran.out.splitlines()[-1] == "0 of 2 stale, 1 cannot be judged"


def test_choosing_shots(call: Callable[..., Any]) -> None:
    assert [s["shot"] for s in json.loads(call("--shots", "t?01", "--json").out)] == [
        "ta01", "tr01",
    ]  # fmt: skip
    assert [s["shot"] for s in json.loads(call("--shots", "tr*", "--json").out)] == ["tr01"]
    ran = call("--shots", "zz*")
    assert ran.code == 2
    assert ran.err == "error: --shots 'zz*': no published shot fits; there are: ta01, tr01\n"
    ran = call("--character", "villain")
    assert ran.code == 2 and "unknown character 'villain'; known: hero" in ran.err


def test_a_show_without_results(laikaroto: Callable[..., Any], sample_configs: Path) -> None:
    ran = laikaroto("status", "--configs", sample_configs)
    assert (ran.code, ran.out) == (
        0, "nothing is published yet; roto a shot with 'laikaroto infer' or 'submit shot'\n",
    )  # fmt: skip
    ran = laikaroto("status", "--shots", "*", "--configs", sample_configs)
    assert ran.code == 2 and "there are: none" in ran.err
