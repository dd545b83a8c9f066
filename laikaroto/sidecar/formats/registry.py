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

#: Kinds of things in a roto: closed shapes, open shapes, tracking points.
Kind = Literal["closed", "open", "tracks"]
EVERYTHING: frozenset[Kind] = frozenset({"closed", "open", "tracks"})
SHAPES: frozenset[Kind] = frozenset({"closed", "open"})
TRACKS: frozenset[Kind] = frozenset({"tracks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a file does not say and its reader may need.

    Attributes:
        plate: of the shot the file is meant for: what it does not say is as there. None: unknown.
        refuse: a file of another size, or without a frame of the plate, is a fault of its reading;
            False: that is left to the caller.
        pixel_centres: the file counts pixel centres at whole numbers (keypoint formats).
        node: which node of a script to read; None: all that hold shapes or tracks.
    """

    plate: PlateInfo | None = None
    refuse: bool = True
    pixel_centres: bool = False
    node: str | None = None

    @property
    def wanted(self) -> PlateInfo | None:
        """The plate that a file has to fit; None: none has."""
        return self.plate if self.refuse else None


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
        keeps: what its files hold of a roto; the rest is left out, and said to be.
        module: of this folder, where that cannot be the name.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    reads: bool
    writes: bool
    between_keys: Literal["linear", "none"] = "linear"
    confirmed_by: str | None = None
    keeps: frozenset[Kind] = EVERYTHING
    module: str | None = None

    def read_for(
        self, path: Path, plate: PlateInfo, *, pixel_centres: bool = False, node: str | None = None
    ) -> ArtistFile:
        """Read a file that is meant for a plate; whether it fits is left to the caller.

        A drawing of another size or start may still be moved there, or is one fault among others.

        Raises:
            UsageError: the format cannot be read. SidecarError: the file is not usable.
        """
        options = ReadOptions(plate=plate, refuse=False, pixel_centres=pixel_centres, node=node)
        return self.read(path, options)

    @property
    def _module(self) -> Any:
        return importlib.import_module(f"laikaroto.sidecar.formats.{self.module or self.name}")

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


#: In the order of ``--help``. The name is that of the module, unless it says another.
FORMATS: dict[str, Format] = {
    "nuke": Format(name="nuke", label="Nuke", suffixes=(".nk", ".gizmo"), reads=True, writes=True),
    "silhouette": Format(
        name="silhouette",
        label="Silhouette",
        suffixes=(".fxs",),
        reads=True,
        writes=True,
        keeps=SHAPES,
    ),
    "blender": Format(
        name="blender",
        label="Blender mask",
        suffixes=(".py", ".json"),
        reads=True,
        writes=True,
        confirmed_by="Blender 4.5 (bpy)",
        keeps=SHAPES,
    ),
    "mlt": Format(
        name="mlt",
        label="MLT (Kdenlive, Shotcut)",
        suffixes=(".mlt",),
        reads=False,
        writes=True,
        confirmed_by="melt 7",
        keeps=frozenset({"closed"}),
    ),
    "aftereffects": Format(
        name="aftereffects",
        label="After Effects",
        suffixes=(".jsx",),
        reads=False,
        writes=True,
    ),
    "fusion": Format(
        name="fusion",
        label="Fusion",
        suffixes=(".setting",),
        reads=False,
        writes=True,
        keeps=SHAPES,
    ),
    "natron": Format(
        name="natron",
        label="Natron",
        suffixes=(".py",),
        reads=False,
        writes=True,
        keeps=SHAPES,
    ),
    "svg": Format(
        name="svg",
        label="SVG",
        suffixes=(".svg",),
        reads=False,
        writes=True,
        between_keys="none",
        confirmed_by="resvg",
        keeps=SHAPES,
    ),
    "lottie": Format(
        name="lottie",
        label="Lottie",
        suffixes=(".lottie.json", ".json"),
        reads=False,
        writes=True,
        confirmed_by="rlottie",
        keeps=SHAPES,
    ),
    "usd": Format(
        name="usd",
        label="USD",
        suffixes=(".usda",),
        reads=False,
        writes=True,
        confirmed_by="OpenUSD (usd-core)",
    ),
    "3de": Format(
        name="3de",
        label="3DEqualizer",
        suffixes=(".txt",),
        reads=False,
        writes=True,
        keeps=TRACKS,
        module="threede",
    ),
    "json": Format(
        name="json",
        label="roto.json",
        suffixes=(".json",),
        reads=True,
        writes=True,
        between_keys="none",
        confirmed_by="laikaroto",
        module="roto_json",
    ),
    "wacv2021": Format(
        name="wacv2021",
        label="LAIKA/Intel WACV 2021",
        suffixes=(".json",),
        reads=True,
        writes=False,
        between_keys="none",
    ),
    "coco": Format(
        name="coco",
        label="COCO keypoints",
        suffixes=(".json",),
        reads=True,
        writes=False,
        between_keys="none",
        confirmed_by="pycocotools",
        keeps=TRACKS,
    ),
    "deeplabcut": Format(
        name="deeplabcut",
        label="DeepLabCut",
        suffixes=(".csv",),
        reads=True,
        writes=False,
        between_keys="none",
        keeps=TRACKS,
    ),
    "sleap": Format(
        name="sleap",
        label="SLEAP",
        suffixes=(".slp", ".h5"),
        reads=True,
        writes=False,
        between_keys="none",
        confirmed_by="sleap-io",
        keeps=TRACKS,
    ),
}
