"""How much fresh work is taken while the core answers: no more than can end soon.

Custody is taken faster than it can be passed on, so a bank that sends more than the platform can do would be told
"taken" at once and "done" ever later. What is under way of what arrived lately is counted, and beyond what ends in
HOLD_S a fresh message is refused before it is read: nothing is stored, the bank sends the same bytes again. While the
core does not answer nothing is refused: then custody is the promise, and a backlog is what it is there for. Nor is
anything while such a backlog drains: what is sent beside it is live traffic, and waits its turn.

Each process counts what it took itself. Another process that shares the database may send and end it; whoever looks
that up (`workers/elsewhere.py`) says so here.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from hakika import clock

HOLD_S = 0.15  # machine timer: what is under way should end within this
LEAST = 288  # messages under way that are always allowed
# Once something was refused there is more than can be done, and all that is taken waits behind all that is refused too:
# less is held then, until nothing has been refused for a while.
OVERLOAD_S = 1.0  # machine timer
OVERLOAD_HOLD_S = 0.1  # machine timer: what is under way should end within this
OVERLOAD_LEAST = 64
LATELY_S = 2.0  # machine timer: what has not ended by then is part of a backlog, and counts no more
LINGERS_S = 0.1  # machine timer: what has not ended by then may have ended in another process
RATE_EVERY_S = 0.5


class Admission:
    """Counts messages between their arrival and the end of their transfers; of one process, in memory."""

    def __init__(self, flows: Callable[[], bool]) -> None:
        """`flows` tells whether fresh transfers are sent to the core now, and no backlog beside them."""
        self._flows = flows
        self._arriving: set[int] = set()  # messages, by identity, until they are in custody
        self._under_way: dict[UUID, float] = {}  # one transfer of each message, in the order of arrival
        self._ended = 0
        self._rate_per_s = 0.0
        self._refused_s = float("-inf")
        self._counted_s = clock.monotonic_s()

    def full(self) -> bool:
        """A fresh message would not end in time."""
        if len(self._arriving) + len(self._under_way) < OVERLOAD_LEAST:
            return False
        now_s = clock.monotonic_s()
        self._forget(now_s)
        if len(self._arriving) + len(self._under_way) < self._limit(now_s) or not self._flows():
            return False
        self._refused_s = now_s
        return True

    @contextmanager
    def arriving(self, message: object) -> Iterator[None]:
        """A message on its way into custody."""
        self._arriving.add(id(message))
        try:
            yield
        finally:
            self._arriving.discard(id(message))

    def committed(self, message: object) -> None:
        """A message is no longer on its way, though nobody may have told its bank yet."""
        self._arriving.discard(id(message))

    def taken(self, transfer: UUID) -> None:
        """A message is in custody; `transfer` is one of those that it carries."""
        now_s = clock.monotonic_s()
        self._under_way[transfer] = now_s
        if len(self._under_way) >= LEAST:
            self._forget(now_s)

    def ended(self, transfer: UUID) -> None:
        """A transfer has ended."""
        if self._under_way.pop(transfer, None) is not None:
            self._ended += 1

    def uncertain(self, limit: int) -> list[UUID]:
        """Up to `limit` that should have ended by now, where there is so much that it matters; the oldest first."""
        if len(self._under_way) < LEAST // 2:
            return []
        until_s = clock.monotonic_s() - LINGERS_S
        return [transfer for transfer, taken_s in self._under_way.items() if taken_s <= until_s][:limit]

    def ended_elsewhere(self, transfers: Iterable[UUID]) -> None:
        """These have ended by another process."""
        for transfer in transfers:
            self.ended(transfer)

    def _limit(self, now_s: float) -> float:
        passed_s = now_s - self._counted_s
        if passed_s >= RATE_EVERY_S:
            self._rate_per_s = (self._rate_per_s + self._ended / passed_s) / 2
            self._ended, self._counted_s = 0, now_s
        if now_s - self._refused_s <= OVERLOAD_S:
            return max(OVERLOAD_LEAST, OVERLOAD_HOLD_S * self._rate_per_s)
        return max(LEAST, HOLD_S * self._rate_per_s)

    def _forget(self, now_s: float) -> None:
        """What is part of a backlog by now; all of it where nothing flows."""
        if not self._flows():
            self._under_way.clear()
            self._refused_s = float("-inf")
            return
        while self._under_way:
            oldest = next(iter(self._under_way))
            if now_s - self._under_way[oldest] <= LATELY_S:
                return
            del self._under_way[oldest]
