"""Incarnations of the database, and anchors over the heads of its chains.

A restore or a lossy failover begins a new incarnation; it is over its first phase once the gateway has
re-driven what it knows. An anchor ties the heads of all slots together at one instant.
"""

from typing import LiteralString

import psycopg

from hakika.domain.reasons import InvariantBroken
from hakika.store.core.batches import Connection
from hakika.store.core.chain import FIRST, Link, anchor_hash

CURRENT: LiteralString = """
SELECT number, redriven_ms IS NOT NULL FROM incarnation ORDER BY number DESC LIMIT 1
"""
REDRIVEN: LiteralString = """
UPDATE incarnation SET redriven_ms = %(now_ms)s
WHERE number = %(number)s AND redriven_ms IS NULL AND number = (SELECT max(number) FROM incarnation)
"""
RAISE: LiteralString = """
INSERT INTO incarnation (number, raised_ms, reason)
SELECT max(number) + 1, %(now_ms)s, %(reason)s FROM incarnation RETURNING number
"""
HEADS: LiteralString = """
SELECT slot, head.seq, head.hash FROM writer_slot
CROSS JOIN LATERAL (
    SELECT seq, hash FROM batch WHERE batch.slot = writer_slot.slot ORDER BY seq DESC LIMIT 1
) AS head
ORDER BY slot
"""
LAST_ANCHOR: LiteralString = "SELECT number, hash, slots, seqs FROM anchor ORDER BY number DESC LIMIT 1"
ADD_ANCHOR: LiteralString = """
INSERT INTO anchor (number, at_ms, incarnation, slots, seqs, hashes, previous_hash, hash)
VALUES (%(number)s, %(at_ms)s, %(incarnation)s, %(slots)s, %(seqs)s, %(hashes)s, %(previous_hash)s, %(hash)s)
"""


async def current(connection: Connection) -> tuple[int, bool]:
    """The present incarnation, and whether the gateway has re-driven what it knows."""
    row = await (await connection.execute(CURRENT)).fetchone()
    if row is None:
        raise InvariantBroken("the database has no incarnation")
    return row[0], row[1]


async def mark_redriven(connection: Connection, number: int, now_ms: int) -> bool:
    """True once `number` is the present incarnation and is marked, by this call or an earlier one."""
    await connection.execute(REDRIVEN, {"number": number, "now_ms": now_ms})
    return await current(connection) == (number, True)


async def raise_number(connection: Connection, reason: str, now_ms: int) -> int:
    """Begin the next incarnation; needs the owner's rights."""
    row = await (await connection.execute(RAISE, {"reason": reason, "now_ms": now_ms})).fetchone()
    if row is None:
        raise InvariantBroken("the database has no incarnation")
    number: int = row[0]
    return number


async def add_anchor(connection: Connection, now_ms: int) -> int | None:
    """Anchor the present heads. None when there is nothing new, or another process was first."""
    heads = [Link(*row) for row in await (await connection.execute(HEADS)).fetchall()]
    last = await (await connection.execute(LAST_ANCHOR)).fetchone()
    number, before, slots, seqs = (0, FIRST, [], []) if last is None else last
    if not heads or ([head.slot for head in heads], [head.seq for head in heads]) == (slots, seqs):
        return None
    incarnation, _ = await current(connection)
    values = {
        "number": number + 1,
        "at_ms": now_ms,
        "incarnation": incarnation,
        "slots": [head.slot for head in heads],
        "seqs": [head.seq for head in heads],
        "hashes": [head.hash for head in heads],
        "previous_hash": before,
        "hash": anchor_hash(before, incarnation, number + 1, now_ms, heads),
    }
    try:
        await connection.execute(ADD_ANCHOR, values)
    except psycopg.errors.UniqueViolation:
        return None
    added: int = number + 1
    return added
