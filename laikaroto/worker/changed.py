"""Whether a character has anything new to learn, and since when it waits."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from laikaroto.correction.log import read_log
from laikaroto.errors import TruthError
from laikaroto.model.decisions import read_decision
from laikaroto.model.package import ModelInfo, current_version, read_info
from laikaroto.show import Show
from laikaroto.sidecar.publish import versions
from laikaroto.worker.character import truth_digest

State = Literal["changed", "unchanged", "refused", "untaught"]
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Where the learning of a character stands.

    Attributes:
        state: ``changed``: the training set is not that of the current model; ``unchanged``;
            ``refused``: a newer model has learned this set and is not current, so learning it
            again would only repeat that; ``untaught``: there is no ground truth.
        why: in words.
        since: when the current model was made; the earliest date there is where none is.
        changes: shots of truth and records of corrections that came since.
    """

    character: str
    state: State
    why: str
    since: datetime.datetime = _NEVER
    changes: int = 0

    @property
    def order(self) -> tuple[datetime.datetime, int]:
        """Sorts those who wait longest first, then those with the most changes."""
        return self.since, -self.changes


def judge_learning(show: Show, character: str) -> Learning:
    """Compare the training set of a character with what its models have learned.

    Raises:
        UsageError: the character is unknown.
        TruthError: ground truth is there, but no template.
        CorrectionError: a corrections file is damaged.
        ModelError: model.json of a model, or the pointer to the current one, is damaged.
    """
    show.character(character)
    shots = show.truth_shots(character)
    if not shots:
        return Learning(character=character, state="untaught", why="has no ground truth yet")
    paths = [show.template_file(character), *(show.truth_file(character, s) for s in shots)]
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise TruthError(
            f"character {character!r} cannot be trained: {', '.join(missing)} missing; import it "
            f"with 'laikaroto truth import {character} FILE…'"
        )
    digest, models = truth_digest(show, character), show.models_folder(character)
    current = current_version(models)
    if current is None:
        return Learning(
            character=character, state="changed", why="has no model yet", changes=len(shots)
        )
    info = read_info(models / current)
    if info.training_set == digest:
        return Learning(character=character, state="unchanged", why=f"{current} has learned it all")
    known = versions(models)
    for version in reversed(known[known.index(current) + 1 :] if current in known else []):
        if read_info(models / version).training_set == digest:
            decision = read_decision(models, version)
            why = decision.reason if decision is not None else "nobody knows why"
            return Learning(
                character=character, state="refused",
                why=f"{version} has learned it all, and {current} stays current: {why}",
            )  # fmt: skip
    return _changed(show, character, current, info)


def _changed(show: Show, character: str, current: str, info: ModelInfo) -> Learning:
    since = datetime.datetime.fromisoformat(info.created)
    paths = [show.truth_file(character, shot) for shot in show.truth_shots(character)]
    truths = sum(path.is_file() and path.stat().st_mtime > since.timestamp() for path in paths)
    records = sum(
        datetime.datetime.fromisoformat(record.time) > since
        for shot in show.corrected_shots(character)
        for record in read_log(show.corrections_file(shot, character)).records
        if record.kind in ("edit", "approve", "revert")
    )
    found = [f"{truths} shots of truth"] if truths else []
    found += [f"{records} corrections"] if records else []
    what = " and ".join(found) or "settings, or what was taken away"
    if not info.training_set:
        what = "it was not noted what that has learned"
    return Learning(
        character=character, state="changed", since=since, changes=truths + records,
        why=f"since {current} of {since:%Y-%m-%d}: {what}",
    )  # fmt: skip
