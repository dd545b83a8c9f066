"""Programs that read our files. ``make test`` installs them; where they are not, tests skip.

On a build machine (CI is set) a missing one fails the test: what it should show would be lost.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BLENDER_PYTHON = ROOT / ".venv-clients" / "bin" / "python"


def needed(program: str) -> str:
    """Path of a program, or the test ends here."""
    found = shutil.which(program)
    if found is None:
        _missing(program)
    return str(found)


def blender_python() -> str:
    """A Python that has Blender as its module bpy, or the test ends here."""
    if not BLENDER_PYTHON.exists():
        _missing("Blender as a Python module (bpy; needs Python 3.11)")
    return str(BLENDER_PYTHON)


def _missing(what: str) -> None:
    said = f"{what} is not here; make clients installs it"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
