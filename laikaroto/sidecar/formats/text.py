"""Numbers, names and documents as text that another program reads as we mean it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from laikaroto.coords import FloatArray


def number(value: float, decimals: int) -> str:
    """A number as text: no exponent, no trailing zeros, never ``-0``."""
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def rounded(values: FloatArray, decimals: int) -> FloatArray:
    """Rounded, and without minus zeros."""
    return np.asarray(np.round(values, decimals) + 0.0)


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """A name that any program accepts for each name: ASCII letters, digits, ``_``; all differ."""
    given: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        plain = plain if re.match(r"[A-Za-z]", plain) else f"s_{plain}"
        unique, count = plain, 1
        while unique.lower() in taken:  # some programs do not tell A from a
            count += 1
            unique = f"{plain}_{count}"
        taken.add(unique.lower())
        given[name] = unique
    return given


def python_text(name: str, document: str) -> str:
    """``name = json.loads(...)`` with a JSON document as ASCII Python strings.

    Python's own quoting, so that nothing in a document can end a string and become code.
    """
    pieces = [document[k : k + 4000] for k in range(0, len(document), 4000)]
    lines = "".join(f"    {ascii(piece)}\n" for piece in pieces)
    return f"{name} = json.loads(\n{lines})\n"
