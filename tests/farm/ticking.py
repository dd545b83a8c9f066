"""``python -m laikaroto …`` with a clock that ticks once each time a training looks at it.

    python ticking.py -m laikaroto worker train …

So a budget of 24s is 24 looks, however slow the machine: the interpreter of a training job whose
steps a test counts.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from laikaroto.cli.app import main


def tick() -> None:
    """Give the training loop the clock."""
    from laikaroto.training import loop

    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    loop.time = SimpleNamespace(monotonic=monotonic)  # type: ignore[assignment]


if __name__ == "__main__":
    sys.argv = ["laikaroto", *sys.argv[3:]]
    if sys.argv[1:3] in (["worker", "train"], ["worker", "train-helper"]):
        tick()
    main()
