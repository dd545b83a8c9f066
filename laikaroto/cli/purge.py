"""``laikaroto jobs purge``: clear away jobs that are over.

The owner of the queue takes them out of its books and moves their folders aside; then this
process removes those, and the working folders of the jobs. If it dies in between, the next
purge finds what was moved aside and comes to the end.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from laikaroto.cli.options import common_options, print_json
from laikaroto.cli.queues import open_queue, queue_option
from laikaroto.config import parse_duration
from laikaroto.errors import LaikarotoError, UsageError
from laikaroto.farm.bundle import read_bundle
from laikaroto.farm.engine import Engine, JobState, JobStatus
from laikaroto.farm.places import job_folder, purged_folder
from laikaroto.show import Show

_KEEP = "30d"
_STATES = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a purge of one queue would take, newest first, and what it would keep, and why."""

    taken: tuple[JobStatus, ...]
    kept: Mapping[str, str]


@click.command()
@click.option(
    "--older-than",
    metavar="TIME",
    help="Only jobs that ended so long ago: 30d, 12h. Default: keep_jobs of the queue, "
    "30d where it names none.",
)
@click.option(
    "--state",
    "states",
    metavar="STATE",
    default=",".join(_STATES),
    show_default=True,
    help="Only jobs that ended so.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go; remove nothing.")
@queue_option
@common_options
def purge(
    older_than: str | None, states: str, dry_run: bool, queue: str | None, configs: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Remove jobs that are over: from the books, with bundle, logs and working folder.

    Published versions, models and corrections are never touched, nor is a job that runs, waits
    or is needed by one that stays. Of the local engine only: other farms keep their own books.
    """
    show = Show.open(configs)
    wanted = _parse_states(states)
    reports = []
    for engine in _queues(show, queue):
        age = parse_duration(older_than or show.queue(engine.name).keep_jobs or _KEEP)
        reports.append(_purge(show, engine, wanted, time.time() - age, dry_run=dry_run))
    if as_json:
        print_json([report.to_dict() for report in reports])
        return
    for report in reports:
        for line in report.lines():
            click.echo(line)


def _queues(show: Show, name: str | None) -> list[Engine]:
    """The named queue, or all whose books are ours.

    Raises:
        FarmError: the named one's are not.
    """
    if name is not None:
        engine = open_queue(show, name)
        engine.purge((), before=0.0)
        return [engine]
    local = [one for one in sorted(show.configs.queues) if show.queue(one).engine == "local"]
    for other in sorted(set(show.configs.queues) - set(local)):
        kind = show.queue(other).engine
        click.echo(f"queue {other}: the farm ({kind}) keeps its books; left alone", err=True)
    return [open_queue(show, one) for one in local]


def _parse_states(text: str) -> frozenset[JobState]:
    known = {state.value: state for state in _STATES}
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in known]:
        raise UsageError(
            f"--state {', '.join(unknown)}: only jobs that are over can be purged; wanted one or "
            f"more of {', '.join(known)}"
        )
    return frozenset(known[word] for word in words)


def choose(
    jobs: Sequence[JobStatus], *, show: str, states: frozenset[JobState], before: float
) -> Choice:
    """Which jobs a purge takes.

    Args:
        jobs: all of the queue, oldest first.
        show: name of the show; a queue may have jobs of others.
        states: only jobs that ended so.
        before: and before this time, seconds since 1970.
    """
    taken: list[JobStatus] = []
    kept: dict[str, str] = {}
    needed: dict[str, str] = {}  # by a job that stays
    for job in reversed(jobs):  # a job is younger than those it needs
        fits = job.state in states and job.ended is not None and job.ended <= before
        if fits and job.show == show and job.name not in needed:
            taken.append(job)
            continue
        if fits:
            other = f"is of show {job.show}"
            kept[job.name] = other if job.show != show else needed[job.name]
        needed.update((name, f"is needed by {job.name}, which stays") for name in job.needs)
    return Choice(taken=tuple(taken), kept=kept)


# ---- doing it ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was, or would be, removed from one queue."""

    queue: str
    dry_run: bool
    purged: tuple[str, ...]
    kept: Mapping[str, str]
    left: Mapping[str, str]
    size: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "queue": self.queue, "dry_run": self.dry_run, "purged": list(self.purged),
            "kept": dict(self.kept), "folders_left": dict(self.left), "bytes": self.size,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """For a person."""
        verb = "would remove" if self.dry_run else "removed"
        listed = [f"{verb} {job}" for job in self.purged]
        kept = [f"kept {job}: it {why}" for job, why in self.kept.items()]
        left = [f"left {folder}: {why}" for folder, why in self.left.items()]
        count = f"{len(self.purged)} job{'' if len(self.purged) == 1 else 's'}"
        return [
            *listed, *kept, *left,
            f"queue {self.queue}: {verb} {count}, {self.size / 1e6:.1f} MB",
        ]  # fmt: skip


def _purge(
    show: Show, engine: Engine, states: frozenset[JobState], before: float, *, dry_run: bool
) -> Report:
    name = show.configs.show.name
    choice = choose(engine.jobs(), show=name, states=states, before=before)
    jobs, kept = [job.name for job in choice.taken], dict(choice.kept)
    left: dict[str, str] = {}
    if dry_run:
        places = [job_folder(engine.state, job) for job in jobs]
        folders = [folder for place in places for folder in (place, _work(show, place, left))]
        size = sum(_size(folder) for folder in folders if folder is not None)
    else:
        kept |= engine.purge(jobs, before=before)
        size = _clear(show, engine.state, left)
    gone = tuple(reversed([job for job in jobs if job not in kept]))
    return Report(queue=engine.name, dry_run=dry_run, purged=gone, kept=kept, left=left, size=size)


def _clear(show: Show, state: Path, left: dict[str, str]) -> int:
    """Remove what was moved aside, now or by a purge that died; how many bytes that were."""
    size = 0
    try:
        jobs = sorted(os.listdir(purged_folder(state)))
    except FileNotFoundError:
        return 0
    for job in jobs:
        aside = purged_folder(state, job)
        # the bundle, which says where the working folder is, goes last
        for folder in (_work(show, aside, left), aside):
            if folder is None:
                continue
            bytes_there = _size(folder)
            try:
                shutil.rmtree(folder)
            except OSError as error:
                left[str(folder)] = f"cannot be removed: {error}"
                break
            size += bytes_there
    return size


def _work(show: Show, place: Path, left: dict[str, str]) -> Path | None:
    """The working folder of a job if it is there and nothing but that.

    Args:
        show: whose job it is.
        place: the engine's folder of the job, where its bundle says which folder it worked in.
        left: told of a folder that is not to be removed, and why.
    """
    from laikaroto.sidecar.publish import MANIFEST

    expected = show.work_folder(place.name)
    try:
        run = str(read_bundle(place / "bundle").parameters.get("Run", ""))
    except (LaikarotoError, OSError) as error:
        run = str(expected)
        if expected.exists():
            left[run] = f"the bundle of its job cannot be read: {error}"
            return None
    folder, why = Path(run), ""
    if not run or not folder.is_dir():
        return None
    if folder != expected:
        why = f"is not the working folder that this show has for the job, {expected}"
    elif folder.is_symlink():
        why = "is a link"
    elif next(folder.rglob(MANIFEST), None) is not None:
        why = "holds something that was published"
    if why:
        left[run] = why
    return None if why else folder


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; what vanishes meanwhile counts as nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
        except OSError:
            continue
    return total
