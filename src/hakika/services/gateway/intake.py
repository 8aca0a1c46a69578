"""Intake: a bank's message becomes custody. Accepted means written; the receipt leaves only after the commit.

Messages that arrive together are committed together. Ids are looked up first, `domain/intake.py` decides, the
rows are inserted; a unique violation means that another writer was first, and the batch is decided again. What
is answered is made from immutable columns alone, so the same message always gets the same bytes. What may be
older than a restore of our database is taken like anything else, and marked to be burnt first. What can be sent at once
has its first attempt recorded in the same commit.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import msgspec
from psycopg.errors import UniqueViolation

from hakika import clock
from hakika.domain.deadlines import deadlines_for
from hakika.domain.intake import Conflict, KnownTransfer, Line, Taken, decide_intake
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.services.flusher import Busy, Flusher
from hakika.services.gateway.admission import Admission
from hakika.services.gateway.banks import Bank
from hakika.services.gateway.first_attempts import FirstAttempts, Recorded
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.signals import HARMLESS
from hakika.store.exchange import transaction
from hakika.store.gateway import intake as rows
from hakika.store.gateway.intake import Connection, CustodyRow, MessageRow, NewTransfer
from hakika.store.lane import Lane, StoreFault
from hakika.wire.iso20022.messages import CreditTransfer, CreditTransferMessage

BATCH_MAX = 256  # messages in one commit
GATHER_S, GATHER_FROM = 0.006, 8  # machine timer; so many in a commit make it worth waiting for more
QUEUE_MAX = 4096
WRITE_DEADLINE_S = 5.0
TRACKING_BYTES = 16
BANK_CLOCK_MS = 300_000  # a bank's clock may be so far ahead of ours, as its signature's may
RACES_MAX = 20

Key = tuple[str, UUID]


class Arrived(msgspec.Struct, frozen=True):
    """A verified and readable pacs.008 with the bytes it came in."""

    bank: Bank
    message: CreditTransferMessage
    body: bytes
    signature: str
    body_sha256: bytes
    contents: tuple[bytes, ...]


class Custody(msgspec.Struct, frozen=True):
    """What is held because of one message; every field is immutable in the database."""

    bank: str
    msg_id: str
    body_sha256: bytes
    received_ms: int
    receipt_kid: str
    lines: tuple[CustodyRow, ...]


@dataclass(slots=True)
class _Known:
    """What was looked up, growing as the batch is decided in order."""

    messages: dict[tuple[str, str], tuple[bytes, int, str]]
    transfers: dict[Key, CustodyRow]


def arrived(bank: Bank, message: CreditTransferMessage, body: bytes, signature: str) -> Arrived:
    """Hash what has to be compared; the group header is in the body's hash alone."""
    contents = tuple(hashlib.sha256(transfer.canonical()).digest() for transfer in message.transfers)
    return Arrived(bank, message, body, signature, hashlib.sha256(body).digest(), contents)


class Intake:
    """Takes messages into custody in groups; one lane of the gateway's database."""

    def __init__(
        self,
        lane: Lane,
        *,
        receipt_kid: str,
        scale: float,
        currencies: frozenset[str],
        on_custody: Callable[[], None],
        first: FirstAttempts,
        admission: Admission,
        restored_ms: int | None = None,
        signals: GatewaySignals | None = None,
    ) -> None:
        """`scale` divides the promises; transfers in other `currencies` are refused; `on_custody` wakes delivery.

        `first` records the attempts of what can be sent at once; `admission` is told what is taken; `restored_ms` is
        when this database was last declared as restored; `signals` count what arrives.
        """
        self._doubtful_until_ms = 0 if restored_ms is None else restored_ms + BANK_CLOCK_MS
        self._lane = lane
        self._first = first
        self._admission = admission
        self._signals = signals or GatewaySignals()
        self._receipt_kid = receipt_kid
        self._scale = scale
        self._currencies = currencies
        self._on_custody = on_custody
        self.flusher: Flusher[Arrived, Custody | Conflict] = Flusher(
            self._work,
            name="intake",
            batch_max=BATCH_MAX,
            queue_max=QUEUE_MAX,
            gather_s=GATHER_S,
            gather_from=GATHER_FROM,
        )

    async def take(self, message: Arrived, *, deadline_s: float) -> Custody | Conflict:
        """Custody of every transfer of the message, or the conflict that refuses it whole.

        Raises Busy (nothing stored) or NoAnswer (the bank asks again with the same bytes).
        """
        try:
            return await self.flusher.submit(message, deadline_s=deadline_s)
        except (Busy, StoreFault) as fault:
            self._signals.not_stored(fault)
            raise

    async def _work(self, batch: list[Arrived]) -> list[Custody | Conflict]:
        for _ in range(RACES_MAX):
            begun = self._first.batch()
            work = partial(self._transaction, batch=batch, begun=begun)
            try:
                results, new = await self._lane.run(work, deadline_s=WRITE_DEADLINE_S)
            except BaseException as error:
                self._first.abandoned(begun)
                if isinstance(error, UniqueViolation):
                    continue  # another writer committed one of these ids: look again
                raise
            self._first.committed(begun)
            self._tell_admission(batch, new)
            with HARMLESS:
                self._count(batch, new, begun)
            self._on_custody()
            return results
        raise InvariantBroken(f"intake lost {RACES_MAX} races in a row")

    def _tell_admission(self, batch: list[Arrived], new: list[NewTransfer]) -> None:
        """One transfer of each message that has any in custody."""
        for item in batch:
            self._admission.committed(item)
        for row in {(row.bank, row.msg_id): row for row in new if row.reason is None}.values():
            self._admission.taken(row.id)

    def _count(self, batch: list[Arrived], new: list[NewTransfer], begun: Recorded) -> None:
        """Tell the signals what this commit has taken or refused, and what it has begun to send."""
        for row in new:
            if row.reason is not None:
                self._signals.refused(row.bank, row.creditor_msisdn, Reason(row.reason))
            else:
                self._signals.arrived(row.id, row.bank, row.creditor_msisdn)
        for attempt in begun.attempts:
            if not self._signals.is_test(attempt.creditor_msisdn):
                self._signals.attempted(attempt.transfer, attempt.bank)
        self._signals.stored(sum(1 for item in batch if not self._signals.names_test(item.body)))

    async def _transaction(
        self, conn: Connection, batch: list[Arrived], begun: Recorded
    ) -> tuple[list[Custody | Conflict], list[NewTransfer]]:
        async with transaction(conn):
            known = _Known(
                *await rows.known(
                    conn,
                    [(a.bank.id, a.message.msg_id) for a in batch],
                    [(a.bank.id, t.uetr) for a in batch for t in a.message.transfers],
                )
            )
            new_messages: list[MessageRow] = []
            new_transfers: list[NewTransfer] = []
            results = [self._one(item, known, new_messages, new_transfers) for item in batch]
            self._first.record(begun, new_transfers)
            await rows.insert(conn, new_messages, new_transfers, begun.rows())
        return results, new_transfers

    def _one(
        self, item: Arrived, known: _Known, messages: list[MessageRow], transfers: list[NewTransfer]
    ) -> Custody | Conflict:
        """Decide one message and add its rows to the batch and to what is known."""
        bank, message = item.bank.id, item.message
        before = known.messages.get((bank, message.msg_id))
        stored = {
            t.uetr: KnownTransfer(row.content_sha256, row.rejected)
            for t in message.transfers
            if (row := known.transfers.get((bank, t.uetr))) is not None
        }
        contents = [(t.uetr, digest) for t, digest in zip(message.transfers, item.contents, strict=True)]
        unserved = frozenset(t.uetr for t in message.transfers if t.currency not in self._currencies)
        if self._doubtful(item):
            unserved = frozenset()  # it may have been credited when its currency was served: the burn says so
        decision = decide_intake(item.body_sha256, contents, before[0] if before else None, stored, unserved)
        if isinstance(decision, Conflict):
            return decision
        received_ms, kid = (before[1], before[2]) if before else (clock.now_ms(), self._receipt_kid)
        if not decision.replay:
            self._add(item, decision, received_ms, known, messages, transfers)
        lines = tuple(known.transfers[(bank, t.uetr)] for t in message.transfers)
        return Custody(bank, message.msg_id, item.body_sha256, received_ms, kid, lines)

    def _add(
        self,
        item: Arrived,
        decision: Taken,
        received_ms: int,
        known: _Known,
        messages: list[MessageRow],
        transfers: list[NewTransfer],
    ) -> None:
        row = MessageRow(
            item.bank.id, item.message.msg_id, item.body_sha256, item.body, item.signature, received_ms,
            self._receipt_kid, tuple(t.uetr for t in item.message.transfers),
        )  # fmt: skip
        messages.append(row)
        known.messages[(row.bank, row.msg_id)] = (row.body_sha256, received_ms, row.receipt_kid)
        for transfer, content, line in zip(item.message.transfers, item.contents, decision.lines, strict=True):
            if line in (Line.NEW, Line.REFUSED):
                fresh = self._fresh(item, transfer, content, received_ms)
                if line is Line.REFUSED:
                    fresh = msgspec.structs.replace(
                        fresh, status="REJECTED", reason=Reason.CURRENCY_NOT_SERVED.value, tracking=None
                    )
                transfers.append(fresh)
                known.transfers[(fresh.bank, fresh.uetr)] = fresh.custody()

    def _doubtful(self, item: Arrived) -> bool:
        """True where the message may have been here before our log was put back to a copy that lacks it."""
        return item.message.created_ms <= self._doubtful_until_ms

    def _fresh(self, item: Arrived, transfer: CreditTransfer, content: bytes, received_ms: int) -> NewTransfer:
        instants = deadlines_for(item.bank.pack, received_ms, self._scale)
        return NewTransfer(
            id=clock.new_id(),
            bank=item.bank.id,
            uetr=transfer.uetr,
            tracking=clock.secret_bytes(TRACKING_BYTES),
            content_sha256=content,
            msg_id=item.message.msg_id,
            end_to_end_id=transfer.end_to_end_id,
            instruction_id=transfer.instruction_id,
            transaction_id=transfer.transaction_id,
            amount_minor=transfer.amount_minor,
            currency=transfer.currency,
            debtor_name=transfer.debtor_name,
            debtor_phone=transfer.contact.phone,
            debtor_email=transfer.contact.email,
            debtor_language=transfer.contact.language,
            creditor_name=transfer.creditor_name,
            creditor_msisdn=transfer.creditor_msisdn,
            received_ms=received_ms,
            valid_until_ms=instants.valid_until_ms,
            return_at_ms=instants.return_at_ms,
            deadline_ms=instants.deadline_ms,
            burn_first=self._doubtful(item),
        )
