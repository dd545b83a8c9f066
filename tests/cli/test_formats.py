"""``laikaroto formats``: the list, and the script an artist runs in Blender."""

from __future__ import annotations

import json
from typing import Any

from laikaroto.sidecar.formats.registry import FORMATS


def test_every_format_is_listed_with_what_confirmed_it(laikaroto: Any) -> None:
    ran = laikaroto("formats")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines] == list(FORMATS)
    for line, entry in zip(lines, FORMATS.values(), strict=True):
        assert line.endswith(entry.confirmed_by or "unverified")
        assert ("in" in line.split()[1:4]) == entry.reads
        assert ("out" in line.split()[1:4]) == entry.writes


def test_json_has_the_same(laikaroto: Any) -> None:
    rows = json.loads(laikaroto("formats", "--json").out)["formats"]
    assert [row["name"] for row in rows] == list(FORMATS)


def test_the_script_for_blender_is_printed_whole(laikaroto: Any) -> None:
    code = laikaroto("formats", "--script", "blender").out
    compile(code, "blender_export.py", "exec")
    assert code.endswith("main()\n")
    said = json.loads(laikaroto("formats", "--script", "blender", "--json").out)
    assert said == {"script": "blender", "text": code}
