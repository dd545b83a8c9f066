import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from laikaroto.errors import ModelError, UsageError
from laikaroto.model.package import (
    current_version,
    load_package,
    promote,
    resolve_version,
    rollback,
)


@pytest.fixture
def models(tmp_path: Path, tiny_models: Path) -> Path:
    """Three versions, v001 current; files are links, so replace them."""
    shutil.copytree(tiny_models, tmp_path / "hero", copy_function=os.link)
    for version in ("v002", "v003"):
        shutil.copytree(tiny_models / "v001", tmp_path / "hero" / version, copy_function=os.link)
    return tmp_path / "hero"


def replace_file(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_a_package_says_what_it_is(models: Path) -> None:
    package = load_package(models / "v001")
    assert package.version == "v001"
    assert package.info.character == package.template.character == "hero"
    assert len(package.digest) == 64


def test_no_package_names_those_that_are(models: Path) -> None:
    with pytest.raises(ModelError, match="v009.*there are: v001, v002, v003"):
        load_package(models / "v009")


@pytest.mark.parametrize("name", ["drawer.bin", "template.json", "model.json"])
def test_wrong_checksum(models: Path, name: str) -> None:
    data = bytearray((models / "v001" / name).read_bytes())
    data[len(data) // 2] ^= 1
    replace_file(models / "v001" / name, bytes(data))
    with pytest.raises(ModelError, match=f"{name}: checksum differs"):
        load_package(models / "v001")
    with pytest.raises(ModelError):
        promote(models, "v001")


def test_missing_and_added_files(models: Path) -> None:
    (models / "v001" / "finder.bin").unlink()
    (models / "v001" / "extra.txt").write_text("x")
    with pytest.raises(ModelError, match="finder.bin: missing") as caught:
        load_package(models / "v001")
    assert "extra.txt: not in the manifest" in str(caught.value)


def test_current_is_resolved(models: Path) -> None:
    assert resolve_version(models, "current") == "v001"
    assert resolve_version(models, "v003") == "v003"
    with pytest.raises(ModelError, match="no model 'v004'; there are: v001, v002, v003"):
        resolve_version(models, "v004")
    with pytest.raises(ModelError, match="there are: none"):
        resolve_version(models.parent / "nobody", "current")


def test_promote_and_rollback(models: Path) -> None:
    promote(models, "v002")
    promote(models, "v003")
    assert current_version(models) == "v003"
    assert rollback(models) == "v002"
    assert rollback(models) == "v001"
    with pytest.raises(ModelError, match="no earlier current model"):
        rollback(models)
    assert current_version(models) == "v001"


def test_promoting_again_moves_it_to_the_front(models: Path) -> None:
    promote(models, "v002")
    promote(models, "v001")
    assert json.loads((models / "current.json").read_text())["history"] == ["v002", "v001"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"history": 3}'])
def test_a_damaged_pointer_is_told_and_mended_by_promote(models: Path, content: bytes) -> None:
    replace_file(models / "current.json", content)
    with pytest.raises(ModelError, match="current.json: is damaged.*promote"):
        current_version(models)
    promote(models, "v002")
    assert current_version(models) == "v002"


def test_versions_are_checked_as_names(models: Path) -> None:
    with pytest.raises((ModelError, UsageError)):
        resolve_version(models, "../hero/v001")


def rewrite_info(models: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Change model.json of v001 and the manifest with it."""
    folder = models / "v001"
    info = json.loads((folder / "model.json").read_text())
    change(info)
    data = json.dumps(info).encode()
    replace_file(folder / "model.json", data)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["files"]["model.json"] = {
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest()
    }  # fmt: skip
    replace_file(folder / "MANIFEST.json", json.dumps(manifest).encode())


def test_a_package_of_the_first_schema_is_used_as_it_always_was(models: Path) -> None:
    def older(info: dict[str, object]) -> None:
        info["schema_name"] = "laikaroto.model/1"
        info["error_scale"] = 1.25
        info["calibration"] = {"scale": 0.64, "half": 0.66, "spread": 0.4}

    rewrite_info(models, older)
    package = load_package(models / "v001")
    assert package.mirror is None
    calibration = package.info.calibration
    assert calibration.expected(0.5, 9.0) == pytest.approx(0.32)
    assert calibration.flag_below == 0.8


def test_a_package_of_another_schema_says_so(models: Path) -> None:
    rewrite_info(models, lambda info: info.update(schema_name="laikaroto.model/3", surprise=1))
    with pytest.raises(ModelError, match="wanted schema laikaroto.model/2, got laikaroto.model/3"):
        load_package(models / "v001")
