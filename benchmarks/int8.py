"""How far lower precision moves points: ``python -m benchmarks.int8 --models DIR``.

The drawer of a trained package in float32, in bfloat16 (OpenVINO's own hint), and in int8 by
post-training quantisation (NNCF: ``pip install '.[bench]'``), on the same crops of a shot that
the model was not calibrated on. Accepted is what moves points by less than 0.05 px of the
plate on average; the product uses float32 unless this says otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from benchmarks.plates import DEV, Source, find_source
from benchmarks.presence import CONFIG, head_box
from laikaroto.ahead import usable_threads
from laikaroto.bundled import bundled
from laikaroto.coords import FloatArray
from laikaroto.model.crop import crop_matrix, cut_plate
from laikaroto.model.network import runtime, settings
from laikaroto.model.package import ModelPackage, current_version, load_package
from laikaroto.plate.colour import encode_log
from laikaroto.plate.exr import read_rgb
from laikaroto.sidecar.schema import read_roto

LIMIT_PX = 0.05
Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Precision:
    """A way to compute the drawer, against float32; px of the plate, of visible points."""

    name: str
    mean_px: float
    p95_px: float
    largest_px: float
    crops_s: float
    cpu_ms: float
    accepted: bool


def crops(source: Source, package: ModelPackage, every: int) -> tuple[Image, FloatArray]:
    """Crops (N, 3, S, S) of the heads of a shot, and px of the plate per px of each."""
    size = package.info.crop_px
    roto = read_roto(source.truth)
    pictures, scales = [], []
    for path in source.plates[::every]:
        box = head_box(roto, int(path.suffixes[-2].lstrip(".")))
        matrix = crop_matrix(box, size)
        (crop,) = cut_plate(encode_log(read_rgb(path, CONFIG)), [matrix], size)
        pictures.append(crop.transpose(2, 0, 1))
        scales.append(box.side / size)
    return np.ascontiguousarray(np.stack(pictures)), np.array(scales)


def quantise(model: ov.Model, pictures: Image) -> ov.Model:
    """The drawer in int8, calibrated on crops; attention is treated as a transformer's."""
    import nncf

    data = nncf.Dataset([picture[None] for picture in pictures])
    return nncf.quantize(
        model,
        data,
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(pictures),
    )


def draw(
    model: ov.Model, pictures: Image, told: dict[str, Any], rounds: int
) -> tuple[dict[str, FloatArray], float, float]:
    """Points and visibility of each crop, crops a second (best round), CPU ms a crop (least)."""
    compiled = runtime().compile_model(model, "CPU", told)
    queue = ov.AsyncInferQueue(compiled)
    wanted = {name: compiled.output(name) for name in ("points", "visible")}
    found: dict[str, dict[int, FloatArray]] = {name: {} for name in wanted}

    def keep(request: Any, index: int) -> None:
        for name, output in wanted.items():
            found[name][index] = np.array(request.get_tensor(output).data[0], np.float64)

    queue.set_callback(keep)
    rates, costs = [], []
    for _ in range(rounds + 1):  # the first warms up
        wall, cpu = time.monotonic(), time.process_time()
        for index, picture in enumerate(pictures):
            queue.start_async({"image": picture[None]}, index)
        queue.wait_all()
        rates.append(len(pictures) / (time.monotonic() - wall))
        costs.append((time.process_time() - cpu) / len(pictures) * 1e3)
    drawn = {name: np.stack([rows[i] for i in sorted(rows)]) for name, rows in found.items()}
    return drawn, max(rates[1:]), min(costs[1:])


def compare(
    package: ModelPackage, shots: Sequence[Source], calibration: Sequence[Source], rounds: int
) -> list[Precision]:
    """Every precision on the crops of ``shots``."""
    size = package.info.crop_px
    model = runtime().read_model(package.folder / "drawer.xml")
    model.reshape({"image": [1, 3, size, size]})
    seen = [crops(source, package, 2) for source in shots]
    pictures, scales = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    known = np.concatenate([crops(source, package, 1)[0] for source in calibration])
    exact = settings(usable_threads())
    ways = {
        "f32": (model, exact),
        "bf16": (model, exact | {"INFERENCE_PRECISION_HINT": "bf16"}),
        "int8": (quantise(model, known), exact),
    }
    results: list[Precision] = []
    truth: dict[str, FloatArray] = {}
    for name, (way, told) in ways.items():
        drawn, rate, cost = draw(way, pictures, told, rounds)
        truth = truth or drawn
        moved = np.hypot(*np.moveaxis(drawn["points"] - truth["points"], -1, 0)) * scales[:, None]
        moved = moved[truth["visible"] > 0.5]
        mean = float(moved.mean())
        results.append(
            Precision(
                name=name,
                mean_px=mean,
                p95_px=float(np.percentile(moved, 95)),
                largest_px=float(moved.max()),
                crops_s=rate,
                cpu_ms=cost,
                accepted=mean < LIMIT_PX,
            )
        )
    return results


def as_table(results: Sequence[Precision]) -> str:
    """The results in Markdown."""
    lines = [
        "| drawer | points move, mean px | p95 px | most px | crops/s | CPU ms a crop | accepted |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.name} | {r.mean_px:.3f} | {r.p95_px:.3f} | {r.largest_px:.3f} | "
            f"{r.crops_s:.1f} | {r.cpu_ms:.1f} | {'yes' if r.accepted else 'no'} |"
        )
    return "\n".join(lines) + "\n"


@click.command()
@click.option(
    "--models",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Models folder of the puppet; the model has to be trained.",
)
@click.option("--rounds", default=3, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write files here.")
def main(models: Path, rounds: int, out: Path | None) -> None:
    """Print a table, and write int8.md and int8.json into --out."""
    package = load_package(models / str(current_version(models)))
    if DEV.is_dir():
        shots = [find_source(DEV, shot) for shot in ("ev100", "ev110")]
        root = DEV
    else:
        shots, root = [find_source(bundled("sample"), "ta01")], bundled("sample")
    calibration = [find_source(root, shot) for shot in package.info.training_shots]
    results = compare(package, shots, calibration, rounds)
    table = as_table(results)
    click.echo(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "int8.md").write_text(table, encoding="utf-8")
        document = {"limit_px": LIMIT_PX, "results": [asdict(result) for result in results]}
        (out / "int8.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
