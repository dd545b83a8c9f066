"""``laikaroto init`` and ``laikaroto doctor``: a new show, and whether a show is in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import UsageError, write_failure

_PLATES = "{root}/plates/{shot}/{shot}.{frame:04d}.exr"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--plates",
    default=_PLATES,
    show_default=True,
    metavar="TEMPLATE",
    help="Where the show's plates lie; {root} stands for DIR.",
)
@click.option(
    "--character",
    "characters",
    multiple=True,
    metavar="NAME",
    help="Also make the file of this character; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for scripts.")
def init(folder: Path, plates: str, characters: tuple[str, ...], as_json: bool) -> None:
    """Make a new show in DIR: DIR/configs, with every setting explained.

    DIR must be new or empty. Plates stay where they are; results will lie in DIR.
    """
    from laikaroto.cli.checkup import find_shots
    from laikaroto.config import check_name
    from laikaroto.show import Show

    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder for the show")
    if not plates.startswith("{root}"):
        plates = str(Path(plates).absolute())
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.name).strip("_.-") or "show"
    files = {"show.yaml": _show_yaml(name, plates), "queues/local.yaml": _text("queues/local.yaml")}
    for character in characters:
        check_name(character, "character")
        files[f"characters/{character}.yaml"] = _character_yaml(character)
    _check_show(files["show.yaml"])
    configs = folder / "configs"
    _write(configs, files)
    found = find_shots(Show.open(configs))
    if as_json:
        print_json({"configs": str(configs), "shots": found.shots, "unusable": found.unusable})
        return
    click.echo(f"made {configs}")
    click.echo(_say_shots(len(found.shots), sum(found.shots.values()), plates))
    for line in found.unusable:
        click.echo(f"left out: {line}")
    first = characters[0] if characters else "NAME"
    if not characters:
        click.echo(
            f"next: describe a puppet in {configs / 'characters'}/NAME.yaml "
            "(one line is enough: 'name: NAME')"
        )
    click.echo(f"next: cd {folder}; laikaroto truth import {first} FILE...; laikaroto doctor")


@click.command()
@common_options
def doctor(configs: Path, as_json: bool) -> int:
    """Check this installation and the show: what is in order, what is not, what to do.

    Looks at packages, configuration, plates, training sets, models, queues and the disk.
    Exit code 1 if there is a problem.
    """
    from laikaroto.cli.checkup import examine

    findings = examine(configs)
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        print_json({"problems": problems, "checks": [f.to_dict() for f in findings]})
        return 1 if problems else 0
    from rich.console import Console
    from rich.table import Table

    styles = {"ok": "green", "to do": "yellow", "problem": "bold red"}
    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        style = styles[finding.state]
        table.add_row(
            finding.what, f"[{style}]{finding.state}[/]", _plain(finding.found), _plain(finding.do)
        )
    console = Console()
    console.print(table)
    console.print(f"{len(findings)} checks, {problems} problems", highlight=False)
    return 1 if problems else 0


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _say_shots(shots: int, frames: int, template: str) -> str:
    if not shots:
        return f"no plates found yet (looked for {template})"
    return f"{shots} shots with {frames} plates found"


def _text(name: str) -> str:
    from laikaroto.bundled import bundled

    return (bundled("configs") / name).read_text(encoding="utf-8")


def _set(text: str, key: str, value: str) -> str:
    """Give a setting of the documented example another value; its comment stays."""
    pattern = re.compile(rf"^({key}: )(\".*?\"|\S+)( *)", re.MULTILINE)
    changed, count = pattern.subn(
        lambda match: match[1] + value.ljust(len(match[2] + match[3]) - 1) + " ", text, count=1
    )
    if count != 1:
        raise KeyError(key)
    return changed


def _show_yaml(name: str, plates: str) -> str:
    text = _set(_text("show.yaml"), "name", name)
    text = _set(text, "root", '".."')
    text = _set(text, "  template", json.dumps(plates))
    # a new show has no green-card plates until somebody names them
    card = re.search(r"^green_card:.*\n(?:  .*\n)+", text, re.MULTILINE)
    assert card is not None, "configs/show.yaml lost its green_card example"
    return text.replace(card[0], "".join(f"# {line}\n" for line in card[0].splitlines()))


def _character_yaml(name: str) -> str:
    text = _set(_text("characters/hero.yaml"), "name", name)
    # the sample's plates are half as wide as a small production's
    text = _set(text, "  crop_px", "512")
    text = _set(text, "  max_expected_error_px", "null")
    layers = re.search(r"^  layers:\n(?:    .*\n)+", text, re.MULTILINE)
    assert layers is not None, "configs/characters/hero.yaml lost its layers example"
    return text.replace(layers[0], "".join(f"  # {li[2:]}\n" for li in layers[0].splitlines()))


def _check_show(text: str) -> None:
    """Refuse a bad template before anything is written."""
    import yaml
    from pydantic import ValidationError

    from laikaroto.config import ShowConfig, describe_faults

    try:
        ShowConfig.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise UsageError("--plates: " + "; ".join(describe_faults(error))) from error


def _write(configs: Path, files: dict[str, str]) -> None:
    try:
        (configs / "characters").mkdir(parents=True)
        for name, text in files.items():
            path = configs / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise write_failure(configs, error) from error
