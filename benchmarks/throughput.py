"""Frames a second, against what the parts could do alone: ``python -m benchmarks.throughput``.

In one run, in turns so that whatever else the machine does falls on all alike:

- **decode**: nothing but OpenEXR decoding the same plates, one file per thread, all threads;
- **benchmark_app**: OpenVINO's own, on the drawer of the same package with the same hint,
  precision and threads. A frame is drawn once for its crop and once for each look, so its
  frames/s are divided by (1 + looks);
- **predict**: the engine, from plates on disk to predictions, after the networks are compiled;
- **all steps**: check, predict, solve, mattes and publish as ``laikaroto infer`` runs them,
  with loading the model, over the same frames in one task.

Of each the best round counts, as the least disturbed. Decoding and drawing share the
processor, so no program can reach the slower of the two; what both could do together at best
is 1 / (1/decode + 1/benchmark_app), and the table has it too. CPU time a frame stands beside
each rate: all of this is bound by the processor, so its inverse is what a quiet machine would
do, while the rates depend on what else runs.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.plates import CHARACTER, dev_or_sample, make_show, repeat
from benchmarks.untrained import write_untrained

SHOT = "bench"
AIM = 0.8


@dataclass(frozen=True, slots=True)
class Rate:
    """One measurement: frames a second of wall time, processor milliseconds a frame."""

    frames_s: float
    cpu_ms: float


def timed(work: Callable[[], float]) -> Rate:
    """Run ``work``, which says how many frames it did; child processes count as well."""
    wall, cpu = time.monotonic(), _cpu_s()
    frames = work()
    return Rate(frames / (time.monotonic() - wall), (_cpu_s() - cpu) / frames * 1e3)


def _cpu_s() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def decode(plates: list[Path], threads: int) -> float:
    """Decode plates and throw them away; their number."""
    import OpenEXR

    def read(path: Path) -> None:
        OpenEXR.File(str(path), separate_channels=True, num_threads=0)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, plates))
    return len(plates)


def benchmark_app(package: Path, *, threads: int, crop_px: int, runs: int, seconds: int) -> Rate:
    """OpenVINO's benchmark of the drawer alone, in frames.

    Run for a second and for longer: what both spend on starting and compiling cancels out of
    the CPU time.

    Args:
        package: folder of the model package.
        threads: processor threads it may use.
        crop_px: side of the drawer's crop.
        runs: drawer runs a frame.
        seconds: how long it measures, at least 2.

    Raises:
        click.ClickException: it failed, or says no throughput.
    """
    from laikaroto.model.network import settings

    with tempfile.TemporaryDirectory() as folder:
        # its options refuse threads beside a hint; its configuration file takes both
        config = Path(folder) / "config.json"
        told = {name: str(value).upper() for name, value in settings(threads).items()}
        told["INFERENCE_PRECISION_HINT"] = told["INFERENCE_PRECISION_HINT"].lower()
        config.write_text(json.dumps({"CPU": told}), encoding="utf-8")
        command = [
            str(Path(sys.executable).with_name("benchmark_app")),
            *("-m", str(package / "drawer.xml"), "-d", "CPU", "-hint", "throughput"),
            *("-infer_precision", "f32", "-load_config", str(config)),
            *("-shape", f"[1,3,{crop_px},{crop_px}]"),
        ]
        _, short, start_s = _run_app([*command, "-t", "1"])
        rate, count, cpu_s = _run_app([*command, "-t", str(seconds)])
    return Rate(rate / runs, (cpu_s - start_s) / max(count - short, 1) * runs * 1e3)


def _run_app(command: list[str]) -> tuple[float, int, float]:
    """Drawings a second, drawings, CPU seconds."""
    cpu = _cpu_s()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Throughput:\s+([\d.]+) FPS", ran.stdout)
    count = re.search(r"Count:\s+(\d+) iterations", ran.stdout)
    if ran.returncode or not found or not count:
        raise click.ClickException(f"{' '.join(command)} failed:\n{ran.stdout[-2000:]}{ran.stderr}")
    return float(found[1]), int(count[1]), _cpu_s() - cpu


class Bench:
    """The show and the engine that the rounds run on."""

    def __init__(self, folder: Path, *, frames: int, crop_px: int, models: Path | None) -> None:
        """Make a show of ``frames`` frames; without ``models`` one is written, untrained."""
        import cv2

        from laikaroto.ahead import usable_threads
        from laikaroto.config import PlateConfig
        from laikaroto.model.engine import Engine
        from laikaroto.model.package import current_version, load_package
        from laikaroto.plate.exr import read_header
        from laikaroto.show import Show

        source = dev_or_sample()
        self.folder, self.source = folder, source
        self.threads = usable_threads()
        self.plates = repeat(source.plates, frames)
        header = read_header(source.plates[0], PlateConfig(template="{shot}{frame}"))
        self.size = f"{header.width}x{header.height}"
        if models is None:
            models = folder / "models"
            write_untrained(models, truth=source.truth, crop_px=crop_px, header=header)
        self.show = Show.open(make_show(folder / "show", {SHOT: self.plates}, models))
        self.package = load_package(models / str(current_version(models)))
        cv2.setNumThreads(1)
        self.engine = Engine(self.package, threads=self.threads)

    @property
    def runs(self) -> int:
        """Drawer runs a frame."""
        return 1 + len(self.engine.looks)

    def predict(self) -> float:
        """Plates on disk to predictions."""
        from laikaroto.plate.reading import read_ahead
        from laikaroto.plate.sequence import find_sequence

        sequence = find_sequence(self.show.plate_template(SHOT), shot=SHOT)
        config = self.show.configs.show.plates
        readers = max(self.threads, 2)
        predictions = self.engine.predict(
            sequence.frames,
            lambda numbers: read_ahead(
                sequence, numbers, config, threads=readers, depth=readers + 2
            ),
        )
        return len(predictions.frames)

    def all_steps(self) -> float:
        """A published version, as ``laikaroto infer`` makes it, without its review page."""
        from laikaroto.worker import shot as steps

        def silent(share: float, text: str) -> None:
            pass

        run = Path(tempfile.mkdtemp(dir=self.folder))
        names: dict[str, Any] = {
            "shot": SHOT, "character": CHARACTER, "run": run, "report": silent
        }  # fmt: skip
        steps.check(self.show, frames=None, model="current", **names)
        steps.predict(self.show, frames=None, **names)
        steps.solve(self.show, **names)
        steps.mattes(self.show, frames=None, **names)
        steps.publish(self.show, **names)
        return len(self.plates)

    def measure(self, rounds: int, seconds: int) -> dict[str, list[Rate]]:
        """All parts, in turns."""
        crop = self.package.info.crop_px
        results: dict[str, list[Rate]] = {}
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds}", err=True)
            turn = {
                "decode": timed(lambda: decode(self.plates, self.threads)),
                "benchmark_app": benchmark_app(
                    self.package.folder, threads=self.threads, crop_px=crop, runs=self.runs,
                    seconds=seconds,
                ),
                "predict": timed(self.predict),
                "all steps": timed(self.all_steps),
            }  # fmt: skip
            for name, rate in turn.items():
                results.setdefault(name, []).append(rate)
        return results


def summarise(bench: Bench, results: dict[str, list[Rate]]) -> dict[str, Any]:
    """The best of each, and the shares that are asked for."""
    best = {
        name: Rate(max(r.frames_s for r in rates), min(r.cpu_ms for r in rates))
        for name, rates in results.items()
    }
    slower = min(best["decode"].frames_s, best["benchmark_app"].frames_s)
    together = 1 / (1 / best["decode"].frames_s + 1 / best["benchmark_app"].frames_s)
    predicted = best["predict"]
    slower_ms = max(best["decode"].cpu_ms, best["benchmark_app"].cpu_ms)
    parts_ms = best["decode"].cpu_ms + best["benchmark_app"].cpu_ms
    return {
        "plates": f"{bench.source.shot}, {bench.size}, {len(bench.plates)} frames",
        "crop_px": bench.package.info.crop_px,
        "drawer_runs_per_frame": bench.runs,
        "threads": bench.threads,
        "load_average": list(os.getloadavg()),
        "best": {name: asdict(rate) for name, rate in best.items()},
        "rounds": {name: [asdict(rate) for rate in rates] for name, rates in results.items()},
        "together_at_best_frames_s": together,
        "predict_of_slower": predicted.frames_s / slower,
        "predict_of_together": predicted.frames_s / together,
        "predict_of_slower_by_cpu": slower_ms / predicted.cpu_ms,
        "predict_of_together_by_cpu": parts_ms / predicted.cpu_ms,
        "aim_of_slower": AIM,
    }


def as_table(summary: dict[str, Any]) -> str:
    """The summary in Markdown."""
    together = summary["together_at_best_frames_s"]
    lines = [
        f"{summary['plates']}; crop {summary['crop_px']} px, {summary['drawer_runs_per_frame']} "
        f"drawer runs a frame, {summary['threads']} threads, load "
        f"{summary['load_average'][0]:.1f}.",
        "",
        "| | frames/s | CPU ms a frame |",
        "|---|---|---|",
    ]
    for name, rate in summary["best"].items():
        lines.append(f"| {name} | {rate['frames_s']:.1f} | {rate['cpu_ms']:.1f} |")
    lines += [
        f"| decode and benchmark_app on the same cores, at best | {together:.1f} | |",
        "",
        f"predict reaches {summary['predict_of_slower']:.0%} of the slower of decode and "
        f"benchmark_app (aim {AIM:.0%}) and {summary['predict_of_together']:.0%} of what the two "
        "could do on the same cores; by CPU time, as if nothing else ran, "
        f"{summary['predict_of_slower_by_cpu']:.0%} and "
        f"{summary['predict_of_together_by_cpu']:.0%}.",
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--frames", default=64, show_default=True, help="Length of the shot.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5, show_default=True, help="Of each run of benchmark_app.")
@click.option("--crop", "crop_px", default=256, show_default=True, help="Of the untrained model.")
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Models folder of the puppet; by default an untrained model is made.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write files here.")
def main(
    frames: int, rounds: int, seconds: int, crop_px: int, models: Path | None, out: Path | None
) -> None:
    """Measure, print a table, and write throughput.md and throughput.json into --out."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), frames=frames, crop_px=crop_px, models=models)
        bench.predict()  # once to warm up: file cache, OpenVINO's first run
        summary = summarise(bench, bench.measure(rounds, seconds))
    table = as_table(summary)
    click.echo(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "throughput.md").write_text(table, encoding="utf-8")
        (out / "throughput.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
