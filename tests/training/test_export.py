"""What OpenVINO computes is what PyTorch computes, on real crops and after some training."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from laikaroto.bundled import bundled
from laikaroto.character.template import CharacterTemplate, template_from
from laikaroto.config import PlateConfig
from laikaroto.model.convert import write_ir
from laikaroto.model.network import runtime
from laikaroto.plate.exr import read_rgb
from laikaroto.sidecar.schema import read_roto
from laikaroto.training.checkpoint import Settings, new_state, read_weights
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import read_example, write_example
from laikaroto.training.export import (
    DRAWER_OUTPUTS,
    FINDER_OUTPUTS,
    ExportedDrawer,
    ExportedFinder,
    export_networks,
)
from laikaroto.training.loop import Learning, train_step
from laikaroto.training.losses import CurveIndex
from laikaroto.training.network import Drawer, Finder
from laikaroto.training.warm_start import Source, load_weights

CROP, FINDER, SCALE = 128, (128, 96), 1.7


@dataclass
class Trained:
    """Networks after a few steps on the sample's puppet, their package files, some crops."""

    settings: Settings
    dataset: Dataset
    template: CharacterTemplate
    drawer: Drawer
    finder: Finder
    folder: Path
    crops: torch.Tensor
    wholes: torch.Tensor


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("export")
    roto = read_roto(bundled("sample") / "truth" / "hero" / "tr01.roto.json")
    template = template_from(roto)
    examples = []
    for frame in (1001, 1005):
        plate = bundled("sample") / "plates" / "tr01" / f"tr01.{frame}.exr"
        rgb = read_rgb(plate, PlateConfig(template="{shot}{frame}"))
        write_example(folder, roto, frame, rgb, template, crop_px=CROP, finder=FINDER)
        examples.append(read_example(folder, "tr01", frame))
    dataset = Dataset(examples, tracks=len(template.tracks), crop_px=CROP, finder=FINDER)
    settings = Settings(
        budget_s=1.0, seed=1, training_shots=("tr01",), held_out=(), crop_px=CROP,
        finder_size=FINDER, batch=2,
    )  # fmt: skip
    state = new_state(settings, dataset)
    learning = Learning(index=CurveIndex.of(template))
    with ThreadPoolExecutor(1) as pool:
        for step in range(6):
            batch = dataset.batch((1, step), 2, pool)
            train_step(state, batch, learning, rate=1.0)
        batch = dataset.batch((1, 99), 4, pool)
    with torch.no_grad():  # as sure of itself as after hours: sharp heat maps are sensitive
        state.drawer.heat.weight *= 40
        state.finder.heat.weight *= 20
    export_networks(folder, state.drawer, state.finder, finder_size=FINDER, error_scale=SCALE)
    yield Trained(
        settings, dataset, template, state.drawer, state.finder, folder, batch.crops, batch.wholes
    )
    torch.set_num_threads(threads)


def infer(path: Path, images: torch.Tensor, *names: str) -> list[np.ndarray]:
    """Outputs by name, in full precision as at inference."""
    model = runtime().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model(images.numpy())
    assert len(model.outputs) == len(names)
    return [np.array(found[model.output(name)]) for name in names]


@pytest.fixture(scope="module")
def drawn(trained: Trained) -> list[np.ndarray]:
    return infer(trained.folder / "drawer.xml", trained.crops, *DRAWER_OUTPUTS)


@pytest.fixture(scope="module")
def heads(trained: Trained) -> list[np.ndarray]:
    return infer(trained.folder / "finder.xml", trained.wholes, *FINDER_OUTPUTS)


def test_points_do_not_move(trained: Trained, drawn: list[np.ndarray]) -> None:
    with torch.no_grad():
        wanted = ExportedDrawer(trained.drawer.eval(), SCALE).eval()(trained.crops)
    points, tangents, visible, error, tokens = (value.numpy() for value in wanted)
    assert np.ptp(points[..., 0]) > 5 and np.ptp(tangents) > 1  # there is something to move
    shift = np.hypot(*np.moveaxis(drawn[0] - points, -1, 0))
    assert shift.shape == (4, trained.template.point_count)
    assert shift.mean() < 0.02 and shift.max() < 0.1
    assert np.abs(drawn[1] - tangents).mean() < 0.02
    assert np.abs(drawn[2] - visible).max() < 0.01
    np.testing.assert_allclose(drawn[3], error, rtol=0.01)
    assert np.ptp(tokens) > 0.1 and np.abs(drawn[4] - tokens).mean() < 0.01 * np.ptp(tokens)


def test_the_head_does_not_move(trained: Trained, heads: list[np.ndarray]) -> None:
    with torch.no_grad():
        wanted = ExportedFinder(trained.finder.eval(), FINDER).eval()(trained.wholes)
    centre, side, sure = (value.numpy() for value in wanted)
    assert np.abs(heads[0] - centre).max() < 0.02
    np.testing.assert_allclose(heads[1], side, rtol=1e-3)
    np.testing.assert_allclose(heads[2], sure, atol=0.01)


def test_outputs_are_px_of_the_input_pictures(
    trained: Trained, drawn: list[np.ndarray], heads: list[np.ndarray]
) -> None:
    with torch.no_grad():
        wanted = trained.drawer.eval()(trained.crops)
        centre, side, _, _ = trained.finder.eval()(trained.wholes)
    np.testing.assert_allclose(drawn[0], wanted.xy[-1].numpy() * CROP, atol=0.05)
    # the error is of a crop of 256 px inside, and calibrated
    np.testing.assert_allclose(
        drawn[3], wanted.log_error.exp().numpy() * CROP / 256 * SCALE, rtol=0.01
    )
    np.testing.assert_allclose(heads[0], centre.numpy() * FINDER, atol=0.05)
    np.testing.assert_allclose(heads[1], side.exp().numpy() * FINDER[0], rtol=1e-3)


def test_one_picture_at_a_time_is_the_same(trained: Trained, drawn: list[np.ndarray]) -> None:
    alone = infer(trained.folder / "drawer.xml", trained.crops[2:3], *DRAWER_OUTPUTS)
    np.testing.assert_allclose(alone[0][0], drawn[0][2], atol=0.01)


def test_weights_are_plain_arrays_and_start_another_training(trained: Trained) -> None:
    path = trained.folder / "weights.npz"
    with zipfile.ZipFile(path) as archive:
        assert {Path(name).suffix for name in archive.namelist()} == {".npy"}
    with np.load(path, allow_pickle=False) as data:
        assert all(data[name].dtype.kind in "fi" for name in data.files)
    weights = read_weights(trained.folder / "weights.npz")
    assert len(weights) == len(trained.drawer.state_dict()) + len(trained.finder.state_dict())
    state = new_state(trained.settings, trained.dataset)
    source = Source(label="v001", weights=weights, template=trained.template)
    taken = load_weights(state, source, trained.template)
    assert (taken.whole, taken.by_name, taken.anew) == (len(weights), 0, ())
    for name, value in trained.drawer.state_dict().items():
        assert torch.equal(state.average_drawer.state_dict()[name], value)


def test_points_without_shapes_are_exported(tmp_path: Path) -> None:
    drawer = Drawer(3, torch.rand(3, 2), torch.zeros(0, 4), size=CROP).eval()
    path, crop = tmp_path / "drawer.xml", torch.zeros(1, 3, CROP, CROP)
    write_ir(ExportedDrawer(drawer, 1.0).eval(), crop, path, outputs=DRAWER_OUTPUTS)
    found = infer(path, crop, *DRAWER_OUTPUTS)
    assert found[0].shape == (1, 3, 2) and found[1].shape == (1, 0, 4)
