"""Green-card exposures of training shots, from the show's folder into the prepared frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from laikaroto.errors import PlateError
from laikaroto.show import Show
from laikaroto.training.examples import read_example
from laikaroto.worker import character as steps
from laikaroto.worker.character import truth_digest
from tests.training.synthetic import CHARACTER, HEIGHT, WIDTH, write_plate, write_show


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Two shots; the first frame of a1 and one beyond its truth have a card on their left half."""
    configs = write_show(tmp_path).configs.folder
    data = yaml.safe_load((configs / "show.yaml").read_text())
    data["green_card"] = {"template": "{root}/cards/{shot}/{shot}.{frame:04d}.exr"}
    (configs / "show.yaml").write_text(yaml.safe_dump(data))
    show = Show.open(configs)
    for frame in (1001, 1009):
        write_card(show, frame, WIDTH)
    return show


def write_card(show: Show, frame: int, width: int) -> None:
    picture = np.full((HEIGHT, width, 3), 0.2, np.float32)
    picture[:, : width // 2] = (0.05, 0.5, 0.1)
    write_plate(Path(show.plate_template("a1", green_card=True).format(frame=frame)), picture)


def test_frames_with_a_card_know_what_lies_behind_the_puppet(show: Show, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said: list[str] = []
    steps.prepare(show, character=CHARACTER, run=run, report=lambda _, text: said.append(text))
    assert said[-1] == "1 of 6 frames have a green-card exposure"
    behind = {
        (shot, frame): read_example(run / "dataset", shot, frame).behind
        for shot in ("a1", "a2")
        for frame in (1001, 1002, 1003)
    }
    card = behind.pop(("a1", 1001))
    assert card is not None and not any(value is not None for value in behind.values())
    example = read_example(run / "dataset", "a1", 1001)
    assert card.shape == example.head.shape[:2]
    half = card.shape[1] // 2
    assert card[:, : half - 4].min() > 0.9 and card[:, half + 4 :].max() < 0.1


def test_a_card_of_another_size_is_refused_before_anything_is_prepared(
    show: Show, tmp_path: Path
) -> None:
    write_card(show, 1001, WIDTH // 2)
    with pytest.raises(PlateError, match=f"green-card plates are {WIDTH // 2}x{HEIGHT}, wanted"):
        steps.prepare(show, character=CHARACTER, run=tmp_path / "run", report=quiet)
    assert not (tmp_path / "run").exists()


def test_new_cards_are_something_new_to_learn(show: Show) -> None:
    before = truth_digest(show, CHARACTER)
    assert truth_digest(show, CHARACTER) == before
    write_card(show, 1002, WIDTH)
    assert truth_digest(show, CHARACTER) != before


def test_a_show_whose_cards_are_not_there_learns_what_it_always_did(tmp_path: Path) -> None:
    plain = write_show(tmp_path)
    before = truth_digest(plain, CHARACTER)
    configs = plain.configs.folder
    data = yaml.safe_load((configs / "show.yaml").read_text())
    data["green_card"] = {"template": "{root}/cards/{shot}/{shot}.{frame:04d}.exr"}
    (configs / "show.yaml").write_text(yaml.safe_dump(data))
    show = Show.open(configs)
    assert truth_digest(show, CHARACTER) == before
    steps.prepare(show, character=CHARACTER, run=tmp_path / "run", report=quiet)
    assert read_example(tmp_path / "run" / "dataset", "a1", 1001).behind is None
    # also where the folder is there, with cards of other shots
    data["green_card"] = {"template": "{root}/plates/a2/{shot}.card.{frame:04d}.exr"}
    (configs / "show.yaml").write_text(yaml.safe_dump(data))
    steps.prepare(Show.open(configs), character=CHARACTER, run=tmp_path / "run", report=quiet)
