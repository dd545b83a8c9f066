"""The tasks of a shot's job, run as a farm runs them, and all that may befall them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from laikaroto.bundled import bundled
from laikaroto.errors import (
    EXIT_FAILED,
    EXIT_TRY_AGAIN,
    EXIT_USAGE,
    LaikarotoError,
    ModelError,
    PlateError,
    SidecarError,
    UsageError,
)
from laikaroto.model.package import promote
from laikaroto.show import Show
from laikaroto.sidecar.publish import verify_manifest, versions
from laikaroto.sidecar.schema import read_roto, write_roto
from laikaroto.worker import shot as steps

FRAMES = (1001, 1002, 1003, 1004)
STEP_OF = {"matte": "mattes"}  # where the task and its function have different names
STEPS = ("check", "predict", "solve", "mattes", "publish", "review")


def quiet(fraction: float, text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def show(tiny_configs: Path) -> Show:
    """Sample show with an untrained model; its shot ta01 has four frames, plain copies."""
    plates = tiny_configs.parent / "sample" / "plates"
    plates.unlink()
    for frame in FRAMES:
        target = plates / "ta01" / f"ta01.{frame}.exr"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundled("sample") / "plates" / "ta01" / target.name, target)
    return Show.open(tiny_configs)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def plate(show: Show, frame: int) -> Path:
    return Path(show.plate_template("ta01").format(frame=frame))


def do(show: Show, run: Path, *names: str, frames: Sequence[int] | None = None) -> str | None:
    """Run steps of ta01 in this process; returns what publish gives."""
    version = None
    for name in names:
        options: dict[str, object] = {"shot": "ta01", "character": "hero", "run": run}
        if name == "check":
            options |= {"model": "current"}
        if name in ("check", "predict", "mattes"):
            options |= {"frames": frames}
        found = getattr(steps, name)(show, report=quiet, **options)
        version = found if name == "publish" else version
    return version


def published(show: Show) -> Path:
    return show.sidecar_folder("ta01", "hero", "v001").parent


def litter(*folders: Path) -> list[str]:
    return sorted(str(p) for folder in folders for p in folder.rglob(".*"))


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# ---- the way it should go ------------------------------------------------------------------


def test_a_shot_from_plates_to_review_page(show: Show, run: Path) -> None:
    before = digests(Path(show.plate_template("ta01")).parent)
    assert do(show, run, *STEPS) == "v001"
    folder = published(show) / "v001"
    verify_manifest(folder)
    roto = read_roto(folder / "roto.json")
    assert (roto.version, roto.shot, roto.character) == ("v001", "ta01", "hero")
    assert (roto.plate.width, roto.plate.height, roto.plate.fps) == (640, 360, 24.0)
    assert (roto.plate.first, roto.plate.last) == (1001, 1004)
    job = json.loads((run / "shot.json").read_text())
    assert roto.provenance["model"] == {"version": "v001", "sha256": job["model_digest"]}
    assert roto.provenance["plates"] == {"frames": "1001-1004", "sha256": job["plates_digest"]}
    assert roto.provenance["corrections"] == []
    layers = {"face", "eyes", "mouth", "brows", "all"}
    assert {p.name for p in (folder / "matte").iterdir()} == {
        f"{layer}.{frame}.exr" for layer in layers for frame in FRAMES
    }
    report = json.loads((folder / "report.json").read_text())
    assert report["frames"] == 4 and report["version"] == "v001"
    assert set(report["shapes"]) == set(roto.shapes)
    assert (show.review_folder("ta01", "hero", "v001") / "index.html").is_file()
    assert digests(Path(show.plate_template("ta01")).parent) == before
    assert litter(run, published(show)) == []


def test_chunks_give_what_the_whole_gives(show: Show, run: Path, tmp_path: Path) -> None:
    do(show, run, *STEPS[:-1])
    other = tmp_path / "other"
    do(show, other, "check")
    for chunk in ((1003, 1004), (1001, 1002)):
        do(show, other, "predict", frames=chunk)
    do(show, other, "solve")
    for chunk in ((1002, 1004), (1001, 1003)):
        do(show, other, "mattes", frames=chunk)
    assert do(show, other, "publish") == "v002"
    first, second = (digests(published(show) / version) for version in ("v001", "v002"))
    mattes = {name for name in first if name.startswith("matte/")}
    assert {n: first[n] for n in mattes} == {n: second[n] for n in mattes}
    one, two = ((published(show) / v / "roto.json").read_bytes() for v in ("v001", "v002"))
    assert one.replace(b'"version":"v001","plate"', b'"version":"v002","plate"') == two


def test_frames_may_be_picked(show: Show, run: Path) -> None:
    do(show, run, "check", frames=(1002, 1004))
    do(show, run, "predict", "solve", "mattes", "publish")
    roto = read_roto(published(show) / "v001" / "roto.json")
    assert sorted(roto.frames) == [1002, 1004]


def test_a_repeated_plate_is_a_hold_to_the_last_digit(show: Show, run: Path) -> None:
    rng = np.random.default_rng(0)
    with OpenEXR.File(str(plate(show, 1002)), separate_channels=True) as file:
        header = {k: v for k, v in file.header().items() if k == "compression"}
        channels = {
            name: (channel.pixels * 1.02 * (1 + rng.normal(0, 0.02, channel.pixels.shape)))
            for name, channel in file.channels().items()
        }
    plate(show, 1003).unlink()
    OpenEXR.File(
        header | {"type": OpenEXR.scanlineimage},
        {name: pixels.astype(np.float16) for name, pixels in channels.items()},
    ).write(str(plate(show, 1003)))
    do(show, run, "check")
    for chunk in ((1001, 1002), (1003, 1004)):  # the hold crosses the border of the chunks
        do(show, run, "predict", frames=chunk)
    do(show, run, "solve")
    roto = read_roto(run / "roto.json")
    assert [roto.frames[f].hold_of for f in FRAMES] == [None, None, 1002, None]
    for shape in roto.shapes.values():
        np.testing.assert_array_equal(shape.frames[1003].points, shape.frames[1002].points)


def test_hidden_shapes_have_empty_mattes(show: Show, run: Path) -> None:
    from dataclasses import replace

    do(show, run, "check", "predict", "solve")
    roto = read_roto(run / "roto.json")
    shapes = dict(roto.shapes)
    hidden = {f: replace(shape, visible=False) for f, shape in shapes["mouth"].frames.items()}
    shapes["mouth"] = replace(shapes["mouth"], frames=hidden)
    write_roto(run / "roto.json", replace(roto, shapes=shapes))
    do(show, run, "mattes")
    for frame in FRAMES:
        assert read_matte(run / "matte" / f"mouth.{frame}.exr").max() == 0.0
        assert read_matte(run / "matte" / f"all.{frame}.exr").max() > 0.0


def read_matte(path: Path) -> np.ndarray:
    with OpenEXR.File(str(path), separate_channels=True) as file:
        pixels: np.ndarray = file.channels()["A"].pixels.copy()
    return pixels


def test_all_tasks_use_the_model_of_the_check(show: Show, run: Path) -> None:
    do(show, run, "check")
    models = show.models_folder("hero")
    shutil.copytree(models / "v001", models / "v002", copy_function=os.link)
    promote(models, "v002")
    do(show, run, "predict", "solve")
    assert read_roto(run / "roto.json").provenance["model"]["version"] == "v001"


def test_a_repeated_check_keeps_what_is_done(show: Show, run: Path) -> None:
    do(show, run, "check", "predict")
    before = digests(run)
    do(show, run, "check")
    assert digests(run) == before
    do(show, run, "check", frames=(1001, 1002))  # another job: begins anew
    assert [p.name for p in run.iterdir()] == ["shot.json"]


# ---- bad input -----------------------------------------------------------------------------


def test_empty_plate_folder(show: Show, run: Path) -> None:
    for frame in FRAMES:
        plate(show, frame).unlink()
    with pytest.raises(PlateError, match="shot ta01: no plates"):
        do(show, run, "check")
    assert not run.exists()


def break_nothing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def as_text(path: Path) -> None:
    path.write_text("this is not a picture\n")


def smaller(path: Path) -> None:
    pixels = np.zeros((180, 320), np.float16)
    OpenEXR.File(
        {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION},
        dict.fromkeys("RGB", pixels),
    ).write(str(path))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_nothing, "frame 1003: missing"),
        (cut, "frame 1003: .*cut off"),
        (as_text, "frame 1003: .*ta01.1003.exr"),
        (smaller, "frame 1003: is 320x180.*wanted 640x360"),
    ],
)
def test_damaged_plates_are_told_before_any_work(
    show: Show, run: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(plate(show, 1003))
    with pytest.raises(PlateError, match=words):
        do(show, run, "check")
    assert not run.exists()


def test_a_plate_that_breaks_after_the_check(show: Show, run: Path) -> None:
    do(show, run, "check")
    cut(plate(show, 1003))
    with pytest.raises(PlateError, match="shot ta01 frame 1003"):
        do(show, run, "predict")
    assert not (run / "predict").exists() or litter(run) == []


@pytest.mark.parametrize("shot", ["nope", "../ta01", "a b", 'ta"01', "$(touch x)", ""])
def test_unknown_and_unusable_shots(show: Show, run: Path, shot: str) -> None:
    with pytest.raises(UsageError, match="shot"):
        steps.check(
            show, shot=shot, character="hero", frames=None, model="current", run=run, report=quiet
        )


@pytest.mark.parametrize("character", ["nobody", "../hero", "$(x)"])
def test_unknown_and_unusable_characters(show: Show, run: Path, character: str) -> None:
    with pytest.raises(UsageError, match="character"):
        steps.check(
            show, shot="ta01", character=character, frames=None, model="current", run=run,
            report=quiet,
        )  # fmt: skip


def replace_file(path: Path, data: bytes) -> None:
    path.unlink()  # it is a link to a file that other tests use
    path.write_bytes(data)


def test_a_package_with_a_wrong_checksum(show: Show, run: Path) -> None:
    weights = show.models_folder("hero") / "v001" / "drawer.bin"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    replace_file(weights, bytes(data))
    with pytest.raises(ModelError, match=r"drawer\.bin: checksum differs"):
        do(show, run, "check")


def test_a_package_that_was_exchanged_after_the_check(show: Show, run: Path) -> None:
    do(show, run, "check")
    manifest = show.models_folder("hero") / "v001" / "MANIFEST.json"
    replace_file(manifest, manifest.read_bytes() + b"\n")
    with pytest.raises(ModelError, match="is not the model that this job was checked with"):
        do(show, run, "predict")


def test_no_model_yet(show: Show, run: Path) -> None:
    shutil.rmtree(show.models_folder("hero"))
    with pytest.raises(ModelError, match="laikaroto train"):
        do(show, run, "check")


def test_steps_out_of_order_say_which_is_missing(show: Show, run: Path) -> None:
    with pytest.raises(SidecarError, match="run the check task"):
        do(show, run, "predict")
    do(show, run, "check")
    do(show, run, "predict", frames=(1001, 1004))
    with pytest.raises(LaikarotoError, match="frames 1002-1003 are not predicted"):
        do(show, run, "solve")
    do(show, run, "predict", frames=(1002, 1003))
    with pytest.raises(SidecarError, match=r"roto\.json"):
        do(show, run, "mattes")
    do(show, run, "solve")
    do(show, run, "mattes", frames=(1001, 1002, 1003))
    with pytest.raises(LaikarotoError, match="mattes of frames 1004 are missing"):
        do(show, run, "publish")
    with pytest.raises(LaikarotoError, match="run the publish task"):
        do(show, run, "review")
    assert versions(published(show)) == []


def test_frames_beyond_the_job_and_foreign_folders(show: Show, run: Path) -> None:
    do(show, run, "check")
    with pytest.raises(UsageError, match="frames 1009 are not part of this job"):
        do(show, run, "predict", frames=(1001, 1009))
    with pytest.raises(SidecarError, match="wanted shot 'tr01'"):
        steps.solve(show, shot="tr01", character="hero", run=run, report=quiet)
    (run / "shot.json").write_text('{"shot": 3}')
    with pytest.raises(SidecarError, match=r"shot\.json: shot: "):
        do(show, run, "predict")


# ---- disks and processes that fail ---------------------------------------------------------


def worker_arguments(show: Show, run: Path, step: str) -> list[str]:
    return [
        "worker", step, "--configs", str(show.configs.folder), "--shot", "ta01",
        "--character", "hero", "--run", str(run),
    ]  # fmt: skip


def work(
    show: Show, run: Path, step: str, *, file_limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a step as a farm does."""

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return subprocess.run(
        [sys.executable, "-m", "laikaroto", *worker_arguments(show, run, step)],
        capture_output=True, text=True, timeout=300, preexec_fn=limit,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Path:
    """A whole job, done once: the show with v001, and the job's folder after each step."""
    root = tmp_path_factory.mktemp("stages")
    shutil.copytree(bundled("configs"), root / "configs")
    plates = root / "sample" / "plates" / "ta01"
    plates.mkdir(parents=True)
    for frame in FRAMES:
        shutil.copyfile(bundled("sample") / "plates" / "ta01" / f"ta01.{frame}.exr",
                        plates / f"ta01.{frame}.exr")  # fmt: skip
    shutil.copytree(tiny_models, root / "sample" / "models" / "hero", copy_function=os.link)
    show = Show.open(root / "configs")
    for name in STEPS[:-1]:
        if (root / "run").exists():
            shutil.copytree(root / "run", root / "before" / name)
        do(show, root / "run", name)
    shutil.rmtree(root / "run")
    return root


@pytest.fixture
def former(stages: Path, tmp_path: Path) -> Show:
    """A show of its own in which v001 of ta01 is published."""
    for name in ("configs", "sample"):
        shutil.copytree(stages / name, tmp_path / "show" / name, copy_function=os.link)
    return Show.open(tmp_path / "show" / "configs")


def job_before(stages: Path, step: str, run: Path) -> None:
    """Make ``run`` the folder of another job like the former, just before a step."""
    shutil.copytree(stages / "before" / step, run)
    job = json.loads((run / "shot.json").read_text())
    replace_file(run / "shot.json", json.dumps(job | {"token": "another"}).encode())


@contextlib.contextmanager
def _stopped(show: Show, run: Path, step: str, place: str):  # type: ignore[no-untyped-def]
    script = Path(__file__).with_name("stopping.py")
    process = subprocess.Popen(
        [sys.executable, str(script), place, *worker_arguments(show, run, step)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), process.stderr and process.stderr.read().decode()
        yield process
    finally:
        process.kill()
        with contextlib.suppress(ChildProcessError):
            process.wait()
        assert process.stderr is not None
        process.stderr.close()


def kill_in(show: Show, run: Path, step: str, place: str) -> None:
    """Run a step until a place in it, then kill -9 it there."""
    with _stopped(show, run, step, place) as process:
        os.kill(process.pid, signal.SIGKILL)


def test_a_full_disk_while_publishing(former: Show, stages: Path, run: Path) -> None:
    job_before(stages, "publish", run)
    before = digests(published(former))
    ran = work(former, run, "publish", file_limit=20_000)
    assert ran.returncode == EXIT_TRY_AGAIN, ran.stderr
    assert "cannot write" in ran.stderr and "run again" in ran.stderr
    assert "openjd_fail: cannot write" in ran.stdout
    assert digests(published(former)) == before
    assert litter(published(former)) == []
    assert work(former, run, "publish").returncode == 0
    assert versions(published(former)) == ["v001", "v002"]


@pytest.mark.parametrize("step", ["predict", "solve", "matte"])
def test_a_full_disk_while_working(former: Show, stages: Path, run: Path, step: str) -> None:
    job_before(stages, STEP_OF.get(step, step), run)
    ran = work(former, run, step, file_limit=200)
    assert ran.returncode == EXIT_TRY_AGAIN, ran.stderr
    assert litter(run) == []


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("predict", "report:frame 1002 drawn"),
        ("predict", "replace:1001-1004.npz"),
        ("solve", "report:settling"),
        ("solve", "replace:roto.json"),
        ("matte", "report:frame 1002"),
        ("matte", "replace:mouth.1003.exr"),
        ("publish", "report:frame 1002 copied"),
        ("publish", "replace:roto.json"),
        ("publish", "rename:v002"),
        ("publish", "replace:published.json"),
    ],
)
def test_killed_in_the_middle_and_run_again(
    former: Show, stages: Path, run: Path, step: str, place: str
) -> None:
    before = digests(published(former) / "v001")
    name = STEP_OF.get(step, step)
    job_before(stages, name, run)
    kill_in(former, run, step, place)
    assert digests(published(former) / "v001") == before
    again = work(former, run, step)
    assert again.returncode == 0, again.stderr
    do(former, run, *STEPS[STEPS.index(name) + 1 : 5])
    assert versions(published(former)) == ["v001", "v002"]  # and not a third
    verify_manifest(published(former) / "v002")
    after = digests(published(former) / "v001")
    assert after == before
    one, two = (published(former) / v / "roto.json" for v in ("v001", "v002"))
    assert one.read_bytes().replace(b'"version":"v001","plate"', b'"version":"v002","plate"') == (
        two.read_bytes()
    )
    mattes = {n: d for n, d in before.items() if n.startswith("matte/")}
    assert mattes.items() <= digests(published(former) / "v002").items()
    assert litter(run, published(former)) == []


def test_publishing_again_publishes_nothing_new(show: Show, run: Path) -> None:
    do(show, run, *STEPS[:-1])
    assert do(show, run, "publish") == "v001"
    (run / "published.json").unlink()  # as if killed before it was written down
    assert do(show, run, "publish") == "v001"
    assert versions(published(show)) == ["v001"]


def test_exit_codes_and_lines_for_the_farm(show: Show, run: Path) -> None:
    ran = work(show, run, "predict")
    assert ran.returncode == EXIT_FAILED
    assert "openjd_fail: shot ta01" in ran.stdout
    ran = work(show, run, "check")
    assert ran.returncode == 0
    assert "openjd_status: ta01: 4 frames, model v001" in ran.stdout
    arguments = [a if a != "ta01" else "nope" for a in worker_arguments(show, run, "check")]
    found = subprocess.run(
        [sys.executable, "-m", "laikaroto", *arguments], capture_output=True, timeout=300
    )
    assert found.returncode == EXIT_USAGE
