"""The Slurm engine: what people want is written down, then Slurm is brought in line with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from laikaroto.config import QueueConfig, SlurmSettings, parse_duration
from laikaroto.errors import LaikarotoError
from laikaroto.farm.engine import Load
from laikaroto.farm.plan import Requirements
from laikaroto.farm.recorded import RecordedEngine
from laikaroto.farm.slurm.capacity import refusal
from laikaroto.farm.slurm.commands import Row, Slurm
from laikaroto.farm.slurm.reconcile import has_all, reconcile
from laikaroto.farm.slurm.view import View, by_job, was_told, write_sent
from laikaroto.farm.steering import read_card, read_steering
from laikaroto.farm.view import Key


class SlurmEngine(RecordedEngine[View]):
    """A queue whose tasks are run by Slurm.

    Slurm's KillWait is the longest time a cancelled task gets to end.
    """

    farm = "Slurm"
    poll_s = 2.0
    hands = 8  # sbatch mostly waits for slurmctld

    def __init__(self, queue: QueueConfig, state: Path) -> None:
        """See ``RecordedEngine``."""
        super().__init__(queue, state)
        self._settings = queue.slurm or SlurmSettings()
        self._slurm = Slurm(self._settings)

    @property
    def cpus(self) -> int:
        """CPUs of the largest host, unless the queue says fewer."""
        return self._settings.max_cpus or self._slurm.cluster().cpus

    def cpus_on(self, nodes: int) -> int:
        """So many hosts have at least these CPUs, unless the queue says fewer."""
        sizes = sorted((cpus for cpus, _ in self._slurm.cluster().hosts), reverse=True)
        return self._settings.max_cpus or (sizes[nodes - 1] if nodes <= len(sizes) else self.cpus)

    @property
    def all_cpus(self) -> int:
        """CPUs of all hosts of the partition."""
        return max(self.cpus, sum(cpus for cpus, _ in self._slurm.cluster().hosts))

    def obstacle(self) -> str:
        """See ``Engine.obstacle``."""
        try:
            self._slurm.cluster()
        except LaikarotoError as error:
            return str(error)
        return ""

    def load(self) -> Load:
        """See ``Engine.load``; slots are CPUs of the partition."""
        try:
            busy, slots = self._slurm.busy()
        except LaikarotoError as error:
            return Load(runs=False, text=str(error))
        return Load(runs=True, slots=slots, busy=busy, text=f"{slots} CPUs, {busy} allocated")

    def _stop_before_s(self) -> float:
        return parse_duration(self._settings.stop_before)

    def _refusal(self, step: str, wanted: Requirements) -> str | None:
        return refusal(self._slurm.cluster(), self._settings, step, wanted, threads=self.threads)

    def _views(self, names: Sequence[str], *, untold: Collection[str] = ()) -> dict[str, View]:
        rows: dict[str, list[Row]] | None = None
        views: dict[str, View] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in views:
                continue
            card = read_card(self.state, name, queue=self.name)
            steering = read_steering(self.state, name)
            if rows is None and name not in untold:
                rows = by_job(self._slurm.rows())
            own = () if rows is None else rows.get(name, ())
            views[name] = View.of(self.state, card, steering, own)
            todo += card.settings.needs
        return views

    def _was_told(self, job: str) -> bool:
        return was_told(self.state, job)

    def _in_order(self, jobs: Sequence[str]) -> set[str]:
        views = self._views(jobs)
        return {name for name in jobs if has_all(views[name])}

    def _reconcile_view(self, views: Mapping[str, View], job: str, *, rewire: bool) -> int:
        upstream = [view for name, view in views.items() if name != job]
        return reconcile(self._slurm, self._settings, views[job], upstream, rewire=rewire)

    def _end(self, view: View) -> None:
        self._slurm.cancel(sorted({str(row.array) for row in view.live.values()}))

    def _hold(self, view: View) -> None:
        self._slurm.hold(_waiting(view))

    def _release(self, view: View) -> None:
        self._slurm.release(_waiting(view))

    def _prefer(self, view: View, priority: int) -> None:
        nice = (100 - priority) * self._settings.nice_per_priority
        for array in _waiting(view):
            self._slurm.update(array, f"Nice={nice}")

    def _forget(self, view: View, tasks: Sequence[Key]) -> View:
        for place, item in enumerate(view.sent):
            gone = frozenset(i for step, i in tasks if step == item.step) & item.tasks
            view.sent[place] = replace(item, retired=item.retired | gone)
        write_sent(self.state, view.card.settings.name, view.sent)
        return View.of(self.state, view.card, view.steering, view.rows())

    def _drop(self, view: View, tasks: Sequence[Key]) -> None:
        self._slurm.cancel(
            [
                f"{row.array}_{key[1] - int(row.comment.rpartition(':')[2])}"
                for key in tasks
                if (row := view.live.get(key)) is not None
            ]
        )


def _waiting(view: View) -> list[int]:
    return sorted({row.array for row in view.live.values() if row.waits})
