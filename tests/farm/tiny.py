"""Tiny jobs for tests: steps that run a line of Python, and a queue to run them in."""

from __future__ import annotations

import fcntl
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from laikaroto.config import QueueConfig
from laikaroto.farm.bundle import Bundle, JobSettings, new_job_name
from laikaroto.farm.engine import JobStatus
from laikaroto.farm.local.engine import LocalEngine
from laikaroto.farm.local.owner import read_card

STAMP = "import os, sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


def step(
    name: str,
    code: str,
    *args: str,
    needs: tuple[str, ...] = (),
    tasks: str | None = None,
    amounts: Mapping[str, float] | None = None,
    attributes: Mapping[str, str] | None = None,
    grace: int | None = None,
) -> dict[str, Any]:
    """A step that runs ``code``; with ``tasks`` (a range) one task for each number in it.

    With ``grace`` it is asked to end, and killed so many seconds later.
    """
    made: dict[str, Any] = {
        "name": name,
        "script": {"actions": {"onRun": {"command": sys.executable, "args": ["-c", code, *args]}}},
    }
    if grace is not None:
        made["script"]["actions"]["onRun"]["cancelation"] = {
            "mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": grace,
        }  # fmt: skip
    if needs:
        made["dependencies"] = [{"dependsOn": need} for need in needs]
    if tasks:
        made["parameterSpace"] = {
            "taskParameterDefinitions": [{"name": "I", "type": "INT", "range": tasks}]
        }
    if amounts or attributes:
        made["hostRequirements"] = {
            "amounts": [{"name": k, "min": v} for k, v in (amounts or {}).items()],
            "attributes": [{"name": k, "anyOf": [v]} for k, v in (attributes or {}).items()],
        }
        made["hostRequirements"] = {k: v for k, v in made["hostRequirements"].items() if v}
    return made


def job(*steps: dict[str, Any], name: str | None = None, **settings: Any) -> Bundle:
    """A bundle of these steps."""
    name = name or new_job_name("test", "shot", "me", "tiny")
    return Bundle(
        template=json.dumps(
            {"specificationVersion": "jobtemplate-2023-09", "name": name, "steps": list(steps)}
        ),
        parameters={},
        settings=JobSettings.model_validate(
            {
                "name": name,
                "key": name,
                "kind": "tiny",
                "show": "test",
                "user": "me",
                "queue": "q",
                "priority": 50,
                "attempts": 3,
                **settings,
            }
        ),
    )


def on_hosts(nodes: int, bundle: Bundle) -> Bundle:
    """The same job with every step on so many hosts at once."""
    template = json.loads(bundle.template)
    template["parameterDefinitions"] = [{"name": "Nodes", "type": "INT"}]
    wanted = {step["name"]: "Nodes" for step in template["steps"]}
    return replace(
        bundle, template=json.dumps(template), parameters={"Nodes": nodes},
        settings=bundle.settings.model_copy(update={"nodes": wanted}),
    )  # fmt: skip


def stamp(path: Path, text: str = "{{Task.Param.I}}", **kwargs: Any) -> dict[str, Any]:
    """A step that adds a line to a file."""
    return step(kwargs.pop("name", "stamp"), STAMP, str(path), text, **kwargs)


POLITE = """
import os, signal, sys, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')
while not ended and not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
if ended:
    open(sys.argv[3], 'a').write('saved\\n')
    sys.exit(75)
"""
"""Runs until the gate is there; asked to end, it notes that it saved its work, and exits 75."""

HOLD = """
import os, sys, time
open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')
while not os.path.exists(sys.argv[2]):
    time.sleep(0.02)
"""


def hold(started: Path, gate: Path, **kwargs: Any) -> dict[str, Any]:
    """A step that notes its process in ``started`` and runs until ``gate`` exists."""
    return step(kwargs.pop("name", "hold"), HOLD, str(started), str(gate), **kwargs)


def lines(path: Path) -> list[str]:
    """Lines of a file that may not be there."""
    return path.read_text().split() if path.exists() else []


def is_free(lock: Path) -> bool:
    """True if no process holds the lock of a file."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def until(condition: Callable[[], object], what: str, timeout_s: float = 180.0) -> None:
    """Wait for something that has to become true."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nobody listens on, and that the kernel gives to nobody either.

    Those it picks for outgoing connections start at 32768 (Linux's default): one of them may be
    taken by any client before the server is up, or while it is down to be started again.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(15_000, 32_000), 1000):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise AssertionError(f"no {number} free ports below 32000")


class LocalFarm:
    """A local queue with a real supervisor process."""

    def __init__(self, folder: Path, **queue: Any) -> None:
        self.state = folder / "farm"
        self.queue = QueueConfig(name="q", **{"slots": 2, "threads_per_slot": 1, **queue})
        self.engine = LocalEngine(self.queue, self.state)
        self.log = folder / "supervisor.log"
        self.supervisor: subprocess.Popen[bytes] | None = None

    def start(self, patch: str = "") -> LocalFarm:
        """Start the supervisor; ``patch`` is code that runs before, for crashes and clocks."""
        code = (
            "import sys, logging; from pathlib import Path\n"
            "from laikaroto.config import QueueConfig\n"
            "from laikaroto.farm.local import supervisor, ledger\n"
            "logging.basicConfig(level=logging.INFO)\n"
            f"{patch}\n"
            "queue = QueueConfig.model_validate_json(sys.argv[1])\n"
            "supervisor.Supervisor(queue=queue, state=Path(sys.argv[2])).run()\n"
        )
        with self.log.open("ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-c", code, self.queue.model_dump_json(), str(self.state)],
                stderr=log, stdout=log,
            )  # fmt: skip
        until(self.running, "supervisor up", 180)
        return self

    def running(self) -> bool:
        """True once the supervisor of this object has the queue."""
        assert self.supervisor is not None
        assert self.supervisor.poll() is None, self.log.read_text()
        card = read_card(self.state)
        return card is not None and card["pid"] == self.supervisor.pid

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send the supervisor a signal and wait for its end."""
        if self.supervisor is not None:
            self.supervisor.send_signal(number)
            self.supervisor.wait(timeout=180)
            self.supervisor = None

    def slots(self) -> list[int]:
        """Process numbers of the slots."""
        assert self.supervisor is not None
        return [child.pid for child in psutil.Process(self.supervisor.pid).children()]

    def run(self, *bundles: Bundle) -> tuple[JobStatus, ...]:
        """Submit and wait for the end of all."""
        names = [self.engine.submit(bundle).job for bundle in bundles]
        return self.engine.wait(names, timeout_s=180, poll_s=0.05)
