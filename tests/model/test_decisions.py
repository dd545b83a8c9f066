"""Why a model became current, or not: compared, recorded, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from laikaroto.errors import ModelError
from laikaroto.model.decisions import compare, figures, read_decision, record_decision


def metrics(**changes: Any) -> dict[str, Any]:
    return {"held_out": ["a1"], "frames": 2, "curves_mean_px": 1.0, "tracks_mean_px": 2.0,
            "shots": {"a1": {"frames": {"1001": {}, "1002": {}}}}} | changes  # fmt: skip


@pytest.mark.parametrize(
    ("new", "worse", "text"),
    [
        ({"curves_mean_px": 1.1}, True,
         "v002 is worse than v001 on a1, 2 frames (points 2.00 px, curves 1.10 px against points "
         "2.00 px, curves 1.00 px)"),
        ({"curves_mean_px": 1.0}, False, "v002 is no worse than v001 on a1"),
        ({"curves_mean_px": 0.5, "tracks_mean_px": 9.0}, False, "no worse"),
        ({"curves_mean_px": None, "tracks_mean_px": 2.1}, True, "v002 is worse"),
        ({"curves_mean_px": None, "tracks_mean_px": None}, False, "nothing was visible"),
        ({"curves_mean_px": 9.0, "frames": 3}, False,
         "cannot be compared: v002 measured on a1, 3 frames, v001 on a1, 2 frames"),
        ({"curves_mean_px": 9.0, "shots": {"a1": {"frames": {"1001": {}, "1003": {}}}}}, False,
         "cannot be compared"),
        ({"curves_mean_px": 9.0, "held_out": ["a2"]}, False, "cannot be compared"),
        ({"held_out": [], "frames": 0, "shots": {}}, False, "v002 was not measured"),
    ],
)  # fmt: skip
def test_worse_is_what_is_worse_on_the_same_frames(
    new: dict[str, Any], worse: bool, text: str
) -> None:
    found = compare(metrics(**new), metrics(), new_name="v002", old_name="v001")
    assert found.worse is worse and text in found.reason


def test_figures_are_named_where_there_are_any() -> None:
    assert figures(metrics()) == "points 2.00 px, curves 1.00 px"
    assert figures(metrics(tracks_mean_px=None)) == "curves 1.00 px"
    nothing = metrics(tracks_mean_px=None, curves_mean_px=None)
    assert figures(nothing) == "nothing visible to measure"


def test_a_decision_is_kept_and_replaced(tmp_path: Path) -> None:
    assert read_decision(tmp_path, "v002") is None
    record_decision(tmp_path, "v002", current=False, reason="worse")
    found = read_decision(tmp_path, "v002")
    assert found is not None and (found.current, found.reason) == (False, "worse")
    assert found.decided.endswith("+00:00")
    record_decision(tmp_path, "v002", current=True, reason="by hand")
    found = read_decision(tmp_path, "v002")
    assert found is not None and found.reason == "by hand"
    assert [path.name for path in (tmp_path / "decisions").iterdir()] == ["v002.json"]


@pytest.mark.parametrize("damage", ["", "{}", '{"current": 1}'])
def test_a_damaged_record_is_told(tmp_path: Path, damage: str) -> None:
    record_decision(tmp_path, "v002", current=True, reason="by hand")
    (tmp_path / "decisions" / "v002.json").write_text(damage)
    with pytest.raises(ModelError, match=r"v002\.json: is damaged: .*; remove it"):
        read_decision(tmp_path, "v002")
