"""Whether any host of a farm can ever run a step, asked before anything is submitted."""

from __future__ import annotations

from collections.abc import Sequence

from laikaroto.farm.plan import Requirements


def lacking(
    hosts: Sequence[tuple[int, int]], wanted: Requirements, *, threads: int,
    most_nodes: int | None = 1,
) -> list[str]:  # fmt: skip
    """What a step asks for that no host has, in words; empty if one can run it.

    Args:
        hosts: CPUs and memory in MiB of each.
        wanted: what the step asks for.
        threads: CPUs every task of the queue gets at least.
        most_nodes: hosts a task may have at once; None for all.
    """
    faults = list(wanted.impossible)
    cpus = max(wanted.cpus or 0, threads)
    most_cpus = max((found for found, _ in hosts), default=0)
    most_memory = max((memory for _, memory in hosts), default=0)
    if cpus > most_cpus:
        faults.append(f"{cpus} CPUs (the largest host has {most_cpus})")
    if wanted.memory_mib > most_memory:
        faults.append(f"{wanted.memory_mib} MiB memory (the largest host has {most_memory})")
    fit = sum(c >= cpus and m >= wanted.memory_mib for c, m in hosts)
    if not faults and fit == 0:
        faults.append(f"{cpus} CPUs and {wanted.memory_mib} MiB memory on one host")
    most = fit if most_nodes is None else min(fit, most_nodes)
    if not faults and wanted.nodes > most:
        faults.append(
            f"{wanted.nodes} hosts at once with {cpus} CPUs and {wanted.memory_mib} MiB memory "
            f"(a job may have {most} such hosts); submit it with fewer --nodes"
        )
    return faults


def refused(step: str, faults: Sequence[str]) -> str | None:
    """The faults of a step as one sentence; None if there are none."""
    if not faults:
        return None
    return f"step {step!r} asks for what this queue does not have: {'; '.join(faults)}"
