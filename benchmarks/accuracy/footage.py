"""The shots of a benchmark: plates and truth, from a show's configuration or a data folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laikaroto.character.template import CharacterTemplate, pack, template_from
from laikaroto.character.truth import drawn_frames, template_differences
from laikaroto.config import CharacterConfig, Configs, PlateConfig, ShowConfig, check_name
from laikaroto.coords import FloatArray
from laikaroto.errors import TruthError, UsageError
from laikaroto.model.crop import Box, box_around
from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import PlateSequence, check_sequence, find_sequence
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """One shot with its plates and its truth.

    ``frames`` are those that the truth has, ascending: what is learned from, or measured.
    """

    name: str
    sequence: PlateSequence
    plates: PlateConfig
    truth: Roto
    truth_file: Path
    frames: tuple[int, ...]

    def read(self, frames: Sequence[int] | None = None) -> Iterator[tuple[int, Image]]:
        """Frame number and plate (H, W, 3), scene-linear, in the order asked for."""
        return read_ahead(self.sequence, self.frames if frames is None else frames, self.plates)

    def truth_values(self, template: CharacterTemplate) -> FloatArray:
        """True control points (F, P, 6) in the template's order, plate px.

        Raises:
            TruthError: the truth leaves points of some frame out.
        """
        values = []
        for frame in self.frames:
            found, _, known = pack(self.truth, template, frame)
            if not known.all():
                raise TruthError(
                    f"shot {self.name} frame {frame}: the truth lacks {int((~known).sum())} of "
                    f"{len(known)} points; the benchmark needs shots that are drawn throughout"
                )
            values.append(found)
        return np.stack(values)

    def true_boxes(self, template: CharacterTemplate) -> dict[int, Box]:
        """Where the head is on each frame, from the truth, plate px."""
        values = self.truth_values(template)
        return {f: box_around(v[:, :2]) for f, v in zip(self.frames, values, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Footage:
    """What a benchmark runs on.

    ``training`` is in the order given: a few-shot run takes the first ones. ``show`` tells
    where plates lie and holds the character's settings.
    """

    show: Show
    character: str
    template: CharacterTemplate
    training: tuple[Shot, ...]
    evaluation: tuple[Shot, ...]

    def first(self, count: int) -> Footage:
        """The same with only the first ``count`` training shots.

        Raises:
            UsageError: there are fewer, or none is asked for.
        """
        if not 1 <= count <= len(self.training):
            raise UsageError(
                f"cannot learn from {count} training shots: wanted 1 to {len(self.training)}"
            )
        return replace(self, training=self.training[:count])


def show_of_data(folder: Path, character: str) -> Show:
    """A data folder (``plates/``, ``truth/<character>/``, perhaps ``green_card/``) as a show.

    Raises:
        UsageError: the folder lacks plates or truth.
    """
    for part in (folder / "plates", folder / "truth" / check_name(character, "character")):
        if not part.is_dir():
            raise UsageError(f"{folder} is no data folder: there is no {part}")
    plates = PlateConfig(template="{root}/plates/{shot}/{shot}.{frame:04d}.exr")
    green = PlateConfig(template="{root}/green_card/{shot}/{shot}.{frame:04d}.exr")
    show = ShowConfig(
        name="benchmark",
        root=".",
        plates=plates,
        green_card=green if (folder / "green_card").is_dir() else None,
        truth="{root}/truth/{character}/{shot}.roto.json",
    )
    characters = {character: CharacterConfig(name=character)}
    return Show(Configs(folder=folder.resolve(), show=show, characters=characters, queues={}))


def open_footage(
    show: Show,
    *,
    character: str,
    training: Sequence[str],
    evaluation: Sequence[str],
    truth: Path | None = None,
) -> Footage:
    """Find and check all plates and truth.

    Args:
        show: where plates lie.
        character: the puppet.
        training: shots to learn from, in the order that few-shot runs take them.
        evaluation: shots to draw; none of them may be learned from.
        truth: folder of ``<shot>.roto.json``; None: where the show keeps its training set.

    Raises:
        UsageError: a shot is named twice or does not exist.
        PlateError, SidecarError, TruthError: plates or truth are missing or damaged.
    """
    names = [*training, *evaluation]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"shot {', '.join(twice)}: is named more than once; a shot is learned from or measured"
        )
    if not training or not evaluation:
        raise UsageError("name at least one training shot and one evaluation shot")
    show.character(character)
    shots = {name: _open_shot(show, character, name, truth) for name in names}
    template = template_from(shots[training[0]].truth)
    for shot in shots.values():
        if differences := template_differences(shot.truth, template):
            raise TruthError(
                f"{shot.truth_file}: does not fit {training[0]}: {'; '.join(differences)}"
            )
    return Footage(
        show=show,
        character=character,
        template=template,
        training=tuple(shots[name] for name in training),
        evaluation=tuple(shots[name] for name in evaluation),
    )


def _open_shot(show: Show, character: str, name: str, truth: Path | None) -> Shot:
    check_name(name, "shot")
    path = show.truth_file(character, name) if truth is None else truth / f"{name}.roto.json"
    roto = read_roto(path)
    frames = drawn_frames(roto)
    sequence = find_sequence(show.plate_template(name), shot=name)
    check_sequence(sequence, show.configs.show.plates, frames)
    return Shot(
        name=name,
        sequence=sequence,
        plates=show.configs.show.plates,
        truth=roto,
        truth_file=path,
        frames=frames,
    )
