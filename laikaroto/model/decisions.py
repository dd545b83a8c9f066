"""Why a model became current, or did not: one small record for each version.

Packages never change once they are published, so what became of them is kept beside them:
``models/<character>/decisions/v004.json``. ``models list`` and ``models show`` read it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.config import describe_faults
from laikaroto.errors import ModelError
from laikaroto.sidecar.files import write_file

_MEASURES = (("curves", "curves_mean_px"), ("points", "tracks_mean_px"))


class Decision(BaseModel):
    """One record: whether the version was made current, why, and when (ISO 8601)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    current: bool
    reason: str
    decided: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A model measured against another: whether it is worse, and how that was told."""

    worse: bool
    reason: str


def compare(
    new: Mapping[str, Any], old: Mapping[str, Any], *, new_name: str, old_name: str
) -> Comparison:
    """Say whether a model is worse than another, from the metrics of both packages.

    Curves decide; tracking points where a character has no curves. Figures of other shots or
    frames say nothing of each other: such a model is not called worse.
    """
    if not new["held_out"] or not old["held_out"]:
        unmeasured = new_name if not new["held_out"] else old_name
        return Comparison(worse=False, reason=f"{unmeasured} was not measured: nothing held out")
    where = f"{', '.join(new['held_out'])}, {new['frames']} frames"
    if _frames(new) != _frames(old):
        theirs = f"{', '.join(old['held_out'])}, {old['frames']} frames"
        reason = f"cannot be compared: {new_name} measured on {where}, {old_name} on {theirs}"
        return Comparison(worse=False, reason=reason)
    for _, key in _MEASURES:
        if new[key] is not None and old[key] is not None:
            worse = bool(new[key] > old[key])
            said = "worse" if worse else "no worse"
            both = f"{figures(new)} against {figures(old)}"
            reason = f"{new_name} is {said} than {old_name} on {where} ({both})"
            return Comparison(worse=worse, reason=reason)
    return Comparison(worse=False, reason=f"nothing was visible to measure on {where}")


def figures(metrics: Mapping[str, Any]) -> str:
    """What was measured, for a person; a character may have no curves, or no points."""
    texts = [
        f"{name} {metrics[key]:.2f} px"
        for name, key in reversed(_MEASURES)
        if metrics[key] is not None
    ]
    return ", ".join(texts) or "nothing visible to measure"


def _frames(metrics: Mapping[str, Any]) -> tuple[Any, ...]:
    shots = {shot: sorted(measured["frames"]) for shot, measured in metrics["shots"].items()}
    return sorted(metrics["held_out"]), metrics["frames"], shots


def record_decision(models: Path, version: str, *, current: bool, reason: str) -> None:
    """Keep why a version was made current, or not, in place of an earlier record.

    Raises:
        TryAgainError: the disk refuses.
    """
    decision = Decision(
        current=current,
        reason=reason,
        decided=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_file(_file(models, version), (decision.model_dump_json(indent=1) + "\n").encode())


def read_decision(models: Path, version: str) -> Decision | None:
    """The record of a version, or None: it was not decided on yet.

    Raises:
        ModelError: the record is damaged.
    """
    path = _file(models, version)
    try:
        return Decision.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        faults = "; ".join(describe_faults(error))
        raise ModelError(f"{path}: is damaged: {faults}; remove it") from error


def _file(models: Path, version: str) -> Path:
    return models / "decisions" / f"{version}.json"
