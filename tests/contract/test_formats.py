"""What holds of every format in the registry, whatever tool it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.keys import every_key, reduced_keys
from laikaroto.shapes.records import Roto, Shape, TrackFrame
from laikaroto.sidecar.formats.registry import FORMATS, Format, ReadOptions, WriteOptions
from tests.contract.looks import Seen, look_for
from tests.sidecar.formats.drawn import FIRST, HIDDEN, LAST, moving_roto

WRITTEN = [pytest.param(entry, id=name) for name, entry in FORMATS.items() if entry.writes]
READ = [pytest.param(entry, id=name) for name, entry in FORMATS.items() if entry.reads]
# Kept by a plain name, and of the kind that turns into code where it is not quoted.
ODD = (
    'eye "L"',
    "it's",
    "\\back\\slash",
    "brow [exec puts]",
    "{knob} %s $(date) ${HOME}",
    '"); raise SystemExit(7) #',
    "'); process.exit(7); //",
    "]] os.exit(7) --",
    "</title><script>alert(7)</script>",
    "Augenbraue_ä é 眉",
    "a\u2028b",
)


def sparse(roto: Roto, tolerance_px: float = 0.25) -> WriteOptions:
    keys = {n: reduced_keys(s, tolerance_px=tolerance_px) for n, s in roto.shapes.items()}
    return WriteOptions(keys=keys, name="x")


def shown(entry: Format, roto: Roto, options: WriteOptions, folder: Path) -> Seen:
    frames = range(roto.plate.first, roto.plate.last + 1)
    return look_for(entry.name)(entry.write(roto, options), folder, frames)


def kept(entry: Format, roto: Roto) -> Mapping[str, Shape]:
    return {
        name: shape
        for name, shape in roto.shapes.items()
        if ("closed" if shape.closed else "open") in entry.keeps
    }


def one_frame() -> Roto:
    roto = moving_roto()
    return dataclasses.replace(
        roto,
        plate=dataclasses.replace(roto.plate, first=1003, last=1003),
        shapes={
            name: dataclasses.replace(shape, frames={1003: shape.frames[1003]})
            for name, shape in roto.shapes.items()
        },
        tracks={name: {1003: track[1003]} for name, track in roto.tracks.items()},
    )


def odd_names() -> Roto:
    roto = moving_roto()
    blob, seam = roto.shapes["blob"], roto.shapes["seam"]
    shapes = {name: (blob, seam)[k % 2] for k, name in enumerate(ODD)}
    return dataclasses.replace(
        roto,
        shapes=shapes,
        tracks={name: roto.tracks["nose_tip"] for name in ODD if name.isprintable()},
        shot=ODD[5],
        character=ODD[6],
        version=ODD[7],
    )


@pytest.mark.parametrize("entry", WRITTEN)
def test_shapes_keep_name_kind_place_and_visibility_on_every_frame(
    entry: Format, tmp_path: Path
) -> None:
    roto = moving_roto()
    seen = shown(entry, roto, sparse(roto), tmp_path)
    assert list(sorted(seen.shapes)) == sorted(kept(entry, roto))
    for name, shape in kept(entry, roto).items():
        drawn = seen.shapes[name]
        assert drawn.closed == shape.closed
        assert drawn.hidden == (HIDDEN if name == "blob" else set())
        for frame in range(FIRST, LAST + 1):
            np.testing.assert_allclose(
                sample(drawn.frames[frame], closed=shape.closed),
                sample(shape.frames[frame].points, closed=shape.closed),
                atol=2e-3, err_msg=f"{name} on frame {frame}",
            )  # fmt: skip


@pytest.mark.parametrize("entry", WRITTEN)
def test_size_and_frames_are_the_plates(entry: Format, tmp_path: Path) -> None:
    roto = moving_roto()
    seen = shown(entry, roto, sparse(roto), tmp_path)
    assert seen.size in (None, (1280, 720))
    assert seen.frames in (None, (FIRST, LAST))


@pytest.mark.parametrize("entry", WRITTEN)
def test_tracking_points_stay_where_they_are(entry: Format, tmp_path: Path) -> None:
    roto = moving_roto()
    seen = shown(entry, roto, sparse(roto), tmp_path)
    if "tracks" not in entry.keeps:
        assert seen.tracks == {}
        return
    visible = {f: p.xy for f, p in roto.tracks["nose_tip"].items() if p.visible}
    assert list(seen.tracks) == ["nose_tip"]
    assert sorted(seen.tracks["nose_tip"]) == sorted(visible)
    for frame, xy in visible.items():
        np.testing.assert_allclose(seen.tracks["nose_tip"][frame], xy, atol=1e-3)


@pytest.mark.parametrize("entry", WRITTEN)
def test_every_frame_keyed_says_the_same(entry: Format, tmp_path: Path) -> None:
    roto = moving_roto()
    every = WriteOptions(keys={n: every_key(s) for n, s in roto.shapes.items()}, name="x")
    seen = shown(entry, roto, every, tmp_path)
    for name, shape in kept(entry, roto).items():
        for frame in (1004, 1011, 1018):
            np.testing.assert_allclose(
                sample(seen.shapes[name].frames[frame], closed=shape.closed),
                sample(shape.frames[frame].points, closed=shape.closed), atol=2e-3,
            )  # fmt: skip


@pytest.mark.parametrize("entry", WRITTEN)
def test_names_are_text_never_code(entry: Format, tmp_path: Path) -> None:
    roto = odd_names()
    if entry.keeps == {"tracks"}:
        roto = dataclasses.replace(roto, shapes={})
    if entry.name == "json":  # such names are not in a roto.json at all
        with pytest.raises(SidecarError, match="should match pattern"):
            shown(entry, roto, sparse(roto), tmp_path)
        return
    seen = shown(entry, roto, sparse(roto), tmp_path)
    assert sorted(seen.shapes) == sorted(kept(entry, roto))
    if "tracks" in entry.keeps:
        assert sorted(seen.tracks) == sorted(roto.tracks)


@pytest.mark.parametrize("entry", WRITTEN)
def test_a_shape_hidden_throughout_is_there_and_hidden(entry: Format, tmp_path: Path) -> None:
    roto = moving_roto()
    frames = {
        frame: dataclasses.replace(at, visible=False)
        for frame, at in roto.shapes["blob"].frames.items()
    }
    gone = dataclasses.replace(roto.shapes["blob"], frames=frames)
    roto = dataclasses.replace(roto, shapes={**roto.shapes, "blob": gone})
    seen = shown(entry, roto, sparse(roto), tmp_path)
    if "blob" in kept(entry, roto):
        assert seen.shapes["blob"].hidden == set(range(FIRST, LAST + 1))


@pytest.mark.parametrize("entry", WRITTEN)
def test_an_empty_roto_is_a_file_without_shapes(entry: Format, tmp_path: Path) -> None:
    roto = dataclasses.replace(moving_roto(), shapes={}, tracks={})
    try:
        seen = shown(entry, roto, sparse(roto), tmp_path)
    except SidecarError as error:  # a reader may say that there is nothing to read
        assert ": no " in str(error)
        return
    assert seen.shapes == {} and seen.tracks == {}


@pytest.mark.parametrize("entry", WRITTEN)
def test_one_frame_is_enough(entry: Format, tmp_path: Path) -> None:
    roto = one_frame()
    seen = shown(entry, roto, sparse(roto), tmp_path)
    assert seen.frames in (None, (1003, 1003))
    for name, shape in kept(entry, roto).items():
        np.testing.assert_allclose(
            sample(seen.shapes[name].frames[1003], closed=shape.closed),
            sample(shape.frames[1003].points, closed=shape.closed), atol=2e-3,
        )  # fmt: skip


@pytest.mark.parametrize("entry", WRITTEN)
def test_what_is_drawn_on_no_frame_does_no_harm(entry: Format, tmp_path: Path) -> None:
    roto = moving_roto()
    shapes = {"never": Shape(closed=True, frames={}), **roto.shapes}
    tracks: dict[str, Mapping[int, TrackFrame]] = {"none": {}, **roto.tracks}
    roto = dataclasses.replace(roto, shapes=shapes, tracks=tracks)
    seen = shown(entry, roto, sparse(roto), tmp_path)
    assert {name for name in seen.shapes if name != "never"} == set(kept(entry, roto)) - {"never"}


@pytest.mark.parametrize("entry", WRITTEN)
def test_the_same_roto_gives_the_same_files(entry: Format) -> None:
    first = entry.write(moving_roto(), sparse(moving_roto()))
    assert first == entry.write(moving_roto(), sparse(moving_roto()))
    for name in first:
        assert name.startswith("x.") and name.endswith(entry.suffixes[0])


@pytest.mark.parametrize("entry", WRITTEN)
def test_keys_that_cannot_be_are_refused(entry: Format) -> None:
    if entry.between_keys == "none" or not entry.keeps & {"closed", "open"}:
        return
    roto = moving_roto()
    with pytest.raises(UsageError, match="blob.*no keys were chosen"):
        entry.write(roto, WriteOptions(keys={"seam": (1001,)}, name="x"))
    keys = {"seam": (1001,), "blob": (1001, 1900)}
    with pytest.raises(UsageError, match="blob.*1900"):
        entry.write(roto, WriteOptions(keys=keys, name="x"))
    frames = dict(roto.shapes["blob"].frames)
    frames[1021] = dataclasses.replace(
        frames[1021], points=frames[1021].points[:4], point_visible=np.ones(4, dtype=np.bool_)
    )
    fewer = dataclasses.replace(roto.shapes["blob"], frames=frames)
    roto = dataclasses.replace(roto, shapes={"blob": fewer})
    with pytest.raises(SidecarError, match="blob.*5 points on frame 1001, 4 on frame 1021"):
        entry.write(roto, WriteOptions(keys={"blob": (1001, 1021)}, name="x"))


@pytest.mark.parametrize("entry", READ)
@pytest.mark.parametrize("junk", [b"", b"\x00\xff" * 500, b"{" * 3000, b"<a>" * 3000, b"[1, 2"])
def test_junk_is_refused_and_the_file_named(entry: Format, junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"junk{entry.suffixes[-1]}"
    path.write_bytes(junk)
    with pytest.raises(SidecarError, match="junk"):
        entry.read(path, ReadOptions())
    with pytest.raises(SidecarError, match="none"):
        entry.read(tmp_path / f"none{entry.suffixes[-1]}", ReadOptions())


@pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in FORMATS.values()])
def test_a_format_says_what_it_cannot_do(entry: Format) -> None:
    assert entry.reads or entry.writes
    if not entry.reads:
        with pytest.raises(UsageError, match="cannot be read, only written"):
            _ = entry.read
    if not entry.writes:
        with pytest.raises(UsageError, match="cannot be written, only read"):
            _ = entry.write
