"""Stands in for Natron's Python objects: runs a script, keeps what the Roto node would show.

Follows Natron 2: ``createBezier`` makes a first point with a key, ``addControlPoint`` further
ones, moving a point keys it; keys are linear, positions y up, tangents absolute.
"""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np


class Param:
    def __init__(self) -> None:
        self.keys: dict[float, float] = {}

    def setValueAtTime(self, value: float, time: float) -> None:
        self.keys[time] = float(value)

    def at(self, time: float) -> float:
        frames = sorted(self.keys)
        return float(np.interp(time, frames, [self.keys[f] for f in frames]))


class Bezier:
    def __init__(self, x: float, y: float, time: float) -> None:
        self.points = [{time: np.array([x, y, x, y, x, y], dtype=float)}]
        self.feathers = [{time: np.array([x, y, x, y, x, y], dtype=float)}]
        self.opacity = Param()
        self.finished = False
        self.script_name = self.label = ""

    def setScriptName(self, name: str) -> None:
        if not name.isidentifier() or not name.isascii():
            raise ValueError(f"Natron takes no script name {name!r}")
        self.script_name = name

    def setLabel(self, label: str) -> None:
        self.label = label

    def addControlPoint(self, x: float, y: float) -> None:
        if self.finished:
            raise RuntimeError("the curve is finished")
        self.points.append({})
        self.feathers.append({})

    def setPointAtIndex(self, index: int, time: float, *place: float) -> None:
        self.points[index][time] = np.array(place)
        assert len(place) == 6

    def setFeatherPointAtIndex(self, index: int, time: float, *place: float) -> None:
        self.feathers[index][time] = np.array(place)
        assert len(place) == 6

    def setCurveFinished(self, finished: bool) -> None:
        self.finished = finished

    def getOpacityParam(self) -> Param:
        return self.opacity

    def at(self, time: float) -> np.ndarray:
        """(N, 6) x y lx ly rx ry. Feather points have to lie on them: else the edge is soft."""
        drawn = np.stack([_filled_in(keys, time) for keys in self.points])
        np.testing.assert_array_equal(
            drawn, np.stack([_filled_in(keys, time) for keys in self.feathers])
        )
        return drawn


def _filled_in(keys: dict[float, np.ndarray], time: float) -> np.ndarray:
    frames = sorted(keys)
    after = bisect.bisect_left(frames, time)
    if after in (0, len(frames)):
        return keys[frames[min(after, len(frames) - 1)]]
    left, right = frames[after - 1], frames[after]
    share = (time - left) / (right - left)
    return keys[left] + share * (keys[right] - keys[left])


class Context:
    def __init__(self) -> None:
        self.items: list[Bezier] = []

    def createBezier(self, x: float, y: float, time: float) -> Bezier:
        return Bezier(x, y, time)

    def getBaseLayer(self) -> Context:
        return self

    def addItem(self, item: Bezier) -> None:
        self.items.append(item)


class Node:
    def __init__(self) -> None:
        self.context = Context()
        self.label = ""

    def setLabel(self, label: str) -> None:
        self.label = label

    def getRotoContext(self) -> Context:
        return self.context


class App:
    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def createNode(self, kind: str) -> Node:
        assert kind == "fr.inria.built-in.Roto"
        self.nodes.append(Node())
        return self.nodes[-1]


def run(code: bytes, **world: Any) -> Context:
    """What the script makes when it is run in the Script Editor."""
    app = App()
    exec(compile(code, "x.py", "exec"), {"app": app, "__name__": "__main__", **world})
    (node,) = app.nodes
    return node.context
