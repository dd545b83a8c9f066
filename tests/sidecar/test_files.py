from __future__ import annotations

from pathlib import Path

import pytest

from laikaroto.errors import TryAgainError
from laikaroto.sidecar.files import sweep, write_file


@pytest.mark.parametrize("flush", [True, False])
def test_a_file_is_replaced_whole_and_nothing_stays_beside_it(tmp_path: Path, flush: bool) -> None:
    path = tmp_path / "new" / "a.json"
    for data in (b"one", memoryview(b"other")):
        write_file(path, data, flush=flush)
        assert path.read_bytes() == bytes(data)
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(TryAgainError, match="cannot write .*a/b.json"):
        write_file(tmp_path / "a" / "b.json", b"")


def test_only_leftovers_of_the_named_files_are_swept(tmp_path: Path) -> None:
    left = [".a.exr.0123456789ab", ".b.exr.0123456789ab", ".a.exr.1.ba9876543210"]
    kept = ["a.exr", ".hidden", ".a.exr.0123456789abcd"]
    for name in (*left, *kept):
        (tmp_path / name).write_text("")
    sweep(tmp_path, tmp_path / "not there", names=["a.exr"])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*left[1:], *kept])
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)
