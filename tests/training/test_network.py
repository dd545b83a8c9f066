"""Half pixels and forms inside the networks, for any template."""

from __future__ import annotations

import pytest
import torch

from laikaroto.training.network import Drawer, Finder, gather, soft_argmax


def test_soft_argmax_counts_from_the_corner() -> None:
    heat = torch.full((1, 2, 6, 8), -50.0)
    heat[0, 0, 4, 1] = 50.0
    heat[0, 1, 0, 7] = heat[0, 1, 1, 7] = 50.0
    torch.testing.assert_close(
        soft_argmax(heat), torch.tensor([[[1.5 / 8, 4.5 / 6], [7.5 / 8, 1.0 / 6]]])
    )
    flat = soft_argmax(torch.zeros(1, 1, 6, 8))
    torch.testing.assert_close(flat, torch.full((1, 1, 2), 0.5))


def test_gather_reads_cells_at_their_centres() -> None:
    features = torch.arange(2 * 4 * 8, dtype=torch.float32).view(1, 2, 4, 8)
    places = torch.tensor([[[2.5 / 8, 1.5 / 4], [3.0 / 8, 1.5 / 4], [0.0, 0.0], [9.0, 9.0]]])
    found = gather(features, places)
    assert found.shape == (1, 4, 2)
    torch.testing.assert_close(found[0, 0], features[0, :, 1, 2])
    torch.testing.assert_close(found[0, 1], features[0, :, 1, 2:4].mean(-1))
    torch.testing.assert_close(found[0, 2], features[0, :, 0, 0])  # edges repeat
    torch.testing.assert_close(found[0, 3], features[0, :, 3, 7])


def test_a_heat_maps_place_is_where_gather_looks() -> None:
    heat = torch.full((1, 1, 16, 16), -60.0)
    heat[0, 0, 11, 3] = 60.0
    assert gather(heat, soft_argmax(heat)).item() == pytest.approx(60.0, abs=1e-3)


@pytest.mark.parametrize(("tracks", "controls"), [(2, 7), (0, 4), (3, 0), (0, 1)])
def test_any_template_is_drawn(tracks: int, controls: int) -> None:
    torch.manual_seed(0)
    tangents = torch.rand(controls, 4)
    drawer = Drawer(tracks, controls, tangents, size=128).eval()
    with torch.no_grad():
        drawn = drawer(torch.rand(2, 3, 128, 128))
    count = tracks + controls
    assert drawn.xy.shape == (1 + Drawer.ROUNDS, 2, count, 2)
    assert drawn.visible.shape == drawn.log_error.shape == (2, count)
    assert drawn.heat.shape[:2] == (2, count)
    # before it has learned, a shape has the mean tangents and a point stays where the heat is
    torch.testing.assert_close(drawn.tangents, tangents.expand(2, -1, -1))
    torch.testing.assert_close(drawn.xy[-1], drawn.xy[0])
    torch.testing.assert_close(drawn.xy[0], soft_argmax(drawn.heat))


def test_the_finder_looks_at_any_size() -> None:
    finder = Finder().eval()
    with torch.no_grad():
        centre, side, heat, present = finder(torch.rand(3, 3, 96, 160))
    assert (centre.shape, side.shape, heat.shape) == ((3, 2), (3,), (3, 24, 40))
    assert present.shape == (3,)
    assert ((centre > 0) & (centre < 1)).all()
