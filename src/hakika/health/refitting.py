"""Makes the detectors and keeps them fitted: at the start, hourly at first, then daily, from each series' quiet days.

Quiet is what no incident covers, with some minutes before and after it. Fitting takes seconds of computing for each
series and goes on in a thread, one series at a time; judging does not wait for it. A series against which something is
held keeps its model until that is over. Without history there are defaults, which detect later and alarm no more.
"""

import asyncio
import logging
from array import array
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hakika import clock
from hakika.health.assessing import WIDTH_MS, Detectors
from hakika.health.detector import SeriesModel
from hakika.health.incident import Incident
from hakika.health.judge import Recently
from hakika.health.observations import Interval
from hakika.health.recent import OLDEST_MIN_MS, OPEN_DEFAULT, Usual
from hakika.health.records import Connection, incidents_of
from hakika.store.health import evidence, incidents
from hakika.store.health.evidence import ROWS_MAX, SignalRow
from hakika.store.health.judging import StateRow
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

EVERY_S = 86_400.0
SOON_S = 3_600.0  # while there is less history than a day
FIRST_S = 20.0  # after the start: the judge goes first
AGAIN_S = 60.0
PAUSE_S = 0.5  # between two series
READ_S = 10.0
DAY_MS = 86_400_000
HISTORY_MS = 28 * DAY_MS
AROUND_MS = 10 * 60_000  # before and after an incident
ROWS_MIN = 720  # an hour: less teaches nothing
USUAL_SHARE = 0.99
NO_FAILURES: Mapping[str, int] = MappingProxyType({})


class Refitting:
    """The factory of the judge's detectors, and the loop that refits the ones that it made last."""

    def __init__(self, lanes: Lanes, components: Sequence[str], *, scale: float = 1.0) -> None:
        self._lanes = lanes
        self._names = tuple(components)
        self._scale = scale
        self.current: Detectors | None = None

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """The loop."""
        return [self._run()]

    def routes(self) -> list[Any]:
        """None."""
        return []

    def wake_up(self, states: Sequence[StateRow], recently: Recently) -> Detectors:
        """Detectors as they were put away; from here on these are the ones that are refitted."""
        self.current = Detectors(self._names, states, recently, scale=self._scale)
        return self.current

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                fitted, whole = await self.refit(clock.now_ms())
                log.info("detectors of %d series are fitted", fitted)
                pause_s = EVERY_S if whole else SOON_S
            except StoreFault as fault:
                log.warning("detectors keep their models: %s", fault)
                pause_s = AGAIN_S
            except Exception:
                log.exception("fitting failed: detectors keep their models")
                pause_s = EVERY_S
            await asyncio.sleep(clock.jitter(pause_s))

    async def refit(self, now_ms: int) -> tuple[int, bool]:
        """Fit every series that has history: how many took their new model, and whether all have a day of it.

        Raises StoreFault.
        """
        from_ms = now_ms - HISTORY_MS
        series = await self._lanes.run(lambda conn: evidence.series_since(conn, from_ms), deadline_s=READ_S)
        known = await self._lanes.run(lambda conn: _incidents(conn, from_ms), deadline_s=READ_S)
        fitted, whole = 0, bool(series)
        for name in series:
            quiet = await self._quiet(name, from_ms, now_ms, known)
            whole = whole and len(quiet.intervals) * WIDTH_MS >= DAY_MS
            if len(quiet.intervals) >= ROWS_MIN:
                model, usual = await asyncio.to_thread(fit, name, quiet)
                fitted += self.current is not None and self.current.adopt(name, model, usual)
            await asyncio.sleep(PAUSE_S)
        return fitted, whole

    async def _quiet(self, series: str, from_ms: int, to_ms: int, known: Sequence[Incident]) -> "Quiet":
        """Page by page, so that no read is long and no more is kept than fitting needs."""
        quiet = Quiet()
        after_ms = from_ms
        while True:
            page = await self._lanes.run(
                lambda conn, after_ms=after_ms: evidence.signals_of(conn, series, after_ms=after_ms, upto_ms=to_ms),  # type: ignore[misc]
                deadline_s=READ_S,
            )
            quiet.add(quiet_rows(page, known, series, to_ms))
            if len(page) < ROWS_MAX:
                return quiet
            after_ms = page[-1].at_ms


@dataclass(slots=True)
class Quiet:
    """Quiet intervals of one series, and what was pending at the end of each."""

    intervals: list[Interval] = field(default_factory=list)
    oldest_ms: "array[int]" = field(default_factory=lambda: array("q"))
    open_count: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, rows: Sequence[SignalRow]) -> None:
        """More of them, in the order of time."""
        for row in rows:
            failed = row.failed or NO_FAILURES
            self.intervals.append(Interval(row.at_ms / 1000, WIDTH_MS / 1000, row.ended, failed, row.arrived))
            self.oldest_ms.append(row.oldest_ms)
            self.open_count.append(row.open_count)


def quiet_rows(rows: Sequence[SignalRow], known: Sequence[Incident], series: str, until_ms: int) -> list[SignalRow]:
    """Rows that no incident of this series covers; one that is open lasts until `until_ms`."""
    spans = [
        (one.start_ms - AROUND_MS, (one.closed_ms if one.closed_ms is not None else until_ms) + AROUND_MS)
        for one in known
        if series in one.components
    ]
    return [row for row in rows if not any(begins <= row.at_ms <= ends for begins, ends in spans)]


def fit(series: str, quiet: Quiet) -> tuple[SeriesModel, Usual]:
    """A model and what is usual, from quiet intervals; blocks for seconds."""
    model = SeriesModel.fit(series, quiet.intervals, WIDTH_MS / 1000)
    oldest_ms = max(OLDEST_MIN_MS, _share_of(quiet.oldest_ms))
    open_count = max(OPEN_DEFAULT, _share_of(quiet.open_count))
    return model, Usual(model.all_failures.usual, oldest_ms, open_count)


def _share_of(values: Sequence[int]) -> int:
    """The value that USUAL_SHARE of them do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(USUAL_SHARE * len(ordered)))]


async def _incidents(conn: Connection, from_ms: int) -> list[Incident]:
    return incidents_of(await incidents.since(conn, opened_since_ms=from_ms, limit=1_000))
