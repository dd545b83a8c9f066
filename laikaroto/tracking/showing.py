"""Whether a shape can be seen, from the chances of its points.

An artist draws a shape while a fair part of it can be seen. How many of its points that are is
a sum of single chances, so that two points of five that are fairly sure count, and five that are
all unlikely do not, though their mean is the same.
"""

from __future__ import annotations

import math

import numpy as np

from laikaroto.coords import FloatArray

#: A shape counts as visible when more than this share of its points is. In the ground truth of
#: the sample and dev shows hidden shapes have 0.2 at most, visible ones 0.4 at least.
SHARE = 0.3
#: Drawn from this chance on. A shape that is missing has to be drawn by hand, one too many is
#: hidden with a click: six of these for one of those.
SHOWN = 1 / 7
#: Between these chances a person is asked.
DOUBTFUL = (0.05, 0.85)


def chance_shown(visible: FloatArray) -> float:
    """Chance that enough points of a shape can be seen: 0-1.

    Args:
        visible: (N,) chance of each of its points, taken as independent.

    Source: Poisson's binomial distribution, summed point by point.
    """
    counts = np.zeros(len(visible) + 1)
    counts[0] = 1.0
    for chance in visible:
        counts[1:] = counts[1:] * (1 - chance) + counts[:-1] * chance
        counts[0] *= 1 - chance
    enough = math.floor(SHARE * len(visible)) + 1
    return float(counts[enough:].sum())
