"""Plain arrays of a model package: what the shape prior and the mirror are kept as."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from laikaroto.errors import ModelError
from laikaroto.sidecar.files import write_file

T = TypeVar("T")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, whole or not at all."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    write_file(path, stream.getvalue())


def read_arrays(path: Path, make: Callable[[Mapping[str, NDArray[Any]]], T]) -> T | None:
    """What ``make`` makes of the arrays of a file; None where there is none.

    Raises:
        ModelError: it cannot be read, or ``make`` finds it incomplete.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            return make({name: data[name] for name in data.files})
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; train again") from error
