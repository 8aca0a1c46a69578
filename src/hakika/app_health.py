"""Health's wiring: its database, what it collects, what it judges, and what it shows; built once from settings.

Each part is an object with endless loops (`workers`) and routes (`routes`). Health asks the other roles and is asked
by nobody who moves money: with everything else dead it goes on, and with it dead money moves the same.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from hakika.channels.door import Request, Response, Route
from hakika.channels.health_evidence import EvidenceChannel
from hakika.channels.web.forwarded import client_of
from hakika.channels.web.report_page import Choice, ReportPage
from hakika.health.collector import Collector
from hakika.health.feeds.connector import FeedConnector
from hakika.health.feeds.poller import FeedPoller
from hakika.health.sorting import Vocabulary
from hakika.outbound.feeds import FeedClient
from hakika.outbound.signals import SignalsClient
from hakika.services.health.evidence import Evidence
from hakika.settings import HealthSettings, secret
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.jws import load_public_key

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
        self._parts: list[Part] = [
            self.collector,
            evidence_channel(settings, self.evidence),
            FeedPoller(self.evidence, self._feeds, vocabulary(settings)),
        ]

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """Every endless loop of this role."""
        return [loop for part in self._parts for loop in part.workers()]

    def routes(self) -> list[Route]:
        """Every route; all others are refused by the door."""
        own = [Route("GET", "/livez", _live, uncounted=True), Route("GET", "/readyz", self._readyz, uncounted=True)]
        return [*own, *(route for part in self._parts for route in part.routes())]

    async def stop(self) -> None:
        """Close every connection."""
        await self.collector.close()
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
