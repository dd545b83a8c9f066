"""``laikaroto correct``: an artist's edited file back in; locks and approvals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.errors import UsageError
from laikaroto.frames import format_frames

if TYPE_CHECKING:
    from laikaroto.correction.log import Log
    from laikaroto.correction.records import ShapeEntry, TrackEntry
    from laikaroto.correction.take import Call, Taken
    from laikaroto.show import Show

_SHOWN = 12


@click.command()
@click.argument("shot")
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--character", help="The puppet; may be left out when the show has just one.")
@click.option("--list", "listed", is_flag=True, help="Show what was recorded, and stop.")
@click.option("--revert", type=int, metavar="N", help="Take record N back.")
@click.option("--lock", metavar="WHAT", help="No job touches it: frames, a shape, or 'all'.")
@click.option("--unlock", metavar="WHAT", help="Undo locks: frames, a shape, or 'all'.")
@click.option("--approve", metavar="WHAT", help="It is right as it is: frames, or 'all'.")
@click.option("--shape", "names", multiple=True, help="With these: only this shape; repeatable.")
@click.option("--from-version", metavar="V", help="The version FILE was made from.")
@click.option("--format", "format_name", metavar="F", help="Format of FILE, if its name lies.")
@click.option("--pixel-centres", is_flag=True,
              help="Keypoints in FILE: the first pixel's centre is (0, 0).")  # fmt: skip
@click.option("--node", metavar="NAME",
              help="Which node, category, individual or track of FILE.")  # fmt: skip
@click.option("--map", "mapped", multiple=True, metavar="THEIRS=OURS",
              help="A shape of FILE that was renamed; repeatable.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="NAME", help="Leave a shape out; repeatable.")
@click.option("--frame-offset", type=int, default=0, help="Frames to add to those of FILE.")
@click.option("--rescale", is_flag=True, help="FILE was drawn on a copy of another size.")
@click.option("--every-frame", is_flag=True, help="Frames between keys are drawn as meant.")
@click.option("--keys-only", is_flag=True, help="Frames between keys mean nothing.")
@click.option("--mine", "keep", flag_value="mine", default=None,
              help="In a conflict FILE holds.")  # fmt: skip
@click.option("--theirs", "keep", flag_value="theirs", help="In a conflict what is recorded holds.")
@click.option("--tolerance", type=click.FloatRange(min=0.0), default=0.01, show_default=True,
              help="Moves up to this many px are rounding.")  # fmt: skip
@click.option("--who", help="Whose work it is; you by default.")
@click.option("--note", default="", help="A line for whoever reads the list.")
@click.option("--dry-run", is_flag=True, help="Say what would be recorded; record nothing.")
@click.option("--no-publish", is_flag=True, help="Record only; make no new version yet.")
@click.option("--no-review", is_flag=True, help="Make no review page of the new version.")
@common_options
def correct(shot: str, configs: Path, as_json: bool, **said: Any) -> None:
    """Take an artist's edited FILE of SHOT back in, and make the next version.

    What differs from the version FILE was made from is recorded for good and holds in every
    later version to the last digit; neighbouring frames follow as far as the evidence goes
    (docs/corrections.md). FILE may be roto.json or any format 'laikaroto truth import' reads.
    """
    from laikaroto.cli.published import pick_character
    from laikaroto.config import check_name
    from laikaroto.correction.log import current_user
    from laikaroto.show import Show

    action = _action(said)
    show = Show.open(configs)
    character = pick_character(show, said["character"])
    check_name(shot, "shot")
    said["who"] = said["who"] or current_user()
    if action == "list":
        _list(show, shot, character, as_json=as_json)
        return
    if action == "file":
        result = _take(show, shot, character, said, quiet=as_json)
    else:
        result = _hold(show, shot, character, action, said)
    # also where nothing was new: a call that was killed may have recorded and not published
    if action not in ("lock", "unlock") and not said["no_publish"] and not said["dry_run"]:
        result |= _publish(show, shot, character, review=not said["no_review"], quiet=as_json)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _action(said: Mapping[str, Any]) -> str:
    """The one thing the call asks for."""
    wanted = [
        name
        for name, asked in (
            ("file", said["file"] is not None), ("list", said["listed"]),
            ("revert", said["revert"] is not None), ("lock", said["lock"] is not None),
            ("unlock", said["unlock"] is not None), ("approve", said["approve"] is not None),
        )
        if asked
    ]  # fmt: skip
    if len(wanted) != 1:
        raise UsageError(
            "say one of FILE, --list, --revert, --lock, --unlock and --approve"
            + (f"; got {', '.join(wanted)}" if wanted else "")
        )
    if said["every_frame"] and said["keys_only"]:
        raise UsageError("--every-frame and --keys-only contradict one another")
    if said["names"] and wanted[0] not in ("lock", "unlock", "approve"):
        raise UsageError("--shape goes with --lock, --unlock and --approve")
    return wanted[0]


def _take(
    show: Show, shot: str, character: str, said: Mapping[str, Any], *, quiet: bool
) -> dict[str, Any]:
    from laikaroto.correction.log import read_log
    from laikaroto.correction.take import take_file

    call = _call(said)
    taken = take_file(show, shot=shot, character=character, file=said["file"], call=call)
    log = read_log(show.corrections_file(shot, character))
    return {
        "shot": shot,
        "character": character,
        "from_version": taken.version,
        "known_by": taken.how,
        "record": taken.record.number if taken.record is not None else None,
        "dry_run": call.dry_run,
        "drawings": taken.meeting.count,
        "changes": _changes(taken),
        "conflicts": [conflict.model_dump() for conflict in taken.meeting.conflicts],
        "notes": [*log.notices, *taken.notes],
    }


def _call(said: Mapping[str, Any]) -> Call:
    from laikaroto.correction.incoming import Fitting
    from laikaroto.correction.take import Call

    names = {}
    for text in said["mapped"]:
        theirs, equals, ours = text.partition("=")
        if not (theirs and equals and ours):
            raise UsageError(f"--map {text!r}: wanted THEIRS=OURS, such as mouth1=mouth")
        names[theirs] = ours
    return Call(
        who=said["who"],
        note=said["note"],
        version=said["from_version"],
        format_name=said["format_name"],
        pixel_centres=said["pixel_centres"],
        node=said["node"],
        fitting=Fitting(
            names=names,
            ignore=frozenset(said["ignore"]),
            offset=said["frame_offset"],
            rescale=said["rescale"],
        ),
        keep=said["keep"],
        every_frame=said["every_frame"],
        keys_only=said["keys_only"],
        tolerance_px=said["tolerance"],
        dry_run=said["dry_run"],
    )


def _changes(taken: Taken) -> dict[str, Any]:
    """What is new, for each shape and tracking point: frames, largest move, visibility."""
    import math

    found: dict[str, Any] = {}
    parts: dict[str, Mapping[int, ShapeEntry | TrackEntry]] = {
        **taken.meeting.shapes, **taken.meeting.tracks
    }  # fmt: skip
    for name, entries in parts.items():
        moves = [taken.changes.moved_px.get((name, frame), 0.0) for frame in entries]
        finite = [move for move in moves if math.isfinite(move)]
        found[name] = {
            "frames": format_frames(list(entries)),
            "moved_px": round(max(finite, default=0.0), 3),
            "redrawn": len(finite) < len(moves),
            "visibility": format_frames([f for f, e in entries.items() if e.visible is not None]),
        }
    return found


def _hold(
    show: Show, shot: str, character: str, action: str, said: Mapping[str, Any]
) -> dict[str, Any]:
    from laikaroto.cli.published import find_version
    from laikaroto.correction.holding import describe, hold, parse_scope, revert
    from laikaroto.sidecar.schema import read_roto

    path = show.corrections_file(shot, character)
    if said["dry_run"]:
        raise UsageError("--dry-run goes with FILE")
    if action == "revert":
        record = revert(path, said["revert"], who=said["who"], note=said["note"])
    else:
        _, folder = find_version(show, shot=shot, character=character, version=said["from_version"])
        roto = read_roto(folder / "roto.json")
        scope = parse_scope(said[action], roto, names=said["names"])
        kind: Any = action
        record = hold(path, kind, scope, roto, who=said["who"], note=said["note"])
    return {
        "shot": shot,
        "character": character,
        "record": record.number,
        "kind": record.kind,
        "text": describe(record),
        "notes": [],
    }


def _publish(show: Show, shot: str, character: str, *, review: bool, quiet: bool) -> dict[str, Any]:
    from laikaroto.review.version import review_version
    from laikaroto.sidecar.schema import read_roto
    from laikaroto.worker.corrected import publish_corrections
    from laikaroto.worker.progress import foreground_report

    with foreground_report(shot, quiet=quiet) as report:
        version = publish_corrections(show, shot=shot, character=character, report=report)
        if version is None:
            return {"version": None}
        folder = show.sidecar_folder(shot, character, version)
        page = None
        if review:
            report(1.0, "making the review page")
            page = review_version(show, shot=shot, folder=folder)
    roto = read_roto(folder / "roto.json")
    sources = [entry.source for shape in roto.shapes.values() for entry in shape.frames.values()]
    followed = {
        frame
        for shape in roto.shapes.values()
        for frame, entry in shape.frames.items()
        if entry.source == "propagated"
    }
    return {
        "version": version,
        "folder": str(folder),
        "artist_drawings": sources.count("artist"),
        "propagated_drawings": sources.count("propagated"),
        "propagated_frames": format_frames(sorted(followed)),
        "flagged": sum(note.flagged for note in roto.frames.values()),
        "review": str(page) if page else None,
    }


def _print(result: Mapping[str, Any]) -> None:
    for note in result["notes"]:
        click.echo(f"note: {note}", err=True)
    if "text" in result:
        click.echo(f"record {result['record']}: {result['kind']}, {result['text']}")
    else:
        _print_taken(result)
    if result.get("version"):
        click.echo(f"{result['shot']} {result['version']}: {result['folder']}")
        click.echo(
            f"  {result['artist_drawings']} drawings by artists, {result['propagated_drawings']} "
            f"follow them (frames {result['propagated_frames'] or 'none'}), "
            f"{result['flagged']} frames to look at"
        )
        if result["review"]:
            click.echo(f"  review: {result['review']}")
    elif "version" in result:
        click.echo("the newest version holds all of it already")


def _print_taken(result: Mapping[str, Any]) -> None:
    click.echo(f"made from {result['from_version']} ({result['known_by']})")
    for name, change in list(result["changes"].items()):
        text = "redrawn with other points" if change["redrawn"] else f"{change['moved_px']:.2f} px"
        shown = f", shown or hidden on {change['visibility']}" if change["visibility"] else ""
        click.echo(f"  {name}: frames {change['frames']}, moved by up to {text}{shown}")
    for conflict in result["conflicts"][:_SHOWN]:
        click.echo(
            f"  conflict with record {conflict['record']}: {conflict['what']} on frame "
            f"{conflict['frame']}, kept {conflict['kept']}"
        )
    if result["record"] is not None:
        click.echo(f"record {result['record']}: {result['drawings']} drawings")
    elif result["dry_run"] and result["drawings"]:
        click.echo(f"dry run: {result['drawings']} drawings would be recorded")
    else:
        click.echo("nothing new in this file")


def _list(show: Show, shot: str, character: str, *, as_json: bool) -> None:
    from laikaroto.correction.holding import describe
    from laikaroto.correction.log import read_log
    from laikaroto.correction.standing import reverted

    log = read_log(show.corrections_file(shot, character))
    gone = reverted(log.records)
    rows = [
        {
            "record": record.number,
            "kind": record.kind,
            "time": record.time,
            "who": record.who,
            "version": record.version,
            "file": record.file.name if record.file else None,
            "reverted": record.number in gone,
            "text": describe(record),
            "note": record.note,
        }
        for record in log.records
    ]
    if as_json:
        print_json({"file": str(log.path), "records": rows, "locks": _locks(log),
                    "notes": list(log.notices)})  # fmt: skip
        return
    for notice in log.notices:
        click.echo(f"note: {notice}", err=True)
    for row in rows:
        gone_text = " (taken back)" if row["reverted"] else ""
        source = f", from {row['version']}" if row["version"] else ""
        click.echo(
            f"{row['record']:>4}  {row['time']}  {row['who']}  {row['kind']}{gone_text}{source}: "
            f"{row['text']}" + (f"  # {row['note']}" if row["note"] else "")
        )
    if not rows:
        click.echo(f"nothing was corrected in shot {shot} of {character} yet")
    for line in _locks(log):
        click.echo(f"locked: {line}")


def _locks(log: Log) -> list[str]:
    from laikaroto.correction.standing import stand

    standing = stand(log.records)
    if standing.shot_lock is not None:
        return [f"the whole shot (record {standing.shot_lock.number})"]
    frames: dict[str, list[int]] = {}
    for name, frame in (*standing.locked_shapes, *standing.locked_tracks):
        frames.setdefault(name, []).append(frame)
    same: dict[str, list[str]] = {}
    for name, numbers in frames.items():
        same.setdefault(format_frames(sorted(numbers)), []).append(name)
    return [f"{_few(names)}: frames {where}" for where, names in same.items()]


def _few(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
