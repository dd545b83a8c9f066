"""Publishing: whole or not at all, whatever dies, fills up or races."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from laikaroto.errors import SidecarError, TryAgainError
from laikaroto.sidecar.publish import (
    MANIFEST,
    building,
    latest_version,
    publish,
    verify_manifest,
    versions,
)


def publish_one(parent: Path, content: str = "hello") -> str:
    with building(parent) as folder:
        (folder / "matte").mkdir()
        (folder / "matte" / "a.exr").write_bytes(b"\0" * 1000)
        (folder / "roto.json").write_text(content)
        return publish(folder, parent)


def everything(parent: Path) -> list[str]:
    return sorted(p.relative_to(parent).as_posix() for p in parent.rglob("*") if p.is_file())


def in_child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def test_versions_count_up_and_are_whole(tmp_path: Path) -> None:
    assert versions(tmp_path / "none") == [] and latest_version(tmp_path / "none") is None
    assert [publish_one(tmp_path / "hero") for _ in range(3)] == ["v001", "v002", "v003"]
    assert versions(tmp_path / "hero") == ["v001", "v002", "v003"]
    assert latest_version(tmp_path / "hero") == "v003"
    verify_manifest(tmp_path / "hero" / "v002")
    assert everything(tmp_path / "hero" / "v001") == [MANIFEST, "matte/a.exr", "roto.json"]
    assert sorted(p.name for p in (tmp_path / "hero").iterdir()) == ["v001", "v002", "v003"]


def test_numbers_pass_v999_in_order(tmp_path: Path) -> None:
    publish_one(tmp_path)
    (tmp_path / "v001").rename(tmp_path / "v999")
    assert publish_one(tmp_path) == "v1000"
    assert versions(tmp_path) == ["v999", "v1000"]


def test_the_manifest_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    publish_one(tmp_path)
    publish_one(tmp_path)
    first, second = ((tmp_path / v / MANIFEST).read_bytes() for v in ("v001", "v002"))
    assert first == second
    listed = json.loads(first)["files"]
    assert listed["matte/a.exr"]["size"] == 1000
    assert len(listed["roto.json"]["sha256"]) == 64


def test_others_may_read_what_is_published(tmp_path: Path) -> None:
    publish_one(tmp_path)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "v001").stat().st_mode & 0o777 == 0o777 & ~mask


def test_stamp_writes_the_version_before_the_manifest(tmp_path: Path) -> None:
    def stamp(version: str, folder: Path) -> None:
        (folder / "version.txt").write_text(version)

    with building(tmp_path) as folder:
        assert publish(folder, tmp_path, stamp=stamp) == "v001"
    assert (tmp_path / "v001" / "version.txt").read_text() == "v001"
    verify_manifest(tmp_path / "v001")


def test_a_number_taken_meanwhile_is_passed_over(tmp_path: Path) -> None:
    stamped = []

    def stamp(version: str, folder: Path) -> None:
        stamped.append(version)
        (folder / "version.txt").write_text(version)
        if version == "v001":  # somebody else is quicker
            publish_one(tmp_path, "theirs")

    with building(tmp_path) as folder:
        assert publish(folder, tmp_path, stamp=stamp) == "v002"
    assert stamped == ["v001", "v002"]
    assert (tmp_path / "v001" / "roto.json").read_text() == "theirs"
    assert (tmp_path / "v002" / "version.txt").read_text() == "v002"
    verify_manifest(tmp_path / "v002")


def test_many_publishers_at_once_lose_nothing(tmp_path: Path) -> None:
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: got.append(publish_one(tmp_path, f"number {i}")))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"v{i:03d}" for i in range(1, 9)] == versions(tmp_path)
    contents = {(tmp_path / version / "roto.json").read_text() for version in got}
    assert contents == {f"number {i}" for i in range(8)}
    assert len(list(tmp_path.iterdir())) == 8


def test_a_version_made_by_hand_without_manifest_is_no_version_and_not_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "v004").mkdir()
    assert versions(tmp_path) == []
    assert publish_one(tmp_path) == "v005"


def test_an_error_while_building_leaves_nothing(tmp_path: Path) -> None:
    publish_one(tmp_path)
    with pytest.raises(RuntimeError), building(tmp_path) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["v001"]


def test_an_error_while_stamping_leaves_nothing(tmp_path: Path) -> None:
    def stamp(version: str, folder: Path) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError), building(tmp_path) as folder:
        publish(folder, tmp_path, stamp=stamp)
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_published(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="plain files"), building(tmp_path) as folder:
        (folder / "secret").symlink_to("/etc/passwd")
        publish(folder, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_verify_tells_every_fault(tmp_path: Path) -> None:
    publish_one(tmp_path)
    version = tmp_path / "v001"
    (version / "roto.json").write_text("hellO")
    (version / "matte" / "a.exr").unlink()
    (version / "more.txt").write_text("")
    with pytest.raises(SidecarError) as caught:
        verify_manifest(version)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{version}: ") for line in lines] == [
        "matte/a.exr: missing",
        "more.txt: not in the manifest",
        "roto.json: checksum differs, its content was changed",
    ]
    (version / "roto.json").write_text("longer than before")
    with pytest.raises(SidecarError, match=r"roto\.json: wanted 5 bytes, got 18"):
        verify_manifest(version)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "x", "files": {}}', '{"files": 3}'])
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str) -> None:
    publish_one(tmp_path)
    (tmp_path / "v001" / MANIFEST).write_text(text)
    with pytest.raises(SidecarError, match="is damaged"):
        verify_manifest(tmp_path / "v001")


def test_a_folder_without_manifest_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="not a version"):
        verify_manifest(tmp_path)


_KILLED_IN_PUBLISH = """
import sys, time
from pathlib import Path
from laikaroto.sidecar.publish import building, publish
def stamp(version, folder):
    (folder / "roto.json").write_text(version)
    print("in publish", flush=True)
    time.sleep(60)
parent = Path(sys.argv[1])
with building(parent) as folder:
    publish(folder, parent, stamp=stamp)
"""


def test_kill_9_in_publish_keeps_the_last_version_and_the_next_run_sweeps(tmp_path: Path) -> None:
    publish_one(tmp_path)
    child = in_child(_KILLED_IN_PUBLISH, tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "in publish\n"
    os.kill(child.pid, signal.SIGKILL)
    finish(child)
    assert versions(tmp_path) == ["v001"]
    verify_manifest(tmp_path / "v001")
    assert len(list(tmp_path.iterdir())) == 2, "the killed build is still there"
    assert publish_one(tmp_path) == "v002"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v001", "v002"]


def test_a_build_of_a_living_process_is_not_swept(tmp_path: Path) -> None:
    child = in_child(_KILLED_IN_PUBLISH, tmp_path)
    assert child.stdout is not None and child.stdout.readline() == "in publish\n"
    try:
        assert publish_one(tmp_path) == "v001"
        assert len(list(tmp_path.glob(".*"))) == 1, "its build folder was taken away"
    finally:
        child.kill()
        finish(child)


def test_a_folder_can_be_built_inside_a_folder_that_is_being_built(tmp_path: Path) -> None:
    with building(tmp_path) as folder:
        with building(folder) as inner:
            (inner / "page.html").write_text("x")
            inner.rename(folder / "report")
        assert publish(folder, tmp_path) == "v001"
    assert everything(tmp_path / "v001") == [MANIFEST, "report/page.html"]


def test_a_build_folder_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    mkdir = Path.mkdir

    def swept_once(path: Path, *args: object, **kwargs: object) -> None:
        mkdir(path, *args, **kwargs)  # type: ignore[arg-type]
        if path.name.startswith(".building."):
            made.append(path)
            if len(made) == 1:
                path.rmdir()  # what another process does at this very moment

    monkeypatch.setattr(Path, "mkdir", swept_once)
    with building(tmp_path) as folder:
        assert folder.is_dir() and folder == made[1] != made[0]


def test_other_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".snapshot").mkdir()
    publish_one(tmp_path)
    assert (tmp_path / ".snapshot").is_dir()


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from laikaroto.errors import LaikarotoError
from laikaroto.sidecar.publish import building, publish
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
parent = Path(sys.argv[1])
try:
    with building(parent) as folder:
        (folder / "roto.json").write_bytes(b"x" * 100)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        publish(folder, parent)
except LaikarotoError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_no_room_for_the_manifest(tmp_path: Path) -> None:
    publish_one(tmp_path)
    code, out, err = finish(in_child(_FULL_DISK, tmp_path))
    assert (code, err) == (75, "")
    assert "cannot write" in out and "run again" in out
    assert [p.name for p in tmp_path.iterdir()] == ["v001"]
    verify_manifest(tmp_path / "v001")
    assert publish_one(tmp_path) == "v002"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    try:
        publish_one(disk)

        def stamp(version: str, folder: Path) -> None:
            (folder / "big").write_bytes(b"\0" * 200_000)

        with pytest.raises(TryAgainError, match="disk is full"), building(disk) as folder:
            publish(folder, disk, stamp=stamp)
        assert [p.name for p in disk.iterdir()] == ["v001"]
        verify_manifest(disk / "v001")
        assert publish_one(disk) == "v002"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


_READ_ONLY = """
import os, sys
from pathlib import Path
from laikaroto.errors import LaikarotoError
from laikaroto.sidecar.publish import building
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with building(Path(sys.argv[1])):
        pass
except LaikarotoError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_folder_without_permission(tmp_path: Path) -> None:
    parent = tmp_path / "hero"
    publish_one(parent)
    for folder in (parent, *list(parent.parents)[:3]):  # let the unprivileged child see it
        folder.chmod(0o755)
    parent.chmod(0o555)
    try:
        code, out, err = finish(in_child(_READ_ONLY, parent))
    finally:
        parent.chmod(0o755)
    assert (code, err) == (75, "")
    assert f"cannot write {parent}" in out and "make the folder writable" in out
    assert [p.name for p in parent.iterdir()] == ["v001"]
