"""Nuke scripts: real files, our own back again, and files that are wrong."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest

from laikaroto.bundled import bundled
from laikaroto.errors import SidecarError, UsageError
from laikaroto.shapes.artist import ArtistFile
from laikaroto.shapes.bezier import distance_to_polyline, sample
from laikaroto.shapes.records import PlateInfo, TrackFrame
from laikaroto.sidecar.formats.nuke import read, write
from laikaroto.sidecar.formats.nuke import script as script_module
from laikaroto.sidecar.formats.registry import ReadOptions, WriteOptions
from laikaroto.sidecar.schema import read_roto
from tests.sidecar.formats.rotos import PLATE, every_frame, farthest, roto, shape, wobble

DATA = Path(__file__).parents[2] / "data" / "nuke"
SHARED = Path(__file__).parents[3].parent / "shared" / "data"
ANY = ReadOptions()


def text_of(
    points: str, *, transform: str = "{t 0}", attributes: str = "{a}", flags: str = "8192",
    layers: tuple[str, ...] = (), kind: str = "bezier", format_: str = '"100 50 0 0 100 50 1 x"',
) -> str:  # fmt: skip
    shape_text = (
        f"{{curvegroup S 512 {kind} {{{{cc {{f {flags}}} {points}}} idem}} "
        f"{transform} {attributes}}}"
    )
    for index, layer in enumerate(reversed(layers)):
        shape_text = f"{{layer L{len(layers) - index} {{f 0}} {layer} {{a}} {shape_text}}}"
    return (
        f"Roto {{\n inputs 0\n format {format_}\n curves {{{{{{v x3f99999a}} {{f 0}} {{n "
        f"{{layer Root {{f 0}} {{t x42480000 x41c80000}} {{a}} {shape_text}}}}}}}}}\n name R1\n}}\n"
    )


def read_text(tmp_path: Path, text: str, options: ReadOptions = ANY) -> ArtistFile:
    path = tmp_path / "a.nk"
    path.write_text(text)
    return read(path, options)


def only(artist: ArtistFile) -> dict[int, np.ndarray]:
    (one,) = artist.shapes.values()
    return dict(one.frames)


def fault(tmp_path: Path, text: str, options: ReadOptions = ANY) -> str:
    with pytest.raises(SidecarError) as caught:
        read_text(tmp_path, text, options)
    assert str(tmp_path / "a.nk") in str(caught.value)
    return str(caught.value)


def hex32(value: float) -> str:
    return "x" + struct.pack(">f", value).hex()


# -- real files -----------------------------------------------------------------------------


def test_an_ellipse_with_a_shared_key() -> None:
    artist = read(DATA / "NST_waterSchmutz.gizmo", ANY)
    assert artist.size == (2048, 1152)
    ellipse = artist.shapes["Ellipse1"]
    assert (ellipse.closed, ellipse.keys, ellipse.feathered) == (True, (1055,), False)
    points = ellipse.frames[1055]
    assert points[0] == pytest.approx(
        [65.6, 1152 - 15.6, -27.393322, 0, 27.393322, 0], abs=1e-4
    )  # in Nuke: from the left, the lowest point of the ellipse
    assert np.allclose(points[:, 2:4], -points[:, 4:6], atol=1e-5)


def test_a_soft_shape_that_is_not_keyed_holds_for_the_shot() -> None:
    plate = PlateInfo(width=1280, height=720, first=1001, last=1003)
    artist = read(DATA / "SSMesh_Roto1.nk", ReadOptions(plate=plate))
    bezier = artist.shapes["Bezier1"]
    assert bezier.feathered
    assert sorted(bezier.frames) == [1001, 1002, 1003]
    assert np.array_equal(bezier.frames[1001], bezier.frames[1003])
    assert bezier.frames[1001][0] == pytest.approx([469, 720 - 390, 14.5, -1.5, -14.5, 1.5])
    assert any("soft edges are not kept: Bezier1" in note for note in artist.notes)
    assert any("is not keyed" in note for note in artist.notes)


def test_an_open_spline_with_width_and_softness_at_each_point() -> None:
    artist = read(DATA / "WaterLens_RotoPaint2.nk", ANY)
    line = artist.shapes["OpenSpline1"]
    assert (line.closed, line.feathered) == (False, True)
    (points,) = line.frames.values()
    assert points[0] == pytest.approx([522, 1556 - 648, 0, 0, 12, 38])


@pytest.mark.parametrize(
    ("name", "shapes"), [("NST_SSMesh_demo.nk", 1), ("NST_WaterLens_sampleScript.nk", 4)]
)
def test_whole_composites(name: str, shapes: int) -> None:
    path = SHARED / "nuke" / name
    if not path.exists():
        pytest.skip("the composites are not here")
    artist = read(path, ANY)
    assert len(artist.shapes) == shapes
    strokes = [note for note in artist.notes if "paint strokes" in note]
    assert len(strokes) == (13 if shapes == 4 else 0)


def artists() -> list[Path]:
    sample_files = sorted((bundled("sample") / "artist" / "hero").glob("*.nk"))
    return sample_files + sorted((SHARED / "dev" / "artist" / "hero").glob("*.nk"))


@pytest.mark.parametrize("path", artists(), ids=lambda path: path.stem)
def test_an_artists_shots_lie_on_the_truth(path: Path) -> None:
    """The artist redrew some pieces loosely; points, and most of each curve, are the truth's."""
    truth = read_roto(path.parents[2] / "truth" / "hero" / f"{path.stem}.roto.json")
    artist = read(path, ReadOptions(plate=truth.plate))
    assert artist.size == (truth.plate.width, truth.plate.height)
    assert artist.notes == ()
    assert set(artist.shapes) == set(truth.shapes)
    for name, drawn in artist.shapes.items():
        assert drawn.closed == truth.shapes[name].closed
        assert set(drawn.frames) <= set(truth.shapes[name].frames)
        for frame, points in drawn.frames.items():
            line = sample(truth.shapes[name].frames[frame].points, closed=drawn.closed,
                          per_segment=64)  # fmt: skip
            line = np.concatenate([line, line[:1]]) if drawn.closed else line
            assert distance_to_polyline(points[:, :2], line).max() < 0.05
            curve = sample(points, closed=drawn.closed, per_segment=8)
            assert np.median(distance_to_polyline(curve, line)) < 0.1


# -- our own back again ----------------------------------------------------------------------


def written(tmp_path: Path, keys: dict[str, tuple[int, ...]]) -> ArtistFile:
    (data,) = write(roto(), WriteOptions(keys=keys, name="ev010_hero")).values()
    path = tmp_path / "ev010_hero.nk"
    path.write_bytes(data)
    return read(path, ReadOptions(plate=PLATE))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    artist = written(tmp_path, every_frame(roto()))
    assert farthest(roto(), artist) < 1e-4
    assert artist.notes == ()
    for name, original in roto().shapes.items():
        back = artist.shapes[name]
        assert (back.closed, back.keys) == (original.closed, tuple(sorted(original.frames)))
        hidden = {frame for frame, at in original.frames.items() if not at.visible}
        assert back.hidden == hidden


def test_between_keys_it_runs_straight(tmp_path: Path) -> None:
    source = roto()
    bent = wobble(5, seed=9, frames=range(1001, 1013))
    bent[1006] = bent[1006] + 17.0
    source = dataclasses.replace(source, shapes={"mouth": shape(bent, closed=True)})
    keys = (1001, 1006, 1012)
    data = write(source, WriteOptions(keys={"mouth": keys}, name="x"))["x.nk"]
    path = tmp_path / "x.nk"
    path.write_bytes(data)
    back = read(path, ANY).shapes["mouth"]
    assert back.keys == keys
    for frame, points in back.frames.items():
        wanted = [np.interp(frame, keys, [bent[key].ravel()[i] for key in keys]) for i in range(30)]
        assert points.ravel() == pytest.approx(wanted, abs=2e-4)


def test_outside_its_frames_a_shape_is_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.nk"
    path.write_bytes(write(roto(), WriteOptions(keys=every_frame(roto()), name="a"))["a.nk"])
    text = path.read_text()
    shape_text = text[text.index("{curvegroup brow.L-2") :]
    opacity = shape_text[shape_text.index("{a opc") :].splitlines()[1]
    assert [hex32(frame) in opacity for frame in (1002, 1003, 1009, 1010)] == [True] * 4


def test_tracking_points_come_back(tmp_path: Path) -> None:
    artist = written(tmp_path, every_frame(roto()))
    nose = roto().tracks["nose_tip"]
    assert set(artist.tracks) == {"nose_tip", "chin"}
    for frame, point in nose.items():
        back = artist.tracks["nose_tip"][frame]
        assert back.xy == pytest.approx(point.xy, abs=1e-4)
        assert back.visible == point.visible
    assert [artist.tracks["nose_tip"][frame].visible for frame in (1007, 1008)] == [False] * 2
    assert artist.tracks["chin"] == {1003: TrackFrame(xy=(1.0, 719.5))}


def test_the_script_says_what_shot_it_is_for() -> None:
    text = write(roto(), WriteOptions(keys=every_frame(roto()), name="s"))["s.nk"].decode()
    for line in ("first_frame 1001", "last_frame 1012", "fps 24"):
        assert f"\n {line}\n" in text
    assert text.count('format "1280 720 0 0 1280 720 1 plate_1280x720"') == 2


def test_keys_have_to_be_frames_of_the_shape() -> None:
    keys = every_frame(roto())
    with pytest.raises(UsageError, match=r"'mouth': keys on frames it does not have: \[2000\]"):
        write(roto(), WriteOptions(keys={**keys, "mouth": (1001, 2000)}, name="x"))
    with pytest.raises(UsageError, match="'mouth': no keys were chosen"):
        write(roto(), WriteOptions(keys={**keys, "mouth": ()}, name="x"))


def test_points_have_to_keep_their_number() -> None:
    frames = wobble(5, seed=1, frames=range(1001, 1003))
    frames[1002] = frames[1002][:4]
    odd = dataclasses.replace(roto(), shapes={"mouth": shape(frames, closed=True)})
    with pytest.raises(SidecarError, match="5 points on frame 1001, 4 on frame 1002"):
        write(odd, WriteOptions(keys={"mouth": (1001, 1002)}, name="x"))


# -- keys, layers, views -----------------------------------------------------------------------

SQUARE = "{p {} {x41200000 x41200000} {} {} {x42200000 x41200000} {} {} {x42200000 x41f00000} {}}"


def moved(tmp_path: Path, **arguments: object) -> np.ndarray:
    points = only(read_text(tmp_path, text_of(SQUARE, **arguments)))  # type: ignore[arg-type]
    (first,) = [points[frame] for frame in sorted(points)][:1]
    return first[:, :2]


def test_points_between_keys_follow_the_slopes(tmp_path: Path) -> None:
    """Left and right slopes of two keys with reach 1 are a cubic Hermite curve."""
    x = f"{{{{1 0 0 1 {hex32(5)} 1}} {{{hex32(5)} {hex32(8)} -1 1 0 1}}}}"
    frames = only(read_text(tmp_path, text_of(f"{{p {{}} {{{x} 0}} {{}}}}")))
    t = np.arange(5) / 4
    wanted = 4 * 5 * (t**3 - 2 * t**2 + t) + 8 * (3 * t**2 - 2 * t**3) - 4 * (t**3 - t**2)
    assert [frames[1 + i][0, 0] for i in range(5)] == pytest.approx(wanted)


def test_layers_move_what_is_in_them(tmp_path: Path) -> None:
    """Numbers of a transform: pivot x y z, translate x y z, rotate x y z, scale x y z, skew."""
    turned = f"{{t 0 0 0 0 0 0 0 0 {hex32(90)} 1 1 1}}"
    shifted = f"{{t 0 0 0 {hex32(3)} {hex32(4)} 0 0 0 0 1 1 1 0}}"
    doubled = f"{{t {hex32(10)} {hex32(10)} 0 0 0 0 0 0 0 {hex32(2)} 1 1}}"
    skewed = f"{{t 0 0 0 0 0 0 0 0 0 1 1 1 {hex32(0.5)}}}"
    height = 50
    plain = moved(tmp_path)
    assert plain[1] == pytest.approx([40, height - 10])
    assert moved(tmp_path, transform=turned)[1] == pytest.approx([-10, height - 40], abs=1e-5)
    assert moved(tmp_path, transform=shifted)[1] == pytest.approx([43, height - 14])
    assert moved(tmp_path, transform=doubled)[1] == pytest.approx([70, height - 10])
    assert moved(tmp_path, transform=skewed)[1] == pytest.approx([45, height - 10])
    # the shape's own first, then the inner layer's, then the outer's
    nested = moved(tmp_path, transform=shifted, layers=(doubled, turned))
    assert nested[1] == pytest.approx([2 * (-14 - 10) + 10, height - 43], abs=1e-4)


def test_tangents_turn_but_do_not_move(tmp_path: Path) -> None:
    turned = f"{{t 0 0 0 {hex32(7)} 0 0 0 0 {hex32(90)} 1 1 1}}"
    points = "{p {1 0} {0 0} {0 1}}"
    (drawn,) = only(read_text(tmp_path, text_of(points, transform=turned))).values()
    assert drawn[0] == pytest.approx([7, 50, 0, -1, -1, 0], abs=1e-6)


def test_a_moving_layer_keys_the_shape(tmp_path: Path) -> None:
    moving = f"{{t 0 0 0 {{{{1 0}} {{{hex32(5)} {hex32(8)}}}}} 0}}"
    artist = read_text(tmp_path, text_of(SQUARE, layers=(moving, "{t 0}")))
    assert list(artist.shapes) == ["L1/L2/S"]
    assert artist.shapes["L1/L2/S"].keys == (1, 5)
    frames = only(artist)
    assert [frames[f][0, 0] for f in (1, 3, 5)] == pytest.approx([10, 14, 18])


def test_opacity_visibility_and_lifetime_hide(tmp_path: Path) -> None:
    moving = f"{{t 0 0 0 {{{{1 0}} {{{hex32(6)} 1}}}} 0}}"

    def hidden(attributes: str) -> set[int]:
        artist = read_text(tmp_path, text_of(SQUARE, transform=moving, attributes=attributes))
        return set(artist.shapes["S"].hidden)

    fades = f"{{1 1 257}} {{{hex32(3)} 0 257}} {{{hex32(5)} 1 257}}"
    assert hidden("{a}") == set()
    assert hidden(f"{{a opc {{{fades}}} osw 1}}") == {3, 4}
    assert hidden("{a vis 0}") == {1, 2, 3, 4, 5, 6}
    life = {  # from Nuke's own files: ltn is the first field of the panel, ltm the second
        0: set(), 1: {5, 6}, 2: {1, 3, 4, 5, 6}, 3: {1}, 4: {1, 5, 6},
    }  # fmt: skip
    for kind, out in life.items():
        attributes = f"{{a ltt {hex32(kind)} ltn {hex32(2)} ltm {hex32(4)}}}"
        assert hidden(attributes) == out, kind


def test_keys_of_one_eye_are_told_not_read(tmp_path: Path) -> None:
    x = f"{{{{1 0}} {{{hex32(3)} {hex32(8)}}} {{1 {hex32(99)} right}}}}"
    artist = read_text(tmp_path, text_of(f"{{p {{}} {{{x} 0}} {{}}}}"))
    assert only(artist)[1][0, 0] == 0
    assert any("single views (right)" in note for note in artist.notes)


def test_several_nodes(tmp_path: Path) -> None:
    two = text_of(SQUARE) + text_of(SQUARE, transform="{t 0 0 0 1 0}").replace("R1", "R2")
    artist = read_text(tmp_path, two)
    assert sorted(artist.shapes) == ["R1/S", "R2/S"]
    assert list(read_text(tmp_path, two, ReadOptions(node="R2")).shapes) == ["S"]
    with pytest.raises(UsageError, match="no node 'R3'; there are R1, R2"):
        read_text(tmp_path, two, ReadOptions(node="R3"))


def test_inside_a_group_and_beside_other_nodes(tmp_path: Path) -> None:
    text = (
        "#! Nuke -nx {\nversion 13.2 v8\nBlur {\n size {{curve i x1 2 x5 {}}}\n"
        ' label "Roto \\{ curves"\n}\nGroup {\n name G\n}\n' + text_of(SQUARE) + "end_group\n"
    )
    assert list(read_text(tmp_path, text).shapes) == ["S"]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"kind": "bspline"}, "is a bspline curve"),
        ({"flags": "0"}, "tangents are not relative"),
        ({"attributes": "{a inv 1}"}, "is inverted"),
        ({"attributes": "{a bm x41400000}"}, "combined by a mode"),
        ({"transform": "{t " + "0 " * 9 + "1 1 1 0 " + "x40000000 " * 16 + "}"}, "matrix of its"),
    ],
)
def test_what_is_not_kept_is_told(tmp_path: Path, change: dict[str, str], note: str) -> None:
    artist = read_text(tmp_path, text_of(SQUARE, **change))  # type: ignore[arg-type]
    assert any(note in line and "S" in line for line in artist.notes)


def test_a_tracker_written_by_nuke(tmp_path: Path) -> None:
    columns = "{ 5 1 20 enable e 1 } { 3 1 75 name name 1 } { 2 1 58 track_x x 1 } " + (
        "{ 2 1 58 track_y y 1 } { 2 1 63 offset_x o 1 } { 2 1 63 offset_y o 1 }"
    )
    row = (
        '{ {curve K x1001 1 x1003 0} "track 1" {curve x1001 10 11 12 x1006 20} '
        "{curve x1001 5} {curve K x1001 0} 0 }"
    )
    text = f'Root {{\n format "640 360 0 0 640 360 1 f"\n}}\nTracker4 {{\n inputs 0\n tracks {{ {{ 1 31 1 }} {{ {columns} }} {{ {row} }} }}\n name T1\n}}\n'  # noqa: E501
    track = read_text(tmp_path, text).tracks["track 1"]
    assert sorted(track) == list(range(1001, 1007))
    assert [track[f].xy for f in (1001, 1002, 1003, 1006)] == [
        (10, 355), (11, 355), (12, 355), (20, 355)
    ]  # fmt: skip
    assert [f for f in track if track[f].visible] == [1001, 1002]


# -- files that are wrong ------------------------------------------------------------------------


def test_another_resolution_than_the_plates(tmp_path: Path) -> None:
    said = fault(tmp_path, text_of(SQUARE), ReadOptions(plate=PLATE))
    assert "R1: format is 100x50, the plate is 1280x720" in said


def test_a_project_format_is_only_a_hint_below_a_plate(tmp_path: Path) -> None:
    text = 'Root {\n format "10 20 0 0 10 20 1 f"\n}\n' + text_of(SQUARE).replace(
        ' inputs 0\n format "100 50 0 0 100 50 1 x"\n', ""
    )
    artist = read_text(tmp_path, text, ReadOptions(plate=PLATE))
    assert artist.size == (1280, 720)
    assert any("10x20; read as drawn on the plate" in note for note in artist.notes)
    assert read_text(tmp_path, text).size == (10, 20)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Roto {\n curves {{{", "line 1: this '{' is never closed"),
        (text_of(SQUARE) + "}\n", "line 7: a '}' without its '{'"),
        ("Blur {\n size 3\n}\n", "no Roto, RotoPaint or Tracker4 node"),
        ("", "no Roto, RotoPaint or Tracker4 node"),
        ("Roto {\n curves " + "{" * 5000 + "}" * 5000 + "\n}\n", "nested deeper than 64"),
        ("{" * 1000, "nested deeper than 64"),
        ("Roto {\n curves {AnimTree: \"\" {\n Version: 1.2\n}}\n}\n", "saved by Nuke 6"),
        ("Roto {\n curves {{{v 1}}}\n}\n", "no root layer"),
        (
            text_of("{p {} {{=frame*2 x41200000} 0} {}}"),
            "R1: S: point 1: wanted a number, got the expression '=frame*2'; bake",
        ),
        (text_of("{p {} {x7fc00000 0} {}}"), "point 1: wanted a number, got nan"),
        (text_of("{p {} {x7f800000 0} {}}"), "point 1: wanted a number, got inf"),
        (text_of("{p {} {nan 0} {}}"), "point 1: wanted a number, got 'nan'"),
        (text_of("{p {} {1 0}}"), "2 pairs of numbers; wanted three"),
        (text_of("{p {} {{{1}} 0} {}}"), "wanted a key {time value"),
        (text_of("{p {} {{{1 2 3 4 5 6 7 8}} 0} {}}"), "key of 2 to 7 numbers, got 8"),
        (text_of(SQUARE, attributes="{a opc {=x 1}}"), "S: opc: wanted a number, got the expr"),
        (text_of(SQUARE, transform="{t 0 0 0 0 0 0 x42340000}"), "leaves the picture plane (rx)"),
        (text_of("{px {} {1 0} {}}"), "key: wanted a number, got a list"),
        (text_of(f"{{p {{}} {{{{{{0 0}} {{{hex32(3e8)} 1}}}} 0}} {{}}}}"), "at most 100000"),
        ("Tracker4 {\n tracks {1 2}\n}\n", "no format is given"),
    ],
)  # fmt: skip
def test_wrong_files_say_where_and_why(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in fault(tmp_path, text)


def test_binary_and_encrypted_files(tmp_path: Path) -> None:
    path = tmp_path / "a.nk"
    path.write_bytes(b"Roto {\0\x01\x02")
    with pytest.raises(SidecarError, match="not text"):
        read(path, ANY)
    path.write_text("Nuke NC mode encrypted text (commercial mode uses plain text)")
    with pytest.raises(SidecarError, match="non-commercial Nuke"):
        read(path, ANY)
    with pytest.raises(SidecarError, match="not a file"):
        read(tmp_path, ANY)
    with pytest.raises(SidecarError, match="cannot be read"):
        read(tmp_path / "none.nk", ANY)


def test_a_hundred_megabytes_of_junk_are_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "a.nk"
    with path.open("wb") as stream:
        stream.truncate(100 * 2**20)
    with pytest.raises(SidecarError, match="100 MB; wanted a Nuke script of at most 64 MB"):
        read(path, ANY)


@pytest.mark.parametrize("limit", ["MAX_WORDS", "MAX_MARKS", "MAX_NODES"])
def test_words_and_braces_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(script_module, limit, 20)
    assert "more than 20" in fault(tmp_path, text_of(SQUARE) * 21)
