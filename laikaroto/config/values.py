"""What all configuration records share: names, durations, templates, and how faults are told."""

from __future__ import annotations

import getpass
import os
import re
import string

from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DURATION = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "dhms"))


def check_name(name: str, kind: str) -> str:
    """Return ``name`` if it is safe as a folder name and on every farm.

    Names become folders, job names and arguments; anything that could climb out of a folder
    or mean something to a shell is refused here, once, for the whole project.

    Raises:
        UsageError: letters, digits, ``_``, ``-`` and ``.`` only, 64 at most, no ``..``.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(
            f"{kind} {name!r} is not a usable name: wanted letters, digits, '_', '-' or '.', "
            "starting with a letter or digit, 64 at most"
        )
    return name


def current_user() -> str:
    """Login name of whoever runs this, or the user number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def parse_duration(text: str) -> float:
    """Seconds of ``8h``, ``30m``, ``1h30m``, ``90s``, ``30d``.

    Raises:
        UsageError: not of that form, or not above zero.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = [float(part) if part else 0.0 for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=False))
    if seconds <= 0:
        raise UsageError(
            f"duration {text!r} cannot be read; wanted something like 8h, 30m, 90s or 30d"
        )
    return seconds


def describe_faults(error: ValidationError) -> list[str]:
    """Every fault of a pydantic error as ``path.to.field: what is wrong (got …)``."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"]) or "(file)"
        text = fault["msg"].removeprefix("Value error, ")
        got = fault.get("input")
        if fault["type"] == "extra_forbidden":
            text = "unknown setting; remove it or mend its spelling"
        elif not isinstance(got, dict | list):
            text += f" (got {got!r})"
        lines.append(f"{path}: {text}")
    return lines


class Strict(BaseModel):
    """Base of all configuration records: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def as_name(value: str) -> str:
    """``check_name`` for a field of a record: raises ValueError, as pydantic gathers no others."""
    try:
        return check_name(value, "name")
    except UsageError as error:
        raise ValueError(str(error)) from error


def as_duration(value: str) -> str:
    """``value`` if ``parse_duration`` can read it, for a field of a record; else ValueError."""
    try:
        parse_duration(value)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return value


def check_template(text: str, allowed: set[str], required: set[str]) -> str:
    """``text`` if it has all required and only allowed fields in braces; else ValueError."""
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"template {text!r} is malformed: {error}") from error
    if unknown := fields - allowed:
        raise ValueError(f"unknown field {sorted(unknown)}; known: {sorted(allowed)}")
    if missing := required - fields:
        raise ValueError(f"template {text!r} lacks {sorted(missing)}")
    return text
