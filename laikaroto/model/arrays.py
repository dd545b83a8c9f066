"""Plain arrays in files: beside a package's networks, and from one step of a job to the next."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from laikaroto.errors import ModelError
from laikaroto.sidecar.files import write_file

T = TypeVar("T")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, whole or not at all.

    Raises:
        TryAgainError: the disk refuses; a former file is intact.
    """
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    write_file(path, stream.getvalue())


def load_arrays(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of a file by name; nothing is unpickled.

    Args:
        path: as ``write_arrays`` wrote it.
        names: which to read, all of which have to be there; None for all there are.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or lacks an array.
    """
    # opened here: numpy leaves a damaged file open
    with path.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as data:
                return {name: data[name] for name in (data.files if names is None else names)}
        except (EOFError, KeyError, TypeError, AttributeError, BadZipFile, zlib.error) as error:
            raise ValueError(f"is damaged: {error}") from error


def read_arrays(path: Path, make: Callable[[Mapping[str, NDArray[Any]]], T]) -> T | None:
    """What ``make`` makes of the arrays of a package's file; None where there is none.

    Raises:
        ModelError: it cannot be read, or ``make`` finds it incomplete.
    """
    if not path.is_file():
        return None
    try:
        return make(load_arrays(path))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; train again") from error
