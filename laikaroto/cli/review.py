"""``laikaroto review``: static review pages of published results."""

from __future__ import annotations

from pathlib import Path

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import UsageError


@click.command()
@click.argument("shots", nargs=-1, required=True, metavar="SHOT…")
@click.option("--character", help="The puppet; may be left out when the show has just one.")
@click.option("--version", help="Published version, such as v002; the newest by default.")
@click.option(
    "--truth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="roto.json to show measured errors against; for a single SHOT.",
)
@common_options
def review(
    shots: tuple[str, ...],
    character: str | None,
    version: str | None,
    truth: Path | None,
    configs: Path,
    as_json: bool,
) -> None:
    """Make the review page of each SHOT and print where it is.

    One HTML file with its pictures beside it; open it in any browser, no server needed. An
    earlier page of the same version is replaced.
    """
    from laikaroto.cli.published import find_version, pick_character
    from laikaroto.review.version import review_version
    from laikaroto.show import Show

    if truth is not None and len(shots) != 1:
        raise UsageError(f"--truth goes with one shot, got {len(shots)}: {', '.join(shots)}")
    show = Show.open(configs)
    character = pick_character(show, character)
    found = {
        shot: find_version(show, shot=shot, character=character, version=version)
        for shot in shots  # all of them before the first page, which takes a while
    }
    pages = []
    for shot, (number, folder) in found.items():
        page = review_version(show, shot=shot, folder=folder, truth=truth)
        pages.append({"shot": shot, "character": character, "version": number, "page": str(page)})
        if not as_json:
            click.echo(page)
    if as_json:
        print_json({"pages": pages})
