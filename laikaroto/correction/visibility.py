"""Where a changed visibility goes: over its hold, and over the same mistake between two edits.

Visibility is not interpolated: a hand that comes in hides the seam from one frame to the next.
So it goes no further than this: to all frames of the hold, and, where the same was said on two
frames, from each of them over the neighbouring frames in between on which the model made the
same mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def carry_visibility(
    before: Mapping[int, bool], said: Mapping[int, bool], holds: Sequence[Sequence[int]]
) -> dict[int, bool]:
    """Visibility of all frames it is said or follows for.

    Args:
        before: as the model has it, every frame.
        said: by artists.
        holds: frames of each pose.

    Returns:
        Only frames of which something is known: the said ones, and those that follow.
    """
    found = {frame: said[frame] for frame in said if frame in before}
    for hold in holds:
        there = [frame for frame in hold if frame in said]
        for frame in hold:
            if there and frame in before and frame not in said:
                nearest = min(there, key=lambda other: (abs(other - frame), other))
                found[frame] = said[nearest]
    order = sorted(before)
    place = {frame: i for i, frame in enumerate(order)}
    edits = sorted(frame for frame in said if frame in before)
    for first, last in zip(edits, edits[1:], strict=False):
        if said[first] != said[last]:
            continue
        between = order[place[first] + 1 : place[last]]
        for edit, run in ((first, between), (last, between[::-1])):
            if before[edit] == said[edit]:
                continue  # approved, not mended: there is no mistake to follow
            for frame in run:
                if before[frame] == said[first]:
                    break  # the model is right here: another matter begins
                found.setdefault(frame, said[first])
    return found
