"""What goes wrong between here and Cuebot, in words; no RQD needed."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opencue_proto import report_pb2, report_pb2_grpc

from laikaroto.config import OpenCueSettings, QueueConfig
from laikaroto.errors import ConfigError, FarmError, TryAgainError
from laikaroto.farm.engine import JobState
from laikaroto.farm.opencue import cuebot as cuebot_module
from laikaroto.farm.opencue.engine import OpenCueEngine
from tests.farm.opencue.standin import StandIn
from tests.farm.tiny import job, stamp


@pytest.fixture
def cue(tmp_path: Path) -> Iterator[StandIn]:
    """A Cuebot with one host that never gets anything to do."""
    made = StandIn(tmp_path / "rqlogs").start()
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{made.port}", options=options) as channel:
        report_pb2_grpc.RqdReportInterfaceStub(channel).ReportRqdStartup(
            report_pb2.RqdReportRqdStartupRequest(
                boot_report=report_pb2.BootReport(
                    host=report_pb2.RenderHost(name="h1", total_mem=2_000_000),
                    core_info=report_pb2.CoreDetail(total_cores=200),
                )
            )
        )
    yield made
    made.stop()


@pytest.fixture
def engines() -> Iterator[list[OpenCueEngine]]:
    made: list[OpenCueEngine] = []
    yield made
    for engine in made:
        engine.close()


@pytest.fixture
def make(cue: StandIn, engines: list[OpenCueEngine], tmp_path: Path) -> Any:
    def engine(**settings: Any) -> OpenCueEngine:
        wanted = {"cuebot": (f"127.0.0.1:{cue.port}",), "user": "artist", **settings}
        queue = QueueConfig(name="q", engine="opencue", opencue=OpenCueSettings(**wanted))
        engines.append(OpenCueEngine(queue, tmp_path / "farm"))
        return engines[-1]

    return engine


def test_the_libraries_are_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['grpc'] = None\n"
        "from pathlib import Path\n"
        "from laikaroto.config import QueueConfig, OpenCueSettings\n"
        "from laikaroto.farm.engines import open_engine\n"
        "queue = QueueConfig(name='q', engine='opencue',"
        " opencue=OpenCueSettings(cuebot=('nowhere',)))\n"
        "print(open_engine(queue, Path(sys.argv[1])).obstacle())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=180,
        check=True,
    )  # fmt: skip
    assert "queue 'q': the engine 'opencue' needs its libraries: pip install" in ran.stdout
    assert "laikaroto[opencue]" in ran.stdout


def test_no_cuebot_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUEBOT_HOSTS", raising=False)
    with pytest.raises(ConfigError, match="no Cuebot named.*opencue.cuebot.*CUEBOT_HOSTS"):
        make(cuebot=()).submit(job(stamp(Path("x"), "x")))


def test_cuebot_is_not_there(
    make: Any, cue: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuebot_module, "_CONNECT_S", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(TryAgainError, match=f"cannot be reached at {address}") as caught:
            make(cuebot=(address,)).submit(job(stamp(Path("x"), "x")))
        assert caught.value.exit_code == 75 and not (tmp_path / "farm").exists()
        monkeypatch.setattr(cuebot_module, "_CONNECT_S", 30.0)
    second = make(cuebot=(address, f"127.0.0.1:{cue.port}"))
    monkeypatch.setattr(cuebot_module, "_CONNECT_S", 2.0)
    assert second.cpus == 2  # the other one answers


def test_hosts_of_the_environment(make: Any, cue: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUEBOT_HOSTS", f"127.0.0.1:{cue.port}")
    assert make(cuebot=()).obstacle() == ""


def test_show_facility_and_hosts_that_do_not_exist(make: Any, tmp_path: Path) -> None:
    bundle = job(stamp(Path("x"), "x"))
    with pytest.raises(FarmError, match="no show 'nowhere'; active shows: test.*opencue.show"):
        make(show="nowhere").submit(bundle)
    with pytest.raises(FarmError, match="no facility 'mars'"):
        make(facility="mars").submit(bundle)
    with pytest.raises(FarmError, match="knows no host with the tag roto .of 1."):
        make(tags=("roto",)).submit(bundle)
    assert "knows no host" in make(tags=("roto",)).obstacle()
    assert not (tmp_path / "farm" / "jobs").exists()


def test_an_older_cuebot_has_no_start_time(make: Any, cue: StandIn, tmp_path: Path) -> None:
    cue.unknown.add("SetStartAfter")
    engine = make()
    bundle = job(stamp(Path("x"), "x"), not_before=4e9, name="tiny-later")
    with pytest.raises(FarmError, match="does not know LayerInterface.SetStartAfter: it is older"):
        engine.submit(bundle)
    with pytest.raises(FarmError, match="is not in queue"):
        engine.status("tiny-later")
    cue.later(lambda: None)
    cue._queue.shutdown(wait=True)  # what was queued has been done
    assert cue.book.find("test-tiny-artist_tiny_later") is None


def test_an_answer_that_is_lost_does_not_double_a_job(
    make: Any, cue: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    launch = cuebot_module.Cuebot.launch

    def cut_off(self: Any, spec: str) -> Any:
        launch(self, spec)
        raise TryAgainError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(cuebot_module.Cuebot, "launch", cut_off)
        bundle = job(stamp(Path("x"), "x"), key="one", paused=True)
        with pytest.raises(TryAgainError, match="is written down; submit the same again"):
            engine.submit(bundle)
    again = engine.submit(job(stamp(Path("x"), "x"), key="one", paused=True))
    assert again.existing and len(cue.book.jobs) == 1
    assert engine.status(again.job).state is JobState.PAUSED


def test_more_frames_than_cuebot_gives_at_once(make: Any) -> None:
    engine = make()
    sent = engine.submit(job(stamp(Path("x"), tasks="1-1203"), paused=True)).job
    status = engine.status(sent)
    assert status.total == 1203 and status.state is JobState.PAUSED
    (listed,) = engine.jobs()
    assert listed.total == 1203
