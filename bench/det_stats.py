"""The few statistics of the evaluation, from the standard library: an exact Poisson interval, order statistics.

A count of rare events proves less than it seems: none in 36 months still allows one in a year. So every rate is shown
with Garwood's exact interval. Delays contain misses; a miss is longer than any delay, and a quantile that falls on one
is a miss, never a number computed from those that were found.
"""

from collections.abc import Callable, Sequence
from math import ceil, exp, inf, lgamma, log

LEVEL = 0.95


def poisson_interval(count: int, exposure: float, level: float = LEVEL) -> tuple[float, float]:
    """The exact (Garwood) interval of the rate for each unit of exposure, after `count` events."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _solve(lambda mean: 1 - _at_most(count - 1, mean), tail)
    high = _solve(lambda mean: 1 - _at_most(count, mean), 1 - tail)
    return low / exposure, high / exposure


def quantile(delays: Sequence[float], share: float) -> float:
    """The smallest delay that at least `share` of all trials do not exceed; `inf` stands for a miss."""
    if not delays:
        raise ValueError("no trials, no quantile")
    ordered = sorted(delays)
    place = ceil(share * len(ordered) - 1e-9)  # rounded up: never better than what was seen
    return ordered[max(0, place - 1)]


def missed(delays: Sequence[float]) -> float:
    """The share of trials that were not found."""
    return sum(1 for delay in delays if delay == inf) / len(delays)


def _at_most(count: int, mean: float) -> float:
    """P(X <= count) for a Poisson variable."""
    if mean <= 0:
        return 1.0
    return min(1.0, sum(exp(k * log(mean) - mean - lgamma(k + 1)) for k in range(count + 1)))


def _solve(rising: Callable[[float], float], target: float) -> float:
    """The mean at which a rising function of it meets the target, by bisection."""
    low, high = 0.0, 1.0
    while rising(high) < target:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
