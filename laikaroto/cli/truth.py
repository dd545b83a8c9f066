"""``laikaroto truth``: ground truth into the training set, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import LaikarotoError, SidecarError, TruthError, UsageError

if TYPE_CHECKING:
    from laikaroto.character.revectorize import Report
    from laikaroto.character.template import CharacterTemplate
    from laikaroto.character.truth import TruthFault
    from laikaroto.cli.truth_import import ArtistOptions, CarriedFiles
    from laikaroto.shapes.records import Roto
    from laikaroto.show import Show


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        written: where each shot's truth lies now.
        carried: how artists' files came out; None: there was none.
    """

    written: dict[str, Path]
    carried: CarriedFiles | None


@click.group()
def truth() -> None:
    """Ground truth: the rotoscoped shots that a character learns from."""


@truth.command("import")
@click.argument("character")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--shot", help="Shot the truth is of, when the file says another; one FILE only.")
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    metavar="FORMAT",
    help="What the files are: roto.json, nuke, silhouette …; auto: by their names.",
)
@click.option("--frames", help="Only these frames of artists' files, such as 1001-1040.")
@click.option(
    "--mark",
    metavar="[FILE:]FRAME",
    help="A frame on which every shape has exactly the points wanted; of the first "
    "FILE if none is named. Only where there is no template yet.",
)
@click.option(
    "--points",
    "points",
    multiple=True,
    metavar="SHAPE=N",
    help="How many points a shape shall have in a template made from contours.",
)
@click.option(
    "--tolerance",
    "tolerance_px",
    type=float,
    default=0.5,
    show_default=True,
    help="Largest distance from the artist's curve, px, in a template made from them.",
)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write pictures of plates with contours and numbered points to this folder.",
)
@click.option(
    "--pixel-centres",
    is_flag=True,
    help="Keypoint files: the first pixel's centre is (0, 0), not (0.5, 0.5).",
)
@click.option(
    "--node",
    metavar="NAME",
    help="Which node of a script, category (COCO), individual (DeepLabCut) or track "
    "(SLEAP) to read, where a file has several.",
)
@click.option("--dry-run", is_flag=True, help="Check and report; write nothing.")
@click.option("--replace", is_flag=True, help="Replace truth that is already there.")
@common_options
def import_command(
    configs: Path, as_json: bool, character: str, files: tuple[Path, ...], shot: str | None,
    form: str, frames: str | None, mark: str | None, points: tuple[str, ...],
    tolerance_px: float, pictures: Path | None, pixel_centres: bool, node: str | None,
    dry_run: bool, replace: bool,
) -> None:  # fmt: skip
    """Take ground truth into the training set: all the files, or none if one is wrong.

    The first import writes the character's template: which tracking points and shapes it
    has, closed or open, their corners and numbers of points. A roto.json has to match it. An
    artist's own file (Nuke, Silhouette …) may have any points: its contours are carried onto
    the template's, and what cannot be carried is reported and left out.

    Keypoints (COCO, DeepLabCut, SLEAP) become tracking points: of the file with the shapes of
    the same shot in the same call, or, with --replace, of the truth that is there already.
    """
    from laikaroto.cli.truth_import import ArtistOptions, print_reports, to_dict
    from laikaroto.show import Show
    from laikaroto.worker.progress import foreground_report

    show = Show.open(configs)
    options = ArtistOptions.of(
        form=form, frames=frames, mark=mark, points=points, tolerance_px=tolerance_px,
        pictures=pictures, pixel_centres=pixel_centres, node=node,
    )  # fmt: skip
    with foreground_report(f"import {character}", quiet=as_json) as report:
        imported = import_truth(
            show, character=character, files=files, shot=shot, replace=replace, dry_run=dry_run,
            options=options, report=report,
        )  # fmt: skip
    if as_json:
        print_json({"character": character, "template": str(show.template_file(character)),
                    "imported": {name: str(path) for name, path in imported.written.items()},
                    "dry_run": dry_run, **to_dict(imported.carried)})  # fmt: skip
        return
    print_reports(imported.carried)
    for name, path in imported.written.items():
        click.echo(f"{name}: {path}")
    if dry_run:
        click.echo("dry run: nothing was written")
    else:
        click.echo(f"imported; look it over with: laikaroto truth check {character}")


@truth.command("check")
@click.argument("character")
@common_options
def check_command(configs: Path, as_json: bool, character: str) -> int:
    """Look over the whole training set of a character; exit code 1 if there are errors."""
    from laikaroto.show import Show

    show = Show.open(configs)
    shots = show.truth_shots(character)
    faults = check_training_set(show, character)
    errors = sum(fault.severity == "error" for fault in faults)
    if as_json:
        print_json({"character": character, "shots": list(shots), "errors": errors,
                    "warnings": len(faults) - errors,
                    "faults": [_to_dict(fault) for fault in faults]})  # fmt: skip
    else:
        for fault in faults:
            click.echo(str(fault))
        click.echo(
            f"{character}: {len(shots)} shots, {errors} errors, {len(faults) - errors} warnings"
        )
    return 1 if errors else 0


def import_truth(
    show: Show, *, character: str, files: Sequence[Path], shot: str | None = None,
    replace: bool = False, dry_run: bool = False, options: ArtistOptions | None = None,
    report: Report = lambda share, text: None,
) -> Imported:  # fmt: skip
    """Check truth files and take them into the training set, all of them or none.

    A file that is already there with the same content is left as it is. ``report`` is told how
    far artists' files are.

    Raises:
        UsageError: ``shot`` with several files, one shot twice, truth that is there already.
        SidecarError: a file cannot be read; TruthError: it does not fit the character or plate.
        TryAgainError: the disk refused; what was there is as before.
    """
    from laikaroto.character.template import read_template, template_from, write_template
    from laikaroto.cli.truth_import import ArtistOptions, carry_files, is_roto_json
    from laikaroto.sidecar.schema import roto_bytes

    show.character(character)
    if shot is not None and len(files) != 1:
        raise UsageError(f"--shot names one shot, so give one file with it; got {len(files)}")
    options = options or ArtistOptions()
    ours = [path for path in files if is_roto_json(path, options.form)]
    rotos = _read_all(character, ours, shot)
    template_file = show.template_file(character)
    first = not template_file.exists()
    template = None
    if not first:
        template = read_template(template_file)
    elif rotos and options.mark is None:
        template = template_from(rotos[0])
    theirs = [path for path in files if path not in ours]
    carried = None
    if theirs:
        carried = carry_files(show, character, theirs, rotos, template, shot, options, report)
        template = carried.template
    elif options.mark is not None or options.counts:
        raise UsageError("--mark and --points are for artists' files; a roto.json has its points")
    assert template is not None  # there is at least one file
    _refuse_mismatches(ours, rotos, template, template_file)
    everything = [*rotos, *(carried.rotos if carried else ())]
    targets = {show.truth_file(character, roto.shot): roto_bytes(roto) for roto in everything}
    if len(targets) < len(everything):
        raise UsageError("two files are of the same shot; import one of them")
    taken = [p for p, data in targets.items() if p.exists() and p.read_bytes() != data]
    if taken and not replace:
        raise UsageError(
            "\n".join(f"{path}: there is other truth for this shot already" for path in taken)
            + "\nnothing was imported; use --replace to replace it"
        )
    if not dry_run:
        if first:
            write_template(template_file, template)
        try:
            _write_all(targets)
        except LaikarotoError:
            if first:
                template_file.unlink()
            raise
    written = {roto.shot: path for roto, path in zip(everything, targets, strict=True)}
    return Imported(written, carried)


def check_training_set(show: Show, character: str) -> list[TruthFault]:
    """All faults of a character's training set, its plates looked at too.

    Raises:
        TruthError: there is no template yet, or nothing was imported.
    """
    from laikaroto.character.flips import check_flips
    from laikaroto.character.template import read_template
    from laikaroto.character.truth import check_truth
    from laikaroto.sidecar.schema import read_roto

    shots = show.truth_shots(character)
    if not shots:
        raise TruthError(
            f"character {character!r} has no ground truth; import some with "
            f"'laikaroto truth import {character} FILE…'"
        )
    template = read_template(show.template_file(character))
    faults: list[TruthFault] = []
    rotos = []
    for shot in shots:
        try:
            roto = read_roto(show.truth_file(character, shot))
        except SidecarError as error:
            faults.append(_shot_fault(shot, str(error), "import it again with --replace"))
            continue
        rotos.append(roto)
        frames, size, plate_faults = _look_at_plates(show, roto)
        faults += plate_faults
        faults += check_truth(roto, template, plate_frames=frames, plate_size=size)
    return sorted(faults + check_flips(rotos), key=lambda fault: (fault.severity, fault.shot))


def _look_at_plates(
    show: Show, roto: Roto
) -> tuple[tuple[int, ...] | None, tuple[int, int] | None, list[TruthFault]]:
    """Plate frames and size of a shot, as far as they can be told, and what is wrong there."""
    from laikaroto.character.truth import drawn_frames
    from laikaroto.plate.sequence import check_sequence, find_sequence

    try:
        found = find_sequence(show.plate_template(roto.shot), shot=roto.shot)
    except LaikarotoError as error:
        return None, None, [_shot_fault(roto.shot, str(error), "put the plates in place")]
    wanted = sorted(set(drawn_frames(roto)) & set(found.frames))
    if not wanted:
        return found.frames, None, []
    try:
        header = check_sequence(found, show.configs.show.plates, wanted)
    except LaikarotoError as error:
        return found.frames, None, [_shot_fault(roto.shot, str(error), "mend the plates")]
    return found.frames, (header.width, header.height), []


def _shot_fault(shot: str, text: str, remedy: str) -> TruthFault:
    from laikaroto.character.truth import TruthFault

    return TruthFault(
        severity="error", shot=shot, what="", frames=(), text=text, remedy=remedy
    )  # fmt: skip


def _read_all(character: str, files: Sequence[Path], shot: str | None) -> list[Roto]:
    """Read every file; all that is wrong with any of them in one error."""
    import dataclasses

    from laikaroto.character.truth import drawn_frames
    from laikaroto.config import check_name
    from laikaroto.shapes.records import FrameNote
    from laikaroto.sidecar.schema import read_roto

    rotos: list[Roto] = []
    faults = []
    seen: dict[str, Path] = {}
    for path in files:
        try:
            roto = read_roto(path)
        except SidecarError as error:
            faults.append(str(error))
            continue
        if shot is not None:
            roto = dataclasses.replace(roto, shot=check_name(shot, "shot"))
        # Drawn frames count as frames, whether or not the file's own list names them.
        notes = {frame: roto.frames.get(frame, FrameNote()) for frame in drawn_frames(roto)}
        roto = dataclasses.replace(roto, frames=notes)
        if roto.character != character:
            faults.append(f"{path}: character: wanted {character!r}, got {roto.character!r}")
        if roto.shot in seen:
            faults.append(f"{path}: is of shot {roto.shot!r}, and so is {seen[roto.shot]}")
        seen[roto.shot] = path
        rotos.append(roto)
    if faults:
        raise SidecarError("\n".join(faults) + "\nnothing was imported")
    return rotos


def _refuse_mismatches(
    files: Sequence[Path], rotos: Sequence[Roto], template: CharacterTemplate, template_file: Path
) -> None:
    from laikaroto.character.truth import template_differences

    faults = [
        f"{path}: {difference}"
        for path, roto in zip(files, rotos, strict=True)
        for difference in template_differences(roto, template)
    ]
    if faults:
        raise TruthError(
            "\n".join(faults) + f"\nnothing was imported: this does not match the character's "
            f"template {template_file}; redraw it like the template (or, to start the character "
            "anew, move its template and its training set away)"
        )


def _write_all(targets: dict[Path, bytes]) -> None:
    """Write files so that an error leaves every one as it was (a kill can leave some new)."""
    from laikaroto.sidecar.files import write_file

    before = {path: path.read_bytes() if path.exists() else None for path in targets}
    done: list[Path] = []
    try:
        for path, data in targets.items():
            if data != before[path]:
                write_file(path, data)
                done.append(path)
    except LaikarotoError:
        for path in done:
            former = before[path]
            if former is None:
                path.unlink()
            else:
                write_file(path, former)
        raise


def _to_dict(fault: TruthFault) -> dict[str, Any]:
    return {
        "severity": fault.severity, "shot": fault.shot, "what": fault.what,
        "frames": list(fault.frames), "text": fault.text, "remedy": fault.remedy,
    }  # fmt: skip
