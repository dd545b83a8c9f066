"""``laikaroto models``: which models a character has, and which one is current."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import ModelError

if TYPE_CHECKING:
    from laikaroto.model.package import ModelPackage


@click.group()
def models() -> None:
    """Models of a character: numbered versions, one of them current; what to teach them next."""


@models.command("list")
@click.argument("character")
@common_options
def list_command(configs: Path, as_json: bool, character: str) -> None:
    """List all models, damaged ones included; * marks the current one."""
    from laikaroto.model.package import current_version, load_package
    from laikaroto.sidecar.publish import versions

    folder = _folder(configs, character)
    current = current_version(folder)
    rows: list[dict[str, Any]] = []
    for version in versions(folder):
        try:
            row = _summary(load_package(folder / version), folder)
        except ModelError as error:
            row = {"version": version, "damaged": str(error)}
        rows.append({**row, "current": version == current})
    if as_json:
        print_json({"character": character, "current": current, "models": rows})
        return
    if not rows:
        click.echo(f"{character} has no model yet; train one with: laikaroto train {character}")
    for row in rows:
        mark = "*" if row["current"] else " "
        if "damaged" in row:
            click.echo(f"{mark} {row['version']}  damaged: {row['damaged']}")
        else:
            measured = row["curves_mean_px"]
            click.echo(
                f"{mark} {row['version']}  {row['created']}  "
                f"curves {'not measured' if measured is None else f'{measured:.2f} px'}  "
                f"trained on {', '.join(row['training_shots'])}"
            )
            if row["decision"] and not row["decision"]["current"]:
                click.echo(f"        not made current: {row['decision']['reason']}")


@models.command("show")
@click.argument("character")
@click.argument("version", default="current")
@common_options
def show_command(configs: Path, as_json: bool, character: str, version: str) -> None:
    """Show how a model was made and what it was measured at; the current one by default."""
    from laikaroto.model.package import load_package, resolve_version

    folder = _folder(configs, character)
    package = load_package(folder / resolve_version(folder, version))
    data = {
        **_summary(package, folder),
        "folder": str(package.folder),
        "digest": package.digest,
        "metrics": package.metrics,
    }
    if as_json:
        print_json(data)
        return
    for path, value in _flat(data):
        click.echo(f"{path}: {value}")


@models.command()
@click.argument("character")
@click.argument("version")
@common_options
def promote(configs: Path, as_json: bool, character: str, version: str) -> None:
    """Make VERSION current, whatever it was measured at. Its checksums are verified first."""
    from laikaroto.model.decisions import record_decision
    from laikaroto.model.package import promote as make_current
    from laikaroto.model.package import resolve_version

    folder = _folder(configs, character)
    version = resolve_version(folder, version)
    make_current(folder, version)
    record_decision(folder, version, current=True, reason="made current with 'models promote'")
    _say_current(character, version, as_json)


@models.command()
@click.argument("character")
@common_options
def rollback(configs: Path, as_json: bool, character: str) -> None:
    """Make the model current again that was so before."""
    from laikaroto.model.decisions import record_decision
    from laikaroto.model.package import current_version
    from laikaroto.model.package import rollback as go_back

    folder = _folder(configs, character)
    left = current_version(folder)
    version = go_back(folder)
    if left is not None:
        reason = f"rolled back to {version} with 'models rollback'"
        record_decision(folder, left, current=False, reason=reason)
    _say_current(character, version, as_json)


@models.command()
@click.argument("character")
@click.argument("shots", nargs=-1, metavar="[SHOT]...")
@click.option(
    "--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many frames."
)
@common_options
def suggest(
    configs: Path, as_json: bool, character: str, shots: tuple[str, ...], count: int
) -> None:  # fmt: skip
    """Say which frames to rotoscope next: those that would teach CHARACTER's model most.

    Looks at the newest published version of each SHOT, of all shots by default, and prefers
    frames that the model expects to be wrong on, whose pose is unlike what it has learned, and
    which many other frames are like. The training report shows the first ones with pictures.
    """
    from laikaroto.show import Show
    from laikaroto.worker.suggestions import suggest_frames

    show = Show.open(configs)
    show.character(character)
    found = suggest_frames(show, character, shots, count=count)
    if as_json:
        rows = [{"rank": i, **asdict(one)} for i, one in enumerate(found.suggestions, 1)]
        print_json({
            "character": character, "frames": found.frames, "suggestions": rows,
            "notes": list(found.notes),
        })  # fmt: skip
        return
    for note in found.notes:
        click.echo(f"left out: {note}", err=True)
    click.echo(f"looked at {found.frames} frames of {len(found.rotos)} shots")
    if not found.suggestions:
        click.echo("nothing there is unlike what was learned")
    for i, one in enumerate(found.suggestions, 1):
        click.echo(f"{i:3}. {one.shot} frame {one.frame} ({one.version})")
        for reason in one.why():
            click.echo(f"       {reason}")


def _folder(configs: Path, character: str) -> Path:
    from laikaroto.show import Show

    show = Show.open(configs)
    return show.models_folder(show.character(character).name)


def _summary(package: ModelPackage, folder: Path) -> dict[str, Any]:
    from laikaroto.model.decisions import read_decision

    # from shots that were held out; None where there was only one shot
    figures = {name: package.metrics.get(name) for name in ("curves_mean_px", "tracks_mean_px")}
    decision = read_decision(folder, package.version)
    return {
        "version": package.version,
        "decision": decision.model_dump() if decision else None,
        **package.info.model_dump(mode="json"),
        **figures,
    }


def _say_current(character: str, version: str, as_json: bool) -> None:
    if as_json:
        print_json({"character": character, "current": version})
    else:
        click.echo(f"{character}: {version} is current")


def _flat(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as ``a.b.c``."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, ", ".join(map(str, data)) if isinstance(data, list) else data
