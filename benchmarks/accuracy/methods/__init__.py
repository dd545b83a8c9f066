"""The methods that are compared, one file each."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.accuracy.method import Method, Task


def _laikaroto(task: Task) -> Method:
    from benchmarks.accuracy.methods.laikaroto import Laikaroto

    return Laikaroto(task)


def _paper(task: Task) -> Method:
    from benchmarks.accuracy.methods.paper import Paper

    return Paper(task)


def _dlib(task: Task) -> Method:
    from benchmarks.accuracy.methods.dlib_trees import DlibTrees

    return DlibTrees(task)


def _matte(task: Task) -> Method:
    from benchmarks.accuracy.methods.matte import MatteToShapes

    return MatteToShapes(task)


def _sleap(task: Task) -> Method:
    from benchmarks.accuracy.methods.sleap import SleapNn

    return SleapNn(task)


def _keys(every: int, *, flow: bool) -> Callable[[Task], Method]:
    def make(task: Task) -> Method:
        from benchmarks.accuracy.methods.keys import Keys

        return Keys(task, every=every, flow=flow)

    return make


#: name in the table -> how it is made; the order is that of the table
METHODS: dict[str, Callable[[Task], Method]] = {
    "laikaroto": _laikaroto,
    "paper": _paper,
    "dlib": _dlib,
    "matte": _matte,
    "sleap": _sleap,
    **{f"keys-{n}": _keys(n, flow=False) for n in (4, 8, 16)},
    **{f"keys-{n}-flow": _keys(n, flow=True) for n in (4, 8, 16)},
}
