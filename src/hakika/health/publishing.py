"""Publishes by itself: the status page is written again as soon as there is something new, and once a minute anyway.

The judge wakes this loop after each commit that changed something; commits of other processes are noticed within a
second. What was swapped in is recorded, with the number of the last event that it shows of each incident, so that it
is known when the public could first read of it. A disk that refuses is a state (`trouble`) that the operator's screen
shows with since when and what to do; judging goes on meanwhile and the page is tried again every few seconds. When
our own database does not answer, the page goes on with what was last read, and as that grows old says "not known".
"""

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hakika import clock
from hakika.health import assessment as plain
from hakika.health.assessment import Assessment, proper
from hakika.health.crash_points import CrashPoint, no_crash
from hakika.health.deciding import Policy
from hakika.health.incident import Incident
from hakika.health.naming import Named
from hakika.health.page.model import HISTORY_DAYS, StatusModel
from hakika.health.page.place import PageSettings
from hakika.health.page.publisher import PublishFault, publish
from hakika.health.page.site import site
from hakika.health.records import Connection, incidents_of, windows_of
from hakika.health.regulator import Measured
from hakika.health.shown import STALE_MS, corridor_facts, shown
from hakika.health.statements import CorridorFacts
from hakika.health.telling import Caught, Known, incident_id, since_day, status_model
from hakika.store.health import evidence, incidents, judging, publications
from hakika.store.health.incidents import WindowRow
from hakika.store.health.judging import DayRow
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

EVERY_S = 50.0  # machine timer: sooner than the page says
LOOK_S = 1.0
AGAIN_S = 5.0  # after a disk has refused
READ_S = 5.0
DAY_MS = 86_400_000
INCIDENTS_MAX = 200
SHARE_BEFORE_MS = 30 * 60_000
SHARE_MS_MAX = 12 * 3_600_000
PENDING_MAX = 1_000
RETURNED_FOR_PROMISE_MS = 60_000  # a report to the bank after the promise's instant is no broken promise


@dataclass(frozen=True, slots=True)
class Trouble:
    """The page is not being written: since when, why, what to do, and since when readers have what they have."""

    since_ms: int
    reason: str
    advice: str
    published_ms: int | None


@dataclass(slots=True)
class _Read:
    """What was last read from our database."""

    seen: Assessment
    incidents: Sequence[Incident] = ()
    windows: Sequence[WindowRow] = ()
    days: Sequence[DayRow] = ()
    caught: Mapping[UUID, Caught] = field(default_factory=dict)
    shares: Mapping[UUID, Sequence[tuple[int, int, int]]] = field(default_factory=dict)


class Publishing:
    """One loop; `wake` is set whenever there may be something to say."""

    def __init__(
        self,
        lanes: Lanes,
        names: Named,
        settings: PageSettings,
        *,
        folder: Path,
        operator: str,
        scale: float = 1.0,
        crash_point: CrashPoint = no_crash,
    ) -> None:
        self.wake = asyncio.Event()
        self.trouble: Trouble | None = None
        self.published_ms: int | None = None
        self._lanes = lanes
        self._names = names
        self._settings = settings
        self._zone = ZoneInfo(settings.zone)
        self._folder = folder
        self._operator = operator
        self._policy = Policy.scaled(scale)
        self._crash = crash_point
        self._read: _Read | None = None
        self._first_ms: dict[UUID, int] = {}  # when each incident was first shown
        self._over: dict[UUID, Sequence[tuple[int, int, int]]] = {}  # pictures of incidents that are over
        self._pending: list[tuple[int, bytes, dict[str, int]]] = []  # swapped in and not recorded yet

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """The loop that writes, and the one that notices what other processes judged."""
        return [self._run(), self._look()]

    def routes(self) -> list[Any]:
        """None: the page is files."""
        return []

    def corridor_facts(self) -> list[CorridorFacts]:
        """What each bank is told; nothing where nothing is known or judged any more, so that statements expire."""
        read, now_ms = self._read, clock.now_ms()
        if read is None or now_ms - read.seen.at_ms > STALE_MS:
            return []
        states = shown(self._names.all, read.seen, read.incidents, windows_of(read.windows), now_ms)
        return corridor_facts(self._names.banks, states, read.seen)

    async def _run(self) -> None:
        while True:
            self.wake.clear()
            published = False
            try:
                published = await self.publish_once(clock.now_ms())
            except StoreFault as fault:
                log.warning("nothing is published: health's database has not answered yet: %s", fault)
            except Exception:
                log.exception("publishing failed")
            pause_s = EVERY_S if published else AGAIN_S
            try:
                async with asyncio.timeout(pause_s):
                    await self.wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        """Wake at whatever another process has written."""
        before: tuple[int, int, int] | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                mark, standing = await self._lanes.run(_mark, deadline_s=READ_S)
            except StoreFault:
                continue
            if self._read is not None and standing is not None:
                self._read.seen = plain.from_body(standing.assessment)  # the figures that banks are told
            if mark != before:
                before = mark
                self.wake.set()

    async def publish_once(self, now_ms: int) -> bool:
        """Write the page as of `now_ms`; False when the disk refused. Raises StoreFault when nothing was ever read."""
        try:
            self._read = await self._lanes.run(lambda conn: self._load(conn, now_ms), deadline_s=READ_S)
        except StoreFault as fault:
            if self._read is None:
                raise
            log.warning("the page is written from what was last read: %s", fault)
        read = self._read
        known = self._known(read, now_ms)
        files, digest = await asyncio.to_thread(self._rendered, known)
        self._crash("before_publish")
        try:
            await asyncio.to_thread(publish, self._folder, files, as_of_ms=now_ms)
        except PublishFault as fault:
            self._refused(fault, now_ms)
            if not fault.live:
                return False
        else:
            if self.trouble is not None:
                log.warning("the status page is being written again")
            self.trouble = None
        self.published_ms = now_ms
        self._crash("after_publish")
        await self._record(now_ms, digest, read.incidents)
        self._crash("after_publication")
        return self.trouble is None

    async def look(self, now_ms: int) -> Known:
        """Everything that the page would be made from now, for the operator's screens. Raises StoreFault."""
        return self._known(await self._lanes.run(lambda conn: self._load(conn, now_ms), deadline_s=READ_S), now_ms)

    def model(self, known: Known) -> StatusModel:
        """The page's model, as it would be published."""
        return status_model(known, self._names, operator=self._operator, promise_ms=self._policy.promise_ms)

    async def measured(self, incident: Incident, known: Known) -> Measured:
        """What the regulator's report needs beside the incident's events. Raises StoreFault."""
        corridors = [one for one in incident.components if one.startswith("corridor:")]
        from_ms, to_ms = incident.start_ms, incident.closed_ms or known.at_ms

        async def work(conn: Connection) -> tuple[int, int, int]:
            ended = await evidence.ended_between(conn, corridors, from_ms, to_ms)
            technical = sum(count for reason, count in ended.failed.items())
            people = await evidence.reporters(conn, incident.components, from_ms, to_ms)
            return await evidence.peak_open(conn, corridors, from_ms, to_ms), technical, people

        peak, failed, people = await self._lanes.run(work, deadline_s=READ_S)
        caught = known.caught.get(incident.id, Caught())
        return Measured(caught, peak, failed, people, known.published_ms.get(incident.id))

    def _known(self, read: _Read, now_ms: int) -> Known:
        states = shown(self._names.all, read.seen, read.incidents, windows_of(read.windows), now_ms)
        return Known(
            now_ms,
            read.seen,
            read.incidents,
            read.windows,
            states,
            read.days,
            dict(self._first_ms),
            read.caught,
            read.shares,
        )

    def _rendered(self, known: Known) -> tuple[dict[str, bytes], bytes]:
        """Every file, and the SHA-256 over all of them; takes long enough to want a thread."""
        files = site(self.model(known), self._settings)
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
        return files, digest.digest()

    def _refused(self, fault: PublishFault, now_ms: int) -> None:
        cause = fault.__cause__
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(fault)
        if self.trouble is None:
            log.error("the status page is not being written: %s", fault)
            self.trouble = Trouble(now_ms, reason, fault.advice, self.published_ms)
        else:
            self.trouble = replace(self.trouble, reason=reason, advice=fault.advice)

    async def _record(self, now_ms: int, digest: bytes, shown_: Sequence[Incident]) -> None:
        """Keep what readers get now; what cannot be stored now is stored with a later one."""
        for incident in shown_:
            self._first_ms.setdefault(incident.id, now_ms)
        numbers = {incident_id(one.id): one.number for one in shown_ if one.open or self._young(one, now_ms)}
        self._pending = [*self._pending, (now_ms, digest, numbers)][-PENDING_MAX:]
        try:
            await self._lanes.run(lambda conn: _add_all(conn, tuple(self._pending)), deadline_s=READ_S)
        except StoreFault as fault:
            log.warning("what is published is not recorded yet: %s", fault)
        else:
            self._pending.clear()

    def _young(self, incident: Incident, now_ms: int) -> bool:
        return now_ms - incident.stage_ms < DAY_MS

    async def _load(self, conn: Connection, now_ms: int) -> _Read:
        async with conn.transaction():
            standing = await judging.standing(conn)
            seen = plain.from_body(standing.assessment) if standing else Assessment(0)
            rows = await incidents.since(conn, opened_since_ms=now_ms - HISTORY_DAYS * DAY_MS, limit=INCIDENTS_MAX)
            found = incidents_of(rows)
            windows = await incidents.windows(conn, ends_after_ms=now_ms - HISTORY_DAYS * DAY_MS)
            days = await judging.days(conn, since_day(self._today(now_ms)))
            caught, shares = {}, {}
            for one in found:
                await self._first_shown(conn, one)
                if one.merged_into is None:  # what was caught and measured is told where it goes on
                    caught[one.id] = await self._caught(conn, one, seen, now_ms)
                    shares[one.id] = await self._share(conn, one, now_ms)
        return _Read(seen, found, windows, days, caught, shares)

    async def _first_shown(self, conn: Connection, incident: Incident) -> None:
        if incident.id not in self._first_ms:
            name = incident_id(incident.id)
            first_ms = await publications.first_shown(conn, name, since_ms=incident.detected_ms)
            if first_ms is not None:
                self._first_ms[incident.id] = first_ms

    async def _caught(self, conn: Connection, incident: Incident, seen: Assessment, now_ms: int) -> Caught:
        """The money of an incident, from its corridors' signals."""
        corridors = [one for one in incident.components if one.startswith("corridor:")]
        if not corridors:
            return Caught()
        until_ms = incident.closed_ms or now_ms
        older_ms = self._policy.promise_ms + RETURNED_FOR_PROMISE_MS
        late = await evidence.overdue(conn, corridors, incident.start_ms, until_ms, older_ms)
        if not incident.open:
            arrived, returned = incident.ended
            return Caught(0, arrived, returned, late)
        found = await evidence.ended_between(conn, corridors, incident.start_ms, until_ms)
        return Caught(seen.held(corridors), found.arrived, found.returned, late)

    async def _share(self, conn: Connection, incident: Incident, now_ms: int) -> Sequence[tuple[int, int, int]]:
        """The share of failures by minute, from half an hour before; of what is over it is read once."""
        if incident.id in self._over and not incident.open:
            return self._over[incident.id]
        from_ms = incident.start_ms - SHARE_BEFORE_MS
        to_ms = min((incident.closed_ms or now_ms) + SHARE_BEFORE_MS, now_ms, from_ms + SHARE_MS_MAX)
        series = sorted(proper(incident.components))
        found = await evidence.share_by_minute(conn, series, from_ms, to_ms)
        if incident.closed_ms is not None and now_ms - incident.closed_ms > SHARE_BEFORE_MS:
            self._over[incident.id] = found
        else:
            self._over.pop(incident.id, None)
        return found

    def _today(self, now_ms: int) -> date:
        return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone).date()


async def _mark(conn: Connection) -> tuple[tuple[int, int, int], judging.Standing | None]:
    return await publications.mark(conn), await judging.standing(conn)


async def _add_all(conn: Connection, pending: Sequence[tuple[int, bytes, dict[str, int]]]) -> None:
    async with conn.transaction():
        for at_ms, digest, numbers in pending:
            await publications.add(conn, at_ms=at_ms, content_sha256=digest, incidents=numbers)
