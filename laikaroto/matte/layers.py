"""Which matte layers a character has, and which closed shapes make each of them."""

from __future__ import annotations

from collections.abc import Collection

from laikaroto.config import MatteConfig
from laikaroto.errors import ConfigError


def matte_layers(config: MatteConfig, closed_shapes: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Layers of a character: name to the closed shapes whose union it is.

    Without configured layers each closed shape is its own. The combined layer, if one is
    named, comes last and is the union of all layers.

    Raises:
        ConfigError: lists layers of unknown, open or no shapes, and a combined layer whose name
            is taken.
    """
    layers: dict[str, tuple[str, ...]]
    if config.layers is None:
        layers = {name: (name,) for name in sorted(closed_shapes)}
    else:
        layers = {name: tuple(shapes) for name, shapes in config.layers.items()}
    faults = []
    known = ", ".join(sorted(closed_shapes)) or "none"
    for layer, shapes in layers.items():
        if not shapes:
            faults.append(f"mattes.layers.{layer}: names no shape; the closed shapes are: {known}")
        for shape in shapes:
            if shape not in closed_shapes:
                faults.append(
                    f"mattes.layers.{layer}: {shape!r} is no closed shape of this character; "
                    f"the closed shapes are: {known}"
                )
    if config.combined in layers:
        faults.append(
            f"mattes.combined: the name {config.combined!r} is taken by a layer; choose another"
        )
    if faults:
        raise ConfigError("\n".join(faults))
    if config.combined is not None:
        layers[config.combined] = tuple(
            dict.fromkeys(shape for shapes in layers.values() for shape in shapes)
        )
    return layers
