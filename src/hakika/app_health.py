"""Health's wiring: its database, what it collects, what it judges, and what it shows; built once from settings.

Each part is an object with endless loops (`workers`) and routes (`routes`). Health asks the other roles and is asked
by nobody who moves money: with everything else dead it goes on, and with it dead money moves the same.
"""

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

from hakika.channels.door import Request, Response, Route
from hakika.channels.health_evidence import EvidenceChannel
from hakika.channels.web.forwarded import client_of
from hakika.channels.web.health_screens import Screens
from hakika.channels.web.report_page import Choice, ReportPage
from hakika.channels.web.status_files import status_files
from hakika.health import crash_points
from hakika.health.announcer import Announcer
from hakika.health.collector import Collector
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
        crash_point = crash_points.armed(os.environ.get(crash_points.VARIABLE))
        names = Named(
            Configured(one.series, one.kind, one.public_name, tuple(one.instead)) for one in settings.component
        )
        place = PageSettings(base_url=settings.public_url, report_url=settings.report_url, zone=settings.zone)
        self._page = Path(settings.page_folder)
        publishing = Publishing(
            self._lanes,
            names,
            place,
            folder=self._page,
            operator=settings.operator,
            scale=settings.scale,
            crash_point=crash_point,
        )
        refitting = Refitting(self._lanes, components, scale=settings.scale)
        judge = Judge(
            self._lanes,
            refitting.wake_up,
            components=components,
            zone=settings.zone,
            scale=settings.scale,
            crash_point=crash_point,
            fresh=self.collector.fresh,
            on_commit=publishing.wake.set,
        )
        operating = Operating(self._lanes, publishing.wake.set)
        token = secret(settings.operator_token_file)
        screens = Screens(self._lanes, publishing, operating, names, place, token=token, operator=settings.operator)
        self._announcer = announcer(settings, self._lanes, publishing)
        self._parts: list[Part] = [
            self.collector,
            evidence_channel(settings, self.evidence),
            judge,
            refitting,
            publishing,
            screens,
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


def evidence_channel(settings: HealthSettings, evidence: Evidence) -> EvidenceChannel:
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


async def _live(request: Request) -> Response:
    return Response(200, b'{"live":true}')


async def _ping(conn: Any) -> None:
    await conn.execute("SELECT 1")
