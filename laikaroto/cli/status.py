"""``laikaroto status``: where the published shots stand, and which are out of date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from laikaroto.cli.options import common_options, print_json

if TYPE_CHECKING:
    from laikaroto.freshness.stale import ShotStatus
    from laikaroto.show import Show


@click.command()
@click.option("--stale", "stale_only", is_flag=True, help="Only what is out of date.")
@click.option("--character", metavar="C", help="Only this puppet. Default: every one.")
@click.option("--shots", metavar="GLOB", help="Only these: 'ev1*'.")
@click.option(
    "--checksum",
    is_flag=True,
    help="Compare the contents of plates whose size or time is another; slow.",
)
@common_options
def status(
    stale_only: bool, character: str | None, shots: str | None, checksum: bool, configs: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """List published shots: version, model, frames to look at, locks, and why they are stale.

    A shot is stale if the model, the plates, the corrections, the template or the code that made
    its newest version differ from today's (docs/nightly.md). 'submit reprocess --stale' does
    such shots again.
    """
    from laikaroto.freshness.stale import to_json
    from laikaroto.show import Show

    found = find_statuses(Show.open(configs), character, shots, checksum=checksum)
    shown = [one for one in found if one.reasons or one.fault or not stale_only]
    if as_json:
        print_json([to_json(one) for one in shown])
        return
    if shown:
        click.echo("\n".join(_table(shown)))
    click.echo(_summary(found))


def find_statuses(
    show: Show, character: str | None, shots: str | None, *, checksum: bool
) -> list[ShotStatus]:
    """Where the chosen published shots stand, by shot and character.

    Args:
        show: the show.
        character: only this one; None for every one.
        shots: pattern their names have to fit, as the shell's; None for all.
        checksum: see ``freshness.stale.inspect_shots``; all cores work at it, so call this before
            an engine is opened.

    Raises:
        UsageError: the character is unknown, or no published shot fits the pattern.
    """
    from fnmatch import fnmatchcase

    from laikaroto.errors import UsageError
    from laikaroto.freshness.shares import usable_cores
    from laikaroto.freshness.stale import inspect_shots

    names = [character] if character is not None else sorted(show.configs.characters)
    there: set[str] = set()
    found: list[ShotStatus] = []
    for name in names:
        show.character(name)
        published = show.published_shots(name)
        there |= set(published)
        chosen = [shot for shot in published if shots is None or fnmatchcase(shot, shots)]
        found += inspect_shots(show, name, chosen, checksum=checksum, processes=usable_cores())
    if shots is not None and not found:
        few = ", ".join(sorted(there)[:5]) + (", …" if len(there) > 5 else "")
        who = f" of {character}" if character is not None else ""
        raise UsageError(f"--shots {shots!r}: no published shot{who} fits; there are: "
                         f"{few or 'none'}")  # fmt: skip
    return sorted(found, key=lambda one: (one.shot, one.character))


def describe_state(one: ShotStatus) -> str:
    """Locked or approved, in few words."""
    if one.held:
        return one.held.split(" at ")[0]
    parts = [
        f"{count} frames {what}"
        for count, what in ((one.locked_frames, "locked"), (one.approved_frames, "approved"))
        if count
    ]
    return ", ".join(parts)


def _table(found: Sequence[ShotStatus]) -> list[str]:
    """Aligned columns; a further reason stands on a line of its own.

    Written here because rich takes seconds for thousands of rows.
    """
    rows = [("shot", "character", "version", "model", "published", "frames", "flagged", "state",
             "stale because")]  # fmt: skip
    for one in found:
        made = one.made
        what = [f"{reason.what}: {reason.why}" for reason in one.reasons]
        what += [f"cannot be judged: {one.fault}"] if one.fault else []
        facts = ("?", "?", "?", "?")
        if made is not None:
            when = datetime.fromisoformat(made.published).astimezone()
            published = f"{when:%Y-%m-%d %H:%M}"
            facts = (made.model or "-", published, str(made.frames), str(made.flagged or "-"))
        rows.append((one.shot, one.character, one.version, *facts, describe_state(one) or "-",
                     what[0] if what else "-"))  # fmt: skip
        rows += [("",) * 8 + (more,) for more in what[1:]]
    widths = [max(len(row[i]) for row in rows) for i in range(8)]
    form = "  ".join(f"{{:<{width}}}" for width in widths) + "  {}"
    return [form.format(*row).rstrip() for row in rows]


def _summary(found: Sequence[ShotStatus]) -> str:
    if not found:
        return "nothing is published yet; roto a shot with 'laikaroto infer' or 'submit shot'"
    stale = [one for one in found if one.reasons]
    counts = Counter(reason.what for one in stale for reason in one.reasons)
    which = ", ".join(f"{what} {number}" for what, number in counts.most_common())
    faults = sum(bool(one.fault) for one in found)
    return (
        f"{len(stale)} of {len(found)} stale" + (f" ({which})" if which else "")
        + (f", {faults} cannot be judged" if faults else "")
    )  # fmt: skip
