"""Whether the hosts of a partition can ever run a step, asked before anything is submitted.

Slurm itself accepts a job that fits nowhere if slurm.conf lacks ``EnforcePartLimits=ALL``, and
lets it wait for ever. So the question is not left to it.
"""

from __future__ import annotations

from laikaroto.config import SlurmSettings, parse_duration
from laikaroto.farm.hosts import lacking, refused
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
    faults = lacking(cluster.hosts, wanted, threads=threads, most_nodes=cluster.most_nodes)
    limit = None if settings.time_limit is None else parse_duration(settings.time_limit)
    if limit is not None and cluster.time_limit_s is not None and limit > cluster.time_limit_s:
        faults.append(
            f"a time limit of {settings.time_limit} (the partition's is "
            f"{cluster.time_limit_s / 3600:g} h)"
        )
    return refused(step, faults)
