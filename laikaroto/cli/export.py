"""``laikaroto export``: a published roto as a file of the tool an artist works in."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import UsageError, write_failure
from laikaroto.sidecar.formats.registry import FORMATS, Format

if TYPE_CHECKING:
    from laikaroto.shapes.records import Roto

_HARDLY_FEWER = 80.0  # keys per 100 frames
_WRITTEN = [name for name, entry in FORMATS.items() if entry.writes]


@click.command()
@click.argument("shot")
@click.option("--character", metavar="NAME", help="Whose roto; not needed if the show has one.")
@click.option(
    "--to", "to", type=click.Choice(_WRITTEN), required=True, help="The tool to write for."
)
@click.option(
    "-o",
    "--out",
    "out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write (a folder where the tool takes many files); "
    "by default named after shot, character and version, here.",
)
@click.option(
    "--keys",
    type=click.Choice(["every", "reduced"]),
    default="reduced",
    show_default=True,
    help="Key every frame, or as few as hold the shapes.",
)
@click.option(
    "--tolerance",
    "tolerance_px",
    type=float,
    default=0.25,
    show_default=True,
    metavar="PX",
    help="How far reduced keys may be off on any frame in between.",
)
@click.option("--version", metavar="V", help="Published version; the newest by default.")
@click.option("--frames", metavar="R", help="Only these frames: one unbroken range.")
@click.option("--replace", "may_replace", is_flag=True, help="Replace what is there.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@common_options
def export(
    configs: Path, as_json: bool, shot: str, character: str | None, to: str, out: Path | None,
    keys: str, tolerance_px: float, version: str | None, frames: str | None, may_replace: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Write a published roto of SHOT for Nuke, Silhouette, Blender and others.

    Shapes keep their names, frame numbers and visibility. Between keys the tool interpolates;
    with --keys reduced that stays within --tolerance on every frame. docs/formats.md says how
    to open each file, and which formats no program has confirmed.
    """
    from laikaroto.cli.published import find_version, pick_character
    from laikaroto.show import Show
    from laikaroto.sidecar.formats.registry import WriteOptions
    from laikaroto.sidecar.schema import read_roto

    if not 0.0 <= tolerance_px < float("inf"):
        raise UsageError(f"--tolerance: wanted 0 px or more, got {tolerance_px}")
    show = Show.open(configs)
    character = pick_character(show, character)
    version, folder = find_version(show, shot=shot, character=character, version=version)
    roto = read_roto(folder / "roto.json")
    if frames is not None:
        roto = _only(roto, frames)
    kind = FORMATS[to]
    keyed = _keys(roto, keys if kind.between_keys == "linear" else "every", tolerance_px)
    name = f"{shot}.{character}.{version}"
    files = kind.write(roto, WriteOptions(keys=keyed, name=name))
    target = _target(out, files, name)
    said = _Said(
        roto=roto,
        kind=kind,
        reduced=keys == "reduced",
        keys=keyed,
        tolerance_px=tolerance_px,
        files=files,
        target=target,
    )
    _check_free(target, files, may_replace=may_replace)
    if not dry_run:
        _write(target, files)
    if as_json:
        print_json({"version": version, "dry_run": dry_run, **said.to_dict()})
        return
    click.echo(f"{'would write' if dry_run else 'wrote'} {target}")
    for line in said.lines():
        click.echo(line)


def _only(roto: Roto, frames: str) -> Roto:
    """The roto cut to a range of frames.

    Raises:
        UsageError: the range is unreadable, has gaps, or reaches out of the plate's.
    """
    from laikaroto.frames import parse_frames

    wanted = parse_frames(frames)
    first, last = min(wanted), max(wanted)
    if len(wanted) != last - first + 1:
        raise UsageError(
            f"--frames {frames}: wanted one unbroken range, as a tool fills in what is between "
            f"keys; export {first}-{last}, or each range of its own"
        )
    plate = roto.plate
    if first < plate.first or last > plate.last:
        raise UsageError(
            f"--frames {frames}: shot {roto.shot!r} has frames {plate.first}-{plate.last}"
        )

    kept = frozenset(wanted)

    def cut(entries: Mapping[int, Any]) -> dict[int, Any]:
        return {frame: entry for frame, entry in entries.items() if frame in kept}

    shapes = {
        name: replace(
            shape, frames=cut(shape.frames), keys=tuple(key for key in shape.keys if key in kept)
        )
        for name, shape in roto.shapes.items()
    }
    return replace(
        roto,
        plate=replace(plate, first=first, last=last),
        tracks={name: cut(track) for name, track in roto.tracks.items()},
        shapes=shapes,
        frames=cut(roto.frames),
    )


def _keys(roto: Roto, keys: str, tolerance_px: float) -> dict[str, tuple[int, ...]]:
    from laikaroto.shapes.keys import every_key, reduced_keys

    if keys == "every":
        return {name: every_key(shape) for name, shape in roto.shapes.items()}
    return {
        name: reduced_keys(shape, tolerance_px=tolerance_px) for name, shape in roto.shapes.items()
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Said:
    """What a person or a script is told of an export."""

    roto: Roto
    kind: Format
    reduced: bool
    keys: Mapping[str, tuple[int, ...]]
    tolerance_px: float
    files: Mapping[str, bytes]
    target: Path

    def left_out(self) -> list[dict[str, str]]:
        """What the file does not hold: kind, name and why."""
        gone = []
        for name, shape in self.roto.shapes.items():
            kind = "closed" if shape.closed else "open"
            if kind not in self.kind.keeps:
                gone.append({"kind": kind, "name": name, "why": f"no {kind} shapes"})
            elif not shape.frames:
                gone.append({"kind": kind, "name": name, "why": "drawn on no frame"})
        for name, track in self.roto.tracks.items():
            if "tracks" not in self.kind.keeps:
                gone.append({"kind": "tracks", "name": name, "why": "no tracking points"})
            elif not track:
                gone.append({"kind": "tracks", "name": name, "why": "on no frame"})
        return gone

    def to_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "shot": self.roto.shot,
            "character": self.roto.character,
            "format": self.kind.name,
            "file": str(self.target),
            "files": len(self.files),
            "bytes": sum(map(len, self.files.values())),
            "confirmed_by": self.kind.confirmed_by,
            "frames": [self.roto.plate.first, self.roto.plate.last],
            "keys": {name: list(self.keys[name]) for name in self._drawn()},
            "keys_per_100_frames": {name: self._per_100(name) for name in self._drawn()},
            "left_out": self.left_out(),
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = []
        if self.kind.confirmed_by is None:
            lines.append(
                f"unverified: no {self.kind.label} has opened such a file yet; look at the first "
                "shape before you rely on it"
            )
        names = self._drawn()
        if self.kind.between_keys == "none":
            lines.append(f"{len(names)} shapes, every frame written")
        elif names:
            each = [self._per_100(name) for name in names]
            lines.append(
                f"{len(names)} shapes, {sum(each) / len(each):.0f} keys per 100 frames on average"
            )
            lines += (f"  {name}: {self._per_100(name):.0f}" for name in names)
            if self.reduced and sum(each) / len(each) > _HARDLY_FEWER:
                lines.append(
                    "the shapes move anew on nearly every frame, so fewer keys cannot hold them "
                    f"within {self.tolerance_px:g} px; a larger --tolerance can"
                )
        return lines + self._left_out_lines()

    def _left_out_lines(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for gone in self.left_out():
            reasons.setdefault(gone["why"], []).append(gone["name"])
        return [
            f"left out ({self.kind.label}: {why}): {', '.join(names)}"
            for why, names in reasons.items()
        ]

    def _drawn(self) -> list[str]:
        gone = {each["name"] for each in self.left_out() if each["kind"] != "tracks"}
        return [name for name in self.roto.shapes if name not in gone]

    def _per_100(self, name: str) -> float:
        from laikaroto.shapes.keys import per_100_frames

        frames = len(self.roto.shapes[name].frames)
        return round(per_100_frames(len(self.keys[name]), frames), 1)


def _target(out: Path | None, files: Mapping[str, bytes], name: str) -> Path:
    """The file, or the folder of several files, to write."""
    if len(files) == 1:
        (own,) = files
        if out is None:
            return Path(own)
        return out / own if out.is_dir() else out
    return out if out is not None else Path(name)


def _check_free(target: Path, files: Mapping[str, bytes], *, may_replace: bool) -> None:
    """Refuse to write over what is there, and into a published version.

    Raises:
        UsageError: there is something, and it may not be replaced or is not of an export.
    """
    from laikaroto.sidecar.publish import MANIFEST

    for folder in target.absolute().parents:
        if (folder / MANIFEST).exists():
            raise UsageError(f"{target} lies in the published version {folder}; name another place")
    if not (target.exists() or target.is_symlink()):
        return
    if not may_replace:
        raise UsageError(f"{target} is there already; add --replace, or name another with -o")
    suffixes = {Path(name).suffix for name in files}
    if len(files) == 1:
        if target.is_dir() or target.suffix not in suffixes:
            raise UsageError(
                f"{target}: wanted to replace a {', '.join(suffixes)} file, and this is none; "
                "name another with -o"
            )
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file, and {len(files)} are to be written; name a folder")
    if strange := [p.name for p in target.iterdir() if p.suffix not in suffixes or p.is_dir()]:
        raise UsageError(
            f"{target}: holds {sorted(strange)[0]!r}, which no export wrote, so the folder is not "
            "replaced; name another with -o"
        )


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write one file, or a folder of several, whole or not at all."""
    from laikaroto.sidecar.files import write_file

    if len(files) == 1:
        write_file(target, *files.values())
        return
    token = secrets.token_hex(6)
    build = target.with_name(f".{target.name}.{token}")
    former = target.with_name(f".{target.name}.{token}.former")
    try:
        try:
            build.mkdir(parents=True)
            for name, data in files.items():
                (build / name).write_bytes(data)
            if target.exists():
                os.rename(target, former)
            try:
                os.rename(build, target)
            except OSError:
                if former.exists():
                    os.rename(former, target)
                raise
        finally:
            shutil.rmtree(build, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        raise write_failure(target, error) from error
