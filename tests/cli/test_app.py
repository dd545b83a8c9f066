"""The command line as a whole: exits, help, and that every command is documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from laikaroto import __version__
from laikaroto.cli.app import COMMANDS, HIDDEN, app

TOP = Path(__file__).parents[2]


def commands(group: click.Group = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands())


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = app
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


def test_help_and_version(laikaroto) -> None:
    ran = laikaroto("--help")
    assert (ran.code, ran.err) == (0, "")
    for name, (_, _, line) in COMMANDS.items():
        assert (line in ran.out) == (name not in HIDDEN)
    assert laikaroto("--version").out == f"laikaroto, version {__version__}\n"


def test_an_unknown_command_is_a_wrong_call(laikaroto) -> None:
    ran = laikaroto("frobnicate")
    assert ran.code == 2 and "No such command 'frobnicate'" in ran.err


def test_no_command_shows_help(laikaroto) -> None:
    ran = laikaroto()
    assert ran.code == 2 and "Usage: laikaroto" in ran.out + ran.err


def test_an_error_is_a_message_and_an_exit_code_not_a_traceback(laikaroto, tmp_path: Path) -> None:
    ran = laikaroto("truth", "check", "hero", "--configs", tmp_path)
    assert ran.code == 78 and ran.out == ""
    assert ran.err.startswith("error: ") and "Traceback" not in ran.err


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    texts = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
    written = "\n".join(text.read_text(encoding="utf-8") for text in texts)
    call = r"laikaroto " + r"\s+".join(map(re.escape, path)) + r"\b"
    group = r"laikaroto " + re.escape(path[0]) + r" [a-z|]*\b" + re.escape(path[-1]) + r"\b"
    assert re.search(f"{call}|{group}", written), f"laikaroto {' '.join(path)} is not in the docs"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_does_and_speaks_json(path: tuple[str, ...]) -> None:
    command = command_at(path)
    assert command.help and command.help.strip().endswith(".")
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in options
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"
