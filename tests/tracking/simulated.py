"""Predictions made from truth: the truth of a sample shot with a network's kind of errors."""

from __future__ import annotations

import numpy as np

from laikaroto.bundled import bundled
from laikaroto.character.template import CharacterTemplate, pack, template_from
from laikaroto.model.crop import box_around
from laikaroto.model.predictions import Predictions
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.schema import read_roto

SIGMA_PX = 0.36  # of the noise in each direction; the sample is 640 wide


def read_truth(shot: str = "ta01") -> tuple[Roto, CharacterTemplate]:
    roto = read_roto(bundled("sample") / "truth" / "hero" / f"{shot}.roto.json")
    return roto, template_from(roto)


def perfect(roto: Roto, template: CharacterTemplate) -> Predictions:
    """What a network without faults would say."""
    frames = sorted(roto.frames)
    packed = [pack(roto, template, frame) for frame in frames]
    values = np.stack([p[0] for p in packed])
    boxes = [box_around(v[:, :2]) for v in values]
    shape = values.shape[:2]
    return Predictions(
        frames=np.array(frames), values=values,
        visible=np.where(np.stack([p[1] for p in packed]), 0.98, 0.02),
        error_px=np.full(shape, 0.1), apart_px=np.full(shape, 0.1),
        box=np.array([[b.x, b.y, b.side] for b in boxes]),
        found=np.full(len(frames), 0.95), moved=np.full((len(frames), 3), np.inf),
        tokens=np.zeros((*shape, 0), np.float16),
    )  # fmt: skip


def noisy(predictions: Predictions, template: CharacterTemplate, *, seed: int) -> Predictions:
    """Errors as networks make them: each shape shifted as a whole, bent smoothly, some far off."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((*predictions.values.shape[:2], 2))
    first, count = len(template.tracks), len(noise)
    noise[:, :first] = rng.normal(0, SIGMA_PX, (count, first, 2))
    for where in template.slices().values():
        shape = slice(first + where.start, first + where.stop)
        bend = rng.normal(0, SIGMA_PX * 0.8, (count, where.stop - where.start, 2))
        bend = (bend + np.roll(bend, 1, axis=1) + np.roll(bend, -1, axis=1)) / 2
        far = (rng.random((count, 1, 1)) < 0.03) * rng.normal(0, 6 * SIGMA_PX, (count, 1, 2))
        noise[:, shape] = bend + rng.normal(0, SIGMA_PX * 0.7, (count, 1, 2)) + far
    values = predictions.values.copy()
    values[..., :2] += noise
    # half of what a network expects to err by is the same on the frames around
    error = np.full(values.shape[:2], SIGMA_PX * np.sqrt(np.pi / 2) / 0.5)
    return Predictions(
        frames=predictions.frames, values=values, visible=predictions.visible, error_px=error,
        apart_px=error,
        box=predictions.box, found=predictions.found, moved=predictions.moved,
        tokens=predictions.tokens,
    )  # fmt: skip
