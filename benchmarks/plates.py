"""Shows for the benchmarks: plates of the dev show if it is there, else of the sample."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from laikaroto.bundled import bundled

PROJECT = Path(__file__).resolve().parents[1]
DEV = PROJECT.parent / "shared" / "data" / "dev"
CHARACTER = "hero"


@dataclass(frozen=True, slots=True)
class Source:
    """Plates and truth of one shot of the puppet."""

    shot: str
    plates: tuple[Path, ...]
    truth: Path


def find_source(root: Path, shot: str) -> Source:
    """A shot of the sample or dev show; raises FileNotFoundError if it has no plates."""
    plates = tuple(sorted((root / "plates" / shot).glob("*.exr")))
    if not plates:
        raise FileNotFoundError(f"{root / 'plates' / shot}: no plates")
    return Source(shot, plates, root / "truth" / CHARACTER / f"{shot}.roto.json")


def dev_or_sample() -> Source:
    """``ev100`` of the dev show (1280 wide) where it is, else ``ta01`` of the sample."""
    if DEV.is_dir():
        return find_source(DEV, "ev100")
    return find_source(bundled("sample"), "ta01")


def make_show(folder: Path, shots: Mapping[str, Sequence[Path]], models: Path) -> Path:
    """A show with these shots, their plates linked and repeated as named.

    Args:
        folder: where; need not be there.
        shots: plates of each shot, in order; frames count from 1001.
        models: models folder of the puppet, copied.

    Returns:
        Its configuration folder.
    """
    shutil.copytree(bundled("configs"), folder / "configs")
    for shot, plates in shots.items():
        target = folder / "sample" / "plates" / shot
        target.mkdir(parents=True)
        for number, plate in enumerate(plates, start=1001):
            (target / f"{shot}.{number}.exr").symlink_to(plate.resolve())
    shutil.copytree(models, folder / "sample" / "models" / CHARACTER)
    return folder / "configs"


def repeat(plates: Sequence[Path], count: int) -> list[Path]:
    """The first ``count`` of plates that begin again after their end."""
    return [plates[i % len(plates)] for i in range(count)]
