"""Templates: read off the truth, kept in a file, and what packs rotos into arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.character.template import (
    CharacterTemplate,
    pack,
    read_template,
    template_from,
    unpack,
    write_template,
)
from laikaroto.errors import TruthError
from laikaroto.shapes.records import Roto, Shape, ShapeFrame
from laikaroto.sidecar.schema import read_roto


@pytest.fixture(scope="module")
def roto() -> Roto:
    return read_roto(bundled("sample") / "truth" / "hero" / "tr02.roto.json")


def test_a_template_has_the_names_and_forms_of_the_truth(roto: Roto) -> None:
    template = template_from(roto)
    assert template.tracks == tuple(sorted(roto.tracks))
    assert {s.name: (s.closed, s.corners) for s in template.shapes} == {
        name: (shape.closed, shape.corners) for name, shape in roto.shapes.items()
    }
    counts = {n: len(next(iter(s.frames.values())).points) for n, s in roto.shapes.items()}
    assert template.control_count == sum(counts.values())
    assert template.point_count == template.control_count + len(roto.tracks)
    assert {n: s.stop - s.start for n, s in template.slices().items()} == counts
    assert set(template.closed_shapes()) == {n for n, s in roto.shapes.items() if s.closed}


def test_pack_and_unpack_are_inverse(roto: Roto) -> None:
    template, frames = template_from(roto), sorted(roto.frames)
    packed = [pack(roto, template, frame) for frame in frames]
    values, visible, known = (np.stack(column) for column in zip(*packed, strict=True))
    assert values.shape == (len(frames), template.point_count, 6) and known.all()
    assert not visible.all()  # the sample has hidden points: the trip must keep them
    back = unpack(template, roto.shot, roto.plate, frames, values, visible)
    assert (back.shot, back.character, back.plate) == (roto.shot, roto.character, roto.plate)
    for name, track in roto.tracks.items():
        for frame, point in track.items():
            assert back.tracks[name][frame].xy == point.xy
            assert back.tracks[name][frame].visible == point.visible
    for name, shape in roto.shapes.items():
        assert back.shapes[name].closed == shape.closed
        assert back.shapes[name].corners == shape.corners
        for frame, drawn in shape.frames.items():
            found = back.shapes[name].frames[frame]
            np.testing.assert_array_equal(found.points, drawn.points)
            np.testing.assert_array_equal(found.point_visible & found.visible,
                                          drawn.point_visible & drawn.visible)  # fmt: skip
    again = [pack(back, template, frame) for frame in frames]
    for one, other in zip(packed, again, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_a_frame_does_not_say_is_unknown(roto: Roto) -> None:
    template = template_from(roto)
    frame = min(roto.frames)
    name = template.shapes[0].name
    track = template.tracks[1]
    part = replace(
        roto,
        shapes={n: s for n, s in roto.shapes.items() if n != name},
        tracks=roto.tracks | {track: {}},
    )
    values, visible, known = pack(part, template, frame)
    gone = template.slices()[name]
    start = len(template.tracks)
    missing = {1, *range(start + gone.start, start + gone.stop)}
    assert set(np.flatnonzero(~known)) == missing
    assert not visible[list(missing)].any() and not values[list(missing)].any()


def test_a_template_file_is_read_as_written(roto: Roto, tmp_path: Path) -> None:
    path = tmp_path / "new" / "template.json"
    write_template(path, template_from(roto))
    assert read_template(path) == template_from(roto)
    assert [p.name for p in path.parent.iterdir()] == ["template.json"]


def test_missing_and_damaged_template_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    with pytest.raises(TruthError, match="no template yet; import ground truth"):
        read_template(path)
    path.write_text('{"character": "x", "tracks": [], "shapes": [{"name": 1}], "more": 0}')
    with pytest.raises(TruthError) as caught:
        read_template(path)
    for fault in ("shapes.0.name", "shapes.0.closed", "shapes.0.count", "more: unknown setting"):
        assert fault in str(caught.value)


def test_truth_without_a_form_gives_no_template(roto: Roto) -> None:
    with pytest.raises(TruthError, match="shot tr02: holds neither shapes nor tracking points"):
        template_from(replace(roto, shapes={}, tracks={}))
    with pytest.raises(TruthError, match="shape 'mouth': has no frame"):
        template_from(replace(roto, shapes={"mouth": Shape(closed=True, frames={})}))

    def drawn(count: int) -> ShapeFrame:
        return ShapeFrame(points=np.zeros((count, 6)), point_visible=np.ones(count, bool))

    changing = Shape(closed=True, frames={1001: drawn(4), 1002: drawn(5)})
    with pytest.raises(TruthError, match="4 points on frame 1001 but 5 on frame 1002"):
        template_from(replace(roto, shapes={"mouth": changing}))


def test_points_alone_or_shapes_alone_are_a_character(roto: Roto) -> None:
    points = template_from(replace(roto, shapes={}))
    assert points.control_count == 0 and points.point_count == len(roto.tracks)
    shapes = template_from(replace(roto, tracks={}))
    assert shapes.tracks == () and shapes.control_count == shapes.point_count
    assert isinstance(points, CharacterTemplate)
