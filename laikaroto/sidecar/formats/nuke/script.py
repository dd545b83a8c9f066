r"""The text of a Nuke script: its nodes, their knobs, and the nested lists in a knob's value.

A script is Tcl-like: words, ``"quoted"`` words, ``{lists}`` that nest, ``\`` before a character
that is meant as it is. Only the nodes asked for are taken apart; the rest of a composite, which
may be large, is skipped by matching its braces. Files come from outside: their size, their depth
and the number of their words are bounded, so that no file can fill the memory.

Source: the format's description in Foundry's NDK developer guide ("Roto serialisation format",
"Curve serialisation format") and scripts Nuke wrote.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from laikaroto.errors import SidecarError

#: A word that is a number, any other word, or a list.
Tree: TypeAlias = "float | str | list[Tree]"

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
MAX_MARKS = 4_000_000
MAX_WORDS = 6_000_000
MAX_NODES = 10_000
#: How far a line is looked back at: without an end, long lines cost their square.
_LOOK_BACK = 2_000
_LONGEST_CLASS = 100
_KNOBS = frozenset(
    ("name", "curves", "tracks", "format", "inputs", "disable", "first_frame", "last_frame")
)

_MARK = re.compile(r"\\.|[{}]", re.DOTALL)
_KNOB_MARK = re.compile(r'\\.|[{}"\n]', re.DOTALL)
_WORD = re.compile(r'[{}]|"((?:\\.|[^"\\])*)"|(?:\\.|[^\s{}\\])+', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMMENT = re.compile(r"[ \t]*#")
_HEX_FLOAT = re.compile(r"x[0-9a-fA-F]{8}")
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_FLOAT32 = struct.Struct(">f")


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a script.

    Attributes:
        kind: its class, ``Roto``.
        name: as artists see it, ``Roto1``; the class where the node has none.
        knobs: name of each knob of ``_KNOBS`` it has to the text of its value.
    """

    kind: str
    name: str
    knobs: Mapping[str, str]


def read_text(path: Path) -> str:
    """The text of a script.

    Raises:
        SidecarError: not there, not a file, larger than ``MAX_BYTES``, or not text.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise SidecarError(f"{path}: not a file; wanted a Nuke script")
        if size > MAX_BYTES:
            raise SidecarError(
                f"{path}: {size / 2**20:.0f} MB; wanted a Nuke script of at most "
                f"{MAX_BYTES >> 20} MB: export the Roto and Tracker nodes alone"
            )
        data = path.read_bytes()
    except OSError as error:
        raise SidecarError(f"{path}: cannot be read: {error.strerror or error}") from error
    if b"\0" in data:
        raise SidecarError(f"{path}: not text; wanted a Nuke script (.nk)")
    if data.startswith(b"Nuke NC mode encrypted text"):
        raise SidecarError(
            f"{path}: saved by non-commercial Nuke, whose scripts are encrypted; "
            "copy the Roto nodes into a text editor and save that as .nk"
        )
    return data.decode("utf-8", errors="replace")


def find_nodes(text: str, kinds: frozenset[str], *, path: Path) -> list[Node]:
    """The nodes of these classes, in the file's order, those inside groups and gizmos too.

    Raises:
        SidecarError: a brace without its partner, deeper nesting than ``MAX_DEPTH``, more nodes
            than ``MAX_NODES``.
    """
    nodes: list[Node] = []
    for kind, start, end in _top_level(text, path):
        if kind in kinds:
            knobs = {name: value for name, value in _knobs(text[start:end], path) if name in _KNOBS}
            nodes.append(Node(kind, unquote(knobs.get("name", kind)), knobs))
        if len(nodes) > MAX_NODES:
            raise SidecarError(f"{path}: more than {MAX_NODES} nodes with shapes or tracks")
    return nodes


def unquote(value: str) -> str:
    """A knob's value as plain text: without its quotes or outer braces, escapes resolved."""
    value = value.strip()
    if len(value) > 1 and value[0] + value[-1] in ('""', "{}"):
        value = value[1:-1]
    return _ESCAPED.sub(r"\1", value)


def parse_value(text: str, where: str) -> list[Tree]:
    """A knob's value as nested lists.

    Args:
        text: of the value.
        where: file and knob, for messages.

    Raises:
        SidecarError: unbalanced braces, too deep, or too many words.
    """
    root: list[Tree] = []
    stack = [root]
    for count, match in enumerate(_WORD.finditer(text)):
        word = match[0]
        if count >= MAX_WORDS:
            raise SidecarError(f"{where}: more than {MAX_WORDS} words; export fewer shapes at once")
        if word == "{":
            if len(stack) > MAX_DEPTH:
                raise SidecarError(f"{where}: nested deeper than {MAX_DEPTH} levels")
            inner: list[Tree] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif word == "}":
            if len(stack) == 1:
                raise SidecarError(f"{where}: a '}}' without its '{{'")
            stack.pop()
        elif match[1] is not None:
            stack[-1].append(_ESCAPED.sub(r"\1", match[1]))
        else:
            stack[-1].append(_number_or_word(word))
    if len(stack) > 1:
        raise SidecarError(f"{where}: a '{{' is never closed")
    return root


def hex_float(value: float) -> str:
    """A number as Nuke writes it in curves: 0 and ±1 plain, the rest as ``x`` and float32 bits."""
    if value in (0.0, 1.0, -1.0):
        return f"{value:.0f}".replace("-0", "0")
    return "x" + _FLOAT32.pack(value).hex()


def to_float32(value: float) -> float:
    """The number that is left of ``value`` once it is written."""
    return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])


def quote(word: str) -> str:
    """A word as it has to be written: in quotes where it holds anything but plain characters."""
    if re.fullmatch(r"[A-Za-z0-9_./-]+", word):
        return word
    return '"' + re.sub(r'(["\\{}\[\]$])', r"\\\1", word) + '"'


def _number_or_word(word: str) -> float | str:
    if word[0] == "x" and _HEX_FLOAT.fullmatch(word):
        return float(_FLOAT32.unpack(bytes.fromhex(word[1:]))[0])
    if word[0] in "0123456789.+-" and _DECIMAL.fullmatch(word):
        return float(word)
    return _ESCAPED.sub(r"\1", word) if "\\" in word else word


def _top_level(text: str, path: Path) -> Iterator[tuple[str, int, int]]:
    """Class, start and end of the body of every node of a script."""
    depth = start = 0
    for count, match in enumerate(_MARK.finditer(text)):
        mark, at = match[0], match.start()
        if len(mark) > 1 or (depth == 0 and _in_comment(text, at)):
            continue
        if count >= MAX_MARKS:
            raise SidecarError(f"{path}: more than {MAX_MARKS} braces; not a script we can read")
        depth += 1 if mark == "{" else -1
        if depth == 1 and mark == "{":
            start = at + 1
        if depth < 0:
            _fail(path, text, at, "a '}' without its '{'")
        if depth > MAX_DEPTH:
            _fail(path, text, at, f"nested deeper than {MAX_DEPTH} levels")
        if depth == 0:
            yield _class_before(text, start - 1), start, at
    if depth > 0:
        _fail(path, text, start - 1, "this '{' is never closed; is the file cut off?")


def _class_before(text: str, at: int) -> str:
    words = text[max(0, at - _LONGEST_CLASS) : at].rsplit(None, 1)
    return words[-1] if words else ""


def _in_comment(text: str, at: int) -> bool:
    start = max(0, at - _LOOK_BACK)
    return _COMMENT.match(text, text.rfind("\n", start, at) + 1 or start) is not None


def _knobs(body: str, path: Path) -> Iterator[tuple[str, str]]:
    """Name and value text of each knob; a value ends with its line, outside lists and quotes."""
    depth = begin = 0
    quoted = False
    for count, match in enumerate(_KNOB_MARK.finditer(body + "\n")):
        mark = match[0]
        if count >= MAX_MARKS:
            raise SidecarError(f"{path}: more than {MAX_MARKS} lines or braces in one node")
        if mark == '"' and depth == 0:
            quoted = not quoted
        elif quoted or len(mark) > 1:
            continue
        elif mark == "{":
            depth += 1
        elif mark == "}":
            depth -= 1
        elif mark == "\n" and depth == 0:
            name, _, value = body[begin : match.start()].strip().partition(" ")
            if name:
                yield name, value.strip()
            begin = match.end()


def _fail(path: Path, text: str, at: int, problem: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    raise SidecarError(f"{path}: line {line}: {problem}; save it from Nuke again")
