"""The collector: asks every role what it has counted, stores it once, and records who did not answer.

Each source is asked shortly after it closes an interval, at the latest every EVERY_S, with a deadline; no source
waits for another. Where we stand with a source is stored in the commit of its intervals: a restart of ours, or a lost
commit reply, stores nothing twice. A source's instants are its own; a clock that differs from ours by more than
SKEW_MAX_MS is corrected by the difference seen in its answer, which then stays, so that intervals do not move.
An answer that makes no sense is no answer, and no answer is evidence.
"""

import asyncio
import logging
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hakika import clock
from hakika.health.calling import call
from hakika.health.observations import Interval, Silence
from hakika.outbound.signals import NoAnswer, SignalsClient
from hakika.store.health import signals as rows
from hakika.store.health.signals import Connection, IntervalRow, SourceRow
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.health_api import SIGNAL_WIDTH_MS, SignalInterval, Signals

log = logging.getLogger(__name__)

EVERY_S = 5.0
AFTER_CLOSE_S = 0.2  # a source is asked so long after the end of its interval
SOONEST_S = 0.5
STORE_DEADLINE_S = 3.0
STORE_PAUSE_S = 1.0
BUG_PAUSE_S = 5.0
SKEW_MAX_MS = 2_000
KEPT_MS = 35 * 24 * 3600 * 1000
PRUNE_EVERY_S = 600.0
PRUNE_ROWS = 2_000
PRUNE_PAUSE_S = 0.2
READ_MAX = 5_000
SERIES_MAX = 500
REASONS_MAX = 50
COUNT_MAX = 2**31 - 1
AGE_MAX_MS = 2**53
WIDTH_MAX_MS = 60_000
INTERVALS_MAX = 1_000
_SERIES = re.compile(r"[a-z]+:[A-Za-z0-9._:-]{1,80}")
_REASON = re.compile(r"[a-z_]{1,40}")
_LIFE = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fresh:
    """Evidence that became visible after a mark, in order; `upto` is the next mark."""

    upto: int
    intervals: Mapping[str, tuple[Interval, ...]]
    silences: tuple[Silence, ...]


@dataclass(slots=True)
class _Source:
    """One role's process, and where we stand with it."""

    name: str
    client: SignalsClient
    stands: SourceRow | None = None  # None: not read from our database yet
    silent: bool = False


class Collector:
    """Fetches and stores; `fresh` is set whenever something new is stored."""

    def __init__(self, lanes: Lanes, sources: Sequence[tuple[str, SignalsClient]]) -> None:
        self._lanes = lanes
        self._sources = [_Source(name, client) for name, client in sources]
        self.fresh = asyncio.Event()

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """A loop for each source, and one that throws away what is old."""
        return [*(self._follow(source) for source in self._sources), self._prune()]

    def routes(self) -> list[Any]:
        """None: the collector asks and is not asked."""
        return []

    async def close(self) -> None:
        """Close the connections to the sources."""
        for source in self._sources:
            await source.client.close()

    async def latest(self, after: int) -> Fresh:
        """Evidence stored after the mark `after` (0 from the beginning), at most READ_MAX rows. Raises StoreFault."""
        intervals, silences = await self._lanes.run(
            lambda conn: rows.since(conn, after, READ_MAX), deadline_s=STORE_DEADLINE_S
        )
        by_series: dict[str, list[Interval]] = {}
        for row in intervals:
            by_series.setdefault(row.series, []).append(as_interval(row))
        upto = max([after, *(row.seq for row in intervals), *(row.seq for row in silences)])
        return Fresh(
            upto,
            {series: tuple(found) for series, found in by_series.items()},
            tuple(Silence(row.at_ms / 1000, row.source) for row in silences),
        )

    # --- one source

    async def _follow(self, source: _Source) -> None:
        while True:
            try:
                pause_s = await self.ask(source)
            except StoreFault as fault:
                log.warning("what %s has counted cannot be stored now: %s", source.name, fault)
                pause_s = STORE_PAUSE_S
            except Exception:
                log.exception("asking %s failed", source.name)
                pause_s = BUG_PAUSE_S
            await asyncio.sleep(pause_s)

    async def ask(self, source: _Source) -> float:
        """One question and what comes of it, stored; seconds until the next. Raises StoreFault."""
        if source.stands is None:
            stored = await self._lanes.run(rows.stands, deadline_s=STORE_DEADLINE_S)
            source.stands = stored.get(source.name) or SourceRow(source.name, "", 0, 0, 0)
        began_ms, began_s = clock.now_ms(), clock.monotonic_s()
        try:
            answer = _sound(await call(source.client.since(source.stands.upto)), source.stands)
        except NoAnswer as fault:
            await self._note_silence(source, began_ms, fault)
            return max(SOONEST_S, EVERY_S - (clock.monotonic_s() - began_s))
        if source.silent:
            source.silent = False
            log.warning("%s answers again", source.name)
        here_ms = began_ms + int((clock.monotonic_s() - began_s) * 500)  # half of the round trip ago
        stands = self._stands_now(source.stands, answer, here_ms)
        source.stands = replace(source.stands, correction_ms=stands.correction_ms)  # stays, also if not stored now
        if stands.life != source.stands.life and source.stands.upto:
            source.stands = stands  # numbered from 1 again: asked again from there
            return 0.0
        await self._store(source, stands, answer)
        return _pause_s(answer)

    def _stands_now(self, before: SourceRow, answer: Signals, here_ms: int) -> SourceRow:
        """Where we stand once this answer is stored."""
        correction_ms = _correction_ms(before.correction_ms, here_ms - answer.now_ms)
        if correction_ms != before.correction_ms:
            log.warning(
                "%s: its clock is %d ms behind ours; its instants are corrected by %d ms",
                before.source,
                here_ms - answer.now_ms,
                correction_ms,
            )
        upto = before.upto
        if answer.life != before.life:
            log.info("%s: a new process, life %s", before.source, answer.life)
            upto = 0
        if answer.intervals and (answer.life == before.life or not before.upto):
            upto = answer.intervals[-1].number
        return SourceRow(before.source, answer.life, upto, correction_ms, here_ms)

    async def _store(self, source: _Source, stands: SourceRow, answer: Signals) -> None:
        before = source.stands
        if not answer.intervals and before and before.life == stands.life:
            return  # nothing to store; a correction is found again
        found = [row for interval in answer.intervals for row in _rows(source.name, interval, stands.correction_ms)]
        await self._lanes.run(lambda conn: rows.add(conn, found, stands), deadline_s=STORE_DEADLINE_S)
        source.stands = stands
        if found:
            self.fresh.set()

    async def _note_silence(self, source: _Source, at_ms: int, fault: NoAnswer) -> None:
        if not source.silent:
            source.silent = True
            log.warning("%s does not say what it has counted: %s", source.name, fault)
        await self._lanes.run(lambda conn: rows.add_silence(conn, source.name, at_ms), deadline_s=STORE_DEADLINE_S)
        self.fresh.set()

    # --- old evidence

    async def _prune(self) -> None:
        while True:
            pause_s = clock.jitter(PRUNE_EVERY_S)
            try:
                if await self._lanes.run(_prune_some, deadline_s=STORE_DEADLINE_S) >= PRUNE_ROWS:
                    pause_s = PRUNE_PAUSE_S
            except StoreFault as fault:
                log.warning("old evidence is not thrown away now: %s", fault)
            except Exception:
                log.exception("throwing away old evidence failed")
            await asyncio.sleep(pause_s)


async def _prune_some(conn: Connection) -> int:
    return await rows.prune(conn, clock.now_ms() - KEPT_MS, PRUNE_ROWS)


def as_interval(row: IntervalRow) -> Interval:
    """A stored row as the detector takes it."""
    return Interval(
        at_s=row.at_ms / 1000,
        width_s=row.width_ms / 1000,
        ended=row.ended,
        failed=dict(row.failed),
        arrived=row.arrived,
        open_count=row.open_count,
        oldest_s=row.oldest_ms / 1000,
    )


def _sound(answer: Signals, before: SourceRow) -> Signals:
    """The answer, where everything in it is possible and new; NoAnswer otherwise."""
    if not _LIFE.fullmatch(answer.life) or not 0 < answer.now_ms < AGE_MAX_MS:
        raise NoAnswer("senseless: life or now_ms")
    if len(answer.intervals) > INTERVALS_MAX:
        raise NoAnswer("senseless: too many intervals")
    number = before.upto if answer.life == before.life else 0
    at_ms = -1
    for interval in answer.intervals:
        if interval.number <= number or interval.at_ms <= at_ms or not 0 < interval.width_ms <= WIDTH_MAX_MS:
            raise NoAnswer(f"senseless: interval {interval.number}")
        if interval.at_ms + interval.width_ms > answer.now_ms:
            raise NoAnswer(f"senseless: interval {interval.number} has not ended")
        if len(interval.signals) > SERIES_MAX or not all(map(_sound_signal, interval.signals)):
            raise NoAnswer(f"senseless: counts of interval {interval.number}")
        if len({signal.series for signal in interval.signals}) < len(interval.signals):
            raise NoAnswer(f"senseless: a series twice in interval {interval.number}")
        number, at_ms = interval.number, interval.at_ms
    return answer


def _sound_signal(signal: Any) -> bool:
    counts = (signal.arrived, signal.ended, signal.own_errors, signal.open_count, *signal.failed.values())
    return (
        _SERIES.fullmatch(signal.series) is not None
        and all(0 <= count <= COUNT_MAX for count in counts)
        and 0 <= signal.oldest_ms <= AGE_MAX_MS
        and len(signal.failed) <= REASONS_MAX
        and all(_REASON.fullmatch(reason) for reason in signal.failed)
        and sum(signal.failed.values()) + signal.own_errors <= signal.ended
    )


def _correction_ms(before_ms: int, seen_ms: int) -> int:
    """What to add to the source's instants: it stays until the clocks differ from it by more than SKEW_MAX_MS."""
    if abs(seen_ms - before_ms) <= SKEW_MAX_MS:
        return before_ms
    return seen_ms if abs(seen_ms) > SKEW_MAX_MS else 0


def _rows(source: str, interval: SignalInterval, correction_ms: int) -> list[IntervalRow]:
    return [
        IntervalRow(
            s.series, source, interval.at_ms + correction_ms, interval.width_ms, s.arrived, s.ended, s.failed,
            s.own_errors, s.open_count, s.oldest_ms,
        )
        for s in interval.signals
    ]  # fmt: skip


def _pause_s(answer: Signals) -> float:
    """Until shortly after the source's next interval ends, by the source's own clock."""
    if not answer.intervals:
        return min(EVERY_S, SIGNAL_WIDTH_MS / 1000)
    last = answer.intervals[-1]
    next_ms = last.at_ms + last.width_ms + SIGNAL_WIDTH_MS - answer.now_ms
    return min(EVERY_S + AFTER_CLOSE_S, max(0.0, next_ms / 1000) + AFTER_CLOSE_S)
