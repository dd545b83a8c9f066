"""Green-card exposures of a character's training shots: found, checked, and turned into masks."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from laikaroto.errors import PlateError, UsageError
from laikaroto.matte.green_card import card_share
from laikaroto.plate.exr import PlateHeader, read_rgb
from laikaroto.plate.scan import scan_digest, scan_plates
from laikaroto.plate.sequence import PlateSequence, check_sequence, find_sequence
from laikaroto.shapes.records import Roto
from laikaroto.show import Show


def find_cards(show: Show, roto: Roto, header: PlateHeader) -> PlateSequence | None:
    """The green-card exposures of a shot's frames of truth; None where there are none.

    Args:
        show: the show.
        roto: ground truth of the shot.
        header: of its plates.

    Raises:
        PlateError: some are damaged, or of another size than the plates.
    """
    config = show.configs.show.green_card
    if config is None:
        return None
    try:
        there = find_sequence(show.plate_template(roto.shot, green_card=True), shot=roto.shot)
    except (UsageError, PlateError):  # no folder, no file: cards are photographed for some shots
        return None
    frames = tuple(sorted(set(there.frames) & set(roto.frames)))
    if not frames:
        return None
    found = check_sequence(there, config, frames)
    if (found.width, found.height) != (header.width, header.height):
        raise PlateError(
            f"shot {roto.shot}: its green-card plates are {found.width}x{found.height}, wanted "
            f"{header.width}x{header.height} as its plates are: {there.path(frames[0])}"
        )
    return replace(there, frames=frames)


def card_behind(show: Show, cards: PlateSequence | None, frame: int) -> NDArray[np.float32] | None:
    """The share of the card in each pixel (H, W) of a frame; None where none was photographed.

    Raises:
        PlateError: the exposure cannot be decoded.
    """
    config = show.configs.show.green_card
    if cards is None or config is None or frame not in cards.frames:
        return None
    return card_share(read_rgb(cards.path(frame), config))


def cards_digest(show: Show, character: str) -> str:
    """What stands for all green-card plates of the training shots; empty where there are none.

    By names, sizes and times: contents would take reading all of them.
    """
    if show.configs.show.green_card is None:
        return ""
    total, some = hashlib.sha256(), False
    for shot in show.truth_shots(character):
        if scan := scan_plates(show.plate_template(shot, green_card=True), shot=shot):
            total.update(f"{shot} {scan_digest(scan)}\n".encode())
            some = True
    return total.hexdigest() if some else ""
