"""Whether the hosts of a partition can ever run a step, asked before anything is submitted.

Slurm itself accepts a job that fits nowhere if slurm.conf lacks ``EnforcePartLimits=ALL``, and
lets it wait for ever. So the question is not left to it.
"""

from __future__ import annotations

from laikaroto.config import SlurmSettings, parse_duration
from laikaroto.farm.plan import Requirements
from laikaroto.farm.slurm.commands import Cluster


def refusal(
    cluster: Cluster, settings: SlurmSettings, step: str, wanted: Requirements, *, threads: int
) -> str | None:
    """Why a step can never run in a partition, or None if it can.

    Args:
        cluster: the partition.
        settings: of the queue.
        step: name of the step.
        wanted: what it asks for.
        threads: CPUs every task of the queue gets at least.
    """
    faults = list(wanted.impossible)
    cpus = max(wanted.cpus or 0, threads)
    most_memory = max((memory for _, memory in cluster.hosts), default=0)
    if cpus > cluster.cpus:
        faults.append(f"{cpus} CPUs (the largest host has {cluster.cpus})")
    if wanted.memory_mib > most_memory:
        faults.append(f"{wanted.memory_mib} MiB memory (the largest host has {most_memory})")
    fit = sum(c >= cpus and m >= wanted.memory_mib for c, m in cluster.hosts)
    if not faults and fit == 0:
        faults.append(f"{cpus} CPUs and {wanted.memory_mib} MiB memory on one host")
    most = fit if cluster.most_nodes is None else min(fit, cluster.most_nodes)
    if not faults and wanted.nodes > most:
        faults.append(
            f"{wanted.nodes} hosts at once with {cpus} CPUs and {wanted.memory_mib} MiB memory "
            f"(a job may have {most} such hosts); submit it with fewer --nodes"
        )
    limit = None if settings.time_limit is None else parse_duration(settings.time_limit)
    if limit is not None and cluster.time_limit_s is not None and limit > cluster.time_limit_s:
        faults.append(
            f"a time limit of {settings.time_limit} (the partition's is "
            f"{cluster.time_limit_s / 3600:g} h)"
        )
    if not faults:
        return None
    return f"step {step!r} asks for what this queue does not have: {'; '.join(faults)}"
