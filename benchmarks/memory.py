"""Peak memory of rotoing a shot, against its length: ``python -m benchmarks.memory``.

The frames of the sample's target shot are repeated (as links) until the shot is long enough;
each step then runs as a farm task would, in a process of its own, over all frames at once,
which is the worst case: a farm gives it ten. Prints a Markdown table of peak resident memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.plates import find_source, make_show, repeat
from laikaroto.bundled import bundled

STEPS = ("check", "predict", "solve", "matte", "publish")
SOURCE = "ta01"


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
    plates = find_source(bundled("sample"), SOURCE).plates
    click.echo(f"| frames | {' | '.join(f'{step}, MiB' for step in STEPS)} |")
    click.echo("|---" * (len(STEPS) + 1) + "|")
    with tempfile.TemporaryDirectory() as name:
        shots = {f"len{length}": repeat(plates, length) for length in lengths}
        configs = make_show(Path(name), shots, models)
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
