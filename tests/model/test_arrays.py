from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from laikaroto.model.arrays import load_arrays, write_arrays


def test_read_as_written_all_or_some(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"one": np.arange(3), "other": np.array(["x", "yz"])})
    assert {name: a.tolist() for name, a in load_arrays(path).items()} == {
        "one": [0, 1, 2], "other": ["x", "yz"],
    }  # fmt: skip
    assert list(load_arrays(path, ["other"])) == ["other"]


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "checksum":
        data[data.index(np.arange(300).tobytes()) + 700] ^= 1
    path.write_bytes({"empty": b"", "text": b"no archive", "half": data[:900]}.get(how, data))
    if how == "one array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    if how == "objects":
        np.savez(path, one=np.array([object()]))


@pytest.mark.parametrize("how", ["empty", "text", "half", "checksum", "one array", "objects"])
def test_every_kind_of_damage_is_one_error(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"one": np.arange(300)})
    spoil(path, how)
    with pytest.raises(ValueError):
        load_arrays(path)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "a.npz")
    write_arrays(tmp_path / "a.npz", {"one": np.arange(3)})
    with pytest.raises(ValueError, match="other"):
        load_arrays(tmp_path / "a.npz", ["one", "other"])
