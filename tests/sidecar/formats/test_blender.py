"""Our Blender file in Blender itself: made, rendered, exported by the script we ship, read."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from laikaroto.errors import SidecarError
from laikaroto.sidecar.formats import blender
from laikaroto.sidecar.formats.registry import ReadOptions
from tests.sidecar.formats.clients import blender_python
from tests.sidecar.formats.drawn import (
    FIRST,
    HIDDEN,
    KEYS,
    LAST,
    iou,
    matte,
    moving_roto,
    sparse,
    widened_matte,
)

RENDERED = (1001, 1003, 1006, 1009, 1011, 1013, 1017, 1021)
# Blender softens an edge outside of the curve; half of that band lies within this distance.
BAND_PX = 0.65


@dataclass
class Made:
    folder: Path
    said: str

    def picture(self, frame: int) -> np.ndarray:
        with OpenEXR.File(str(self.folder / f"{frame}.exr")) as file:
            return np.array(file.channels()["RGB"].pixels[..., 0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    python = blender_python()
    folder = tmp_path_factory.mktemp("blender")
    (folder / "x.py").write_bytes(blender.write(moving_roto(), sparse(moving_roto()))["x.py"])
    export = resources.files("laikaroto.sidecar.formats") / "scripts" / blender.EXPORT_SCRIPT
    with resources.as_file(export) as script:
        ran = subprocess.run(
            [python, Path(__file__).with_name("in_blender.py"), "x.py", script, "x.masks.json",
             str(folder), *map(str, RENDERED)],
            cwd=folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return Made(folder, ran.stdout)


@pytest.mark.parametrize("frame", RENDERED)
def test_blender_draws_what_our_matte_shows(made: Made, frame: int) -> None:
    assert iou(made.picture(frame), matte(moving_roto(), frame)) >= 0.99
    if frame not in HIDDEN:
        wide = widened_matte(moving_roto().shapes["blob"].frames[frame].points, BAND_PX)
        assert iou(made.picture(frame), wide) >= 0.995


def test_hidden_frames_are_empty(made: Made) -> None:
    assert not made.picture(1011).any()


def test_a_new_scene_takes_size_range_and_rate(made: Made) -> None:
    assert "scene 1280 720 1001 1021 24.0" in made.said


def test_what_blender_exports_is_what_we_wrote(made: Made) -> None:
    read = blender.read(made.folder / "x.masks.json", ReadOptions())
    assert read.size == (1280, 720)
    assert list(read.shapes) == ["blob", "seam"]
    for name, shape in moving_roto().shapes.items():
        back = read.shapes[name]
        assert back.closed == shape.closed
        assert list(back.frames) == list(range(FIRST, LAST + 1))
        for frame, points in back.frames.items():
            np.testing.assert_allclose(points, shape.frames[frame].points, atol=5e-4)
    assert read.shapes["blob"].hidden == HIDDEN
    assert read.shapes["seam"].hidden == frozenset()
    assert read.notes == ()


def test_keys_are_found_although_blender_does_not_tell_them(made: Made) -> None:
    read = blender.read(made.folder / "x.masks.json", ReadOptions())
    # no key where it is only hidden: the exported frames run straight through
    assert set(read.shapes["blob"].keys) <= set(KEYS)
    assert read.shapes["seam"].keys == (1001, 1006, 1021)


def _export(**changes: object) -> dict[str, object]:
    point = [0.5, 0.5, 0.4, 0.5, 0.6, 0.5]
    spline = {"closed": True, "feathered": True, "points": [[point, point]]}
    layer = {"name": "a", "alpha": [1.0], "hidden": False, "splines": [spline, spline],
             "notes": ["is inverted"]}  # fmt: skip
    masks = [{"name": "m", "layers": [layer]}]
    return {"schema": "laikaroto.blender/1", "blender": "4.5", "size": [200, 100],
            "frames": [1001], "masks": masks, **changes}  # fmt: skip


def _written(folder: Path, document: object) -> Path:
    path = folder / "x.masks.json"
    path.write_text(json.dumps(document))
    return path


def test_several_splines_of_a_layer_are_numbered_and_notes_told(tmp_path: Path) -> None:
    read = blender.read(_written(tmp_path, _export()), ReadOptions())
    assert list(read.shapes) == ["a/1", "a/2"]
    assert read.notes == ("a: is inverted",)
    assert read.shapes["a/1"].feathered
    # the longer side is 1 and the middle of the picture is at 0.5, 0.5
    np.testing.assert_allclose(read.shapes["a/1"].frames[1001][0], [100, 50, -20, 0, 20, 0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "other"}, "schema"),
        ({"frames": [1001, 1002]}, "wanted 2 frames, got [1]"),
        ({"masks": [{"name": "m", "layers": [{"name": "a"}]}]}, "masks"),
        ({"size": [0, 10]}, "size"),
        ({"masks": []}, "wanted a mask, got none"),
    ],
)
def test_what_is_no_export_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(SidecarError) as error:
        blender.read(_written(tmp_path, _export(**changes)), ReadOptions())
    assert said in str(error.value) and "x.masks.json" in str(error.value)


def test_a_mask_can_be_chosen_and_must_be_there(tmp_path: Path) -> None:
    path = _written(tmp_path, _export())
    assert blender.read(path, ReadOptions(node="m")).shapes
    with pytest.raises(SidecarError, match="wanted mask 'n', got m"):
        blender.read(path, ReadOptions(node="n"))


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="cannot be read"):
        blender.read(tmp_path / "none.json", ReadOptions())
    (tmp_path / "junk.json").write_bytes(b"{" * 1000)
    with pytest.raises(SidecarError, match="run that in Blender again"):
        blender.read(tmp_path / "junk.json", ReadOptions())


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Masks that were not ours, in a file an artist has saved."""
    python = blender_python()
    folder = tmp_path_factory.mktemp("by_hand")
    (folder / "x.py").write_bytes(blender.write(moving_roto(), sparse(moving_roto()))["x.py"])
    code = Path(__file__).with_name("artist_in_blender.py").read_bytes()
    (folder / "artist.py").write_bytes(code)
    cv2.imwrite(str(folder / "artist.py.png"), np.zeros((50, 100, 3), np.uint8))
    export = resources.files("laikaroto.sidecar.formats") / "scripts" / blender.EXPORT_SCRIPT
    with resources.as_file(export) as script:
        ran = subprocess.run(
            [python, folder / "artist.py", "x.py", script, folder / "scene.blend"],
            cwd=folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return Made(folder, ran.stdout)


def test_a_saved_scene_keeps_its_settings_and_is_told(by_hand: Made) -> None:
    assert "scene 1000 500 1003 1005" in by_hand.said
    assert "laikaroto: drawn for [1280, 720] px, frames 1001-1021" in by_hand.said


def test_masks_made_by_hand_come_back_with_what_cannot(by_hand: Made) -> None:
    read = blender.read(by_hand.folder / "scene.masks.json", ReadOptions())
    assert read.size == (1000, 500)
    assert list(read.shapes) == ["plain", "odd/1", "odd/2", "off", "soft", "followed"]
    assert [name for name, each in read.shapes.items() if each.closed] == list(read.shapes)[1:]
    assert [name for name, each in read.shapes.items() if each.feathered] == ["soft"]
    # an open shape is never rendered: switched off in the render it is still drawn
    assert [name for name, each in read.shapes.items() if each.hidden] == ["off"]
    assert read.shapes["off"].hidden == {1003, 1004, 1005}
    told = sorted(note.split(";")[0] for note in read.notes)
    assert told == ["followed: follows a tracking marker", "odd: is blended as SUBTRACT",
                    "odd: is inverted"]  # fmt: skip
    # 1000 px are 1, upward, around the middle: 0.2, 0.4 lies 300 px left of it and 100 below
    np.testing.assert_allclose(
        read.shapes["plain"].frames[1004][0], [200, 350, 0, 0, 0, 0], atol=1e-3
    )
    assert read.shapes["plain"].keys == (1003, 1005)
