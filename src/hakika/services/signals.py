"""What a role sees, counted in memory: intervals that are closed in time, the last of them in a ring.

Counting never waits, never fails its caller and costs the same however long nobody asks: what is not fetched is
overwritten, what is lost with the process is lost. Intervals close by themselves at the first count or question
after their end, silent ones included, because that nothing happened is evidence too.

The time here is the process's own: the wall clock at its start, carried on by the monotonic clock, so that intervals
neither overlap nor jump when the wall clock is set. Whoever collects sees by `now_ms` how far it is off.
"""

import logging
from collections import deque
from collections.abc import Callable

from hakika import clock
from hakika.wire.health_api import SIGNAL_WIDTH_MS, SIGNALS_KEPT, Signal, SignalInterval, Signals

ANSWER_MAX = 120  # intervals in one answer

log = logging.getLogger(__name__)


def process_time() -> Callable[[], int]:
    """A clock in milliseconds since 1970 that only moves on, right when it is made."""
    began_ms, began_s = clock.now_ms(), clock.monotonic_s()
    return lambda: began_ms + int((clock.monotonic_s() - began_s) * 1000)


class Harmless:
    """`with HARMLESS:` around counting: a bug in it is logged and never reaches the work that is counted."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False
        log.error("signals were not counted", exc_info=error)
        return True


HARMLESS = Harmless()


class Tally:
    """The counts of one series in the interval that is open; ages in milliseconds."""

    __slots__ = ("arrived", "ended", "failed", "oldest_ms", "open_count", "own_errors", "series")

    def __init__(self, series: str) -> None:
        self.series = series
        self.open_count = 0
        self.oldest_ms = 0
        self._clear()

    def _clear(self) -> None:
        self.arrived = 0
        self.ended = 0
        self.own_errors = 0
        self.failed: dict[str, int] = {}

    def good(self) -> None:
        """An outcome as it should be."""
        self.ended += 1

    def own_error(self) -> None:
        """An outcome that says nothing against the platform: the customer's or the caller's own error."""
        self.ended += 1
        self.own_errors += 1

    def fail(self, reason: str, count: int = 1) -> None:
        """Technical failures."""
        self.ended += count
        self.failed[reason] = self.failed.get(reason, 0) + count

    def answered(self, status: int, reason: str = "busy") -> None:
        """A request was answered with this HTTP status; `reason` names what a 5xx means."""
        self.arrived += 1
        if status >= 500:
            self.fail(reason)
        elif status >= 400:
            self.own_error()
        else:
            self.good()

    def closed(self) -> Signal:
        """What was counted; counting begins anew."""
        signal = Signal(
            self.series, self.arrived, self.ended, self.failed, self.own_errors, self.open_count, self.oldest_ms
        )
        self._clear()
        return signal


class Counts:
    """All series of one process, and the ring of closed intervals."""

    def __init__(
        self, *, time: Callable[[], int] | None = None, before_close: Callable[[int], None] = lambda ends_ms: None
    ) -> None:
        """`before_close(ends_ms)` is called as an interval ends, to add what is only then known."""
        self._time = time or process_time()
        self._before_close = before_close
        self._tallies: dict[str, Tally] = {}
        self._ring: deque[SignalInterval] = deque(maxlen=SIGNALS_KEPT)
        self._number = 1
        self._began_ms = self._time()
        self._ends_ms = (self._began_ms // SIGNAL_WIDTH_MS + 1) * SIGNAL_WIDTH_MS
        self.life = clock.new_id().hex

    def tally(self, series: str) -> Tally:
        """Where a series is counted; known from now on in every interval, also where it counts nothing."""
        found = self._tallies.get(series)
        if found is None:
            found = self._tallies[series] = Tally(series)
        return found

    def now_ms(self) -> int:
        """The process's time; intervals that have ended by now are closed. Called before anything is counted."""
        now_ms = self._time()
        if now_ms >= self._ends_ms:
            self._close_until(now_ms)
        return now_ms

    def since(self, source: str, after: int, limit: int = ANSWER_MAX) -> Signals:
        """Closed intervals with numbers above `after`, oldest first, at most `limit` of them."""
        now_ms = self.now_ms()
        fresh = [interval for interval in self._ring if interval.number > after]
        return Signals(source, self.life, now_ms, fresh[:limit])

    def _close_until(self, now_ms: int) -> None:
        missed = (now_ms - self._ends_ms) // SIGNAL_WIDTH_MS - SIGNALS_KEPT
        if missed > 0:  # nobody counted and nobody asked for so long: these would be overwritten at once
            self._number += missed
            self._ends_ms += missed * SIGNAL_WIDTH_MS
            self._began_ms = self._ends_ms - SIGNAL_WIDTH_MS
        while now_ms >= self._ends_ms:
            self._close()

    def _close(self) -> None:
        with HARMLESS:
            self._before_close(self._ends_ms)
        signals = [tally.closed() for tally in self._tallies.values()]
        self._ring.append(SignalInterval(self._number, self._began_ms, self._ends_ms - self._began_ms, signals))
        self._number += 1
        self._began_ms = self._ends_ms
        self._ends_ms += SIGNAL_WIDTH_MS
