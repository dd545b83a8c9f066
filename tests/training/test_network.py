"""Half pixels and forms inside the networks, for any template."""

from __future__ import annotations

import pytest
import torch

from laikaroto.training.network import Drawer, Finder, soft_argmax
from laikaroto.training.refine import SPACINGS, WIDTH, Round, find_pose, gather


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
    count = tracks + controls
    tangents = torch.rand(controls, 4)
    drawer = Drawer(tracks, torch.rand(count, 2), tangents, size=128).eval()
    starts = torch.rand(3, 2, count, 2)
    with torch.no_grad():
        drawn = drawer(torch.rand(2, 3, 128, 128))
        more = drawer(torch.rand(2, 3, 128, 128), starts)
    assert drawn.xy.shape == (1 + len(SPACINGS), 2, count, 2)
    assert drawn.visible.shape == drawn.log_error.shape == (2, count)
    assert drawn.heat.shape[:2] == (2, count)
    # before it has learned, a point stays where it started, and tangents are the mean ones
    torch.testing.assert_close(drawn.xy[-1], drawn.xy[0])
    torch.testing.assert_close(drawn.xy[0], soft_argmax(drawn.heat))
    torch.testing.assert_close(more.xy[0, 2:], starts.flatten(0, 1))
    pose = find_pose(drawn.xy[-1], drawer.mean_xy)
    wanted = pose.to_picture(tangents.expand(2, -1, -1).unflatten(-1, (2, 2)))
    torch.testing.assert_close(drawn.tangents, wanted.flatten(-2))


def test_a_pose_lays_the_mean_head_over_its_points() -> None:
    mean = torch.rand(20, 2) - 0.5
    mean = mean - mean.mean(0)
    turn = 1.3 * torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    pose = find_pose((mean @ turn.T + torch.tensor([0.4, 0.7]))[None], mean)
    torch.testing.assert_close(pose.turn[0], turn, atol=1e-3, rtol=0)
    torch.testing.assert_close(pose.centre[0, 0], torch.tensor([0.4, 0.7]))
    offsets = torch.rand(1, 5, 2)
    torch.testing.assert_close(pose.to_head(pose.to_picture(offsets)), offsets)
    alone = find_pose(torch.rand(2, 1, 2), torch.zeros(1, 2))  # a single point: upright
    torch.testing.assert_close(alone.turn, torch.eye(2).expand(2, 2, 2))


def test_each_start_of_a_crop_looks_at_that_crop() -> None:
    torch.manual_seed(0)
    close = Round(4, 6.0).eval()
    torch.nn.init.normal_(close.shift.weight)
    pictures, places = torch.rand(2, 3, 64, 64), torch.rand(6, 4, 2)
    tokens, mean = torch.zeros(6, 4, WIDTH), torch.rand(4, 2) - 0.5
    with torch.no_grad():
        together, _ = close(pictures, places, tokens, mean, each=3)
        for row in range(6):
            alone, _ = close(pictures[row % 2][None], places[row : row + 1], tokens[:1], mean)
            torch.testing.assert_close(together[row], alone[0])


def test_the_finder_looks_at_any_size() -> None:
    finder = Finder().eval()
    with torch.no_grad():
        centre, side, heat, present = finder(torch.rand(3, 3, 96, 160))
    assert (centre.shape, side.shape, heat.shape) == ((3, 2), (3,), (3, 24, 40))
    assert present.shape == (3,)
    assert ((centre > 0) & (centre < 1)).all()
