"""What many tests need: a copy of the sample show, and the command line run in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from laikaroto.bundled import bundled


@pytest.fixture
def sample_configs(tmp_path: Path) -> Path:
    """Configuration folder of a sample show of its own; plates are links to the bundled ones."""
    shutil.copytree(bundled("configs"), tmp_path / "configs")
    root = tmp_path / "sample"
    root.mkdir()
    for name in ("plates", "green_card", "truth", "reference"):
        (root / name).symlink_to(bundled("sample") / name)
    return tmp_path / "configs"


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models folder of the sample's puppet with one untrained package; made once, never changed."""
    from tests.model.tiny import sample_template, write_package

    models = tmp_path_factory.mktemp("models") / "hero"
    write_package(models, sample_template(bundled("sample") / "truth" / "hero"))
    return models


@pytest.fixture
def tiny_configs(sample_configs: Path, tiny_models: Path) -> Path:
    """Configuration folder of a sample show whose puppet has a (bad) model.

    The package's files are links to the shared ones: replace them, do not write into them.
    """
    models = sample_configs.parent / "sample" / "models" / "hero"
    shutil.copytree(tiny_models, models, copy_function=os.link)
    return sample_configs


@pytest.fixture(scope="session")
def published_show(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Path:
    """A show with ta01 and tr01 of hero published for real, 3 frames each; never changed."""
    from tests.freshness.shows import publish_show

    return publish_show(tmp_path_factory.mktemp("published") / "show", tiny_models)


@pytest.fixture
def published_configs(published_show: Path, tmp_path: Path) -> Path:
    """Configuration folder of a copy of ``published_show``, plates and their times included."""
    shutil.copytree(published_show, tmp_path / "show")
    return tmp_path / "show" / "configs"


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def laikaroto(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Run ``laikaroto ARGUMENTS`` in this process."""
    from laikaroto.cli.app import main

    monkeypatch.delenv("LAIKAROTO_CONFIGS", raising=False)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ran(code, out, err)

    return run
