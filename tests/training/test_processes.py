"""Several processes train one model: real ones, over loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from laikaroto.errors import EXIT_TRY_AGAIN, TryAgainError, UsageError
from laikaroto.training.checkpoint import new_state, read_checkpoint
from laikaroto.training.loop import Course, train
from laikaroto.training.meeting import (
    Meeting,
    parse_meeting,
    parse_place,
    read_notice,
    slice_of,
    write_notice,
)
from laikaroto.training.processes import (
    ALONE,
    _meet,
    interface_towards,
    joined,
    open_store,
    together,
)
from laikaroto.training.run import load_dataset, open_course, read_held_out, read_index
from laikaroto.worker import character as steps
from tests.training.synthetic import CHARACTER, template, write_show

TOP = Path(__file__).parents[2]
MEMBER = Path(__file__).with_name("member.py")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    show = write_show(tmp_path_factory.mktemp("regatta"))
    run = show.work_folder("train")
    steps.prepare(show, character=CHARACTER, run=run, report=lambda share, text: None)
    return run


def copy_run(prepared: Path, to: Path) -> Path:
    to.mkdir()
    for name in ("dataset", "dataset.json", "template.json"):
        (to / name).symlink_to(prepared / name)
    return to


def members(run: Path, count: int, steps: int, *more: str) -> list[subprocess.Popen[str]]:
    """``count`` processes that train together; process 0 says where they meet."""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}

    def start(rank: int, place: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(MEMBER), str(run), place, str(rank), str(count), str(steps),
             *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    first = start(0, "")
    assert first.stdout is not None
    place = first.stdout.readline().strip()
    return [first, *(start(rank, place) for rank in range(1, count))]


def test_slices_share_a_batch() -> None:
    for count in (1, 2, 3, 8):
        slices = [slice_of(8, rank, count) for rank in range(count)]
        assert [number for part in slices for number in part] == list(range(8))
        assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_processes_see_the_samples_that_one_would_see(prepared: Path) -> None:
    index = read_index(prepared)
    dataset = load_dataset(prepared, index, template())
    with ThreadPoolExecutor(1) as pool:
        whole = dataset.batch((1, 5), 5, pool)
        parts = [
            dataset.batch((1, 5), len(own), pool, first=own.start)
            for own in (slice_of(5, rank, 2) for rank in (0, 1))
        ]
    assert torch.equal(whole.crops, torch.cat([part.crops for part in parts]))
    assert torch.equal(whole.targets.xy, torch.cat([part.targets.xy for part in parts]))
    assert torch.equal(whole.wholes, torch.cat([part.wholes for part in parts]))


def test_two_learn_as_one_does_from_the_same_samples(prepared: Path, tmp_path: Path) -> None:
    found = {}
    for count in (1, 2):
        run = copy_run(prepared, tmp_path / str(count))
        told = []
        for member in members(run, count, 24):
            out, err = member.communicate(timeout=300)
            assert member.returncode == 0, err
            told.append(out.split())
        digests = {words[-1] for words in told}
        assert len(digests) == 1  # all hold the same weights, to the last bit
        course = open_course(run, lambda share, text: None)
        state = new_state(course.settings, course.dataset)
        assert read_checkpoint(run / "checkpoint.pt", state)
        held_out = read_held_out(course)
        assert held_out is not None
        found[count] = (state.step, float(held_out.actual.mean()))
    assert found[1][0] == found[2][0] >= 14
    # the same samples, but batches are normalised in halves
    assert found[2][1] == pytest.approx(found[1][1], rel=0.1)


def test_survivors_try_again_and_go_on_from_the_checkpoint(prepared: Path, tmp_path: Path) -> None:
    run = copy_run(prepared, tmp_path / "run")
    leader, other = members(run, 2, 100_000, "say")
    assert leader.stdout is not None
    for line in leader.stdout:
        if "checkpoint" in line:
            break
    other.kill()
    other.communicate()
    _, err = leader.communicate(timeout=300)
    assert leader.returncode == EXIT_TRY_AGAIN, err
    assert "lost contact with another process" in err
    course = open_course(run, lambda share, text: None)
    state = new_state(course.settings, course.dataset)
    assert read_checkpoint(run / "checkpoint.pt", state)
    assert f"a checkpoint at step {state.step}, " in err  # written just now
    # and the other way round: without its leader, a helper does not linger
    leader, other = members(run, 2, 100_000, "say")
    assert leader.stdout is not None
    assert any("going on" in line for line in leader.stdout)
    leader.send_signal(signal.SIGKILL)
    leader.communicate()
    _, err = other.communicate(timeout=300)
    assert other.returncode == EXIT_TRY_AGAIN, err


def test_when_one_is_told_to_stop_all_do_and_the_first_keeps_what_was_learned(
    prepared: Path, tmp_path: Path
) -> None:
    run = copy_run(prepared, tmp_path / "run")
    both = leader, other = members(run, 2, 100_000, "say")
    assert leader.stdout is not None and other.stdout is not None
    assert any("new" in line for line in other.stdout)
    # told before the first step, there would be nothing to keep
    assert any("checkpoint" in line for line in leader.stdout)
    other.send_signal(signal.SIGTERM)
    said = [member.communicate(timeout=300)[1] for member in both]
    assert [member.returncode for member in both] == [EXIT_TRY_AGAIN] * 2, said
    course = open_course(run, lambda share, text: None)
    state = new_state(course.settings, course.dataset)
    assert read_checkpoint(run / "checkpoint.pt", state) and state.step > 0
    assert f"told to stop; a checkpoint at step {state.step}, " in said[0]
    assert "told to stop" in said[1] and "checkpoint" not in said[1]


def test_alone_nothing_is_sent() -> None:
    assert ALONE.any(True) and not ALONE.any(False)
    assert ALONE.agree(1.0, None) == (1.0, None) and ALONE.tell("text") == "text"
    assert ALONE.leads and not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("meeting", "text"),
    [
        ({"nodes": 0}, "at least one node"),
        ({"processes": 0}, "one process"),
        ({"nodes": 2, "node": 2, "place": ("a", 1)}, "rank 2: wanted 0 to 1"),
        ({"nodes": 2}, "2 nodes need --rendezvous to meet at: HOST:PORT"),
    ],
)
def test_meetings_that_cannot_be(meeting: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Meeting(**meeting)  # type: ignore[arg-type]


def test_places() -> None:
    assert parse_place("node01:29500") == ("node01", 29500)
    assert parse_place("[::1]:80") == ("::1", 80)
    for wrong in ("node01", ":80", "node01:", "node01:http", "node01:70000"):
        with pytest.raises(UsageError, match="wanted HOST:PORT"):
            parse_place(wrong)


def test_meetings_as_farms_and_people_ask_for_them(tmp_path: Path) -> None:
    ask = {"nodes": 2, "processes": 3, "address": "node01"}
    notice = tmp_path / "meeting"
    assert parse_meeting("node01:80", rank=1, **ask) == Meeting(
        nodes=2, node=1, processes=3, place=("node01", 80), address="node01"
    )
    assert parse_meeting(f" {notice}\n", rank=0, **ask) == Meeting(
        nodes=2, node=0, processes=3, notice=notice, address="node01"
    )
    # nobody says that there are other hosts
    assert parse_meeting("", rank=None, **ask) == Meeting(processes=6)
    with pytest.raises(UsageError, match="2 nodes need --rendezvous"):
        parse_meeting("", rank=0, **ask)
    with pytest.raises(UsageError, match="'meeting' cannot be read; wanted HOST:PORT"):
        parse_meeting("meeting", rank=0, **ask)


@pytest.mark.parametrize("place", [("node01", 29500), ("fe80::1", 1), ("127.0.0.1", 65535)])
def test_notices(tmp_path: Path, place: tuple[str, int]) -> None:
    path = tmp_path / "meeting"
    assert read_notice(path) is None and read_notice(tmp_path / "no" / "folder") is None
    write_notice(path, place)
    assert read_notice(path) == place
    (tmp_path / "file").write_text("")
    with pytest.raises(TryAgainError, match="cannot write"):
        write_notice(tmp_path / "file" / "meeting", place)


def test_nodes_meet_by_a_file_even_if_it_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laikaroto.training.processes._KNOCK_S", 0.5)
    notice = tmp_path / "meeting"
    gone = open_store(None, hosts=True)
    write_notice(notice, ("127.0.0.1", gone.port))  # of an attempt that died
    del gone
    nodes = [Meeting(nodes=2, node=rank, notice=notice, address="127.0.0.1") for rank in (0, 1)]
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(_meet, nodes[1])
        with pytest.raises(TimeoutError):
            late.result(timeout=1.5)  # it goes on looking
        store, place = _meet(nodes[0])
        found, same = late.result(timeout=300)
        assert same == place == read_notice(notice)
        store.set("key", "value")
        assert found.get("key") == b"value"


def test_node_that_nobody_tells_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laikaroto.training.processes.JOIN_S", 0.3)
    with pytest.raises(TryAgainError, match=r"node 0 .* has not said in .*/meeting where"):
        _meet(Meeting(nodes=2, node=1, notice=tmp_path / "meeting"))


def test_process_that_does_not_come_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(None, hosts=True)  # with all the time it may need
    monkeypatch.setattr("laikaroto.training.processes.JOIN_S", 0.3)
    with (
        pytest.raises(TryAgainError, match=r"process 0 of 3 did not meet .* \(missing: 1, 2\)"),
        joined(store, 0, 3),
    ):
        raise AssertionError("nobody came, yet it began")


def test_interface_is_the_one_that_leads_to_the_meeting_place() -> None:
    assert interface_towards("127.0.0.1") == interface_towards("localhost") == "lo"
    assert interface_towards("no-such-host.invalid") is None
    for name, addresses in psutil.net_if_addrs().items():
        own = [a.address for a in addresses if a.family == socket.AF_INET]
        assert all(interface_towards(address) == name for address in own)


def test_nobody_at_the_meeting_place(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(None, hosts=True)  # with all the time it may need
    monkeypatch.setattr("laikaroto.training.processes.JOIN_S", 1.0)
    with pytest.raises(TryAgainError, match="cannot listen at 127.0.0.1"):
        open_store(("127.0.0.1", store.port), hosts=True)
    port = store.port
    del store
    with pytest.raises(TryAgainError, match=f"cannot reach 127.0.0.1:{port}"):
        open_store(("127.0.0.1", port), hosts=False)


def test_a_helper_that_cannot_start_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong(meeting: Meeting, number: int) -> list[str]:
        return ["worker", "train-helper", "--no-such-option"]

    with (
        pytest.raises(TryAgainError, match=r"process 1, a helper .* \(exit code 2\)"),
        together(Meeting(processes=2), wrong, 1),
    ):
        raise AssertionError("nobody came, yet it began")
    assert "--no-such-option" in capfd.readouterr().err


def test_more_processes_than_pictures(prepared: Path, tmp_path: Path) -> None:
    class Crowd(type(ALONE)):  # type: ignore[misc]
        def agree(self, *values: float | None) -> tuple[float | None, ...]:
            return values

    course: Course = open_course(
        copy_run(prepared, tmp_path / "run"), lambda share, text: None,
        choices={"budget_s": 1.0, "seed": 1, "held_out": ()},
    )  # fmt: skip
    with pytest.raises(UsageError, match="9 processes for batches of 8: use 8 at most"):
        train(replace(course, peers=Crowd(0, 9)))
