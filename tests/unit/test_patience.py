"""How long is too long is learned from quiet times alone, and slowly enough that an outage does not become normal."""

import pytest

from hakika import clock
from hakika.services.gateway.patience import BLOCK, CEILING_MS, FIRST_MS, FLOOR_MS, Patience


def live(patience: Patience, times_ms: list[int], *, quiet: bool = True) -> None:
    """Intervals of 50 transfers each."""
    for start in range(0, len(times_ms), 50):
        for took_ms in times_ms[start : start + 50]:
            patience.took(took_ms)
        patience.close(quiet=quiet)


def test_until_a_block_is_full_the_first_value_stands() -> None:
    patience = Patience()
    live(patience, [10] * (BLOCK - 50))
    assert patience.limit_ms == FIRST_MS
    live(patience, [10] * 50)
    assert patience.limit_ms == FLOOR_MS


@pytest.mark.parametrize("slow_ms", [6_500, 9_000, 13_000])
def test_the_limit_is_the_slowest_in_a_thousand_within_a_fifth(slow_ms: int) -> None:
    patience = Patience()
    for _ in range(5):
        live(patience, [40] * (BLOCK - 5) + [slow_ms] * 5)
    assert slow_ms <= patience.limit_ms <= slow_ms * 1.2


def test_a_corridor_that_became_slower_teaches_step_by_step() -> None:
    patience = Patience()
    live(patience, [40] * BLOCK)
    assert patience.limit_ms == FLOOR_MS
    live(patience, [40] * (BLOCK - 5) + [8_000] * 5)  # of a hundred at most one may be slow
    assert patience.limit_ms >= 8_000


def test_an_outage_teaches_nothing() -> None:
    patience = Patience()
    live(patience, [40] * BLOCK)
    live(patience, [50_000] * 3 * BLOCK)  # all late, without a hard failure: each block is thrown away
    live(patience, [50_000] * 3 * BLOCK, quiet=False)
    assert patience.limit_ms == FLOOR_MS
    live(patience, [40] * 2 * BLOCK)
    assert patience.limit_ms == FLOOR_MS


def test_never_below_the_floor_nor_above_the_ceiling_and_memory_is_bounded() -> None:
    patience = Patience()
    dice = clock.seeded(7)
    for _ in range(50):
        live(patience, [dice.choice([0, 1, 5, 900, 14_000, 15_100, 10**9]) for _ in range(BLOCK)])
        assert FLOOR_MS <= patience.limit_ms <= CEILING_MS
    for _ in range(10 * BLOCK):
        patience.took(1)
    assert len(patience._interval) == BLOCK
