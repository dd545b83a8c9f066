"""Corrected frames in the training set: what artists touched is truth, the rest is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import CharacterTemplate, template_from, write_template
from laikaroto.correction.holding import hold, parse_scope, revert
from laikaroto.correction.log import append
from laikaroto.correction.records import ShapeEntry
from laikaroto.correction.training_set import corrected_shots, training_set_digest
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto
from tests.correction.shows import drawn_roto, publish_drawn


@pytest.fixture
def show(sample_configs: Path) -> Show:
    """The sample show with its truth imported and ta01 published."""
    show = Show.open(sample_configs)
    for shot in ("tr01", "tr02"):
        target = show.truth_file("hero", shot)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((bundled("sample") / "truth" / "hero" / target.name).read_bytes())
    write_template(show.template_file("hero"), template_of(show))
    publish_drawn(show, drawn_roto())
    return show


def template_of(show: Show) -> CharacterTemplate:
    return template_from(read_roto(show.truth_file("hero", "tr01")))


def fix(show: Show, frame: int, entry: ShapeEntry, name: str = "mouth") -> None:
    append(
        show.corrections_file("ta01", "hero"),
        lambda log: {"kind": "edit", "shapes": {name: {str(frame): entry}}},
        who="anna",
    )


def moved(frame: int) -> ShapeEntry:
    points = drawn_roto().shapes["mouth"].frames[frame].points + np.array([1.0, 0, 0, 0, 0, 0])
    return ShapeEntry(points=np.round(points, 3).tolist())


def test_only_what_was_touched_is_truth(show: Show) -> None:
    template = template_of(show)
    assert corrected_shots(show, "hero", template) == []
    fix(show, 1004, moved(1004))
    fix(show, 1005, ShapeEntry(visible=False))  # says nothing of where the mouth is
    (shot,) = corrected_shots(show, "hero", template)
    assert list(shot.artist) == [1004] == list(shot.roto.frames)
    where = template.slices()["mouth"]
    first = len(template.tracks)
    known = np.zeros(template.point_count, dtype=bool)
    known[first + where.start : first + where.stop] = True
    assert np.array_equal(shot.artist[1004], known)


def test_an_approved_frame_is_truth_in_all_its_shapes(show: Show) -> None:
    roto = drawn_roto()
    path = show.corrections_file("ta01", "hero")
    hold(path, "approve", parse_scope("1007", roto), roto, who="anna")
    (shot,) = corrected_shots(show, "hero", template_of(show))
    assert shot.artist[1007].all()


def test_a_shot_with_truth_of_its_own_is_left_to_it(show: Show) -> None:
    fix(show, 1004, moved(1004))
    target = show.truth_file("hero", "ta01")
    target.write_bytes((bundled("sample") / "truth" / "hero" / target.name).read_bytes())
    assert corrected_shots(show, "hero", template_of(show)) == []


def test_the_digest_changes_with_what_is_learned_from_and_nothing_else(show: Show) -> None:
    roto = drawn_roto()
    path = show.corrections_file("ta01", "hero")
    start = training_set_digest(show, "hero")
    fix(show, 1004, moved(1004))
    corrected = training_set_digest(show, "hero")
    assert corrected != start
    hold(path, "lock", parse_scope("1009", roto), roto, who="anna")
    publish_drawn(show, roto)
    assert training_set_digest(show, "hero") == corrected
    hold(path, "approve", parse_scope("1008", roto), roto, who="anna")
    assert training_set_digest(show, "hero") not in (start, corrected)
    revert(path, 3, who="anna")
    assert training_set_digest(show, "hero") == corrected
    revert(path, 1, who="anna")
    assert training_set_digest(show, "hero") == start


def test_prepare_puts_corrected_frames_beside_the_truth(show: Show, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from laikaroto.training.examples import read_example
    from laikaroto.training.run import open_course, read_index
    from laikaroto.worker import character as steps

    fix(show, 1004, moved(1004))
    steps.prepare(show, character="hero", run=tmp_path, report=lambda fraction, text: None)
    index = read_index(tmp_path)
    assert index.frames["ta01"] == (1004,) and index.corrected == ("ta01",)
    example = read_example(tmp_path / "dataset", "ta01", 1004)
    assert example.known.sum() == len(drawn_roto().shapes["mouth"].frames[1004].points)
    whole = read_example(tmp_path / "dataset", "tr01", 1001)
    assert whole.known.all()
    # the head is where all points are, not where the one corrected shape is
    assert example.box.side > 1.5 * np.ptp(example.values[example.known, :2], axis=0).max()
    course = open_course(
        tmp_path, lambda fraction, text: None, choices={"budget_s": 1.0, "seed": 1, "held_out": ()}
    )
    assert course.settings.held_out != () and "ta01" not in course.settings.held_out
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        batch = course.dataset.of_shots(["ta01"]).batch((1, 0), 2, pool)
    assert (batch.targets.known.sum(dim=1) == example.known.sum()).all()
