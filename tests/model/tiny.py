"""A small model package with weights that were never trained, made like a real one."""

from __future__ import annotations

from pathlib import Path

from laikaroto.character.template import CharacterTemplate, template_from, write_template
from laikaroto.model.package import ModelInfo, promote
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import read_roto

CROP_PX = 128
FINDER_SIZE = (128, 96)


def sample_template(truth: Path) -> CharacterTemplate:
    """Template of the sample show's puppet; ``truth`` is a folder of its roto.json files."""
    return template_from(read_roto(truth / "tr01.roto.json"))


def write_package(models: Path, template: CharacterTemplate, *, seed: int = 0) -> str:
    """Publish a package with random weights as the current version; returns the version."""
    import torch

    from laikaroto.training.export import export_networks
    from laikaroto.training.network import Drawer, Drawing, Finder, soft_argmax

    class SureFinder(Finder):
        """Sure of a head about the middle of any plate."""

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            _, side, heat, present = super().forward(image)
            rows, columns = (torch.linspace(-1, 1, n) ** 2 for n in heat.shape[-2:])
            heat = heat - 200 * (rows[:, None] + columns)
            return soft_argmax(heat), side, heat, present + 4

    class SpreadDrawer(Drawer):
        """Points spread over the crop, each about a place of its own."""

        def forward(self, image: torch.Tensor, starts: torch.Tensor | None = None) -> Drawing:
            drawn = super().forward(image, starts)
            return drawn._replace(xy=drawn.xy + self.mean_xy)

    torch.manual_seed(seed)
    tangents = torch.zeros(template.control_count, 4)
    places = torch.rand(template.point_count, 2) * 0.9 + 0.05
    drawer = SpreadDrawer(len(template.tracks), places, tangents, size=CROP_PX)
    for layer in (*(close.shift for close in drawer.rounds), drawer.tangents):
        torch.nn.init.normal_(layer.weight, std=0.2)
    torch.nn.init.normal_(drawer.identity, std=1.0)
    # confident: everything visible, errors of about half a pixel expected
    finder = SureFinder()  # heads take two fifths of the plate's width
    for layer, value in ((drawer.visible, 4.0), (drawer.log_error, 0.0), (finder.side, -0.9)):
        torch.nn.init.normal_(layer.weight, std=0.001)
        torch.nn.init.constant_(layer.bias, value)
    with building(models) as folder:
        export_networks(folder, drawer, finder, finder_size=FINDER_SIZE, error_scale=1.0)
        info = ModelInfo(
            character=template.character, created="2020-01-01T00:00:00+00:00", laikaroto="0",
            seed=seed, steps=0, seconds=0.0, crop_px=CROP_PX, finder_size=FINDER_SIZE,
            training_shots=(), validation_shots=(),
        )  # fmt: skip
        (folder / "model.json").write_text(info.model_dump_json())
        write_template(folder / "template.json", template)
        (folder / "metrics.json").write_text("{}")
        version = publish(folder, models)
    promote(models, version)
    return version
