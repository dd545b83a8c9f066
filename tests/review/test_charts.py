from __future__ import annotations

import math
import re

import pytest

from laikaroto.review.charts import Series, Span, line_chart


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_decade_is_as_high_everywhere() -> None:
    chart = line_chart("loss", [Series(name="a", colour="red", xy=[(0, 100), (5, 10), (10, 1)])])
    assert chart is not None
    (x0, y0), (x1, y1), (x2, y2) = points(chart.lines[0]["path"])
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert (x0, x2) == (chart.left, chart.right)
    assert (y0, y2) == (chart.top, chart.bottom)
    assert [label for _, label in chart.y_ticks] == ["1", "2", "5", "10", "20", "50", "100"]
    assert chart.lines[0]["last"] == "1"


def test_what_is_no_number_leaves_a_gap() -> None:
    xy = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 0.0), (4, 3.0), (5, 4.0), (6, math.inf)]
    chart = line_chart("loss", [Series(name="a", colour="red", xy=xy)])
    assert chart is not None
    path = chart.lines[0]["path"]
    assert path.count("M") == 2 and path.count("L") == 2
    assert chart.lines[0]["last"] == "4"


def test_nothing_to_show() -> None:
    assert line_chart("loss", []) is None
    assert line_chart("loss", [Series(name="a", colour="red", xy=[(0, math.nan)])]) is None


def test_a_single_value_has_an_axis() -> None:
    chart = line_chart("loss", [Series(name="a", colour="red", xy=[(0, 5.0)])])
    assert chart is not None
    assert len(chart.y_ticks) >= 2


def test_long_histories_are_thinned_without_losing_their_course() -> None:
    xy = [(i, 10.0 + i) for i in range(100_000)]
    chart = line_chart("loss", [Series(name="a", colour="red", xy=xy)])
    assert chart is not None
    drawn = points(chart.lines[0]["path"])
    assert len(drawn) == 800
    assert all(a[1] >= b[1] for a, b in zip(drawn, drawn[1:], strict=False))


@pytest.mark.parametrize(
    ("end", "last"), [(8, "8s"), (95, "1m30"), (3600, "1h"), (5400, "1h30"), (8 * 3600, "8h")]
)
def test_time_is_written_as_people_do(end: float, last: str) -> None:
    spans = [Span(name="final", start=0, end=end)]
    series = [Series(name="a", colour="red", xy=[(0, 1), (end, 2)])]
    chart = line_chart("loss", series, spans=spans)
    assert chart is not None
    assert chart.x_ticks[-1][1] == last
    assert len(chart.x_ticks) <= 10
    assert chart.spans[0]["width"] == pytest.approx(chart.right - chart.left)
