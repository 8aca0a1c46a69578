"""Tells admission what another process of the gateway has ended of what this one took.

Only where much is under way and some of it for longer than it should be; then ten times a second, by key. A database
that does not answer leaves it unknown: admission forgets it by itself after a while.
"""

import asyncio
import logging

from hakika import clock
from hakika.services.gateway.admission import Admission
from hakika.store.gateway import queues
from hakika.store.lane import Lanes, StoreFault

log = logging.getLogger(__name__)

EVERY_S = 0.1
STORE_DEADLINE_S = 2.0
BUG_PAUSE_S = 10.0


class Lingering:
    """Keeps the admission of one process true."""

    def __init__(self, admission: Admission, lanes: Lanes) -> None:
        self._admission = admission
        self._lanes = lanes

    async def run(self) -> None:
        """Look up what lingers, until cancelled."""
        while True:
            await asyncio.sleep(clock.jitter(EVERY_S))
            try:
                await self.look_up()
            except StoreFault as fault:
                log.info("what has ended elsewhere is not known: %s", fault)
            except Exception:
                log.exception("what has ended elsewhere was not looked up")
                await asyncio.sleep(BUG_PAUSE_S)

    async def look_up(self) -> None:
        """One round. Raises StoreFault."""
        asked = self._admission.lingering()
        if asked:
            ended = await self._lanes.run(lambda conn: queues.ended(conn, asked), deadline_s=STORE_DEADLINE_S)
            for transfer in ended:
                self._admission.ended(transfer)
