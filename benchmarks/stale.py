"""How long ``laikaroto status --stale`` takes on a show of a film's size.

    python -m benchmarks.stale [--shots 200 2000 20000] [--frames 100]

Makes a show of empty plates and of versions that hold what the question needs (report.json,
manifest, a corrections file in every fourth shot, an approval of the whole shot in every tenth),
one in fifty of them stale, and runs the command as a user does: a new process, once with no memo,
then three times more. Files are in the system's cache, as on a file server that is used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from laikaroto import __version__
from laikaroto.character.template import CharacterTemplate, template_digest, write_template
from laikaroto.correction.log import append
from laikaroto.plate.scan import scan_digest, scan_plates
from laikaroto.show import Show

_SHOW = """name: film
root: ..
plates: {template: "{root}/plates/{shot}/{shot}.{frame:04d}.exr"}
"""


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--frames", type=int, default=100)
    wanted = parser.parse_args()
    print("| shots | frames each | first look | next looks | CPU of those | stale |")
    print("|---|---|---|---|---|---|")
    for shots in wanted.shots:
        with tempfile.TemporaryDirectory(prefix="laikaroto-stale-") as folder:
            show = make_show(Path(folder), shots=shots, frames=wanted.frames)
            first = look(show)
            rest = [look(show) for _ in range(3)]
            assert all(found[2] == first[2] for found in rest)
            print(
                f"| {shots} | {wanted.frames} | {first[0]:.2f} s | "
                f"{', '.join(f'{seconds:.2f}' for seconds, _, _ in rest)} s | "
                f"{min(cpu for _, cpu, _ in rest):.2f} s | {first[2]} |",
                flush=True,
            )


def look(configs: Path) -> tuple[float, float, str]:
    """Seconds, CPU seconds and the last line of one call."""
    began, before = time.perf_counter(), os.times()
    ran = subprocess.run(
        [sys.executable, "-m", "laikaroto", "status", "--stale", "--configs", str(configs)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = os.times()
    cpu = after.children_user - before.children_user
    cpu += after.children_system - before.children_system
    return time.perf_counter() - began, cpu, ran.stdout.splitlines()[-1]


def make_show(folder: Path, *, shots: int, frames: int) -> Path:
    """Write the show; returns its configuration folder."""
    configs = folder / "configs"
    (configs / "characters").mkdir(parents=True)
    (configs / "show.yaml").write_text(_SHOW)
    (configs / "characters" / "hero.yaml").write_text("name: hero\n")
    show = Show.open(configs)
    template = CharacterTemplate(character="hero", tracks=("nose",), shapes=())
    models = show.models_folder("hero")
    for version in ("v001", "v002"):
        write_template(models / version / "template.json", template)
        (models / version / "MANIFEST.json").write_text("{}")
    write_template(models / "template.json", template)
    (models / "current.json").write_text('{"current": "v002", "history": ["v001", "v002"]}')
    for number in range(shots):
        _make_shot(show, f"s{number:05d}", frames, number, template_digest(template))
    return configs


def _make_shot(show: Show, shot: str, frames: int, number: int, template: str) -> None:
    pattern = show.plate_template(shot)
    numbers = range(1001, 1001 + frames)
    Path(pattern.format(frame=1001)).parent.mkdir(parents=True)
    for frame in numbers:
        os.close(os.open(pattern.format(frame=frame), os.O_CREAT | os.O_WRONLY, 0o644))
    folder = show.sidecar_folder(shot, "hero", "v001")
    folder.mkdir(parents=True)
    sha = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
    report = {
        "version": "v001", "published": "2026-01-01T00:00:00+00:00", "frames": frames,
        "flagged": {str(f): ["expected error 1.4 px in mouth"] for f in numbers if f % 7 == 0},
        "shapes": {f"shape{i}": {"visible_frames": frames} for i in range(12)},
        "plates": {"scan": scan_digest(scan_plates(pattern, shot=shot)), "whole": True},
        "provenance": {
            "model": {"version": "v001" if number % 50 == 0 else "v002", "sha256": sha},
            "template": {"sha256": template}, "laikaroto": __version__, "corrections": [],
            "plates": {"frames": f"1001-{1000 + frames}", "sha256": ""}, "seed": 1,
        },
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "MANIFEST.json").write_text("{}")
    path = show.corrections_file(shot, "hero")
    if number % 10 == 3:
        approval = {"kind": "approve", "whole": True, "frames": list(numbers)}
        append(path, lambda log: approval, who="bo")
    elif number % 4 == 0:
        append(path, lambda log: {"kind": "conflict", "note": "refused"}, who="anna")


if __name__ == "__main__":
    main()
