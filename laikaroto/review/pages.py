"""Building a static page: fill a hidden folder, then put it in place of the old one.

Pages are made anew at will, so unlike versions they are replaced. Templates escape every
value; ``tojson`` also escapes what could end a script element.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from laikaroto.errors import write_failure
from laikaroto.sidecar.publish import building

_HERE = -100  # AT_FDCWD: names are relative to the working folder, or absolute
_EXCHANGE = 2  # RENAME_EXCHANGE, see renameat2(2)

PAGE = "index.html"
PICTURES = "pictures"


def render(template: str, **values: Any) -> str:
    """Fill in a template of ``laikaroto/review/templates``."""
    environment = Environment(
        loader=PackageLoader("laikaroto.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder with an empty ``pictures`` in it, which takes the place of ``folder``.

    The old page stays until the new one is whole, and for good if making it fails. Where the
    file system can exchange two folders at once (Linux ones do, NFS does not), whoever opens
    the page meets the old one or the new one; elsewhere it is gone for an instant.

    Raises:
        TryAgainError: the system refused to write.
    """
    with building(folder.parent) as build:
        page = build / "page"
        try:
            (page / PICTURES).mkdir(parents=True)
            yield page
            _replace(folder, page, build / "old")  # the old one goes with the build folder
        except OSError as error:
            raise write_failure(folder, error) from error


def _replace(folder: Path, page: Path, old: Path) -> None:
    """Put ``page`` where ``folder`` is or would be; what was there becomes ``page`` or ``old``."""
    if folder.exists():
        if _exchange(folder, page):
            return
        os.rename(folder, old)
    os.rename(page, folder)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot.

    Raises:
        OSError: it can, but refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(one))


def write_page(folder: Path, html: str) -> None:
    """Write a page's HTML into its folder."""
    (folder / PAGE).write_text(html, encoding="utf-8")
