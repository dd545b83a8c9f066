"""What the tasks of a queue may use together, and whether a step fits into it.

OpenJD's own local runner ignores hostRequirements; this is where they are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from laikaroto.config import QueueConfig
from laikaroto.farm.plan import Requirements, StepPlan


def host_cpus() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Slots of a queue, CPU threads of a task that does not ask for more, memory of all."""

    slots: int
    threads: int
    memory_mib: int

    @classmethod
    def of(cls, queue: QueueConfig) -> Capacity:
        """Read it from the configuration; what that leaves open comes from the machine."""
        slots = queue.slots or max(1, host_cpus() // 2)
        memory = psutil.virtual_memory().total / 2**20
        return cls(
            slots=slots,
            threads=queue.threads_per_slot or max(1, host_cpus() // slots),
            memory_mib=int(queue.memory_gib * 1024 if queue.memory_gib else memory),
        )

    @property
    def cpus(self) -> int:
        """CPUs of all slots together."""
        return self.slots * self.threads

    def threads_for(self, cpus: int | None) -> int:
        """Threads a task gets that asks for ``cpus``: never fewer than a slot has."""
        return max(self.threads, cpus or 0)

    def refusal(self, step: str, wanted: Requirements) -> str | None:
        """Why a step can never run here, or None if it can."""
        faults = list(wanted.impossible)
        if (wanted.cpus or 0) > self.cpus:
            faults.append(f"{wanted.cpus} CPUs (here: {self.cpus} in {self.slots} slots)")
        if wanted.memory_mib > self.memory_mib:
            faults.append(f"{wanted.memory_mib} MiB memory (here: {self.memory_mib})")
        if not faults:
            return None
        return f"step {step!r} asks for what this queue does not have: {'; '.join(faults)}"

    def refusal_of(self, steps: Iterable[StepPlan]) -> str | None:
        """Why a job with these steps can never run here, or None if it can."""
        why = (self.refusal(step.name, step.requirements) for step in steps)
        return next((text for text in why if text), None)
