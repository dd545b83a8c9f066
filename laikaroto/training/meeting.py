"""Who trains together, and where they meet; no torch, so that a wrong call fails at once."""

from __future__ import annotations

from dataclasses import dataclass

from laikaroto.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """How the processes of a training find one another.

    nodes: number of hosts (or farm tasks) that train together; node: which one this is, from
    0; processes: on each of them; place: host and port on which node 0 listens, None for one
    node.
    """

    nodes: int = 1
    node: int = 0
    processes: int = 1
    place: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.nodes < 1 or self.processes < 1:
            raise UsageError(
                f"wanted at least one node and one process, got {self.nodes} and {self.processes}"
            )
        if not 0 <= self.node < self.nodes:
            raise UsageError(f"rank {self.node}: wanted 0 to {self.nodes - 1} for --nodes")
        if self.nodes > 1 and self.place is None:
            raise UsageError(
                f"{self.nodes} nodes need --rendezvous HOST:PORT, the host of rank 0, to meet at"
            )

    @property
    def count(self) -> int:
        """Number of processes of all nodes together."""
        return self.nodes * self.processes


def parse_place(text: str) -> tuple[str, int]:
    """Host and port of ``node01:29500``.

    Raises:
        UsageError: not of that form.
    """
    host, colon, port = text.strip().rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"--rendezvous {text!r} cannot be read; wanted HOST:PORT, as node01:29500")
    return host.strip("[]"), int(port)


def slice_of(batch: int, rank: int, count: int) -> range:
    """Which pictures of a batch are a process's own; sizes differ by one at most."""
    return range(batch * rank // count, batch * (rank + 1) // count)


ALONE = Meeting()
