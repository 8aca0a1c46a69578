"""Rows of what is owed to banks: facts in the outbox, the messages made from them, and their delivery."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from hakika.store.arrays import byteas, ints, texts

Connection = AsyncConnection[Any]
RECALLS_MAX = 100  # of one transfer, answered in one camt.029


class Fact(NamedTuple):
    """A row of the outbox with what its message needs of the transfer."""

    seq: int
    transfer: UUID
    kind: str
    reason: str | None
    at_ms: int
    uetr: UUID
    msg_id: str
    end_to_end_id: str
    instruction_id: str | None
    transaction_id: str | None
    amount_minor: int
    currency: str
    tracking: bytes
    status: str
    return_id: str | None
    return_reason: str | None
    cancellation_ids: list[str]  # every recall of this transfer


class Due(NamedTuple):
    """A message to send now; whoever holds it sends it, until it is due again."""

    msg_id: str
    kind: str
    body: bytes
    tries: int


class NewMessage(NamedTuple):
    """A message as it is stored; who stores it sends it first, and others from `next_send_ms` on."""

    msg_id: str
    bank: str
    kind: str
    body: bytes
    created_ms: int
    next_send_ms: int

    def due(self) -> Due:
        """The same as its sender holds it."""
        return Due(self.msg_id, self.kind, self.body, 0)


_WAITING = """
SELECT o.seq, o.transfer, o.kind, o.fact->>'reason', (o.fact->>'at_ms')::bigint, t.uetr, t.msg_id, t.end_to_end_id,
       t.instruction_id, t.transaction_id, t.amount_minor, t.currency, t.tracking, t.status,
       r.return_id, r.reason,
       CASE WHEN o.kind = 'resolution' THEN ARRAY(SELECT c.cancellation_id FROM recall c
           WHERE c.bank = t.bank AND c.uetr = t.uetr ORDER BY c.asked_ms, c.cancellation_id LIMIT %(recalls)s)
       ELSE '{}'::text[] END
FROM (SELECT * FROM outbox WHERE bank = %(bank)s AND msg_id IS NULL ORDER BY seq LIMIT %(limit)s
      FOR UPDATE SKIP LOCKED) o
JOIN transfer t ON t.id = o.transfer
LEFT JOIN payment_return r ON r.transfer = o.transfer
ORDER BY o.seq
"""
_ADD = """
INSERT INTO outgoing_message (msg_id, bank, kind, body, created_ms, next_send_ms)
SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s)
"""
_ASSIGN = """
UPDATE outbox o SET msg_id = c.msg_id
FROM (SELECT unnest(%s::bigint[]) AS seq, unnest(%s::text[]) AS msg_id) AS c WHERE o.seq = c.seq
"""
_DUE = """
UPDATE outgoing_message m SET next_send_ms = %s
FROM (SELECT msg_id FROM outgoing_message WHERE bank = %s AND settled_ms IS NULL AND next_send_ms <= %s
      ORDER BY next_send_ms LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) AS due
WHERE m.msg_id = due.msg_id
RETURNING m.msg_id, m.kind, m.body, m.tries
"""
_SENT = """
UPDATE outgoing_message m SET tries = m.tries + 1, next_send_ms = c.next_ms,
    settled_ms = coalesce(m.settled_ms, c.settled)
FROM (SELECT unnest(%s::text[]) AS msg_id, unnest(%s::bigint[]) AS next_ms, unnest(%s::bigint[]) AS settled) AS c
WHERE m.msg_id = c.msg_id
"""
_SETTLE_RETURNS = """
UPDATE outgoing_message m SET settled_ms = %s FROM outbox o
WHERE o.transfer = ANY(%s::uuid[]) AND o.kind = 'return' AND m.msg_id = o.msg_id AND m.settled_ms IS NULL
"""
_RETURN_BODY = """
SELECT m.body FROM outbox o JOIN outgoing_message m ON m.msg_id = o.msg_id
WHERE o.transfer = %s AND o.kind = 'return'
"""


async def waiting(conn: Connection, bank: str, limit: int) -> list[Fact]:
    """Facts of one bank that no message carries yet, locked."""
    cursor = await conn.execute(_WAITING, {"bank": bank, "limit": limit, "recalls": RECALLS_MAX})
    return [Fact(*r) for r in await cursor.fetchall()]


async def add(conn: Connection, messages: list[NewMessage], carried: list[tuple[int, str]]) -> None:
    """Store messages and which outbox rows they carry."""
    await add_messages(conn, messages)
    await conn.execute(_ASSIGN, ([c[0] for c in carried], [c[1] for c in carried]))


async def add_messages(conn: Connection, messages: list[NewMessage]) -> None:
    """Store messages; the facts that they carry name them in the same transaction."""
    ids, banks, kinds, bodies, created, next_send = zip(*messages, strict=True)
    await conn.execute(_ADD, (texts(ids), texts(banks), texts(kinds), byteas(bodies), ints(created), ints(next_send)))


async def due(conn: Connection, bank: str, *, now_ms: int, until_ms: int, limit: int) -> list[Due]:
    """Unsettled messages of one bank whose next sending is due, for the caller to send: due again at `until_ms`.

    What another process is taking at this moment is left to it.
    """
    return [Due(*r) for r in await (await conn.execute(_DUE, (until_ms, bank, now_ms, limit))).fetchall()]


async def sent(conn: Connection, results: list[tuple[str, int, int | None]]) -> None:
    """Record a sending of each message: (msg_id, when to send again, when settled or None)."""
    await conn.execute(_SENT, ([r[0] for r in results], [r[1] for r in results], [r[2] for r in results]))


async def settle_returns(conn: Connection, transfers: list[UUID], now_ms: int) -> None:
    """The bank has acknowledged these returns: their messages are owed no more."""
    await conn.execute(_SETTLE_RETURNS, (now_ms, transfers))


async def return_body(conn: Connection, transfer: UUID) -> bytes | None:
    """The pacs.004 of a transfer as it was first sent; None before it has been made."""
    row = await (await conn.execute(_RETURN_BODY, (transfer,))).fetchone()
    return bytes(row[0]) if row else None
