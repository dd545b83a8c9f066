"""The OpenCue engine: what people want is written down, then OpenCue is brought in line."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from laikaroto.config import OpenCueSettings, QueueConfig
from laikaroto.errors import FarmError, LaikarotoError
from laikaroto.farm.bundle import Bundle
from laikaroto.farm.hosts import lacking, refused
from laikaroto.farm.opencue.cuebot import Cuebot, CueHost
from laikaroto.farm.opencue.reconcile import forget, reconcile
from laikaroto.farm.opencue.spec import Place, environment, frame_command
from laikaroto.farm.opencue.view import View, read_launches, write_launches
from laikaroto.farm.plan import JobOutline, Planner, Requirements
from laikaroto.farm.recorded import RecordedEngine
from laikaroto.farm.steering import read_card, read_steering
from laikaroto.farm.view import Key, attempts_of


class OpenCueEngine(RecordedEngine[View]):
    """A queue whose tasks are run by OpenCue."""

    farm = "OpenCue"
    poll_s = 2.0

    def __init__(self, queue: QueueConfig, state: Path) -> None:
        """See ``RecordedEngine``."""
        super().__init__(queue, state)
        self._settings = queue.opencue or OpenCueSettings()
        self._cuebot = Cuebot(self._settings, queue=queue.name)
        self._known_hosts: tuple[CueHost, ...] = ()
        self._known_shows: set[str] = set()

    def close(self) -> None:
        """Close the connection to Cuebot."""
        self._cuebot.close()

    # ---- what OpenCue can run -------------------------------------------------------------

    @property
    def cpus(self) -> int:
        """CPUs of the largest host, unless the queue says fewer."""
        return self._settings.max_cpus or max(host.cpus for host in self._hosts())

    def obstacle(self) -> str:
        """See ``Engine.obstacle``."""
        try:
            self._hosts()
        except LaikarotoError as error:
            return str(error)
        return ""

    def _hosts(self) -> tuple[CueHost, ...]:
        """The hosts that can get tasks of this queue; asked once."""
        if not self._known_hosts:
            tags = set(self._settings.tags)
            found = self._cuebot.hosts()
            self._known_hosts = tuple(h for h in found if not tags or tags & h.tags)
            if not self._known_hosts:
                wanted = f" with the tag {' or '.join(sorted(tags))}" if tags else ""
                raise FarmError(
                    f"queue {self.name!r}: OpenCue knows no host{wanted} (of {len(found)}); start "
                    "RQD on one, or mend opencue.tags in the queue's file"
                )
        return self._known_hosts

    def _refusal(self, step: str, wanted: Requirements) -> str | None:
        hosts = [(host.cpus, host.memory_mib) for host in self._hosts()]
        return refused(step, lacking(hosts, wanted, threads=self.threads))

    def _plan(self, bundle: Bundle, planner: Planner) -> JobOutline:
        """As of every engine of this kind; OpenCue has to have a place for the job, too."""
        place = Place.of(bundle.settings, bundle.parameters, self._settings)
        environment(self._settings)
        frame_command(self.state, bundle.settings.name, "any", retry_delay_s=0)
        if place.show not in self._known_shows:
            self._cuebot.check_place(place.show)
            self._known_shows.add(place.show)
        return super()._plan(bundle, planner)

    # ---- looking --------------------------------------------------------------------------

    def _views(self, names: Sequence[str], *, untold: Collection[str] = ()) -> dict[str, View]:
        views = self._read(names)  # Cuebot is not asked about jobs without a launch
        lasts = {name: view.last for name, view in views.items()}
        ids = [last.id for last in lasts.values() if last is not None and last.id]
        jobs = self._cuebot.jobs(ids) if ids else {}
        for name, view in views.items():
            last = lasts[name]
            view.cue = jobs.get(last.id) if last is not None else None
            view.attempts = attempts_of(self.state, view.card)
            if view.cue is not None and (list(names) == [name] or view.disagrees):
                view.frames = view.named_frames(self._cuebot.frames(view.cue.id))
                # read after OpenCue was asked: a task that ended in between has ended, not died
                view.attempts = attempts_of(self.state, view.card)
        return views

    def _read(self, names: Sequence[str]) -> dict[str, View]:
        """Jobs and all they need, as they are written down."""
        views: dict[str, View] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in views:
                card = read_card(self.state, name, queue=self.name)
                views[name] = View(
                    state=self.state, card=card, steering=read_steering(self.state, name),
                    attempts={}, launches=read_launches(self.state, name),
                )  # fmt: skip
                todo += card.settings.needs
        return views

    # ---- telling --------------------------------------------------------------------------

    def _reconcile_view(self, views: Mapping[str, View], job: str, *, rewire: bool) -> int:
        return reconcile(self._cuebot, self._settings, views[job], views, rewire=rewire)

    def _end(self, view: View) -> None:
        """The job leaves the cue; its tasks are told by what is written down, and by RQD."""
        if view.live and view.last is not None:
            self._cuebot.kill(view.last.id, "laikaroto jobs cancel")
            view.launches[-1] = replace(view.last, stopped=time.time())
            write_launches(self.state, view.card.settings.name, view.launches)

    def _hold(self, view: View) -> None:
        if view.live and view.last is not None:
            self._cuebot.pause(view.last.id)

    def _release(self, view: View) -> None:
        if view.live and view.last is not None and view.last.ready:
            self._cuebot.resume(view.last.id)

    def _prefer(self, view: View, priority: int) -> None:
        if view.live and view.last is not None:
            self._cuebot.set_priority(view.last.id, priority)

    def _forget(self, view: View, tasks: Sequence[Key]) -> View:
        forget(view, tasks)
        return view

    def _drop(self, view: View, tasks: Sequence[Key]) -> None:
        """Nothing is left to do: ``reconcile`` has let OpenCue eat them."""
