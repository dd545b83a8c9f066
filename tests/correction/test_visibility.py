"""Where a changed visibility goes, and where it does not."""

from __future__ import annotations

from laikaroto.correction.visibility import carry_visibility


def states(text: str) -> dict[int, bool]:
    """Frames 1001… from ``#`` shown and ``.`` hidden."""
    return {1001 + i: sign == "#" for i, sign in enumerate(text)}


def after(before: dict[int, bool], found: dict[int, bool]) -> str:
    return "".join("#" if found.get(f, v) else "." for f, v in before.items())


def alone(count: int) -> list[list[int]]:
    return [[1001 + i] for i in range(count)]


def test_over_the_hold_and_no_further() -> None:
    before = states("######")
    holds = [[1001], [1002, 1003, 1004], [1005], [1006]]
    assert after(before, carry_visibility(before, {1003: False}, holds)) == "#...##"


def test_two_answers_in_a_hold_go_to_the_nearest() -> None:
    before = states("#####")
    said = {1001: False, 1005: True}
    assert after(before, carry_visibility(before, said, [list(before)])) == "...##"


def test_between_two_equal_answers_to_the_same_mistake() -> None:
    before = states("#......#")
    said = {1002: True, 1007: True}
    assert after(before, carry_visibility(before, said, alone(8))) == "########"


def test_not_over_frames_on_which_the_model_was_right() -> None:
    before = states("....##....##....")  # shown twice, rightly; hidden in the middle, rightly
    said = {1004: True, 1013: True}
    assert after(before, carry_visibility(before, said, alone(16))) == "...###....###..."


def test_not_between_different_answers_nor_from_an_approval() -> None:
    before = states("......")
    assert after(before, carry_visibility(before, {1001: True, 1006: False}, alone(6))) == "#....."
    before = states("#....#")
    assert after(before, carry_visibility(before, {1001: True, 1006: True}, alone(6))) == "#....#"
