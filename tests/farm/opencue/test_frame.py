"""The watcher and the runner of a frame, without RQD: who tells whom to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from laikaroto.farm.bundle import bundle_digest, write_bundle
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import job_folder
from laikaroto.farm.plan import plan_job
from laikaroto.farm.records import Attempt, read_attempts
from laikaroto.farm.steering import (
    Steering,
    new_card,
    read_steering,
    write_card,
    write_steering,
)
from tests.farm.tiny import POLITE, job, lines, step, until

NAME = "tiny-frame"


class Frame:
    """A watcher that is started as RQD does it, for the one task of a job."""

    def __init__(self, folder: Path, code: str, *args: str, attempts: int = 3) -> None:
        self.state = folder / "farm"
        bundle = job(step("s", code, *args, grace=30), name=NAME, attempts=attempts)
        place = job_folder(self.state, NAME)
        write_bundle(bundle, place / "bundle")
        card = new_card(
            bundle, plan_job(bundle, where="here"), digest=bundle_digest(place / "bundle"),
            threads=1, timeout_s=600,
        )  # fmt: skip
        write_card(place, card)
        write_steering(place, Steering(priority=50))
        self.process: subprocess.Popen[str] | None = None

    def start(self, frame_id: str = "f1") -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "laikaroto.farm.opencue.frame", str(self.state), NAME,
             "s", "0.05", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, "CUE_FRAME_ID": frame_id},
        )  # fmt: skip
        return self.process

    def end(self) -> tuple[int, str]:
        """Its exit code and output, once nobody holds that open any more, as RQD waits for it."""
        assert self.process is not None
        said, _ = self.process.communicate(timeout=180)
        return self.process.returncode, said

    def attempts(self) -> tuple[Attempt, ...]:
        return read_attempts(self.state, NAME, "s").get(0, ())


@pytest.fixture
def polite(tmp_path: Path) -> Iterator[Frame]:
    names = ("started", "gate", "saved")
    frame = Frame(tmp_path, POLITE, *(str(tmp_path / name) for name in names))
    frame.start()
    until(lambda: lines(tmp_path / "started"), "runs", 180)
    yield frame
    assert frame.process is not None and frame.process.poll() is not None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_the_payload_ends_politely_however_its_watcher_is_ended(
    polite: Frame, tmp_path: Path, number: int, code: int
) -> None:
    assert polite.process is not None
    os.killpg(polite.process.pid, number)  # RQD in Python; the one in Rust may ask first
    assert polite.end()[0] == code
    assert lines(tmp_path / "saved") == ["saved"]
    (attempt,) = polite.attempts()
    assert (attempt.outcome, attempt.exit_code) == (Outcome.RETURNED, 75)
    assert attempt.farm_id == "f1"


def test_steering_alone_ends_it_and_a_damaged_one_does_not(polite: Frame, tmp_path: Path) -> None:
    folder = job_folder(polite.state, NAME)
    wanted = read_steering(polite.state, NAME)
    (folder / "steering.json").write_text("{")  # a file system that stumbles
    (attempt,) = polite.attempts()
    runner = psutil.Process(attempt.pid)
    looked = runner.io_counters().read_count
    until(lambda: runner.io_counters().read_count > looked + 5, "looked again", 180)
    assert attempt.ended is None and not lines(tmp_path / "saved")
    write_steering(folder, wanted.with_cancelled([("s", 0)]))
    assert polite.end()[0] == 1
    assert polite.attempts()[0].outcome is Outcome.CANCELLED


def test_only_the_same_frame_takes_a_failed_task_up_again(tmp_path: Path) -> None:
    frame = Frame(tmp_path, "import sys; sys.exit(7)")
    for frame_id, number in (("f1", 1), ("f2", 1), ("f1", 2)):
        frame.start(frame_id)  # f2: launched again; the second f1: retried in CueGUI
        code, said = frame.end()
        assert code == 1 and f"{NAME}: what the task prints is in" in said
        assert len(frame.attempts()) == number


def test_tries_within_one_frame(tmp_path: Path) -> None:
    frame = Frame(tmp_path, "import sys; sys.exit(75)", attempts=3)
    frame.start()
    assert frame.end()[0] == 1  # 75 would mean: held
    assert [a.exit_code for a in frame.attempts()] == [75, 75, 75]


def test_a_job_that_is_not_there(tmp_path: Path) -> None:
    frame = Frame(tmp_path, "")
    (job_folder(frame.state, NAME) / "job.json").unlink()
    frame.start()
    code, said = frame.end()
    assert code == 1 and f"job '{NAME}' is not in queue" in said
