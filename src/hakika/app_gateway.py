"""The gateway's wiring: lanes, flushers, services, workers and routes, built once from its settings.

Lanes are divided so that no kind of work can starve another: intake, the desk, the workers' queues, each
bank's courier, single reads, and tracking pages have connections of their own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg import AsyncConnection

from hakika import clock
from hakika.channels.bank import BankChannel
from hakika.channels.door import Request, Response, Route
from hakika.channels.signals import signals_routes
from hakika.channels.web.limiter import Limiter
from hakika.channels.web.routes import tracking_routes
from hakika.channels.web.tracked import tracking_lookup
from hakika.domain.leash import Leash
from hakika.outbound.bank import BankClient
from hakika.outbound.core import CoreClient, NoAnswer, NotSent
from hakika.services.gateway.acts import Acts
from hakika.services.gateway.admission import Admission
from hakika.services.gateway.answers import Signer
from hakika.services.gateway.banks import REFRESH_S, Banks
from hakika.services.gateway.first_attempts import FirstAttempts
from hakika.services.gateway.intake import BANK_CLOCK_MS, Intake
from hakika.services.gateway.quotes import Quotes
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.gateway.tracking import Tracking
from hakika.services.gateway.transfers import Desk
from hakika.settings import GatewaySettings, secret
from hakika.store.gateway import restores
from hakika.store.gateway.banks import BankRow, KeyRow, register
from hakika.store.gateway.outgoing import NewMessage
from hakika.store.lane import BY_KEY, Lane, Lanes, StoreFault
from hakika.wire.core_api import NameAnswer, NameQuery
from hakika.wire.jws import load_private_key, load_public_key
from hakika.workers.calling import call
from hakika.workers.courier import Courier
from hakika.workers.delivery import CoreLink, Delivery
from hakika.workers.elsewhere import ADMISSION_EVERY_S, SIGNALS_EVERY_S, Elsewhere, take_stock
from hakika.workers.recovery import Recovery

log = logging.getLogger(__name__)

T = TypeVar("T")

SETUP_DEADLINE_S = 10.0


class GatewayRole:
    """Everything the gateway runs, with a start, a stop, its routes and its endless loops."""

    def __init__(self, settings: GatewaySettings) -> None:
        url = secret(settings.database_url_file)
        self._settings = settings
        self._holder = clock.new_id()
        lane = partial(Lane, url, setup=BY_KEY)
        lanes = partial(Lanes, url, setup=BY_KEY)
        self._intake_lane, self._desk_lane = lane(name="gateway intake"), lane(name="gateway desk")
        self._queue_lanes = lanes(size=3, name="gateway queues")
        self._read_lanes = lanes(size=4, name="gateway reads")
        self._page_lanes = lanes(size=2, name="gateway pages")
        self._courier_lanes: list[Lanes] = []
        self._clients: list[BankClient] = []
        self._couriers: dict[str, Courier] = {}
        key = load_private_key(settings.signing_key_file)
        self._signer = Signer(settings.name, settings.kid, {settings.kid: key})
        self.link = CoreLink(CoreClient(settings.core_url, secret(settings.core_token_file)))
        self.first = FirstAttempts(self._holder, self.link)
        self.admission = Admission(lambda: self.link.breaker.sendable(clock.monotonic_s()) and not self.first.drains)
        self.banks = Banks(self._read_lanes)
        self.signals = GatewaySignals(settings.test_wallets)
        self.desk = Desk(
            self._desk_lane,
            holder=self._holder,
            on_told=self._tell_couriers,
            on_ended=self.admission.ended,
            signals=self.signals,
        )
        self._restored_ms: int | None = None
        self._tracking = Tracking(self._page_lanes, self.signals)
        self._ready = False

    async def start(self) -> None:
        """Register the banks of the settings, read the registry and the last restore, start the flushers."""
        for bank in self._settings.bank:
            raw = load_public_key(Path(bank.public_key_file)).public_bytes(Encoding.Raw, PublicFormat.Raw)
            row = BankRow(bank.id, bank.name, bank.callback_url, bank.rule_pack)
            key = KeyRow(bank.kid, bank.id, raw)
            await self._until_stored(partial(register, bank=row, key=key, now_ms=clock.now_ms()))
        while True:
            try:
                await self.banks.refresh()
                break
            except StoreFault as fault:
                log.warning("waiting for the gateway's database: %s", fault)
                await asyncio.sleep(0.2)
        self._restored_ms = await self._until_stored(restores.restored_ms)
        self.intake = self._build_intake()
        for known in self.banks.all():
            client = BankClient(known.callback_url)
            url = secret(self._settings.database_url_file)
            lanes = Lanes(url, size=2, name=f"gateway courier {known.id}", setup=BY_KEY)
            self._clients.append(client)
            self._courier_lanes.append(lanes)
            self._couriers[known.id] = Courier(
                known.id, client, lanes, self._signer.key, self._signer.kid, self.signals
            )
            self.signals.known_bank(known.id)
        await take_stock(self.signals, self._queue_lanes)
        self.desk.flusher.start()
        self.intake.flusher.start()
        self._ready = True

    def _build_intake(self) -> Intake:
        return Intake(
            self._intake_lane,
            receipt_kid=self._settings.kid,
            scale=self._settings.scale,
            currencies=frozenset(self._settings.currencies),
            on_custody=self.link.wake.set,
            first=self.first,
            admission=self.admission,
            restored_ms=self._restored_ms,
            signals=self.signals,
        )

    async def _until_stored(self, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        while True:
            try:
                return await self._queue_lanes.run(work, deadline_s=SETUP_DEADLINE_S)
            except StoreFault as fault:
                log.warning("waiting for the gateway's database: %s", fault)
                await asyncio.sleep(0.2)

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """The endless loops of this role."""
        holder, scale = self._holder, self._settings.scale
        delivery = Delivery(
            self.desk,
            self._queue_lanes,
            self.link,
            holder=holder,
            scale=scale,
            first=self.first,
            signals=self.signals,
        )
        recovery = Recovery(self.desk, self._queue_lanes, self.link, holder=holder, scale=scale, signals=self.signals)
        return [
            self.link.watch_session(),
            delivery.run(),
            recovery.run(),
            Elsewhere(self.signals, self._queue_lanes, every_s=SIGNALS_EVERY_S).run(),
            Elsewhere(self.admission, self._queue_lanes, every_s=ADMISSION_EVERY_S).run(),
            self._refresh_banks(),
            *(courier.run() for courier in self._couriers.values()),
        ]

    def routes(self) -> list[Route]:
        """Every route of the gateway; all others are refused by the door."""
        refused = Limiter(rate_per_s=20.0, burst=100.0, clients_max=10_000)
        rate_per_s = self._settings.bank_rate_per_s
        paces = Limiter(rate_per_s=rate_per_s, burst=max(1.0, 2 * rate_per_s), clients_max=10_000)
        channel = BankChannel(
            banks=self.banks,
            intake=self.intake,
            acts=Acts(self.desk, self._read_lanes, Leash(self._settings.scale), restored=self._restored_ms is not None),
            quotes=Quotes(
                self._read_lanes,
                scale=self._settings.scale,
                corridor=self._corridor,
                ask_name=self._ask_name,
            ),
            signer=self._signer,
            allow=lambda client: refused.take(client, clock.monotonic_s()),
            pace=lambda bank: paces.take(bank, clock.monotonic_s()),
            admission=self.admission,
            signals=self.signals,
        )
        token_file = self._settings.health_token_file
        return [
            *channel.routes(),
            *tracking_routes(tracking_lookup(self._tracking), report_url=self._settings.report_url),
            *signals_routes("gateway", self.signals.counts, secret(token_file) if token_file else ""),
            Route("GET", "/livez", _live, uncounted=True),
            Route("GET", "/readyz", self._readyz, uncounted=True),
        ]

    async def stop(self) -> None:
        """Finish what is queued, close every connection."""
        await self.intake.flusher.stop()
        await self.desk.flusher.stop()
        await self.link.client.close()
        for client in self._clients:
            await client.close()
        for lanes in (self._queue_lanes, self._read_lanes, self._page_lanes, *self._courier_lanes):
            await lanes.close()
        await self._intake_lane.close()
        await self._desk_lane.close()

    def _tell_couriers(self, messages: list[NewMessage], gathering: set[str]) -> None:
        for message in messages:
            if (courier := self._couriers.get(message.bank)) is not None:
                courier.hand(message)
        for bank in gathering:
            if (courier := self._couriers.get(bank)) is not None:
                courier.wake.set()

    def _corridor(self, bank: str) -> tuple[bool, bool]:
        """(fresh transfers of this bank flow now, at full speed), for its quotes."""
        breaker = self.link.breaker
        flows = breaker.sendable(clock.monotonic_s()) and bank not in self.link.short_banks()
        if self._restored_ms is not None and clock.now_ms() <= self._restored_ms + BANK_CLOCK_MS:
            flows = False  # what is sent now might be older than the restore, and comes back
        return flows, breaker.full()

    async def _ask_name(self, query: NameQuery) -> NameAnswer | None:
        if not self.link.breaker.live(clock.monotonic_s()):
            return None
        try:
            return await call(self.link.client.name(query))
        except (NoAnswer, NotSent):
            return None

    async def _refresh_banks(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.banks.refresh()
            except StoreFault as fault:
                log.warning("banks are as last read: %s", fault)

    async def _readyz(self, request: Request) -> Response:
        """Ready to take custody: our own database answers. Never looks at another role."""
        try:
            await self._read_lanes.run(_ping, deadline_s=1.0)
        except StoreFault:
            return Response(503, b'{"ready":false,"rule":"the gateway\'s database does not answer"}')
        session = {"ready": self._ready, "fresh_transfers_flow": self.link.breaker.sendable(clock.monotonic_s())}
        return Response(200, msgspec.json.encode(session))


async def _live(request: Request) -> Response:
    return Response(200, b'{"live":true}')


async def _ping(conn: Any) -> None:
    await conn.execute("SELECT 1")
