"""The limit of detection: it falls with what is known, and its height is what chance reaches as seldom as allowed."""

import numpy as np
import pytest

from bench.det_bound import FALSE_A_MINUTE, bounds, height, signals


def test_more_witnesses_are_never_slower() -> None:
    alone = bounds(0.2, [101], tests=False, trials=150)
    tested = bounds(0.2, [101], tests=True, trials=150)
    for one, other in zip(alone, tested, strict=True):
        assert other.p95_s <= one.p95_s * 1.1
    assert alone[0].p95_s > alone[1].p95_s > alone[2].p95_s


@pytest.mark.parametrize("often", [300, 3_000])
def test_the_height_is_reached_as_seldom_as_allowed(often: int) -> None:
    """Without importance sampling, at a rate of false alarms that can be waited for."""
    rng = np.random.default_rng(3)
    shown = signals(6.0, 0.2, tests=True)
    allowed = FALSE_A_MINUTE * often
    found = height(rng, shown, allowed)
    minutes, alarms = 0.0, 0
    for _ in range(40):
        walked = np.cumsum(shown.steps(rng, (200, 3_000), shown.usual)[0], axis=1)
        sums = walked - np.minimum(0.0, np.minimum.accumulate(walked, axis=1))
        reached = sums >= found
        alarms += int(reached.any(axis=1).sum())
        seen = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 3_000)
        minutes += float(seen.sum()) / float(shown.a_minute.sum())
    assert alarms / minutes <= 1.3 * allowed
    assert alarms / minutes >= 0.3 * allowed  # heights go in steps of a quarter, and evidence in leaps of four
