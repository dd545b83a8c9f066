from __future__ import annotations

import os

import OpenEXR
import pytest

from laikaroto.plate.chunks import UnclearLayoutError, describe_magic, find_cut


def every_kind(folder, write_exr):
    """Small files of all layouts: compressions, tiles, rows from the bottom, several parts."""
    for compression in (
        OpenEXR.NO_COMPRESSION,
        OpenEXR.ZIPS_COMPRESSION,
        OpenEXR.PIZ_COMPRESSION,
        OpenEXR.DWAB_COMPRESSION,
    ):
        yield write_exr(folder / f"{compression.name}.exr", size=(20, 40), compression=compression)
    yield write_exr(folder / "upward.exr", size=(20, 40), lineOrder=OpenEXR.DECREASING_Y)
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    yield write_exr(folder / "tiles.exr", size=(20, 40), type=OpenEXR.tiledimage, tiles=tiles)
    first, second = (
        OpenEXR.File(str(path), separate_channels=True)
        for path in (folder / "ZIPS_COMPRESSION.exr", folder / "tiles.exr")
    )
    parts = [
        OpenEXR.Part({**file.header(), "name": name}, file.channels())
        for name, file in (("a", first), ("b", second))
    ]
    OpenEXR.File(parts).write(str(folder / "parts.exr"))
    yield folder / "parts.exr"


def test_whole_files_of_all_layouts_pass(tmp_path, write_exr):
    kinds = list(every_kind(tmp_path, write_exr))
    assert len(kinds) == 7
    for path in kinds:
        assert find_cut(path) is None, path.name


def test_every_cut_is_found(tmp_path, write_exr):
    for path in list(every_kind(tmp_path, write_exr)):
        size = path.stat().st_size
        content = path.read_bytes()
        for length in [*range(8, size, max(1, size // 150)), size - 1]:
            path.write_bytes(content[:length])
            try:
                found = find_cut(path)
            except UnclearLayoutError:
                continue
            assert found is not None, f"{path.name} cut to {length} of {size} bytes"


def test_message_tells_place_and_sizes(tmp_path, write_exr):
    path = write_exr(tmp_path / "a.exr", size=(8, 8), compression=OpenEXR.NO_COMPRESSION)
    size = path.stat().st_size
    os.truncate(path, size - 3)
    assert find_cut(path) == f"chunk 8 of 8 should end at byte {size}, the file has {size - 3}"
    os.truncate(path, 60)
    assert find_cut(path) == "it ends at byte 60, before its first picture data"


def test_hole_in_the_middle_is_not_called_whole(tmp_path, write_exr):
    path = write_exr(tmp_path / "a.exr", size=(64, 64), compression=OpenEXR.NO_COMPRESSION)
    content = bytearray(path.read_bytes())
    content[6000:12000] = bytes(6000)
    path.write_bytes(content)
    with pytest.raises(UnclearLayoutError):
        find_cut(path)


def test_deep_and_other_files_are_left_to_the_decoder(tmp_path, foreign):
    with pytest.raises(UnclearLayoutError):
        find_cut(foreign / "Trunks.exr")
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(UnclearLayoutError):
        find_cut(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        find_cut(tmp_path / "absent.exr")


def test_damaged_foreign_files_never_break_the_check(foreign):
    for path in foreign.glob("damaged_*.exr"):
        try:
            assert find_cut(path) is None or "byte" in str(find_cut(path))
        except UnclearLayoutError:
            pass


def test_magic(tmp_path, write_exr):
    assert describe_magic(write_exr(tmp_path / "a.exr")) is None
    (tmp_path / "b.exr").write_bytes(b"")
    assert describe_magic(tmp_path / "b.exr") == "the file is empty (0 bytes)"
