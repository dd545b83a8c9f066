"""The curve over the number of training shots: a table and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from benchmarks.accuracy.run import Result
from benchmarks.accuracy.table import number, pooled_curves_px
from laikaroto.review.charts import Chart, Series, line_chart

_COLOURS = ("#ff4fc8", "#4be27f", "#4fa8ff", "#ffb24f", "#b78cff", "#e0e04f")


def few_shots_markdown(runs: Mapping[int, Sequence[Result]]) -> str:
    """Mean curve error over all evaluation shots by number of training shots."""
    counts = sorted(runs)
    methods = list(dict.fromkeys(r.method for results in runs.values() for r in results))
    lines = [
        "| curves mean, all shots | " + " | ".join(f"{n} shots" for n in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for method in methods:
        cells = [number(_curves(runs[n], method)) for n in counts]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def few_shots_svg(runs: Mapping[int, Sequence[Result]]) -> str | None:
    """The same as a chart on a logarithmic axis; None when nothing could be measured."""
    counts = sorted(runs)
    methods = list(dict.fromkeys(r.method for results in runs.values() for r in results))
    series = []
    for i, method in enumerate(methods):
        pairs = [(float(n), _curves(runs[n], method)) for n in counts]
        known = [(x, y) for x, y in pairs if y is not None]
        if known:
            series.append(Series(name=method, colour=_COLOURS[i % len(_COLOURS)], xy=known))
    chart = line_chart("curve error, mean px, by number of training shots", series)
    if chart is None:
        return None
    wide = chart.right - chart.left
    ticks = tuple((chart.left + wide * n / max(counts), str(n)) for n in counts)
    return _svg(replace(chart, x_ticks=ticks))


def _curves(results: Sequence[Result], method: str) -> float | None:
    return next((pooled_curves_px(r) for r in results if r.method == method), None)


def _svg(chart: Chart) -> str:
    """The chart as a file of its own, light on dark as the review pages."""
    legend = 18 * len(chart.lines) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} '
        f'{chart.height + legend}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#1b1b1b"/>',
        f'<text x="{chart.left}" y="16" fill="#ddd">{escape(chart.title)}</text>',
    ]
    for y, label in chart.y_ticks:
        parts.append(
            f'<line x1="{chart.left}" x2="{chart.right}" y1="{y}" y2="{y}" stroke="#3d3d3d"/>'
            f'<text x="{chart.left - 6}" y="{y + 4}" fill="#9a9a9a" text-anchor="end">'
            f"{label}</text>"
        )
    for x, label in chart.x_ticks:
        parts.append(
            f'<text x="{x:.1f}" y="{chart.bottom + 16}" fill="#9a9a9a" text-anchor="middle">'
            f"{label}</text>"
        )
    for i, line in enumerate(chart.lines):
        y = chart.height + 12 + 18 * i
        parts.append(
            f'<path d="{line["path"]}" fill="none" stroke="{line["colour"]}" stroke-width="2"/>'
            f'<rect x="{chart.left}" y="{y - 6}" width="14" height="3" fill="{line["colour"]}"/>'
            f'<text x="{chart.left + 20}" y="{y}" fill="#ddd">{escape(line["name"])}, '
            f"last {line['last']}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])
