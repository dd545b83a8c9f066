"""A small OpenCue site for tests: the stand-in for Cuebot, and a real RQD that runs frames.

RQD pins an older psutil than ours, so it lives in an environment of its own, .venv-opencue,
which ``make opencue`` makes. Where CI is set it must not be missing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from laikaroto.config import OpenCueSettings, QueueConfig
from laikaroto.farm.opencue.engine import OpenCueEngine
from tests.farm.opencue.standin import StandIn
from tests.farm.tiny import free_ports, until

PYTHON = Path(__file__).parents[3] / ".venv-opencue" / "bin" / "python"
_TIME = Path("/usr/bin/time")  # RQD starts every frame with it
DIRECT = {"no_grpc_proxy": "127.0.0.1,localhost"}  # gRPC would heed http_proxy
_CONF = """
[Override]
OVERRIDE_CUEBOT = 127.0.0.1
CUEBOT_GRPC_PORT = {cuebot}
RQD_GRPC_PORT = {port}
OVERRIDE_HOSTNAME = localhost
OVERRIDE_CORES = 2
OVERRIDE_PROCS = 1
OVERRIDE_MEMORY = 4000000
OVERRIDE_NIMBY = False
RQD_BECOME_JOB_USER = False
"""


def need_rqd() -> None:
    """Skip the test where RQD is not installed; fail on a CI machine."""
    missing = [str(path) for path in (PYTHON, _TIME) if not path.exists()]
    if missing:
        reason = f"{', '.join(missing)} not there: make opencue (it installs RQD)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class Site:
    """The stand-in and its one host of two CPUs and 3906 MiB."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cue = StandIn(root / "rqlogs")
        self._rqd: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.cue.port}"

    def start(self) -> Site:
        self.cue.start()
        (port,) = free_ports(1)
        temporary = self.root / "tmp"
        temporary.mkdir(parents=True)
        conf = self.root / "rqd.conf"
        conf.write_text(_CONF.format(cuebot=self.cue.port, port=port))
        with (self.root / "rqd.log").open("wb") as log:
            self._rqd = subprocess.Popen(
                [PYTHON, "-m", "rqd", "-c", str(conf), "--nimbyoff"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **DIRECT, "TMPDIR": str(temporary)},
            )  # fmt: skip
        until(lambda: self.cue.host is not None or self._gone(), "RQD reports")
        self.cue.connect(port)
        return self

    def _gone(self) -> bool:
        assert self._rqd is not None
        assert self._rqd.poll() is None, (self.root / "rqd.log").read_text()
        return False

    def stop(self) -> None:
        if self._rqd is not None:
            self._rqd.terminate()
            self._rqd.wait(timeout=180)
        self.cue.stop()

    def engine(self, state: Path, **settings: Any) -> OpenCueEngine:
        """An engine for this site; ``settings`` are those of the ``opencue`` block."""
        OpenCueEngine.poll_s = 0.2
        wanted = {"cuebot": (self.address,), "user": "artist", "retry_delay": "0.05s", **settings}
        queue = QueueConfig(
            name="q", engine="opencue", threads_per_slot=1, opencue=OpenCueSettings(**wanted)
        )
        return OpenCueEngine(queue, state)


@contextmanager
def running_site(root: Path) -> Iterator[Site]:
    """A site that runs as long as the block; nothing in the stand-in may have gone wrong."""
    need_rqd()
    site = Site(root)
    try:
        yield site.start()
    finally:
        site.stop()
    assert site.cue.errors == []
