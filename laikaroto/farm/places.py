"""Where an engine keeps the files of its jobs, inside its state folder.

Everything there belongs to the user who made it and is closed to others: folders 0700, files
0600. What a payload prints, and the arguments of a job, are nobody else's business.
"""

from __future__ import annotations

from pathlib import Path

from laikaroto.errors import write_failure

OWNER_ONLY = 0o600
_OWNER_ONLY_FOLDER = 0o700


def make_state_folder(state: Path) -> Path:
    """Make the state folder of a queue if there is none, closed to other users.

    Raises:
        TryAgainError: the disk refuses.
    """
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        state.mkdir(mode=_OWNER_ONLY_FOLDER, exist_ok=True)
    except OSError as error:
        raise write_failure(state, error) from error
    return state


def job_folder(state: Path, job: str) -> Path:
    """Everything about one job."""
    return state / "jobs" / job


def bundle_folder(state: Path, job: str) -> Path:
    """The engine's own copy of a job's bundle."""
    return job_folder(state, job) / "bundle"


def purged_folder(state: Path, job: str = "") -> Path:
    """Jobs that are out of the books and wait for their folders to be removed."""
    return state / "purged" / job if job else state / "purged"


def log_file(state: Path, job: str, step: str, index: int, attempt: int) -> Path:
    """What one attempt printed; every attempt has its own."""
    return job_folder(state, job) / "logs" / step / f"{index:05d}.{attempt}.log"


def result_file(state: Path, job: str, step: str, index: int, attempt: int) -> Path:
    """How one attempt ended, written by what ran it."""
    return log_file(state, job, step, index, attempt).with_suffix(".json")


def sessions_folder(state: Path, slot: str = "") -> Path:
    """Working folders of OpenJD sessions; those of dead slots are swept."""
    return state / "sessions" / slot if slot else state / "sessions"
