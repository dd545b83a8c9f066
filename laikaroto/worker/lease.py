"""Whether this task is still the one that counts.

A farm may take a host for dead and start its task elsewhere while the first copy works on. The
later attempt leaves a file where ``LAIKAROTO_NEXT_ATTEMPT`` points to; a copy that sees it must
not put anything where others read it, nor replace a checkpoint of the other.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from laikaroto.errors import FarmError

NEXT_ATTEMPT = "LAIKAROTO_NEXT_ATTEMPT"


def check_lease() -> None:
    """Let only the current attempt at a task go on; does nothing outside a farm.

    Raises:
        FarmError: a later attempt has begun.
    """
    named = os.environ.get(NEXT_ATTEMPT)
    if not named:
        return
    path = Path(named)
    # listed, not looked up: NFS may remember for a minute that a file was not there
    with suppress(FileNotFoundError):
        if path.name in os.listdir(path.parent):
            raise FarmError(
                f"a later attempt at this task has begun ({path.name}): the farm took this one "
                "for dead, so it publishes nothing"
            )
