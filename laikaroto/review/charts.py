"""Line charts as inline SVG: quantities over training time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WIDTH, HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 34
_MAX_POINTS = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: (x, y) pairs in order of x; pairs with a y that is no number leave a gap."""

    name: str
    colour: str
    xy: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A named stretch of x."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart's template draws; positions are px inside ``WIDTH`` × ``HEIGHT``."""

    title: str
    lines: tuple[dict[str, Any], ...]
    spans: tuple[dict[str, Any], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def line_chart(title: str, series: Sequence[Series], *, spans: Sequence[Span] = ()) -> Chart | None:
    """A chart with time in seconds along x and a logarithmic y axis.

    Errors and losses fall by orders of magnitude: on a plain axis the start would hide the
    rest. Values that are not above zero cannot be shown and leave a gap.

    Returns:
        The chart; None when no series has a value to show.
    """
    cleaned = {s.name: _thin(s.xy) for s in series}
    shown = np.concatenate([np.zeros((0, 2)), *cleaned.values()])
    shown = shown[np.isfinite(shown).all(axis=1)]
    if len(shown) == 0:
        return None
    end = max([float(shown[:, 0].max()), *(span.end for span in spans)]) or 1.0
    y_ticks = _log_ticks(float(shown[:, 1].min()), float(shown[:, 1].max()))
    low, high = math.log(y_ticks[0]), math.log(y_ticks[-1])

    def across(seconds: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * seconds / end, 1)

    def up(value: float) -> float:
        share = (math.log(value) - low) / (high - low)
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    def path(xy: np.ndarray[Any, np.dtype[np.float64]]) -> str:
        steps, pen = [], "M"
        for x, y in xy.tolist():
            if not math.isfinite(y):
                pen = "M"
                continue
            steps.append(f"{pen}{across(x)} {up(y)}")
            pen = "L"
        return "".join(steps)

    return Chart(
        title=title,
        lines=tuple(
            {
                "name": s.name,
                "colour": s.colour,
                "path": path(cleaned[s.name]),
                "last": _last(cleaned[s.name]),
            }
            for s in series
            if np.isfinite(cleaned[s.name][:, 1]).any()
        ),
        spans=tuple(
            {"name": s.name, "x": across(s.start), "width": across(s.end) - across(s.start)}
            for s in spans
        ),
        x_ticks=tuple((across(t), _clock(t)) for t in _time_ticks(end)),
        y_ticks=tuple((up(t), f"{t:g}") for t in y_ticks),
    )


def _thin(xy: Sequence[tuple[float, float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """At most ``_MAX_POINTS`` pairs: means of neighbours; what cannot be drawn becomes NaN."""
    pairs = np.array(xy, dtype=np.float64).reshape(-1, 2)
    pairs[~(np.isfinite(pairs[:, 1]) & (pairs[:, 1] > 0)), 1] = np.nan
    if len(pairs) <= _MAX_POINTS:
        return pairs
    return np.array([part.mean(axis=0) for part in np.array_split(pairs, _MAX_POINTS)])


def _last(xy: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    values = xy[np.isfinite(xy[:, 1]), 1]
    return f"{values[-1]:.3g}"


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 … from at or below ``low`` to at or above ``high``; two at least."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    steps = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= low * 1.000001)
    last = min(i for i, step in enumerate(steps) if step >= high / 1.000001)
    ticks = steps[first : max(last, first + 1) + 1]
    if len(ticks) <= 9:
        return ticks
    return [ticks[0], *(t for t in ticks[1:-1] if round(math.log10(t), 6) % 1 == 0), ticks[-1]]


def _time_ticks(end: float) -> list[float]:
    for step in (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400):
        if end / step <= 9:
            break
    return [step * i for i in range(int(end // step) + 1)]


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"
    return f"{minutes}m{left:02d}" if left and minutes else f"{minutes}m" if minutes else f"{left}s"
