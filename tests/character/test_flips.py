"""Left and right exchanged, shapes drawn backwards: found against the other frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.character.flips import check_flips
from laikaroto.coords import transform_points
from laikaroto.shapes.records import Roto, Shape, TrackFrame
from laikaroto.sidecar.schema import read_roto

SAMPLE = bundled("sample") / "truth" / "hero"


@pytest.fixture
def rotos() -> list[Roto]:
    return [read_roto(SAMPLE / f"tr0{i}.roto.json") for i in (1, 2, 3)]


def exchange(roto: Roto, left: str, right: str, frames: Iterable[int]) -> Roto:
    """Give two shapes or two tracks each other's name on some frames."""
    chosen = set(frames)
    if left in roto.tracks:
        a, b = roto.tracks[left], roto.tracks[right]
        tracks = {
            **roto.tracks,
            left: {f: (b if f in chosen else a)[f] for f in a},
            right: {f: (a if f in chosen else b)[f] for f in b},
        }
        return dataclasses.replace(roto, tracks=tracks)
    one, other = roto.shapes[left], roto.shapes[right]
    shapes = {
        **roto.shapes,
        left: dataclasses.replace(
            one, frames={f: (other if f in chosen else one).frames[f] for f in one.frames}
        ),
        right: dataclasses.replace(
            other, frames={f: (one if f in chosen else other).frames[f] for f in other.frames}
        ),
    }
    return dataclasses.replace(roto, shapes=shapes)


def reverse(roto: Roto, name: str, frames: Iterable[int]) -> Roto:
    chosen = set(frames)

    def turn(shape: Shape, frame: int) -> Shape:
        entry = shape.frames[frame]
        backwards = entry.points[::-1][:, [0, 1, 4, 5, 2, 3]]
        entry = dataclasses.replace(
            entry, points=backwards, point_visible=entry.point_visible[::-1]
        )
        return dataclasses.replace(shape, frames={**shape.frames, frame: entry})

    shape = roto.shapes[name]
    for frame in chosen:
        shape = turn(shape, frame)
    return dataclasses.replace(roto, shapes={**roto.shapes, name: shape})


def rolled(roto: Roto, degrees: float) -> Roto:
    """The whole puppet turned about the middle of the frame."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([320.0, 180.0])
    matrix = np.column_stack([turn, middle - turn @ middle])
    shapes = {
        name: dataclasses.replace(
            shape,
            frames={
                f: dataclasses.replace(v, points=transform_points(v.points, matrix))
                for f, v in shape.frames.items()
            },
        )
        for name, shape in roto.shapes.items()
    }
    tracks = {}
    for name, track in roto.tracks.items():
        tracks[name] = {}
        for frame, point in track.items():
            x, y = matrix @ np.array([*point.xy, 1.0])
            tracks[name][frame] = TrackFrame(xy=(float(x), float(y)), visible=point.visible)
    return dataclasses.replace(roto, shapes=shapes, tracks=tracks)


def test_the_sample_has_no_flips(rotos: list[Roto]) -> None:
    assert [str(fault) for fault in check_flips(rotos)] == []


def test_no_rotos_no_faults() -> None:
    assert check_flips([]) == []


def test_shapes_exchanged_on_two_frames(rotos: list[Roto]) -> None:
    rotos[1] = exchange(rotos[1], "eye_L", "eye_R", [1003, 1004])
    faults = {f.what: f for f in check_flips(rotos)}
    fault = faults["eye_L/eye_R"]
    assert (fault.severity, fault.shot, fault.frames) == ("error", "tr02", (1003, 1004))
    assert "left and right are exchanged" in fault.text and "exchange the two names" in fault.remedy
    # the sample draws the eyes as mirror images, so each now also runs the other way round
    assert set(faults) == {"eye_L/eye_R", "eye_L", "eye_R"}


def test_tracking_points_exchanged(rotos: list[Roto]) -> None:
    rotos[0] = exchange(rotos[0], "mouth_corner_L", "mouth_corner_R", [1005])
    (fault,) = check_flips(rotos)
    assert (fault.what, fault.frames) == ("mouth_corner_L/mouth_corner_R", (1005,))


def test_a_whole_shot_that_calls_left_right(rotos: list[Roto]) -> None:
    shot = rotos[2]
    names = {n for n in [*shot.shapes, *shot.tracks] if n.endswith("_L")}
    for name in names:
        frames = (shot.shapes[name].frames if name in shot.shapes else shot.tracks[name]).keys()
        shot = exchange(shot, name, f"{name[:-1]}R", frames)
    faults = check_flips([rotos[0], rotos[1], shot])
    assert {f.shot for f in faults} == {"tr03"}
    # in this shot the head is turned: temples and side seams are not seen on both sides at once
    seen = names - {"temple_L", "seam_L"}
    assert {f"{name}/{name[:-1]}R" for name in seen} <= {f.what for f in faults}


@pytest.mark.parametrize("name", ["mouth", "seam_bridge", "seam_R", "upper_face"])
def test_a_shape_drawn_backwards(rotos: list[Roto], name: str) -> None:
    rotos[1] = reverse(rotos[1], name, [1002, 1008])
    (fault,) = check_flips(rotos)
    assert (fault.severity, fault.shot, fault.what) == ("error", "tr02", name)
    assert fault.frames == (1002, 1008)


@pytest.mark.parametrize("degrees", [40, 90, 180, 250])
def test_a_puppet_that_hangs_upside_down_is_not_accused(rotos: list[Roto], degrees: float) -> None:
    rotos[1] = rolled(rotos[1], degrees)
    assert [str(fault) for fault in check_flips(rotos)] == []


def test_an_exchange_is_found_on_a_puppet_upside_down(rotos: list[Roto]) -> None:
    rotos[1] = exchange(rolled(rotos[1], 180), "nostril_L", "nostril_R", [1003])
    (fault,) = check_flips(rotos)
    assert (fault.what, fault.shot, fault.frames) == ("nostril_L/nostril_R", "tr02", (1003,))


def test_names_with_left_and_right_as_words(rotos: list[Roto]) -> None:
    def renamed(roto: Roto) -> Roto:
        tracks = {
            f"left.{n[:-2]}" if n.endswith("_L") else f"right.{n[:-2]}": t
            for n, t in roto.tracks.items()
            if n[-2:] in ("_L", "_R")
        }
        return dataclasses.replace(roto, tracks=tracks, shapes={"mouth": roto.shapes["mouth"]})

    changed = [renamed(roto) for roto in rotos]
    assert check_flips(changed) == []
    changed[0] = exchange(changed[0], "left.cheek", "right.cheek", [1001])
    (fault,) = check_flips(changed)
    assert fault.what == "left.cheek/right.cheek"


def test_hidden_things_do_not_count(rotos: list[Roto]) -> None:
    bad = exchange(rotos[0], "temple_L", "temple_R", [1005])
    tracks = dict(bad.tracks)
    for name in ("temple_L", "temple_R"):
        hidden = dataclasses.replace(tracks[name][1005], visible=False)
        tracks[name] = {**tracks[name], 1005: hidden}
    assert check_flips([dataclasses.replace(bad, tracks=tracks), *rotos[1:]]) == []


def test_an_end_behind_the_head_that_no_file_calls_hidden_is_no_flip(rotos: list[Roto]) -> None:
    """Artists' files do not say which points are hidden, so all of them count as visible."""
    rotos[1] = all_points_visible(rotos[1])
    assert [str(fault) for fault in check_flips(rotos)] == []


def test_a_backwards_frame_is_found_where_no_file_says_what_is_hidden(rotos: list[Roto]) -> None:
    rotos[1] = reverse(all_points_visible(rotos[1]), "seam_R", [1004])
    assert [(f.shot, f.what, f.frames) for f in check_flips(rotos)] == [("tr02", "seam_R", (1004,))]


def all_points_visible(roto: Roto) -> Roto:
    shapes = {
        name: dataclasses.replace(
            shape,
            frames={
                f: dataclasses.replace(v, point_visible=np.ones_like(v.point_visible))
                for f, v in shape.frames.items()
            },
        )
        for name, shape in roto.shapes.items()
    }
    return dataclasses.replace(roto, shapes=shapes, tracks={})
