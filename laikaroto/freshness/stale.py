"""Which published versions would come out otherwise if they were made today, and why.

A version is **stale** if the model, the plates, the corrections, the template or the code that
made it differ from today's. All reasons are told. Nothing is decoded and no network runs: the
facts come from each version's report.json and the corrections file (``memo`` keeps them), plates
are judged by one look at their folder (``plate.scan``). 2,000 shots of 100 frames take under a
second on two cores, half of it in the kernel, which is asked about 200,000 files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from laikaroto import __version__
from laikaroto.errors import LaikarotoError, ModelError, SidecarError
from laikaroto.freshness.made import Made, read_made
from laikaroto.freshness.memo import Entries, Memo, stamp_of
from laikaroto.freshness.plates import judge_plates
from laikaroto.freshness.shares import work_in_shares
from laikaroto.plate.scan import Scan, scan_plates
from laikaroto.show import Show
from laikaroto.sidecar.publish import MANIFEST

What = Literal["model", "plates", "corrections", "template", "code", "version"]
WHATS: tuple[What, ...] = get_args(What)

_VERSION = re.compile(r"v(\d{3,})")
_SCAN_THREADS = 8  # they wait for the disk or the file server
_SCAN_BATCH = 16  # shots; handing a thread its work takes as long as scanning ten files
_SHARE = 100  # shots that are worth a process of their own: 50 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a version is stale: what differs from today's (``version``: it is damaged), in words."""

    what: What
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What would make a version now; ``model`` is empty where no model is current.

    ``model_template`` is the template of that model, ``template`` the character's own: a training
    brings the one to the other.
    """

    model: str
    model_sha256: str
    model_template: str
    template: str
    laikaroto: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotStatus:
    """Where a shot of a character stands.

    Attributes:
        folder: of its newest version.
        made: what made that; None where it is damaged.
        held: why it is to be left alone: locked or approved as a whole; else empty.
        locked_frames, approved_frames: how many, of shots that are so in part.
        reasons: why it is stale; empty if it is not.
        fault: why it cannot be judged at all; else empty.
        mendable: doing the shot again would take at least one of the reasons away.
        plates: frames that are on disk now.
    """

    shot: str
    character: str
    version: str
    folder: Path
    made: Made | None
    held: str = ""
    locked_frames: int = 0
    approved_frames: int = 0
    reasons: tuple[Reason, ...] = ()
    fault: str = ""
    mendable: bool = False
    plates: tuple[int, ...] = ()


def inspect_shot(show: Show, *, shot: str, character: str) -> ShotStatus | None:
    """Where one shot stands; None where nothing is published."""
    memo = Memo(None)
    today = read_today(show, character, memo)
    found = list(_inspect(show, character, [shot], today, memo, checksum=False))
    return found[0] if found else None


def inspect_shots(
    show: Show,
    character: str,
    shots: Sequence[str] | None = None,
    *,
    checksum: bool = False,
    processes: int = 1,
) -> list[ShotStatus]:
    """Where the published shots of a character stand, in the order of their names.

    Args:
        show: the show.
        character: its name.
        shots: only these; those without a published version are left out. None for all.
        checksum: compare the contents of plates whose size or time is another: slow.
        processes: to fork this one into where there are many shots; see ``shares`` for when
            that may be.

    Raises:
        UsageError: the character is unknown.
        ModelError, TruthError: its pointer to the current model, or its template, is damaged.
        TryAgainError: one of the processes was killed.
    """
    show.character(character)
    memo = Memo(show.work_folder("freshness") / f"{character}.json")
    today = read_today(show, character, memo)

    def share(names: Sequence[str]) -> tuple[list[ShotStatus], Entries]:
        looked = list(_inspect(show, character, names, today, memo, checksum=checksum))
        return looked, memo.news

    names = show.published_shots(character) if shots is None else sorted(set(shots))
    found: list[ShotStatus] = []
    for looked, news in work_in_shares(share, names, min(processes, len(names) // _SHARE)):
        found += looked
        memo.learn(news)
    memo.save()
    return sorted(found, key=lambda one: one.shot)


def _inspect(
    show: Show, character: str, shots: Iterable[str], today: Today, memo: Memo, *, checksum: bool
) -> Iterator[ShotStatus]:
    newest = [
        (shot, folder, corrections)
        for shot in shots
        if (folder := _newest((corrections := show.corrections_file(shot, character)).parent))
        is not None
    ]

    for (shot, folder, corrections), seen in zip(
        newest, _scans(show, [shot for shot, _, _ in newest]), strict=True
    ):
        look = _Look(show, character, shot, folder, corrections, today, memo, checksum)
        yield look.status(seen)


def _scans(show: Show, shots: Sequence[str]) -> Iterator[Scan | str]:
    """What lies in the plates' folder of each shot, or in words why it cannot be looked at."""

    def scan(shot: str) -> Scan | str:
        try:
            return scan_plates(show.plate_template(shot), shot=shot)
        except LaikarotoError as error:
            return str(error)

    size = max(1, min(_SCAN_BATCH, len(shots) // _SCAN_THREADS))
    batches = [shots[first : first + size] for first in range(0, len(shots), size)]
    with ThreadPoolExecutor(_SCAN_THREADS) as pool:
        for scans in pool.map(lambda batch: [scan(shot) for shot in batch], batches):
            yield from scans


def _newest(parent: Path) -> Path | None:
    """Folder of the newest version, as ``sidecar.publish.latest_version``, with fewer looks."""
    try:
        names = [name for name in os.listdir(parent) if _VERSION.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return None
    for name in sorted(names, key=lambda name: int(name[1:]), reverse=True):
        if os.path.isfile(f"{parent}/{name}/{MANIFEST}"):
            return parent / name
    return None


def read_today(show: Show, character: str, memo: Memo) -> Today:
    """What would make a version of this character now.

    Raises:
        ModelError, TruthError: the pointer to the current model, or a template, is damaged.
    """
    models = show.models_folder(character)
    version = memo.get("current", stamp_of(models / "current.json"), lambda: _current(models))
    digest = ""
    if version:
        try:
            digest = hashlib.sha256((models / version / MANIFEST).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(
                f"{models / version}: the current model of {character!r} cannot be read: "
                f"{error.strerror or error}; roll back with 'laikaroto models rollback {character}'"
            ) from error
    learned = _template(models / version / "template.json", memo) if version else ""
    return Today(
        model=version,
        model_sha256=digest,
        model_template=learned,
        template=_template(show.template_file(character), memo) or learned,
        laikaroto=__version__,
    )


def _current(models: Path) -> str:
    from laikaroto.model.package import current_version

    return current_version(models) or ""


def _template(path: Path, memo: Memo) -> str:
    """Digest of a template; empty where there is none."""
    stamp = stamp_of(path)

    def find() -> str:
        from laikaroto.character.template import read_template, template_digest

        return template_digest(read_template(path))

    return str(memo.get(f"template {path}", stamp, find)) if stamp else ""


@dataclass(frozen=True, slots=True)
class _Look:
    """One shot looked at."""

    show: Show
    character: str
    shot: str
    folder: Path
    corrections: Path
    today: Today
    memo: Memo
    checksum: bool

    def status(self, scan: Scan | str) -> ShotStatus:
        """All of it; ``scan`` is a text where the plates could not be looked at."""
        stamp = [self.folder.name, *stamp_of(f"{self.folder}/{MANIFEST}")]
        reasons: list[Reason] = []
        made = self._made(stamp, reasons)
        fault, artists = "", {}
        try:
            artists = self._artists(stamp, made)
        except LaikarotoError as error:
            fault = str(error)
        if made is not None:
            reasons += self._differences(made, scan, artists, stamp)
        return ShotStatus(
            shot=self.shot,
            character=self.character,
            version=self.folder.name,
            folder=self.folder,
            made=made,
            held=_held(artists, made),
            locked_frames=artists.get("locked_frames", 0),
            approved_frames=artists.get("approved_frames", 0),
            reasons=tuple(reasons),
            fault=fault,
            mendable=any(self._mendable(reason) for reason in reasons),
            plates=() if isinstance(scan, str) else tuple(sorted(scan)),
        )

    def _mendable(self, reason: Reason) -> bool:
        trained = self.today.model_template == self.today.template
        return bool(self.today.model) and (reason.what != "template" or trained)

    def _made(self, stamp: list[Any], reasons: list[Reason]) -> Made | None:
        try:
            found = self.memo.get(
                f"made {self.shot}", stamp, lambda: read_made(self.folder).to_json()
            )
        except SidecarError as error:
            reasons.append(Reason(what="version", why=f"{self.folder.name} is damaged: {error}"))
            return None
        return Made(**found)

    def _artists(self, stamp: list[Any], made: Made | None) -> dict[str, Any]:
        path = self.corrections
        seen = stamp_of(path)
        if not seen and (made is None or not made.corrections_sha256):
            return {}

        def find() -> dict[str, Any]:
            from laikaroto.freshness.artists import read_artists

            return read_artists(path, made).to_json()

        found: dict[str, Any] = self.memo.get(f"artists {self.shot}", [*seen, *stamp], find)
        return found

    def _differences(
        self, made: Made, scan: Scan | str, artists: dict[str, Any], stamp: list[Any]
    ) -> Iterator[Reason]:
        today = self.today
        if why := _other_model(made, today):
            yield Reason(what="model", why=why)
        if isinstance(scan, str):
            yield Reason(what="plates", why=scan)
        elif why := judge_plates(self.show, self.shot, made, scan, self.memo, stamp,
                                 checksum=self.checksum):  # fmt: skip
            yield Reason(what="plates", why=why)
        if artists.get("lacking"):
            yield Reason(what="corrections", why=artists["lacking"])
        if made.template != today.template:
            yield Reason(what="template", why=_other_template(made, today))
        if made.laikaroto != today.laikaroto:
            by = made.laikaroto or "an unknown version"
            yield Reason(what="code", why=f"made by laikaroto {by}, this is {today.laikaroto}")


def _held(artists: dict[str, Any], made: Made | None) -> str:
    if by := artists.get("locked") or artists.get("approved"):
        return str(by)
    approved = artists.get("approved_frames", 0)
    return f"all {approved} frames approved" if made and 0 < made.frames <= approved else ""


def _other_model(made: Made, today: Today) -> str:
    if not today.model:
        return f"drawn by {made.model or 'no model'}, and none is current"
    if made.model != today.model:
        return f"drawn by {made.model or 'no model'}, current is {today.model}"
    if made.model_sha256 != today.model_sha256:
        return f"{made.model} is not the {made.model} it was drawn by: it was made anew"
    return ""


def _other_template(made: Made, today: Today) -> str:
    if not made.template:
        return f"of {made.version} was not noted"
    if today.model_template != today.template:
        return "template.json was changed, and no model is trained for it yet"
    return "template.json was changed"


def to_json(status: ShotStatus) -> dict[str, Any]:
    """A status as plain values."""
    made = status.made
    return {
        "shot": status.shot,
        "character": status.character,
        "version": status.version,
        "folder": str(status.folder),
        "published": made.published if made else None,
        "model": made.model if made else None,
        "frames": made.frames if made else None,
        "flagged": made.flagged if made else None,
        "held": status.held or None,
        "locked_frames": status.locked_frames,
        "approved_frames": status.approved_frames,
        "stale": [{"what": reason.what, "why": reason.why} for reason in status.reasons],
        "fault": status.fault or None,
    }
