"""Writing one file so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path

from laikaroto.errors import write_failure

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}")


def write_file(path: Path, data: bytes | memoryview, *, flush: bool = True) -> None:
    """Write ``data`` to ``path`` through a hidden sibling that is flushed, then renamed.

    Args:
        path: where; its folder is made if need be.
        data: the whole file.
        flush: to disk, so that it survives a power cut; of many files that are made again in
            that case, waiting for each would cost more than they do.

    Raises:
        TryAgainError: the system refused; the former file is untouched, nothing is left over.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                if flush:
                    os.fsync(stream.fileno())
            os.replace(temporary, path)
            if flush:
                sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_failure(path, error) from error


def sweep(*folders: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed processes left of ``write_file`` in these folders.

    Only where no other process writes the same files: one that does would have to write again.

    Args:
        folders: where; they need not be there.
        names: of files whose leftovers go; None for those of every file.
    """
    for folder in folders:
        for path in folder.glob(".*"):
            found = _TEMPORARY.fullmatch(path.name)
            if found and (names is None or found["name"] in names):
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
