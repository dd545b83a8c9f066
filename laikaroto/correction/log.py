"""The corrections file of a shot: read, and added to, never altered.

One JSON record a line. A writer holds the file's lock (flock), so that two artists never
write into one another; each line is flushed to disk before the command says it is done. A
process that was killed in the middle leaves half a line: it is passed over, told of, and the
next writer ends it and records that it did (``repair``). Anything else that cannot be read is
an error: a correction is never silently lost.
"""

from __future__ import annotations

import datetime
import fcntl
import getpass
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from laikaroto.config import describe_faults
from laikaroto.correction.records import Record
from laikaroto.errors import CorrectionError, write_failure
from laikaroto.sidecar.files import sync_folder

_SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A corrections file as read.

    Attributes:
        path: the file, whether or not it is there.
        records: all lines, oldest first; repairs included.
        notices: what a person should know: half lines that were passed over.
        torn: bytes after the last whole line: what a killed writer left; usually none.
        last: SHA-256 of the last line, empty where there is none.
        whole: whether the last line has its end.
    """

    path: Path
    records: tuple[Record, ...] = ()
    notices: tuple[str, ...] = ()
    torn: bytes = b""
    last: str = ""
    whole: bool = True

    @property
    def digest(self) -> str:
        """Tells one state of the file from any other; empty where it has no record."""
        return self.last


def read_log(path: Path) -> Log:
    """Read a corrections file; one that is not there is empty.

    Raises:
        CorrectionError: a line is damaged, lost or altered: which, and what to do.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Log(path=path)
    except OSError as error:
        raise CorrectionError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_log(path, data)


def parse_log(path: Path, data: bytes) -> Log:
    """As ``read_log``, from the bytes of the file."""
    lines = data.split(b"\n")
    tail = lines.pop()
    records: list[Record] = []
    notices: list[str] = []
    previous = ""
    for number, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None and _mends(lines[number : number + 1]):
            notices.append(
                f"{path}: line {number} is half a line of a process that was killed; passed over"
            )
        elif record is None:
            raise _damaged(path, number, line)
        else:
            _check_place(path, number, record, len(records) + 1, previous)
            records.append(record)
        previous = _sha256(line)
    if not tail:
        return Log(path=path, records=tuple(records), notices=tuple(notices), last=previous)
    record = _parse(tail)
    if record is not None:  # all of it is there, only its end is not
        _check_place(path, len(lines) + 1, record, len(records) + 1, previous)
        return Log(
            path=path, records=(*records, record), notices=tuple(notices), last=_sha256(tail),
            whole=False,
        )  # fmt: skip
    notices.append(
        f"{path}: line {len(lines) + 1} is half a line of a process that was killed; passed over. "
        "Hand that correction in again"
    )
    return Log(
        path=path, records=tuple(records), notices=tuple(notices), torn=tail, last=_sha256(tail),
        whole=False,
    )  # fmt: skip


def append(path: Path, make: Callable[[Log], dict[str, Any] | None], *, who: str) -> Record | None:
    """Add one record, decided while nobody else can write.

    Args:
        path: the corrections file; made if it is not there.
        make: given the file as it is now, the fields of the record; None: nothing to record.
        who: whom to name.

    Returns:
        The record as written, or None.

    Raises:
        CorrectionError: the file is damaged, or ``make`` says so.
        TryAgainError: the disk refuses; the file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise write_failure(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        log = parse_log(path, _read_all(descriptor))
        fields = make(log)
        if fields is None:
            return None
        record = _write(descriptor, log, fields, who)
        sync_folder(path.parent)
        return record
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        os.close(descriptor)


def current_user() -> str:
    """Login name of whoever runs this, or the user number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _write(descriptor: int, log: Log, fields: dict[str, Any], who: str) -> Record:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    size = os.fstat(descriptor).st_size
    number, previous, data = len(log.records) + 1, log.last, b""
    if not log.whole:
        data = b"\n"
    if log.torn:
        mended = Record(
            number=number, kind="repair", time=now, who=who, previous=previous,
            note=f"the line before is {len(log.torn)} bytes of a record that was never finished",
        )  # fmt: skip
        data += mended.line()
        number, previous = number + 1, _sha256(mended.line()[:-1])
    record = Record(number=number, time=now, who=who, previous=previous, **fields)
    data += record.line()
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)  # a full disk: what was not acknowledged is not there
        raise
    return record


def _read_all(descriptor: int) -> bytes:
    parts = []
    offset = 0
    while part := os.pread(descriptor, 1 << 20, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _parse(line: bytes) -> Record | None:
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return None


def _mends(following: list[bytes]) -> bool:
    """Whether the line after a broken one says that it was broken."""
    records = [_parse(line) for line in following]
    return any(record is not None and record.kind == "repair" for record in records)


def _damaged(path: Path, number: int, line: bytes) -> CorrectionError:
    try:
        Record.model_validate_json(line)
    except ValidationError as error:
        faults = describe_faults(error)[:_SHOWN_FAULTS]
        text = "\n".join(f"{path}: line {number}: {fault}" for fault in faults)
        return CorrectionError(f"{text}\n{_RESTORE}")
    raise AssertionError("unreachable: the line was found damaged")


_RESTORE = (
    "the corrections file is damaged; restore it from a backup. It is not repaired by itself, "
    "so that no correction is lost unseen"
)


def _check_place(path: Path, line: int, record: Record, number: int, previous: str) -> None:
    if record.number != number:
        raise CorrectionError(
            f"{path}: line {line}: wanted record {number}, got {record.number}; a line was lost or "
            f"added by hand. {_RESTORE}"
        )
    if record.previous != previous:
        raise CorrectionError(
            f"{path}: line {line}: the line before it is not the one it was written after; that "
            f"one was altered. {_RESTORE}"
        )


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
