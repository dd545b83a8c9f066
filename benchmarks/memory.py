"""Peak memory of rotoing a shot, against its length: ``python -m benchmarks.memory``.

The frames of the sample's target shot are repeated (as links) until the shot is long enough;
each step then runs as a farm task would, in a process of its own, over all frames at once,
which is the worst case: a farm gives it ten. Prints a Markdown table of peak resident memory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from laikaroto.bundled import bundled

STEPS = ("check", "predict", "solve", "matte", "publish")
SOURCE = "ta01"


def make_show(folder: Path, models: Path, lengths: tuple[int, ...]) -> Path:
    """A show with shots ``len16``, ``len400`` …; returns its configuration folder."""
    shutil.copytree(bundled("configs"), folder / "configs")
    plates = sorted((bundled("sample") / "plates" / SOURCE).glob("*.exr"))
    for length in lengths:
        shot = folder / "sample" / "plates" / f"len{length}"
        shot.mkdir(parents=True)
        for i in range(length):
            target = shot / f"{shot.name}.{1001 + i}.exr"
            target.symlink_to(plates[i % len(plates)].resolve())
    shutil.copytree(models, folder / "sample" / "models" / "hero")
    return folder / "configs"


def peak_mib(arguments: list[str]) -> float:
    """Run ``laikaroto`` and return its peak resident memory, MiB."""
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-c", script, sys.executable, "-m", "laikaroto", *arguments]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(ran.stdout.split()[-1]) / 1024


@click.command()
@click.option(
    "--models",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Models folder of the sample's puppet, such as laikaroto-demo/sample/models/hero.",
)
@click.option("--frames", "lengths", multiple=True, type=int, default=(16, 400), show_default=True)
def main(models: Path, lengths: tuple[int, ...]) -> None:
    """Measure every step on shots of these lengths."""
    click.echo(f"| frames | {' | '.join(f'{step}, MiB' for step in STEPS)} |")
    click.echo("|---" * (len(STEPS) + 1) + "|")
    with tempfile.TemporaryDirectory() as name:
        configs = make_show(Path(name), models, lengths)
        for length in lengths:
            run = Path(name) / f"run{length}"
            peaks = []
            for step in STEPS:
                arguments = ["worker", step, "--configs", str(configs), "--run", str(run)]
                arguments += ["--shot", f"len{length}", "--character", "hero"]
                peaks.append(f"{peak_mib(arguments):.0f}")
            click.echo(f"| {length} | {' | '.join(peaks)} |")


if __name__ == "__main__":
    main()
