"""The exact interval against published values, and quantiles that never hide a miss."""

from math import inf

import pytest

from bench.det_stats import missed, poisson_interval, quantile

# Exact 95 % limits of a Poisson mean (Garwood 1936), as printed in tables of vital statistics.
GARWOOD = {0: (0.0, 3.689), 1: (0.0253, 5.572), 2: (0.2422, 7.225), 5: (1.623, 11.668), 10: (4.795, 18.390)}
GARWOOD_LARGE = {50: (37.11, 65.92), 100: (81.36, 121.63)}


@pytest.mark.parametrize(("count", "limits"), [*GARWOOD.items(), *GARWOOD_LARGE.items()])
def test_interval_against_the_tables(count: int, limits: tuple[float, float]) -> None:
    low, high = poisson_interval(count, 1.0)
    assert low == pytest.approx(limits[0], abs=0.006)
    assert high == pytest.approx(limits[1], abs=0.006)


def test_interval_scales_with_exposure() -> None:
    """None in 36 months only proves at most 0.1 a month (two-sided)."""
    low, high = poisson_interval(0, 36)
    assert low == 0
    assert high == pytest.approx(3.689 / 36, rel=1e-3)


def test_a_quantile_on_a_miss_is_a_miss() -> None:
    delays = [10.0] * 18 + [inf] * 2
    assert quantile(delays, 0.5) == 10
    assert quantile(delays, 0.9) == 10
    assert quantile(delays, 0.95) == inf
    assert missed(delays) == pytest.approx(0.1)


def test_quantiles_are_values_that_were_seen() -> None:
    delays = [float(value) for value in range(1, 21)]
    assert quantile(delays, 0.5) == 10
    assert quantile(delays, 0.95) == 19
    assert quantile([4.0], 0.95) == 4
    with pytest.raises(ValueError, match="no trials"):
        quantile([], 0.5)
