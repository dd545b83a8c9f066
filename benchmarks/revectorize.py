"""How well artists' contours are carried onto a template: figures against the dev truth.

    python benchmarks/revectorize.py --data DATA --out DIR

``DATA`` holds ``dev`` (artist/hero/*.nk, truth/hero/*.roto.json) and ``lionel`` (raw and
re-vectorised shapes of a film, WACV 2021). Writes revectorize.md and revectorize.json.

dev: the template and one marked frame are the truth of the first frame of the first shot; all
contours of all shots are carried onto it and compared with the truth of their frames. The
artists' contours are off the truth themselves, by ``input``: no method can be nearer than that.
lionel: a template is made from the contours, with the film's numbers of points and with the
fewest that reach the tolerance; ``film`` is how far the film's own re-vectorised shapes are off.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from laikaroto.character.revectorize import Shots, make_template, revectorize
from laikaroto.character.template import template_from
from laikaroto.coords import FloatArray
from laikaroto.shapes.artist import ArtistShape
from laikaroto.shapes.contour import Contour
from laikaroto.shapes.fitting import deviation
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.formats.registry import FORMATS, ReadOptions
from laikaroto.sidecar.schema import read_roto

_FILM_COUNTS = {"eye": 6, "brow": 8, "sideburn": 6}


def main() -> None:
    """Run both and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found = {"dev": run_dev(chosen.data / "dev"), "lionel": run_lionel(chosen.data / "lionel")}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "revectorize.json").write_text(json.dumps(found, indent=1) + "\n")
    text = _table(found["dev"]) + "\n" + _table(found["lionel"])
    (chosen.out / "revectorize.md").write_text(text)
    print(text)


def run_dev(dev: Path) -> list[dict[str, Any]]:
    """One row for each shape: fit, distance from the truth, the input's own, slide; px."""
    truths = {
        path.name.split(".")[0]: read_roto(path)
        for path in sorted((dev / "truth/hero").glob("tr*.roto.json"))
    }
    shots: dict[str, dict[str, ArtistShape]] = {
        shot: dict(FORMATS["nuke"].read(dev / f"artist/hero/{shot}.nk", ReadOptions()).shapes)
        for shot in truths
    }
    shots = {s: {n.rsplit("/", 1)[-1]: v for n, v in sh.items()} for s, sh in shots.items()}
    first = next(iter(truths.values()))
    template = template_from(first)
    frame = min(first.frames)
    marked = {name: shape.frames[frame].points for name, shape in first.shapes.items()}
    result = revectorize(shots, template.shapes, [marked])
    rows = []
    for form in result.shapes:
        values = [
            _compare(truths[shot], form.name, f, points, shots[shot][form.name].frames[f])
            for shot, shapes in result.splines.items()
            for f, points in shapes.get(form.name, {}).items()
        ]
        rows.append(_dev_row(form.name, form.count, np.array(values)))
    total = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if "mean" in key}
    rows.append({"shape": "all, mean of shapes", **total})
    rows.append({"shape": "left out", "frames": len(result.left_out)})
    return rows


def _compare(
    truth: Roto, name: str, frame: int, points: FloatArray, given: FloatArray
) -> list[float]:
    shape = truth.shapes[name]
    true = Contour.of(shape.frames[frame].points, closed=shape.closed)
    drawn = Contour.of(given, closed=shape.closed)
    slides = _slides(true, shape.frames[frame].points, points)
    return [
        *deviation(drawn, points), *deviation(true, points), *deviation(true, given),
        float(np.mean(slides)), float(np.max(slides)),
    ]  # fmt: skip


def _slides(true: Contour, truth: FloatArray, points: FloatArray) -> FloatArray:
    """How far along the true curve each point lies from its place, px.

    A point is looked for within a third of the curve from its place: shut lids coincide, and
    the nearest place may be on the other lid.
    """
    reach = true.length / 3
    offsets = np.linspace(-reach, reach, 1201)
    places = true.at(true.knots[: len(truth), None] + offsets)
    gaps = np.linalg.norm(places - points[:, None, :2], axis=-1)
    nearest = gaps.min(axis=1, keepdims=True)
    # Of several places as near as the nearest, the one least far along.
    far = np.where(gaps <= nearest + 0.05, np.abs(offsets), np.inf)
    return np.asarray(far.min(axis=1))


def _dev_row(name: str, count: int, values: FloatArray) -> dict[str, Any]:
    return {
        "shape": name, "points": count, "frames": len(values),
        "fit mean": values[:, 0].mean(), "fit max": values[:, 1].max(),
        "fit frames over 0.5": int((values[:, 1] > 0.5).sum()),
        "truth mean": values[:, 2].mean(), "truth max": values[:, 3].max(),
        "input mean": values[:, 4].mean(), "input max": values[:, 5].max(),
        "slide mean": values[:, 6].mean(), "slide p95": float(np.percentile(values[:, 6], 95)),
        "slide max": values[:, 7].max(),
    }  # fmt: skip


def run_lionel(folder: Path) -> list[dict[str, Any]]:
    """One row for each closed shape: largest distances with the film's points and with enough."""
    raw: dict[str, dict[str, ArtistShape]] = {}
    film: dict[str, dict[str, FloatArray]] = {}
    for path in sorted(folder.glob("raw_shapes-*.json")):
        shot = path.stem.split("-")[1]
        frame = int(path.stem.split("frame")[1])
        raw[shot] = {
            name: ArtistShape(name=name, closed=not name.endswith("seam"), keys=(frame,),
                              frames={frame: _points(value, not name.endswith("seam"))})
            for name, value in json.loads(path.read_text()).items() if name != "points"
        }  # fmt: skip
        revec = json.loads(path.with_name(path.name.replace("raw", "revec")).read_text())
        film[shot] = {
            name: _points(value, not name.endswith("seam"))
            for name, value in revec.items() if name in raw[shot]
        }  # fmt: skip
    shots: Shots = raw
    names = sorted({name for shapes in raw.values() for name in shapes})
    counts = {name: count for name in names for key, count in _FILM_COUNTS.items() if key in name}
    as_film = make_template(shots, counts=counts)
    fewest = make_template(shots, counts={})
    rows = []
    for name in names:
        films = [
            deviation(Contour.of(next(iter(raw[s][name].frames.values())),
                                 closed=raw[s][name].closed), film[s][name])[1]
            for s in raw if name in raw[s] and name in film[s]
        ]  # fmt: skip
        rows.append({
            "shape": name,
            "film's own max": max(films, default=None),
            "points": _count(as_film.shapes, name), "max": _worst(as_film.reports, name),
            "enough points": _count(fewest.shapes, name), "their max": _worst(fewest.reports, name),
        })  # fmt: skip
    left_out = len(as_film.left_out) + len(fewest.left_out)
    rows.append({"shape": "left out", "points": left_out})
    return rows


def _points(polygons: Sequence[Any], closed: bool) -> FloatArray:
    """Segments ``[[x0, tx0, x1, tx1], [y0, ty0, y1, ty1]]`` as control points."""
    table = np.array(polygons, dtype=np.float64)  # (S, 2, 4)
    start = np.concatenate([table[:, :, 0], np.zeros((len(table), 2)), table[:, :, 1]], axis=1)
    ends = np.concatenate([table[:, :, 2], table[:, :, 3], np.zeros((len(table), 2))], axis=1)
    points = np.concatenate([start, ends[-1:]])
    points[1:, 2:4] = ends[:, 2:4]
    if closed:
        points[0, 2:4] = points[-1, 2:4]
        points = points[:-1]
    return points


def _count(forms: Sequence[Any], name: str) -> int | None:
    return next((form.count for form in forms if form.name == name), None)


def _worst(reports: Sequence[Any], name: str) -> float:
    return max(float(report.max_px) for report in reports if report.shape == name)


def _table(rows: list[dict[str, Any]]) -> str:
    keys = list(rows[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    for row in rows:
        cells = [row.get(key, "") for key in keys]
        text = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in cells]
        lines.append("| " + " | ".join(text) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
