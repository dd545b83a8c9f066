"""Frame numbers: parsing and formatting.

Frames are the integers on disk (1001…). Ranges are typed the studio's way,
``1001-1100x2,1110``, and parsed by fileseq; ``:`` is refused because it means a step in
Open Job Description and a stagger in fileseq. Farm engines always get explicit lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from laikaroto.errors import UsageError


def parse_frames(text: str) -> tuple[int, ...]:
    """Frame numbers of a studio-style range, ascending and without repeats.

    Args:
        text: for example ``"1001-1010"``, ``"1001-1100x2,1110"``.

    Raises:
        UsageError: the text is empty, uses ``:`` or is no range.
    """
    from fileseq import FrameSet
    from fileseq.exceptions import ParseException

    wanted = "wanted something like 1001-1100, 1001-1100x2 or 1001,1005"
    if not text.strip():
        raise UsageError(f"frame range is empty; {wanted}")
    if ":" in text:
        raise UsageError(
            f"frame range {text!r} uses ':', which other tools read differently; "
            f"write a step as 'x' ({wanted})"
        )
    try:
        found = sorted({int(frame) for frame in FrameSet(text)})
    except (ParseException, ValueError) as error:
        raise UsageError(f"frame range {text!r} cannot be read: {error}; {wanted}") from error
    if not found:
        raise UsageError(f"frame range {text!r} holds no frame; {wanted}")
    return tuple(found)


def format_frames(frames: Sequence[int]) -> str:
    """Shortest plain writing of frames: runs as ``a-b``, joined by commas, no steps.

    >>> format_frames([1001, 1002, 1003, 1005])
    '1001-1003,1005'
    """
    runs: list[list[int]] = []
    for frame in sorted(set(frames)):
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
