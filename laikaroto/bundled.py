"""The files that travel with the code: sample show, example configuration, job templates.

They lie at the top of the source tree, where people look for them, and are put into
``laikaroto/_bundled`` when a wheel is built (see ``pyproject.toml``).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled(name: str) -> Path:
    """Folder of a bundled resource.

    Args:
        name: ``"configs"``, ``"jobs"`` or ``"sample"``.

    Raises:
        FileNotFoundError: this installation lacks it, so it is broken.
    """
    for folder in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"laikaroto was installed without its {name!r} folder: reinstall it")
