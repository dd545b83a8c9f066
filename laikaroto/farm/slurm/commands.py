"""Slurm's programs, run with lists of arguments and a clean environment.

Text output with a format of our own is read, not JSON: ``squeue --format`` has stayed the same
for ten years, while the JSON of 22.05, 23.02 and 23.11 differ in how they write numbers,
states and times.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from laikaroto.config import SlurmSettings, current_user
from laikaroto.errors import FarmError, TryAgainError
from laikaroto.farm.handing import handed_on
from laikaroto.frames import parse_frames

_TIMEOUT_S = 120.0
_PASSING = re.compile(
    "Unable to contact slurm controller|Socket timed out|Connection refused|Connection reset"
    "|Zero Bytes were transmitted|Resource temporarily unavailable|Transport endpoint"
    "|Unexpected message received|Communication connection failure|establish a configuration",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Tasks that squeue lists together: an array's waiting rest, or one task of it.

    ``tasks`` are indices within the array.
    """

    array: int
    tasks: tuple[int, ...]
    state: str
    reason: str
    host: str
    comment: str

    @property
    def waits(self) -> bool:
        """Not started, or to be started again."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")

    @property
    def over(self) -> bool:
        """True if Slurm does nothing more about it."""
        return self.state in _OVER


_OVER = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a partition can give one task, and how the cluster is set up.

    ``hosts`` holds CPUs and memory in MiB of each; ``time_limit_s`` and ``most_nodes``, the hosts
    one job may have, are None for no limit.
    """

    hosts: tuple[tuple[int, int], ...]
    time_limit_s: float | None
    most_array_tasks: int
    requeues_75: bool
    most_nodes: int | None = None

    @property
    def cpus(self) -> int:
        """CPUs of the largest host."""
        return max((cpus for cpus, _ in self.hosts), default=0)


class Slurm:
    """One cluster."""

    def __init__(self, settings: SlurmSettings) -> None:
        """Nothing is asked before it is needed.

        Args:
            settings: of the queue.
        """
        self._settings = settings
        self._cluster: Cluster | None = None

    # ---- asking ---------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Everything Slurm knows of this user's tasks, ended ones for MinJobAge."""
        text = self._run(
            "squeue", "--noheader", "--states=all", f"--user={current_user()}",
            "--format=%F|%K|%T|%r|%N|%k",
        )  # fmt: skip
        return [row for line in text.splitlines() if (row := _row(line)) is not None]

    def cluster(self) -> Cluster:
        """The partition this queue uses; asked once.

        Raises:
            FarmError: there is no such partition.
        """
        if self._cluster is None:
            self._cluster = self._ask_cluster()
        return self._cluster

    def _ask_cluster(self) -> Cluster:
        config = dict(_pairs(self._run("scontrol", "show", "config")))
        wanted = self._settings.partition
        found = self._run("scontrol", "--oneliner", "show", "partition")
        partitions = [dict(_fields(line)) for line in found.splitlines() if line.strip()]
        chosen = [p for p in partitions if wanted in (None, p.get("PartitionName"))]
        if wanted is None:
            chosen = [p for p in partitions if p.get("Default") == "YES"]
        if not chosen:
            known = ", ".join(p.get("PartitionName", "?") for p in partitions) or "none"
            raise FarmError(
                f"Slurm has no partition {wanted or '(a default one)'!r}; known: {known}. Set "
                "slurm.partition in the queue's file"
            )
        name = chosen[0]["PartitionName"]
        hosts = self._run("sinfo", "--noheader", "--Node", f"--partition={name}", "--format=%c|%m")
        sizes = [line.split("|") for line in hosts.splitlines() if "|" in line]
        return Cluster(
            hosts=tuple((int(cpus), int(memory.rstrip("+"))) for cpus, memory in sizes),
            time_limit_s=parse_time(chosen[0].get("MaxTime", "UNLIMITED")),
            most_array_tasks=int(config.get("MaxArraySize", "1001")),
            requeues_75="75" in re.split(r"\D+", config.get("RequeueExit", "")),
            most_nodes=_limit(chosen[0].get("MaxNodes", "UNLIMITED")),
        )

    def busy(self) -> tuple[int, int]:
        """CPUs of the partition that are allocated, and all of them."""
        name = self._settings.partition
        allocated = total = 0
        text = self._run("sinfo", "--noheader", "--format=%P|%C")
        for partition, _, cpus in (line.partition("|") for line in text.splitlines()):
            if partition.rstrip("*") == name or (name is None and partition.endswith("*")):
                counts = [int(number) for number in cpus.split("/")]  # allocated/idle/other/all
                allocated, total = allocated + counts[0], total + counts[3]
        return allocated, total

    def ends_at(self, farm_id: str) -> float | None:
        """When Slurm will end a running task for its time limit; None for never or unknown."""
        try:
            text = self._run("scontrol", "--oneliner", "show", "job", farm_id)
        except (FarmError, TryAgainError):
            return None  # asked again later
        return parse_instant(dict(_fields(text)).get("EndTime", ""))

    def address(self, host: str) -> str:
        """Under which name or address other hosts of the cluster reach one of them."""
        text = self._run("scontrol", "--oneliner", "show", "node", host)
        return dict(_fields(text)).get("NodeAddr", host)

    def hosts_of(self, environment: Mapping[str, str]) -> list[str]:
        """Hosts of the job whose environment this is, the first one first."""
        if environment.get("SLURM_JOB_NUM_NODES", "1") == "1":
            return [environment["SLURM_JOB_NODELIST"]]
        # Slurm's programs alone know how n[1-3,07] is to be read; slurmctld is not asked
        listed = environment["SLURM_JOB_NODELIST"]
        return self._run("scontrol", "show", "hostnames", listed).split()

    # ---- telling --------------------------------------------------------------------------

    def submit(self, options: Sequence[str], script: str, *arguments: str) -> int:
        """Submit an array; returns its number."""
        text = self._run("sbatch", "--parsable", "--export=ALL", *options, script, *arguments)
        return int(text.strip().split(";")[0])

    def set_dependency(self, array: int, dependency: str) -> None:
        """Replace what an array waits for; empty for nothing."""
        self.update(array, f"Dependency={dependency}")

    def update(self, array: int, *changes: str) -> None:
        """Change a waiting array. One that has just started or ended is left alone."""
        self._tolerant("scontrol", "update", f"JobId={array}", *changes)

    def hold(self, arrays: Sequence[int]) -> None:
        """Start no more tasks of these arrays."""
        for array in arrays:
            self._tolerant("scontrol", "uhold", str(array))

    def release(self, arrays: Sequence[int]) -> None:
        """Undo ``hold``."""
        for array in arrays:
            self._tolerant("scontrol", "release", str(array))

    def requeue(self, farm_id: str, *, hold: bool) -> None:
        """Put the running task that asks for it back into the queue."""
        self._run("scontrol", "requeuehold" if hold else "requeue", farm_id)

    def cancel(self, targets: Sequence[str]) -> None:
        """End arrays (``12``) or tasks of them (``12_3``)."""
        for start in range(0, len(targets), 500):
            self._tolerant("scancel", *targets[start : start + 500])

    # ---- running --------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """The environment Slurm's programs get, which tasks inherit."""
        passed = handed_on(("SLURM_CONF", *self._settings.environment))
        if self._settings.conf is not None:
            passed["SLURM_CONF"] = self._settings.conf
        # array expressions are cut to 64 characters otherwise
        return {**passed, "SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard"}

    def _tolerant(self, *command: str) -> None:
        """Run a command whose object may have ended just now; Slurm then says so."""
        try:
            self._run(*command)
        except FarmError as error:
            if not _ENDED.search(str(error)):
                raise

    def _run(self, *command: str) -> str:
        try:
            done = subprocess.run(
                command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise FarmError(
                f"{command[0]} is not installed here; a Slurm queue is used from a host that has "
                "Slurm's client programs (Debian: slurm-client)"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise TryAgainError(
                f"Slurm has not answered {command[0]} for {_TIMEOUT_S:g} s; is slurmctld running?"
            ) from error
        if done.returncode == 0:
            return done.stdout
        said = " ".join((done.stderr or done.stdout).split())
        if _PASSING.search(said):
            raise TryAgainError(f"Slurm cannot be reached or is busy: {command[0]}: {said}")
        raise FarmError(f"Slurm refuses: {command[0]} {' '.join(command[1:])}: {said}")


_ENDED = re.compile(
    "already completing or completed|Invalid job id|no longer pending|is not pending"
    "|Job has already finished|Requested operation is presently disabled|can not be altered"
    "|Job is pending execution",  # released already
    re.IGNORECASE,
)


def _row(line: str) -> Row | None:
    parts = line.split("|", 5)
    if len(parts) != 6 or not parts[0].isdigit():
        return None
    array, tasks, state, reason, host, comment = parts
    indices = tasks.partition("%")[0].replace(":", "x")
    if not indices or not indices[0].isdigit():
        return None  # no array, so not one of ours
    return Row(
        array=int(array), tasks=parse_indices(indices), state=state, reason=reason, host=host,
        comment=comment,
    )  # fmt: skip


def parse_indices(text: str) -> tuple[int, ...]:
    """Indices of an array expression; the two plain forms are most of ten thousand rows."""
    first, dash, last = text.partition("-")
    if text.isdigit():
        return (int(text),)
    if dash and first.isdigit() and last.isdigit():
        return tuple(range(int(first), int(last) + 1))
    return parse_frames(text)


def _pairs(text: str) -> list[tuple[str, str]]:
    """``Name = value`` lines."""
    split = (line.partition("=") for line in text.splitlines())
    return [(name.strip(), value.strip()) for name, equals, value in split if equals]


def _fields(line: str) -> list[tuple[str, str]]:
    """``Name=value`` words of one line."""
    return [(n, v) for n, equals, v in (word.partition("=") for word in line.split()) if equals]


def _limit(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def parse_time(text: str) -> float | None:
    """Seconds of Slurm's ``1-12:00:00``; None for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds


def parse_instant(text: str) -> float | None:
    """Seconds since 1970 of Slurm's local time ``2030-01-31T20:00:00``; None if unknown."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def format_time(seconds: float) -> str:
    """Slurm's writing of a time limit, in whole minutes, rounded up."""
    minutes = max(1, -(-int(seconds) // 60))
    return f"{minutes // 1440}-{minutes % 1440 // 60:02}:{minutes % 60:02}:00"


def format_instant(seconds: float) -> str:
    """Slurm's writing of a time, local."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S")
