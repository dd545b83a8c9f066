"""Find a cut-off EXR without decoding it.

An EXR ends each header with a table of the byte offsets of its chunks (blocks of rows, or
tiles), and each chunk says its own length. So a few small reads tell whether every chunk lies
whole in the file: under a millisecond, where decoding a 4K frame takes 150. What damage there
is inside the compressed pixels is only seen by decoding.

Source: "OpenEXR File Layout", openexr.com.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x76\x2f\x31\x01"
_TILED, _MULTIPART = 0x200, 0x1000
_LONGEST_NAME = 255


class UnclearLayoutError(Exception):
    """The layout is not one this module can judge; only decoding can tell."""


def find_cut(path: Path) -> str | None:
    """What is missing of a flat EXR file, or None if every chunk lies whole in it.

    Returns:
        None, or a phrase such as ``chunk 12 of 23 should end at byte 9576, the file has 4788``.

    Raises:
        UnclearLayoutError: no EXR, deep parts, or a table with holes: decode it to know.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return _check_chunks(stream, os.fstat(stream.fileno()).st_size)


def describe_magic(path: Path) -> str | None:
    """Why the first bytes are not those of an EXR, or None if they are. Raises OSError."""
    with path.open("rb") as stream:
        start = stream.read(16)
    if not start:
        return "the file is empty (0 bytes)"
    if not start.startswith(_MAGIC):
        return f"the file is no EXR (it starts with {start!r})"
    return None


def _check_chunks(stream: BinaryIO, size: int) -> str | None:
    if stream.read(4) != _MAGIC:
        raise UnclearLayoutError
    flags = _integer(stream)
    multipart = bool(flags & _MULTIPART)
    try:
        tiled = _read_headers(stream, multipart=multipart, tiled=bool(flags & _TILED))
        offsets = np.sort(_read_table(stream, size))
    except EOFError:
        return f"it ends at byte {size}, before its first picture data"
    ends = np.append(offsets[1:], size)
    for index, (offset, limit) in enumerate(zip(offsets.tolist(), ends.tolist(), strict=True)):
        place = f"chunk {index + 1} of {len(offsets)}"
        if offset >= size:
            return f"{place} should start at byte {offset}, the file has {size}"
        end = _chunk_end(stream, offset, tiled, multipart=multipart)
        if end > size:
            return f"{place} should end at byte {end}, the file has {size}"
        if end > limit:
            raise UnclearLayoutError
    return None


def _integer(stream: BinaryIO) -> int:
    data = stream.read(4)
    if len(data) < 4:
        raise EOFError
    return int(struct.unpack("<i", data)[0])


def _text(stream: BinaryIO) -> bytes:
    """A name of a header, up to its closing zero byte."""
    name = bytearray()
    while (byte := stream.read(1)) != b"\0":
        if not byte:
            raise EOFError
        name += byte
        if len(name) > _LONGEST_NAME:
            raise UnclearLayoutError
    return bytes(name)


def _read_headers(stream: BinaryIO, *, multipart: bool, tiled: bool) -> list[bool]:
    """Walk over all headers; for each part, whether it is tiled. Deep parts are unclear."""
    parts: list[bool] = []
    while True:
        kind = b"tiledimage" if tiled else b"scanlineimage"
        empty = True
        while name := _text(stream):
            empty = False
            _text(stream)
            length = _integer(stream)
            if length < 0:
                raise UnclearLayoutError
            if name == b"type":
                kind = stream.read(length)
            else:
                stream.seek(length, os.SEEK_CUR)
        if empty:
            return parts
        if kind not in (b"tiledimage", b"scanlineimage"):
            raise UnclearLayoutError
        parts.append(kind == b"tiledimage")
        if not multipart:
            return parts


def _read_table(stream: BinaryIO, size: int) -> NDArray[np.uint64]:
    """Offsets of all chunks of all parts; the stream stands at the start of the table.

    The first chunk follows the table at once, so the table ends where the smallest of its own
    offsets points: no need to know how each compression cuts a picture into chunks.
    """
    start = stream.tell()
    first = int.from_bytes(stream.read(8), "little")
    if start + 8 > size:
        raise EOFError
    if not start + 8 <= first:
        raise UnclearLayoutError
    stream.seek(start)
    length = min(first, size) - start
    table = np.frombuffer(stream.read(length - length % 8), dtype="<u8")
    here = start + 8 * np.arange(1, len(table) + 1, dtype=np.uint64)
    closed = np.flatnonzero(np.minimum.accumulate(table) == here)
    if len(closed):
        return table[: closed[0] + 1]
    if first > size:
        raise EOFError
    raise UnclearLayoutError


def _chunk_end(stream: BinaryIO, offset: int, tiled: list[bool], *, multipart: bool) -> int:
    """Byte after a chunk: part number (multi-part only), place, length, data."""
    stream.seek(offset)
    head = stream.read(24)
    part = int.from_bytes(head[:4], "little") if multipart else 0
    if part >= len(tiled):
        raise UnclearLayoutError
    before_length = (4 if multipart else 0) + (16 if tiled[part] else 4)
    start = before_length + 4
    if len(head) < start:
        return offset + start
    (length,) = struct.unpack_from("<i", head, before_length)
    if length <= 0:
        raise UnclearLayoutError
    return offset + start + int(length)
