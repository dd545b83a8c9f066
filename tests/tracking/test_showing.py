"""When a shape counts as visible."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from laikaroto.tracking.showing import DOUBTFUL, SHOWN, chance_shown


@pytest.mark.parametrize("chances", [[0.9, 0.4, 0.2, 0.0, 0.0], [0.5] * 4, [0.1] * 8, [1.0]])
def test_it_is_the_sum_over_all_that_may_be_seen(chances: list[float]) -> None:
    total = 0.0
    for seen in itertools.product((0, 1), repeat=len(chances)):
        if sum(seen) / len(seen) > 0.3:
            total += float(np.prod([c if s else 1 - c for c, s in zip(chances, seen, strict=True)]))
    assert chance_shown(np.array(chances)) == pytest.approx(total)


def test_two_likely_points_of_five_count_and_five_unlikely_ones_do_not() -> None:
    few, spread = np.array([0.83, 0.4, 0.17, 0.0, 0.0]), np.full(5, 0.1)
    assert few.mean() < 0.3  # by their mean it would be missing
    assert chance_shown(few) > SHOWN > chance_shown(spread)
    assert DOUBTFUL[0] < chance_shown(few) < DOUBTFUL[1]
    assert chance_shown(np.array([0.99, 0.99, 0.0, 0.0, 0.0])) > DOUBTFUL[1]
    assert chance_shown(np.array([0.99, 0.02, 0.0, 0.0, 0.0])) < DOUBTFUL[0]
