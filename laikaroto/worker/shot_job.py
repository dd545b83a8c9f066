"""The working folder of one shot's job: what its tasks leave for one another.

shot.json                what ``check`` found and decided; all later tasks agree on it
needless.json            in its place: why there is nothing to do, so that later tasks end at once
predict/<a>-<b>.npz      predictions of a chunk of frames
solved.json              the settled shot as the model drew it
likeness.npz             what the model saw of each frame, for corrections to travel by
roto.json                the settled shot
matte/<layer>.<f>.exr    mattes
published.json           the version it became
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.config import describe_faults
from laikaroto.correction.likeness import LIKENESS
from laikaroto.errors import LaikarotoError, SidecarError, UsageError
from laikaroto.frames import format_frames
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.files import sweep, write_file


class ShotJob(BaseModel):
    """shot.json.

    token: names this job; the version it publishes carries it, so that a repeated publish
    task finds its own version in place of publishing a second one.
    plates_scan, plates_whole: see ``shot_report.summary``. template: digest of the model's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shot: str
    character: str
    frames: tuple[int, ...]
    width: int
    height: int
    pixel_aspect: float
    fps: float
    plates_digest: str
    plates_scan: str
    plates_whole: bool
    model: str
    model_digest: str
    template: str
    laikaroto: str
    token: str

    @property
    def plate(self) -> PlateInfo:
        """Size, range and rate of the plates."""
        return PlateInfo(
            width=self.width,
            height=self.height,
            first=self.frames[0],
            last=self.frames[-1],
            fps=self.fps,
            pixel_aspect=self.pixel_aspect,
        )

    def pick(self, frames: Sequence[int] | None) -> tuple[int, ...]:
        """The asked frames, or all.

        Raises:
            UsageError: a frame is not among those that were checked.
        """
        if frames is None:
            return self.frames
        if strange := sorted(set(frames) - set(self.frames)):
            raise UsageError(
                f"shot {self.shot}: frames {format_frames(strange)} are not part of this job; it "
                f"was checked for {format_frames(self.frames)}"
            )
        return tuple(sorted(set(frames)))


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Paths within the working folder of a job."""

    root: Path

    @property
    def job(self) -> Path:
        """What ``check`` decided."""
        return self.root / "shot.json"

    @property
    def needless(self) -> Path:
        """Why there is nothing to do; there only if there is nothing."""
        return self.root / "needless.json"

    @property
    def predictions(self) -> Path:
        """Folder of predicted chunks."""
        return self.root / "predict"

    @property
    def roto(self) -> Path:
        """The settled shot."""
        return self.root / "roto.json"

    @property
    def solved(self) -> Path:
        """The settled shot before corrections."""
        return self.root / "solved.json"

    @property
    def likeness(self) -> Path:
        """What the model saw of each frame."""
        return self.root / LIKENESS

    @property
    def mattes(self) -> Path:
        """Folder of mattes."""
        return self.root / "matte"

    @property
    def published(self) -> Path:
        """The version that was published."""
        return self.root / "published.json"

    def matte(self, layer: str, frame: int) -> Path:
        """File of one matte."""
        return self.mattes / f"{layer}.{frame:04d}.exr"

    def read_job(self, *, shot: str, character: str) -> ShotJob:
        """What ``check`` decided.

        Raises:
            SidecarError: it has not run, or its file is damaged or of another job.
        """
        try:
            job = ShotJob.model_validate_json(self.job.read_bytes())
        except FileNotFoundError as error:
            raise SidecarError(
                f"shot {shot}: {self.job} is not there; run the check task of this job first"
            ) from error
        except ValidationError as error:
            faults = "\n".join(f"{self.job}: {line}" for line in describe_faults(error))
            raise SidecarError(faults) from error
        if (job.shot, job.character) != (shot, character):
            raise SidecarError(
                f"{self.job}: wanted shot {shot!r} and character {character!r}, got {job.shot!r} "
                f"and {job.character!r}; give each job a folder of its own"
            )
        return job

    def begin(self, job: ShotJob) -> None:
        """Write shot.json, whole or not at all.

        A check that is run again and finds everything as it was changes nothing, so a copy
        of it that comes late does no harm; otherwise what was made before is removed.
        """
        try:
            former = self.read_job(shot=job.shot, character=job.character)
        except SidecarError:
            former = None
        if former is not None and former.model_copy(update={"token": job.token}) == job:
            self.needless.unlink(missing_ok=True)
            return
        sweep(self.root)
        for stale in (self.needless, self.published, self.roto, self.solved, self.likeness):
            stale.unlink(missing_ok=True)
        for folder in (self.predictions, self.mattes):
            shutil.rmtree(folder, ignore_errors=True)
        write_file(self.job, (job.model_dump_json(indent=1) + "\n").encode())

    def write_needless(self, why: str) -> None:
        """Let all later tasks of this job end at once."""
        write_file(self.needless, (json.dumps({"why": why}) + "\n").encode())

    def read_needless(self) -> str | None:
        """Why there is nothing to do, or None."""
        try:
            return str(json.loads(self.needless.read_bytes())["why"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LaikarotoError(f"{self.needless}: is damaged: {error}; remove it") from error

    def read_published(self) -> str | None:
        """The version this job has published, or None."""
        try:
            return str(json.loads(self.published.read_bytes())["version"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LaikarotoError(f"{self.published}: is damaged: {error}; remove it") from error

    def write_published(self, version: str) -> None:
        """Remember the version."""
        write_file(self.published, (json.dumps({"version": version}) + "\n").encode())
