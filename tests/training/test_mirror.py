"""Which point becomes which in a mirror, for any character."""

from __future__ import annotations

import numpy as np

from laikaroto.bundled import bundled
from laikaroto.character.template import CharacterTemplate, ShapeTemplate, pack, template_from
from laikaroto.model.crop import box_around
from laikaroto.shapes.bezier import sample
from laikaroto.sidecar.schema import read_roto
from laikaroto.training.mirror import find_mirror
from tests.training.synthetic import at_rest, template


def poses(character: str = "hero") -> tuple[CharacterTemplate, list[np.ndarray], np.ndarray]:
    """Template and poses of the sample's puppet, and the values of one frame."""
    found, last = [], np.zeros(0)
    for shot in ("tr01", "tr02", "tr03"):
        roto = read_roto(bundled("sample") / "truth" / character / f"{shot}.roto.json")
        form = template_from(roto)
        for frame in sorted(roto.frames):
            last, _, _ = pack(roto, form, frame)
            box = box_around(last[:, :2])
            found.append((last[:, :2] - [box.x, box.y]) / box.side)
    return form, found, last


def test_the_samples_puppet_has_a_mirror() -> None:
    form, known, values = poses()
    mirror = find_mirror(form, known)
    assert mirror is not None
    names = [*form.tracks, *(s.name for s in form.shapes for _ in range(s.count))]
    for i, j in enumerate(mirror.order):
        assert names[j].translate(str.maketrans("LR", "RL")) == names[i]
    # twice mirrored is not mirrored
    np.testing.assert_array_equal(mirror.order[mirror.order], np.arange(len(names)))
    twice = mirror.values(mirror.values(values, 640), 640)
    np.testing.assert_allclose(twice, values, atol=1e-9)


def test_mirrored_curves_are_the_same_curves() -> None:
    """Order and direction of points and tangents change, the line they draw does not."""
    form, known, values = poses()
    mirror = find_mirror(form, known)
    assert mirror is not None
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
    assert find_mirror(template(), [rest[:, :2] / 80]) is None  # no names of sides
    assert find_mirror(template(), []) is None
    form = CharacterTemplate(
        character="odd",
        tracks=("eye_L", "eye_R"),
        shapes=(ShapeTemplate(name="scar", closed=False, count=3),),
    )
    lopsided = np.array([(-0.3, 0.0), (0.3, 0.0), (0.2, -0.3), (0.35, 0.1), (0.4, 0.4)])
    assert find_mirror(form, [lopsided]) is None
    even = np.array([(-0.3, 0.0), (0.3, 0.0), (0.0, -0.3), (0.0, 0.1), (0.0, 0.4)])
    assert find_mirror(form, [even]) is not None
