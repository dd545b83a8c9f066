"""The file formats artists' tools read and write: one module of this folder for each.

To add one:

1. Write ``laikaroto/sidecar/formats/<tool>.py`` with ``read`` or ``write`` or both, of the types
   below. Convert coordinates there and nowhere else. Faults of a file are ``SidecarError``s that
   name the file, the place in it, what was wanted and got, and what to do.
2. Give it a line in ``FORMATS``.
3. The contract suite, ``tests/contract/test_formats.py``, runs over every line.
4. Describe it in ``docs/formats.md``; say there what no program has confirmed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from laikaroto.errors import UsageError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.records import PlateInfo, Roto


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a file does not say and its reader may need.

    Attributes:
        plate: of the shot the file is meant for; None: unknown.
        pixel_centres: the file counts pixel centres at whole numbers (keypoint formats).
        node: which node of a script to read; None: all that hold shapes or tracks.
    """

    plate: PlateInfo | None = None
    pixel_centres: bool = False
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a file is written.

    Attributes:
        keys: frames to key, for each shape by name; between them the tool interpolates.
        name: stem of the files.
    """

    keys: Mapping[str, tuple[int, ...]]
    name: str


class Reader(Protocol):
    """Reads one file (or folder) of a tool."""

    def __call__(self, path: Path, options: ReadOptions) -> ArtistFile:
        """Raises SidecarError where the file is not usable."""


class Writer(Protocol):
    """Writes a roto as the files of a tool."""

    def __call__(self, roto: Roto, options: WriteOptions) -> Mapping[str, bytes]:
        """File names and their contents; nothing is written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One tool's format.

    Attributes:
        name: as typed on the command line.
        label: as people call it.
        suffixes: of files, with their dot, lower case; the first is written.
        reads, writes: whether its module has ``read`` or ``write``.
        between_keys: how the tool fills frames between keys: ``linear`` in points and tangents,
            or ``none`` where every frame is written.
        confirmed_by: the program that has drawn or read our files in a test; None: unverified.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    reads: bool
    writes: bool
    between_keys: Literal["linear", "none"] = "linear"
    confirmed_by: str | None = None

    @property
    def _module(self) -> Any:
        return importlib.import_module(f"laikaroto.sidecar.formats.{self.name}")

    @property
    def read(self) -> Reader:
        """The module's reader, imported now.

        Raises:
            UsageError: it has none.
        """
        if not self.reads:
            raise UsageError(f"{self.label}: cannot be read, only written")
        reader: Reader = self._module.read
        return reader

    @property
    def write(self) -> Writer:
        """The module's writer, imported now.

        Raises:
            UsageError: it has none.
        """
        if not self.writes:
            raise UsageError(f"{self.label}: cannot be written, only read")
        writer: Writer = self._module.write
        return writer


#: In the order of ``--help``. The name is that of the module.
FORMATS: dict[str, Format] = {
    "nuke": Format(name="nuke", label="Nuke", suffixes=(".nk", ".gizmo"), reads=True, writes=True),
    "silhouette": Format(
        name="silhouette", label="Silhouette", suffixes=(".fxs",), reads=True, writes=True
    ),
}
