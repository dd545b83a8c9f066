"""Contours with any points carried onto a template: same spot, same curve, strangers left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laikaroto.character.chaining import polyline
from laikaroto.character.following import carry_contour, fit_match, fit_nearer
from laikaroto.character.landmarks import Choices
from laikaroto.character.matching import Match
from laikaroto.character.placing import place_points
from laikaroto.character.revectorize import (
    Revectorized,
    make_template,
    marked_forms,
    revectorize,
)
from laikaroto.errors import TruthError
from laikaroto.shapes.artist import ArtistShape
from laikaroto.shapes.bezier import segments
from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation, fit_spline
from laikaroto.sidecar.formats import wacv2021
from laikaroto.sidecar.formats.registry import ReadOptions
from tests.character.puppet import (
    FORMS,
    Pose,
    artist_shots,
    drawn,
    few_poses,
    many_poses,
    spline,
)
from tests.shapes.drawn import circle, polygon
from tests.tracking.simulated import read_truth

LIONEL = Path(__file__).parents[1] / "data" / "lionel"
MARK = [{form.name: spline(form.name, Pose()) for form in FORMS}]
CLOSED = {form.name: form.closed for form in FORMS}


def slides(result: Revectorized, poses: dict[str, list[Pose]]) -> dict[str, float]:
    """Mean distance of the points from their true places, px, by shape."""
    found: dict[str, list[float]] = {}
    for shot, frames in poses.items():
        for name, splines in result.splines[shot].items():
            for frame, points in splines.items():
                true = spline(name, frames[frame - 1001])
                gap = np.linalg.norm(points[:, :2] - true[:, :2], axis=1)
                found.setdefault(name, []).append(float(gap.mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def with_frame(
    shots: dict[str, dict[str, ArtistShape]], shot: str, name: str, frame: int, points: np.ndarray
) -> dict[str, dict[str, ArtistShape]]:
    shape = shots[shot][name]
    changed = replace(shape, frames={**shape.frames, frame: points})
    return {**shots, shot: {**shots[shot], name: changed}}


def test_any_start_direction_and_number_of_points() -> None:
    poses = few_poses()
    result = revectorize(artist_shots(poses), FORMS, MARK)
    assert result.left_out == ()
    assert {r.shape for r in result.reports} == {form.name for form in FORMS}
    for report in result.reports:
        assert report.frames == tuple(range(1001, 1006))
        assert report.mean_px < 0.1, report
        assert report.max_px < 0.5, report
        assert report.slide_px is None  # ten frames do not say
    assert max(slides(result, poses).values()) < 2.0, slides(result, poses)


def test_many_shots_settle_on_the_same_spots() -> None:
    poses = many_poses()
    result = revectorize(artist_shots(poses), FORMS, MARK)
    assert result.left_out == ()
    found = slides(result, poses)
    assert np.mean(list(found.values())) < 1.0, found
    assert max(found.values()) < 2.0, found
    assert all(r.slide_px is not None and r.slide_px < 2.0 for r in result.reports)
    assert max(r.max_px for r in result.reports) < 0.5


def test_the_same_input_gives_the_same_splines() -> None:
    shots = artist_shots(few_poses())
    one, two = (revectorize(shots, FORMS, MARK) for _ in range(2))
    for shot, shapes in one.splines.items():
        for name, frames in shapes.items():
            for frame, points in frames.items():
                assert (points == two.splines[shot][name][frame]).all()


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (polygon([(300, 200), (380, 240), (380, 200), (300, 240)]), "crosses itself"),
        (np.full((5, 6), np.nan), "not finite"),
        (polygon([(300, 200)]), "has 1 points"),
        (polygon([(300, 200), (300.1, 200)]), "px long"),
        (circle(20.0, count=6, centre=(60.0, 420.0)), "px from where"),
        (circle(120.0, count=6, centre=(365.0, 220.0)), "px long, "),
    ],
    ids=["tangled", "nan", "one point", "a dot", "elsewhere", "far too large"],
)
def test_a_stranger_is_named_and_left_out(points: np.ndarray, reason: str) -> None:
    poses = few_poses()
    clean = revectorize(artist_shots(poses), FORMS, MARK)
    shots = with_frame(artist_shots(poses), "aa020", "eye_L", 1003, points)
    result = revectorize(shots, FORMS, MARK)
    # with ten frames its neighbours of that frame may be doubted too, never other frames
    assert {(o.shot, o.frame) for o in result.left_out} == {("aa020", 1003)}
    out = next(o for o in result.left_out if o.shape == "eye_L")
    assert reason in out.reason
    assert 1003 not in result.splines["aa020"]["eye_L"]
    report = next(r for r in result.reports if (r.shot, r.shape) == ("aa020", "eye_L"))
    assert report.left_out == (1003,)
    # and it did not pull at the others
    for name in ("eye_R", "mouth"):
        other = result.splines["aa020"][name][1004][:, :2]
        assert other == pytest.approx(clean.splines["aa020"][name][1004][:, :2], abs=1.5)


def test_an_open_eye_where_a_closed_one_is_wanted_is_left_out() -> None:
    shots = artist_shots(few_poses())
    opened = replace(shots["aa010"]["eye_L"], closed=False)
    shots["aa010"] = {**shots["aa010"], "eye_L": opened}
    result = revectorize(shots, FORMS, MARK)
    assert {(o.shot, o.shape) for o in result.left_out} == {("aa010", "eye_L")}
    assert len(result.left_out) == 5
    assert "is open, wanted it closed" in result.left_out[0].reason


def test_left_and_right_exchanged_is_left_out_not_crossed_over() -> None:
    shots = artist_shots(few_poses())
    left, right = shots["aa020"]["eye_L"], shots["aa020"]["eye_R"]
    frames = {**left.frames, 1002: right.frames[1002]}
    shots["aa020"] = {**shots["aa020"], "eye_L": replace(left, frames=frames)}
    result = revectorize(shots, FORMS, MARK)
    assert ("eye_L", 1002) in {(o.shape, o.frame) for o in result.left_out}
    assert {(o.shot, o.frame) for o in result.left_out} == {("aa020", 1002)}


def test_a_shape_that_is_not_there_on_some_frames() -> None:
    shots = artist_shots(few_poses())
    seam = shots["aa010"]["seam"]
    kept = {f: p for f, p in seam.frames.items() if f != 1004}
    shots["aa010"] = {**shots["aa010"], "seam": replace(seam, frames=kept)}
    result = revectorize(shots, FORMS, MARK)
    assert sorted(result.splines["aa010"]["seam"]) == [1001, 1002, 1003, 1005]
    assert result.left_out == ()


def test_marks_that_do_not_fit_are_refused_all_at_once() -> None:
    points = {**MARK[0], "mouth": MARK[0]["mouth"][:5]}
    del points["eye_R"]
    with pytest.raises(TruthError) as caught:
        revectorize(artist_shots(few_poses()), FORMS, [points])
    assert "'mouth': wanted 6 points on the marked frames, got 5" in str(caught.value)
    assert "'eye_R': is on no marked frame" in str(caught.value)


def test_forms_of_a_marked_frame() -> None:
    assert tuple(marked_forms(MARK[0], CLOSED)) == tuple(
        form if form.name != "seam" else form for form in FORMS
    )


def test_a_template_made_from_contours_holds_them_with_few_points() -> None:
    poses = few_poses()
    result = make_template(artist_shots(poses), counts={}, tolerance_px=0.5)
    assert [form.name for form in result.shapes] == [form.name for form in FORMS]
    forms = {form.name: form for form in result.shapes}
    for true in FORMS:
        made = forms[true.name]
        assert made.closed == true.closed
        assert made.count <= true.count + 2, made
        assert len(made.corners) == (0 if true.name == "seam" else len(true.corners))
    assert max(report.max_px for report in result.reports) <= 0.5
    assert result.enough_points == {}
    # corners are the true corners
    for shot, frames in poses.items():
        for i, pose in enumerate(frames):
            points = result.splines[shot]["eye_L"][1001 + i][list(forms["eye_L"].corners), :2]
            true_corners = spline("eye_L", pose)[[0, 2], :2]
            gaps = np.linalg.norm(points[:, None] - true_corners, axis=-1)
            assert gaps.min(axis=0).max() < 0.1


def test_given_numbers_of_points_are_kept_and_what_would_do_is_said() -> None:
    # two corners hold this mouth within 0.5 px, but not within 0.1 px
    result = make_template(
        artist_shots(few_poses()), counts={"mouth": 2, "eye_L": 7}, tolerance_px=0.1
    )
    counts = {form.name: form.count for form in result.shapes}
    assert counts["mouth"] == 2 and counts["eye_L"] == 7
    assert list(result.enough_points) == ["mouth"]
    enough = result.enough_points["mouth"]
    assert enough is not None and 2 < enough <= 8


def test_a_shape_open_here_and_closed_there_makes_no_template() -> None:
    shots = artist_shots(few_poses())
    shots["aa020"] = {**shots["aa020"], "seam": replace(shots["aa020"]["seam"], closed=True)}
    with pytest.raises(TruthError, match="'seam': is closed in aa020 and open in aa010"):
        make_template(shots, counts={})


def test_one_frame_alone_is_enough_for_a_template() -> None:
    shots = artist_shots({"aa010": [Pose()]})
    result = make_template(shots, counts={})
    assert all(report.max_px <= 0.5 for report in result.reports)


def test_shut_lids_keep_upper_and_lower_apart() -> None:
    poses = {"aa010": [Pose(lids=lids) for lids in (1.0, 0.5, 0.05, -0.55, 0.3)]}
    result = revectorize(artist_shots(poses), FORMS, MARK)
    for i, pose in enumerate(poses["aa010"]):
        points = result.splines["aa010"]["eye_R"][1001 + i]
        true = spline("eye_R", pose)
        assert np.linalg.norm(points[[0, 2], :2] - true[[0, 2], :2], axis=1).max() < 0.5
        assert Contour.of(points, closed=True).area == pytest.approx(
            Contour.of(true, closed=True).area, abs=12.0
        )


def test_styles_are_the_same_curve() -> None:
    for form in FORMS:
        for style in range(4):
            true = spline(form.name, Pose())
            other = drawn(true, closed=form.closed, style=style)
            a, b = (Contour.of(p, closed=form.closed) for p in (true, other))
            assert a.length == pytest.approx(b.length, rel=1e-3)


def test_smooth_points_are_broken_where_the_artist_drew_a_sharp_turn() -> None:
    """The template calls this kite's points smooth, and smooth ones are far off its corners."""
    kite = polygon([(100, 100), (300, 120), (320, 300), (90, 280)])
    frames = {1001 + f: kite + [4.0 * f, 0, 0, 0, 0, 0] for f in range(3)}
    shape = ArtistShape(name="kite", closed=True, keys=tuple(frames), frames=frames)
    form = FORMS[0].model_copy(update={"name": "kite", "count": 4, "corners": ()})
    result = revectorize({"aa010": {"kite": shape}}, [form], [{"kite": kite}])
    assert result.left_out == ()
    (report,) = result.reports
    assert report.frames == (1001, 1002, 1003) and report.max_px < 0.1
    for frame, points in result.splines["aa010"]["kite"].items():
        assert points[:, :2] == pytest.approx(frames[frame][:, :2], abs=0.5)


def test_a_corner_that_is_flat_on_the_marked_frame_is_found_on_the_others() -> None:
    mark = {name: points.copy() for name, points in MARK[0].items()}
    eye = mark["eye_L"]
    along = eye[2, 4:6] - eye[2, 2:4]
    along /= np.linalg.norm(along)
    eye[2, 2:4], eye[2, 4:6] = -8 * along, 8 * along  # drawn round here
    forms = marked_forms(mark, CLOSED)
    assert {form.name: form.corners for form in forms}["eye_L"] == (0,)
    result = revectorize(artist_shots(few_poses()), forms, [mark], more_corners=True)
    found = {form.name: form.corners for form in result.shapes}
    assert found == {form.name: form.corners for form in FORMS}


def test_corners_that_went_to_the_wrong_turns_of_one_frame_are_put_right() -> None:
    """A spike beside a corner: both points lay one turn too far; each alone would be no better."""
    outline = polygon([(100, 300), (300, 300), (300, 130), (290, 100), (283, 125), (100, 100)])
    contour = Contour.of(outline, closed=True)
    right = contour.knots.copy()
    wrong = right.copy()
    wrong[3], wrong[4] = right[4], right[4] + 2.0  # the spike's tip is nobody's
    corners = np.ones(6, dtype=bool)
    match = Match(contour=contour, along=wrong, cost=0.0)
    fitted = fit_spline(contour, wrong, corners), (1.0, 5.0)
    points, (_, most) = fit_nearer(match, np.arange(6), corners, fitted)
    assert most < 0.1
    assert points[:, :2] == pytest.approx(outline[:, :2], abs=0.1)


def test_a_frame_that_stays_off_is_mended_by_small_slides_only() -> None:
    contour = Contour.of(circle(100.0, count=8, centre=(200.0, 200.0)), closed=True)
    along = contour.length * np.array([0.0, 0.3, 0.5, 0.75])
    match = Match(contour=contour, along=along, cost=0.0)
    corners = np.zeros(4, dtype=bool)
    before = fit_match(match, np.arange(4), corners)
    worse = before[0], (before[1][0], 9.0)  # as if it had stayed off
    points, (_, most) = fit_nearer(match, np.arange(4), corners, worse)
    assert most < 9.0
    slid = np.linalg.norm(points[:, :2] - contour.at(along), axis=1)
    assert slid.max() < 0.02 * contour.length


def test_points_that_a_shape_has_too_few_of_are_placed_where_they_reach_furthest() -> None:
    """Six points hold this outline, in some places; those that single stretches propose do not."""
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    frames = []
    for bulge in (0.0, 10.0, 20.0):
        radius = 100 + 24 * np.cos(2 * angles + 0.3) + bulge * np.cos(3 * angles)
        xy = np.stack([np.cos(angles) * 1.5, np.sin(angles)], axis=1) * radius[:, None]
        frames.append(polyline(xy + 300, closed=True))
    along = [contour.along[:-1:4] for contour in frames]
    matches = [Match(contour=c, along=a, cost=0.0) for c, a in zip(frames, along, strict=True)]
    smooth = np.zeros((3, 60), dtype=bool)

    def reach(stations: np.ndarray) -> float:
        return max(fit_match(m, stations, smooth[0, stations])[1][1] for m in matches)

    few = place_points(matches, smooth, count=None, tolerance_px=0.5, corner_share=0.6)
    assert few.enough is None and reach(few.stations) <= 0.5
    number = len(few.stations)
    asked = place_points(matches, smooth, count=number, tolerance_px=0.5, corner_share=0.6)
    assert len(asked.stations) == number and reach(asked.stations) <= 0.5
    less = place_points(matches, smooth, count=number - 2, tolerance_px=0.5, corner_share=0.6)
    assert len(less.stations) == number - 2
    assert less.enough is not None and less.enough[0] is not None
    assert number - 2 < less.enough[0] <= number + 2  # told without trying as hard
    proposed = Choices.of(frames, np.stack(along), smooth[0]).best(number - 2)
    assert proposed is not None and reach(less.stations) <= reach(proposed[0])


def test_real_roto_of_a_film_is_held_by_the_films_own_numbers_of_points() -> None:
    """The film's own re-vectorised sideburns are up to 5.3 px off with six points."""
    paths = sorted(LIONEL.glob("raw_shapes-*.json"))
    shots = {path.stem: wacv2021.read(path, ReadOptions()).shapes for path in paths}
    assert len(shots) == 4
    counts = {f"{side}_{part}": n for part, n in (("eye", 6), ("eyebrow", 8), ("sideburn", 6))
              for side in ("left", "right")}  # fmt: skip
    result = make_template(shots, counts=counts)
    assert result.left_out == () and result.enough_points == {}
    assert {f.name: f.count for f in result.shapes if f.name in counts} == counts
    assert max(report.max_px for report in result.reports) <= 0.5


def test_a_redrawn_contour_is_carried_onto_the_points_of_a_drawing() -> None:

    truth, _ = read_truth()
    for name, turn in (("mouth", 3), ("seam_L", 0)):
        shape = truth.shapes[name]
        points = shape.frames[1004].points
        halves = _halved(points, closed=shape.closed)
        redrawn = np.roll(halves, turn, axis=0)
        carried = carry_contour(redrawn, points, closed=shape.closed)
        assert carried.shape == points.shape
        np.testing.assert_allclose(carried[:, :2], points[:, :2], atol=1.5)
        assert deviation(Contour.of(points, closed=shape.closed), carried)[1] < 0.3


def _halved(points: np.ndarray, *, closed: bool) -> np.ndarray:
    """The same curve with a point in the middle of every segment (de Casteljau)."""
    made = []
    polygons = segments(points, closed=closed)
    for a, b, c, d in polygons:
        ab, bc, cd = (a + b) / 2, (b + c) / 2, (c + d) / 2
        abc, bcd = (ab + bc) / 2, (bc + cd) / 2
        middle = (abc + bcd) / 2
        made.append((a, ab, abc, middle, bcd, cd, d))
    rows = []
    for i, (a, ab, abc, middle, bcd, _, _) in enumerate(made):
        before = made[i - 1][5] if closed or i else a
        rows.append(np.concatenate([a, before - a, ab - a]))
        rows.append(np.concatenate([middle, abc - middle, bcd - middle]))
    if not closed:
        last, cd = made[-1][6], made[-1][5]
        rows.append(np.concatenate([last, cd - last, np.zeros(2)]))
    return np.stack(rows)
