"""Several processes that train one model together, on one host or on several.

Every process holds the same networks, learns from its own slice of each batch, and adds its
gradients to those of the others (gloo, over TCP). Process 0 leads: its clock, its measurements
and its checkpoints are everyone's, so all take the same decisions at the same step. When one is
lost, the others end with LostContactError, process 0 after a last checkpoint: started again, they
go on from there, with as many processes as there are then. When one is told to stop, all do.

Gradients are summed explicitly, in one message a step, rather than by DistributedDataParallel:
two networks and two optimisers share the step, and the running statistics of batch
normalisation travel with them. Normalisation itself is local to a process (torch has no
synchronised one on CPUs, and its dozens of messages a step would cost more than they bring);
the running statistics, which are what inference uses, are averaged over all processes.
"""

from __future__ import annotations

import math
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn

from laikaroto.errors import TryAgainError
from laikaroto.training.meeting import Meeting, read_notice, write_notice

#: How long the others are waited for at the start: farm tasks do not start at the same moment.
JOIN_S = 600.0
#: How long a step of another may take, its measurements and checkpoints included.
SILENCE_S = 900.0
#: A meeting place that a file names may be that of an attempt that died: it is looked up again.
_KNOCK_S = 10.0

Store = Any  # torch does not export the types of its stores
_TCP_STORE: Any = dist.TCPStore  # type: ignore[attr-defined]


class Peers:
    """The other processes of this training, as one of them sees them; alone, they cost nothing."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        """Be process ``rank`` of ``count``; ``joined`` connects them."""
        self.rank, self.count = rank, count

    @property
    def leads(self) -> bool:
        """Whether this process measures, reports and writes."""
        return self.rank == 0

    def agree(self, *values: float | None) -> tuple[float | None, ...]:
        """What process 0 says of some numbers; None travels as well."""
        if self.count == 1:
            return values
        told = torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64)
        with _contact():
            dist.broadcast(told, 0)
        return tuple(None if math.isnan(value) else value for value in told.tolist())

    def any(self, wish: bool) -> bool:
        """Whether one of the processes wishes something; all are told the same."""
        if self.count == 1:
            return wish
        told = torch.tensor([float(wish)])
        with _contact():
            dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return bool(told.item())

    def tell(self, text: str) -> str:
        """What process 0 says, as text."""
        if self.count == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        (size,) = self.agree(float(len(data)))
        if not self.leads:
            data = torch.zeros(int(size or 0), dtype=torch.uint8)
        with _contact():
            dist.broadcast(data, 0)
        return bytes(data.tolist()).decode()

    def add_gradients(self, networks: Sequence[nn.Module], share: float) -> None:
        """Give every process the gradients of the whole batch.

        Args:
            networks: after ``backward``; a parameter without gradient counts as 0.
            share: of the batch that was this process's own.
        """
        if self.count == 1:
            return
        parameters = [p for network in networks for p in network.parameters()]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        parts = [p.grad for p in parameters if p.grad is not None] + _statistics(networks)
        flat = torch.cat([part.reshape(-1) for part in parts]) * share
        with _contact():
            dist.all_reduce(flat)
        _spread(flat, parts)

    def follow(self, networks: Sequence[nn.Module]) -> None:
        """Take the networks of process 0: hosts with other processors round differently."""
        if self.count == 1:
            return
        parts = [p.detach() for n in networks for p in n.parameters()] + _statistics(networks)
        flat = torch.cat([part.reshape(-1) for part in parts])
        with _contact():
            dist.broadcast(flat, 0)
        if not self.leads:
            _spread(flat, parts)


ALONE = Peers()


class LostContactError(TryAgainError):
    """Another process of this training is gone."""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _statistics(networks: Sequence[nn.Module]) -> list[Tensor]:
    """Running statistics and other float buffers."""
    return [b for n in networks for b in n.buffers() if b.dtype.is_floating_point]


def _spread(flat: Tensor, parts: Sequence[Tensor]) -> None:
    with torch.no_grad():
        start = 0
        for part in parts:
            part.copy_(flat[start : start + part.numel()].view(part.shape))
            start += part.numel()


@contextmanager
def _contact() -> Iterator[None]:
    """Turn a lost connection into what a farm starts again."""
    try:
        yield
    except RuntimeError as error:
        raise LostContactError(
            f"lost contact with another process of this training "
            f"({_first_line(error)}); start it again: it goes on from its last checkpoint"
        ) from error


@contextmanager
def joined(store: Store, rank: int, count: int) -> Iterator[Peers]:
    """Be connected with the other processes.

    Raises:
        TryAgainError: they did not come in time.
    """
    try:
        store.set(f"here/{rank}", "yes")
        _await_all(store, count)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=count, timeout=timedelta(seconds=SILENCE_S)
        )
    except (RuntimeError, OSError) as error:  # TimeoutError is one of the latter
        raise TryAgainError(
            f"process {rank} of {count} did not meet the others within {JOIN_S:.0f} s "
            f"({_first_line(error)}); start all of them again"
        ) from error
    try:
        yield Peers(rank, count)
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _await_all(store: Store, count: int) -> None:
    """Wait in Python, so that a signal to stop is heard: gloo's own waiting is deaf to it."""
    until = time.monotonic() + JOIN_S
    missing = set(range(count))
    while missing := {rank for rank in missing if not store.check([f"here/{rank}"])}:
        if time.monotonic() > until:
            raise TimeoutError(f"missing: {', '.join(map(str, sorted(missing)))}")
        time.sleep(0.05)


def open_store(
    place: tuple[str, int] | None, *, hosts: bool, patience_s: float | None = None
) -> Store:
    """The place where processes meet.

    Args:
        place: host and port; None for some free port of this host.
        hosts: whether this process is the one that listens there.
        patience_s: how long it is tried; None for ``JOIN_S``.

    Raises:
        TryAgainError: it cannot listen there, or nobody does in time.
    """
    host, port = place or ("127.0.0.1", 0)
    if (interface := interface_towards(host)) is not None:
        # gloo would take the one that this host's own name resolves to: often 127.0.1.1
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    wait = timedelta(seconds=JOIN_S if patience_s is None else patience_s)
    try:
        return _TCP_STORE(host, port, is_master=hosts, wait_for_workers=False, timeout=wait)
    except (RuntimeError, OSError) as error:
        raise TryAgainError(
            f"cannot {'listen at' if hosts else 'reach'} {host}:{port}, where the processes of "
            f"this training meet ({_first_line(error)}); start all of them again"
        ) from error


def interface_towards(host: str) -> str | None:
    """Name of the network interface by which this host reaches another, or itself; nothing is sent.

    None if the name does not resolve or cannot be reached.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            own = probe.getsockname()[0]
    except OSError:
        return None
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address.partition("%")[0] == own for found in addresses):
            return name
    return None


def _meet(meeting: Meeting) -> tuple[Store, tuple[str, int]]:
    """The store of all nodes, and where it is."""
    if meeting.notice is None:
        store = open_store(meeting.place, hosts=meeting.node == 0)
        return store, meeting.place or ("127.0.0.1", store.port)
    if meeting.node == 0:
        host = meeting.address or platform.node()
        store = open_store((host, 0), hosts=True)
        write_notice(meeting.notice, (host, store.port))
        return store, (host, store.port)
    return _follow_notice(meeting.notice)


def _follow_notice(notice: Path) -> tuple[Store, tuple[str, int]]:
    until = time.monotonic() + JOIN_S
    while True:
        place = read_notice(notice)
        late = time.monotonic() > until
        if place is None and late:
            raise TryAgainError(
                f"node 0 of this training has not said in {notice} where it listens, for "
                f"{JOIN_S:.0f} s; start all of them again"
            )
        if place is None:
            time.sleep(0.2)
            continue
        try:
            store = open_store(place, hosts=False, patience_s=_KNOCK_S)
        except TryAgainError:
            if late:
                raise
            continue
        store.set_timeout(timedelta(seconds=JOIN_S))
        return store, place


@contextmanager
def together(
    meeting: Meeting, command: Callable[[Meeting, int], Sequence[str]], threads: int
) -> Iterator[Peers]:
    """Train with all processes of a rendezvous; this one is the first of its node.

    The other processes of the node are started here and end with this one: a helper that loses
    contact gives up by itself, and none is left behind. Their errors go to standard error.

    Args:
        meeting: who takes part.
        command: arguments for ``python -m laikaroto`` of the helper with this number on its
            node; it is given the meeting with its place filled in.
        threads: of each helper.

    Raises:
        TryAgainError: the others did not come, or one was lost.
    """
    if meeting.count == 1:
        yield ALONE
        return
    store, place = _meet(meeting)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(1, meeting.processes):
            arguments = command(replace(meeting, place=place), number)
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "laikaroto", *arguments],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            )
        first = meeting.node * meeting.processes
        _await_helpers(store, {first + 1 + i: one for i, one in enumerate(running)})
        with joined(store, first, meeting.count) as peers:
            yield peers
    finally:
        for helper in running:
            helper.kill()
            helper.wait()


def _await_helpers(store: Store, helpers: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Wait until the helpers, by rank, are there; one that cannot start must not be waited for."""
    until = time.monotonic() + JOIN_S
    missing = dict(helpers)
    while missing:
        for rank, helper in list(missing.items()):
            if store.check([f"here/{rank}"]):
                del missing[rank]
            elif helper.poll() is not None or time.monotonic() > until:
                raise TryAgainError(
                    f"process {rank}, a helper on this host, did not come to train along "
                    f"(exit code {helper.poll()}); its own message is above"
                )
        time.sleep(0.05)
