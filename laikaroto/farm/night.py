"""A night's work laid out: a window of time, and what fits into it, one after another.

Knows jobs and hours, not what they are for. Times are seconds since 1970.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from laikaroto.errors import UsageError
from laikaroto.farm.engine import JobState, JobStatus

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_LATEST = 3  # so many earlier jobs tell how long the next one takes
#: What a training needs beside its budget: gathering, measuring, packaging.
_BESIDE_SHARE, _BESIDE_S = 0.1, 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when to when work may run.

    Attributes:
        start: when it opens; now where it is open.
        end: when it closes.
        whole_s: how long it is from its opening, seconds.
        opened: it is open now.
    """

    start: float
    end: float
    whole_s: float
    opened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One piece of work: its name, and how long it is expected to take."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When a piece of work is to start, and its expected end."""

    start: float
    end: float


def parse_window(text: str, now: datetime | None = None) -> Window:
    """The window ``20:00-07:00`` that is open now, from now on; or the next one. Local time.

    Raises:
        UsageError: it cannot be read, or is empty.
    """
    now = now or datetime.now()
    match = _WINDOW.fullmatch(text.strip())
    wanted = "wanted FROM-TO as 20:00-07:00, local time"
    if match is None:
        raise UsageError(f"--window {text!r} cannot be read; {wanted}")
    hours, minutes = [int(match[1]), int(match[3])], [int(match[2]), int(match[4])]
    if max(hours) > 23 or max(minutes) > 59:
        raise UsageError(f"--window {text!r}: there is no such time of day; {wanted}")
    first, last = (
        now.replace(hour=h, minute=m, second=0, microsecond=0)
        for h, m in zip(hours, minutes, strict=True)
    )
    if first == last:
        raise UsageError(f"--window {text!r} is empty; {wanted}")
    day = timedelta(days=1)
    length = last - first if last > first else last - first + day
    # yesterday's may still be open, today's may be over
    begins = next(start for start in (first - day, first, first + day) if start + length > now)
    # by the clock on the wall, also in a night in which that is set
    start, end = begins.timestamp(), (begins + length).timestamp()
    return Window(
        start=max(start, now.timestamp()), end=end, whole_s=end - start, opened=begins <= now
    )


def spread(
    wanted: Sequence[Wanted], window: Window, *, lanes: int, busy: Sequence[Slot] = ()
) -> dict[str, Slot]:
    """Lay work out over a window, in the order given, each where it can start first.

    What does not fit is left out; smaller work behind it may still fit.

    Args:
        wanted: the work, what matters most first.
        window: when it may run.
        lanes: how much of it may run side by side.
        busy: what runs or is queued already; takes lanes as well.

    Returns:
        When each piece that fits is to start.
    """
    free = [-math.inf] * lanes
    for slot in sorted(busy, key=lambda slot: slot.start):
        lane = min(range(lanes), key=lambda i: free[i])
        free[lane] = max(free[lane], slot.start) + (slot.end - slot.start)
    free = [max(window.start, moment) for moment in free]
    found: dict[str, Slot] = {}
    for work in wanted:
        lane = min(range(lanes), key=lambda i: free[i])
        if free[lane] + work.seconds <= window.end:
            found[work.name] = Slot(start=free[lane], end=free[lane] + work.seconds)
            free[lane] = found[work.name].end
    return found


def expected_training(
    jobs: Sequence[JobStatus], parameters: Mapping[str, str], budget_s: float
) -> tuple[float, str]:
    """How long a training is expected to take, and how that is known.

    The longest of the last three that succeeded counts (a training may stop early), but never
    more than its budget and a tenth of it (ten minutes at least) for what it does beside.

    Args:
        jobs: all that the queue knows of.
        parameters: by which earlier jobs of the same kind are told.
        budget_s: wall time it is given.

    Returns:
        Seconds, and words.
    """
    most = budget_s + max(_BESIDE_SHARE * budget_s, _BESIDE_S)
    earlier = [
        job.ended - job.started
        for job in jobs
        if job.kind == "train"
        and job.state is JobState.SUCCEEDED
        and job.started is not None
        and job.ended is not None
        and all(job.parameters.get(name) == value for name, value in parameters.items())
    ][-_LATEST:]
    if earlier and max(earlier) < most:
        return max(earlier), f"as long as {_times(len(earlier))} before"
    return most, "its budget and what it does beside"


def busy_slot(job: JobStatus, seconds: float, *, now: float | None = None) -> Slot:
    """Time that a queued or running job takes from now on; at least a minute of it."""
    now = time.time() if now is None else now
    if job.started is not None:
        return Slot(start=now, end=max(job.started + seconds, now + 60.0))
    start = max(now, job.not_before or 0.0)
    return Slot(start=start, end=start + seconds)


def clock(seconds: float) -> str:
    """A moment of a night as people say it: ``Tue 20:00``."""
    return time.strftime("%a %H:%M", time.localtime(seconds))


def hours(seconds: float) -> str:
    """A duration, rounded up: ``8.8 h``, ``12 min``."""
    if seconds < 3600:
        return f"{max(1, math.ceil(seconds / 60 - 1e-9))} min"
    return f"{math.ceil(seconds / 360 - 1e-9) / 10:g} h"


def _times(count: int) -> str:
    return "the one" if count == 1 else f"the longest of {count}"
