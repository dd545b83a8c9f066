"""One of several processes of a training whose clock ticks once a step.

    python member.py RUN PLACE RANK COUNT STEPS [say]

Process 0 is given an empty PLACE, makes one up, and says it first. All end with a digest of
their weights.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from laikaroto.errors import LaikarotoError
from laikaroto.stopping import Stop, stoppable
from laikaroto.training import loop
from laikaroto.training.loop import train
from laikaroto.training.meeting import parse_place
from laikaroto.training.processes import ALONE, Peers, joined, open_store
from laikaroto.training.run import open_course


def say(text: str) -> None:
    print(text, flush=True)


def tick() -> None:
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    loop.time = SimpleNamespace(monotonic=monotonic)  # type: ignore[assignment]


def learn(run: Path, steps: int, peers: Peers, *, talks: bool) -> str:
    # half of the steps are measured on a2 and the clock ticks once each
    choices = {"budget_s": float(steps), "seed": 1, "held_out": ("a2",), "batch": 4,
               "held_out_share": 0.999}  # fmt: skip
    course = open_course(run, lambda share, text: None, choices=choices, peers=peers)
    if talks:
        keep = loop._keep

        def keep_and_say(course: loop.Course, state: object) -> None:
            keep(course, state)  # type: ignore[arg-type]
            say("checkpoint")

        loop._keep = keep_and_say  # type: ignore[assignment]
        course = replace(course, settings=replace(course.settings, budget_s=float(steps)))
    else:
        tick()
    course = replace(course, stop=Stop())
    with stoppable(course.stop):
        state = train(course, on_start=lambda start: say("going on" if start.resumed else "new"))
    total = hashlib.sha256()
    for value in state.drawer.state_dict().values():
        total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()


def main() -> None:
    run, place, rank, count, steps = sys.argv[1:6]
    talks = len(sys.argv) > 6
    if talks:
        loop.CHECKPOINT_EVERY_S = 0.2
    if int(count) == 1:
        say("-")
        say(learn(Path(run), int(steps), ALONE, talks=talks))
        return
    store = open_store(parse_place(place) if place else None, hosts=not place)
    if not place:
        say(f"127.0.0.1:{store.port}")
    with joined(store, int(rank), int(count)) as peers:
        say(learn(Path(run), int(steps), peers, talks=talks))


if __name__ == "__main__":
    try:
        main()
    except LaikarotoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
