"""Delivery to the core: claim, commit, send, record; and what is known of the link while doing so.

Each round records attempts in one commit, sends them as one batch, and stores the answers in one commit; what intake
has recorded with the custody itself goes first. No more than the breaker's window is open at once, over all rounds.
When no answer comes the attempts stay open and are handed to recovery; when not a byte was written they are voided by
their own holder.
"""

import asyncio
import logging
from collections.abc import Iterable
from math import ceil
from uuid import UUID

from hakika import clock
from hakika.domain.breaker import Breaker
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer import CoreAnswered, Outcome, RecordAttempt, SenderWroteNothing, WorkerClaimed
from hakika.ids import attempt_id
from hakika.outbound.core import CoreClient, NoAnswer, NotSent
from hakika.services.flusher import Busy
from hakika.services.gateway.first_attempts import FirstAttempts
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.gateway.transfers import LEASE_MS, Applied, Desk, Happened
from hakika.services.signals import HARMLESS
from hakika.store.gateway import queues
from hakika.store.gateway.queues import OpenAttempt
from hakika.store.gateway.transfers import Evidence
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.core_api import Answer, Answers, Instruction
from hakika.workers.calling import call

log = logging.getLogger(__name__)

ROUNDS = 2  # rounds under way at once: one is being sent while another is being recorded
TOGETHER = 500  # events given to the desk at once
IDLE_S = 0.5
# Machine timer: what has waited for longer in custody, or since before anything could be sent, is a backlog; beside
# one, what has come within this is live traffic.
DRAIN_S = 10.0
LOOK_S = 0.25  # between two looks for what waits in custody, while intake records all that comes
STORE_DEADLINE_S = 5.0
GIVE_UP_AGAIN_S = 0.1
SESSION_EVERY_S = 0.5
KNOWN_REASONS = frozenset(reason.value for reason in Reason)
BUG_PAUSE_S = 1.0  # after a bug of ours: the rest of the work goes on, and the log says so
SESSION_MISSES = 2  # one lost packet is not an outage


class CoreLink:
    """The connection to the core with its breaker and the wake-up of its workers."""

    def __init__(self, client: CoreClient) -> None:
        self.client = client
        self.breaker = Breaker(since_s=clock.monotonic_s())
        self.in_flight = 0
        self.wake = asyncio.Event()
        self.incarnation = 0
        self.redriven = True
        self.short_until: dict[str, float] = {}  # bank -> monotonic seconds: its position does not cover more now

    def free(self) -> int:
        """How many more instructions may be recorded and sent now."""
        if not self.breaker.sendable(clock.monotonic_s()) or not self.redriven:
            return 0
        return max(0, self.breaker.window - self.in_flight)

    def short_banks(self) -> list[str]:
        """Banks whose position was short moments ago."""
        now_s = clock.monotonic_s()
        return [bank for bank, until_s in self.short_until.items() if until_s > now_s]

    async def watch_session(self) -> None:
        """Ask for the session for ever: silence on it stops fresh transfers before any is in doubt."""
        misses = 0
        while True:
            try:
                session = await call(self.client.session())
            except (NoAnswer, NotSent) as fault:
                misses += 1
                if misses == SESSION_MISSES:
                    log.warning("core does not answer its session: %s", fault)
                if misses >= SESSION_MISSES or isinstance(fault, NotSent):
                    self.breaker.unreachable(clock.monotonic_s())
            else:
                misses = 0
                self.incarnation, self.redriven = session.incarnation, session.redriven
                self.breaker.answered(clock.monotonic_s())
            await asyncio.sleep(clock.jitter(SESSION_EVERY_S))


def instruction_for(attempt: OpenAttempt) -> Instruction:
    """The same bytes for the same attempt, always: made from immutable columns alone."""
    return Instruction(
        id=attempt.id.hex,
        bank=attempt.bank,
        creditor_msisdn=attempt.creditor_msisdn,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        valid_until_ms=attempt.valid_until_ms,
    )


def _to_send(claimed: Applied, number: int) -> OpenAttempt:
    """The attempt that was just recorded, from the row of its transfer: nobody else can hold its first lease."""
    row, transfer = claimed.row, claimed.transfer
    if row.creditor_msisdn is None or row.amount_minor is None or row.currency is None:
        raise InvariantBroken(f"transfer {row.id}: in custody without its columns")
    return OpenAttempt(
        id=attempt_id(row.bank, row.uetr, number),
        transfer=row.id,
        number=number,
        lease_token=1,
        bank=row.bank,
        creditor_msisdn=row.creditor_msisdn,
        amount_minor=row.amount_minor,
        currency=row.currency,
        valid_until_ms=transfer.deadlines.valid_until_ms,
        burn_only=transfer.recalled is not None or transfer.burn_first,
    )


def answered(attempt: OpenAttempt, answer: Answer, incarnation: int, scale: float) -> Happened | None:
    """The event that a stored answer about an open attempt means; None where it is evidence of nothing."""
    return stored_answer(attempt.transfer, attempt.number, answer, incarnation, scale)


def stored_answer(transfer: UUID, number: int, answer: Answer, incarnation: int, scale: float) -> Happened | None:
    """The event that a stored answer about id `number` of a transfer means; None where it is evidence of nothing."""
    if answer.result not in ("posted", "refused", "burnt"):
        return None
    if answer.reason is not None and answer.reason not in KNOWN_REASONS:
        log.error("attempt %s: reason %r is not known to this version; it stays open", answer.id, answer.reason)
        return None
    try:
        reason = Reason(answer.reason) if answer.reason else None
        evidence = Evidence(incarnation, answer.slot, answer.seq, bytes.fromhex(answer.head))
    except ValueError:
        return None  # a reason or a chain head that we cannot read
    if answer.result == "refused" and reason is None:
        return None
    event = CoreAnswered(
        number=number,
        outcome=Outcome(answer.result),
        now_ms=clock.now_ms(),
        reason=reason,
        fee_minor=answer.fee_minor,
        scale=scale,
    )
    return Happened(transfer, event, evidence)


def count_failed(signals: GatewaySignals, attempts: Iterable[OpenAttempt], reason: str) -> None:
    """Tell the signals that these attempts were not sent, or came back without evidence."""
    with HARMLESS:
        for attempt in attempts:
            signals.attempt_failed(attempt.transfer, attempt.bank, reason)


async def give_up(lanes: Lanes, attempts: Iterable[OpenAttempt], holder: UUID) -> None:
    """End the leases of attempts that were not answered, so that nobody waits for them.

    Where our own database is away too, as after a crash of the server that core and gateway share, this is repeated
    until the leases have ended by themselves: what is fresh waits for what is in doubt.
    """
    leases = [(attempt.id, attempt.lease_token) for attempt in attempts]
    ends_s = clock.monotonic_s() + LEASE_MS / 1000
    while True:
        try:
            await lanes.run(
                lambda conn: queues.release(conn, leases, holder, clock.now_ms()), deadline_s=STORE_DEADLINE_S
            )
        except StoreFault as fault:
            if clock.monotonic_s() > ends_s:
                log.warning("leases not released, they end by themselves: %s", fault)
                return
            await asyncio.sleep(clock.jitter(GIVE_UP_AGAIN_S))
        else:
            return


class Recorder:
    """Gives events to the desk until they are stored: an answer that we hold is never dropped."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def record(self, events: Iterable[Happened]) -> None:
        """Store every event; repeats while the database gives no answer."""
        left = list(events)
        while left:
            part, left = left[:TOGETHER], left[TOGETHER:]
            await self._together(part)

    async def _together(self, part: list[Happened]) -> None:
        while True:
            try:
                results = await self._desk.apply_all(part, deadline_s=STORE_DEADLINE_S)
            except (StoreFault, Busy):
                await asyncio.sleep(clock.jitter(0.2))
                continue
            for happened, result in zip(part, results, strict=True):
                if isinstance(result, Exception):
                    self._bug(happened, result)
            if any(isinstance(result, Exception) for result in results):
                await asyncio.sleep(BUG_PAUSE_S)
            return

    async def record_in_order(self, events: Iterable[Happened]) -> None:
        """Store events one after the other, each stored before the next is given."""
        for event in events:
            await self._one(event)

    async def _one(self, happened: Happened) -> None:
        while True:
            try:
                await self._desk.apply(happened, deadline_s=STORE_DEADLINE_S)
            except (StoreFault, Busy):
                await asyncio.sleep(clock.jitter(0.2))
                continue
            except Exception as error:  # noqa: BLE001 - logged with its trace
                self._bug(happened, error)
                await asyncio.sleep(BUG_PAUSE_S)
            return

    def _bug(self, happened: Happened, error: Exception) -> None:
        """A bug met by this one event: the transfer keeps its facts, and whoever takes it over asks again."""
        key, event = happened.transfer, happened.event
        log.error("transfer %s: an event could not be stored: %r", key, event, exc_info=error)


class Delivery:
    """Rounds of claim, send and record."""

    def __init__(
        self,
        desk: Desk,
        lanes: Lanes,
        link: CoreLink,
        *,
        holder: UUID,
        scale: float,
        first: FirstAttempts,
        signals: GatewaySignals | None = None,
    ) -> None:
        self._first = first
        self._desk = desk
        self._signals = signals or GatewaySignals()
        self._lanes = lanes
        self._link = link
        self._holder = holder
        self._scale = scale
        self._turn = 0
        self._banks = 1  # banks with anything to send, as the last look saw them
        self._looked_s = float("-inf")
        self._claiming: set[int] = set()  # rounds, by their turn, that have chosen and not yet claimed
        self._recorder = Recorder(desk)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(*(self._rounds() for _ in range(ROUNDS)))

    async def _rounds(self) -> None:
        while True:
            try:
                moved = await self._round()
            except StoreFault as fault:
                log.warning("delivery: the gateway's database does not answer: %s", fault)
                moved = 0
                await asyncio.sleep(clock.jitter(0.3))
            except Exception:
                log.exception("a round of delivery failed; its attempts are open and recovery takes them over")
                moved = 0
                await asyncio.sleep(BUG_PAUSE_S)
            if not moved:
                self._link.wake.clear()
                try:
                    async with asyncio.timeout(IDLE_S):
                        await self._link.wake.wait()
                except TimeoutError:
                    pass

    async def _round(self) -> int:
        return await self._round_of_recorded() or await self._round_of_held()

    async def _round_of_recorded(self) -> int:
        """Send what intake has recorded; it has its places in the window."""
        timely, late = self._first.take(max(1, self._link.breaker.window // ROUNDS))
        if not timely and not late:
            return 0
        try:
            if not self._link.breaker.sendable(clock.monotonic_s()):
                timely, late = [], [*timely, *late]
            if late:
                await self._void(late)
            if timely:
                await self._send(timely)
        finally:
            self._link.in_flight -= len(timely) + len(late)
        return len(timely) + len(late)

    async def _round_of_held(self) -> int:
        """Claim and send what waits in custody."""
        now_s = clock.monotonic_s()
        if not self._link.breaker.sendable(now_s):
            self._first.drains = True  # until the first look after it tells: live traffic beside it is not refused
            return 0
        if self._first.keeps_up and now_s - self._looked_s < LOOK_S:
            return 0
        limit = min(self._link.free(), max(1, self._link.breaker.window // ROUNDS))
        if limit <= 0:
            return 0
        self._link.in_flight += limit  # reserved before anything is awaited, so that rounds share one window
        try:
            self._looked_s = now_s
            chosen, attempts = await self._claim(limit)
            if attempts:
                await self._send(attempts)
            return chosen
        finally:
            self._link.in_flight -= limit

    async def _choose(self, conn: queues.Connection, limit: int, turn: int) -> list[UUID]:
        """Which transfers are claimed now; what was seen of the rest is noted."""
        now_ms, live_ms = clock.now_ms(), int(1000 * DRAIN_S)
        backlog_ms = min(live_ms, int(1000 * self._link.breaker.flowing_s(clock.monotonic_s())))
        found = await queues.claimable(
            conn,
            now_ms=now_ms,
            limit=limit,
            short=self._link.short_banks(),
            share=max(1, ceil(limit / self._banks)),
            turn=turn,
            live_ms=live_ms,
            backlog_ms=backlog_ms,
        )
        if not found.chosen and self._claiming:
            return []  # what another round has locked is not seen, and may be all there is
        self._banks = max(1, found.banks)
        self._first.keeps_up = not found.more
        self._first.drains = found.oldest_ms is not None and now_ms - found.oldest_ms > backlog_ms
        return [held.id for held in found.chosen]

    async def _claim(self, limit: int) -> tuple[int, list[OpenAttempt]]:
        """Choose up to `limit` transfers and record one attempt for each that is still free; how many were chosen."""
        chosen: list[UUID] = []
        turn = self._turn = self._turn + 1

        async def choose(conn: queues.Connection) -> list[UUID]:
            chosen[:] = await self._choose(conn, limit, turn)
            if chosen:
                self._claiming.add(turn)
            return chosen

        try:
            applied = await self._desk.claim(self._lanes, choose, deadline_s=STORE_DEADLINE_S)
        except StoreFault:
            raise
        except Exception:
            log.exception("%d claims failed together: each is tried by itself", limit)
            applied = await self._claim_apart(await self._lanes.run(choose, deadline_s=STORE_DEADLINE_S))
        finally:
            self._claiming.discard(turn)
        recorded = ((one, effect) for one in applied for effect in one.effects)
        attempts = [_to_send(one, effect.number) for one, effect in recorded if isinstance(effect, RecordAttempt)]
        return len(chosen), attempts

    async def _claim_apart(self, keys: list[UUID]) -> list[Applied]:
        """The same, where one that fails leaves the others be."""
        try:
            events = [Happened(key, WorkerClaimed(clock.now_ms())) for key in keys]
            applied = await self._desk.apply_all(events, deadline_s=STORE_DEADLINE_S)
        except Busy:
            return []
        return [one for one in applied if one is not None and not isinstance(one, Exception)]

    async def _send(self, attempts: list[OpenAttempt]) -> None:
        """Send recorded attempts; an answer closes, silence hands over, zero bytes void."""
        sent_s = clock.monotonic_s()
        try:
            answers = await call(self._link.client.instruct([instruction_for(attempt) for attempt in attempts]))
        except NotSent:
            self._link.breaker.unreachable(clock.monotonic_s())
            count_failed(self._signals, attempts, "unreachable")
            await self._void(attempts)
            return
        except NoAnswer as fault:
            log.warning("no answer for %d instructions: %s", len(attempts), fault)
            self._link.breaker.silent(clock.monotonic_s())
            count_failed(self._signals, attempts, fault.why)
            await give_up(self._lanes, attempts, self._holder)
            return
        answered_s = clock.monotonic_s()
        self._link.breaker.answered(answered_s)
        self._note_short(attempts, answers)
        await self._recorder.record(self._events(attempts, answers))
        self._link.breaker.round_complete(len(attempts), answered_s, answered_s - sent_s)

    async def _void(self, attempts: list[OpenAttempt]) -> None:
        """Say, as their holder, that not a byte of them was written."""
        now_ms = clock.now_ms()
        await self._recorder.record(
            Happened(one.transfer, SenderWroteNothing(one.number, one.lease_token, now_ms)) for one in attempts
        )

    def _events(self, attempts: list[OpenAttempt], answers: Answers) -> list[Happened]:
        events = []
        for attempt, answer in zip(attempts, answers.answers, strict=True):
            event = answered(attempt, answer, answers.incarnation, self._scale) if answer.id == attempt.id.hex else None
            if event is None:
                log.error("attempt %s: answer %r is evidence of nothing", attempt.id, answer.result)
                count_failed(self._signals, [attempt], "senseless")
                self._link.breaker.silent(clock.monotonic_s())
            else:
                events.append(event)
        return events

    def _note_short(self, attempts: list[OpenAttempt], answers: Answers) -> None:
        for attempt, answer in zip(attempts, answers.answers, strict=True):
            if answer.reason == Reason.POSITION_SHORT:
                self._link.short_until[attempt.bank] = clock.monotonic_s() + 30.0 / self._scale
