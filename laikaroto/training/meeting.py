"""Who trains together, and where they meet; no torch, so that a wrong call fails at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from laikaroto.errors import UsageError
from laikaroto.sidecar.files import write_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """How the processes of a training find one another.

    nodes: number of hosts that train together; node: which one this is, from 0; processes: on
    each of them; place: host and port on which node 0 listens; notice: in its stead a file that
    all nodes see, in which node 0 says where it listens; address: under which name or address
    node 0 says so. One node needs none of the three.
    """

    nodes: int = 1
    node: int = 0
    processes: int = 1
    place: tuple[str, int] | None = None
    notice: Path | None = None
    address: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.nodes < 1 or self.processes < 1:
            raise UsageError(
                f"wanted at least one node and one process, got {self.nodes} and {self.processes}"
            )
        if not 0 <= self.node < self.nodes:
            raise UsageError(f"rank {self.node}: wanted 0 to {self.nodes - 1} for --nodes")
        if self.nodes > 1 and self.place is None and self.notice is None:
            raise UsageError(
                f"{self.nodes} nodes need --rendezvous to meet at: HOST:PORT, the host of rank 0, "
                "or a file that all of them see"
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
        raise UsageError(
            f"--rendezvous {text!r} cannot be read; wanted HOST:PORT, as node01:29500, or the "
            "absolute path of a file"
        )
    return host.strip("[]"), int(port)


def parse_meeting(
    rendezvous: str, *, nodes: int, rank: int | None, processes: int, address: str
) -> Meeting:
    """Who trains together, as the options of ``worker train`` say it.

    Nodes without rank and rendezvous have no other host to be on: nobody but a farm that gives a
    task several hosts names them. They are processes of this host then, which learn the same.

    Args:
        rendezvous: ``HOST:PORT``, the absolute path of a file, or empty.
        nodes: number of hosts.
        rank: which one this is, from 0; None if nobody said.
        processes: on each of them.
        address: under which others reach this host.

    Raises:
        UsageError: it cannot be read, or does not fit together.
    """
    text = rendezvous.strip()
    if not text and rank is None:
        return Meeting(processes=nodes * processes)
    file = Path(text) if text.startswith("/") else None
    return Meeting(
        nodes=nodes,
        node=rank or 0,
        processes=processes,
        place=parse_place(text) if text and file is None else None,
        notice=file,
        address=address,
    )


def write_notice(path: Path, place: tuple[str, int]) -> None:
    """Say in a file where node 0 listens, whole or not at all.

    Raises:
        TryAgainError: the disk refuses.
    """
    host, port = place
    text = f"[{host}]:{port}\n" if ":" in host else f"{host}:{port}\n"
    write_file(path, text.encode())


def read_notice(path: Path) -> tuple[str, int] | None:
    """Where node 0 says that it listens; None if it does not say so (yet)."""
    # listed, not looked up: NFS may remember for a minute that a file was not there
    try:
        if path.name not in os.listdir(path.parent):
            return None
        return parse_place(path.read_text())
    except FileNotFoundError:
        return None


def slice_of(batch: int, rank: int, count: int) -> range:
    """Which pictures of a batch are a process's own; sizes differ by one at most."""
    return range(batch * rank // count, batch * (rank + 1) // count)


ALONE = Meeting()
