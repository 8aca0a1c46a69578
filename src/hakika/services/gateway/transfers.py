"""The one funnel through which a transfer in custody changes: events in, decisions out, one commit a batch.

Each event is decided by `domain/transfer.py` on facts loaded under lock, in order, exactly as if one by one;
status, attempts, return, outbox, the messages that tell banks of a status, and breaks are written in the same commit.
An event that was stored already is decided as RECORD_ONLY, so that a batch whose commit reply was lost is simply
executed again.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never
from uuid import UUID

import msgspec

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    FINAL,
    FOR_PEOPLE_MS,
    AcknowledgeReturn,
    BurnDone,
    CloseAttempt,
    CoreAnswered,
    DecideReturn,
    Decision,
    Effect,
    Event,
    HoldUntil,
    NoteRecall,
    OpenBreak,
    RecordAttempt,
    TellBank,
    Transfer,
    Verdict,
    WorkerClaimed,
    decide,
    status_of,
)
from hakika.ids import attempt_id, return_id
from hakika.services.flusher import Busy, Flusher
from hakika.services.gateway.outgoing import STATUSES, status_item, status_message
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.signals import HARMLESS
from hakika.store.exchange import transaction
from hakika.store.gateway import transfers as rows
from hakika.store.gateway.outgoing import NewMessage
from hakika.store.gateway.transfers import Changes, Connection, Evidence, Loaded
from hakika.store.lane import Lane, Lanes, StoreFault
from hakika.wire.iso20022.messages import StatusItem

BATCH_MAX = 512
QUEUE_MAX = 20_000
WRITE_DEADLINE_S = 5.0
Choice = Callable[[Connection], Awaitable[Sequence[UUID]]]
LEASE_MS = 6_000  # machine timer: longer than an instruction's HTTP deadline


class Happened(msgspec.Struct, frozen=True):
    """An event about one transfer, with where the core's chain holds the answer, if it is one."""

    transfer: UUID
    event: Event
    evidence: Evidence | None = None


class Applied(msgspec.Struct, frozen=True):
    """What became of an event; `transfer` is as it stands after the commit, `row` as it stood before.

    Unknown ids give None.
    """

    transfer: Transfer
    verdict: Verdict
    effects: tuple[Effect, ...]
    row: Loaded


@dataclass(slots=True)
class _Life:
    """One transfer in a batch: its row, where it stands now, and what of the row is to be written."""

    row: Loaded
    transfer: Transfer
    changed: bool = False
    reason: str | None = None
    fee_minor: int | None = None
    recalled: str | None = None

    def note(self, event: Event, decision: Decision) -> None:
        """Take over a decision that has effects."""
        self.changed = True
        if decision.transfer.returned:
            self.reason = decision.transfer.returned.reason.value
        if isinstance(event, CoreAnswered) and event.fee_minor:
            self.fee_minor = event.fee_minor
        if decision.transfer.recalled:
            self.recalled = decision.transfer.recalled.value


def _carry(changes: Changes, loaded: dict[UUID, Loaded]) -> None:
    """Put the statuses among the facts of this commit into one message a bank (docs/adr/0016)."""
    items: dict[str, list[StatusItem]] = {}
    for transfer, bank, kind, fact, at_ms, _ in changes.outbox:
        if kind in STATUSES:
            reason = Reason(fact["reason"]) if fact["reason"] else None
            items.setdefault(bank, []).append(status_item(loaded[transfer], kind, reason, at_ms))
    if not items:
        return
    now_ms = clock.now_ms()
    changes.messages = [status_message(bank, told, now_ms) for bank, told in items.items()]
    carriers = {message.bank: message.msg_id for message in changes.messages}
    changes.outbox = [
        (transfer, bank, kind, fact, at_ms, carriers[bank] if kind in STATUSES else None)
        for transfer, bank, kind, fact, at_ms, _ in changes.outbox
    ]


class Desk:
    """Applies events to transfers in groups; `holder` names this process in the leases of its attempts."""

    def __init__(
        self,
        lane: Lane,
        *,
        holder: UUID,
        on_told: Callable[[list[NewMessage], set[str]], None],
        on_ended: Callable[[UUID], None] = lambda transfer: None,
        signals: GatewaySignals | None = None,
    ) -> None:
        """`on_told` is called after a commit that has something for banks: with the messages that it has stored, which
        are ours to send, and the banks for which it has left facts to be gathered. `signals` count what ends.

        `on_ended` is called with each transfer that has ended.
        """
        self._on_ended = on_ended
        self._lane = lane
        self._signals = signals or GatewaySignals()
        self._on_told = on_told
        self._holder = holder
        self.flusher: Flusher[Happened, Applied | None] = Flusher(
            self._work,
            name="desk",
            batch_max=BATCH_MAX,
            queue_max=QUEUE_MAX,
        )

    async def apply(self, happened: Happened, *, deadline_s: float) -> Applied | None:
        """Decide and store one event. Raises Busy or NoAnswer; the same event may then be given again."""
        try:
            return await self.flusher.submit(happened, deadline_s=deadline_s)
        except (Busy, StoreFault) as fault:
            self._signals.not_stored(fault)
            raise

    async def apply_all(self, happened: Sequence[Happened], *, deadline_s: float) -> list[Applied | Exception | None]:
        """The same for many events, decided in this order; of one that failed alone, its exception."""
        try:
            return await self.flusher.submit_all(happened, deadline_s=deadline_s)
        except (Busy, StoreFault) as fault:
            self._signals.not_stored(fault)
            raise

    async def claim(self, lanes: Lanes, choose: Choice, *, deadline_s: float) -> list[Applied]:
        """Record an attempt for each transfer that `choose` names, in one transaction with its choice.

        What another transaction is about to decide is left to it, and so nothing is waited for. Raises StoreFault: what
        may have been recorded is recovery's then. One that the database refuses fails them all.
        """

        async def work(conn: Connection) -> tuple[list[Happened], list[Applied | None]]:
            async with transaction(conn):
                if not (keys := await choose(conn)):
                    return [], []
                batch = [Happened(key, WorkerClaimed(clock.now_ms())) for key in keys]
                changes = Changes.none()
                results = self._decide_all(batch, await rows.load(conn, keys, waits=False), changes)
                await rows.write(conn, changes)
            return batch, results

        try:
            batch, results = await lanes.run(work, deadline_s=deadline_s)
        except StoreFault as fault:
            self._signals.not_stored(fault)
            raise
        with HARMLESS:
            self._count(batch, results)
        return [applied for applied in results if applied is not None]

    async def _work(self, batch: list[Happened]) -> list[Applied | None]:
        work = partial(self._transaction, batch=batch)
        results, changes = await self._lane.run(work, deadline_s=WRITE_DEADLINE_S)
        with HARMLESS:
            self._count(batch, results)
        for transfer, _, kind, *_ in changes.outbox:
            if kind in ("final", "return"):
                self._on_ended(transfer)
        if changes.outbox:
            self._on_told(changes.messages, {fact[1] for fact in changes.outbox if fact[-1] is None})
        return results

    async def _transaction(self, conn: Connection, batch: list[Happened]) -> tuple[list[Applied | None], Changes]:
        async with transaction(conn):
            loaded = await rows.load(conn, [item.transfer for item in batch])
            changes = Changes.none()
            results = self._decide_all(batch, loaded, changes)
            _carry(changes, loaded)
            await rows.write(conn, changes)
        return results, changes

    def _count(self, batch: list[Happened], results: list[Applied | None]) -> None:
        """Tell the signals what this commit has changed."""
        signals, stored = self._signals, 0
        for item, applied in zip(batch, results, strict=True):
            if applied is None or signals.is_test((row := applied.row).creditor_msisdn):
                continue
            stored += 1
            returned = applied.transfer.returned
            reason = returned.reason if returned else None
            for effect in applied.effects:
                match effect:
                    case TellBank("final" | "return"):
                        signals.ended(item.transfer, row.bank, row.creditor_msisdn, reason)
                    case TellBank("held"):
                        signals.set_aside(item.transfer, row.bank)
                    case HoldUntil(at_ms=at_ms) if at_ms == FOR_PEOPLE_MS:
                        signals.set_aside(item.transfer, row.bank)
                    case RecordAttempt():
                        signals.attempted(item.transfer, row.bank)
            if not applied.effects and status_of(applied.transfer) in FINAL:
                signals.ended_already(item.transfer, row.bank, row.creditor_msisdn, reason)
        signals.stored(stored)

    def _decide_all(self, batch: list[Happened], loaded: dict[UUID, Loaded], changes: Changes) -> list[Applied | None]:
        now_ms = clock.now_ms()
        lives = {key: _Life(row, row.transfer) for key, row in loaded.items()}
        results: list[Applied | None] = []
        for item in batch:
            life = lives.get(item.transfer)
            if life is None:
                results.append(None)
                continue
            decision = decide(life.transfer, item.event)
            life.transfer = decision.transfer
            for effect in decision.effects:
                self._collect(life.row, item, effect, now_ms, changes)
            if decision.effects:
                life.note(item.event, decision)
            results.append(Applied(decision.transfer, decision.verdict, decision.effects, life.row))
        for key, life in lives.items():
            if life.changed:
                after = life.transfer
                changes.statuses.append(
                    (key, status_of(after), now_ms, life.reason, life.fee_minor, after.next_attempt_ms, life.recalled)
                )
        return results

    def _collect(self, row: Loaded, item: Happened, effect: Effect, now_ms: int, changes: Changes) -> None:
        """Turn one effect into rows."""
        key = item.transfer
        match effect:
            case RecordAttempt(number):
                new = attempt_id(row.bank, row.uetr, number)
                changes.attempts.append((new, key, number, now_ms, self._holder, now_ms + LEASE_MS))
            case CloseAttempt(number, outcome, reason, token):
                closing = attempt_id(row.bank, row.uetr, number)
                changes.closed.append(
                    (
                        closing,
                        outcome.value,
                        reason.value if reason else None,
                        now_ms,
                        self._holder,
                        token,
                        item.evidence,
                    )
                )
            case DecideReturn(reason, burn_due):
                changes.returns.append((key, return_id(row.bank, row.uetr), reason.value, now_ms, burn_due))
            case AcknowledgeReturn():
                changes.acknowledged.append((key, now_ms))
            case BurnDone():
                changes.burn_done.append(key)
            case TellBank(kind, told):
                fact: dict[str, Any] = {"reason": told.value if told else None, "at_ms": now_ms}
                changes.outbox.append((key, row.bank, kind, fact, now_ms, None))
            case OpenBreak(kind, detail):
                changes.breaks.append((key, kind, {"detail": detail}, now_ms))
            case HoldUntil() | NoteRecall():
                pass  # columns of the transfer itself, written with its status
            case _ as never:
                assert_never(never)
