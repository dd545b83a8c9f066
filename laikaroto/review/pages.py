"""Building a static page: fill a hidden folder, then put it in place of the old one.

Pages are made anew at will, so unlike versions they are replaced. Templates escape every
value; ``tojson`` also escapes what could end a script element.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from laikaroto.errors import write_failure
from laikaroto.sidecar.publish import building

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

    The old page stays until the new one is whole, and for good if making it fails.

    Raises:
        TryAgainError: the system refused to write.
    """
    with building(folder.parent) as build:
        page = build / "page"
        try:
            (page / PICTURES).mkdir(parents=True)
            yield page
            if folder.exists():
                os.rename(folder, build / "old")  # goes with the build folder
            os.rename(page, folder)
        except OSError as error:
            raise write_failure(folder, error) from error


def write_page(folder: Path, html: str) -> None:
    """Write a page's HTML into its folder."""
    (folder / PAGE).write_text(html, encoding="utf-8")
