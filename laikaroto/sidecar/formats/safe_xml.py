"""XML from outside, read without its dangers: no document types, no entities, bounded size.

Python's expat expands entities that a document defines; a few lines can grow to gigabytes, or
name a file of this machine. A file for us needs neither, so a document type is refused where it
begins, before anything of it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from laikaroto.errors import SidecarError

MAX_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 200
MAX_ELEMENTS = 5_000_000
_PIECE = 1024 * 1024


def read_xml(path: Path) -> Element:
    """The root element of a file.

    Raises:
        SidecarError: cannot be read, too large, too deep, not well formed, or it has a document
            type (where entities are defined).
    """
    builder = _Bounded(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    parser.ExternalEntityRefHandler = builder.refuse
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SidecarError(
                f"{path}: {path.stat().st_size / 2**20:.0f} MB; wanted at most "
                f"{MAX_BYTES >> 20} MB: export fewer shapes at once"
            )
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error
    except expat.ExpatError as error:
        raise SidecarError(f"{path}: not well-formed XML: {error}; export it again") from error
    return builder.tree.close()


class _Bounded:
    """Builds the tree as long as it stays within the limits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = TreeBuilder()
        self.depth = self.count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.count += 1
        if self.depth > MAX_DEPTH:
            raise SidecarError(f"{self.path}: nested deeper than {MAX_DEPTH} levels")
        if self.count > MAX_ELEMENTS:
            raise SidecarError(f"{self.path}: more than {MAX_ELEMENTS} elements")
        self.tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        self.depth -= 1
        self.tree.end(tag)

    def data(self, text: str) -> None:
        self.tree.data(text)

    def refuse(self, *_: Any) -> int:
        raise SidecarError(
            f"{self.path}: has a document type or entities, which no shape file needs and which "
            "can do harm; refused. Export it again, or remove the <!DOCTYPE …>"
        )
