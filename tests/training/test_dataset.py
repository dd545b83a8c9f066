"""Plates and truth as files, and random batches of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from laikaroto.character.template import CharacterTemplate, pack
from laikaroto.coords import transform_points
from laikaroto.errors import TruthError
from laikaroto.model.crop import MARGIN
from laikaroto.model.mirror import Mirror
from laikaroto.plate.colour import encode_log
from laikaroto.shapes.records import PlateInfo, Roto, TrackFrame
from laikaroto.training import dataset as module
from laikaroto.training import examples
from laikaroto.training.augment import Sample
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import (
    Example,
    example_file,
    finder_size,
    read_example,
    write_example,
)
from tests.training.synthetic import at_rest, paint, poses, template

FINDER = (128, 96)


def boat(folder: Path, frame: int = 1001) -> tuple[Example, np.ndarray, np.ndarray]:
    """A prepared frame, its plate and its true values."""
    form = template()
    rest, _, _ = pack(at_rest(), form, 1001)
    values = transform_points(rest, poses(frame, 1)[0])
    rgb = paint(values, frame)
    write_example(folder, as_roto(values, frame), frame, rgb, form, crop_px=128, finder=FINDER)
    return read_example(folder, "a1", frame), rgb, values


def as_roto(values: np.ndarray, frame: int) -> Roto:
    from laikaroto.character.template import unpack

    plate = PlateInfo(width=192, height=128, first=frame, last=frame)
    return unpack(template(), "a1", plate, [frame], values[None], np.ones((1, len(values)), bool))


def dots(
    folder: Path, xy: np.ndarray, rgb: np.ndarray, crop_px: int = 128
) -> tuple[Dataset, Example]:
    """A data set of one frame of a character of tracking points only."""
    names = tuple(f"p{i}" for i in range(len(xy)))
    form = CharacterTemplate(character="dots", tracks=names, shapes=())
    height, width, _ = rgb.shape
    roto = Roto(
        shot="d1", character="dots", version="", shapes={}, frames={},
        plate=PlateInfo(width=width, height=height, first=1, last=1),
        tracks={n: {1: TrackFrame(xy=tuple(p))} for n, p in zip(names, xy.tolist(), strict=True)},
    )  # fmt: skip
    write_example(folder, roto, 1, rgb, form, crop_px=crop_px, finder=FINDER)
    example = read_example(folder, "d1", 1)
    return Dataset([example], tracks=len(xy), crop_px=crop_px, finder=FINDER), example


def test_what_is_written_is_read(tmp_path: Path) -> None:
    example, rgb, values = boat(tmp_path)
    assert (example.shot, example.frame, example.scale) == ("a1", 1001, 1.0)
    np.testing.assert_array_equal(example.values, values)
    assert example.known.all() and example.visible.all()
    assert example.head.shape == rgb.shape and example.head.dtype == np.float16
    assert example.whole.shape[:2] == (FINDER[1] * 2, FINDER[0] * 2)
    # half floats are finer than the grain of any plate by far
    assert np.abs(example.head.astype(np.float32) - encode_log(rgb)).max() < 5e-4


def test_a_frame_without_truth_is_refused(tmp_path: Path) -> None:
    form = template()
    image = np.zeros((128, 192, 3), np.float32)
    with pytest.raises(TruthError, match="shot rest frame 1007: the truth has no point"):
        write_example(tmp_path, at_rest(), 1007, image, form, crop_px=128, finder=FINDER)


def test_a_single_place_is_refused(tmp_path: Path) -> None:
    image = np.zeros((128, 192, 3), np.float32)
    with pytest.raises(TruthError, match="shot d1 frame 1: all points lie at one place"):
        dots(tmp_path, np.array([(50.0, 60.0), (50.0, 60.0)]), image)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "flipped", "field"])
def test_damaged_files_are_told(tmp_path: Path, damage: str) -> None:
    boat(tmp_path)
    path = example_file(tmp_path, "a1", 1001)
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "missing":
        path.unlink()
    elif damage == "field":
        np.savez(path, head=np.zeros(3))
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        broken = {"empty": b"", "cut": data[:middle], "text": b"hello", "flipped": flipped}
        path.write_bytes(broken[damage])
    with pytest.raises(TruthError, match="a1.1001.npz: cannot be read.*prepare step again"):
        read_example(tmp_path, "a1", 1001)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = example_file(tmp_path, "a1", 1001)
    np.savez(path, head=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TruthError, match="cannot be read"):
        read_example(tmp_path, "a1", 1001)


def test_a_batch_depends_on_the_seed_alone(tmp_path: Path) -> None:
    examples = [boat(tmp_path, frame)[0] for frame in (1001, 1002)]
    dataset = Dataset(examples, tracks=2, crop_px=128, finder=FINDER)

    def tensors(seed: tuple[int, int], threads: int) -> list[torch.Tensor]:
        with ThreadPoolExecutor(threads) as pool:
            batch = dataset.batch(seed, 4, pool)
        assert batch.crops.shape == (4, 3, 128, 128)
        assert batch.wholes.shape == (4, 3, FINDER[1], FINDER[0])
        assert batch.targets.xy.shape == (4, 9, 2) and batch.targets.tangents.shape == (4, 7, 4)
        return [batch.crops, batch.wholes, batch.targets.xy, batch.targets.tangents,
                batch.targets.visible, batch.centres, batch.sides]  # fmt: skip

    one = tensors((1, 5), 1)
    assert all(torch.equal(a, b) for a, b in zip(one, tensors((1, 5), 3), strict=True))
    for other in ((1, 6), (2, 5)):
        assert not torch.equal(one[0], tensors(other, 1)[0])


def test_the_truth_lies_on_the_picture_also_on_large_plates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of 400 px in a crop of 128: the plate is reduced, and the truth with it."""
    xy = np.array([(170.0, 130.0), (450.0, 260.0), (300.5, 370.25)])
    x, y = np.arange(620) + 0.5, np.arange(460) + 0.5
    spots = [np.exp(-((x[None] - a) ** 2 + (y[:, None] - b) ** 2) / (2 * 9.0**2)) for a, b in xy]
    monkeypatch.setattr(examples, "encode_log", lambda rgb: rgb)
    monkeypatch.setattr(module, "vary", lambda sample, rng, other, chances: sample)
    dataset, example = dots(tmp_path, xy, np.stack(spots, -1).astype(np.float32))
    assert 0.3 < example.scale < 0.9
    with ThreadPoolExecutor(1) as pool:
        batch = dataset.batch((1, 1), 8, pool)
    crops = batch.crops.numpy().transpose(0, 2, 3, 1)
    place = np.arange(128) + 0.5
    total = crops.sum((1, 2))
    found = np.stack(
        [(crops.sum(1) * place[:, None]).sum(1) / total,
         (crops.sum(2) * place[:, None]).sum(1) / total], -1
    )  # fmt: skip
    inside = np.abs(batch.targets.xy.numpy() - 0.5).max(-1) < 0.38
    gaps = np.hypot(*np.moveaxis(found - batch.targets.xy.numpy() * 128, -1, 0))[inside]
    assert len(gaps) > 8 and gaps.mean() < 0.25 and gaps.max() < 1.0


def test_mirrored_pictures_exchange_left_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left is a red spot, right a blue one; mirrored, "left" has to be on the blue one."""
    xy = np.array([(105.0, 105.0), (155.0, 105.0), (130.0, 55.0), (130.0, 155.0)])
    x, y = np.arange(260) + 0.5, np.arange(200) + 0.5
    red, blue = (
        np.exp(-((x[None] - a) ** 2 + (y[:, None] - b) ** 2) / (2 * 2.0**2)) for a, b in xy[:2]
    )
    rgb = np.stack([red, 0 * red, blue], -1).astype(np.float32)
    monkeypatch.setattr(examples, "encode_log", lambda rgb: rgb)
    monkeypatch.setattr(module, "vary", lambda sample, rng, other, chances: sample)
    plain, _ = dots(tmp_path, xy, rgb)
    order = np.array([1, 0, 2, 3])
    mirror = Mirror(order, np.zeros(4, bool), np.column_stack([order, order]), np.zeros(4))
    dataset = Dataset(plain.examples, tracks=4, crop_px=128, finder=FINDER, mirror=mirror)
    with ThreadPoolExecutor(1) as pool:
        batch = dataset.batch((1, 1), 16, pool)
    place, mirrored = np.arange(128) + 0.5, 0
    for crop, points in zip(batch.crops.numpy(), batch.targets.xy.numpy() * 128, strict=True):
        spots = [
            np.array([(crop[c].sum(0) * place).sum(), (crop[c].sum(1) * place).sum()])
            / crop[c].sum()
            for c in (0, 2)
        ]
        swapped = np.hypot(*(points[0] - spots[1])) < np.hypot(*(points[0] - spots[0]))
        mirrored += swapped
        wanted = spots[::-1] if swapped else spots
        assert np.abs(points[:2] - wanted).max() < 0.5
        assert points[0, 0] < points[1, 0]  # left is left in either
    assert 3 < mirrored < 13


def test_the_finders_truth_lies_on_its_picture(tmp_path: Path) -> None:
    """The head is a square, left half red and right half blue; half of the views are mirrored."""
    xy = np.array([(200.0, 120.0), (300.0, 120.0), (300.0, 220.0), (200.0, 220.0)])
    half = 50  # the box is as large, and its margin
    rgb = np.zeros((360, 480, 3), np.float32)
    rgb[170 - half : 170 + half, 250 - half : 250, 0] = 20
    rgb[170 - half : 170 + half, 250 : 250 + half, 2] = 20
    dataset, example = dots(tmp_path, xy, rgb)
    assert (example.box.x, example.box.y, example.box.side) == (250, 170, 130)
    with ThreadPoolExecutor(1) as pool:
        batch = dataset.batch((3, 1), 40, pool)
    width, height = FINDER
    mirrored, checked = set(), 0
    for i, picture in enumerate(batch.wholes.numpy()):
        if not batch.present[i]:
            continue
        difference = picture[0] - picture[2]
        lit = np.abs(difference) > np.abs(difference).max() / 2
        rows, columns = np.nonzero(lit)
        if min(rows.min(), columns.min()) == 0:
            continue  # cut by the edge of the view
        if rows.max() == height - 1 or columns.max() == width - 1:
            continue
        checked += 1
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        wanted = batch.centres[i].numpy() * [width, height]
        assert np.abs(centre - wanted).max() < 0.7
        side = float(batch.sides[i].exp()) * width
        assert np.sqrt(lit.sum()) * MARGIN == pytest.approx(side, rel=0.06, abs=1.5)
        red, blue = (np.nonzero(lit & (sign * difference > 0))[1].mean() for sign in (1, -1))
        mirrored.add(bool(red > blue))
    assert checked > 15 and mirrored == {True, False}


def test_a_quarter_of_the_finders_pictures_show_no_head(tmp_path: Path) -> None:
    """The head is red; whatever is done to a picture, red tells whether there is one."""
    xy = np.array([(200.0, 120.0), (300.0, 120.0), (300.0, 220.0), (200.0, 220.0)])
    rgb = np.random.default_rng(1).uniform(0.1, 0.3, (360, 480, 3)).astype(np.float32)
    rgb[120:220, 200:300] = (20, 0, 0)
    dataset, _ = dots(tmp_path, xy, rgb)
    with ThreadPoolExecutor(1) as pool:
        batch = dataset.batch((3, 1), 200, pool)
    redness = (batch.wholes[:, 0] - batch.wholes[:, 1]).flatten(1)
    shown = torch.quantile(redness, 0.998, dim=1) > 0.25
    assert shown.tolist() == batch.present.bool().tolist()
    assert 0.15 < 1 - float(batch.present.mean()) < 0.35


def test_mean_tangents_are_fractions_of_the_head(tmp_path: Path) -> None:
    example, _, values = boat(tmp_path)
    dataset = Dataset([example], tracks=2, crop_px=128, finder=FINDER)
    np.testing.assert_allclose(
        dataset.mean_tangents().numpy(), values[2:, 2:] / example.box.side, rtol=1e-5
    )


def test_parts_by_shot(tmp_path: Path) -> None:
    example, _, _ = boat(tmp_path)
    dataset = Dataset([example], tracks=2, crop_px=128, finder=FINDER)
    assert dataset.of_shots(["a1", "b"]).examples == (example,)
    assert dataset.of_shots(["b"]).examples == ()


@pytest.mark.parametrize(
    ("plate", "finder"),
    [((1920, 1080), (192, 128)), ((1080, 1920), (128, 192)), ((500, 500), (192, 192))],
)
def test_finder_sizes_fit_the_network(plate: tuple[int, int], finder: tuple[int, int]) -> None:
    assert finder_size(*plate) == finder


def test_what_is_known_behind_the_puppet_goes_the_way_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cropped, turned, bent and mirrored alike: here it is the picture's own green."""
    form = template()
    values = transform_points(pack(at_rest(), form, 1001)[0], poses(1, 1)[0])
    rgb = np.random.default_rng(1).uniform(0.0, 1.0, (128, 192, 3)).astype(np.float32)
    green = encode_log(rgb)[..., 1]
    write_example(
        tmp_path, as_roto(values, 1), 1, rgb, form, crop_px=128, finder=FINDER, behind=green
    )
    example = read_example(tmp_path, "a1", 1)
    assert example.behind is not None and example.behind.shape == (128, 192)
    np.testing.assert_array_equal(example.behind, example.head[..., 1])
    seen: list[Sample] = []
    monkeypatch.setattr(module, "vary", lambda sample, *_: seen.append(sample) or sample)
    count = len(values)
    same = np.arange(count)
    mirror = Mirror(same, np.zeros(count, bool), np.column_stack([same, same]), np.zeros(count))
    dataset = Dataset([example], tracks=2, crop_px=128, finder=FINDER, mirror=mirror)
    with ThreadPoolExecutor(1) as pool:
        batch = dataset.batch((1, 1), 12, pool)
    assert batch.crops.shape == (12, 3, 128, 128)
    for sample in seen:
        assert sample.behind is not None and sample.image.shape == (128, 128, 3)
        np.testing.assert_allclose(sample.behind, sample.image[..., 1], atol=1e-6)
