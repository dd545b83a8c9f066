"""Artists' files for ``laikaroto truth import``: read, checked, carried onto the template, shown.

Every fault of every file is gathered before anything is given up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.errors import LaikarotoError, TruthError, UsageError

if TYPE_CHECKING:
    from laikaroto.character.artist_truth import Named
    from laikaroto.character.revectorize import Report, Revectorized
    from laikaroto.character.template import CharacterTemplate
    from laikaroto.coords import FloatArray
    from laikaroto.plate.sequence import PlateSequence
    from laikaroto.shapes.artist import ArtistFile
    from laikaroto.shapes.records import PlateInfo, Roto
    from laikaroto.show import Show
    from laikaroto.sidecar.formats.registry import Format

_ROTO_JSON = "roto.json"
_AUTO = "auto"
_MOST_PICTURES = 12  # of a shot
_MOST_MARKED = 40  # frames of former truth that later files are laid along


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtistOptions:
    """How artists' files are read.

    Attributes:
        form: name of a format, or ``auto``.
        frames: only these; None: all.
        mark: file (None: the first) and frame whose points are the template's.
        counts: number of points of some shapes, for a template made from contours.
        tolerance_px: largest distance a made template aims at.
        pictures: folder for pictures; None: none.
        pixel_centres: keypoint files count pixel centres at whole numbers.
        node: which node, category, individual or track of a file to read; None: the only one.
    """

    form: str = _AUTO
    frames: tuple[int, ...] | None = None
    mark: tuple[Path | None, int] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    tolerance_px: float = 0.5
    pictures: Path | None = None
    pixel_centres: bool = False
    node: str | None = None

    @classmethod
    def of(
        cls, *, form: str, frames: str | None, mark: str | None, points: Sequence[str],
        tolerance_px: float, pictures: Path | None, pixel_centres: bool, node: str | None,
    ) -> ArtistOptions:  # fmt: skip
        """From what was typed.

        Raises:
            UsageError: one of them cannot be read.
        """
        from laikaroto.frames import parse_frames
        from laikaroto.sidecar.formats.registry import FORMATS

        known = [name for name, known in FORMATS.items() if known.reads]
        if form not in (_AUTO, _ROTO_JSON, *known):
            raise UsageError(
                f"unknown format {form!r}; known: {', '.join([_AUTO, _ROTO_JSON, *known])}"
            )
        if not tolerance_px > 0:
            raise UsageError(f"--tolerance: wanted px above 0, got {tolerance_px:g}")
        return cls(
            form=form,
            frames=None if frames is None else parse_frames(frames),
            mark=None if mark is None else _parse_mark(mark),
            counts=dict(_parse_count(text) for text in points),
            tolerance_px=tolerance_px,
            pictures=pictures,
            pixel_centres=pixel_centres,
            node=node,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CarriedFiles:
    """Artists' files as ground truth.

    Attributes:
        template: the character's, as it was or as it was made.
        rotos: one for each file.
        result: how each shape came out.
        notes: what a file holds and is not used, one line each.
    """

    template: CharacterTemplate
    rotos: tuple[Roto, ...]
    result: Revectorized
    notes: tuple[str, ...]


def is_roto_json(path: Path, form: str) -> bool:
    """Whether a file is, or has to be read as, our own ``roto.json``.

    Raises:
        UsageError: the format is to be told by name and content, and neither does.
    """
    if form != _AUTO:
        return form == _ROTO_JSON
    return _format_of(path, form).name == "json"


def carry_files(
    show: Show,
    character: str,
    files: Sequence[Path],
    rotos: Sequence[Roto],
    template: CharacterTemplate | None,
    shot: str | None,
    options: ArtistOptions,
    report: Report,
) -> CarriedFiles:
    """Read artists' files and carry their contours onto the template.

    Args:
        show: the show.
        character: whose files they are.
        files: the artists'.
        rotos: our own files that are imported with them: their frames count as marked.
        template: the character's; None: it is made.
        shot: of the one file; None: each file is named as its shot.
        options: as typed.
        report: told how far it is.

    Raises:
        TruthError: names, sizes or frames that do not fit; every fault of every file.
        SidecarError: a file cannot be read. UsageError: a call that cannot be.
    """
    if template is not None and (options.mark is not None or options.counts):
        raise UsageError(
            f"--mark and --points are for a character without a template; "
            f"{show.template_file(character)} says its points already"
        )
    report(0.0, f"reading {len(files)} files")
    read = _read_files(show, character, files, template, shot, options)
    drawn = [item for item in read if item.named.shapes]
    shots = {item.shot: item.named.shapes for item in drawn}
    marked = _marked(show, character, drawn, rotos, template, options) if drawn else []
    result, template = _carry(
        character, read, shots, marked, template, options,
        report=lambda share, text: report(0.1 + 0.8 * share, text),
    )  # fmt: skip
    made = tuple(_truth_of(show, character, item, result, template) for item in read)
    files_read = [file for item in read for file in (item.file, item.points) if file is not None]
    notes = [f"{file.path}: {note}" for file in files_read for note in file.notes]
    if options.pictures is not None:
        report(0.9, "drawing pictures")
        _write_pictures(show, options.pictures, read, made)
    return CarriedFiles(template=template, rotos=made, result=result, notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    file: ArtistFile
    shot: str
    named: Named
    plate: PlateInfo
    sequence: PlateSequence
    points: ArtistFile | None = None  # where its tracking points are from, if from another file


def _parse_mark(text: str) -> tuple[Path | None, int]:
    name, _, frame = text.rpartition(":")
    try:
        return (Path(name) if name else None), int(frame)
    except ValueError as error:
        raise UsageError(f"--mark: wanted [FILE:]FRAME, got {text!r}") from error


def _parse_count(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not count.isdigit() or int(count) < 2:
        raise UsageError(f"--points: wanted SHAPE=N with N of 2 or more, got {text!r}")
    return name, int(count)


def _format_of(path: Path, form: str) -> Format:
    from laikaroto.sidecar.formats.registry import FORMATS
    from laikaroto.sidecar.formats.sniff import told_format

    return told_format(path) if form == _AUTO else FORMATS[form]


def _read_files(
    show: Show,
    character: str,
    files: Sequence[Path],
    template: CharacterTemplate | None,
    shot: str | None,
    options: ArtistOptions,
) -> list[_Read]:
    found: list[_Read] = []
    faults: list[str] = []
    for path in files:
        name = shot if shot is not None else path.name.split(".", 1)[0]
        try:
            item = _read_file(show, character, path, name, template, options)
        except LaikarotoError as error:
            faults.append(str(error))
            continue
        faults += [f"{path}: {fault}" for fault in item.named.faults]
        found.append(item)
    found = _joined(found, faults)
    if faults:
        raise TruthError("\n".join(faults) + "\nnothing was imported")
    return found


def _joined(read: Sequence[_Read], faults: list[str]) -> list[_Read]:
    """One for each shot: a file of tracking points goes with the one that has the shapes."""
    shots: dict[str, _Read] = {}
    for item in read:
        other = shots.setdefault(item.shot, item)
        if other is item:
            continue
        drawn, points = (other, item) if other.named.shapes else (item, other)
        if points.named.shapes or not drawn.named.shapes or drawn.named.tracks:
            faults.append(f"{item.file.path}: is of shot {item.shot!r}, and so is "
                          f"{other.file.path}; two go together only where one has shapes and the "
                          "other nothing but tracking points")  # fmt: skip
            continue
        named = dataclasses.replace(drawn.named, tracks=points.named.tracks)
        shots[item.shot] = dataclasses.replace(drawn, named=named, points=points.file)
    return list(shots.values())


def _read_file(
    show: Show,
    character: str,
    path: Path,
    shot: str,
    template: CharacterTemplate | None,
    options: ArtistOptions,
) -> _Read:
    from laikaroto.character.artist_truth import check_against_plate, limit_frames, match_names

    plate, sequence = _plate_of(show, path, shot)
    file = _format_of(path, options.form).read_for(
        path, plate, pixel_centres=options.pixel_centres, node=options.node
    )
    named = match_names(
        file,
        show.character(character).names,
        shapes=None if template is None else [shape.name for shape in template.shapes],
        tracks=None if template is None else template.tracks,
        config=str(show.configs.folder / "characters" / f"{character}.yaml"),
    )
    if options.frames is not None:
        named = limit_frames(named, options.frames)
    if not named.shapes and not any(named.tracks.values()) and not named.faults:
        text = "holds no shape and no tracking point on the frames asked for"
        named = dataclasses.replace(named, faults=(text,))
    wrong = check_against_plate(file, named, plate, sequence.frames)
    named = dataclasses.replace(named, faults=(*named.faults, *wrong))
    return _Read(file=file, shot=shot, named=named, plate=plate, sequence=sequence)


def _plate_of(show: Show, path: Path, shot: str) -> tuple[PlateInfo, PlateSequence]:
    """Plate of an artist's file: its size and range are what the file is checked against."""
    from laikaroto.config import check_name
    from laikaroto.plate.exr import read_header
    from laikaroto.plate.sequence import find_sequence
    from laikaroto.shapes.records import PlateInfo

    try:
        check_name(shot, "shot")
        sequence = find_sequence(show.plate_template(shot), shot=shot)
    except LaikarotoError as error:
        raise TruthError(
            f"{path}: {error}; a file is taken to be of the shot it is named after: rename it or "
            "say --shot"
        ) from error
    header = read_header(sequence.path(sequence.frames[0]), show.configs.show.plates)
    plate = PlateInfo(
        width=header.width,
        height=header.height,
        first=sequence.frames[0],
        last=sequence.frames[-1],
        fps=show.configs.show.fps,
        pixel_aspect=header.pixel_aspect,
    )
    return plate, sequence


def _marked(
    show: Show,
    character: str,
    read: Sequence[_Read],
    rotos: Sequence[Roto],
    template: CharacterTemplate | None,
    options: ArtistOptions,
) -> list[dict[str, FloatArray]]:
    """Frames whose points are the template's: marked ones, or truth that is there already."""
    from laikaroto.sidecar.schema import read_roto

    if options.mark is not None:
        return [_marked_frame(show, character, read, options)]
    if template is None:
        return []
    former = [show.truth_file(character, shot) for shot in show.truth_shots(character)]
    known = [*rotos, *(read_roto(path) for path in former if path.is_file())]
    frames = [
        {name: shape.frames[frame].points for name, shape in roto.shapes.items()
         if frame in shape.frames}
        for roto in known
        for frame in sorted({f for shape in roto.shapes.values() for f in shape.frames})
    ]  # fmt: skip
    if not frames:
        raise TruthError(
            f"{show.template_file(character)}: says how many points each shape has, but there is "
            "no truth that shows where; import a roto.json first, or move the template away and "
            "mark a frame with --mark"
        )
    step = max(1, -(-len(frames) // _MOST_MARKED))
    return frames[::step]


def _marked_frame(
    show: Show, character: str, read: Sequence[_Read], options: ArtistOptions
) -> dict[str, FloatArray]:
    assert options.mark is not None
    path, frame = options.mark
    if path is None or any(item.file.path == path for item in read):
        item = read[0] if path is None else next(i for i in read if i.file.path == path)
        shapes, path = item.named.shapes, item.file.path
        points = {n: s.frames[frame] for n, s in shapes.items() if frame in s.frames}
    elif is_roto_json(path, _AUTO):
        from laikaroto.sidecar.schema import read_roto

        roto = read_roto(path)
        points = {n: s.frames[frame].points for n, s in roto.shapes.items() if frame in s.frames}
    else:
        raise UsageError(f"--mark: {path} is neither a roto.json nor one of the files")
    wanted = {name for item in read for name in item.named.shapes}
    if missing := sorted(wanted - set(points)):
        raise TruthError(
            f"{path}, frame {frame}: marked frame lacks {', '.join(missing)}; draw every shape on "
            "it with exactly the points wanted"
        )
    return points


def _carry(
    character: str,
    read: Sequence[_Read],
    shots: Mapping[str, Any],
    marked: Sequence[dict[str, FloatArray]],
    template: CharacterTemplate | None,
    options: ArtistOptions,
    *,
    report: Report,
) -> tuple[Revectorized, CharacterTemplate]:
    from laikaroto.character.revectorize import (
        Revectorized,
        make_template,
        marked_forms,
        revectorize,
    )
    from laikaroto.character.template import CharacterTemplate

    tracks = tuple(sorted({name for item in read for name in item.named.tracks}))
    if not shots:  # keypoints alone
        made = template or CharacterTemplate(character=character, tracks=tracks, shapes=())
        return Revectorized.nothing(made.shapes), made
    if template is not None:
        return revectorize(shots, template.shapes, marked, report=report), template
    drawn = {name for named in shots.values() for name in named}
    if unknown := sorted(set(options.counts) - drawn):
        raise UsageError(f"--points: there is no shape {', '.join(map(repr, unknown))}")
    if marked:
        if options.counts:
            raise UsageError("--points: the marked frame says how many points each shape has")
        closed = {n: s.closed for named in shots.values() for n, s in named.items()}
        result = revectorize(
            shots, marked_forms(marked[0], closed), marked, more_corners=True, report=report
        )
    else:
        result = make_template(
            shots, counts=options.counts, tolerance_px=options.tolerance_px, report=report
        )
    forms = tuple(sorted(result.shapes, key=lambda form: form.name))
    return result, CharacterTemplate(character=character, tracks=tracks, shapes=forms)


def _truth_of(
    show: Show, character: str, item: _Read, result: Revectorized, template: CharacterTemplate
) -> Roto:
    """A shot's truth; tracking points alone are added to the shapes that are there already.

    Raises:
        TruthError: there are none, and the character has shapes.
    """
    from laikaroto.character.artist_truth import as_truth, with_points
    from laikaroto.sidecar.schema import read_roto

    if item.named.shapes or not template.shapes:
        return as_truth(item.named, result, shot=item.shot, character=character, plate=item.plate,
                        file=item.file, points=item.points)  # fmt: skip
    former = show.truth_file(character, item.shot)
    if not former.is_file():
        raise TruthError(
            f"{item.file.path}: holds tracking points only, and there are no shapes of shot "
            f"{item.shot!r} they belong to; give the file with its shapes in the same call, or "
            "import that first\nnothing was imported"
        )
    return with_points(read_roto(former), item.named, item.file)


def print_reports(carried: CarriedFiles | None) -> None:
    """The table of an import, what was left out and what was not used."""
    from laikaroto.frames import format_frames

    if carried is None:
        return
    head = f"{'shot':12} {'shape':16} {'points':>6} {'frames':>6} {'mean px':>8} {'max px':>8}"
    click.echo(f"{head} {'on':>6} {'slide px':>8}  left out")
    for row in carried.result.reports:
        out = format_frames(row.left_out) if row.left_out else ""
        slide = "-" if row.slide_px is None else f"{row.slide_px:.2f}"
        click.echo(
            f"{row.shot:12} {row.shape:16} {row.points:6d} {len(row.frames):6d} "
            f"{row.mean_px:8.3f} {row.max_px:8.2f} {row.max_frame or '':>6} "
            f"{slide:>8}  {out}".rstrip()
        )
    for item in carried.result.left_out:
        click.echo(
            f"left out: shot {item.shot}, frame {item.frame}, shape {item.shape!r}: {item.reason}"
        )
    for name, enough in carried.result.enough_points.items():
        more = "no number up to 40 is" if enough is None else f"{enough} would be"
        click.echo(f"shape {name!r}: its points are too few for the tolerance; {more} enough")
    for note in carried.notes:
        click.echo(f"note: {note}")


def to_dict(carried: CarriedFiles | None) -> dict[str, Any]:
    """The same for scripts."""
    if carried is None:
        return {"reports": [], "left_out": [], "notes": []}
    return {
        "reports": [dataclasses.asdict(report) for report in carried.result.reports],
        "left_out": [dataclasses.asdict(item) for item in carried.result.left_out],
        "enough_points": dict(carried.result.enough_points),
        "notes": list(carried.notes),
    }


def _write_pictures(show: Show, folder: Path, read: Sequence[_Read], rotos: Sequence[Roto]) -> None:
    """Plates with the artist's contour, ours and its numbered points: a few of every shot."""
    from laikaroto.plate.exr import read_rgb
    from laikaroto.plate.proxy import write_jpeg
    from laikaroto.review.contours import draw_contours

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        from laikaroto.errors import write_failure

        raise write_failure(folder, error) from error
    for item, roto in zip(read, rotos, strict=True):
        frames = sorted(roto.frames)
        step = max(1, -(-len(frames) // _MOST_PICTURES))
        for frame in frames[::step]:
            rgb = read_rgb(item.sequence.path(frame), show.configs.show.plates)
            picture = draw_contours(rgb, item.named.shapes, roto, frame)
            write_jpeg(folder / f"{item.shot}.{frame}.jpg", picture)
