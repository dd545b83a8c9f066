"""A real Slurm on this machine for tests: slurmctld, three slurmd, munge; no systemd, no root.

Debian's packages slurmctld, slurmd, slurm-client and munge have to be there (``make test``
installs them). Where CI is set they must not be missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from laikaroto.config import QueueConfig, SlurmSettings, current_user
from laikaroto.farm.slurm.engine import SlurmEngine
from tests.farm.tiny import free_ports, until

HOSTS = ("n1", "n2", "n3")
_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
_AT_ONCE = "sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1"
"""A scheduler that looks at every job all the time, for tests of a handful of them."""

_CONF = """
ClusterName=laikaroto
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
MpiDefault=none
ReturnToService=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/completions.log
SchedulerType=sched/backfill
SchedulerParameters={scheduler}
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
PriorityType=priority/basic
MailProg=/bin/true
MinJobAge=300
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=60
OverTimeLimit=0
BatchStartTimeout=20
JobRequeue=1
PropagateResourceLimits=NONE
NodeName=DEFAULT CPUs=1 RealMemory={memory} State=UNKNOWN
PartitionName=DEFAULT MaxTime=2:00:00 DefaultTime=00:30:00 DefMemPerCPU=100
PartitionName=two Nodes=n[1-2] Default=YES
PartitionName=three Nodes=n[1-3]
{nodes}
{more}
"""


def need_slurm() -> None:
    """Skip the test where Slurm is not installed; fail on a CI machine."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed (Debian: slurmctld slurmd slurm-client munge)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class Cluster:
    """The daemons of one throw-away cluster, each a child of this process."""

    def __init__(
        self, root: Path, *, more: str = "RequeueExit=75\nEnforcePartLimits=ALL",
        memory: int = 1000, scheduler: str = _AT_ONCE,
    ) -> None:  # fmt: skip
        self.root = root
        self.conf = root / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "munge", *(f"spool/{host}" for host in HOSTS)):
            (root / name).mkdir(parents=True)
        (root / "munge").chmod(0o711)
        key = root / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ports = free_ports(1 + len(HOSTS))
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            for name, port in zip(HOSTS, ports[1:], strict=True)
        )
        self.conf.write_text(
            _CONF.format(
                host=host,
                port=ports[0],
                root=root,
                user=current_user(),
                nodes=nodes,
                more=more,
                memory=memory,
                scheduler=scheduler,
            )
        )

    # ---- daemons --------------------------------------------------------------------------

    def start(self) -> Cluster:
        """Start everything and wait until all hosts are there."""
        munge = self.root / "munge"
        self._spawn(
            "munged", "--foreground", "--force", f"--socket={munge / 'socket'}",
            f"--key-file={munge / 'key'}", f"--pid-file={munge / 'pid'}",
            f"--log-file={munge / 'log'}", f"--seed-file={munge / 'seed'}",
        )  # fmt: skip
        until((munge / "socket").exists, "munged listens")
        self.start_controller("-c")
        for host in HOSTS:
            self.start_host(host)
        until(lambda: self.hosts_in("idle") == len(HOSTS), "all hosts idle", 60)
        return self

    def start_controller(self, *options: str) -> None:
        """Start slurmctld; without options from its saved state."""
        self._spawn("slurmctld", "-D", "-f", str(self.conf), *options)
        until(lambda: self.run("scontrol", "ping", check=False).count(" is UP"), "slurmctld up", 60)

    def start_host(self, host: str) -> None:
        """Start the slurmd of a host."""
        self._spawn("slurmd", "-D", "-N", host, "-f", str(self.conf), name=host)

    def kill(self, name: str) -> None:
        """kill -9 of ``slurmctld`` or of a host's slurmd, nothing else."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait()

    def _spawn(self, program: str, *arguments: str, name: str = "") -> None:
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert path is not None
        with (self.root / f"{name or program}.out").open("ab") as out:
            self._daemons[name or program] = subprocess.Popen(
                [path, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=self.environment(), start_new_session=True,
            )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """For Slurm's programs."""
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def stop(self) -> None:
        """End the daemons and all that their jobs left."""
        self.run("scancel", f"--user={current_user()}", check=False)
        end = time.monotonic() + 30
        while self.run("squeue", "-h", check=False).strip() and time.monotonic() < end:
            time.sleep(0.2)  # the processes of jobs that are ended by their slurmd leave no trace
        for daemon in self._daemons.values():
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in psutil.process_iter():
            try:
                if process.environ().get("SLURM_CONF") == str(self.conf):
                    process.kill()
            except psutil.Error:
                continue

    # ---- asking ---------------------------------------------------------------------------

    def run(self, *command: str, check: bool = True) -> str:
        """Output of one of Slurm's programs."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def hosts_in(self, state: str) -> int:
        """How many hosts are in a state."""
        found = self.run("sinfo", "-h", "-N", "-p", "three", "-o", "%T", check=False)
        return found.split().count(state)

    def said(self) -> str:
        """Ends of the daemons' logs, for messages of failing tests."""
        logs = sorted(self.root.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in logs)


@contextmanager
def running_cluster(root: Path, **conf: Any) -> Iterator[Cluster]:
    """A cluster that runs as long as the block."""
    need_slurm()
    cluster = Cluster(root, **conf)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def slurm_engine(cluster: Cluster, state: Path, **settings: Any) -> SlurmEngine:
    """An engine for a cluster; ``settings`` are those of the ``slurm`` block."""
    SlurmEngine.poll_s = 0.2
    queue = QueueConfig(
        name="q", engine="slurm", threads_per_slot=1,
        slurm=SlurmSettings(conf=str(cluster.conf), **settings),
    )  # fmt: skip
    return SlurmEngine(queue, state)
