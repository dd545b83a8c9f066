"""Where a local queue keeps the files of its jobs, inside its state folder."""

from __future__ import annotations

from pathlib import Path


def bundle_folder(state: Path, job: str) -> Path:
    """The engine's own copy of a job's bundle."""
    return state / "jobs" / job / "bundle"


def log_file(state: Path, job: str, step: str, index: int, attempt: int) -> Path:
    """What one attempt printed; every attempt has its own."""
    return state / "jobs" / job / "logs" / step / f"{index:05d}.{attempt}.log"


def result_file(state: Path, job: str, step: str, index: int, attempt: int) -> Path:
    """How one attempt ended, written by its slot before it tells the supervisor."""
    return log_file(state, job, step, index, attempt).with_suffix(".json")


def sessions_folder(state: Path, slot: str = "") -> Path:
    """Working folders of OpenJD sessions; those of dead slots are swept."""
    return state / "sessions" / slot if slot else state / "sessions"
