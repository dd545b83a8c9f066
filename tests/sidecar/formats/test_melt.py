"""Our MLT file in melt, the program behind Kdenlive and Shotcut."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats import mlt
from laikaroto.sidecar.formats.registry import WriteOptions
from tests.sidecar.formats.clients import needed
from tests.sidecar.formats.drawn import FIRST, HIDDEN, LAST, iou, matte, moving_roto, sparse


def render(folder: Path, options: WriteOptions, roto: Roto | None = None) -> dict[int, np.ndarray]:
    """Coverage 0-255 of every frame as melt draws our file."""
    (folder / "x.mlt").write_bytes(mlt.write(roto or moving_roto(), options)["x.mlt"])
    # On a crowded machine melt 7.12 now and then ends before it has drawn a frame, and with
    # real_time=-1 (a thread of its own for pictures) it may never end.
    files: list[Path] = []
    for _ in range(6):
        ran = subprocess.run(
            [needed("melt"), "x.mlt", "-consumer", "avformat:out.%04d.png", "vcodec=png", "an=1",
             "pix_fmt=rgba", "mlt_image_format=rgba", "real_time=0"],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        if files := sorted(folder.glob("out.*.png")):
            break
    return dict(zip(range(FIRST, LAST + 1), map(_alpha, files), strict=True))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[int, np.ndarray]:
    return render(tmp_path_factory.mktemp("melt"), sparse(moving_roto()))


def _alpha(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape[2] == 4
    return np.asarray(image[..., 3])


@pytest.mark.parametrize("frame", range(FIRST, LAST + 1))
def test_melt_draws_what_our_matte_shows(rendered: dict[int, np.ndarray], frame: int) -> None:
    drawn = rendered[frame] > 127  # melt's edges are hard
    assert iou(drawn * 1.0, (matte(moving_roto(), frame) > 0.5) * 1.0) >= 0.999


def test_it_is_the_half_pixel_that_makes_it_fit(
    rendered: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mlt, "_SAMPLED_AT_PX", (0.0, 0.0))
    unshifted = render(tmp_path, sparse(moving_roto()))
    for frame in (1001, 1004, 1017):
        own = (matte(moving_roto(), frame) > 0.5) * 1.0
        fits = iou((rendered[frame] > 127) * 1.0, own)
        assert 1.0 - fits < 0.3 * (1.0 - iou((unshifted[frame] > 127) * 1.0, own))


def test_hidden_frames_are_empty(rendered: dict[int, np.ndarray]) -> None:
    assert {frame for frame, drawn in rendered.items() if not drawn.any()} == HIDDEN


def test_a_shape_hidden_throughout_is_drawn_nowhere(tmp_path: Path) -> None:
    roto = moving_roto()
    frames = {
        frame: dataclasses.replace(at, visible=False)
        for frame, at in roto.shapes["blob"].frames.items()
    }
    gone = dataclasses.replace(roto.shapes["blob"], frames=frames)
    roto = dataclasses.replace(roto, shapes={"blob": gone})
    assert not any(drawn.any() for drawn in render(tmp_path, sparse(roto), roto).values())


def test_film_rates_are_written_as_programs_count_them() -> None:
    assert str(mlt.frame_rate(23.976)) == "24000/1001"
    assert str(mlt.frame_rate(29.97)) == "30000/1001"
    assert str(mlt.frame_rate(24.0)) == "24"
    assert str(mlt.frame_rate(12.5)) == "25/2"
