"""Errors: exit codes, what a farm may retry, what a refused write says."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from laikaroto import errors


def subclasses(kind: type[errors.LaikarotoError]) -> set[type[errors.LaikarotoError]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = dict(re.findall(r"(\w+Error) +(\d+) ", errors.__doc__ or ""))
    real = {
        kind.__name__: str(kind.exit_code)
        for kind in subclasses(errors.LaikarotoError)
        if kind.__module__ == errors.__name__  # not those of benchmarks that were tested before
    }
    assert drawn == real


def test_only_trouble_of_the_surroundings_is_worth_a_retry() -> None:
    retryable = {kind for kind in subclasses(errors.LaikarotoError) if kind.retryable}
    assert retryable == subclasses(errors.TryAgainError)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "size limit"),
        (errno.EACCES, "make the folder writable"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "check the disk"),
    ],
)
def test_a_refused_write_says_what_to_do(number: int, hint: str) -> None:
    import os

    error = errors.write_failure(Path("/x/roto.json"), OSError(number, os.strerror(number)))
    assert isinstance(error, errors.TryAgainError)
    assert str(error).startswith("cannot write /x/roto.json: ")
    assert hint in str(error) and "run again" in str(error)
