"""The training loop: it learns, keeps its phases and its budget, and survives being killed.

Time is a clock of ours that ticks once a look, so the number of steps is known.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from laikaroto.errors import ConfigError, TruthError
from laikaroto.training import loop
from laikaroto.training.checkpoint import (
    Settings,
    State,
    new_state,
    read_checkpoint,
    write_checkpoint,
)
from laikaroto.training.dataset import Dataset
from laikaroto.training.loop import Course, Learning, train, train_step
from laikaroto.training.losses import CurveIndex
from laikaroto.training.run import load_dataset, read_index
from laikaroto.training.validate import choose_held_out
from laikaroto.worker import character as steps
from tests.training.synthetic import CHARACTER, template, write_show

FORM = template()


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose data set is prepared: two shots of three frames."""
    show = write_show(tmp_path_factory.mktemp("regatta"))
    run = show.work_folder("train")
    steps.prepare(show, character=CHARACTER, run=run, report=quiet)
    return run


@pytest.fixture
def course(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """Two pictures a step, six ticks of time, nothing held out."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    index = read_index(prepared)
    return Course(
        settings=Settings(
            budget_s=6.0, seed=1, training_shots=("a1", "a2"), held_out=(), crop_px=128,
            finder_size=index.finder_size, batch=2,
        ),
        dataset=load_dataset(prepared, index, FORM), template=FORM, plates=index.plate_infos(),
        folder=tmp_path, report=quiet,
    )  # fmt: skip


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=monotonic))


def weights(state: State) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value.clone()
        for part, module in state.modules().items()
        for name, value in module.state_dict().items()
    }


def test_a_few_steps_on_one_batch_lower_its_loss(course: Course) -> None:
    state = new_state(course.settings, course.dataset)
    learning = Learning(index=CurveIndex.of(FORM))
    with ThreadPoolExecutor(1) as pool:
        batch = course.dataset.batch((1, 0), 2, pool)
    found = [train_step(state, batch, learning, rate=0.3) for _ in range(9)]
    assert found[-1] < 0.85 * found[0]
    assert state.step == 9
    # the averaged networks, which are what is kept, follow
    start = new_state(course.settings, course.dataset)
    now, followed, before = (
        torch.cat([value.detach().flatten() for value in module.parameters()])
        for module in (state.drawer, state.average_drawer, start.drawer)
    )
    assert 0 < (followed - now).norm() < (before - now).norm()


def test_held_out_shots_are_measured_first_and_learned_from_later(
    course: Course, ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, set[str]]] = []
    make = Dataset.batch

    def batch(self: Dataset, seed: tuple[int, int], size: int, pool: object, *, first: int = 0):
        seen.append((seed[1], {example.shot for example in self.examples}))
        return make(self, seed, size, pool, first=first)

    monkeypatch.setattr(Dataset, "batch", batch)
    course = replace(course, settings=replace(course.settings, held_out=("a1",)))
    state = train(course)
    # seeded by the step: each once, in order
    assert [step for step, _ in seen] == list(range(state.step))
    shots = [names for _, names in seen]
    first = shots.count({"a2"})
    assert shots == [{"a2"}] * first + [{"a1", "a2"}] * (len(shots) - first)
    assert 0 < first < len(shots)
    assert state.measured_at_s is not None
    share = course.settings.held_out_share * course.settings.budget_s
    assert share <= state.measured_at_s < state.seconds
    assert 6.0 <= state.seconds <= 8.0
    held_out = torch.load(course.folder / "held_out.pt", weights_only=True)
    assert [tuple(row) for row in held_out["rows"]] == [("a1", f) for f in (1001, 1002, 1003)]
    measured = [row for row in state.history if "validation_curves_px" in row]
    assert measured and all(row["seconds"] <= state.measured_at_s for row in measured)
    assert all(row["validation_curves_px"] > 0 for row in measured)


def test_an_early_stop_shortens_the_rest_in_proportion(
    course: Course, ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is gained: two measurements end the first phase, and the decay still comes."""
    monkeypatch.setattr(loop, "_errors", lambda course, held_out: (5.0, 4.0))
    settings = replace(course.settings, budget_s=60.0, held_out=("a1",), patience=2)
    said: list[str] = []
    course = replace(course, settings=settings, report=lambda share, text: said.append(text))
    state = train(course)
    assert state.measured_at_s is not None
    assert state.measured_at_s < 0.4 * 60.0
    assert state.budget_s(settings) == pytest.approx(state.measured_at_s / 0.4)
    assert state.budget_s(settings) <= state.seconds <= state.budget_s(settings) + 2
    measured = [row for row in state.history if "validation_curves_px" in row]
    assert len(measured) == 3  # the best, and two that were no better
    assert "the held-out error falls no more: going on" in said
    assert 0.4 < state.measured_at_s / state.budget_s(settings) + 1e-9 < 0.41
    late = state.history[-1]
    assert course.share(state) == 1.0 and late["seconds"] > state.measured_at_s
    # a training that was killed after the stop keeps it
    assert train(course).step == state.step


def test_without_patience_the_budget_is_used(
    course: Course, ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_errors", lambda course, held_out: (5.0, 4.0))
    settings = replace(course.settings, budget_s=12.0, held_out=("a1",), patience=None)
    state = train(replace(course, settings=settings))
    assert state.seconds >= 12.0 and state.budget_s(settings) == 12.0


def test_a_configured_loss_without_a_target_is_refused(course: Course) -> None:
    dots = FORM.model_copy(update={"shapes": ()})
    examples = [
        replace(e, values=e.values[:2], visible=e.visible[:2], known=e.known[:2])
        for e in course.dataset.examples
    ]
    dataset = Dataset(examples, tracks=2, crop_px=128, finder=course.dataset.finder)
    losses = {"tangents": 1.0, "points": 2.0, "curve": 0.0}
    plain = replace(
        course, template=dots, dataset=dataset, settings=replace(course.settings, losses=losses)
    )
    with pytest.raises(ConfigError) as caught:
        train(plain)
    assert "characters/boat.yaml: training.losses: nothing in this character's" in str(caught.value)
    assert "target of tangents (its shapes: none)" in str(caught.value)
    assert not plain.checkpoint.exists()


def test_configured_weights_are_what_is_learned_by(
    course: Course, ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []
    real = loop.drawing_loss

    def drawing_loss(drawing: object, targets: object, index: object, weights: dict[str, float]):
        seen.append(dict(weights))
        return real(drawing, targets, index, weights)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "check_losses", lambda *arguments: None)
    monkeypatch.setattr(loop, "drawing_loss", drawing_loss)
    settings = replace(course.settings, budget_s=2.0, losses={"visible": 7.0})
    train(replace(course, settings=settings))
    assert seen[0] == {**loop.WEIGHTS, "visible": 7.0}


def test_a_killed_training_goes_on_as_if_nothing_had_been(
    course: Course, ticks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = train(course)
    again = replace(course, folder=tmp_path / "again")
    write = loop.write_checkpoint

    class KilledError(Exception):
        pass

    def write_and_die(path: Path, state: State) -> None:
        write(path, state)
        if state.step == 3:
            raise KilledError

    monkeypatch.setattr(loop, "write_checkpoint", write_and_die)
    with pytest.raises(KilledError):
        train(again)
    monkeypatch.setattr(loop, "write_checkpoint", write)
    starts: list[loop.Start] = []
    resumed = train(again, on_start=starts.append)
    assert (starts[0].resumed, starts[0].step, starts[0].seconds) == (True, 3, 3.0)
    assert resumed.step == whole.step and resumed.seconds == whole.seconds
    one, other = weights(whole), weights(resumed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [p.name for p in again.folder.iterdir()] == ["checkpoint.pt"]
    # finished is finished
    assert train(again).step == whole.step


def test_another_seed_is_another_training(course: Course, ticks: None, tmp_path: Path) -> None:
    short = replace(course.settings, budget_s=2.0)
    states = [
        train(replace(course, folder=tmp_path / name, settings=replace(short, seed=seed)))
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    ]
    one, same, other = (weights(state) for state in states)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["drawer.heat.weight"], other["drawer.heat.weight"])


def test_damaged_or_strange_checkpoints_are_told(course: Course, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    state = new_state(course.settings, course.dataset)
    assert not read_checkpoint(path, state)
    write_checkpoint(path, state)
    assert read_checkpoint(path, state)
    data = path.read_bytes()
    middle = len(data) // 2
    for damage in (b"", data[:middle], data[:middle] + b"\xff\xfe\xfd" + data[middle + 3 :]):
        path.write_bytes(damage)
        with pytest.raises(TruthError, match="checkpoint.pt: cannot be gone on from.*anew"):
            read_checkpoint(path, state)
    path.write_bytes(data)
    larger = new_state(course.settings, _with_more_tracks(course.dataset))
    with pytest.raises(TruthError, match="cannot be gone on from"):
        read_checkpoint(path, larger)


def _with_more_tracks(dataset: Dataset) -> Dataset:
    return Dataset(
        [replace(e, values=e.values[[0, *range(9)]], known=e.known[[0, *range(9)]],
                 visible=e.visible[[0, *range(9)]])
         for e in dataset.examples],
        tracks=3, crop_px=dataset.crop_px, finder=dataset.finder,
    )  # fmt: skip


def test_nothing_to_learn_from(course: Course) -> None:
    with pytest.raises(TruthError, match="no frame to learn from"):
        train(replace(course, dataset=course.dataset.of_shots([])))


def test_the_held_out_shot_is_the_most_ordinary_one(course: Course) -> None:
    assert choose_held_out(("a1",), course.dataset) == ()
    chosen = choose_held_out(("a1", "a2"), course.dataset)
    assert chosen in (("a1",), ("a2",))
    assert chosen == choose_held_out(("a2", "a1"), course.dataset)
