"""Whether plates were changed, told without opening one: sizes and times from one folder look.

Contents need every byte of every plate (``sequence.digest_sequence``): hours for a film. What
ingests, renders or copies a plate changes its size or its time of last change, so those of all
frames together stand for the contents, as they do in make, git and rsync.
"""

from __future__ import annotations

import hashlib
import os
import string
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache

from laikaroto.errors import PlateError, UsageError

#: By frame: size in bytes, time of last change in ns since 1970.
Scan = Mapping[int, tuple[int, int]]


def scan_plates(template: str, *, shot: str) -> Scan:
    """Size and time of every plate of a shot; empty where there is none.

    Args:
        template: path with only ``{frame}`` fields left, as of ``Show.plate_template``.
        shot: its name.

    Raises:
        ConfigError: the template cannot be filled in with a frame number.
        PlateError: the folder cannot be read.
    """
    pieces = list(string.Formatter().parse(template))
    named = [piece for piece in pieces if piece[1] is not None]
    folder, _, start = str(pieces[0][0]).rpartition(os.sep)
    tail = "".join(str(literal) for literal, _, _, _ in pieces[1:])
    if len(named) != 1 or named[0][3] is not None or os.sep in tail:
        return _scan_one_by_one(template, shot=shot)
    try:
        return _scan_folder(folder or os.sep, start, str(named[0][2]), tail)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise PlateError(f"shot {shot}: {folder} cannot be read: {error.strerror}") from error


def scan_digest(scan: Scan, frames: Iterable[int] | None = None) -> str:
    """SHA-256 over frame numbers, sizes and times.

    Args:
        scan: of a shot.
        frames: only these, as far as they are there; None for all.
    """
    chosen = scan if frames is None else {f: scan[f] for f in frames if f in scan}
    text = repr(sorted(chosen.items()))  # of integers alone; written in C, for 200,000 plates
    return hashlib.sha256(text.encode()).hexdigest()


def _scan_folder(folder: str, start: str, form: str, tail: str) -> dict[int, tuple[int, int]]:
    """All plates of one folder; ``form`` is how frame numbers are written there, as ``04d``."""
    found: dict[int, tuple[int, int]] = {}
    before, after = len(start), -len(tail) if tail else None
    stat = os.stat
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for name in os.listdir(descriptor):
            if not (name.startswith(start) and name.endswith(tail)):
                continue
            frame = _frame(name[before:after], form)
            if frame is None:
                continue
            try:
                seen = stat(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue  # taken away since it was listed
            found[frame] = (seen.st_size, seen.st_mtime_ns)
    finally:
        os.close(descriptor)
    return found


@lru_cache(maxsize=1 << 16)  # two thousand shots have the same hundred frames
def _frame(digits: str, form: str) -> int | None:
    """The number that is written so; None if it is of another naming: 01001 is no 1001."""
    try:
        frame = int(digits)
        return frame if format(frame, form) == digits else None
    except ValueError:
        return None


def _scan_one_by_one(template: str, *, shot: str) -> dict[int, tuple[int, int]]:
    """For templates that name the frame in a folder, or more than once."""
    from laikaroto.plate.sequence import find_sequence

    try:
        sequence = find_sequence(template, shot=shot)
    except (UsageError, PlateError):
        return {}
    found: dict[int, tuple[int, int]] = {}
    for frame in sequence.frames:
        with suppress(FileNotFoundError):  # taken away since it was listed
            seen = sequence.path(frame).stat()
            found[frame] = (seen.st_size, seen.st_mtime_ns)
    return found
