"""The registry of farm engines.

To add one:

1. Write ``farm/<name>/engine.py`` with a class that implements ``farm.engine.Engine`` and is
   made from a ``QueueConfig`` and a state folder. A job is what ``farm.bundle`` writes;
   ``farm.plan.plan_job`` lists its steps, needs, tasks and requirements. A farm that only
   starts processes is best served by ``farm.recorded``, which keeps the books in files, and
   by ``farm.runner``, which runs a task.
2. Add the name to ``QueueConfig.engine`` in ``config/queue.py``, with the settings it needs.
3. Give it a line in ``open_engine``.
4. Add it to ``ENGINES`` in ``tests/contract/test_engines.py``; the suite there says what it
   has to be able to do.
5. Describe it in ``docs/farm.md`` and show a queue file in ``configs/queues/``.
"""

from __future__ import annotations

from pathlib import Path

from laikaroto.config import QueueConfig
from laikaroto.errors import ConfigError
from laikaroto.farm.engine import Engine


def open_engine(queue: QueueConfig, state: Path) -> Engine:
    """The engine of a queue.

    Args:
        queue: its configuration.
        state: folder for the engine's files, absolute.

    Raises:
        ConfigError: the engine is not known.
    """
    if queue.engine == "local":
        from laikaroto.farm.local.engine import LocalEngine

        return LocalEngine(queue, state)
    if queue.engine == "slurm":
        from laikaroto.farm.slurm.engine import SlurmEngine

        return SlurmEngine(queue, state)
    if queue.engine == "opencue":
        from laikaroto.farm.opencue.engine import OpenCueEngine

        return OpenCueEngine(queue, state)
    if queue.engine == "deadline":
        from laikaroto.farm.deadline.engine import DeadlineEngine

        return DeadlineEngine(queue, state)
    raise ConfigError(f"queue {queue.name!r}: unknown engine {queue.engine!r}")
