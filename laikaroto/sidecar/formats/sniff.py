"""Which format a file is of: by its ending, and where several tools share it, by its content."""

from __future__ import annotations

import re
from pathlib import Path

from laikaroto.errors import SidecarError, UsageError
from laikaroto.sidecar.formats.keypoints import read_json
from laikaroto.sidecar.formats.registry import FORMATS, Format

_SCHEMAS = {"laikaroto.roto": "json", "laikaroto.blender": "blender"}
_COCO = {"images", "annotations", "categories"}
_WACV_NAME = re.compile(r"(raw_shapes|revec_shapes|shapes|points)-.+-frame\d+\.json")


def told_format(path: Path) -> Format:
    """The format that a file is to be read as, where nobody says it.

    A ``.json`` that is missing or damaged counts as a roto.json: its reader says what is wrong.
    Only the WACV data set comes in folders.

    Raises:
        UsageError: neither its name nor its content tells.
    """
    if path.is_dir():
        return FORMATS["wacv2021"]
    suffix = path.suffix.lower()
    fitting = [f for f in FORMATS.values() if f.reads and suffix in f.suffixes]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(f"{f.name} ({' '.join(f.suffixes)})" for f in FORMATS.values() if f.reads)
    remedy = f"say --format, one of {names}"
    if suffix != ".json":
        raise UsageError(f"{path}: cannot tell its format by its name; {remedy}")
    try:
        found = json_format(path)
    except SidecarError:
        return FORMATS["json"]
    if found is None:
        raise UsageError(
            f"{path}: cannot tell which format this JSON is of: it {json_outline(path)}; {remedy}"
        )
    return FORMATS[found]


def json_format(path: Path) -> str | None:
    """Name in ``FORMATS`` of a JSON file's format, by its schema or the keys that are there.

    Only the outline is looked at: a damaged file is told by the reader of what it wants to be.

    Returns:
        The name; None where nothing speaks for one.

    Raises:
        SidecarError: the file cannot be read or is no JSON.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        return None
    schema = document.get("schema")
    if isinstance(schema, str):
        return _SCHEMAS.get(schema.partition("/")[0])
    if {"plate", "shapes", "tracks"} <= document.keys():
        return "json"  # the schema is missing, which its reader says
    if len(_COCO & document.keys()) >= 2:
        return "coco"
    if _WACV_NAME.fullmatch(path.name) or _holds_segments(document):
        return "wacv2021"
    return None


def json_outline(path: Path) -> str:
    """What a JSON file holds at its top, for a message."""
    try:
        document = read_json(path)
    except SidecarError as error:
        return str(error)
    if not isinstance(document, dict):
        return f"holds a {type(document).__name__}"
    if isinstance(document.get("schema"), str):
        return f"says it is of schema {document['schema']!r:.80}"
    return f"holds {', '.join(map(repr, list(document)[:8])) or 'nothing'}"


def _holds_segments(document: dict[str, object]) -> bool:
    """Whether every value is a list of Bezier segments ``[[4 numbers], [4 numbers]]``."""

    def is_segment(value: object) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(axis, list) and len(axis) == 4 for axis in value)
        )

    shapes = [value for name, value in document.items() if name != "points"]
    return bool(shapes) and all(
        isinstance(value, list) and bool(value) and is_segment(value[0]) for value in shapes
    )
