"""The figures as one Markdown page, ready to be pasted, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.accuracy.figures import Figures
from benchmarks.accuracy.footage import Footage
from benchmarks.accuracy.run import Request, Result
from laikaroto.frames import format_frames

SCHEMA = "laikaroto.accuracy/1"
#: the method that the others are compared with
OURS = "laikaroto"

Cell = Callable[[Figures], str]


def number(value: float | None, decimals: int = 2) -> str:
    """A figure for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{decimals}f}"


def share(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "–" if value is None else f"{value:.0%}"


def markdown(results: Sequence[Result], footage: Footage, request: Request) -> str:
    """The whole page."""
    parts = [_heading(footage, request)]
    for shot in footage.evaluation:
        parts.append(f"### {shot.name}\n\n{_main_table(results, shot.name, len(shot.frames))}")
    parts += [
        f"### Curve error of each shape, mean px\n\n{_shape_table(results, footage)}",
        f"### What it took\n\n{_effort_table(results, footage)}",
    ]
    if ratios := _ratio_table(results, footage):
        parts.append(f"### Against {OURS}\n\n{ratios}")
    if reliability := _reliability_tables(results):
        parts.append(f"### Expected against measured curve error\n\n{reliability}")
    return "\n\n".join(parts) + "\n"


def document(results: Sequence[Result], footage: Footage, request: Request) -> dict[str, Any]:
    """The same and every single figure as plain JSON data."""
    return {
        "schema": SCHEMA,
        "request": request.to_dict(),
        "frames": {s.name: format_frames(s.frames) for s in footage.evaluation},
        "training_frames": {s.name: len(s.frames) for s in footage.training},
        "results": [
            {
                "method": result.method,
                "oracle": result.oracle,
                "learns": result.learns,
                "failure": result.failure,
                "notes": result.notes,
                "predict_s": result.predict_s,
                "shots": {name: figures.to_dict() for name, figures in result.figures.items()},
            }
            for result in results
        ],
    }


def pooled_curves_px(result: Result) -> float | None:
    """Mean curve error over the shots, each px of visible curve counting the same."""
    stats = [figures.evaluation.curves_all for figures in result.figures.values()]
    count = sum(s.count for s in stats)
    return sum(s.count * (s.mean_px or 0.0) for s in stats) / count if count else None


def _heading(footage: Footage, request: Request) -> str:
    frames = sum(len(shot.frames) for shot in footage.training)
    width = footage.evaluation[0].truth.plate.width
    return (
        f"Character {request.character}: learned from {', '.join(request.training)} ({frames} "
        f"frames) in {request.budget_s:g} s on {request.threads} threads, seed {request.seed}. "
        f"Lengths are px at {width} wide. Nothing corrected."
    )


_COLUMNS: dict[str, Cell] = {
    "curves mean": lambda f: number(f.evaluation.curves_all.mean_px),
    "curves p95": lambda f: number(f.evaluation.curves_all.p95_px),
    "tracking points mean": lambda f: number(f.evaluation.tracks_all.mean_px),
    "control points mean": lambda f: number(f.evaluation.points_all.mean_px),
    "IoU": lambda f: number(f.evaluation.iou_all, 3),
    "chatter": lambda f: number(f.evaluation.shape_chatter_all_px),
    "clean frames": lambda f: share(f.evaluation.clean_share),
    "swapped": lambda f: number(f.swapped_px),
    "not swapped": lambda f: number(f.elsewhere_px),
    "holds still": lambda f: f"{f.held_still} of {f.held}" if f.held else "–",
    "hidden seam": lambda f: number(f.hidden_seam_px),
    "points visible right": lambda f: share(f.evaluation.point_visibility.accuracy),
    "shapes visible right": lambda f: share(f.evaluation.shape_visibility.accuracy),
    "shapes missing": lambda f: str(sum(len(v) for v in f.evaluation.missing_shapes.values())),
    "bad frames flagged": lambda f: share(f.evaluation.flag_recall),
    "clean frames flagged": lambda f: share(f.evaluation.clean_flagged_share),
}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _main_table(results: Sequence[Result], shot: str, frames: int) -> str:
    rows = []
    for result in results:
        figures = result.figures.get(shot)
        if figures is None:
            rows.append([result.title, _short(result.failure), *[""] * len(_COLUMNS)])
            continue
        keyed = f"{100 * len(figures.keyed) / frames:.0f}"
        rows.append([result.title, keyed, *(cell(figures) for cell in _COLUMNS.values())])
    return _table(["method", "keyed by hand, of 100 frames", *_COLUMNS], rows)


def _short(failure: str | None) -> str:
    """The first line of a failure, so that it fits into a cell."""
    text = (failure or "failed").splitlines()[0].replace("|", "/")
    return text if len(text) <= 100 else text[:97] + "…"


def _shape_table(results: Sequence[Result], footage: Footage) -> str:
    names = [shape.name for shape in footage.template.shapes]
    rows = [
        [result.title, shot, *(number(figures.evaluation.curves[n].mean_px) for n in names)]
        for result in results
        for shot, figures in result.figures.items()
    ]
    return _table(["method", "shot", *names], rows)


def _effort_table(results: Sequence[Result], footage: Footage) -> str:
    frames = {shot.name: len(shot.frames) for shot in footage.evaluation}
    rows = []
    for result in results:
        if result.oracle != "none":
            continue
        learned = number(result.notes.get("fit_s"), 0) if result.learns else "–"
        drawn = sum(frames[shot] for shot in result.predict_s)
        each = number(sum(result.predict_s.values()) / drawn) if drawn else "–"
        said = {k: v for k, v in result.notes.items() if k not in ("fit_s", "laikaroto")}
        notes = ", ".join(f"{k} {_say(v)}" for k, v in said.items())
        rows.append([result.title, learned, each, notes or _short(result.failure or "–")])
    return _table(["method", "learned, s", "drawn, s a frame", "notes"], rows)


def _say(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _ratio_table(results: Sequence[Result], footage: Footage) -> str | None:
    """Curve error over all shots, and how many times laikaroto's it is."""
    pooled = {r.title: pooled_curves_px(r) for r in results if r.figures}
    ours = pooled.get(OURS)
    if ours is None:
        return None
    rows = [
        [title, number(mean), number(mean / ours if mean is not None else None, 1)]
        for title, mean in pooled.items()
    ]
    return _table(["method", "curves mean, all shots", f"times {OURS}'s"], rows)


def _reliability_tables(results: Sequence[Result]) -> str | None:
    rows = []
    for result in results:
        for shot, figures in result.figures.items():
            for row in figures.reliability:
                high = "" if row.high_px is None else f"{row.high_px:g}"
                rows.append(
                    [
                        result.title, shot, f"{row.low_px:g}–{high}", str(row.count),
                        number(row.expected_px), number(row.measured_px),
                        number(row.measured_p90_px), number(figures.rank_correlation),
                    ]
                )  # fmt: skip
    header = [
        "method", "shot", "expected px", "shapes × frames", "expected mean", "measured mean",
        "measured p90", "rank correlation (shot)",
    ]  # fmt: skip
    return _table(header, rows) if rows else None
