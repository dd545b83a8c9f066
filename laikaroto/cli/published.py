"""Finding what a command is to work on: the character and the published version of a shot."""

from __future__ import annotations

from pathlib import Path

from laikaroto.errors import UsageError
from laikaroto.show import Show, check_version


def pick_character(show: Show, name: str | None) -> str:
    """The named character, or the only one of the show.

    Raises:
        UsageError: there is no such character; or none is named and there is not just one.
    """
    if name is not None:
        return show.character(name).name
    known = sorted(show.configs.characters)
    if len(known) != 1:
        raise UsageError(
            f"the show has {len(known)} characters ({', '.join(known) or 'none'}): "
            "name one with --character"
        )
    return known[0]


def find_version(show: Show, *, shot: str, character: str, version: str | None) -> tuple[str, Path]:
    """A published version of a shot and its folder; the newest unless one is named.

    Raises:
        UsageError: nothing, or not this version, is published of this shot and character.
    """
    from laikaroto.sidecar.publish import versions

    any_version = show.sidecar_folder(shot, character, "v001")
    known = versions(any_version.parent)
    where = f"shot {shot!r}, character {character!r}"
    if not known:
        raise UsageError(
            f"{where}: nothing is published in {any_version.parent}; "
            f"run 'laikaroto infer {shot} --character {character}' first"
        )
    if version is None:
        version = known[-1]
    elif check_version(version) not in known:
        raise UsageError(
            f"{where}: version {version} is not published; there are {', '.join(known)}"
        )
    return version, show.sidecar_folder(shot, character, version)
