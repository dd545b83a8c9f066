"""The package that throughput is measured on where nobody trained one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.plates import find_source
from benchmarks.untrained import write_untrained
from laikaroto.bundled import bundled
from laikaroto.config import PlateConfig
from laikaroto.model.engine import Engine
from laikaroto.model.package import current_version, load_package
from laikaroto.plate.exr import read_header, read_rgb


def test_an_untrained_package_is_current_and_draws(tmp_path: Path) -> None:
    source, config = find_source(bundled("sample"), "ta01"), PlateConfig(template="{shot}{frame}")
    plate = source.plates[0]
    folder = write_untrained(
        tmp_path / "hero", truth=source.truth, crop_px=128, header=read_header(plate, config)
    )
    assert current_version(tmp_path / "hero") == folder.name
    package = load_package(folder)
    engine = Engine(package, threads=1)
    drawn = engine.predict([1], lambda frames: iter([(1, read_rgb(plate, config))]))
    assert drawn.values.shape == (1, package.template.point_count, 6)
    assert np.isfinite(drawn.values).all()
