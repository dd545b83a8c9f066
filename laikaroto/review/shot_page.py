"""The review page of a shot: every frame with its shapes, the doubtful ones first.

One HTML file with its pictures beside it, made to be opened from disk. Shapes and points are
drawn by the browser over the plate, so they stay sharp at any zoom and can be switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laikaroto.errors import SidecarError
from laikaroto.frames import format_frames
from laikaroto.review.pages import PAGE, PICTURES, render, replacing, write_page
from laikaroto.review.pictures import Plates, find_matte_layers, write_pictures
from laikaroto.shapes.records import FrameNote, Roto, ShapeFrame, TrackFrame
from laikaroto.tracking.flags import REFERENCE_WIDTH_PX
from laikaroto.training.evaluate import CLEAN_MEAN_PX, Evaluation


def write_shot_page(
    roto: Roto,
    folder: Path,
    *,
    plates: Plates,
    mattes: Path | None,
    evaluation: Evaluation | None = None,
) -> Path:
    """Write the review page of one version, in place of an earlier one.

    Args:
        roto: what to show; every frame it speaks of gets a picture.
        folder: of the page; its parent is made when needed.
        plates: gives (frame, (H, W, 3) scene-linear float32) for frames, in that order.
        mattes: folder of ``<layer>.<frame>.exr``; None for a page without mattes.
        evaluation: measured errors, when the truth is known.

    Returns:
        The page, ``folder/index.html``.

    Raises:
        SidecarError: the roto has no frames, or mattes are missing.
        PlateError: a plate or matte cannot be read.
        TryAgainError: the disk refuses; an earlier page is intact.
    """
    frames = known_frames(roto)
    if not frames:
        raise SidecarError(
            f"shot {roto.shot!r}, character {roto.character!r}, version {roto.version!r}: "
            "has no frames to show"
        )
    layers = find_matte_layers(mattes, frames)
    with replacing(folder) as page:
        write_pictures(
            page / PICTURES,
            frames,
            plates=plates,
            layers=layers,
            pixel_aspect=roto.plate.pixel_aspect,
        )
        data = _page_data(roto, frames, list(layers), evaluation)
        write_page(page, render("shot_page.html", page=data, head=_head(roto, data, evaluation)))
    return folder / PAGE


def known_frames(roto: Roto) -> tuple[int, ...]:
    """Every frame a roto says something of, ascending."""
    found = set(roto.frames)
    for shape in roto.shapes.values():
        found.update(shape.frames)
    for track in roto.tracks.values():
        found.update(track)
    return tuple(sorted(found))


def _head(roto: Roto, data: dict[str, Any], evaluation: Evaluation | None) -> dict[str, Any]:
    """Lines of the page's header: what this is, and its counts."""
    plate = roto.plate
    frames = [frame["frame"] for frame in data["frames"]]
    facts = {
        "model": _model_version(roto),
        "frames": f"{format_frames(frames)} ({len(frames)})",
        "plate": f"{plate.width}\u00d7{plate.height}, {plate.fps:g} fps",
        "shapes": str(len(roto.shapes)),
        "tracking points": str(len(roto.tracks)),
    }
    if evaluation is not None:
        facts |= {
            "curve error": f"{_px(evaluation.curves_all.mean_px)} mean, "
            f"{_px(evaluation.curves_all.p95_px)} p95",
            "point error": f"{_px(evaluation.tracks_all.mean_px)} mean",
            "clean": f"{evaluation.clean_share:.0%}",
        }
    return {"facts": facts, "flagged": [f for f in data["frames"] if f["flagged"]]}


def _model_version(roto: Roto) -> str:
    """The model a roto was made with; ground truth and edits by hand have none."""
    model = roto.provenance.get("model")
    if isinstance(model, Mapping):
        model = model.get("version")
    return "none" if model is None else str(model)


def _px(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} px"


def _page_data(
    roto: Roto, frames: tuple[int, ...], layers: list[str], evaluation: Evaluation | None
) -> dict[str, Any]:
    """What the page's script needs, as plain JSON data with short numbers."""
    return {
        "shot": roto.shot,
        "character": roto.character,
        "version": roto.version,
        "width": roto.plate.width,
        "height": roto.plate.height,
        "pixel_aspect": roto.plate.pixel_aspect,
        "fps": roto.plate.fps,
        "limit_px": CLEAN_MEAN_PX * roto.plate.width / REFERENCE_WIDTH_PX,
        "shapes": [{"name": name, "closed": s.closed} for name, s in roto.shapes.items()],
        "tracks": list(roto.tracks),
        "layers": layers,
        "measured": evaluation is not None,
        "frames": [_frame_data(roto, frame, evaluation) for frame in frames],
    }


def _frame_data(roto: Roto, frame: int, evaluation: Evaluation | None) -> dict[str, Any]:
    note = roto.frames.get(frame, FrameNote())
    shapes = [_shape_data(s.frames.get(frame)) for s in roto.shapes.values()]
    shown = [shape for shape in shapes if shape is not None and shape["visible"]]
    expected = [s["expected_px"] for s in shown if s["expected_px"] is not None]
    confidence = [s["confidence"] for s in shown if s["confidence"] is not None]
    return {
        "frame": frame,
        "flagged": note.flagged,
        "reasons": list(note.reasons),
        "hold_of": note.hold_of,
        "expected_px": max(expected, default=None),
        "confidence": min(confidence, default=None),
        "shapes": shapes,
        "tracks": [_track_data(track.get(frame)) for track in roto.tracks.values()],
        "error": _error_data(roto, frame, evaluation),
    }


def _shape_data(shape: ShapeFrame | None) -> dict[str, Any] | None:
    if shape is None:
        return None
    return {
        "points": [[round(v, 2) for v in point] for point in shape.points.tolist()],
        "seen": [int(v) for v in shape.point_visible],
        "visible": shape.visible,
        "confidence": shape.confidence,
        "expected_px": shape.expected_error_px,
        "source": shape.source,
    }


def _track_data(track: TrackFrame | None) -> dict[str, Any] | None:
    if track is None:
        return None
    return {
        "xy": [round(v, 2) for v in track.xy],
        "visible": track.visible,
        "confidence": track.confidence,
    }


def _error_data(roto: Roto, frame: int, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Measured errors of a frame; ``worst_px`` is the worst shape's mean."""
    if evaluation is None or frame not in evaluation.frames:
        return None
    error = evaluation.frames[frame]
    means = [shape.mean_px for shape in error.shapes.values() if shape.mean_px is not None]
    return {
        "clean": error.clean,
        "worst_px": max(means, default=None),
        "tracks_px": error.tracks_mean_px,
        "missing": [name for name, shape in error.shapes.items() if shape.missing],
        "shapes": [
            None
            if (shape := error.shapes.get(name)) is None
            else {"mean_px": shape.mean_px, "p95_px": shape.p95_px, "clean": shape.clean}
            for name in roto.shapes
        ],
    }
