"""Publishing: a folder becomes version v001, v002 … whole, or not at all.

A build happens in a hidden sibling of the versions (``building``) and becomes a version by
one rename (``publish``), so readers never see half of it, and a version that is there is
never touched again. ``MANIFEST.json`` holds size and SHA-256 of every file. The same code
publishes shots and model packages::

    with building(parent) as folder:
        ...write files into folder...
        version = publish(folder, parent)

A build folder is locked (flock) as long as its process lives; the lock goes with the process
even on kill -9, and the next build in the same place removes what is no longer locked. Where
folders cannot be locked (NFS) a build folder counts as abandoned after a day.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from laikaroto.errors import SidecarError, write_failure
from laikaroto.sidecar.files import sync_folder

MANIFEST = "MANIFEST.json"
SCHEMA = "laikaroto.manifest/1"
_BUILD_PREFIX = ".building."
_ABANDONED_S = 24 * 3600.0
_VERSION = re.compile(r"v(\d{3,})")


def versions(parent: Path) -> list[str]:
    """Published versions in a folder, oldest first; a folder that is not there has none."""
    if not parent.is_dir():
        return []
    found = [p.name for p in parent.iterdir() if _VERSION.fullmatch(p.name)]
    return sorted((name for name in found if (parent / name / MANIFEST).is_file()), key=_number)


def latest_version(parent: Path) -> str | None:
    """The newest published version, or None."""
    found = versions(parent)
    return found[-1] if found else None


@contextmanager
def building(parent: Path) -> Iterator[Path]:
    """A new empty hidden folder in ``parent`` to build a version in.

    Removed at the end unless it was published, also after an error. Abandoned build folders
    of dead processes are removed first.

    Raises:
        TryAgainError: ``parent`` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        folder, descriptor = _make_locked(parent)
    except OSError as error:
        raise write_failure(parent, error) from error
    try:
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def publish(
    build: Path,
    parent: Path,
    *,
    stamp: Callable[[str, Path], None] | None = None,
    permit: Callable[[], None] = lambda: None,
) -> str:
    """Make a build folder the next version in ``parent``.

    Takes the folder over: afterwards it is the version, or it is gone.

    Args:
        build: hidden folder in ``parent``, on the same file system.
        parent: folder of the versions.
        stamp: called with the version and the build folder, to write the version into
            files; called again with the next one when another process took the number.
        permit: called at the last moment; raises if this process may not publish any more.

    Returns:
        The version, for example ``"v003"``.

    Raises:
        TryAgainError: the disk is full or not writable; earlier versions are intact.
        SidecarError: the build holds something else than files and folders.
    """
    try:
        while True:
            version = _next_version(parent)
            if stamp is not None:
                stamp(version, build)
            _write_manifest(build)
            verify_manifest(build)
            permit()
            if _rename(build, parent / version):
                return version
    except OSError as error:
        raise write_failure(parent, error) from error
    finally:
        shutil.rmtree(build, ignore_errors=True)


def verify_manifest(folder: Path) -> None:
    """Check every file of a version against its manifest.

    Raises:
        SidecarError: lists all files that are missing, changed or not in the manifest.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        listed = {str(name): (e["size"], e["sha256"]) for name, e in document["files"].items()}
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema: wanted {SCHEMA}, got {document['schema']}")
    except FileNotFoundError as error:
        raise SidecarError(f"{folder}: has no {MANIFEST}, so it is not a version") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SidecarError(f"{path}: is damaged: {error}") from error
    found = {name: folder / name for name in _file_names(folder)}
    faults = [f"{name}: missing" for name in sorted(listed.keys() - found.keys())]
    faults += [f"{name}: not in the manifest" for name in sorted(found.keys() - listed.keys())]
    for name in sorted(listed.keys() & found.keys()):
        size, digest = listed[name]
        if (actual := found[name].stat().st_size) != size:
            faults.append(f"{name}: wanted {size} bytes, got {actual}")
        elif _sha256(found[name]) != digest:
            faults.append(f"{name}: checksum differs, its content was changed")
    if faults:
        raise SidecarError("\n".join(f"{folder}: {fault}" for fault in faults))


def _number(version: str) -> int:
    return int(version[1:])


def _next_version(parent: Path) -> str:
    # Counts everything that looks like a version, so that nothing is ever replaced.
    taken = [_number(p.name) for p in parent.iterdir() if _VERSION.fullmatch(p.name)]
    return f"v{max(taken, default=0) + 1:03d}"


def _rename(build: Path, target: Path) -> bool:
    try:
        os.rename(build, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False  # another process published this number first
        raise
    sync_folder(target.parent)
    return True


def _file_names(folder: Path) -> list[str]:
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise SidecarError(f"{path}: a version may hold only plain files and folders")
        if path.is_file() and path != folder / MANIFEST:
            names.append(path.relative_to(folder).as_posix())
    return names


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_manifest(folder: Path) -> None:
    files: dict[str, Any] = {}
    for name in _file_names(folder):
        path = folder / name
        _sync_file(path)
        files[name] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    text = json.dumps({"schema": SCHEMA, "files": files}, indent=1) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    _sync_file(folder / MANIFEST)
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
    sync_folder(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _make_locked(parent: Path) -> tuple[Path, int]:
    """A new build folder and the descriptor that holds its lock."""
    while True:
        folder = parent / f"{_BUILD_PREFIX}{secrets.token_hex(6)}"
        folder.mkdir()
        # Between the two calls another process may sweep it: unlocked, it looks abandoned.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # no locks here (NFS): the age rule in _sweep decides
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool | None:
    """True: locked now; False: another process holds it; None: cannot be locked here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_BUILD_PREFIX}*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # published or removed just now
        try:
            free = _try_lock(descriptor)
            if free is None:
                free = time.time() - folder.stat().st_mtime > _ABANDONED_S
            if free:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue
        finally:
            os.close(descriptor)
