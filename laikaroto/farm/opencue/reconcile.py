"""Bring OpenCue in line with what a job still needs.

Safe to repeat, and the only place that launches. A launch is written down before it is made
and found again by its name, so a client that died half way, or an answer that was lost, does
not double it. It is launched paused; when all it has to wait for in other jobs is known to
Cuebot, it is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from laikaroto.config import OpenCueSettings, parse_duration
from laikaroto.farm.opencue.cuebot import Cuebot
from laikaroto.farm.opencue.spec import Place, frame_command, launch_name, layer_names, write_spec
from laikaroto.farm.opencue.view import Launch, View, write_launches
from laikaroto.farm.places import job_folder
from laikaroto.farm.steering import write_steering


def reconcile(
    cuebot: Cuebot, settings: OpenCueSettings, view: View, upstream: Mapping[str, View], *,
    rewire: bool = False,
) -> int:  # fmt: skip
    """Launch a job if it has to be, let it wait for what it needs, run again what stalled.

    Args:
        cuebot: OpenCue.
        settings: of the queue.
        view: the job, whose lock the caller holds; changed along with OpenCue.
        upstream: the jobs it needs, by name.
        rewire: set anew what waits for what, after something was retried or skipped.

    Returns:
        How many tasks were given to OpenCue.

    Raises:
        FarmError: OpenCue refuses something; what was done before that stays.
        TryAgainError: Cuebot cannot be reached.
    """
    rewire |= _adopt_eaten(view)
    if view.steering.ended:
        return 0
    number = 0
    waits_for = [upstream[name] for name in view.card.settings.needs if upstream[name].unfinished()]
    if not view.live:
        missing = any(map(view.missing, view.keys()))
        if not missing or not all(other.live for other in waits_for):
            return 0  # nothing to run, or it needs what will not come by itself
        number = _launch(cuebot, settings, view)
    last = view.last
    assert last is not None
    eat = [view.frames[key].id for key in view.to_eat()]
    if rewire or eat or not last.ready:
        layers = cuebot.layers(last.id)
        _wire(cuebot, view, layers, waits_for)
        _mark_done(cuebot, view, layers)
        _defer(cuebot, view, layers)
        if not view.steering.paused and not last.ready:
            cuebot.resume(last.id)
        _change(view, ready=True)
    if eat:
        cuebot.eat(last.id, eat)  # last: as long as it is not done, all of this is done again
    return number + _run_again(cuebot, view)


def _adopt_eaten(view: View) -> bool:
    """Remember what was eaten in OpenCue, which forgets its jobs some day; true if anything was."""
    eaten = [key for key in view.keys() if view.eaten(key) and not view.steering.is_skipped(*key)]
    if eaten:
        view.steering = view.steering.with_skipped(eaten)
        write_steering(job_folder(view.state, view.card.settings.name), view.steering)
    return bool(eaten)


def _launch(cuebot: Cuebot, settings: OpenCueSettings, view: View) -> int:
    """Launch all that is not done, paused; take up a launch whose answer was lost."""
    card, last = view.card, view.last
    name = card.settings.name
    place = Place.of(card.settings, card.parameters, settings)
    if last is None or last.stopped is not None:
        number = len(view.launches) + 1
        last = Launch(
            number=number, name=place.job_name(launch_name(card, number)),
            tasks={
                step.name: frozenset(
                    i for i in range(len(step.tasks)) if not view.state_of((step.name, i))[0].done
                )
                for step in card.steps
            },
        )  # fmt: skip
        view.launches.append(last)
        write_launches(view.state, name, view.launches)
    cue = cuebot.find(last.name)
    if cue is None:
        delay_s = parse_duration(settings.retry_delay)
        commands = {
            step.name: frame_command(view.state, name, step.name, retry_delay_s=delay_s)
            for step in card.steps
        }
        cue = cuebot.launch(
            write_spec(
                card, settings, place, number=last.number, tasks=last.tasks, commands=commands,
                priority=view.steering.priority,
            )
        )  # fmt: skip
    view.cue = cue
    view.frames = view.named_frames(cuebot.frames(cue.id))
    _change(view, id=cue.id, name=cue.name)
    return sum(len(tasks) for tasks in last.tasks.values())


def _change(view: View, **changes: object) -> None:
    """Note something of the last launch."""
    view.launches[-1] = replace(view.launches[-1], **changes)  # type: ignore[arg-type]
    write_launches(view.state, view.card.settings.name, view.launches)


def _wire(cuebot: Cuebot, view: View, layers: Mapping[str, str], waits_for: Sequence[View]) -> None:
    """Let the first layers wait for every layer of the jobs this one needs, and for no other.

    Not for jobs as such: when a job is killed, OpenCue sets free what waits for the job.
    """
    assert view.cue is not None
    wanted = {
        (other.cue.name, layer): layer_id
        for other in waits_for
        if other.live and other.cue is not None
        for layer, layer_id in cuebot.layers(other.cue.id).items()
    }
    for layer in _first(view):
        known = {
            (depend.job, depend.layer): depend.id
            for depend in cuebot.depends(layers[layer])
            if depend.active and depend.job != view.cue.name
        }
        for name in wanted.keys() - known.keys():
            cuebot.depend_on(layers[layer], wanted[name])
        for name in known.keys() - wanted.keys():
            cuebot.satisfy(known[name])


def _first(view: View) -> list[str]:
    """Layers of the last launch that wait for nothing in it."""
    assert view.last is not None
    names, inside = layer_names(view.card), view.last.tasks
    return [
        names[step.name]
        for step in view.card.steps
        if inside.get(step.name) and not any(inside.get(need) for need in step.needs)
    ]


def _mark_done(cuebot: Cuebot, view: View, layers: Mapping[str, str]) -> None:
    """Free what waits for steps that are done: eating alone does not satisfy dependencies."""
    for step in view.card.steps:
        keys = [(step.name, index) for index in range(len(step.tasks))]
        layer = layers.get(layer_names(view.card)[step.name])
        skips = any(view.steering.is_skipped(*key) for key in keys)
        if layer is not None and skips and all(view.state_of(key)[0].done for key in keys):
            cuebot.mark_done(layer)


def _defer(cuebot: Cuebot, view: View, layers: Mapping[str, str]) -> None:
    when = view.card.settings.not_before
    if when is not None and when > time.time():
        for layer in layers.values():
            cuebot.start_after(layer, when)


def _run_again(cuebot: Cuebot, view: View) -> int:
    """Let OpenCue run what it holds for dead and has to run; not while the job is paused."""
    stalled = [] if view.steering.paused else view.stalled()
    if stalled and view.last is not None:
        frames = [view.frames[key] for key in stalled]
        # noted first: until OpenCue gets round to it, a frame that it shows as dead is not over
        _change(view, asked={**view.last.asked, **{f.id: f.stamp for f in frames}})
        cuebot.retry(view.last.id, [frame.id for frame in frames])
    return len(stalled)


def forget(view: View, keys: Sequence[tuple[str, int]]) -> None:
    """What OpenCue still says of former runs of these tasks counts no more.

    A launch that somebody else ended is given up, so that the tasks are launched again.
    """
    if view.vanished:
        _change(view, stopped=0.0)
    elif view.live and view.last is not None:
        stamps = {f.id: f.stamp for key in keys if (f := view.frames.get(key)) is not None}
        _change(view, asked={**view.last.asked, **stamps})
