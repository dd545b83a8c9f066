"""Frames: the studio's way of writing them, and no other."""

from __future__ import annotations

import pytest

from laikaroto.errors import UsageError
from laikaroto.frames import format_frames, parse_frames


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("1001", (1001,)),
        ("1001-1004", (1001, 1002, 1003, 1004)),
        ("1001-1007x2,1110", (1001, 1003, 1005, 1007, 1110)),
        ("1005,1001-1003,1002", (1001, 1002, 1003, 1005)),
        ("-2-1", (-2, -1, 0, 1)),
        (" 1001 ", (1001,)),
        ("0001-0003", (1, 2, 3)),
    ],
)
def test_parse(text: str, frames: tuple[int, ...]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    "text", ["", "  ", "abc", "1001-", "1001..1005", "1-10:2", "1001;rm", "$(x)", "1001-1003x0"]
)
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="wanted something like 1001-1100"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], ""),
        ([5], "5"),
        ([1001, 1002, 1003, 1005], "1001-1003,1005"),
        ([3, 1, 2, 2], "1-3"),
        ([1, 3, 5], "1,3,5"),
    ],
)
def test_format(frames: list[int], text: str) -> None:
    assert format_frames(frames) == text


def test_what_is_formatted_parses_back() -> None:
    frames = (990, 991, 1001, 1003, 1004, 1100)
    assert parse_frames(format_frames(frames)) == frames
