"""Which point becomes which in a mirror, for any character."""

from __future__ import annotations

import numpy as np

from laikaroto.bundled import bundled
from laikaroto.character.chaining import polyline
from laikaroto.character.template import CharacterTemplate, ShapeTemplate, pack, template_from
from laikaroto.shapes.bezier import sample
from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation, fit_spline
from laikaroto.sidecar.schema import read_roto
from laikaroto.training.mirror import find_mirror
from tests.training.synthetic import at_rest, template


def heads(character: str = "hero") -> tuple[CharacterTemplate, list[np.ndarray]]:
    """Template of the sample's puppet, and the control points of its frames."""
    found = []
    for shot in ("tr01", "tr02", "tr03"):
        roto = read_roto(bundled("sample") / "truth" / character / f"{shot}.roto.json")
        form = template_from(roto)
        for frame in sorted(roto.frames):
            found.append(pack(roto, form, frame)[0])
    return form, found


def test_the_samples_puppet_has_a_mirror() -> None:
    form, known = heads()
    mirror, values = find_mirror(form, known), known[-1]
    assert mirror is not None and not mirror.redrawn
    names = [*form.tracks, *(s.name for s in form.shapes for _ in range(s.count))]
    for i, j in enumerate(mirror.order):
        assert names[j].translate(str.maketrans("LR", "RL")) == names[i]
    # twice mirrored is not mirrored
    np.testing.assert_array_equal(mirror.order[mirror.order], np.arange(len(names)))
    twice = mirror.values(mirror.values(values, 640), 640)
    np.testing.assert_allclose(twice, values, atol=1e-9)


def test_mirrored_curves_are_the_same_curves() -> None:
    """Order and direction of points and tangents change, the line they draw does not."""
    form, known = heads()
    mirror, values = find_mirror(form, known), known[-1]
    assert mirror is not None and not mirror.redrawn
    mirrored = mirror.values(values, 640)
    start = len(form.tracks)
    rows = {n: slice(s.start + start, s.stop + start) for n, s in form.slices().items()}
    for shape in form.shapes:
        partner = shape.name.translate(str.maketrans("LR", "RL"))
        partner = partner if partner in rows else shape.name
        true = sample(values[rows[partner]], closed=shape.closed, per_segment=40)
        true = true * [-1, 1] + [640, 0]
        drawn = sample(mirrored[rows[shape.name]], closed=shape.closed, per_segment=40)
        gaps = np.hypot(*np.moveaxis(drawn[:, None] - true[None], -1, 0))
        assert max(gaps.min(0).max(), gaps.min(1).max()) < 1e-6


def test_what_has_no_sides_or_no_symmetry_has_no_mirror() -> None:
    rest, _, _ = pack(at_rest(), template(), 1001)
    assert find_mirror(template(), [rest]) is None  # no names of sides
    assert find_mirror(template(), []) is None
    form = CharacterTemplate(
        character="odd",
        tracks=("eye_L", "eye_R"),
        shapes=(ShapeTemplate(name="scar", closed=False, count=3),),
    )
    lopsided = [(-0.3, 0.0), (0.3, 0.0), (0.2, -0.3), (0.35, 0.1), (0.4, 0.4)]
    assert find_mirror(form, [as_head(lopsided)]) is None
    even = [(-0.3, 0.0), (0.3, 0.0), (0.0, -0.3), (0.0, 0.1), (0.0, 0.4)]
    assert find_mirror(form, [as_head(even)]) is not None


def as_head(xy: list[tuple[float, float]]) -> np.ndarray:
    """Points of a head 500 px large, without tangents."""
    return np.column_stack([np.array(xy) * 500 + 300, np.zeros((len(xy), 4))])


# ---- points that an artist put elsewhere on the left than on the right ----------------------


def ring(centre: tuple[float, float], angles: list[float]) -> np.ndarray:
    """Control points (N, 6) of an egg, blunt below, at angles in degrees, clockwise on screen."""
    at = np.radians(angles)
    radius = 40 + 8 * np.sin(at)
    spiral = np.column_stack([np.cos(at), np.sin(at)]) * radius[:, None] * [1.4, 1.0]
    along = np.linspace(0, 2 * np.pi, 721)
    dense = np.column_stack([np.cos(along), np.sin(along)]) * (40 + 8 * np.sin(along))[:, None]
    contour = polyline(dense[:-1] * [1.4, 1.0] + centre, closed=True)
    starts = [float(contour.along[np.abs(along[:-1] - a % (2 * np.pi)).argmin()]) for a in at]
    assert np.allclose(spiral + centre, contour.at(np.array(starts)), atol=1.0)
    return fit_spline(contour, np.array(starts), np.zeros(len(angles), bool))


EVEN = [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
CROWDED = [25.0, 75.0, 100.0, 160.0, 200.0, 245.0, 320.0]
FACE = CharacterTemplate(
    character="face",
    tracks=(),
    shapes=(
        ShapeTemplate(name="eye_L", closed=True, count=7),
        ShapeTemplate(name="eye_R", closed=True, count=6),
    ),
)


def faces() -> list[np.ndarray]:
    """Eyes of a symmetric face at several sizes; the left one has other points."""
    both = np.concatenate([ring((420, 200), CROWDED), ring((180, 200), EVEN)])
    return [both * size for size in (0.9, 1.0, 1.1)]


def test_points_without_an_image_are_drawn_anew_where_they_belong() -> None:
    known = faces()
    mirror = find_mirror(FACE, known)
    assert mirror is not None and len(mirror.redrawn) == 2
    mirrored = mirror.values(known[1], 600.0)
    # the same curve, mirrored …
    for own, other in ((slice(0, 7), slice(7, 13)), (slice(7, 13), slice(0, 7))):
        image = known[1][other] * [-1, 1, -1, 1, -1, 1] + [600, 0, 0, 0, 0, 0]
        mean, most = deviation(Contour.of(image, closed=True), mirrored[own])
        assert mean < 0.05 and most < 0.3
    # … with every point where the face itself has it: on a symmetric face nothing moves
    apart = np.hypot(*(mirrored[:, :2] - known[1][:, :2]).T)
    assert apart.max() < 3.0, "px; points of the other eye lie up to 25 px from it"


def test_visibility_and_depth_follow_the_points_they_lie_between() -> None:
    mirror = find_mirror(FACE, faces())
    assert mirror is not None
    depth = np.concatenate([np.zeros(7), [0.0, 1.0, 2.0, 3.0, 2.0, 1.0]])
    found = mirror.carried(depth)
    np.testing.assert_allclose(found[7:], 0.0)
    # right eye: 0° and 180° have depth 0 and 3; the image of 160° on the left is 20° there
    angles = (180 - np.array(CROWDED)) % 360
    wanted = np.interp(angles, [0, 60, 120, 180, 240, 300, 360], [0, 1, 2, 3, 2, 1, 0])
    np.testing.assert_allclose(found[:7], wanted, atol=0.2)
    nearest = np.round(angles / 60).astype(int) % 6
    assert (mirror.order[:7] - 7).tolist() == nearest.tolist()


def test_a_shape_that_is_not_drawn_on_a_frame_has_no_image() -> None:
    known = faces()
    mirror = find_mirror(FACE, known)
    assert mirror is not None
    missing = known[0].copy()
    missing[7:] = 0.0
    mirrored = mirror.values(missing, 0.0)
    assert np.isfinite(mirrored).all() and not mirrored[:7].any()


def test_a_mirror_of_other_counts_is_refused_where_the_forms_differ() -> None:
    form = FACE.model_copy(
        update={"shapes": (FACE.shapes[0].model_copy(update={"closed": False}), FACE.shapes[1])}
    )
    assert find_mirror(form, faces()) is None
