"""A copy of a task that a farm took for dead puts nothing where others read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from laikaroto.errors import FarmError
from laikaroto.sidecar.publish import building, publish, versions
from laikaroto.worker.lease import NEXT_ATTEMPT, check_lease


def test_lease_ends_with_a_later_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NEXT_ATTEMPT, raising=False)
    check_lease()  # no farm, no lease
    claim = tmp_path / "logs" / "00003.2.claim.json"
    monkeypatch.setenv(NEXT_ATTEMPT, str(claim))
    check_lease()
    claim.parent.mkdir()
    check_lease()
    claim.touch()
    with pytest.raises(FarmError, match="later attempt at this task has begun"):
        check_lease()


def test_publishing_asks_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = tmp_path / "00003.2.claim.json"
    monkeypatch.setenv(NEXT_ATTEMPT, str(claim))
    parent = tmp_path / "shots"
    with building(parent) as folder:
        (folder / "file").touch()
        with pytest.raises(FarmError, match="publishes nothing"):
            publish(folder, parent, stamp=lambda *_: claim.touch(), permit=check_lease)
    assert versions(parent) == [] and list(parent.iterdir()) == []
