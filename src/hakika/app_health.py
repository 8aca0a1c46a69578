"""Health's wiring: its database, what it collects, what it judges, and what it shows; built once from settings.

Each part is an object with endless loops (`workers`) and routes (`routes`). Health asks the other roles and is asked
by nobody who moves money: with everything else dead it goes on, and with it dead money moves the same.
"""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hakika.channels.door import Request, Response, Route
from hakika.channels.health_evidence import EvidenceChannel
from hakika.channels.web.forwarded import client_of
from hakika.channels.web.health_screens import Screens
from hakika.channels.web.report_page import Choice, ReportPage
from hakika.channels.web.status_files import status_files
from hakika.health.announcer import Announcer
from hakika.health.collector import Collector
from hakika.health.crash_points import VARIABLE as CRASH_VARIABLE
from hakika.health.crash_points import armed
from hakika.health.feeds.connector import FeedConnector
from hakika.health.feeds.poller import FeedPoller
from hakika.health.judge import Judge
from hakika.health.naming import Configured, Named
from hakika.health.operating import Operating
from hakika.health.page.place import PageSettings
from hakika.health.publishing import Publishing
from hakika.health.refitting import Refitting
from hakika.health.sorting import Vocabulary
from hakika.outbound.feeds import FeedClient
from hakika.outbound.signals import SignalsClient
from hakika.services.health.evidence import Evidence
from hakika.settings import HealthSettings, secret
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.jws import load_private_key, load_public_key

READY_S = 1.0


class Part(Protocol):
    """One thing that health does."""

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """Loops that run until they are cancelled."""

    def routes(self) -> list[Route]:
        """What it answers."""


class HealthRole:
    """Everything that health runs."""

    def __init__(self, settings: HealthSettings) -> None:
        self._lanes = Lanes(secret(settings.database_url_file), size=6, name="health")
        sources = [(one.name, SignalsClient(one.url, secret(one.token_file))) for one in settings.source]
        self.collector = Collector(self._lanes, sources)
        components = [one.series for one in settings.component]
        self.evidence = Evidence(self._lanes, person_key=secret(settings.person_key_file), components=components)
        self._feeds = [FeedConnector(one.name, FeedClient(one.url)) for one in settings.feed]
        self._page = Path(settings.page_folder)
        judging = judging_parts(settings, self._lanes, self.collector)
        self.publishing = judging.publishing
        self._announcer = announcer(settings, self._lanes, judging.publishing)
        self._parts: list[Part] = [
            self.collector,
            evidence_channel(settings, self.evidence, judging.judge, self.collector.fresh.set),
            *judging.parts,
            FeedPoller(self.evidence, self._feeds, vocabulary(settings)),
            *([self._announcer] if self._announcer else []),
        ]

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """Every endless loop of this role."""
        return [loop for part in self._parts for loop in part.workers()]

    def routes(self) -> list[Route]:
        """Every route; all others are refused by the door."""
        own = [Route("GET", "/livez", _live, uncounted=True), Route("GET", "/readyz", self._readyz, uncounted=True)]
        found = [*own, *(route for part in self._parts for route in part.routes())]
        return [*found, *status_files(self._page)]

    async def stop(self) -> None:
        """Close every connection."""
        await self.collector.close()
        if self._announcer is not None:
            await self._announcer.close()
        for feed in self._feeds:
            await feed.close()
        await self._lanes.close()

    async def _readyz(self, request: Request) -> Response:
        """Ready when our own database answers."""
        try:
            await self._lanes.run(_ping, deadline_s=READY_S)
        except StoreFault:
            return Response(503, b'{"ready":false,"rule":"health\'s database does not answer"}')
        return Response(200, b'{"ready":true}')


def evidence_channel(
    settings: HealthSettings, evidence: Evidence, judge: Judge, on_failed: Callable[[], None]
) -> EvidenceChannel:
    """Where evidence from outside arrives, as settings describe it; key files and tokens are read here."""
    public = [one for one in settings.component if one.public_name and one.kind != "role"]
    choices = [Choice(one.series, one.public_name, one.kind == "corridor") for one in public]
    return EvidenceChannel(
        evidence,
        ReportPage(settings.operator, settings.public_url, choices),
        keys={one.kid: (one.name, load_public_key(one.public_key_file)) for one in settings.vantage},
        desks={one.bank: secret(one.token_file) for one in settings.desk},
        unsure=next((one.series for one in settings.component if one.kind == "product"), ""),
        client=client_of(settings.proxies),
        closer=lambda: judge.closer,
        on_failed=on_failed,
    )


def announcer(settings: HealthSettings, lanes: Lanes, publishing: Publishing) -> Announcer | None:
    """Who tells banks about their corridors; None where no bank is told."""
    if not settings.bank:
        return None
    return Announcer(
        lanes,
        publishing.corridor_facts,
        operator=settings.operator,
        key=load_private_key(settings.signing_key_file),
        urls={one.id: one.statements_url for one in settings.bank},
        folder=Path(settings.page_folder) / "statements",
        scale=settings.scale,
    )


def vocabulary(settings: HealthSettings) -> Vocabulary:
    """The names by which people speak of us and of what we have."""
    words = {
        one.series: tuple(word for word in (one.public_name, *one.words) if word)
        for one in settings.component
        if one.kind != "role"
    }
    return Vocabulary((settings.operator,), words)


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges, publishes and is seen by the operator."""

    judge: Judge
    publishing: Publishing
    parts: tuple[Part, ...]


def judging_parts(settings: HealthSettings, lanes: Lanes, collector: Collector) -> Judging:
    """Detectors, judge, publisher and the operator's screens, as settings describe them."""
    crash_point = armed(os.environ.get(CRASH_VARIABLE))
    names = Named(Configured(c.series, c.kind, c.public_name, tuple(c.instead)) for c in settings.component)
    base_url = settings.public_url if settings.public_url.endswith("/") else f"{settings.public_url}/"
    page = PageSettings(base_url=base_url, report_url=settings.report_url or None, zone=settings.zone)
    scale, operator = settings.scale, settings.operator
    publishing = Publishing(
        lanes, names, page, folder=Path(settings.page_folder), operator=operator, scale=scale, crash_point=crash_point
    )
    refitting = Refitting(lanes, names.all, scale=scale)
    judge = Judge(
        lanes,
        refitting.wake_up,
        components=names.all,
        zone=settings.zone,
        scale=scale,
        crash_point=crash_point,
        fresh=collector.fresh,
        on_commit=publishing.wake.set,
    )
    token = secret(settings.operator_token_file)
    operating = Operating(lanes, publishing.wake.set)
    screens = Screens(lanes, publishing, operating, names, page, token=token, operator=operator)
    return Judging(judge, publishing, (judge, refitting, publishing, screens))


async def _live(request: Request) -> Response:
    return Response(200, b'{"live":true}')


async def _ping(conn: Any) -> None:
    await conn.execute("SELECT 1")
