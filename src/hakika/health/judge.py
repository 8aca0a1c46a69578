"""The judge: as evidence arrives, at least every five seconds, it asks the detectors and writes what follows.

A tick is one transaction: the claim to it, where the detectors stand, what is held to be true where that changed, and
the events of incidents that follow. So what was judged and what was said about it are never apart. A tick whose
commit reply is lost is executed again, the same values under the same instant, until the claim says that it is done;
a judge that was killed reads where the last committed tick stood and goes on from there. Two judges hinder each
other and do no harm: whoever finds that the other was first throws its own tick away and reads everything again.

The detectors themselves are behind `Watch`; which events are due is decided in `deciding`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import psycopg

from hakika import clock
from hakika.health import assessment as plain
from hakika.health.assessment import Assessment
from hakika.health.crash_points import CrashPoint, no_crash
from hakika.health.days import Days
from hakika.health.deciding import Act, Policy, Window, acts
from hakika.health.incident import Incident, decide
from hakika.health.incident_events import Closed
from hakika.health.records import Connection, incidents_of, row_of, windows_of
from hakika.health.shown import shown
from hakika.store.health import evidence, incidents, judging
from hakika.store.health.evidence import ProbeRow, ReportRow, SignalRow, SilenceRow
from hakika.store.health.judging import Claim, StateRow
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

TICK_S = 5.0  # machine timer
TICK_LEAST_S = 1.0  # between two ticks, however much arrives
READ_S = 5.0
COMMIT_S = 5.0
SETTLE_PAUSE_S = 0.5
LATE_MS = 3_600_000  # evidence that arrives later than this is not judged any more: a role keeps an hour
PROBES_LATE_MS = 600_000  # a vantage's results are taken until they are this old
REPORT_WIDTH_MS = 30_000
DAYS = "days"  # among the states of the detectors


@dataclass(frozen=True, slots=True)
class Batch:
    """New evidence up to one instant; some of it may have been seen before."""

    upto_ms: int
    signals: Sequence[SignalRow] = ()
    silences: Sequence[SilenceRow] = ()
    probes: Sequence[ProbeRow] = ()
    reports: Sequence[ReportRow] = ()


class Watch(Protocol):
    """Every detector there is: takes evidence, says what it is held to mean, and can be put away and woken."""

    def marks(self) -> Mapping[str, int]:
        """The start of the last interval taken, by series (ms)."""

    def reports_from_ms(self, now_ms: int) -> int:
        """The start of the first interval of reports that was not taken yet."""

    def take(self, batch: Batch) -> Assessment:
        """What is held to be true with this evidence, at `batch.upto_ms`."""

    def closer(self, now_ms: int) -> frozenset[str]:
        """The components of which more synthetic tests would decide something."""

    def unsaved(self) -> list[StateRow]:
        """Where every detector stands that has moved since `saved`."""

    def saved(self) -> None:
        """What `unsaved` gave is committed."""


Recently = tuple[Sequence[SignalRow], Sequence[ProbeRow]]
WakeUp = Callable[[Sequence[StateRow], Recently], Watch]


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that one commit writes, decided before it is sent the first time."""

    at_ms: int
    previous_ms: int | None
    seen: Assessment
    states: tuple[StateRow, ...]
    changed: bool


class Judge:
    """One loop. `on_commit` is called after each tick that changed something; it must return at once."""

    def __init__(
        self,
        lanes: Lanes,
        wake_up: WakeUp,
        *,
        components: Sequence[str],
        zone: str,
        scale: float = 1.0,
        crash_point: CrashPoint = no_crash,
        fresh: asyncio.Event | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake_up` makes the detectors from where they stood; `scale` divides policies, never machine timers.

        `fresh` is set by whoever stores evidence, so that it is judged at once.
        Days of history are kept for `components`, and end at midnight in `zone`.
        """
        self._lanes = lanes
        self._wake_up = wake_up
        self._policy = Policy.scaled(scale)
        self._crash = crash_point
        self._fresh = fresh if fresh is not None else asyncio.Event()
        self._on_commit = on_commit
        self._holder = clock.new_id()
        self._components = tuple(components)
        self._zone = zone
        self._days = Days(zone)
        self._watch: Watch | None = None
        self._previous_ms: int | None = None
        self._held: Any = None  # what was last written as held to be true
        self.closer: frozenset[str] = frozenset()  # as of the last tick; for the vantages

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """The endless loop."""
        return [self._run()]

    def routes(self) -> list[Any]:
        """A judge answers nobody."""
        return []

    async def _run(self) -> None:
        while True:
            began_s = clock.monotonic_s()
            self._fresh.clear()
            try:
                await self.tick(clock.now_ms())
            except StoreFault as fault:
                log.warning("nothing is judged: health's database does not answer: %s", fault)
            except psycopg.Error:
                # A bug, or rows that somebody else wrote: this tick is dropped, and all is read again.
                log.exception("a tick was refused")
                self._watch = None
            await asyncio.sleep(max(0.0, began_s + TICK_LEAST_S - clock.monotonic_s()))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began_s + TICK_S - clock.monotonic_s())):
                    await self._fresh.wait()

    async def tick(self, now_ms: int) -> tuple[Act, ...] | None:
        """Judge as of `now_ms`: the events that were written, None where another judge was first.

        Raises StoreFault when the evidence could not be read; nothing has happened then.
        """
        if self._watch is None:
            await self._awake(now_ms)
        watch = self._watch
        if watch is None:
            return None
        at_ms = max(now_ms, (self._previous_ms or 0) + 1)  # a clock that steps back judges nothing twice
        self._crash("before_read")
        batch = await self._lanes.run(lambda conn: _read(conn, watch, at_ms), deadline_s=READ_S)
        self._crash("after_read")
        seen = watch.take(batch)
        self._days.take(batch.signals, batch.probes, at_ms)
        self._crash("after_assessment")
        tick = Tick(at_ms, self._previous_ms, seen, tuple(watch.unsaved()), _core_of(seen) != self._held)
        claim, written = await self._settle(tick)
        if claim is Claim.LOST:
            log.warning("another judge was first: everything is read again")
            self._watch = None
            return None
        watch.saved()
        self._days.saved()
        self._previous_ms, self._held = at_ms, _core_of(seen)
        self.closer = watch.closer(at_ms)
        self._crash("after_commit")
        if tick.changed or written:
            self._on_commit()
        return written

    async def _awake(self, now_ms: int) -> None:
        """Detectors as the last committed tick left them."""

        async def load(conn: Connection) -> tuple[list[StateRow], judging.Standing | None, Any, Recently]:
            async with conn.transaction():
                await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                from_ms = now_ms - LATE_MS
                signals = await evidence.signals(conn, {}, floor_ms=from_ms, upto_ms=now_ms)
                recently = signals, await evidence.probes(conn, after_ms=from_ms, upto_ms=now_ms)
                states = await judging.load(conn)
                return states, await judging.standing(conn), await judging.last_judged(conn), recently

        states, standing, judged, recently = await self._lanes.run(load, deadline_s=READ_S)
        days = next((row.state for row in states if row.series == DAYS), None)
        self._days = Days(self._zone, days)
        self._watch = self._wake_up([row for row in states if row.series != DAYS], recently)
        self._previous_ms = standing.tick_ms if standing else None
        self._held = _core_of(plain.from_body(judged[1])) if judged else None

    async def _settle(self, tick: Tick) -> tuple[Claim, tuple[Act, ...]]:
        """Execute the tick until it is known what became of it."""
        written: list[tuple[Act, ...]] = [()]
        while True:
            try:
                claim = await self._lanes.run(lambda conn: self._transaction(conn, tick, written), deadline_s=COMMIT_S)
            except StoreFault as fault:
                log.warning("a tick is not known to be committed, it is executed again: %s", fault)
                await asyncio.sleep(clock.jitter(SETTLE_PAUSE_S))
                continue
            return claim, written[0]

    async def _transaction(self, conn: Connection, tick: Tick, written: list[tuple[Act, ...]]) -> Claim:
        body = plain.to_body(tick.seen)
        async with conn.transaction():
            claim = await judging.claim(
                conn, holder=self._holder, tick_ms=tick.at_ms, previous_ms=tick.previous_ms, assessment=body
            )
            if claim is not Claim.MINE:
                return claim
            self._crash("after_claim")
            await judging.save(conn, tick.states)
            self._crash("after_states")
            await incidents.lock(conn)
            known = incidents_of(await incidents.current(conn, since_ms=tick.at_ms - self._policy.known_ms))
            windows = windows_of(await incidents.windows(conn, ends_after_ms=tick.at_ms - LATE_MS))
            previous_ms = tick.at_ms if tick.previous_ms is None else tick.previous_ms
            due = [
                await _with_totals(conn, act, known)
                for act in acts(tick.seen, known, windows, self._policy, previous_ms=previous_ms)
            ]
            if tick.changed or due:
                await judging.judged(conn, tick.at_ms, body)
                self._crash("after_judgement")
            for act in due:
                await incidents.add(conn, [row_of(act)])
                self._crash("after_event")
            await self._keep_days(conn, tick, _after(known, due), windows)
            written[0] = tuple(due)
        return claim

    async def _keep_days(
        self, conn: Connection, tick: Tick, known: Sequence[Incident], windows: Sequence[Window]
    ) -> None:
        states = shown(self._components, tick.seen, known, windows, tick.at_ms)
        await judging.add_days(conn, self._days.rows(states, tick.at_ms))
        await judging.save(conn, [StateRow(DAYS, self._days.to_state(), tick.at_ms)])


async def _read(conn: Connection, watch: Watch, now_ms: int) -> Batch:
    """Everything that may be new."""
    async with conn.transaction():
        return Batch(
            upto_ms=now_ms,
            signals=await evidence.signals(conn, watch.marks(), floor_ms=now_ms - LATE_MS, upto_ms=now_ms),
            silences=await evidence.silences(conn, after_ms=now_ms - LATE_MS, upto_ms=now_ms),
            probes=await evidence.probes(conn, after_ms=now_ms - PROBES_LATE_MS, upto_ms=now_ms),
            reports=await evidence.reports(
                conn,
                from_ms=watch.reports_from_ms(now_ms),
                to_ms=now_ms // REPORT_WIDTH_MS * REPORT_WIDTH_MS,
                width_ms=REPORT_WIDTH_MS,
            ),
        )


async def _with_totals(conn: Connection, act: Act, known: Sequence[Incident]) -> Act:
    """At the end of an incident: how the transfers of its corridors ended while it lasted."""
    event = act.recorded.event
    incident = next((one for one in known if one.id == act.incident), None)
    if not isinstance(event, Closed) or incident is None:
        return act
    corridors = [one for one in incident.components if one.startswith("corridor:")]
    found = await evidence.ended_between(conn, corridors, incident.start_ms, act.recorded.at_ms)
    event = replace(event, arrived=found.arrived, returned=found.returned)
    return replace(act, recorded=replace(act.recorded, event=event))


def _after(known: Sequence[Incident], due: Sequence[Act]) -> list[Incident]:
    """The incidents as the events leave them."""
    found = {one.id: one for one in known}
    for act in due:
        after = decide(found.get(act.incident, Incident(act.incident)), act.recorded.event, at_ms=act.recorded.at_ms)
        if isinstance(after, Incident):
            found[act.incident] = after
    return list(found.values())


def _core_of(seen: Assessment) -> tuple[object, ...]:
    """What makes a change of what is held to be true; figures alone make none."""
    readings = sorted((one.component, one.state, one.level, one.broken, one.kinds) for one in seen.readings.values())
    return tuple(readings), tuple((one.key, one.components, one.certain) for one in seen.causes)
