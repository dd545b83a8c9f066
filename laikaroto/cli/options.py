"""Options that every command shares, and how results are printed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def _verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(value, 2)]
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def common_options(command: _F) -> _F:
    """Add ``--configs DIR`` (argument ``configs``: Path), ``--json`` (``as_json``) and ``-v``."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_verbosity,
            help="Say more; twice for everything.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option(
            "--configs",
            type=click.Path(file_okay=False, path_type=Path),
            default="configs",
            envvar="LAIKAROTO_CONFIGS",
            show_default=True,
            help="Configuration folder of the show.",
        ),
    ):
        command = option(command)
    return command


def print_json(data: Any) -> None:
    """Print one JSON document to standard output."""
    click.echo(json.dumps(data, indent=2, sort_keys=False, default=str))
