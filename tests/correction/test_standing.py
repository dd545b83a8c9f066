"""What holds of a list of records."""

from __future__ import annotations

from typing import Any

from laikaroto.correction.records import Record, ShapeEntry
from laikaroto.correction.standing import reverted, stand

POINTS = [[1.0, 2.0, 0.0, 0.0, 0.0, 0.0]] * 4
OTHER = [[3.0, 2.0, 0.0, 0.0, 0.0, 0.0]] * 4
WHOLE = ShapeEntry(points=POINTS, visible=True, point_visible=[True] * 4, source="predicted")


def records(*fields: dict[str, Any]) -> list[Record]:
    return [Record(number=i, time="", who="anna", **f) for i, f in enumerate(fields, start=1)]


def edit(entry: ShapeEntry, frame: int = 1001) -> dict[str, Any]:
    return {"kind": "edit", "shapes": {"mouth": {str(frame): entry}}}


def test_the_newest_says_and_the_rest_stays() -> None:
    held = stand(
        records(
            edit(ShapeEntry(points=POINTS)),
            edit(ShapeEntry(visible=False)),
            edit(ShapeEntry(points=OTHER)),
        )
    ).shapes["mouth", 1001]
    assert isinstance(held.entry, ShapeEntry)
    assert held.entry.points == OTHER and held.entry.visible is False
    assert 2 in held.records and held.records[-1] == 3


def test_a_revert_takes_back_and_can_be_taken_back() -> None:
    one, two = edit(ShapeEntry(points=POINTS)), edit(ShapeEntry(points=OTHER))
    revert = {"kind": "revert", "target": 2}
    first = stand(records(one, two, revert))
    assert first.shapes["mouth", 1001].entry == ShapeEntry(points=POINTS)
    assert first.active == (1,)
    again = records(one, two, revert, {"kind": "revert", "target": 3})
    assert reverted(again) == {3}
    assert stand(again).shapes["mouth", 1001].entry == ShapeEntry(points=OTHER)


def test_locks_last_until_they_are_undone() -> None:
    lock = {"kind": "lock", "frames": [1001, 1002], "names": ["mouth"],
            "shapes": {"mouth": {"1001": WHOLE, "1002": WHOLE}}}  # fmt: skip
    assert set(stand(records(lock)).locked_shapes) == {("mouth", 1001), ("mouth", 1002)}
    unlock = {"kind": "unlock", "frames": [1001]}
    assert set(stand(records(lock, unlock)).locked_shapes) == {("mouth", 1002)}
    assert not stand(records(lock, {"kind": "revert", "target": 1})).locked_shapes


def test_a_whole_shot_is_locked_until_any_of_it_is_free() -> None:
    lock = {"kind": "lock", "whole": True, "frames": [1001], "shapes": {"mouth": {"1001": WHOLE}}}
    found = stand(records(lock)).shot_lock
    assert found is not None and found.number == 1
    assert stand(records(lock, {"kind": "unlock", "frames": [1001]})).shot_lock is None
    of_a_shape = {**lock, "names": ["mouth"]}
    assert stand(records(of_a_shape)).shot_lock is None


def test_an_approved_frame_is_all_right_and_an_edit_of_it_wins() -> None:
    approve = {"kind": "approve", "frames": [1001], "shapes": {"mouth": {"1001": WHOLE}}}
    found = stand(records(approve, edit(ShapeEntry(points=OTHER))))
    assert found.approved_frames == {1001}
    held = found.shapes["mouth", 1001]
    assert isinstance(held.entry, ShapeEntry)
    assert held.entry.points == OTHER and held.entry.visible is True and not held.approved
    assert found.touched_frames() == (1001,)
    assert stand(records({**approve, "names": ["mouth"]})).approved_frames == frozenset()
