"""What differs between an artist's file and the version it came from, and what only seems to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from laikaroto.coords import FloatArray
from laikaroto.correction.changes import Changes, doubts, find_changes
from laikaroto.correction.incoming import Fitting, Incoming, IncomingShape, fit
from laikaroto.correction.records import FileReference
from laikaroto.errors import CorrectionError
from laikaroto.shapes.records import Roto, ShapeFrame, TrackFrame
from tests.correction.shows import drawn_roto

NAME = "mouth"


@pytest.fixture(scope="module")
def base() -> Roto:
    return drawn_roto()


def no_carry(name: str, contour: FloatArray, closed: bool, like: ShapeFrame) -> FloatArray:
    raise CorrectionError(f"{name}: {len(contour)} points")


def file_of(
    base: Roto, keys: Sequence[int], *, names: Sequence[str] = (NAME,), edits: Mapping[
        tuple[str, int], FloatArray] | None = None,
) -> Incoming:  # fmt: skip
    """What a tool hands back: keys, and straight lines between them, as float32 text."""
    shapes = {}
    for name in names:
        at_key = {k: base.shapes[name].frames[k].points.astype(np.float32) for k in keys}
        for (edited, frame), points in (edits or {}).items():
            if edited == name:
                at_key[frame] = points.astype(np.float32)
        set_keys = sorted(at_key)
        frames = {}
        for frame in range(set_keys[0], set_keys[-1] + 1):
            a = max(k for k in set_keys if k <= frame)
            b = min(k for k in set_keys if k >= frame)
            share = 0.0 if a == b else (frame - a) / (b - a)
            frames[frame] = np.asarray(at_key[a] + share * (at_key[b] - at_key[a]), np.float64)
        visible = {f: base.shapes[name].frames[f].visible for f in frames}
        shapes[name] = IncomingShape(
            closed=base.shapes[name].closed, frames=frames, keys=tuple(set_keys), visible=visible
        )
    reference = FileReference(name="fix.nk", format="nuke", sha256="")
    return Incoming(reference=reference, size=None, shapes=shapes, tracks={})


def changes(base: Roto, incoming: Incoming, **options: bool) -> Changes:
    return find_changes(incoming, base, carry=no_carry, **options)


def smooth(base: Roto) -> Roto:
    """The mouth moving evenly, so that few keys hold it: what an export with few keys is of."""
    first = base.shapes[NAME].frames[1001]
    step = np.array([0.5, 0.2, 0, 0, 0, 0])
    frames = {
        f: replace(first, points=first.points + (f - 1001) * step + 0.05 * (f % 2) * step)
        for f in base.frames
    }
    return replace(base, shapes={**base.shapes, NAME: replace(base.shapes[NAME], frames=frames)})


def test_an_unchanged_file_is_unchanged_whatever_its_rounding(base: Roto) -> None:
    assert changes(base, file_of(base, sorted(base.frames))).count == 0


def test_few_keys_do_not_make_the_frames_between_edits(base: Roto) -> None:
    even = smooth(base)
    found = changes(even, file_of(even, (1001, 1008, 1016)))
    assert found.count == 0 and doubts(found) == []


def test_a_moved_key_is_an_edit_and_its_neighbours_are_not(base: Roto) -> None:
    even = smooth(base)
    new = even.shapes[NAME].frames[1008].points + np.array([3.0, 0, 0, 0, 0, 0])
    found = changes(even, file_of(even, (1001, 1008, 1016), edits={(NAME, 1008): new}))
    assert found.frames == (1008,)
    assert found.moved_px[NAME, 1008] == pytest.approx(3.0, abs=1e-3)
    points = found.shapes[NAME][1008].points
    assert points is not None and np.allclose(points, new, atol=1e-3)
    everything = changes(
        even, file_of(even, (1001, 1008, 1016), edits={(NAME, 1008): new}), every_frame=True
    )
    assert set(everything.frames) == set(range(1002, 1016))


def test_a_key_set_without_a_change_is_no_edit(base: Roto) -> None:
    even = smooth(base)
    between = (even.shapes[NAME].frames[1001].points + even.shapes[NAME].frames[1009].points) / 2
    added = file_of(even, (1001, 1009, 1016), edits={(NAME, 1005): between})
    assert changes(even, added).count == 0


def test_a_removed_key_is_a_doubt(base: Roto) -> None:
    far = smooth(base)
    frames = dict(far.shapes[NAME].frames)
    frames[1008] = replace(frames[1008], points=frames[1008].points + [4.0, 0, 0, 0, 0, 0])
    far = replace(far, shapes={**far.shapes, NAME: replace(far.shapes[NAME], frames=frames)})
    found = changes(far, file_of(far, (1001, 1007, 1009, 1016)))
    assert found.count == 0
    assert "mouth: between its keys, on 1008" in doubts(found)[0]


def test_hiding_is_an_edit_without_points(base: Roto) -> None:
    incoming = file_of(base, sorted(base.frames))
    shape = incoming.shapes[NAME]
    hidden = replace(shape, visible={**shape.visible, 1003: False})
    found = changes(base, replace(incoming, shapes={NAME: hidden}))
    entry = found.shapes[NAME][1003]
    assert (entry.points, entry.visible) == (None, False) and found.count == 1


def test_tracking_points_are_compared(base: Roto) -> None:
    name, track = next(iter(base.tracks.items()))
    x, y = track[1004].xy
    tracks = {name: {1003: track[1003], 1004: TrackFrame(xy=(x + 2, y), visible=True)}}
    found = changes(base, replace(file_of(base, () or (1001,)), shapes={}, tracks=tracks))
    assert list(found.tracks[name]) == [1004]
    assert found.tracks[name][1004].xy == [pytest.approx(x + 2), pytest.approx(y)]


# ---- bringing a file into place -----------------------------------------------------------


def test_other_names_other_forms_and_strangers_are_told_all_at_once(base: Roto) -> None:
    incoming = file_of(base, (1001, 1016), names=("mouth", "eye_L", "brow_L"))
    shapes = {
        "face/mouth": incoming.shapes["mouth"],
        "eye_l_new": incoming.shapes["eye_L"],
        "brow_L": replace(incoming.shapes["brow_L"], closed=False),
        "note": incoming.shapes["mouth"],
    }
    with pytest.raises(CorrectionError) as error:
        fit(replace(incoming, shapes=shapes), base, Fitting())
    text = str(error.value)
    assert "--map eye_l_new=eye_L" in text and "nothing was recorded" in text
    assert "'brow_L': wanted it closed, got it open" in text and "--ignore note" in text
    told = Fitting(names={"eye_l_new": "eye_L"}, ignore=frozenset({"note"}))
    shapes["brow_L"] = incoming.shapes["brow_L"]
    found = fit(replace(incoming, shapes=shapes), base, told)
    assert set(found.shapes) == {"mouth", "eye_L", "brow_L"}
    assert any("left as they are" in note and "seam_L" in note for note in found.notes)


def test_the_characters_table_names_what_the_artist_calls_otherwise(base: Roto) -> None:
    incoming = file_of(base, (1001, 1016), names=("mouth", "eye_L", "brow_L"))
    drawn = incoming.shapes
    point = next(iter(base.tracks))
    named = replace(
        incoming,
        shapes={"head/mund": drawn["mouth"], "auge": drawn["eye_L"], "garbage": drawn["mouth"]},
        tracks={"nase": base.tracks[point]},
    )
    table = {"head/mund": "mouth", "auge": "eye_L", "garbage": None, "nase": point}
    found = fit(named, base, Fitting(table=table))
    assert set(found.shapes) == {"mouth", "eye_L"} and set(found.tracks) == {point}
    # what the call says goes before the table, and a table that is wrong is told
    other = fit(named, base, Fitting(table=table, names={"auge": "eye_R"}))
    assert set(other.shapes) == {"mouth", "eye_R"}
    with pytest.raises(CorrectionError, match="'auge' is 'eye' by 'names' of the character's file"):
        fit(named, base, Fitting(table=table | {"auge": "eye"}))
    with pytest.raises(CorrectionError, match="shape 'head/mund': 'mouth' is in the file twice|"
                       "shape 'garbage': 'mouth' is in the file twice"):  # fmt: skip
        fit(named, base, Fitting(table=table | {"garbage": "mouth"}))


def test_a_map_that_leads_nowhere_is_told(base: Roto) -> None:
    incoming = file_of(base, (1001, 1016), names=("mouth",))
    with pytest.raises(CorrectionError, match="--map lips=mouth: the file has no 'lips'; it has m"):
        fit(incoming, base, Fitting(names={"lips": "mouth"}))
    with pytest.raises(CorrectionError, match="--map mouth=lips: 'lips' is no shape of this char"):
        fit(incoming, base, Fitting(names={"mouth": "lips"}))


def test_another_size_is_refused_or_scaled_when_told(base: Roto) -> None:
    incoming = file_of(base, (1001, 1016))
    half = replace(incoming.shapes[NAME], frames={
        f: points / 2 for f, points in incoming.shapes[NAME].frames.items()
    })  # fmt: skip
    small = replace(incoming, size=(320, 180), shapes={NAME: half})
    with pytest.raises(CorrectionError, match="drawn on 320x180, the plates are 640.*--rescale"):
        fit(small, base, Fitting())
    scaled = fit(small, base, Fitting(rescale=True))
    assert np.allclose(scaled.shapes[NAME].frames[1001], incoming.shapes[NAME].frames[1001])
    with pytest.raises(CorrectionError, match="of another shape"):
        fit(replace(small, size=(320, 240)), base, Fitting(rescale=True))


def test_other_frames_are_refused_or_moved_when_told(base: Roto) -> None:
    incoming = file_of(base, (1001, 1016))
    shape = incoming.shapes[NAME]
    early = IncomingShape(
        closed=True,
        frames={f - 1000: p for f, p in shape.frames.items()},
        keys=(1, 16),
        visible={f - 1000: v for f, v in shape.visible.items()},
    )
    with pytest.raises(CorrectionError, match="is of frames 1-16, .*--frame-offset 1000"):
        fit(replace(incoming, shapes={NAME: early}), base, Fitting())
    there = fit(replace(incoming, shapes={NAME: early}), base, Fitting(offset=1000))
    assert there.shapes[NAME].keys == (1001, 1016)
    longer = replace(shape, frames={**shape.frames, 1017: shape.frames[1016]})
    found = fit(replace(incoming, shapes={NAME: longer}), base, Fitting())
    assert 1017 not in found.shapes[NAME].frames
    assert any("frames 1017 are not of this version" in note for note in found.notes)


def test_another_number_of_points_is_a_clear_fault(base: Roto) -> None:
    incoming = file_of(base, sorted(base.frames))
    shape = incoming.shapes[NAME]
    fewer = replace(shape, frames={f: p[:-1] for f, p in shape.frames.items()})
    with pytest.raises(CorrectionError, match="mouth: 11 points"):
        changes(base, replace(incoming, shapes={NAME: fewer}))
