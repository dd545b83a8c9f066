from __future__ import annotations

import errno
from pathlib import Path

import pytest

from laikaroto.errors import PlateError, SidecarError, TryAgainError
from laikaroto.worker.result import read_results, recorded


def test_each_attempt_has_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAIKAROTO_ATTEMPT", raising=False)
    with pytest.raises(PlateError), recorded(tmp_path, step="predict", task="1001-1010"):
        raise PlateError("shot a: frame 1003 is torn")
    monkeypatch.setenv("LAIKAROTO_ATTEMPT", "2")
    with recorded(tmp_path, step="predict", task="1001-1010"):
        pass
    first, second = read_results(tmp_path, "predict")
    assert (first.attempt, first.exit_code, first.message) == (1, 1, "shot a: frame 1003 is torn")
    assert (second.attempt, second.exit_code, second.message) == (2, 0, "")
    assert first.host and first.started <= first.ended <= second.started
    assert sorted(path.name for path in (tmp_path / "results" / "predict").iterdir()) == [
        "1001-1010.1.json", "1001-1010.2.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "becomes", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), TryAgainError, 75),
        (OSError(errno.EFBIG, "File too large"), TryAgainError, 75),
        (MemoryError(), TryAgainError, 75),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), FileNotFoundError, 1),
        (KeyError("x"), KeyError, 1),
        (KeyboardInterrupt(), KeyboardInterrupt, 1),
    ],
)
def test_the_machines_faults_may_be_tried_again(
    tmp_path: Path, raised: BaseException, becomes: type[BaseException], code: int
) -> None:
    with pytest.raises(becomes) as error, recorded(tmp_path, step="s", task="all"):
        raise raised
    (found,) = read_results(tmp_path, "s")
    assert found.exit_code == code
    if becomes is TryAgainError:
        assert error.value.__cause__ is raised


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(TryAgainError, match="results"), recorded(tmp_path, step="s", task="all"):
        pass
    with pytest.raises(PlateError), recorded(tmp_path, step="s", task="all"):
        raise PlateError("the first error is the one to tell")


def test_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "results" / "s" / "all.1.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(SidecarError, match=r"all\.1\.json: is not a result record"):
        read_results(tmp_path, "s")
