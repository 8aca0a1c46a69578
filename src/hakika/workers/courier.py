"""Couriers: one a bank, so that a bank that hangs delays nobody else.

A status report is owed until the bank's 2xx, a return until its acknowledgement; both are repeated with the
same bytes and a fresh signature for ever. While a bank does not answer, one message at a time knocks.
"""

import asyncio
import logging

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakika import clock
from hakika.outbound.bank import BankClient
from hakika.services.gateway import outgoing
from hakika.store.gateway import outgoing as rows
from hakika.store.gateway.outgoing import Due
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.jws import sign_detached
from hakika.workers.calling import call

log = logging.getLogger(__name__)

GATHER_S = 0.02
IDLE_S = 0.5
AT_ONCE = 12
RETURN_REPEAT_MS = 5_000  # a return that was taken but not acknowledged is sent again after this
BACKOFF_FIRST_MS = 500
BACKOFF_MAX_MS = 5_000
STORE_DEADLINE_S = 5.0


class Courier:
    """Gathers, signs and pushes the messages of one bank."""

    def __init__(self, bank: str, client: BankClient, lanes: Lanes, key: Ed25519PrivateKey, kid: str) -> None:
        self._bank = bank
        self._client = client
        self._lanes = lanes
        self._key = key
        self._kid = kid
        self._answering = True
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                moved = await self._turn()
            except StoreFault as fault:
                log.warning("courier %s: the gateway's database does not answer: %s", self._bank, fault)
                await asyncio.sleep(clock.jitter(0.3))
                continue
            if not moved:
                self.wake.clear()
                try:
                    async with asyncio.timeout(IDLE_S):
                        await self.wake.wait()
                    await asyncio.sleep(GATHER_S)  # company for the first fact
                except TimeoutError:
                    pass

    async def _turn(self) -> int:
        gathered = await outgoing.gather(self._lanes, self._bank)
        limit = AT_ONCE if self._answering else 1
        now_ms = clock.now_ms()
        due = await self._lanes.run(
            lambda conn: rows.due(conn, self._bank, now_ms=now_ms, limit=limit), deadline_s=STORE_DEADLINE_S
        )
        if not due:
            return gathered
        taken = await asyncio.gather(*(self._push(item) for item in due))
        self._note_answering(any(taken))
        results = [self._result(item, ok) for item, ok in zip(due, taken, strict=True)]
        await self._lanes.run(lambda conn: rows.sent(conn, results), deadline_s=STORE_DEADLINE_S)
        return len(due)

    async def _push(self, item: Due) -> bool:
        signature = sign_detached(item.body, self._key, self._kid, clock.now_ms() // 1000)
        return await call(self._client.push(item.body, signature))

    def _result(self, item: Due, ok: bool) -> tuple[str, int, int | None]:
        now_ms = clock.now_ms()
        if ok and item.kind != "return":
            return item.msg_id, now_ms, now_ms
        if ok:
            return item.msg_id, now_ms + RETURN_REPEAT_MS, None
        pause_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** min(item.tries, 6))
        return item.msg_id, now_ms + int(clock.jitter(pause_ms)), None

    def _note_answering(self, answering: bool) -> None:
        if answering != self._answering:
            log.warning("bank %s %s", self._bank, "answers again" if answering else "does not answer")
        self._answering = answering
