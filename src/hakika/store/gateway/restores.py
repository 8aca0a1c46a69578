"""Rows that a restore needs: every credit that we know as posted, page by page, and which restores were met."""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from hakika.store.gateway.queues import OpenAttempt

Connection = AsyncConnection[Any]

_POSTED = """
SELECT a.id, a.transfer, a.number, a.lease_token, t.bank, t.creditor_msisdn, t.amount_minor, t.currency,
       t.valid_until_ms, false
FROM attempt a JOIN transfer t ON t.id = a.transfer
WHERE a.outcome = 'posted' AND (%(after)s::uuid IS NULL OR a.id > %(after)s) ORDER BY a.id LIMIT %(limit)s
"""
_NOTE = """
INSERT INTO core_incarnation (number, seen_ms, redriven_ms) VALUES (%s, %s, %s)
ON CONFLICT (number) DO UPDATE SET redriven_ms = coalesce(core_incarnation.redriven_ms, excluded.redriven_ms)
"""
_BREAK = """
INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms) VALUES (%s, 'lost_by_restore', %s, %s)
ON CONFLICT (transfer, kind) DO NOTHING
"""


async def posted_attempts(conn: Connection, *, after: UUID | None, limit: int) -> list[OpenAttempt]:
    """Attempts that the core answered as posted, in the order of their ids."""
    cursor = await conn.execute(_POSTED, {"after": after, "limit": limit})
    return [OpenAttempt(*r) for r in await cursor.fetchall()]


async def note_redriven(conn: Connection, incarnation: int, now_ms: int) -> None:
    """Everything known has been driven again under this incarnation of the core."""
    await conn.execute(_NOTE, (incarnation, now_ms, now_ms))


async def open_breaks(conn: Connection, lost: list[OpenAttempt], now_ms: int) -> None:
    """Completed transfers that the restored core would not post again."""
    for attempt in lost:
        await conn.execute(_BREAK, (attempt.transfer, Jsonb({"attempt": attempt.id.hex}), now_ms))
