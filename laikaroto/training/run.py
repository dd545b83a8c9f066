"""The working folder of one training: what its steps leave for one another.

dataset.json      what ``prepare`` gathered (``DatasetIndex``)
dataset/          one small file for each frame
renders/          one small file for each rendered head
mirrored.npz      mirror images of the frames, where shapes had to be drawn anew for them
settings.json     how it is trained; written at the first attempt, kept by the next ones
checkpoint.pt     where the training can go on from
held_out.pt       predictions on the held-out shots at the end of the first phase
unseen.npz        the networks at that moment, which had not seen those shots
metrics.json      what ``evaluate`` made of them
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from laikaroto.character.template import CharacterTemplate, read_template
from laikaroto.config import describe_faults
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError, TryAgainError
from laikaroto.model.arrays import load_arrays, write_arrays
from laikaroto.shapes.records import PlateInfo
from laikaroto.sidecar.files import write_file
from laikaroto.training.checkpoint import Settings, State, load, new_state, read_checkpoint
from laikaroto.training.dataset import Dataset
from laikaroto.training.examples import read_example, read_points
from laikaroto.training.loop import Course, Report
from laikaroto.training.mirror import find_mirror
from laikaroto.training.processes import ALONE, Peers
from laikaroto.training.renders import read_render
from laikaroto.training.validate import HeldOut, choose_held_out

MIRRORED = "mirrored.npz"


class DatasetIndex(BaseModel):
    """dataset.json: frames of each shot, their plates, and the sizes they were prepared for.

    truth: digest of what it was made of, so that a change is noticed; renders: names of
    prepared rendered heads; renders_share: of the training pictures that show one; corrected:
    shots of which only what artists corrected is known: they are never held out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    character: str
    truth: str
    crop_px: int
    finder_size: tuple[int, int]
    mirror: Literal["auto", "never"]
    frames: dict[str, tuple[int, ...]]
    plates: dict[str, dict[str, float]]
    renders: tuple[str, ...] = ()
    renders_share: float = 0.0
    corrected: tuple[str, ...] = ()

    def plate_infos(self) -> dict[str, PlateInfo]:
        """Plates of each shot."""
        return {
            shot: PlateInfo(
                width=int(p["width"]),
                height=int(p["height"]),
                first=int(p["first"]),
                last=int(p["last"]),
                fps=p["fps"],
                pixel_aspect=p["pixel_aspect"],
            )
            for shot, p in self.plates.items()
        }


def write_index(run: Path, index: DatasetIndex) -> None:
    """Write dataset.json; it comes last, so that it says the data set is whole."""
    write_file(run / "dataset.json", index.model_dump_json(indent=1).encode())


def read_index(run: Path) -> DatasetIndex:
    """Read dataset.json.

    Raises:
        TruthError: the data set was not prepared, or not to the end.
    """
    try:
        return DatasetIndex.model_validate_json((run / "dataset.json").read_bytes())
    except OSError as error:
        raise TruthError(f"{run}: the data set is not prepared; run the prepare step") from error
    except ValidationError as error:
        faults = "\n".join(f"{run / 'dataset.json'}: {line}" for line in describe_faults(error))
        raise TruthError(faults) from error


def load_dataset(run: Path, index: DatasetIndex, template: CharacterTemplate) -> Dataset:
    """All prepared frames, and the character's mirror if it has one and it is wanted."""
    examples = [
        read_example(run / "dataset", shot, frame)
        for shot, frames in index.frames.items()
        for frame in frames
    ]
    mirror = None
    if index.mirror == "auto":
        mirror = find_mirror(template, [e.values for e in examples if e.known.all()])
    if mirror is not None and mirror.redrawn:
        images = _read_mirrored(run, len(examples), template.point_count)
        examples = [replace(e, mirrored=row) for e, row in zip(examples, images, strict=True)]
    dataset = Dataset(
        examples, tracks=len(template.tracks), crop_px=index.crop_px, finder=index.finder_size,
        mirror=mirror,
    )  # fmt: skip
    dataset.renders = [read_render(render_file(run, name)) for name in index.renders]
    dataset.renders_share = index.renders_share
    return dataset


def write_mirrored(
    run: Path, index: DatasetIndex, template: CharacterTemplate, report: Report
) -> None:
    """Draw the mirror images of all prepared frames, if shapes have to be drawn anew for them.

    That takes a moment for each frame, and every process of every later step needs them.

    Raises:
        TruthError: a prepared frame is missing or damaged. TryAgainError: the disk refuses.
    """
    frames = [(shot, frame) for shot, numbers in index.frames.items() for frame in numbers]
    points = [read_points(run / "dataset", shot, frame) for shot, frame in frames]
    mirror = find_mirror(template, [values for values, known in points if known.all()])
    if mirror is None or not mirror.redrawn:
        return
    images = []
    for (shot, frame), (values, _) in zip(frames, points, strict=True):
        images.append(mirror.values(values, 0.0))
        report(1.0, f"mirrored {shot} frame {frame}")
    write_arrays(run / MIRRORED, {"mirrored": np.stack(images)})


def _read_mirrored(run: Path, frames: int, points: int) -> Sequence[FloatArray | None]:
    """Mirror images (P, 6) of all frames; None each where they were not written beforehand."""
    path = run / MIRRORED
    if not path.is_file():
        return [None] * frames
    try:
        images = load_arrays(path, ("mirrored",))["mirrored"]
    except (OSError, ValueError) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the prepare step again") from error
    if images.shape != (frames, points, 6):
        raise TruthError(
            f"{path}: wanted {frames} frames of {points} points, got an array of "
            f"{images.shape}; run the prepare step again"
        )
    return list(images)


def render_file(run: Path, name: str) -> Path:
    """Where a prepared rendered head lies."""
    return run / "renders" / f"{name}.npz"


def open_course(
    run: Path,
    report: Report,
    *,
    choices: Mapping[str, Any] | None = None,
    peers: Peers = ALONE,
    processes_here: int = 1,
) -> Course:
    """Everything a training needs, from its folder.

    Args:
        run: the training's working folder, prepared.
        report: told of progress.
        choices: what a first attempt is told, by names of ``Settings``: budget_s, seed,
            held_out and, if they are not to be as usual, patience, augmentations, losses; a
            later attempt keeps what the first was told, so that its schedule goes on.
        peers: the other processes; all do as process 0 was told.
        processes_here: how many of them share the CPUs of this task.
    """
    index = read_index(run)
    if peers.tell(index.truth) != index.truth:
        raise TryAgainError(
            f"process {peers.rank} sees another data set in {run} than process 0: the file system "
            "was not up to date, or the folder is not the same; start all of them again"
        )
    template = read_template(run / "template.json")
    dataset = load_dataset(run, index, template)
    settings = _settings(run, index, dataset, choices, peers)
    dataset.probabilities = settings.augmentations
    return Course(
        settings=settings,
        dataset=dataset,
        template=template,
        plates=index.plate_infos(),
        folder=run,
        report=report,
        peers=peers,
        processes_here=processes_here,
    )


def _settings(
    run: Path,
    index: DatasetIndex,
    dataset: Dataset,
    choices: Mapping[str, Any] | None,
    peers: Peers,
) -> Settings:
    """What the first attempt was told; process 0 writes it down and tells the others."""
    path = run / "settings.json"
    text = ""
    if peers.leads:
        if not path.is_file():
            if choices is None:
                raise TruthError(f"{run}: was not trained yet; run the train step")
            shots = tuple(index.frames)
            whole = tuple(shot for shot in shots if shot not in index.corrected)
            chosen = Settings(
                **{
                    **choices,
                    "held_out": tuple(choices["held_out"]) or choose_held_out(whole, dataset),
                    "training_shots": shots,
                    "crop_px": index.crop_px,
                    "finder_size": index.finder_size,
                }
            )
            write_file(path, (json.dumps(asdict(chosen), indent=1) + "\n").encode())
        text = path.read_text(encoding="utf-8")
    try:
        saved = json.loads(peers.tell(text))
        for name in ("training_shots", "held_out", "finder_size"):
            saved[name] = tuple(saved[name])
        return Settings(**saved)
    except (ValueError, KeyError, TypeError) as error:
        raise TruthError(
            f"{path}: cannot be gone on with: {error}; remove {run} to start this training anew"
        ) from error


def load_trained(course: Course) -> State:
    """The state that a finished training left.

    Raises:
        TruthError: there is no checkpoint.
    """
    state = new_state(course.settings, course.dataset)
    if not read_checkpoint(course.checkpoint, state):
        raise TruthError(f"{course.folder}: has no checkpoint; run the train step")
    return state


def read_held_out(course: Course) -> HeldOut | None:
    """Predictions on the held-out shots, or None where nothing was held out.

    Raises:
        TruthError: they are damaged.
    """
    path = course.folder / "held_out.pt"
    if not path.is_file():
        return None
    known = {(example.shot, example.frame): example for example in course.dataset.examples}
    try:
        data = load(path)
        return HeldOut(
            tuple(known[(shot, frame)] for shot, frame in data["rows"]),
            data["values"].numpy(),
            data["visible"].numpy(),
            data["expected"].numpy(),
            data["actual"].numpy(),
        )
    except (OSError, ValueError, KeyError) as error:
        raise TruthError(f"{path}: cannot be read: {error}; run the train step again") from error
