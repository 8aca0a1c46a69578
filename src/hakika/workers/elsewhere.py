"""What counting needs from the gateway's database, outside the money path: the backlog at a start, and who has ended.

Each process counts what it has seen itself, and another process that shares the database may have ended it. So the
few that should have ended by now are looked up, by key. Without the database nothing is looked up, and what we saw
ourselves counts.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from hakika import clock
from hakika.services.gateway.signals import OPEN_MAX, GatewaySignals
from hakika.store.gateway import queues
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

SIGNALS_EVERY_S = 1.0
ADMISSION_EVERY_S = 0.1
ASKED_MAX = 1_000  # looked up at a time
STORE_DEADLINE_S = 2.0
START_DEADLINE_S = 5.0
BUG_PAUSE_S = 10.0


class Count(Protocol):
    """Who counts what is under way: the signals for health, admission."""

    def uncertain(self, limit: int) -> list[UUID]:
        """Up to `limit` that may have ended elsewhere."""

    def ended_elsewhere(self, transfers: Iterable[UUID]) -> None:
        """These have."""


class Elsewhere:
    """Keeps one count true."""

    def __init__(self, count: Count, lanes: Lanes, *, every_s: float) -> None:
        self._count = count
        self._lanes = lanes
        self._every_s = every_s

    async def run(self) -> None:
        """Look up what may have ended elsewhere, until cancelled."""
        while True:
            await asyncio.sleep(clock.jitter(self._every_s))
            try:
                await self.look_up()
            except StoreFault as fault:
                log.info("what has ended elsewhere is not known: %s", fault)
            except Exception:
                log.exception("what has ended elsewhere was not looked up")
                await asyncio.sleep(BUG_PAUSE_S)

    async def look_up(self) -> None:
        """One round. Raises StoreFault."""
        asked = self._count.uncertain(ASKED_MAX)
        if asked:
            ended = await self._lanes.run(lambda conn: queues.ended(conn, asked), deadline_s=STORE_DEADLINE_S)
            self._count.ended_elsewhere(ended)


async def take_stock(signals: GatewaySignals, lanes: Lanes) -> None:
    """Find what is open since before this process began. A database that does not answer leaves it unknown."""
    try:
        found = await lanes.run(lambda conn: queues.open_transfers(conn, OPEN_MAX), deadline_s=START_DEADLINE_S)
    except StoreFault as fault:
        log.warning("the backlog of before is not counted: %s", fault)
        return
    now_ms = clock.now_ms()
    for one in found:
        signals.found_open(one.id, one.bank, one.creditor_msisdn, one.received_ms, aside=one.next_attempt_ms > now_ms)
