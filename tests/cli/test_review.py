"""``laikaroto review`` on the sample show, published from its own truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laikaroto.matte.exr import write_matte
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto, write_roto


@pytest.fixture
def published(sample_configs: Path) -> Path:
    """The sample show with v001 of tr01: eight frames, one matte layer."""
    root = sample_configs.parent / "sample"
    roto = read_roto(root / "truth" / "hero" / "tr01.roto.json")
    parent = root / "roto" / "tr01" / "hero"
    coverage = np.zeros((360, 640), dtype=np.float32)
    with building(parent) as build:
        write_roto(build / "roto.json", roto)
        (build / "matte").mkdir()
        for frame in roto.frames:
            path = build / "matte" / f"all.{frame}.exr"
            write_matte(path, coverage, channels="RGBA", fps=24, pixel_aspect=1.0)
        publish(build, parent)
    return sample_configs


def test_prints_the_path_of_each_page(published: Path, laikaroto: Callable[..., Any]) -> None:
    ran = laikaroto("review", "tr01", "--configs", published)
    assert ran.code == 0, ran.err
    page = Path(ran.out.strip())
    assert page == published.parent / "sample" / "review" / "tr01" / "hero" / "v001" / "index.html"
    assert page.is_file()
    names = {path.name for path in (page.parent / "pictures").iterdir()}
    assert {"plate.1001.jpg", "thumb.1008.jpg", "matte.all.1003.jpg"} <= names


def test_json_and_measured_errors(published: Path, laikaroto: Callable[..., Any]) -> None:
    truth = published.parent / "sample" / "truth" / "hero" / "tr01.roto.json"
    ran = laikaroto("review", "tr01", "--truth", truth, "--json", "--configs", published)
    (made,) = json.loads(ran.out)["pages"]
    assert (made["shot"], made["character"], made["version"]) == ("tr01", "hero", "v001")
    assert "curve error" in Path(made["page"]).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tr01", "ta01"], "shot 'ta01', character 'hero': nothing is published"),
        (["tr01", "tr02", "--truth", __file__], "--truth goes with one shot, got 2"),
        (["$(reboot)"], "is not a usable name"),
        ([], "Missing argument"),
    ],
)
def test_wrong_calls_make_no_page(
    published: Path, laikaroto: Callable[..., Any], arguments: list[str], message: str
) -> None:
    ran = laikaroto("review", *arguments, "--configs", published)
    assert ran.code == 2
    assert message in ran.err
    assert not (published.parent / "sample" / "review").exists()


def test_a_missing_plate_is_named(published: Path, laikaroto: Callable[..., Any]) -> None:
    plates = published.parent / "sample" / "plates"
    source = plates.resolve() / "tr01"
    plates.unlink()
    (plates / "tr01").mkdir(parents=True)
    for path in source.iterdir():
        if "1004" not in path.name:
            (plates / "tr01" / path.name).symlink_to(path)
    ran = laikaroto("review", "tr01", "--configs", published)
    assert ran.code == 1
    assert "shot tr01 frame 1004" in ran.err
    assert [path.name for path in plates.parent.glob("review/tr01/hero/*")] == []
