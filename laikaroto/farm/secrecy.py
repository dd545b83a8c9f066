"""Keeping secrets of the environment out of logs.

A payload, or a library in it, may print what it finds in its environment. Values of variables
whose names say that they are secret, and passwords within addresses, are masked before a line
reaches a log file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|PASS$|(^|_)PWD$|SECRET|TOKEN|CREDENTIAL"
    r"|(API|ACCESS|PRIVATE)_?KEY|AUTH(?!OR)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(FILE|PATH|DIR|SOCK)$", re.IGNORECASE)  # such a variable names a file
_IN_ADDRESS = re.compile(r"://[^\s/:@]*:([^\s/@]+)@")  # proxies: http://user:password@host
_SHORTEST = 6  # a shorter value would mask ordinary words and is no secret
MASK = "(masked)"


def is_secret(name: str) -> bool:
    """True if the name of a variable says that its value is secret."""
    return _SECRET.search(name) is not None


def secret_values(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Values to mask, longest first; of this process's environment by default."""
    found = os.environ if environment is None else environment
    values: set[str] = set()
    for name, value in found.items():
        values.update(_IN_ADDRESS.findall(value))
        if is_secret(name):
            place = _PLACE.search(name) or name in ("PWD", "OLDPWD")
            values.update(v for v in value.splitlines() if not (place and v.startswith("/")))
    return tuple(sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True))


def masked(text: str, values: tuple[str, ...]) -> str:
    """The text with every one of the values replaced."""
    for value in values:
        text = text.replace(value, MASK)
    return text
