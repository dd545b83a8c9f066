"""Every error laikaroto raises on purpose, in one tree.

    LaikarotoError                1   failed
    ├── UsageError                2   the call itself is wrong: unknown shot, bad range, bad name
    ├── ConfigError              78   show, character, queue or job files are wrong
    ├── PlateError                1   a plate is missing, broken or of the wrong size
    ├── TruthError                1   ground truth cannot be learned from
    ├── SidecarError              1   a roto.json, manifest or version is wrong
    ├── CorrectionError           1   an artist's edited file cannot be taken, or a lock forbids it
    ├── ModelError                1   a model package is missing, damaged or does not fit
    ├── FarmError                 1   a queue refuses or a job failed
    └── TryAgainError            75   the machine, not the input: disk full, busy, killed

The number is the exit code of the process (``exit_code``). ``retryable`` tells a farm whether
the same task may succeed when run again. A message says what is wrong, where (shot, frame,
file, field), what was wanted and what was found, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75
EXIT_CONFIG = 78


class LaikarotoError(Exception):
    """Base of all errors that are meant to be read by a user."""

    exit_code: int = EXIT_FAILED
    retryable: bool = False


class UsageError(LaikarotoError):
    """The command was called with something that cannot be: fix the call."""

    exit_code = EXIT_USAGE


class ConfigError(LaikarotoError):
    """One or more configuration files are wrong; the message lists every fault."""

    exit_code = EXIT_CONFIG


class PlateError(LaikarotoError):
    """A plate frame is missing, unreadable or not like its neighbours."""


class TruthError(LaikarotoError):
    """Ground truth is not usable as it stands."""


class SidecarError(LaikarotoError):
    """A sidecar file or a published version is damaged or not to the contract."""


class CorrectionError(LaikarotoError):
    """An artist's edited file cannot be taken as it is, or a lock forbids the change."""


class ModelError(LaikarotoError):
    """A model package is missing, damaged, or not made for this character."""


class FarmError(LaikarotoError):
    """A farm engine refused, or a job ended without success."""


class TryAgainError(LaikarotoError):
    """The surroundings failed, not the input; the same call may succeed later."""

    exit_code = EXIT_TRY_AGAIN
    retryable = True


def write_failure(path: Path, error: OSError) -> TryAgainError:
    """Turn an operating system's refusal to write into a message that says what to do.

    Args:
        path: what was being written.
        error: as raised; a full disk (ENOSPC, EDQUOT, EFBIG) is told from the rest.
    """
    import errno

    hints = {
        errno.ENOSPC: "the disk is full: free space and run again",
        errno.EDQUOT: "the disk quota is used up: free space and run again",
        errno.EFBIG: "the file size limit of this process is reached: raise it and run again",
        errno.EACCES: "no permission: make the folder writable for this user and run again",
        errno.EPERM: "no permission: make the folder writable for this user and run again",
        errno.EROFS: "the file system is read-only: mount it writable and run again",
    }
    hint = hints.get(error.errno or 0, "check the disk and run again")
    return TryAgainError(f"cannot write {path}: {error.strerror or error}; {hint}")
