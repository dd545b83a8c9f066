"""``laikaroto formats``: which tools files can be exchanged with, and the script for Blender."""

from __future__ import annotations

import click

from laikaroto.cli.options import print_json


@click.command()
@click.option(
    "--script",
    type=click.Choice(["blender"]),
    help="Print the script that exports an artist's masks from this tool.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def formats(script: str | None, as_json: bool) -> None:
    """List the formats that can be read or written, and what has confirmed each.

    docs/formats.md says how to open each file in its tool.
    """  # fmt: skip
    from laikaroto.sidecar.formats import blender
    from laikaroto.sidecar.formats.registry import FORMATS

    if script is not None:
        text = blender.script(blender.EXPORT_SCRIPT)
        if as_json:
            print_json({"script": script, "text": text})
        else:
            click.echo(text, nl=False)
        return
    rows = [
        {
            "name": entry.name,
            "label": entry.label,
            "reads": entry.reads,
            "writes": entry.writes,
            "suffixes": list(entry.suffixes),
            "keeps": sorted(entry.keeps),
            "confirmed_by": entry.confirmed_by,
        }
        for entry in FORMATS.values()
    ]
    if as_json:
        print_json({"formats": rows})
        return
    for entry in FORMATS.values():
        ways = " and ".join(w for w, can in (("in", entry.reads), ("out", entry.writes)) if can)
        confirmed = entry.confirmed_by or "unverified"
        click.echo(f"{entry.name:13} {ways:11} {entry.label:26} {confirmed}")
