"""A model package that was never trained: as fast as any other, and of no other use."""

from __future__ import annotations

from pathlib import Path

from laikaroto.character.template import template_from, write_template
from laikaroto.model.package import ModelInfo, promote
from laikaroto.plate.exr import PlateHeader
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto


def write_untrained(models: Path, *, truth: Path, crop_px: int, header: PlateHeader) -> Path:
    """Publish a package with random weights as the current version of ``models``.

    Args:
        models: models folder of the puppet.
        truth: a roto.json that says which points and shapes the puppet has.
        crop_px: side of the drawer's crop.
        header: of the plates it is meant for.

    Returns:
        The package's folder.
    """
    import torch

    from laikaroto.training.examples import finder_size
    from laikaroto.training.export import export_networks
    from laikaroto.training.network import Drawer, Finder

    torch.manual_seed(0)
    template = template_from(read_roto(truth))
    finder = finder_size(header.width, header.height)
    mean_xy = torch.rand(template.point_count, 2)
    tangents = torch.zeros(template.control_count, 4)
    drawer = Drawer(len(template.tracks), mean_xy, tangents, size=crop_px)
    with building(models) as folder:
        export_networks(folder, drawer, Finder(), finder_size=finder, error_scale=1.0)
        info = ModelInfo(
            character=template.character, created="2020-01-01T00:00:00+00:00", laikaroto="0",
            seed=0, steps=0, seconds=0.0, crop_px=crop_px, finder_size=finder,
            training_shots=(), validation_shots=(),
        )  # fmt: skip
        (folder / "model.json").write_text(info.model_dump_json(), encoding="utf-8")
        write_template(folder / "template.json", template)
        (folder / "metrics.json").write_text("{}", encoding="utf-8")
        version = publish(folder, models)
    promote(models, version)
    return models / version
