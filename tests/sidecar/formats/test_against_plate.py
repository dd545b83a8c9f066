"""Another frame range than the plate's: refused where none fits, told where some do."""

from __future__ import annotations

from pathlib import Path

import pytest

from laikaroto.errors import SidecarError
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.formats.registry import FORMATS, ReadOptions, WriteOptions
from tests.sidecar.formats.rotos import every_frame, roto

DATA = Path(__file__).parents[2] / "data"


def plate(first: int, last: int) -> ReadOptions:
    return ReadOptions(plate=PlateInfo(width=1280, height=720, first=first, last=last))


@pytest.mark.parametrize("tool", ["nuke", "silhouette"])
def test_frames_of_another_shot(tmp_path: Path, tool: str) -> None:
    files = FORMATS[tool].write(roto(), WriteOptions(keys=every_frame(roto()), name="x"))
    ((name, data),) = files.items()
    path = tmp_path / name
    path.write_bytes(data)
    assert FORMATS[tool].read(path, plate(1001, 1012)).notes == ()
    (note,) = FORMATS[tool].read(path, plate(1005, 1100)).notes
    assert "frames 1001 to 1012, the plate has 1005 to 1100" in note
    with pytest.raises(SidecarError, match="frames 1001 to 1012, the plate has 1 to 12; is it the"):
        FORMATS[tool].read(path, plate(1, 12))


def test_labels_of_another_shot() -> None:
    path = DATA / "deeplabcut" / "CollectedData_artist.csv"
    with pytest.raises(SidecarError, match="frames 1001 to 1005, the plate has 1 to 3"):
        FORMATS["deeplabcut"].read(path, plate(1, 3))


def test_a_video_longer_than_the_plate() -> None:
    (note,) = FORMATS["sleap"].read(DATA / "sleap" / "hero.slp", plate(1001, 1003)).notes
    assert "frames 1001 to 1005, the plate has 1001 to 1003" in note
