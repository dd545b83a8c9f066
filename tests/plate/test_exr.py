from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from laikaroto.errors import PlateError
from laikaroto.plate.exr import read_header, read_rgb

LOSSLESS = [
    OpenEXR.NO_COMPRESSION,
    OpenEXR.RLE_COMPRESSION,
    OpenEXR.ZIPS_COMPRESSION,
    OpenEXR.ZIP_COMPRESSION,
    OpenEXR.PIZ_COMPRESSION,
    OpenEXR.PXR24_COMPRESSION,
    OpenEXR.HTJ2K32_COMPRESSION,
]
LOSSY = [
    OpenEXR.B44_COMPRESSION,
    OpenEXR.B44A_COMPRESSION,
    OpenEXR.DWAA_COMPRESSION,
    OpenEXR.DWAB_COMPRESSION,
]


@pytest.mark.parametrize("compression", LOSSLESS, ids=lambda c: c.name)
def test_reads_lossless_compressions_exactly(tmp_path, config, write_exr, ramp_rgb, compression):
    path = write_exr(tmp_path / "a.exr", size=(40, 30), compression=compression)
    image = read_rgb(path, config)
    assert image.dtype == np.float32 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, ramp_rgb(40, 30))


@pytest.mark.parametrize("compression", LOSSY, ids=lambda c: c.name)
def test_reads_lossy_compressions(tmp_path, config, write_exr, ramp_rgb, compression):
    path = write_exr(tmp_path / "a.exr", size=(40, 30), compression=compression)
    np.testing.assert_allclose(read_rgb(path, config), ramp_rgb(40, 30), rtol=0.05, atol=0.2)


def test_reads_tiles(tmp_path, config, write_exr, ramp_rgb):
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    path = write_exr(tmp_path / "a.exr", size=(40, 30), type=OpenEXR.tiledimage, tiles=tiles)
    np.testing.assert_array_equal(read_rgb(path, config), ramp_rgb(40, 30))


def test_reads_half_float_and_integer_channels_side_by_side(tmp_path, config, write_exr):
    red = np.full((4, 5), 0.1, "f4")
    green = np.full((4, 5), 0.5, "f2")
    blue = np.full((4, 5), 7, "u4")
    image = read_rgb(write_exr(tmp_path / "a.exr", {"B": blue, "R": red, "G": green}), config)
    np.testing.assert_array_equal(image[0, 0], np.array([0.1, 0.5, 7], "f4"))


def test_reads_named_layer_and_channels(tmp_path, config, write_exr):
    value = {
        f"{layer}.{c}": np.full((4, 5), n, "f2") for layer in "ab" for n, c in enumerate("xyz")
    }
    value = {**value, "a.x": np.full((4, 5), 9, "f2")}
    path = write_exr(tmp_path / "a.exr", value)
    chosen = config.model_copy(update={"layer": "a", "channels": ("z", "y", "x")})
    assert read_rgb(path, chosen)[0, 0].tolist() == [2, 1, 9]
    with pytest.raises(PlateError, match=r"no channel R, G, B; it has a\.x, a\.y.*'layer'"):
        read_rgb(path, config)


def test_reads_first_or_named_part(tmp_path, config):
    path = tmp_path / "parts.exr"
    parts = [
        OpenEXR.Part(
            {"name": name, "type": OpenEXR.scanlineimage},
            {channel: np.full((4, 5), value, "f2") for channel in "RGB"},
        )
        for name, value in (("left", 1), ("right", 2))
    ]
    OpenEXR.File(parts).write(str(path))
    assert read_rgb(path, config).max() == 1
    assert read_rgb(path, config.model_copy(update={"part": "right"})).min() == 2
    with pytest.raises(PlateError, match="no part 'middle'; it has 'left', 'right'"):
        read_header(path, config.model_copy(update={"part": "middle"}))


def test_damage_in_any_part_is_told(tmp_path, config):
    path = tmp_path / "parts.exr"
    value = np.random.default_rng(1).random((64, 64)).astype("f2")
    parts = [
        OpenEXR.Part({"name": name, "type": OpenEXR.scanlineimage}, dict.fromkeys("RGB", value))
        for name in ("left", "right")
    ]
    OpenEXR.File(parts).write(str(path))
    content = bytearray(path.read_bytes())
    content[-3000:-2000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(PlateError, match="the picture data is damaged"):
        read_rgb(path, config.model_copy(update={"part": "right"}))


@pytest.mark.parametrize(
    ("display", "data"),
    [
        ((0, 0, 11, 7), (0, 0, 11, 7)),
        ((0, 0, 19, 15), (3, 4, 14, 11)),
        ((-5, -6, 14, 9), (-2, -3, 9, 4)),
        ((4, 3, 8, 6), (0, 0, 11, 7)),
        ((100, 50, 119, 65), (95, 60, 106, 67)),
    ],
    ids=["same", "smaller", "negative", "larger", "over two borders"],
)
def test_places_data_window_in_display_window(tmp_path, config, write_exr, ramp_rgb, display, data):
    path = write_exr(tmp_path / "a.exr", display=display, data=data)
    width, height = display[2] - display[0] + 1, display[3] - display[1] + 1
    wanted = np.zeros((height, width, 3), np.float32)
    ramp = ramp_rgb(12, 8)
    for y in range(height):
        for x in range(width):
            row, column = y + display[1] - data[1], x + display[0] - data[0]
            if 0 <= row < 8 and 0 <= column < 12:
                wanted[y, x] = ramp[row, column]
    assert wanted.any()
    np.testing.assert_array_equal(read_rgb(path, config), wanted)
    header = read_header(path, config)
    assert (header.width, header.height) == (width, height)
    assert header.data_window == (
        data[0] - display[0],
        data[1] - display[1],
        data[2] - display[0] + 1,
        data[3] - display[1] + 1,
    )


def test_data_window_beside_display_window_is_black(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr", display=(20, 0, 24, 7), data=(0, 0, 11, 7))
    image = read_rgb(path, config)
    assert image.shape == (8, 5, 3) and not image.any()


def test_keeps_pixel_aspect(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr", pixelAspectRatio=2.0)
    assert read_header(path, config).pixel_aspect == 2.0


def test_nonfinite_pixels_are_replaced_or_refused(tmp_path, config, write_exr):
    value = np.ones((4, 5), "f2")
    value[0, :3] = np.nan, np.inf, -np.inf
    path = write_exr(tmp_path / "a.exr", {"R": value, "G": np.ones((4, 5), "f2"), "B": value})
    image = read_rgb(path, config)
    assert image[0, :4, 0].tolist() == [0.0, 65504.0, 0.0, 1.0]
    assert (image[..., 1] == 1).all()
    with pytest.raises(PlateError, match=r"a\.exr: 3 pixels are NaN or infinite"):
        read_rgb(path, config.model_copy(update={"nonfinite": "refuse"}))


def test_refuses_luminance_chroma(tmp_path, config, write_exr):
    value = np.ones((8, 12), "f2")
    path = write_exr(tmp_path / "yc.exr", {"Y": value, "RY": value, "BY": value})
    with pytest.raises(PlateError, match="no channel R, G, B.*luminance/chroma.*convert it to RGB"):
        read_header(path, config)


def test_refuses_sub_sampled_channels(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr")
    content = path.read_bytes()
    # In the list of channels: name, pixel type, flags, then the sampling in x and y.
    before = b"R\0" + struct.pack("<iiii", 1, 0, 1, 1)
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, b"R\0" + struct.pack("<iiii", 1, 0, 2, 2)))
    with pytest.raises(PlateError, match="channels R, G, B are sub-sampled; wanted full size"):
        read_rgb(path, config)


def test_refuses_deep_before_reading_pixels(config, foreign):
    with pytest.raises(PlateError, match=r"Trunks\.exr: is a deep EXR \(deepscanline\)"):
        read_header(foreign / "Trunks.exr", config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"not a picture at all", r"the file is no EXR \(it starts with b'not a"),
        (b"\x76\x2f\x31\x01\x02\x00\x00\x00", "the EXR header is damaged"),
    ],
)
def test_refuses_what_is_no_exr(tmp_path, config, content, message):
    path = tmp_path / "fake.exr"
    path.write_bytes(content)
    with pytest.raises(PlateError, match=message):
        read_rgb(path, config)


def test_missing_file_and_folder_name_the_path(tmp_path, config):
    with pytest.raises(PlateError, match=r"absent\.exr: cannot be read: No such file"):
        read_rgb(tmp_path / "absent.exr", config)
    with pytest.raises(PlateError, match="cannot be read: Is a directory"):
        read_rgb(tmp_path, config)


def test_cut_off_pixels_say_where(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr", size=(64, 64), compression=OpenEXR.ZIPS_COMPRESSION)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(PlateError, match=r"the file is cut off: chunk \d+ of 64 should"):
        read_rgb(path, config)


def test_damage_within_the_pixels_is_found_on_reading(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr", size=(64, 64))
    content = bytearray(path.read_bytes())
    content[-200:-100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(PlateError, match="the picture data is damaged; copy or render"):
        read_rgb(path, config)


def test_absurd_sizes_are_refused_before_memory_is_taken(config, foreign):
    for name in ("memory_DOS_1", "openexr_2.2.0_memory_allocation_error_2"):
        with pytest.raises(PlateError, match="the data window is .*wanted 1 to"):
            read_rgb(foreign / f"damaged_{name}.exr", config)


def test_foreign_windows_and_nonfinite_pixels(config, foreign):
    assert read_rgb(foreign / "t03.exr", config).shape == (280, 370, 3)
    larger = read_rgb(foreign / "t07.exr", config)
    assert larger.shape == (371, 481, 3)
    assert not larger[:40].any() and not larger[:, :40].any() and larger[40:340, 40:440].any()
    assert not read_rgb(foreign / "t09.exr", config).any()
    rings = read_rgb(foreign / "BrightRingsNanInf.exr", config)
    assert np.isfinite(rings).all() and rings.max() == 65504


def test_plates_are_opened_for_reading_only(tmp_path, config, write_exr):
    path = write_exr(tmp_path / "a.exr")
    before = path.read_bytes()
    path.chmod(0o444)
    read_rgb(path, config)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.exr"]


SHARED = Path(__file__).parents[3] / "shared" / "data" / "exr"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the full set of foreign EXRs is not here")
def test_every_foreign_file_is_read_or_refused_with_its_name(config):
    read, refused = [], []
    for path in sorted(SHARED.glob("open*/**/*")):
        if not path.is_file():
            continue
        try:
            image = read_rgb(path, config)
        except PlateError as error:
            assert str(error).startswith(f"{path}: ")
            refused.append(path.name)
        else:
            assert image.ndim == 3 and np.isfinite(image).all()
            read.append(path.name)
    assert len(read) == 18 and len(refused) == 69
    assert {"Trunks.exr", "Garden.exr", "comp_b44.exr"} <= set(refused)
    assert {"multipart.0001.exr", "comp_dwab_v1.exr", "composited.exr"} <= set(read)
