"""What a bank may say about transfers that we hold: acknowledge a return, recall, inquire.

Each act is idempotent by the bank's own id for it, and none of them closes anything without evidence: an
acknowledgement books a return, a recall lets the burn decide, an inquiry changes nothing.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from hakika import clock
from hakika.domain.leash import Leash
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer import (
    BankAcknowledgedReturn,
    BankRecalled,
    BankRefusedReturn,
    Status,
    Verdict,
    status_of,
)
from hakika.ids import return_id
from hakika.services.gateway import outgoing
from hakika.services.gateway.outgoing import ALREADY_CREDITED
from hakika.services.gateway.transfers import Desk, Happened
from hakika.store.gateway import intake as intake_rows
from hakika.store.gateway import lookups
from hakika.store.gateway import outgoing as outgoing_rows
from hakika.store.gateway.intake import Connection
from hakika.store.gateway.lookups import InquiredRow
from hakika.store.lane import Lanes
from hakika.wire.iso20022.messages import Cancellation, ReturnAcknowledged, ReturnAcknowledgement, StatusInquiry

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class UnknownReturn:
    """An acknowledgement names a return that we never decided."""

    field: str
    rule: str


@dataclass(frozen=True, slots=True)
class Leashed:
    """Too early or too often: ask again after `retry_after_s`."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Inquired:
    """The present state; `return_body` is the pacs.004 where the transfer went back."""

    row: InquiredRow
    return_body: bytes | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a camt.056 is answered with at once: PDCR while the burn decides, CNCL or RJCR where it is decided.

    No status where nothing is stored and nothing follows: the id is not known since a restore.
    """

    status: str | None
    reason: str | None = None


class Acts:
    """The bank's acts, each one call."""

    def __init__(self, desk: Desk, lanes: Lanes, leash: Leash, *, restored: bool = False) -> None:
        """`restored`: this database was put back once, so an id that it does not know may have been known before."""
        self._restored = restored
        self._desk = desk
        self._lanes = lanes
        self._leash = leash

    async def acknowledge(self, bank: str, message: ReturnAcknowledgement) -> UnknownReturn | None:
        """Book every acknowledged return; refuse the message whole when it names one that is not ours."""
        found: list[tuple[UUID, ReturnAcknowledged]] = []
        for index, item in enumerate(message.items):
            row = await self._find(bank, item.uetr)
            if row is None or row.status != "RETURNED" or return_id(bank, row.uetr) != item.return_id:
                field = f"TxInfAndSts[{index + 1}]/OrgnlTxId"
                return UnknownReturn(field, "must be the RtrId of a pacs.004 that this gateway has sent")
            found.append((row.id, item))
        now_ms = clock.now_ms()
        results = await asyncio.gather(
            *(
                self._desk.apply(
                    Happened(
                        key,
                        BankAcknowledgedReturn(now_ms)
                        if item.accepted
                        else BankRefusedReturn(item.reason or "", now_ms),
                    ),
                    deadline_s=DEADLINE_S,
                )
                for key, item in found
            )
        )
        # A message made after the first acknowledgement is not owed either: settled when it is repeated.
        repeated = [
            key
            for (key, item), applied in zip(found, results, strict=True)
            if item.accepted and applied and applied.verdict is Verdict.RECORD_ONLY
        ]
        if repeated:
            await self._lanes.run(
                lambda conn: outgoing_rows.settle_returns(conn, repeated, now_ms), deadline_s=DEADLINE_S
            )
        return None

    async def inquire(self, bank: str, message: StatusInquiry) -> Inquired | Leashed | None:
        """The present state of one transfer; None for an unknown id, which is evidence of nothing."""
        row = await self._find(bank, message.uetr)
        if row is None:
            return None
        wait_s = self._leash.retry_after_s(row.id, row.received_ms, clock.now_ms())
        if wait_s > 0:
            return Leashed(wait_s)
        if row.status != "RETURNED":
            return Inquired(row, None)
        body = await self._return_body(row.id)
        if body is None:
            await outgoing.gather(self._lanes, bank, sends=0)
            body = await self._return_body(row.id)
        return Inquired(row, body)

    async def recall(self, bank: str, message: Cancellation) -> Recalled:
        """Keep the recall; a known transfer is recalled by the burn, an unknown id becomes a tombstone.

        After a restore an unknown id may be in the wallet and must not be refused later: nothing is stored, and the
        bank sends its pacs.008 first.
        """
        if self._restored and await self._find(bank, message.uetr) is None:
            return Recalled(None)
        now_ms = clock.now_ms()
        tombstone = clock.new_id()

        async def keep(conn: Connection) -> tuple[UUID, str] | None:
            async with conn.transaction():
                await intake_rows.insert_recall(
                    conn,
                    bank=bank,
                    cancellation_id=message.cancellation_id,
                    uetr=message.uetr,
                    assignment_id=message.assignment_id,
                    reason=message.reason,
                    now_ms=now_ms,
                )
                await intake_rows.insert_tombstone(
                    conn,
                    transfer_id=tombstone,
                    bank=bank,
                    uetr=message.uetr,
                    reason=Reason.TOMBSTONED.value,
                    now_ms=now_ms,
                )
                return await intake_rows.find(conn, bank, message.uetr)

        found = await self._lanes.run(keep, deadline_s=DEADLINE_S)
        if found is None or found[1] == "REJECTED":
            return Recalled("CNCL")
        event = BankRecalled(Reason.RECALLED_BY_BANK, now_ms)
        applied = await self._desk.apply(Happened(found[0], event), deadline_s=DEADLINE_S)
        if applied is None:
            raise InvariantBroken(f"{found[0]}: a transfer that was just found is not there")
        match status_of(applied.transfer):
            case Status.RETURNED:
                return Recalled("CNCL")
            case Status.COMPLETED:
                return Recalled("RJCR", ALREADY_CREDITED)
            case _:
                return Recalled("PDCR")

    async def any_known(self, bank: str, uetrs: tuple[UUID, ...], msg_id: str | None) -> bool:
        """True when a refusal must not carry a transaction status."""
        return await self._lanes.run(
            lambda conn: lookups.any_known(conn, bank, list(uetrs), msg_id), deadline_s=DEADLINE_S
        )

    async def _find(self, bank: str, uetr: UUID) -> InquiredRow | None:
        return await self._lanes.run(lambda conn: lookups.inquired(conn, bank, uetr), deadline_s=DEADLINE_S)

    async def _return_body(self, transfer: UUID) -> bytes | None:
        return await self._lanes.run(lambda conn: outgoing_rows.return_body(conn, transfer), deadline_s=DEADLINE_S)
