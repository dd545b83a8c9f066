"""The review page of a published version, found by the show's paths."""

from __future__ import annotations

from pathlib import Path

from laikaroto.plate.reading import read_ahead
from laikaroto.plate.sequence import find_sequence
from laikaroto.review.shot_page import write_shot_page
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto
from laikaroto.training.evaluate import evaluate


def review_version(show: Show, *, shot: str, folder: Path, truth: Path | None = None) -> Path:
    """Write the review page of a published version, in place of an earlier one.

    Args:
        show: whose plates are shown and whose review folder holds the page.
        shot: name of the shot.
        folder: of the published version.
        truth: roto.json to measure against, if there is one.

    Returns:
        The page.

    Raises:
        SidecarError: the version or the truth is damaged.
        TruthError: the truth is of other plates.
        PlateError: a plate cannot be read.
        TryAgainError: the disk refuses; an earlier page is intact.
    """
    roto = read_roto(folder / "roto.json")
    config = show.configs.show.plates
    sequence = find_sequence(show.plate_template(shot), shot=shot)
    mattes = folder / "matte"
    return write_shot_page(
        roto,
        show.review_folder(shot, roto.character, folder.name),
        plates=lambda frames: read_ahead(sequence, frames, config),
        mattes=mattes if mattes.is_dir() else None,
        evaluation=None if truth is None else evaluate(roto, read_roto(truth)),
    )
