"""Single reads: a transfer for its tracking page, for an inquiry, and what is known of a set of ids."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from hakika.domain.transfer import FOR_PEOPLE_MS

Connection = AsyncConnection[Any]


class TrackedRow(NamedTuple):
    """Everything that the tracking page may need, by the reference alone."""

    bank_name: str
    status: str
    amount_minor: int
    currency: str
    debtor_name: str | None
    creditor_name: str | None
    creditor_msisdn: str
    received_ms: int
    deadline_ms: int
    status_ms: int
    reason: str | None
    fee_minor: int | None
    open_since_ms: int | None
    returned_ms: int | None
    acknowledged_ms: int | None
    position_short: bool
    credited_late: bool
    burn_first: bool  # older than a restore: held here, and perhaps in the wallet already
    bank: str = ""


class InquiredRow(NamedTuple):
    """A transfer as an inquiry's answer needs it."""

    id: UUID
    uetr: UUID
    msg_id: str | None
    end_to_end_id: str | None
    instruction_id: str | None
    transaction_id: str | None
    status: str
    status_ms: int
    reason: str | None
    received_ms: int
    burn_first: bool


_TRACKED = """
SELECT b.name, t.status, t.amount_minor, t.currency, t.debtor_name, t.creditor_name, t.creditor_msisdn,
       t.received_ms, t.deadline_ms, t.status_ms, t.reason, t.fee_minor,
       (SELECT max(a.recorded_ms) FROM attempt a WHERE a.transfer = t.id
        AND (a.outcome IS NULL OR t.status = 'RECEIVED' AND t.next_attempt_ms = %(for_people)s)),
       r.decided_ms, r.acknowledged_ms,
       t.status = 'RECEIVED' AND EXISTS (
           SELECT 1 FROM attempt a WHERE a.transfer = t.id AND a.reason = 'position_short'),
       t.status = 'RETURNED' AND EXISTS (SELECT 1 FROM reconciliation_break k
           WHERE k.transfer = t.id AND right(k.kind, 11) = '_but_posted'),
       t.burn_first, t.bank
FROM transfer t JOIN bank b ON b.id = t.bank LEFT JOIN payment_return r ON r.transfer = t.id
WHERE t.tracking = %(tracking)s
"""
_INQUIRED = """
SELECT id, uetr, msg_id, end_to_end_id, instruction_id, transaction_id, status, status_ms, reason, received_ms,
       burn_first
FROM transfer WHERE bank = %s AND uetr = %s
"""
_ANY_KNOWN = """
SELECT EXISTS (SELECT 1 FROM transfer WHERE bank = %(bank)s AND uetr = ANY(%(uetrs)s::uuid[]))
    OR EXISTS (SELECT 1 FROM message WHERE bank = %(bank)s AND msg_id = %(msg_id)s)
"""


async def tracked(conn: Connection, tracking: bytes) -> TrackedRow | None:
    """The transfer under a tracking reference, as of this statement's snapshot."""
    values = {"tracking": tracking, "for_people": FOR_PEOPLE_MS}
    row = await (await conn.execute(_TRACKED, values)).fetchone()
    return TrackedRow(*row) if row else None


async def inquired(conn: Connection, bank: str, uetr: UUID) -> InquiredRow | None:
    """The transfer under (bank, UETR)."""
    row = await (await conn.execute(_INQUIRED, (bank, uetr))).fetchone()
    return InquiredRow(*row) if row else None


async def any_known(conn: Connection, bank: str, uetrs: list[UUID], msg_id: str | None) -> bool:
    """True when any of these ids has been met: then no refusal may carry a transaction status."""
    values = {"bank": bank, "uetrs": uetrs, "msg_id": msg_id}
    row = await (await conn.execute(_ANY_KNOWN, values)).fetchone()
    return bool(row and row[0])
