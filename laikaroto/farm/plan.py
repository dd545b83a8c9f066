"""From a bundle to what a farm has to run: steps, their order, their tasks, what they ask for.

Open Job Description does the reading; this module only flattens its answer, so that engines
need not know its model. Every task is known when the job is queued: frames are an explicit
list and chunks have a fixed size.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from laikaroto.config import check_name
from laikaroto.errors import ConfigError, FarmError, UsageError
from laikaroto.farm.bundle import Bundle

EXTENSIONS = ("TASK_CHUNKING", "FEATURE_BUNDLE_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a step asks of a host.

    ``cpus`` None means it does not say. ``nodes`` is how many hosts each of its tasks needs at
    once, every one with these CPUs and this memory. ``impossible`` lists what no local host can
    give, in words.
    """

    cpus: int | None = None
    memory_mib: int = 0
    nodes: int = 1
    impossible: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One step; ``tasks`` holds the parameter values of each of its tasks."""

    name: str
    needs: tuple[str, ...]
    requirements: Requirements
    tasks: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutline:
    """What a farm has to know of a job to queue it."""

    steps: tuple[StepPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan(JobOutline):
    """A job ready to run. ``job`` and ``values`` are the records of openjd-model."""

    job: Any
    values: Any
    extensions: tuple[str, ...]


def plan_job(bundle: Bundle, *, where: str) -> JobPlan:
    """Check a bundle against Open Job Description and list its tasks.

    Args:
        bundle: as read or about to be written.
        where: how to call it in messages, usually its folder.

    Raises:
        ConfigError: the template or a parameter value is wrong; every fault is listed.
    """
    from openjd.model import (
        DecodeValidationError,
        StepDependencyGraph,
        StepParameterSpaceIterator,
        create_job,
    )

    template, values = _values(bundle, where)
    try:
        job = create_job(job_template=template, job_parameter_values=values)
        order = [step.name for step in StepDependencyGraph(job=job).topo_sorted()]
        for name in order:
            check_name(name, "step")  # steps become folders, job names and arguments
        nodes = _nodes(bundle, order)
    except (DecodeValidationError, ValueError, UsageError) as error:
        raise _fault(where, error) from error
    steps = {step.name: step for step in job.steps}
    return JobPlan(
        steps=tuple(
            StepPlan(
                name=name,
                needs=tuple(need.dependsOn for need in steps[name].dependencies or ()),
                requirements=_requirements(steps[name].hostRequirements, nodes.get(name, 1)),
                tasks=tuple(
                    {key: str(value.value) for key, value in task.items()}
                    for task in StepParameterSpaceIterator(space=steps[name].parameterSpace)
                ),
            )
            for name in order
        ),
        job=job,
        values=values,
        extensions=tuple(template.extensions or ()),
    )


def _values(bundle: Bundle, where: str) -> tuple[Any, Any]:
    """The template's record, and the parameter values of a job, checked against it."""
    from openjd.model import DecodeValidationError, preprocess_job_parameters

    try:
        template = _decode(bundle.template)
        return template, preprocess_job_parameters(
            job_template=template,
            job_parameter_values={key: str(value) for key, value in bundle.parameters.items()},
            job_template_dir=Path("/"),
            current_working_dir=Path("/"),
        )
    except (DecodeValidationError, ValueError) as error:
        raise _fault(where, error) from error


def _fault(where: str, error: Exception) -> ConfigError:
    return ConfigError(f"{where}: template.yaml or its parameter values: {error}")


class Planner:
    """Lists the steps of many jobs, each quickly if it differs from one before in names only.

    Resolving a template takes milliseconds, two thousand shots use the same one, and which
    tasks a job has follows from a few of its parameters. All values of every job are checked.
    """

    def __init__(self) -> None:
        """Nothing is planned yet."""
        self._known: dict[tuple[object, ...], JobOutline] = {}
        self._shaping: dict[str, frozenset[str]] = {}

    def outline(self, bundle: Bundle, *, where: str) -> JobOutline:
        """The steps of a job that our own engines can run.

        Args:
            bundle: about to be submitted.
            where: how to call it in messages.

        Raises:
            ConfigError: as of ``plan_job`` and ``refuse_environments``.
        """
        key = self._shape(bundle)
        if key in self._known:
            _values(bundle, where)
            return self._known[key]
        plan = plan_job(bundle, where=where)
        refuse_environments(plan, where=where)
        self._known[key] = JobOutline(steps=plan.steps)
        return self._known[key]

    def _shape(self, bundle: Bundle) -> tuple[object, ...]:
        """What the steps of a job follow from."""
        text = bundle.template
        if text not in self._shaping:
            self._shaping[text] = _shaping_parameters(text)
        settings = bundle.settings.model_dump_json(exclude={"name", "key", "needs"})
        values = [
            (name, str(value))
            for name, value in bundle.parameters.items()
            if name in self._shaping[text] or f'"{name}"' in settings
        ]
        return text, settings, *sorted(values)


def _shaping_parameters(template: str) -> frozenset[str]:
    """Names of the job parameters that are used outside of the commands of a template."""
    try:
        data = yaml.load(template, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        rest = [{k: v for k, v in step.items() if k != "script"} for step in data["steps"]]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return frozenset()  # not a template: planning it says so
    return frozenset(re.findall(r"Param\.(\w+)", str(rest)))


@lru_cache(maxsize=8)
def _decode(text: str) -> Any:
    """The template's record, which nothing changes; hundreds of jobs come from the same text."""
    from openjd.model import DocumentType, decode_job_template, document_string_to_object

    return decode_job_template(
        template=document_string_to_object(document=text, document_type=DocumentType.YAML),
        supported_extensions=EXTENSIONS,
    )


def refuse_environments(plan: JobPlan, *, where: str) -> None:
    """Refuse what our own engines do not run.

    Raises:
        ConfigError: the job has OpenJD environments.
    """
    if plan.job.jobEnvironments or any(step.stepEnvironments for step in plan.job.steps):
        raise ConfigError(f"{where}: jobs with OpenJD environments are not run by this engine")


def refuse_several_hosts(steps: Sequence[StepPlan], *, where: str, farm: str) -> None:
    """Refuse what a farm that gives every task one host cannot run.

    Args:
        steps: of the job.
        where: how to call it in messages.
        farm: how to call the farm.

    Raises:
        FarmError: a step asks for several hosts at once.
    """
    for step in steps:
        if (nodes := step.requirements.nodes) > 1:
            raise FarmError(
                f"{where}: step {step.name!r} asks for {nodes} hosts at once; {farm} gives each "
                "task one. Submit it with --nodes 1, or to a Slurm queue"
            )


def _nodes(bundle: Bundle, steps: Sequence[str]) -> dict[str, int]:
    """On how many hosts the tasks of a step run, where laikaroto.yaml says so."""
    found: dict[str, int] = {}
    for step, parameter in bundle.settings.nodes.items():
        value = str(bundle.parameters.get(parameter, ""))
        if step not in steps or not value.isdigit() or int(value) < 1:
            raise ValueError(
                f"laikaroto.yaml: nodes: {step}: {parameter}: wanted a step and a job parameter "
                f"that is a number of hosts, got {value or 'no such parameter'!r} (steps: "
                f"{', '.join(steps)})"
            )
        found[step] = int(value)
    return found


def _requirements(wanted: Any, nodes: int) -> Requirements:
    cpus: int | None = None
    memory = 0
    impossible: list[str] = []
    for amount in (wanted.amounts if wanted else None) or ():
        least = float(amount.min or 0)
        if amount.name == "amount.worker.vcpu":
            cpus = max(1, int(-(-least // 1)))
        elif amount.name == "amount.worker.memory":
            memory = int(-(-least // 1))
        elif least > 0:
            impossible.append(f"{amount.name} of at least {least:g}")
    for attribute in (wanted.attributes if wanted else None) or ():
        here = _attributes().get(attribute.name, "nothing")
        fine = (not attribute.anyOf or here in attribute.anyOf) and (
            not attribute.allOf or set(attribute.allOf) == {here}
        )
        if not fine:
            asked = ", ".join([*(attribute.anyOf or ()), *(attribute.allOf or ())])
            impossible.append(f"{attribute.name} {asked} (here: {here})")
    return Requirements(cpus=cpus, memory_mib=memory, nodes=nodes, impossible=tuple(impossible))


def _attributes() -> dict[str, str]:
    machine = platform.machine().lower()
    return {
        "attr.worker.os.family": {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux"),
        "attr.worker.cpu.arch": {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine),
    }
