"""Series of transfers for tests of judgement: a day's shape, counting noise, a usual share of failures, faults."""

import math
from collections.abc import Iterator, Sequence
from random import Random

from hakika.clock import seeded
from hakika.health.observations import Interval

WIDTH_S = 10.0
DAY = 8_640  # intervals in a day
TIMEOUT = "timeout"


def poisson(chance: Random, mean: float) -> int:
    """A count with the given mean."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def transfers(
    seed: int, intervals: int, per_minute: float, *, start_s: float = 0.0, usual: float = 0.01
) -> list[Interval]:
    """Quiet intervals: volume with the shape of a day, failures of one reason at the usual rate."""
    return list(_transfers(seeded(seed), intervals, per_minute, start_s, usual))


def _transfers(chance: Random, intervals: int, per_minute: float, start_s: float, usual: float) -> Iterator[Interval]:
    for number in range(intervals):
        at_s = start_s + number * WIDTH_S
        shape = 0.65 + 0.35 * math.sin(2 * math.pi * at_s / 86_400.0)
        count = poisson(chance, per_minute * WIDTH_S / 60 * shape)
        failed = sum(chance.random() < usual for _ in range(count))
        yield Interval(at_s, WIDTH_S, count, {TIMEOUT: failed} if failed else {}, count)


def failing(quiet: Sequence[Interval], share: float, seed: int, reason: str = TIMEOUT) -> list[Interval]:
    """The same intervals with a share of their transfers failing."""
    chance = seeded(seed)
    changed = []
    for seen in quiet:
        count = sum(chance.random() < share for _ in range(seen.ended))
        failed = {reason: count} if count else {}
        changed.append(Interval(seen.at_s, seen.width_s, seen.ended, failed, seen.arrived))
    return changed


def silent(quiet: Sequence[Interval]) -> list[Interval]:
    """The same intervals with nothing arriving and nothing ending."""
    return [Interval(seen.at_s, seen.width_s, 0) for seen in quiet]
