"""Rows that a restore needs: of the core, every credit that we know as posted; of this database, what has no end.

Pages by the order of an id, so that each is read once a run whatever happens to the rows meanwhile. A new
incarnation of this database and the mark on every transfer without an end are one commit of the owner.
"""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from hakika.domain.reasons import InvariantBroken
from hakika.domain.transfer import ATTEMPTS_MAX, FOR_PEOPLE_MS
from hakika.store.gateway.queues import BurnDue, OpenAttempt

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
_UNENDED = """
SELECT t.id, t.bank, t.uetr, last.number FROM transfer t
JOIN LATERAL (SELECT max(a.number) AS number FROM attempt a WHERE a.transfer = t.id) last ON last.number IS NOT NULL
WHERE t.status IN ('RECEIVED', 'IN_FLIGHT') AND (%(after)s::uuid IS NULL OR t.id > %(after)s)
ORDER BY t.id LIMIT %(limit)s
"""
_RETURNED = """
SELECT t.id, t.bank, t.uetr, CASE WHEN t.burn_first THEN %(all)s ELSE greatest(1,
    (SELECT coalesce(max(a.number), 0) FROM attempt a WHERE a.transfer = t.id)) END
FROM transfer t WHERE t.status = 'RETURNED' AND t.valid_until_ms > %(valid_after)s
    AND (%(after)s::uuid IS NULL OR t.id > %(after)s)
ORDER BY t.id LIMIT %(limit)s
"""
_RAISE = """
INSERT INTO incarnation (number, raised_ms, reason) SELECT max(number) + 1, %s, %s FROM incarnation RETURNING number
"""
_MARK = "UPDATE transfer SET burn_first = true WHERE status IN ('RECEIVED', 'IN_FLIGHT') AND NOT burn_first"
_LATEST = "SELECT number, raised_ms FROM incarnation ORDER BY number DESC LIMIT 1"
_BURN_FIRST = """
SELECT t.id, t.bank, t.uetr, (SELECT coalesce(max(a.number), 0) FROM attempt a WHERE a.transfer = t.id)
FROM transfer t WHERE t.burn_first AND t.held AND t.next_attempt_ms <> %(for_people)s
    AND (%(after)s::uuid IS NULL OR t.id > %(after)s)
ORDER BY t.id LIMIT %(limit)s
"""
_BREAK = """
INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms) VALUES (%s, %s, %s, %s)
ON CONFLICT (transfer, kind) DO NOTHING
"""


async def posted_attempts(conn: Connection, *, after: UUID | None, limit: int) -> list[OpenAttempt]:
    """Attempts that the core answered as posted, in the order of their ids."""
    cursor = await conn.execute(_POSTED, {"after": after, "limit": limit})
    return [OpenAttempt(*r) for r in await cursor.fetchall()]


async def note_redriven(conn: Connection, incarnation: int, now_ms: int) -> None:
    """Everything known has been driven again under this incarnation of the core."""
    await conn.execute(_NOTE, (incarnation, now_ms, now_ms))


async def unended_attempted(conn: Connection, *, after: UUID | None, limit: int) -> list[BurnDue]:
    """Transfers without an end that have been attempted, in the order of their ids."""
    cursor = await conn.execute(_UNENDED, {"after": after, "limit": limit})
    return [BurnDue(*r) for r in await cursor.fetchall()]


async def returned_still_valid(
    conn: Connection, *, after: UUID | None, limit: int, valid_after_ms: int
) -> list[BurnDue]:
    """Transfers that went back and whose instruction the core would still take by its clock."""
    cursor = await conn.execute(
        _RETURNED, {"after": after, "limit": limit, "valid_after": valid_after_ms, "all": ATTEMPTS_MAX}
    )
    return [BurnDue(*r) for r in await cursor.fetchall()]


async def raise_number(conn: Connection, reason: str, now_ms: int) -> tuple[int, int]:
    """(the next incarnation, transfers without an end now marked to be burnt first); needs the owner's rights."""
    async with conn.transaction():
        await conn.execute("LOCK TABLE transfer IN SHARE ROW EXCLUSIVE MODE")  # whoever writes is waited for
        row = await (await conn.execute(_RAISE, (now_ms, reason))).fetchone()
        marked = await conn.execute(_MARK)
    if row is None:
        raise InvariantBroken("the database has no incarnation")
    return row[0], marked.rowcount


async def restored_ms(conn: Connection) -> int | None:
    """When this database was last declared as restored; None for never."""
    row = await (await conn.execute(_LATEST)).fetchone()
    if row is None:
        raise InvariantBroken("the database has no incarnation")
    return row[1] if row[0] > 1 else None


async def burn_first(conn: Connection, *, after: UUID | None, limit: int) -> list[BurnDue]:
    """Held transfers older than a restore of this database; `last` is the last attempt that is known, or 0."""
    cursor = await conn.execute(_BURN_FIRST, {"after": after, "limit": limit, "for_people": FOR_PEOPLE_MS})
    return [BurnDue(*r) for r in await cursor.fetchall()]


async def open_breaks(conn: Connection, kind: str, attempts: list[OpenAttempt], now_ms: int) -> None:
    """A break of this kind for the transfer of each attempt; once a transfer and kind."""
    for attempt in attempts:
        await conn.execute(_BREAK, (attempt.transfer, kind, Jsonb({"attempt": attempt.id.hex}), now_ms))
