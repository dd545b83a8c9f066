"""Names, commands and the job specification; no RQD needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from laikaroto.config import OpenCueSettings
from laikaroto.errors import ConfigError, FarmError
from laikaroto.farm.opencue.spec import (
    Place,
    environment,
    frame_command,
    launch_name,
    layer_names,
    write_spec,
)
from laikaroto.farm.plan import plan_job
from laikaroto.farm.steering import Card, new_card
from tests.farm.opencue.book import DEPEND, WAITING, Book
from tests.farm.tiny import job, stamp, step

SETTINGS = OpenCueSettings(user="artist", show="kubo")


def card_of(*steps: dict[str, Any], **settings: Any) -> Card:
    bundle = job(*steps, **settings)
    return new_card(bundle, plan_job(bundle, where="here"), digest="", threads=2, timeout_s=60)


def spec_of(card: Card, settings: OpenCueSettings = SETTINGS, **changes: Any) -> str:
    wanted: dict[str, Any] = {
        "number": 1,
        "tasks": {s.name: frozenset(range(len(s.tasks))) for s in card.steps},
        "commands": {s.name: f"run {s.name} '#IFRAME#'" for s in card.steps},
        "priority": 70,
        **changes,
    }
    place = Place.of(card.settings, card.parameters, settings)
    return write_spec(card, settings, place, **wanted)


@pytest.mark.parametrize(
    "name",
    ["shot-ev100-hero-k3x9qa", "Shot__a-_b--C.d", "kubo-ev_100-artist_x.yz", "tiny-x__-y"],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_job_is_called_what_was_foretold(name: str, number: int) -> None:
    card = card_of(stamp(Path("out"), "x"), name=name)
    place = Place.of(card.settings, {"Shot": "Ev-100"}, SETTINGS)
    foretold = place.job_name(launch_name(card, number))
    launched = Book(["kubo"]).launch(
        write_spec(
            card, SETTINGS, place, number=number, tasks={"stamp": frozenset({0})},
            commands={"stamp": "true"}, priority=1,
        )
    )  # fmt: skip
    assert launched.name == foretold and foretold.startswith("kubo-ev_100-artist_")


def test_show_shot_and_user_are_not_said_twice() -> None:
    card = card_of(stamp(Path("out"), "x"), name="ev-ev_100-an_na-xyz", show="ev", user="an.na")
    card = replace(card, parameters={"Shot": "Ev-100"})
    assert launch_name(card, 1) == card.settings.name  # cut, or named by hand
    settings = card.settings.model_copy(update={"name": "ev-Ev-100-anna_shot-hero-k3x9qa"})
    card = replace(card, settings=settings)
    place = Place.of(card.settings, card.parameters, SETTINGS)
    assert place.job_name(launch_name(card, 2)) == "kubo-ev_100-artist_shot_hero_k3x9qa_2"


def test_layers_are_told_apart_whatever_the_steps_are_called() -> None:
    names = ["a", "A", "x-y", "x_y", "x.y", "a" * 60]
    card = card_of(*(stamp(Path("out"), "x", name=name) for name in names))
    layers = layer_names(card)
    assert len(set(layers.values())) == len(names)
    launched = Book(["kubo"]).launch(spec_of(card))
    assert {layer.name for layer in launched.layers} == set(layers.values())


def test_what_a_layer_asks_for() -> None:
    card = card_of(
        stamp(Path("out"), tasks="1-4", name="many", needs=("first",)),
        stamp(
            Path("out"), "x", name="first",
            amounts={"amount.worker.vcpu": 3, "amount.worker.memory": 1536},
        ),
    )  # fmt: skip
    settings = SETTINGS.model_copy(update={"tags": ("general", "roto"), "facility": "local"})
    spec = spec_of(card, settings, tasks={"first": frozenset({0}), "many": frozenset({0, 2, 3})})
    made = Book(["kubo"]).launch(spec)
    first, many = made.layers
    assert (made.priority, made.paused, made.max_retries) == (70, True, 0)
    assert (first.cores, first.memory, many.cores) == (300, 1536 * 1024, 200)
    assert first.tags == ("general", "roto") and first.timeouts == (0, 0)
    assert [frame.number for frame in many.frames] == [0, 2, 3]
    assert [f.state for f in made.frames()] == [WAITING, DEPEND, DEPEND, DEPEND]
    assert ElementTree.fromstring(spec).findtext("facility") == "local"


def test_a_step_that_is_done_is_left_out_and_waited_for_no_more() -> None:
    card = card_of(stamp(Path("out"), "x", name="first"), stamp(Path("out"), "y", needs=("first",)))
    made = Book(["kubo"]).launch(spec_of(card, tasks={"stamp": frozenset({0})}))
    assert [frame.state for frame in made.frames()] == [WAITING]


def test_the_number_of_another_user_is_not_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    card = card_of(stamp(Path("out"), "x"))
    assert ElementTree.fromstring(spec_of(card)).find("uid") is None
    monkeypatch.setenv("LOGNAME", "artist")
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert ElementTree.fromstring(spec_of(card)).findtext("uid") == "1234"


def test_jobs_of_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    card = card_of(stamp(Path("out"), "x"))
    with pytest.raises(FarmError, match="does not run jobs of root.*opencue.user"):
        Place.of(card.settings, {}, OpenCueSettings())


def test_a_show_opencue_cannot_have_is_refused() -> None:
    assert Place.of(card_of(step("s", "")).settings, {}, OpenCueSettings(user="a")).show == "test"
    card = card_of(stamp(Path("out"), "x"), show="ev")
    with pytest.raises(ConfigError, match="'ev' is no name OpenCue takes.*opencue.show"):
        Place.of(card.settings, {}, OpenCueSettings(user="artist"))


def test_secrets_are_not_handed_to_opencue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_LICENSE", "port@host")
    monkeypatch.setenv("STUDIO_TOKEN", "hush")
    found = environment(OpenCueSettings(environment=("STUDIO_LICENSE",)))
    assert found["STUDIO_LICENSE"] == "port@host" and "STUDIO_TOKEN" not in found
    monkeypatch.delenv("TZ", raising=False)
    assert environment(OpenCueSettings())["TZ"] == ":/etc/localtime"  # not RQD's PST8PDT
    with pytest.raises(ConfigError, match="STUDIO_TOKEN: looks secret"):
        environment(OpenCueSettings(environment=("STUDIO_TOKEN",)))


NASTY = "a b'\"$(touch x)`touch x`;touch x&|<>*?~\\é\n%s"


def test_a_command_says_the_same_to_a_shell(tmp_path: Path) -> None:
    show = f"import sys, json; json.dump(sys.argv[1:], open({str(tmp_path / 'said')!r}, 'w'))"
    command = frame_command(tmp_path / NASTY, "job", "st.ep", retry_delay_s=2)
    assert command.startswith(f"{sys.executable} -P -m laikaroto.farm.opencue.frame ")
    command = command.replace(" -m laikaroto.farm.opencue.frame ", f' -c "{show}" ', 1)
    script = tmp_path / "script"  # as RQD does: a file without a first line that says how
    script.write_text(command.replace("#IFRAME#", "17"))
    script.chmod(0o755)
    subprocess.run(["/bin/sh", str(script)], cwd=tmp_path, check=True, timeout=180)
    said = json.loads((tmp_path / "said").read_text())
    assert said == [str(tmp_path / NASTY), "job", "st.ep", "2", "17"]
    assert not (tmp_path / "x").exists()


def test_a_command_survives_the_specification(tmp_path: Path) -> None:
    card = card_of(step("s", ""))
    command = frame_command(tmp_path / NASTY, "job", "s", retry_delay_s=2)
    made = Book(["kubo"]).launch(spec_of(card, commands={"s": command}))
    assert made.layers[0].command == command


@pytest.mark.parametrize("name", ["#JOB#", "a\x01b"])
def test_a_path_opencue_would_change_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="OpenCue would change this path"):
        frame_command(Path("/farm") / name, "job", "step", retry_delay_s=2)
