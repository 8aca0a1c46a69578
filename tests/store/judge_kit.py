"""A small platform as health sees it: rows of evidence for two corridors, channels and roles, and a judge to read them.

Evidence is written before it is judged, as far as a test's clock has come, by plain SQL. Instants are a fixed day, so
that nothing depends on when a test runs.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from hakika.clock import seeded
from hakika.health.crash_points import CrashPoint, no_crash
from hakika.health.incident import Incident
from hakika.health.judge import Judge
from hakika.health.records import incidents_of
from hakika.health.refitting import Refitting
from hakika.store.embedded import RoleAccess
from hakika.store.health import incidents as rows
from hakika.store.lane import Lanes, StoreFault

T0_MS = 1_785_142_800_000  # 27 July 2026, 12:00 in Nairobi
CORRIDORS = ("corridor:bank-a", "corridor:bank-b")
COMPONENTS = (
    *CORRIDORS, "channel:bank-api", "channel:core-api", "channel:tracking", "product:bank-to-wallet",
    "role:core", "role:gateway",
)  # fmt: skip
SOURCE_OF = {"channel:core-api": "core", "role:core": "core"}
VANTAGES = ("mombasa", "nairobi", "kisumu")
ZONE = "Africa/Nairobi"
ADD_SIGNAL = """
INSERT INTO signal_interval (series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms)
VALUES (%s, %s, %s, 5000, %s, %s, %s, %s, %s, %s)
"""
ADD_PROBE = """
INSERT INTO probe_result (id, vantage, probe, component, at_ms, received_ms, ok, latency_ms, detail)
VALUES (%s, %s, 'bank_to_wallet', %s, %s, %s, %s, 300, '')
"""
ADD_REPORT = """
INSERT INTO report (id, at_ms, component, person, source, day, hour)
VALUES (%s, %s, %s, %s, 'status_page', '2026-07-27', %s)
"""


@dataclass(frozen=True)
class Fault:
    """What fails of some components from one second to another; seconds since T0."""

    components: tuple[str, ...]
    from_s: int
    to_s: int
    share: float = 0.6
    reason: str = "timeout"
    silent: tuple[str, ...] = ()  # sources that do not answer
    probes_fail: bool = True

    def holds(self, at_s: int) -> bool:
        """It is going on."""
        return self.from_s <= at_s < self.to_s


@dataclass
class Platform:
    """Writes evidence and judges it, five seconds at a time; `per_slot` transfers end in each."""

    database: RoleAccess
    faults: Sequence[Fault] = ()
    per_slot: int = 20
    probes: bool = True
    reports: Mapping[int, tuple[str, int]] = field(default_factory=dict)  # second: component, persons
    scale: float = 1.0
    crash_point: CrashPoint = no_crash
    t0_ms: int = T0_MS
    second: int = 0
    numbers: int = 0
    held: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.app = psycopg.connect(self.database.app_url, autocommit=True)
        self.lanes = Lanes(self.database.app_url, size=2, name="test")
        self.judge = self.new_judge()

    def new_judge(self) -> Judge:
        """Another process, as after a kill."""
        self.refitting = Refitting(self.lanes, COMPONENTS, scale=self.scale)
        return Judge(
            self.lanes,
            self.refitting.wake_up,
            components=COMPONENTS,
            zone=ZONE,
            scale=self.scale,
            crash_point=self.crash_point,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.lanes.close()
        self.app.close()

    async def run_to(self, second: int) -> list[Incident]:
        """Live and judge up to this second; the incidents that there are."""
        while self.second < second:
            self.write_slot()
            await self._judged()
        return await self.incidents()

    async def _judged(self) -> None:
        """One tick; on a machine that is busy with others it may have to ask again."""
        while True:
            try:
                await self.judge.tick(self.now_ms)
            except StoreFault:
                continue
            return

    @property
    def now_ms(self) -> int:
        """The instant at which the last evidence has just arrived."""
        return self.t0_ms + 1000 * self.second + 600

    def write_slot(self) -> None:
        """Five seconds of evidence."""
        at_s, self.second = self.second, self.second + 5
        chance = seeded(at_s)
        fault = next((one for one in self.faults if one.holds(at_s)), None)
        silent = fault.silent if fault else ()
        with self.app.transaction():
            for series in COMPONENTS:
                source = SOURCE_OF.get(series, "gateway")
                if source not in silent:
                    self._signal(series, source, at_s, chance, fault)
            for source in silent:
                self.app.execute(
                    "INSERT INTO silence (source, at_ms) VALUES (%s, %s)", (source, self.t0_ms + 1000 * at_s + 4_000)
                )
            if self.probes:
                self._probe(at_s, fault)
            if at_s in self.reports:
                component, persons = self.reports[at_s]
                for person in range(persons):
                    digest = (b"%d-%d" % (at_s, person)).rjust(32, b"p")
                    self.app.execute(ADD_REPORT, (self._id(), self.t0_ms + 1000 * at_s, component, digest, 12))

    def _signal(self, series: str, source: str, at_s: int, chance: Any, fault: Fault | None) -> None:
        ended = self.per_slot * (2 if series == "product:bank-to-wallet" else 1)
        hit = fault is not None and series in fault.components
        failed = sum(chance.random() < (fault.share if hit and fault else 0.003) for _ in range(ended))
        share = {fault.reason: failed} if hit and fault and failed else ({"busy": failed} if failed else {})
        held = 0
        if series in CORRIDORS:
            held = self.held.get(series, 0) + failed if hit else max(0, self.held.get(series, 0) - 40)
            self.held[series] = held
        oldest_ms = min(5000 * (1 + held // 10), 3_600_000) if held else 800
        values = (
            series,
            source,
            self.t0_ms + 1000 * at_s,
            ended,
            ended,
            Jsonb(share),
            1 if ended else 0,
            2 + held,
            oldest_ms,
        )
        self.app.execute(ADD_SIGNAL, values)

    def _probe(self, at_s: int, fault: Fault | None) -> None:
        """Each vantage tests each corridor every thirty seconds, ten seconds after the one before."""
        for place, vantage in enumerate(VANTAGES):
            if at_s % 30 != 10 * place:
                continue
            for series in CORRIDORS:
                ok = not (fault is not None and series in fault.components and fault.probes_fail)
                at_ms = self.t0_ms + 1000 * at_s + 100
                self.app.execute(ADD_PROBE, (self._id(), vantage, series, at_ms, at_ms + 400, ok))

    def _id(self) -> UUID:
        self.numbers += 1
        return UUID(int=self.second << 40 | self.numbers)

    async def incidents(self) -> list[Incident]:
        """Every incident, by when it was opened."""
        found = await self.lanes.run(lambda conn: rows.since(conn, opened_since_ms=0, limit=1000), deadline_s=5)
        return sorted(incidents_of(found), key=lambda one: (one.detected_ms, one.id))


def said(incident: Incident) -> list[str]:
    """The kinds of an incident's events without measurements, in order."""
    kinds = [type(one.event).__name__ for one in incident.events]
    return [kind for kind in kinds if kind not in ("Measured", "Updated")]


def seconds(incident: Incident, kind: str) -> int:
    """When, in seconds since T0, an incident's first event of this kind was."""
    return next((one.at_ms - T0_MS) // 1000 for one in incident.events if type(one.event).__name__ == kind)


def go(work: Any) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)
