"""Slurm: one job array for each step, ordered by ``afterok``, known by its comment.

::

    client ── sbatch, scontrol, scancel ──> slurmctld ──> slurmd ──> task.sh ──> slurm.task
    client <─ squeue ──────────────────────────┘                                    │
    client <─────────────── records in the queue's state folder (shared) <──────────┘

Slurm says what waits and runs; the records of the tasks themselves (``farm.records``) say what
was done. Neither is trusted alone: slurmctld may forget jobs it acknowledged, and a host that
it takes for dead may still be working. ``reconcile`` brings Slurm in line with what the job
still needs, as often as one likes; every command that changes something ends in it. Nothing
here needs slurmdbd, and no daemon of ours runs.
"""
