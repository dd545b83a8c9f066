"""Which augmentations and losses there are, and whether a configuration names others.

The registries are ``views.WARPS``, ``augment.AUGMENTATIONS`` and ``augment.WITH_OTHER`` (name ->
probability and function) and ``losses.WEIGHTS`` (name -> weight); their functions' docstrings
say what each is for. A setting that nobody reads would be worse than none: unknown names are
refused when a training set is prepared, and a configured loss without a target, or an
augmentation without what it needs, when training starts (``loop.check_augmentations``,
``loop.check_losses``).
"""

from __future__ import annotations

from collections.abc import Mapping

from laikaroto.config import TrainingConfig
from laikaroto.errors import ConfigError
from laikaroto.training.augment import AUGMENTATIONS, WITH_OTHER
from laikaroto.training.losses import WEIGHTS
from laikaroto.training.views import WARPS


def augmentations() -> dict[str, float]:
    """Every registered augmentation and how likely it is applied."""
    entries = (*WARPS.items(), *WITH_OTHER.items(), *AUGMENTATIONS.items())
    return {name: entry[0] for name, entry in entries}


def losses() -> dict[str, float]:
    """Every registered loss and its weight."""
    return dict(WEIGHTS)


def check_choices(character: str, training: TrainingConfig) -> None:
    """Refuse names of augmentations and losses that are not registered.

    Raises:
        ConfigError: lists all of them, and the known ones.
    """
    faults = [
        *_unknown(character, "augmentations", training.augmentations, augmentations()),
        *_unknown(character, "losses", training.losses, losses()),
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def _unknown(
    character: str, setting: str, wanted: Mapping[str, float], known: Mapping[str, float]
) -> list[str]:
    there = ", ".join(f"{name} ({value:g})" for name, value in sorted(known.items()))
    return [
        f"characters/{character}.yaml: training.{setting}.{name}: there is no such thing; known, "
        f"with their usual values: {there}"
        for name in sorted(set(wanted) - set(known))
    ]
