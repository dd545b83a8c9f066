"""``laikaroto submit reprocess``: which shots, and what is left alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from laikaroto.cli.queues import open_queue
from laikaroto.errors import FarmError
from laikaroto.model.package import promote
from laikaroto.show import Show
from laikaroto.sidecar.publish import versions
from laikaroto.sidecar.schema import read_roto
from tests.freshness.shows import draw, new_model, publish_shot, say


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


@pytest.fixture
def call(laikaroto: Callable[..., Any], published_configs: Path) -> Callable[..., Any]:
    return lambda *arguments: laikaroto(
        "submit", "reprocess", *arguments, "--configs", published_configs
    )


def chosen(ran: Any) -> list[str]:
    assert ran.code == 0, ran.err
    return [item["shot"] for item in json.loads(ran.out)["jobs"]]


def test_only_what_is_stale_and_why(call: Callable[..., Any], show: Show) -> None:
    assert call("--stale").out == "no shot is to be done again\n"
    os.utime(show.plate_template("tr01").format(frame=1001))
    ran = call("--stale", "--dry-run")
    assert ran.out.splitlines() == [
        "tr01 hero v001: would be queued (plates: frames 1001 written after v001)",
        "1 would be queued",
    ]
    assert not (show.root / "farm").exists()
    (job,) = json.loads(call("--stale", "--json", "--priority", "20").out)["jobs"]
    status = open_queue(show, None).status(job["job"])
    assert (status.kind, status.priority) == ("shot", 20)
    assert status.parameters["Redo"] == "stale" and status.parameters["Frames"] == "1001-1003"
    again = call("--stale")
    assert f"tr01 hero v001: is already queued as {job['job']}" in again.out


def test_by_one_reason(call: Callable[..., Any], show: Show) -> None:
    os.utime(show.plate_template("tr01").format(frame=1001))
    draw(show, 1001, shot="ta01")
    assert chosen(call("--stale", "--dry-run", "--json")) == ["ta01", "tr01"]
    assert chosen(call("--because", "plates", "--dry-run", "--json")) == ["tr01"]
    both = ("--because", "corrections", "--because", "plates", "--dry-run", "--json")
    assert chosen(call(*both)) == ["ta01", "tr01"]


def test_by_name(call: Callable[..., Any]) -> None:
    assert chosen(call("--shots", "ta*", "--dry-run", "--json")) == ["ta01"]
    assert chosen(call("--character", "hero", "--dry-run", "--json")) == ["ta01", "tr01"]


def test_by_the_model_that_drew_it(call: Callable[..., Any], show: Show) -> None:
    new_model(show)
    publish_shot(show, "ta01")
    assert chosen(call("--since", "v002", "--dry-run", "--json")) == ["ta01"]
    assert chosen(call("--since", "v001", "--dry-run", "--json")) == ["ta01", "tr01"]
    assert chosen(call("--since", "v003", "--dry-run", "--json")) == []
    assert chosen(call("--before", "v002", "--dry-run", "--json")) == ["tr01"]
    between = ("--since", "v001", "--before", "v003", "--stale", "--dry-run", "--json")
    assert chosen(call(*between)) == ["tr01"]


def test_locked_and_approved_shots_are_left_alone_and_listed(
    call: Callable[..., Any], show: Show
) -> None:
    new_model(show)
    say(show, "lock", "all", shot="ta01")
    say(show, "approve", "all", shot="tr01")
    ran = call("--stale")
    assert ran.code == 0 and not (show.root / "farm").exists()
    first, second, last = ran.out.splitlines()
    assert first.startswith("ta01 hero v001: left alone: locked by bo at ")
    assert second.startswith("tr01 hero v001: left alone: approved by bo at ")
    assert "--force" in first and last == "2 left alone"
    left = json.loads(call("--stale", "--json").out)["left_alone"]
    assert [item["stale"][0]["what"] for item in left] == ["model", "model"]
    jobs = json.loads(call("--stale", "--force", "--json").out)["jobs"]
    engine = open_queue(show, None)
    assert [engine.status(j["job"]).parameters["Redo"] for j in jobs] == ["force-stale"] * 2


def test_a_shot_of_picked_frames_is_done_on_those(call: Callable[..., Any], show: Show) -> None:
    publish_shot(show, "ta01", frames=(1001, 1002))
    (job,) = json.loads(call("--shots", "ta01", "--json").out)["jobs"]
    found = open_queue(show, None).status(job["job"]).parameters
    assert (found["Frames"], found["Redo"]) == ("1001-1002", "all")


def test_what_cannot_be_done_does_not_keep_the_rest_from_it(
    call: Callable[..., Any], show: Show
) -> None:
    shutil.rmtree(Path(show.plate_template("ta01")).parent)
    ran = call("--shots", "*")
    assert "ta01 hero v001: left alone: there are no plates to read" in ran.out
    assert "tr01 hero v001: queued as sample-tr01-" in ran.out
    show.corrections_file("tr01", "hero").write_text("nonsense\n")
    assert "line 1" in call("--shots", "tr01").out


def test_a_farm_that_refuses_one_shot_takes_the_others(
    call: Callable[..., Any], show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the farm took before it came to the one it refuses is not said to be an older job."""
    engine = type(open_queue(show, None))
    submit_all = engine.submit_all
    asked: list[list[str]] = []

    def takes_no_tr01(self: Any, bundles: Any) -> Any:
        asked.append([str(bundle.parameters["Shot"]) for bundle in bundles])
        sent = submit_all(self, [b for b in bundles if b.parameters["Shot"] != "tr01"])
        if "tr01" in asked[-1]:
            raise FarmError("job tr01: asks for 99 GPUs")
        return sent

    monkeypatch.setattr(engine, "submit_all", takes_no_tr01)
    ran = call("--shots", "*")
    assert asked == [["ta01", "tr01"], ["ta01"], ["tr01"]]
    assert ran.code == 1 and "1 shots could not be queued" in ran.err
    assert "ta01 hero v001: queued as sample-ta01-" in ran.out
    assert "tr01 hero v001: left alone: job tr01: asks for 99 GPUs" in ran.out
    assert len(open_queue(show, None).jobs()) == 1


def test_a_changed_template_takes_a_training_first(call: Callable[..., Any], show: Show) -> None:
    path = show.template_file("hero")
    document = json.loads(path.read_text())
    document["tracks"] = document["tracks"][1:]
    path.write_text(json.dumps(document))
    ran = call("--stale")
    assert ran.out.count("left alone: that takes a new model first") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say which shots: --stale"),
        (("--shots", "zz*"), "no published shot fits"),
        (("--character", "villain"), "unknown character 'villain'"),
        (("--since", "3"), "version '3' is not of the form v001"),
        (("--before", "latest"), "version 'latest' is not of the form v001"),
        (("--because", "mood"), "'mood' is not one of"),
        (("--stale", "--queue", "moon"), "unknown queue 'moon'"),
        (("--stale", "--dry-run", "--wait"), "exclude each other"),
    ],
)
def test_wrong_calls(call: Callable[..., Any], arguments: tuple[str, ...], message: str) -> None:
    ran = call(*arguments)
    assert ran.code == 2 and message in ran.err


def test_without_a_current_model_nothing_is_queued(call: Callable[..., Any], show: Show) -> None:
    (show.models_folder("hero") / "current.json").unlink()
    ran = call("--shots", "*")
    assert ran.code == 2 and "hero has no current model; train one" in ran.err
    assert not (show.root / "farm").exists()


@pytest.fixture
def farm(laikaroto: Callable[..., Any], published_configs: Path) -> Iterator[None]:
    ran = laikaroto("farm", "start", "--configs", published_configs)
    assert ran.code == 0, ran.err
    yield
    laikaroto("farm", "stop", "--configs", published_configs)


def test_on_a_real_farm(
    laikaroto: Callable[..., Any], call: Callable[..., Any], show: Show, farm: None
) -> None:
    """A stale shot becomes a new version; one that is fresh when its turn comes stays as it is."""
    new_model(show)
    (parked,) = json.loads(call("--stale", "--shots", "tr01", "--paused", "--json").out)["jobs"]
    ran = call("--stale", "--shots", "ta01", "--wait", "--json")
    assert ran.code == 0, ran.out + ran.err
    made = read_roto(show.sidecar_folder("ta01", "hero", "v002") / "roto.json")
    assert made.provenance["model"]["version"] == "v002"
    promote(show.models_folder("hero"), "v001")  # as after a training that was no better
    configs = ("--configs", show.configs.folder)
    assert laikaroto("jobs", "resume", parked["job"], *configs).code == 0
    ran = laikaroto("jobs", "wait", parked["job"], *configs)
    assert ran.code == 0, ran.err
    assert versions(show.sidecar_folder("tr01", "hero", "v001").parent) == ["v001"]
    log = laikaroto("jobs", "logs", parked["job"], "check/0", *configs).out
    assert "nothing to do: v001 is what would be made now" in log
