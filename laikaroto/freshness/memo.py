"""What was found out about a character's shots, kept from one look to the next.

A published version never changes, and a corrections file that kept its size and time is the same;
so what was read out of them need not be read again. One file for each character, in the show's
work folder: safe to delete, then the next look takes longer. Plates are looked at every time.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from laikaroto import __version__
from laikaroto.errors import TryAgainError
from laikaroto.sidecar.files import write_file

_log = logging.getLogger(__name__)

#: What tells one state of a file from any other.
Stamp = list[int | str]

#: By key: stamp and value.
Entries = dict[str, Any]


def stamp_of(path: Path | str) -> Stamp:
    """Size and time of a file; empty where there is none."""
    try:
        seen = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [seen.st_size, seen.st_mtime_ns]


class Memo:
    """Values by key, each good as long as its stamp is the same."""

    def __init__(self, path: Path | None) -> None:
        """Read what was kept; a file that is damaged or of another version counts as none.

        Args:
            path: of the memo; None to keep nothing.
        """
        self._path = path
        self._entries: Entries = {}
        self.news: Entries = {}
        """What was kept since the memo was read or saved."""
        if path is None:
            return
        try:
            document = json.loads(path.read_bytes())
            if document["laikaroto"] == __version__:
                self._entries = dict(document["entries"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.info("%s is read anew: %r", path, error)

    def get(self, key: str, stamp: Sequence[int | str], find: Callable[[], Any]) -> Any:
        """The kept value, or what ``find`` says, which is kept.

        Args:
            key: names the value.
            stamp: a kept value of another stamp is out of date.
            find: gives plain JSON values.
        """
        entry = self._entries.get(key)
        if entry is not None and entry[0] == list(stamp):
            return entry[1]
        value = find()
        self.keep(key, stamp, value)
        return value

    def known(self, key: str, stamp: Sequence[int | str]) -> bool:
        """Whether a value of this stamp is kept."""
        entry = self._entries.get(key)
        return entry is not None and entry[0] == list(stamp)

    def keep(self, key: str, stamp: Sequence[int | str], value: Any) -> None:
        """Keep a value."""
        self.news[key] = self._entries[key] = [list(stamp), value]

    def learn(self, news: Entries) -> None:
        """Keep what a copy of this memo, in another process, has kept."""
        self._entries.update(news)
        self.news.update(news)

    def save(self) -> None:
        """Write the memo, if anything is new; where that is not allowed, say so and go on."""
        if self._path is None or not self.news:
            return
        document = {"laikaroto": __version__, "entries": self._entries}
        try:
            write_file(self._path, json.dumps(document, separators=(",", ":")).encode())
        except TryAgainError as error:
            _log.warning("%s; the next look will take as long as this one", error)
        self.news = {}
