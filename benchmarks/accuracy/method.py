"""What a method is asked for, and how it answers.

To add one: a file in ``methods/`` with a class of this form, a line in ``methods.METHODS``, a
paragraph in ``docs/accuracy.md``. ``tests/benchmarks/test_methods.py`` runs every one that is
listed through the same contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from benchmarks.accuracy.footage import Footage, Shot
from laikaroto.errors import LaikarotoError
from laikaroto.model.crop import Box
from laikaroto.shapes.records import Roto

#: ``crop``: the head's box is the true one. ``points``: the tracking points and the positions
#: of control points are the true ones, and only what is done with them is measured. ``pose``: the
#: head is turned and placed as it truly is, with the face that was drawn.
Oracle = Literal["none", "crop", "points", "pose"]
Report = Callable[[float, str], None]

#: How inexact the head box is that the peers are given when it is not the true one: standard
#: deviations of its centre (share of its side) and of the logarithm of its side.
BOX_SHIFT, BOX_SIZE = 0.02, 0.05


class NotInstalledError(LaikarotoError):
    """A method needs a program that is not here; the table says so."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What every method gets.

    Attributes:
        footage: plates and truth; only the truth of ``footage.training`` may be learned from.
        budget_s: wall time to learn in.
        threads: processor threads to use, for learning and drawing.
        folder: its own; what ``fit`` leaves there is all that ``predict`` may need.
        seed: of everything random.
        oracle: which stage is replaced by the truth.
        report: told how far it is.
        options: settings of single methods, such as the interpreter that has sleap-nn.
    """

    footage: Footage
    budget_s: float
    threads: int
    folder: Path
    seed: int = 1
    oracle: Oracle = "none"
    report: Report = lambda fraction, text: None
    options: dict[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """One way to roto a shot."""

    #: whether it learns from training shots; what does not is run once, not for every budget
    learns: bool
    #: which stages it can be given the truth of
    oracles: frozenset[str]

    def fit(self) -> dict[str, Any]:
        """Learn within the budget and leave the model in the task's folder.

        Returns:
            What a reader of the table wants to know, such as the number of steps.

        Raises:
            NotInstalledError: a program it needs is not here.
        """

    def predict(self, shot: Shot) -> Roto:
        """Draw every frame of ``shot.frames``.

        Only methods that say so in their docstring look at ``shot.truth``.
        """

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """Frames that a person has drawn for it in this very shot."""


def given_boxes(task: Task, shot: Shot) -> dict[int, Box]:
    """The head boxes that peers without a finder of their own are given, plate px.

    From the truth, made as inexact as a good finder is, the same for every method; exact with
    the oracle ``crop``. A peer can thus never lose the head, which is to its advantage.
    """
    boxes = shot.true_boxes(task.footage.template)
    if task.oracle == "crop":
        return boxes
    found = {}
    for frame, box in boxes.items():
        rng = np.random.default_rng((task.seed, *shot.name.encode(), frame))
        x, y = rng.normal(0, BOX_SHIFT, 2) * box.side
        found[frame] = Box(box.x + x, box.y + y, float(box.side * np.exp(rng.normal(0, BOX_SIZE))))
    return found
