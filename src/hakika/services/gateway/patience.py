"""How long a transfer of one corridor usually takes at most: its p99.9, learned from its own quiet history; pure.

Times go into buckets a fifth apart. They are gathered in blocks of BLOCK transfers, leaving out intervals in which
anything failed, and a block counts only when at most SLOW_SHARE of it was slower than what is known so far: an
outage, and the late arrivals that follow it, teach nothing; a corridor that has become a little slower does. Older
blocks count for half as much with each new one. Until a block is full the first value stands.
"""

from math import log2

FIRST_MS = 15_000
FLOOR_MS = 5_000
CEILING_MS = 60_000
SHARE = 0.999
BLOCK = 500  # with what older blocks still count, about a thousand
SLOW_SHARE = 0.01
STEPS_A_DOUBLING = 4
BUCKETS = 80  # up to 2^20 ms, a quarter of an hour; anything slower is in the last


class Patience:
    """What is known of one corridor; `limit_ms` is when a transfer counts as stuck."""

    __slots__ = ("_block", "_interval", "_known", "_slow", "limit_ms")

    def __init__(self) -> None:
        self.limit_ms = FIRST_MS
        self._known = [0.0] * BUCKETS
        self._block = [0] * BUCKETS
        self._slow = 0
        self._interval: list[int] = []

    def took(self, took_ms: int) -> None:
        """A transfer has ended after `took_ms`."""
        if len(self._interval) < BLOCK:  # a share of a very busy interval teaches as much
            self._interval.append(took_ms)

    def close(self, *, quiet: bool) -> None:
        """The interval has ended; only a quiet one is learned from."""
        if quiet:
            for took_ms in self._interval:
                self._block[_bucket(took_ms)] += 1
                self._slow += took_ms > self.limit_ms
        self._interval.clear()
        if sum(self._block) >= BLOCK:
            self._learn()

    def _learn(self) -> None:
        if self._slow <= SLOW_SHARE * sum(self._block):
            self._known = [old / 2 + new for old, new in zip(self._known, self._block, strict=True)]
            self.limit_ms = min(CEILING_MS, max(FLOOR_MS, _quantile(self._known)))
        self._block = [0] * BUCKETS
        self._slow = 0


def _bucket(took_ms: int) -> int:
    return min(BUCKETS - 1, int(log2(took_ms) * STEPS_A_DOUBLING)) if took_ms > 1 else 0


def _quantile(counts: list[float]) -> int:
    """The upper edge in milliseconds of the bucket that holds the SHARE of all."""
    left = SHARE * sum(counts)
    for number, count in enumerate(counts):
        left -= count
        if left <= 0:
            return int(2 ** ((number + 1) / STEPS_A_DOUBLING))
    return CEILING_MS
