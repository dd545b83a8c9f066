"""Does a file fit the plate it is meant for? Asked by every reader, answered in one way."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from laikaroto.errors import SidecarError
from laikaroto.shapes.records import PlateInfo


def check_size(size: tuple[int, int] | None, plate: PlateInfo | None, where: str | Path) -> None:
    """Compare the picture something was drawn on with the plate.

    Raises:
        SidecarError: they differ.
    """
    if size is not None and plate is not None and size != (plate.width, plate.height):
        raise SidecarError(
            f"{where}: format is {size[0]}x{size[1]}, the plate is {plate.width}x{plate.height}; "
            "is it the right shot?"
        )


def check_frames(
    frames: Iterable[int], plate: PlateInfo | None, where: str | Path
) -> tuple[str, ...]:
    """Compare all frames of a file with the plate's: a note where some lie outside.

    Raises:
        SidecarError: none is a frame of the plate.
    """
    there = sorted(set(frames))
    if plate is None or not there:
        return ()
    inside = [frame for frame in there if plate.first <= frame <= plate.last]
    ranges = f"frames {there[0]} to {there[-1]}, the plate has {plate.first} to {plate.last}"
    if not inside:
        raise SidecarError(
            f"{where}: {ranges}; is it the right shot, or are its frames counted otherwise?"
        )
    return (f"{where}: {ranges}",) if len(inside) < len(there) else ()


def all_frames(*named: Iterable[Iterable[int]]) -> list[int]:
    """Frames of any number of shapes and tracks."""
    return [frame for group in named for frames in group for frame in frames]
