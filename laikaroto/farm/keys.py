"""Which job was submitted last with a key: a file for each key in the queue's state folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from laikaroto.farm.places import job_folder
from laikaroto.farm.records import read_json, replace_file


def remember_key(state: Path, key: str, job: str, *, flush: bool = True) -> None:
    """Write down that a job was submitted with this key; ``flush`` as of ``replace_file``."""
    replace_file(_file(state, key), {"job": job}, flush=flush)


def jobs_of_keys(state: Path, keys: Sequence[str]) -> dict[str, str]:
    """Names of the jobs submitted with these keys, of those that are still there."""
    known: dict[str, str] = {}
    for key in keys:
        with suppress(FileNotFoundError):
            name = str(read_json(_file(state, key))["job"])
            if job_folder(state, name).is_dir():
                known[key] = name
    return known


def _file(state: Path, key: str) -> Path:
    return state / "keys" / hashlib.sha256(key.encode()).hexdigest()
