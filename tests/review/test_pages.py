from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from laikaroto.errors import TryAgainError
from laikaroto.review import pages
from laikaroto.review.pages import PAGE, PICTURES, replacing, write_page


def put(folder: Path, text: str) -> None:
    with replacing(folder) as page:
        assert (page / PICTURES).is_dir()
        write_page(page, text)


def test_whoever_opens_the_page_finds_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "review"
    put(folder, "0")
    stop, seen, lost = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add((folder / PAGE).read_text())
            except FileNotFoundError as error:
                lost.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 150):
            put(folder, str(number))
    finally:
        stop.set()
        reader.join()
    assert lost == [] and len(seen) > 1
    assert (folder / PAGE).read_text() == "149"
    assert list(tmp_path.iterdir()) == [folder]


def test_where_folders_cannot_be_exchanged_the_page_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "review"
    put(folder, "old")
    monkeypatch.setattr(pages, "_exchange", lambda one, other: False)
    put(folder, "new")
    assert (folder / PAGE).read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_refused_exchange_keeps_the_old_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "review"
    put(folder, "old")

    def refuse(one: Path, other: Path) -> bool:
        raise OSError(errno.EACCES, "Permission denied", str(one))

    monkeypatch.setattr(pages, "_exchange", refuse)
    with pytest.raises(TryAgainError, match="Permission denied"):
        put(folder, "new")
    assert (folder / PAGE).read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_an_exchange_of_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="No such file"):
        pages._exchange(tmp_path / "a", tmp_path / "b")
