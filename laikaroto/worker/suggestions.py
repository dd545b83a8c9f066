"""Which frames of a show's shots an artist should rotoscope next, from what is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from laikaroto.character.template import read_template
from laikaroto.errors import SidecarError, TruthError, UsageError
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.publish import versions
from laikaroto.sidecar.schema import read_roto
from laikaroto.training.suggest import Candidate, Suggestion, candidates, known_poses, suggest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Suggested:
    """The best frames first, what they were chosen from, and what could not be looked at.

    rotos: the published versions that were looked at, by shot.
    """

    suggestions: tuple[Suggestion, ...]
    frames: int
    rotos: dict[str, Roto]
    notes: tuple[str, ...]


def suggest_frames(
    show: Show, character: str, shots: Sequence[str] = (), *, count: int = 10
) -> Suggested:
    """Rank frames of published shots by what they would teach.

    Args:
        show: the show.
        character: who is to be learned better.
        shots: only these; none for every shot of which something is published. Frames that are
            ground truth already are left out.
        count: how many frames are wanted.

    Raises:
        UsageError: nothing is published of a named shot.
        TruthError: there is no frame with all points drawn to compare with.
    """
    template = read_template(show.template_file(character))
    truth = {
        shot: read_roto(path)
        for shot in show.truth_shots(character)
        if (path := show.truth_file(character, shot)).is_file()
    }
    known = known_poses(list(truth.values()), template)
    if not known.frames:
        raise TruthError(
            f"character {character!r}: there is no frame with all points drawn to compare with; "
            f"import ground truth with 'laikaroto truth import {character} FILE…'"
        )
    rotos: dict[str, Roto] = {}
    frames: list[Candidate] = []
    notes: list[str] = []
    for shot in shots or show.published_shots(character):
        folder = show.sidecar_folder(shot, character, "v001").parent
        if not (published := versions(folder)):
            if shots:
                raise UsageError(
                    f"shot {shot!r}, character {character!r}: nothing is published in {folder}; "
                    f"run 'laikaroto infer {shot} --character {character}' first"
                )
            continue
        drawn = set(truth[shot].frames) if shot in truth else set()
        try:
            roto = read_roto(folder / published[-1] / "roto.json")
            frames += candidates(roto, template, drawn)
            rotos[shot] = roto
        except SidecarError as error:
            notes.append(str(error))
    return Suggested(
        suggestions=tuple(suggest(known, frames, count)),
        frames=len(frames),
        rotos=rotos,
        notes=tuple(notes),
    )
