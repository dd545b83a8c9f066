"""``laikaroto submit nightly``: who is trained tonight, and what becomes of the shots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from laikaroto.cli.queues import open_queue
from laikaroto.farm.engine import Engine, JobState
from laikaroto.model.package import ModelInfo
from laikaroto.show import Show
from laikaroto.worker.character import truth_digest
from tests.freshness.shows import draw, new_model, say


@pytest.fixture
def show(published_configs: Path) -> Show:
    return Show.open(published_configs)


@pytest.fixture
def engine(show: Show) -> Engine:
    return open_queue(show, None)


@pytest.fixture
def call(laikaroto: Callable[..., Any], published_configs: Path) -> Callable[..., Any]:
    return lambda *arguments: laikaroto(
        "submit", "nightly", *arguments, "--configs", published_configs
    )


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], float]:
    """Set the clock that windows are read off; it stands at noon of a day in 2030."""

    class Clock(datetime):
        moment = datetime(2030, 1, 31, 12, 0)

        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return cls.moment

    def set_to(text: str) -> float:
        Clock.moment = datetime.fromisoformat(text)
        return Clock.moment.timestamp()

    monkeypatch.setattr("laikaroto.farm.night.datetime", Clock)
    return set_to


def has_learned(show: Show, character: str = "hero", version: str = "v001", **fields: Any) -> None:
    """Let a model of a character have learned what there is."""
    path = show.models_folder(character) / version / "model.json"
    info = ModelInfo.model_validate_json(path.read_text())
    fields = {"training_set": truth_digest(show, character), **fields}
    path.unlink()  # a link to the shared one
    path.write_text(info.model_copy(update=fields).model_dump_json())


def add_character(show: Show, name: str, *, budget: str = "8h", created: str = "") -> None:
    """Another character with truth; with a model of another training set if ``created``."""
    source = show.configs.folder / "characters" / "hero.yaml"
    settings = yaml.safe_load(source.read_text())
    settings |= {"name": name, "training": {"budget": budget}}
    source.with_name(f"{name}.yaml").write_text(yaml.safe_dump(settings))
    fresh = Show.open(show.configs.folder)
    truth = fresh.truth_file(name, "tr01")
    truth.parent.mkdir(parents=True)
    shutil.copyfile(show.truth_file("hero", "tr01"), truth)
    models = fresh.models_folder(name)
    models.mkdir()
    shutil.copyfile(show.template_file("hero"), fresh.template_file(name))
    if created:
        shutil.copytree(show.models_folder("hero") / "v001", models / "v001")
        shutil.copyfile(show.models_folder("hero") / "current.json", models / "current.json")
        has_learned(fresh, name, training_set="another", created=created)


def planned(ran: Any, code: int = 0) -> dict[str, dict[str, Any]]:
    assert ran.code == code, ran.err
    return {one["character"]: one for one in json.loads(ran.out)["characters"]}


# ---- one character -------------------------------------------------------------------------


def test_a_character_whose_training_set_changed_is_trained_and_else_not(
    call: Callable[..., Any], show: Show, engine: Engine
) -> None:
    has_learned(show)
    found = planned(call("--json"))
    assert found["hero"]["what"] == "unchanged" and found["hero"]["job"] is None
    assert engine.jobs() == ()
    draw(show, 1001)
    made = planned(call("--json"))["hero"]
    assert made["what"] == "train" and made["why"].endswith(("1 corrections", "and 1 corrections"))
    status = engine.status(made["job"])
    assert (status.kind, status.parameters["Character"]) == ("train", "hero")


def test_called_twice_the_jobs_are_found(
    call: Callable[..., Any], show: Show, engine: Engine
) -> None:
    first = planned(call("--reprocess", "--json"))["hero"]
    draw(show, 1001)  # the set changes once more before the training starts
    second = planned(call("--reprocess", "--json"))["hero"]
    assert (first["what"], second["what"]) == ("train", "queued")
    assert first["job"] == second["job"]
    jobs = [[item["job"] for item in found["shots"]] for found in (first, second)]
    assert jobs[0] == jobs[1] and len(jobs[0]) == 2
    assert all(item["existing"] for item in second["shots"])
    assert len(engine.jobs()) == 3
    text = call("--reprocess").out
    assert f"already queued: {first['job']} is " in text
    assert "2 shots queued behind its training, 2 of them already" in text


def test_a_training_that_somebody_submitted_by_hand_counts(
    call: Callable[..., Any], laikaroto: Callable[..., Any], show: Show, engine: Engine
) -> None:
    by_hand = laikaroto("submit", "train", "hero", "--budget", "30m", "--json",
                        "--configs", show.configs.folder)  # fmt: skip
    job = json.loads(by_hand.out)["jobs"][0]["job"]
    found = planned(call("--json"))["hero"]
    assert (found["what"], found["job"]) == ("queued", job)
    engine.cancel(job)
    assert planned(call("--json"))["hero"]["what"] == "train"


def test_a_dry_run_plans_and_queues_nothing(
    call: Callable[..., Any], show: Show, clock: Callable[[str], float]
) -> None:
    clock("2030-01-31T12:00")
    ran = call("--reprocess", "--dry-run")
    head, train, shots = ran.out.splitlines()
    assert head.startswith("Thu 20:00 to Fri 07:00, 1 at a time, ")
    assert train.startswith("Thu 20:00-04:48  hero  would be queued (since v001 of ")
    assert "takes 8.8 h, its budget and what it does beside" in train
    assert shots.strip() == "2 shots would be queued behind its training"
    assert not (show.root / "farm").exists()


# ---- the window ----------------------------------------------------------------------------


def test_characters_are_spread_over_the_night_who_waits_longest_first(
    call: Callable[..., Any], show: Show, engine: Engine, clock: Callable[[str], float]
) -> None:
    begins = clock("2030-01-31T20:00")
    clock("2030-01-31T12:00")
    has_learned(show, training_set="another", created="2029-03-01T00:00:00+00:00")
    add_character(show, "newest", budget="1h", created="2029-04-01T00:00:00+00:00")
    add_character(show, "oldest", budget="4h", created="2029-01-01T00:00:00+00:00")
    add_character(show, "giant", budget="11h", created="2028-01-01T00:00:00+00:00")
    add_character(show, "first", budget="2h")
    found = planned(call("--json", "--at-once", "1"))
    assert list(found) == ["first", "oldest", "newest", "giant", "hero"]
    starts = {name: one["start"] for name, one in found.items() if one["start"] is not None}
    hour = 3600.0
    assert starts == {
        "first": begins, "oldest": begins + 2.2 * hour, "newest": begins + 6.6 * hour,
    }  # fmt: skip
    assert {name: engine.status(found[name]["job"]).not_before for name in starts} == starts
    assert found["giant"]["what"] == "too-long" and "widen the window" in found["giant"]["why"]
    assert found["hero"]["what"] == "next-night" and "takes 8.8 h" in found["hero"]["why"]
    again = planned(call("--json", "--at-once", "1"))
    assert {name: one["job"] for name, one in again.items()} == {
        name: one["job"] for name, one in found.items()
    }
    assert again["hero"]["what"] == "next-night"  # what is queued has taken its room
    both = planned(call("--json", "--at-once", "4", "--dry-run"))
    assert both["hero"]["start"] is not None


def test_after_midnight_what_is_left_of_the_night_counts(
    call: Callable[..., Any], show: Show, engine: Engine, clock: Callable[[str], float]
) -> None:
    clock("2030-02-01T03:00")
    found = planned(call("--json"))["hero"]
    assert found["what"] == "next-night"
    assert planned(call("--json", "--window", "22:00-12:00"))["hero"]["what"] == "train"
    (job,) = engine.jobs()
    assert job.not_before is None  # the window is open: at once


def test_earlier_trainings_tell_how_long_it_takes(
    call: Callable[..., Any], show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(call("--json"))["hero"]
    assert made["expected_s"] == 31680.0
    engine = open_queue(show, None)
    (job,) = engine.jobs()
    took = 5400.0
    before = type(job)(**{
        **{name: getattr(job, name) for name in job.__dataclass_fields__},
        "name": "train-hero-before", "state": JobState.SUCCEEDED, "not_before": None,
        "started": 1000.0, "ended": 1000.0 + took,
    })  # fmt: skip
    engine.cancel(job.name)
    monkeypatch.setattr(type(engine), "jobs", lambda self: (before,))
    found = planned(call("--json", "--dry-run"))["hero"]
    assert (found["expected_s"], found["known_by"]) == (took, "as long as the one before")


# ---- shots ---------------------------------------------------------------------------------


def test_shots_follow_their_training_and_give_way_to_the_day(
    call: Callable[..., Any], show: Show, engine: Engine
) -> None:
    say(show, "approve", "all", shot="tr01")
    found = planned(call("--reprocess", "--json", "--priority", "5"))["hero"]
    (shot,) = found["shots"]
    status = engine.status(shot["job"])
    assert status.needs == (found["job"],) and status.priority == 0
    assert status.parameters["Redo"] == "stale" and status.state is JobState.WAITING
    (left,) = found["left_alone"]
    assert left["shot"] == "tr01" and left["why"].startswith("approved by bo")
    assert "tr01 left alone: approved by bo" in call("--reprocess", "--dry-run").out


def test_shots_that_lag_behind_are_done_without_a_training(
    call: Callable[..., Any], show: Show, engine: Engine, clock: Callable[[str], float]
) -> None:
    new_model(show)
    has_learned(show, version="v002")
    begins = clock("2030-01-31T20:00")
    clock("2030-01-31T12:00")
    found = planned(call("--reprocess", "--json"))["hero"]
    assert found["what"] == "unchanged" and len(found["shots"]) == 2
    status = engine.status(found["shots"][0]["job"])
    assert status.needs == () and status.not_before == begins  # not in the middle of the day
    assert status.priority == 40


def test_what_waited_behind_a_training_that_failed_makes_room(
    call: Callable[..., Any], show: Show, engine: Engine, tmp_path: Path
) -> None:
    """Last night's shots are blocked for ever; tonight's take their place."""
    first = planned(call("--reprocess", "--json"))["hero"]
    engine.cancel(first["job"])
    stuck = [item["job"] for item in first["shots"]]
    assert [engine.status(job).state for job in stuck] == [JobState.BLOCKED] * 2
    second = planned(call("--reprocess", "--json"))["hero"]
    assert second["job"] != first["job"]
    assert [engine.status(job).state for job in stuck] == [JobState.CANCELLED] * 2
    assert [item["existing"] for item in second["shots"]] == [False, False]


# ---- faults --------------------------------------------------------------------------------


def test_one_that_cannot_be_judged_does_not_keep_the_others_from_it(
    call: Callable[..., Any], show: Show, engine: Engine
) -> None:
    add_character(show, "broken")
    Show.open(show.configs.folder).template_file("broken").unlink()
    ran = call("--json")
    found = planned(ran, code=1)
    assert found["broken"]["what"] == "fault" and "template.json missing" in found["broken"]["why"]
    assert found["hero"]["what"] == "train" and len(engine.jobs()) == 1
    assert "broken: could not be planned or queued, see above" in ran.err


def test_a_show_without_characters(call: Callable[..., Any], show: Show) -> None:
    (show.configs.folder / "characters" / "hero.yaml").unlink()
    ran = call()
    assert ran.code == 2 and "the show has no character" in ran.err


def test_a_character_without_truth_is_left_out(call: Callable[..., Any], show: Show) -> None:
    show.truth_file("hero", "tr01").unlink()
    found = planned(call("--json", "--reprocess"))["hero"]
    assert (found["what"], found["job"], found["shots"]) == ("untaught", None, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--window", "tonight"), "--window 'tonight' cannot be read; wanted FROM-TO as 20:00"),
        (("--window", "20:00-20:00"), "is empty"),
        (("--window", "20:00-31:00"), "no such time of day"),
        (("--character", "villain"), "unknown character 'villain'; known: hero"),
        (("--queue", "moon"), "unknown queue 'moon'"),
        (("--at-once", "0"), "'--at-once'"),
        (("--priority", "101"), "0<=x<=100"),
    ],
)
def test_wrong_calls(
    call: Callable[..., Any], show: Show, arguments: tuple[str, ...], message: str
) -> None:
    ran = call(*arguments)
    assert ran.code == 2 and message in ran.err
    assert not (show.root / "farm").exists()
