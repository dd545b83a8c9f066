"""What of the submitter's environment a farm hands to its tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence

# what a task may need of it; the rest, secrets too, stays where it is
_HANDED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "PYTHONPATH", "LD_LIBRARY_PATH", "OCIO", "LAIKAROTO_CONFIGS",
)  # fmt: skip


def handed_on(names: Sequence[str]) -> dict[str, str]:
    """Those variables of this process that tasks get.

    Args:
        names: of further ones, as the queue's ``environment`` lists them.
    """
    return {name: os.environ[name] for name in (*_HANDED, *names) if name in os.environ}
