"""The model that a training begins with: found, and kept from flattering the new one.

A finished model has learned every shot of its character, those included that were held out
while it was measured. A training that begins with it and holds out the same shots would be
measured on what its weights already know. So a package keeps two sets of weights, and the one
from before the held-out shots were learned is used wherever that matters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laikaroto.errors import ModelError
from laikaroto.model.package import ModelPackage, load_package, parse_source, resolve_version
from laikaroto.show import Show
from laikaroto.sidecar.files import write_file

if TYPE_CHECKING:
    from laikaroto.training.warm_start import Source


def find_source(show: Show, character: str, wanted: str) -> ModelPackage:
    """The package that ``v003``, ``current`` or ``villain:current`` stands for.

    Raises:
        UsageError: not of that form.
        ModelError: no such model, or it is damaged.
    """
    owner, version = parse_source(wanted, character)
    folder = show.models_folder(owner)
    return load_package(folder / resolve_version(folder, version))


def label(package: ModelPackage, character: str) -> str:
    """``v003``, or ``villain:v003`` of another character."""
    owner = package.info.character
    return package.version if owner == character else f"{owner}:{package.version}"


def shots_to_hold_out(
    package: ModelPackage, character: str, shots: Sequence[str]
) -> tuple[str, ...]:
    """Those the source held out, if it is of this character and they are still to be learned."""
    held = package.info.validation_shots
    fits = package.info.character == character and set(held) < set(shots)
    return held if fits else ()


def open_source(
    package: ModelPackage, character: str, held_out: Sequence[str], run: Path
) -> Source:
    """The weights to begin with; which model it was is noted in the job's folder.

    Args:
        package: the model to begin with.
        character: who is to be learned.
        held_out: the shots that the training is measured on.
        run: the training's working folder.

    Raises:
        ModelError: all weights of the package have learned shots that are to be held out, or
            they cannot be read.
    """
    from laikaroto.training.checkpoint import read_weights
    from laikaroto.training.warm_start import Source

    info, name = package.info, "weights.npz"
    own = info.character == character
    learned = {*info.training_shots, *info.inherited_shots} if own else set()
    if learned & set(held_out):
        name = "unseen.npz"
        learned = set(info.training_shots) - set(info.validation_shots) | set(info.inherited_shots)
        if learned & set(held_out) or not (package.folder / name).is_file():
            raise ModelError(
                f"{package.version} of {character} has learned {', '.join(sorted(held_out))}, "
                "which this training holds out: its figures would flatter it. That model held out "
                f"{', '.join(info.validation_shots) or 'nothing'}; name the same in "
                "training.validation_shots, or train without --init-from"
            )
    try:
        weights = read_weights(package.folder / name)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{package.folder / name}: cannot be read: {error}; train without --init-from"
        ) from error
    note = {"version": label(package, character), "learned": sorted(learned)}
    write_file(run / "init_from.json", json.dumps(note).encode())
    return Source(
        label=label(package, character),
        weights=weights,
        template=package.template,
    )
