"""Numbers and changes of the statements about corridors: raised before they are said, kept where they changed."""

from typing import Any, NamedTuple

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]


class Said(NamedTuple):
    """The last change of one corridor's decision, for the operator: is this bank warned?"""

    bank: str
    seq: int
    issued_ms: int
    decision: str
    acknowledged_ms: int | None


_NEXT = """
INSERT INTO statement_number (bank, seq) VALUES (%s, 1)
ON CONFLICT (bank) DO UPDATE SET seq = statement_number.seq + 1 RETURNING seq
"""
_CHANGED = "INSERT INTO statement (bank, seq, issued_ms, decision, body) VALUES (%s, %s, %s, %s, %s)"
_ACKNOWLEDGED = """
UPDATE statement SET acknowledged_ms = %s WHERE bank = %s AND seq <= %s AND acknowledged_ms IS NULL
"""
_LAST = """
SELECT DISTINCT ON (bank) bank, seq, issued_ms, decision, acknowledged_ms FROM statement ORDER BY bank, seq DESC
"""


async def next_number(conn: Connection, bank: str) -> int:
    """The next number of this corridor, used from now on, whether it is said or not."""
    row = await (await conn.execute(_NEXT, (bank,))).fetchone()
    return int(row[0]) if row else 0


async def keep_change(conn: Connection, *, bank: str, seq: int, issued_ms: int, decision: str, body: bytes) -> None:
    """Keep a statement with which the decision changed."""
    await conn.execute(_CHANGED, (bank, seq, issued_ms, decision, body))


async def acknowledged(conn: Connection, *, bank: str, seq: int, now_ms: int) -> None:
    """The bank knows every statement up to this number."""
    await conn.execute(_ACKNOWLEDGED, (now_ms, bank, seq))


async def last_changes(conn: Connection) -> list[Said]:
    """The last change of each corridor."""
    return [Said(*row) for row in await (await conn.execute(_LAST)).fetchall()]
