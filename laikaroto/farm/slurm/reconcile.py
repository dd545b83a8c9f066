"""Bring Slurm in line with what a job still needs.

Safe to repeat, and the only place that submits: a task is submitted if it has to run and
Slurm does not know it, by the comment of its array. So a job that slurmctld acknowledged and
then forgot is submitted again, one that is there is not doubled, and a client that died half
way is taken up where it stopped.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from laikaroto.config import SlurmSettings, parse_duration
from laikaroto.farm.engine import TaskState
from laikaroto.farm.places import job_folder
from laikaroto.farm.plan import StepPlan
from laikaroto.farm.slurm.commands import Row, Slurm, format_instant, format_time
from laikaroto.farm.slurm.view import Sent, View, comment_of, note_told, write_sent
from laikaroto.farm.view import Key
from laikaroto.frames import format_frames

SCRIPT = Path(__file__).with_name("task.sh")
_NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What has to end well before a step may start: Slurm's expression for it.

    ``blocked``: something that it needs is not in Slurm and will not come by itself.
    """

    expression: str = ""
    blocked: bool = False


def reconcile(
    slurm: Slurm,
    settings: SlurmSettings,
    view: View,
    upstream: Sequence[View],
    *,
    rewire: bool = False,
) -> int:
    """Submit what is missing of a job; set anew what waits for what cannot come.

    Args:
        slurm: the cluster.
        settings: of the queue.
        view: the job, whose lock the caller holds; changed along with Slurm.
        upstream: the jobs it needs, transitively.
        rewire: set all dependencies anew, after something was retried or skipped.

    Returns:
        How many tasks were submitted.

    Raises:
        FarmError: Slurm refuses something; what was submitted before that stays.
        TryAgainError: Slurm cannot be reached.
    """
    if view.steering.ended:
        return 0
    before = list(view.sent)
    note_told(view.state, view.card.settings.name)
    try:
        return _reconcile(slurm, settings, view, upstream, rewire)
    finally:
        if view.sent != before:  # once for all arrays of a job: each writing waits for the disk
            write_sent(view.state, view.card.settings.name, view.sent)


def has_all(view: View) -> bool:
    """True if ``reconcile`` would find nothing to do, unless another job is to blame."""
    return view.steering.ended or not (
        any(map(view.missing, view.keys()))
        or any(row.waits and row.reason == _NEVER for row in view.live.values())
    )


def _reconcile(
    slurm: Slurm, settings: SlurmSettings, view: View, upstream: Sequence[View], rewire: bool
) -> int:
    number = 0
    outside = [key for other in upstream for key in other.unfinished()]
    blocked = any(key not in other.live for other in upstream for key in other.unfinished())
    for step in view.card.steps:
        inside = _unfinished(view, ((n, i) for n in step.needs for i in _indices(view, n)))
        waits = _waits(view, inside, upstream if outside else (), blocked)
        if waits.blocked:
            continue
        missing = [i for i in _indices(view, step.name) if view.missing((step.name, i))]
        if missing:
            _submit(slurm, settings, view, step, missing, waits.expression)
            number += len(missing)
        _rewire(slurm, view, step, waits.expression, always=rewire)
    return number


def _indices(view: View, step: str) -> range:
    return range(len(view.card.step(step).tasks))


def _unfinished(view: View, keys: Iterable[Key]) -> list[Key]:
    return [key for key in keys if not view.state_of(key)[0].done]


def _waits(view: View, inside: Sequence[Key], upstream: Sequence[View], blocked: bool) -> Waits:
    if blocked or any(key not in view.live for key in inside):
        return Waits(blocked=True)
    ids = _ids(view, inside)
    for other in upstream:
        ids += _ids(other, other.unfinished())
    return Waits(expression=f"afterok:{':'.join(ids)}" if ids else "")


def _ids(view: View, keys: Sequence[Key]) -> list[str]:
    """Slurm's names of tasks: whole arrays where all else in them went well."""
    wanted: dict[int, list[Key]] = defaultdict(list)
    for key in keys:
        wanted[view.live[key].array].append(key)
    ids: list[str] = []
    for array, found in wanted.items():
        item = next((s for s in view.sent if s.array == array), None)
        rest = (item.tasks - {index for _, index in found}) if item else frozenset()
        step = found[0][0]
        if item and all(view.verdict((step, i)).state is TaskState.SUCCEEDED for i in rest):
            ids.append(str(array))
        else:
            ids += [f"{array}_{index - _offset(view.live[found[0]])}" for _, index in found]
    return ids


def _offset(row: Row) -> int:
    return int(row.comment.rpartition(":")[2])


def _rewire(slurm: Slurm, view: View, step: StepPlan, expression: str, *, always: bool) -> None:
    """Set what the waiting arrays of a step wait for, if that may have become wrong."""
    arrays: Mapping[int, str] = {
        row.array: row.reason
        for (name, _), row in view.live.items()
        if name == step.name and row.waits and row.reason != "BeginTime"
    }
    for array, reason in arrays.items():
        if always or reason == _NEVER:
            slurm.set_dependency(array, expression)


def _submit(
    slurm: Slurm, settings: SlurmSettings, view: View, step: StepPlan, missing: Sequence[int],
    dependency: str,
) -> None:  # fmt: skip
    """Submit tasks of a step as arrays that do not exceed MaxArraySize."""
    most = slurm.cluster().most_array_tasks
    parts: dict[int, list[int]] = defaultdict(list)
    for index in missing:
        parts[index // most * most].append(index)
    requeue = "exit" if slurm.cluster().requeues_75 else "scontrol"
    name = view.card.settings.name
    for offset, indices in parts.items():
        options = _options(settings, view, step, dependency)
        options += [
            f"--array={format_frames([index - offset for index in indices])}",
            f"--comment={comment_of(name, step.name, offset)}",
        ]
        array = slurm.submit(
            options, str(SCRIPT), sys.executable, requeue, str(view.state), name, step.name,
            str(offset),
        )  # fmt: skip
        _remember(view, Sent(
            array=array, step=step.name, offset=offset, tasks=frozenset(indices)
        ))  # fmt: skip
        row = Row(
            array=array, tasks=tuple(indices), state="PENDING", reason="None", host="",
            comment=comment_of(name, step.name, offset),
        )  # fmt: skip
        view.live.update({(step.name, index): row for index in indices})


def _remember(view: View, sent: Sent) -> None:
    """Note a new array; its tasks are no more the business of those before it."""
    former = [
        replace(item, retired=item.retired | (item.tasks & sent.tasks))
        if item.step == sent.step
        else item
        for item in view.sent
        if item.array != sent.array  # slurmctld forgot that one and gave its number away
    ]
    view.sent[:] = [*former, sent]


def _options(settings: SlurmSettings, view: View, step: StepPlan, dependency: str) -> list[str]:
    card, steering = view.card, view.steering
    wanted = step.requirements
    folder = job_folder(view.state, card.settings.name)
    log = str(folder / "logs" / step.name / "slurm").replace("%", "%%")
    options = [
        f"--job-name={card.settings.name}.{step.name}",
        f"--chdir={folder}",
        f"--output={log}-%A_%a.out",
        "--open-mode=append",
        "--requeue",
        f"--nodes={wanted.nodes}",
        f"--ntasks={wanted.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={max(card.threads, wanted.cpus or 1)}",
        f"--nice={(100 - steering.priority) * settings.nice_per_priority}",
        *settings.options,
    ]
    for name in ("partition", "account", "qos", "constraint"):
        if (value := getattr(settings, name)) is not None:
            options.append(f"--{name}={value}")
    if wanted.memory_mib:
        options.append(f"--mem={wanted.memory_mib}")
    if settings.time_limit is not None:
        options.append(f"--time={format_time(parse_duration(settings.time_limit))}")
    if steering.paused:
        options.append("--hold")
    if card.settings.not_before is not None:
        options.append(f"--begin={format_instant(card.settings.not_before)}")
    if dependency:
        options.append(f"--dependency={dependency}")
    (folder / "logs" / step.name).mkdir(parents=True, exist_ok=True)
    return options
