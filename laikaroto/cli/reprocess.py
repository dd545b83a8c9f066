"""``laikaroto submit reprocess``: shots once more, by what made their newest version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from laikaroto.cli.follow import check_success, wait_for
from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.queues import not_before_option, open_queue, priority_option, queue_option
from laikaroto.cli.status import find_statuses
from laikaroto.cli.submit import Wishes, make_wishes, shot_bundle
from laikaroto.errors import LaikarotoError, UsageError
from laikaroto.freshness.stale import WHATS, ShotStatus, What
from laikaroto.show import Show, check_version

if TYPE_CHECKING:
    from laikaroto.farm.bundle import Bundle
    from laikaroto.farm.engine import Engine, Submitted
    from laikaroto.worker.redo import Redo


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A shot that is done again: ``job`` is its name, or empty where it would be queued."""

    status: ShotStatus
    job: str = ""
    existing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A shot that is not done again, and why."""

    status: ShotStatus
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which shots are done again.

    Attributes:
        stale: only those that are stale for one of these reasons; empty: whether or not.
        since: drawn by this model or a later one. before: by an earlier one.
        force: also those that are locked or approved as a whole.
    """

    stale: tuple[What, ...] = ()
    since: str | None = None
    before: str | None = None
    force: bool = False


def choose(found: Sequence[ShotStatus], choice: Choice) -> tuple[list[ShotStatus], list[LeftAlone]]:
    """Sort shots into those to do again and those to leave alone; others are not meant at all."""
    chosen, left = [], []
    for one in found:
        if not _meant(one, choice):
            continue
        if one.fault:
            left.append(LeftAlone(status=one, why=one.fault))
        elif one.held and not choice.force:
            left.append(LeftAlone(status=one, why=f"{one.held}; --force does it all the same"))
        elif not one.plates:
            left.append(LeftAlone(status=one, why="there are no plates to read"))
        elif choice.stale and not one.mendable:
            left.append(
                LeftAlone(status=one, why="that takes a new model first: 'laikaroto submit train'")
            )
        else:
            chosen.append(one)
    return chosen, left


def _meant(one: ShotStatus, choice: Choice) -> bool:
    if choice.stale and not any(reason.what in choice.stale for reason in one.reasons):
        return False
    if choice.since is None and choice.before is None:
        return True
    model = one.made.model if one.made is not None else ""
    if not model:
        return False  # no model of ours drew it
    number = int(model[1:])
    after = choice.since is None or number >= int(choice.since[1:])
    return after and (choice.before is None or number < int(choice.before[1:]))


def send(
    show: Show, engine: Engine, shots: Sequence[ShotStatus], *, redo: Redo, wishes: Wishes
) -> tuple[list[Sent], list[LeftAlone]]:
    """Queue the job of each shot; one that cannot be queued does not keep the others from it."""
    made: list[tuple[ShotStatus, Bundle]] = []
    left: list[LeftAlone] = []
    for one in shots:
        try:
            bundle = shot_bundle(
                show, shot=one.shot, character=one.character, frames=_frames(one),
                redo=redo.word(), wishes=wishes,
            )  # fmt: skip
        except LaikarotoError as error:
            left.append(LeftAlone(status=one, why=str(error)))
        else:
            made.append((one, bundle))
    if not made:
        return [], left
    try:
        answers = engine.submit_all([bundle for _, bundle in made])
    except LaikarotoError as error:
        if error.retryable:
            raise  # the farm cannot be reached: it is the same for every shot
        sent, refused = _send_singly(engine, made)
        return sent, left + refused
    pairs = zip(made, answers, strict=True)
    return [_sent(one, bundle, answer) for (one, bundle), answer in pairs], left


def _send_singly(
    engine: Engine, made: Sequence[tuple[ShotStatus, Bundle]]
) -> tuple[list[Sent], list[LeftAlone]]:
    """Find out which jobs the farm refuses; what it has taken already is not queued twice."""
    sent, left = [], []
    for one, bundle in made:
        try:
            sent.append(_sent(one, bundle, engine.submit(bundle)))
        except LaikarotoError as error:
            if error.retryable:
                raise
            left.append(LeftAlone(status=one, why=str(error)))
    return sent, left


def _sent(one: ShotStatus, bundle: Bundle, answer: Submitted) -> Sent:
    # not as the engine says: asked singly, it has what it took before it refused another
    return Sent(status=one, job=answer.job, existing=answer.job != bundle.settings.name)


def _frames(one: ShotStatus) -> tuple[int, ...]:
    """Those it was made of; all there are now where that was all there were then."""
    from laikaroto.frames import parse_frames

    if one.made is None or one.made.plates_whole or not one.made.plate_frames:
        return one.plates
    there = set(one.plates)
    return tuple(f for f in parse_frames(one.made.plate_frames) if f in there) or one.plates


# ---- the command ---------------------------------------------------------------------------


@click.command()
@click.option("--character", metavar="C", help="Only this puppet.")
@click.option("--shots", metavar="GLOB", help="Only these: 'ev1*'; '*' for all.")
@click.option("--stale", is_flag=True, help="Only what is out of date ('laikaroto status').")
@click.option(
    "--because",
    multiple=True,
    type=click.Choice(WHATS),
    help="Only what is stale for this reason; may be repeated.",
)
@click.option("--since", metavar="V", help="Only what model V or a later one has drawn.")
@click.option("--before", metavar="V", help="Only what a model before V has drawn.")
@click.option(
    "--force",
    is_flag=True,
    help="Also shots that are locked or approved as a whole; what is locked or approved "
    "in them stays as it is.",
)
@click.option(
    "--checksum",
    is_flag=True,
    help="Compare the contents of plates whose size or time is another; slow.",
)
@click.option("--wait", is_flag=True, help="Wait for the end; fail if a job fails.")
@click.option("--dry-run", is_flag=True, help="Show which shots, and why; queue nothing.")
@click.option("--paused", is_flag=True, help="Queue them, but start nothing yet.")
@not_before_option
@priority_option
@queue_option
@common_options
def reprocess(
    character: str | None, shots: str | None, stale: bool, because: tuple[What, ...],
    since: str | None, before: str | None, force: bool, checksum: bool, wait: bool,
    dry_run: bool, paused: bool, not_before: str | None, priority: int | None,
    queue: str | None, configs: Path, as_json: bool,
) -> None:  # fmt: skip
    """Roto published shots once more, with today's model, plates and corrections.

    Say which: by name, by --stale, or by the model that drew them. Shots that are locked or
    approved as a whole are left alone, and listed. With --stale a shot that is no longer stale
    when its turn comes is left as it is.
    """
    from laikaroto.worker.redo import Redo

    if not any((character, shots, stale, because, since, before)):
        raise UsageError(
            "say which shots: --stale, --character C, --shots GLOB ('*' for all), --because, "
            "--since V or --before V"
        )
    if dry_run and wait:
        raise UsageError("--dry-run and --wait exclude each other")
    show = Show.open(configs)
    choice = Choice(
        stale=because or (WHATS if stale else ()), force=force,
        since=None if since is None else check_version(since),
        before=None if before is None else check_version(before),
    )  # fmt: skip
    wishes = make_wishes(show, queue=queue, priority=priority, not_before=not_before,
                         paused=paused, after=(), key=None)  # fmt: skip
    found = find_statuses(show, character, shots, checksum=checksum)
    chosen, left = choose(found, choice)
    _refuse_without_model(show, chosen)
    if dry_run:
        _print(show, [Sent(status=one) for one in chosen], left, as_json=as_json)
        return
    engine = open_queue(show, wishes.queue)
    redo = Redo(stale=bool(choice.stale), force=force)
    sent, refused = send(show, engine, chosen, redo=redo, wishes=wishes)
    left += refused
    done = wait_for(engine, [item.job for item in sent], quiet=as_json) if wait and sent else ()
    _print(show, sent, left, as_json=as_json, note=engine.obstacle() if sent else "")
    check_success(engine, done)
    if refused:
        raise LaikarotoError(f"{len(refused)} shots could not be queued, see above")


def _refuse_without_model(show: Show, chosen: Sequence[ShotStatus]) -> None:
    from laikaroto.model.package import current_version

    for character in sorted({one.character for one in chosen}):
        if current_version(show.models_folder(character)) is None:
            raise UsageError(
                f"{character} has no current model; train one with 'laikaroto submit train "
                f"{character}', or make one current with 'laikaroto models promote'"
            )


def sent_json(item: Sent) -> dict[str, Any]:
    """A shot that is done again, for scripts."""
    return {
        "shot": item.status.shot, "character": item.status.character,
        "version": item.status.version, "job": item.job or None, "existing": item.existing,
        "stale": [{"what": reason.what, "why": reason.why} for reason in item.status.reasons],
    }  # fmt: skip


def left_json(item: LeftAlone) -> dict[str, Any]:
    """A shot that is left alone, for scripts."""
    return {
        "shot": item.status.shot, "character": item.status.character,
        "version": item.status.version, "why": item.why,
        "stale": [{"what": reason.what, "why": reason.why} for reason in item.status.reasons],
    }  # fmt: skip


def _print(
    show: Show, sent: Sequence[Sent], left: Sequence[LeftAlone], *, as_json: bool, note: str = ""
) -> None:
    if as_json:
        print_json({
            "jobs": [sent_json(item) for item in sent],
            "left_alone": [left_json(item) for item in left],
            "note": note or None,
        })  # fmt: skip
        return
    for item in sent:
        one = item.status
        state = "would be queued"
        if item.job:
            state = "is already queued" if item.existing else "queued"
        why = "; ".join(f"{reason.what}: {reason.why}" for reason in one.reasons)
        click.echo(
            f"{one.shot} {one.character} {one.version}: {state}"
            + (f" as {item.job}" if item.job else "")
            + (f" ({why})" if why else "")
        )
    for gone in left:
        one = gone.status
        click.echo(f"{one.shot} {one.character} {one.version}: left alone: {gone.why}")
    counts = Counter("queued" if item.job else "would be queued" for item in sent)
    counts["left alone"] = len(left)
    click.echo(
        ", ".join(f"{number} {what}" for what, number in counts.items() if number)
        or "no shot is to be done again"
    )
    if note:
        click.echo(f"note: {note}", err=True)
