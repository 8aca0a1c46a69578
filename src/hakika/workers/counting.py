"""What counting needs from the gateway's database, outside the money path: the backlog at a start, and who has ended.

At a start one bounded query finds the transfers that are open since before. Later on, the few that are about to count
as stuck are looked up first: another process that shares the database may have ended them. Without the database
nothing is looked up, and what we saw ourselves counts.
"""

import asyncio
import logging

from hakika import clock
from hakika.services.gateway.signals import OPEN_MAX, GatewaySignals
from hakika.store.gateway import queues
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

EVERY_S = 1.0
ASKED_MAX = 1_000  # looked up at a time
STORE_DEADLINE_S = 2.0
START_DEADLINE_S = 5.0
BUG_PAUSE_S = 10.0


class Counting:
    """Keeps the signals of one process true."""

    def __init__(self, signals: GatewaySignals, lanes: Lanes) -> None:
        self._signals = signals
        self._lanes = lanes

    async def take_stock(self) -> None:
        """Find what is open since before this process began. A database that does not answer leaves it unknown."""
        try:
            found = await self._lanes.run(
                lambda conn: queues.open_transfers(conn, OPEN_MAX), deadline_s=START_DEADLINE_S
            )
        except StoreFault as fault:
            log.warning("the backlog of before is not counted: %s", fault)
            return
        now_ms = clock.now_ms()
        for one in found:
            self._signals.found_open(
                one.id, one.bank, one.creditor_msisdn, one.received_ms, aside=one.next_attempt_ms > now_ms
            )

    async def run(self) -> None:
        """Look up what may have ended elsewhere, until cancelled."""
        while True:
            await asyncio.sleep(clock.jitter(EVERY_S))
            try:
                await self.look_up()
            except StoreFault as fault:
                log.info("what has ended elsewhere is not known: %s", fault)
            except Exception:
                log.exception("signals were not looked after")
                await asyncio.sleep(BUG_PAUSE_S)

    async def look_up(self) -> None:
        """One round. Raises StoreFault."""
        asked = self._signals.uncertain(ASKED_MAX)
        if asked:
            ended = await self._lanes.run(lambda conn: queues.ended(conn, asked), deadline_s=STORE_DEADLINE_S)
            self._signals.ended_elsewhere(ended)
