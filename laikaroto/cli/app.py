"""The ``laikaroto`` command: finds the group a command belongs to and turns errors into exits.

Command modules are imported when called, so ``laikaroto --help`` stays quick. To add a
command: write it in a file of this folder, with its heavy imports inside the function, and
give it a line in ``COMMANDS``.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from laikaroto import __version__
from laikaroto.errors import LaikarotoError

# name -> (module in this folder, attribute, line shown in --help), in the order of a show's life
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Train and roto the bundled sample show; minutes, not hours."),
    "init": ("show", "init", "Make the configuration of a new show."),
    "doctor": ("show", "doctor", "Check configs, plates, models and farm; say what to do."),
    "truth": ("truth", "truth", "Import and check the ground truth a character learns from."),
    "train": ("train", "train", "Learn a character here and now."),
    "infer": ("infer", "infer", "Roto shots here and now."),
    "submit": ("submit", "submit", "Send training and shot jobs to a farm queue."),
    "jobs": ("jobs", "jobs", "Look at and steer submitted jobs."),
    "farm": ("farm", "farm", "Run, start and stop the local farm."),
    "status": ("status", "status", "List published shots, and which are out of date and why."),
    "models": ("models", "models", "List models; promote one or go back."),
    "export": ("export", "export", "Write a roto as a file of the tool an artist works in."),
    "formats": ("formats", "formats", "List the file formats artists' tools read and write."),
    "correct": ("correct", "correct", "Take an artist's edited file back in; lock and approve."),
    "review": ("review", "review", "Make review pages with pictures."),
    "evaluate": ("evaluate", "evaluate", "Measure a result against ground truth."),
    "worker": ("worker", "worker", "What a farm task runs; not for people."),
}
HIDDEN = frozenset({"worker"})


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of ``COMMANDS``, hidden ones left out."""
        return [name for name in COMMANDS if name not in HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return it."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(
            importlib.import_module(f"laikaroto.cli.{module}"), attribute
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="laikaroto")
def app() -> None:
    """Learn a stop-motion puppet's roto from a few shots; give every new shot a first pass.

    Plates are only ever read. Results are versions beside them, never overwritten.
    """


def main(argv: list[str] | None = None) -> None:
    """Entry point: run ``app``; a LaikarotoError becomes its message and its exit code."""
    try:
        result: Any = app.main(args=argv, prog_name="laikaroto", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LaikarotoError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)
