"""Couriers: one a bank, so that a bank that hangs delays nobody else.

A status report is owed until the bank's 2xx, a return until its acknowledgement; both are repeated with the
same bytes and a fresh signature for ever. Several messages are under way at once, and one whose answer is lost
holds up only its own place. While a bank does not answer at all, one message at a time knocks.

Processes of the gateway share this work: who stores a message sends it first, what is due again is taken by one of
them, and either is left alone by the others for SENDING_MS.
"""

import asyncio
import logging
from collections import deque

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakika import clock
from hakika.outbound.bank import BankClient
from hakika.services.flusher import Busy, Flusher
from hakika.services.gateway import outgoing
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.signals import HARMLESS
from hakika.store.gateway import outgoing as rows
from hakika.store.gateway.outgoing import Due, NewMessage
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.jws import sign_detached
from hakika.workers.calling import call

log = logging.getLogger(__name__)

GATHER_S = 0.02
IDLE_S = 0.5
AT_ONCE = 16
LOOK_S = 0.2  # between two looks for what is due, while there is not much of it
KEPT = 64  # messages of our own that wait here for a place; what is beyond them is found when it is due
RETURN_REPEAT_MS = 3_000  # a return that was taken but not acknowledged is sent again after this
BACKOFF_FIRST_MS = 500
BACKOFF_MAX_MS = 5_000
SILENT_AFTER = 3  # pushes in a row without an answer: the bank itself does not answer, not one connection
STORE_DEADLINE_S = 5.0
BUG_PAUSE_S = 1.0

Sent = tuple[str, int, int | None]  # message id, when to send it again, when it was settled


class Courier:
    """Gathers, signs and pushes the messages of one bank."""

    def __init__(
        self,
        bank: str,
        client: BankClient,
        lanes: Lanes,
        key: Ed25519PrivateKey,
        kid: str,
        signals: GatewaySignals | None = None,
    ) -> None:
        self._bank = bank
        self._signals = signals or GatewaySignals()
        self._client = client
        self._lanes = lanes
        self._key = key
        self._kid = kid
        self._unanswered = 0
        self._queue: deque[tuple[int, Due]] = deque()  # until when each is ours to send
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._more = True  # the last look for what is due found as much as it asked for
        self._looked_s = float("-inf")
        self._turn = asyncio.Event()  # a place has come free, or something new is owed
        self._recorder: Flusher[Sent, None] = Flusher(
            self._record, name=f"courier {bank}", batch_max=AT_ONCE, queue_max=AT_ONCE * 4
        )
        self.wake = asyncio.Event()

    def hand(self, message: NewMessage) -> None:
        """A message that this process has just stored: sent as soon as there is a place."""
        if not self._silent and len(self._queue) < KEPT:
            self._queue.append((message.next_send_ms, message.due()))
            self._turn.set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._recorder.start()
        try:
            await asyncio.gather(self._gathering(), self._pushing())
        finally:
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            await self._recorder.stop()

    async def _gathering(self) -> None:
        """Turn facts of the outbox into messages as they come."""
        while True:
            try:
                room = 0 if self._silent else max(0, KEPT - len(self._queue))
                made = await outgoing.gather(self._lanes, self._bank, sends=room)
            except StoreFault as fault:
                log.warning("courier %s: the gateway's database does not answer: %s", self._bank, fault)
                await asyncio.sleep(clock.jitter(0.3))
                continue
            except Exception:
                log.exception("courier %s: facts could not be turned into messages", self._bank)
                await asyncio.sleep(BUG_PAUSE_S)
                continue
            if made:
                for message in made[:room]:
                    self.hand(message)
                self._more = self._more or len(made) > room
                continue
            self.wake.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self.wake.wait()
                await asyncio.sleep(GATHER_S)  # company for the first fact
            except TimeoutError:
                pass

    async def _pushing(self) -> None:
        """Keep up to AT_ONCE messages under way, in the order in which they are due."""
        while True:
            try:
                started = await self._start_due()
            except StoreFault as fault:
                log.warning("courier %s: the gateway's database does not answer: %s", self._bank, fault)
                await asyncio.sleep(clock.jitter(0.3))
                continue
            if not started:
                self._turn.clear()
                try:
                    async with asyncio.timeout(IDLE_S):
                        await self._turn.wait()
                except TimeoutError:
                    pass

    async def _start_due(self) -> int:
        free = (1 if self._silent else AT_ONCE) - len(self._under_way)
        if free <= 0:
            return 0
        self._drop_late()
        if not self._queue and (self._more or clock.monotonic_s() - self._looked_s >= LOOK_S):
            await self._take_due(free)
        started = 0
        while self._queue and started < free:
            _, item = self._queue.popleft()
            task = asyncio.create_task(self._deliver(item), name=f"push {item.msg_id}")
            self._under_way[item.msg_id] = task
            started += 1
        return started

    async def _take_due(self, limit: int) -> None:
        """Take what is due again, or what another process has left."""
        self._looked_s = clock.monotonic_s()
        now_ms = clock.now_ms()
        until_ms = now_ms + outgoing.SENDING_MS
        due = await self._lanes.run(
            lambda conn: rows.due(conn, self._bank, now_ms=now_ms, until_ms=until_ms, limit=limit),
            deadline_s=STORE_DEADLINE_S,
        )
        self._more = len(due) == limit
        self._queue.extend((until_ms, item) for item in due if item.msg_id not in self._under_way)

    def _drop_late(self) -> None:
        """What has waited here for so long that another process may be sending it."""
        now_ms = clock.now_ms()
        while self._queue and self._queue[0][0] <= now_ms:
            self._queue.popleft()

    async def _deliver(self, item: Due) -> None:
        """Push once and record what came of it; a record that is lost means one more, equal, push."""
        try:
            signature = sign_detached(item.body, self._key, self._kid, clock.now_ms() // 1000)
            ok = await call(self._client.push(item.body, signature))
            self._note(ok)
            with HARMLESS:
                self._signals.pushed(self._bank, taken=ok)
            await self._recorder.submit(self._result(item, ok), deadline_s=STORE_DEADLINE_S)
        except (StoreFault, Busy) as fault:
            log.warning("courier %s: a sending was not recorded, it is repeated: %s", self._bank, fault)
        finally:
            del self._under_way[item.msg_id]
            self._turn.set()

    async def _record(self, batch: list[Sent]) -> list[None]:
        await self._lanes.run(lambda conn: rows.sent(conn, batch), deadline_s=STORE_DEADLINE_S)
        return [None] * len(batch)

    def _result(self, item: Due, ok: bool) -> Sent:
        now_ms = clock.now_ms()
        if ok and item.kind != "return":
            return item.msg_id, now_ms, now_ms
        if ok:
            return item.msg_id, now_ms + RETURN_REPEAT_MS, None
        pause_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** min(item.tries, 6))
        return item.msg_id, now_ms + int(clock.jitter(pause_ms)), None

    @property
    def _silent(self) -> bool:
        return self._unanswered >= SILENT_AFTER

    def _note(self, ok: bool) -> None:
        was = self._silent
        self._unanswered = 0 if ok else self._unanswered + 1
        if self._silent != was:
            log.warning("bank %s %s", self._bank, "answers again" if was else "does not answer")
            if self._silent:
                self._queue.clear()  # found again when they are due, in that order
