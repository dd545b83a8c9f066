"""Sequences of plates on disk: find them by template, check every frame, fingerprint them."""

from __future__ import annotations

import glob
import hashlib
import re
import string
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from laikaroto.config import PlateConfig
from laikaroto.errors import ConfigError, PlateError, UsageError
from laikaroto.frames import format_frames, parse_frames
from laikaroto.plate.chunks import UnclearLayoutError, find_cut
from laikaroto.plate.exr import PlateHeader, read_header, read_rgb

# Checks wait for the disk or the network, hardly for the processor.
_CHECK_THREADS = 8


@dataclass(frozen=True, slots=True)
class PlateSequence:
    """The plates of one shot.

    Attributes:
        shot: its name.
        template: path with only ``{frame}`` fields left, as of ``Show.plate_template``.
        frames: frame numbers that are on disk, ascending.
    """

    shot: str
    template: str
    frames: tuple[int, ...]

    def path(self, frame: int) -> Path:
        """File of a frame, whether it is there or not."""
        return Path(self.template.format(frame=frame))


def find_sequence(template: str, *, shot: str) -> PlateSequence:
    """Find all frames of a shot. Looks at names only; files of other naming are left alone.

    Raises:
        ConfigError: the template cannot be filled in with a frame number.
        UsageError: the shot's folder does not exist.
        PlateError: the folder holds no frame.
    """
    pattern, expression, folder = _compile(template, shot)
    frames = []
    for name in glob.iglob(pattern):
        match = expression.fullmatch(name)
        if match and template.format(frame=int(match["frame"])) == name:
            frames.append(int(match["frame"]))
    if frames:
        return PlateSequence(shot, template, tuple(sorted(frames)))
    wanted = template.format(frame=1001)
    if not folder.is_dir():
        raise UsageError(
            f"unknown shot {shot!r}: there is no folder {folder} (wanted plates like {wanted})"
        )
    there = sorted(entry.name for entry in folder.iterdir())
    found = f"{len(there)} other files, such as {there[0]}" if there else "nothing"
    raise PlateError(
        f"shot {shot}: no plates in {folder}: wanted files like {wanted}, found {found}; "
        "put the plates there or mend 'template' in show.yaml"
    )


def check_sequence(
    sequence: PlateSequence, config: PlateConfig, frames: Sequence[int] | None = None
) -> PlateHeader:
    """Check that frames are all there, whole, readable and alike; decodes no pixels.

    Reads each file's header and the lengths of its chunks (``chunks.find_cut``), about a
    millisecond a frame. Only a file of a layout that this cannot judge is decoded.

    Args:
        sequence: as found.
        config: how its plates are read.
        frames: which to check; None: every one from the first to the last, so that a gap is
            a fault.

    Returns:
        The header of the first frame. Size and pixel aspect hold for all.

    Raises:
        PlateError: lists every fault of every frame.
        UsageError: no frames asked for.
    """
    if frames is None:
        wanted: Sequence[int] = range(sequence.frames[0], sequence.frames[-1] + 1)
    else:
        wanted = sorted(set(frames))
    if not wanted:
        raise UsageError(f"shot {sequence.shot}: no frames to check; name at least one")
    there = set(sequence.frames)
    missing = [frame for frame in wanted if frame not in there]
    present = [frame for frame in wanted if frame in there]
    with ThreadPoolExecutor(_CHECK_THREADS) as pool:
        results = list(pool.map(lambda frame: _check_frame(sequence.path(frame), config), present))
    headers: dict[int, PlateHeader] = {}
    faults: dict[int, str] = {}
    for frame, result in zip(present, results, strict=True):
        if isinstance(result, PlateHeader):
            headers[frame] = result
        else:
            faults[frame] = result
    faults |= _find_odd_sizes(headers)
    if missing or faults:
        raise PlateError(_describe(sequence, len(wanted), missing, faults))
    return headers[present[0]]


def digest_sequence(sequence: PlateSequence, frames: Sequence[int]) -> str:
    """SHA-256 over the frame numbers and bytes of these plates, wherever they lie.

    Raises:
        PlateError: a frame cannot be read.
    """
    total = hashlib.sha256()
    for frame in sorted(set(frames)):
        try:
            with sequence.path(frame).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256")
        except OSError as error:
            raise PlateError(
                f"shot {sequence.shot} frame {frame}: {sequence.path(frame)} cannot be read: "
                f"{error.strerror or error}"
            ) from error
        total.update(f"{frame} {digest.hexdigest()}\n".encode())
    return total.hexdigest()


def _compile(template: str, shot: str) -> tuple[str, re.Pattern[str], Path]:
    """Glob pattern, regular expression and fixed folder of a template."""
    try:
        pieces = list(string.Formatter().parse(template))
        template.format(frame=1001)
    except (ValueError, KeyError, IndexError) as error:
        raise ConfigError(
            f"shot {shot}: plate template {template!r} cannot be filled in: {error}; "
            "wanted a frame field such as {frame:04d}"
        ) from error
    pattern, expression = "", ""
    for literal, field, _, _ in pieces:
        pattern += glob.escape(literal)
        expression += re.escape(literal)
        if field is not None:
            pattern += "*"
            expression += "(?P=frame)" if "(?P<frame>" in expression else r"(?P<frame>-?\d+)"
    return pattern, re.compile(expression), Path(pieces[0][0] + "x").parent


def _check_frame(path: Path, config: PlateConfig) -> PlateHeader | str:
    """The header of a sound frame, or what is wrong with it."""
    try:
        header = read_header(path, config)
        try:
            cut = find_cut(path)
        except UnclearLayoutError:
            read_rgb(path, config)
            return header
        if cut:
            return f"{path}: the file is cut off: {cut}; copy or render the frame again"
    except PlateError as error:
        return str(error)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    return header


def _find_odd_sizes(headers: dict[int, PlateHeader]) -> dict[int, str]:
    """Frames whose size or pixel aspect is not that of most frames."""

    def form(header: PlateHeader) -> str:
        return f"{header.width}x{header.height}, pixel aspect {header.pixel_aspect:g}"

    forms = Counter(form(header) for header in headers.values())
    if len(forms) < 2:
        return {}
    usual = forms.most_common(1)[0][0]
    return {
        frame: f"is {form(header)}; wanted {usual} like most frames of the shot"
        for frame, header in headers.items()
        if form(header) != usual
    }


def _describe(
    sequence: PlateSequence, count: int, missing: Sequence[int], faults: dict[int, str]
) -> str:
    lines = {frame: f"frame {frame}: {fault}" for frame, fault in faults.items()}
    for run in format_frames(missing).split(",") if missing else []:
        first = parse_frames(run)[0]
        label = "frame" if run == str(first) else "frames"
        lines[first] = f"{label} {run}: missing (wanted {sequence.path(first)})"
    total = len(missing) + len(faults)
    head = f"shot {sequence.shot}: {total} of {count} frames cannot be used"
    return "\n  ".join([head, *(lines[frame] for frame in sorted(lines))])
