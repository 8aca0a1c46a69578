"""Versions of the status page as they were swapped in, and the mark by which anything new to say is noticed."""

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

Connection = AsyncConnection[Any]

_ADD = """
INSERT INTO publication (at_ms, content_sha256, incidents) VALUES (%s, %s, %s)
ON CONFLICT (at_ms, content_sha256) DO NOTHING
"""
_FIRST = "SELECT at_ms FROM publication WHERE at_ms >= %s AND incidents ? %s ORDER BY at_ms LIMIT 1"
_MARK = """
SELECT coalesce((SELECT max(seq) FROM judgement), 0), coalesce((SELECT max(at_ms) FROM incident_event), 0),
    coalesce((SELECT max(greatest(announced_ms, coalesce(cancelled_ms, 0))) FROM maintenance), 0)
"""


async def add(conn: Connection, *, at_ms: int, content_sha256: bytes, incidents: Mapping[str, int]) -> None:
    """Keep that this version is what readers get, and up to which event it shows each incident; once."""
    await conn.execute(_ADD, (at_ms, content_sha256, Jsonb(incidents)))


async def first_shown(conn: Connection, incident: str, *, since_ms: int) -> int | None:
    """When the first version that shows this incident was swapped in; `since_ms` is when it was detected."""
    row = await (await conn.execute(_FIRST, (since_ms, incident))).fetchone()
    return int(row[0]) if row is not None else None


async def mark(conn: Connection) -> tuple[int, int, int]:
    """Changes whenever there may be something new to say."""
    row = await (await conn.execute(_MARK)).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row is not None else (0, 0, 0)
