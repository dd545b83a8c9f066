"""A published version of the sample's ta01 that no network had to draw: truth with errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from laikaroto.config import ReviewConfig
from laikaroto.shapes.records import Roto, ShapeFrame, TrackFrame
from laikaroto.show import Show
from laikaroto.sidecar.publish import building, publish
from laikaroto.sidecar.schema import parse_roto, roto_bytes, write_roto
from laikaroto.tracking.solve import solve_shot
from laikaroto.worker.corrected import redraw_mattes
from tests.tracking.simulated import noisy, perfect, read_truth

SHOT, CHARACTER = "ta01", "hero"


def drawn_roto(seed: int = 3) -> Roto:
    """What a model would draw of ta01, rounded as in a file."""
    truth, template = read_truth(SHOT)
    roto = solve_shot(
        noisy(perfect(truth, template), template, seed=seed),
        template,
        shot=SHOT,
        plate=truth.plate,
        review=ReviewConfig(),
        provenance={"model": {"version": "v001", "sha256": ""}, "corrections": [], "seed": 1},
    )
    return parse_roto(roto_bytes(replace(roto, version="v001")), origin="test")


def publish_drawn(show: Show, roto: Roto, *, mattes: bool = False) -> str:
    """Publish a roto as a job would."""
    parent = show.sidecar_folder(roto.shot, roto.character, "v001").parent

    def stamp(version: str, target: Path) -> None:
        write_roto(target / "roto.json", replace(roto, version=version))
        report = {"schema": "laikaroto.report/1", "model": "v001", "job": "x"}
        (target / "report.json").write_text(json.dumps(report))

    with building(parent) as build:
        if mattes:
            (build / "matte").mkdir()
            redraw_mattes(show, build / "matte", replace(roto), roto)
        return publish(build, parent, stamp=stamp)


def edited(
    roto: Roto,
    shape: str,
    frames: Mapping[int, Callable[[ShapeFrame], ShapeFrame]],
) -> Roto:
    """A roto with some frames of a shape changed."""
    old = roto.shapes[shape]
    new = {frame: change(old.frames[frame]) for frame, change in frames.items()}
    return replace(roto, shapes={**roto.shapes, shape: replace(old, frames={**old.frames, **new})})


def moved(by: tuple[float, float]) -> Callable[[ShapeFrame], ShapeFrame]:
    """Moves a whole shape."""
    return lambda entry: replace(entry, points=entry.points + np.array([*by, 0, 0, 0, 0]))


def shown(visible: bool) -> Callable[[ShapeFrame], ShapeFrame]:
    """Shows or hides a shape."""
    return lambda entry: replace(
        entry, visible=visible, point_visible=np.full(len(entry.points), visible)
    )


def moved_track(roto: Roto, name: str, frame: int, by: tuple[float, float]) -> Roto:
    """A roto with a tracking point moved."""
    point = roto.tracks[name][frame]
    new = TrackFrame(
        xy=(point.xy[0] + by[0], point.xy[1] + by[1]),
        visible=point.visible,
        confidence=point.confidence,
    )
    return replace(roto, tracks={**roto.tracks, name: {**roto.tracks[name], frame: new}})
